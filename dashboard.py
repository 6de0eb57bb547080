"""The front door: the list of screens, nothing else."""

import streamlit as st

from components import frame

ROOT = frame.ROOT

st.set_page_config(
    page_title="Sightglass", page_icon=str(ROOT / "assets/icon.png"), layout="wide", initial_sidebar_state=264
)
st.logo(str(ROOT / "assets/logo.svg"), icon_image=str(ROOT / "assets/icon.svg"), size="large")
frame.warm()

explore = "pages/explore.py"
st.navigation(
    {
        "": [
            st.Page(
                explore,
                title="Explore",
                icon=":material/visibility:",
                url_path="start",
                default=True,
                help=frame.HELP["explore"],
            ),
            st.Page("pages/topk.py", title="Top-k", icon=":material/format_list_numbered:", help=frame.HELP["topk"]),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare:", help=frame.HELP["compare"]),
            # The default page answers at / only; its own address is a second, hidden door to the same screen.
            st.Page(explore, title="Explore", url_path="explore", visibility="hidden"),
        ]
    },
    position="top",
).run()
