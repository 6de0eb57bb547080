"""The least that Streamlit can be asked for: a title and a file uploader."""

import streamlit as st

st.title("Hello")
st.file_uploader("A picture")
