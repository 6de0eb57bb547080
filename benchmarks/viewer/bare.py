"""The smallest Streamlit page: a title and a file uploader."""

import streamlit as st

st.title("Hello")
st.file_uploader("A picture")
