"""Compare: models on one picture, or two pictures."""

from typing import Any

import streamlit as st

from sightglass.ui.session import page, url_state

TABS = {"models": "One picture", "pictures": "Two pictures"}


@page.show_errors
def compare() -> None:
    bar = st.container(key="controls")
    with st.container(horizontal=True, vertical_alignment="center", key="compare-head"):
        look: dict[str, Any] = {"key": "compare-tab", "name": "tab", "label_visibility": "collapsed"}
        tab = url_state.widget(st.segmented_control, "Compare", TABS, "models", **look)
        help = "Drop a folder of labelled pictures there: which of two to six models is right more often."
        st.page_link(page.script("pictures"), label="Labelled pictures", icon=":material/arrow_outward:", help=help)
        right = st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center")
    title, main = st.container(key="top"), st.container(key="maps")
    # Imported when they are opened: each loads what the other does not need.
    if tab == "models":
        from sightglass.pages.compare import one_picture

        one_picture.draw(bar, right, title, main)
    else:
        from sightglass.pages.compare import two_pictures

        two_pictures.draw(bar, right, title, main)


compare()
