"""The front door: the list of pages and the HTTP routes, nothing else."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from components.session import page

ROOT = page.ROOT
MENU = {
    "explore": ("Explore", "visibility"),
    "topk": ("Top-k", "format_list_numbered"),
    "detect": ("Detect", "select_all"),
    "compare": ("Compare", "compare"),
    "similarity": ("Similarity", "join_inner"),
    "cheat": ("Catch the cheat", "troubleshoot"),
    "batch": ("Batch", "photo_library"),
    "watch": ("Watch", "monitoring"),
    "history": ("History", "bookmarks"),
}
"""Titles and icons of the pages, in the order of the menu."""

if get_script_run_ctx(suppress_warning=True) is None:
    # The server reads this file once, for what is answered beside the pages; each visit then runs the rest.
    from api import routes

    # For apps of Streamlit's first multipage kind a folder called `pages` is the menu: the first visit to /compare
    # would run that file alone, without what stands here.
    PagesManager.uses_pages_directory = False

    app = st.App(__file__, routes=routes())
else:
    st.set_page_config(
        page_title="Sightglass", page_icon=str(ROOT / "assets/icon.png"), layout="wide", initial_sidebar_state=264
    )
    st.logo(str(ROOT / "assets/logo.svg"), icon_image=str(ROOT / "assets/icon.svg"), size="large")

    def to_explore() -> None:
        """The start page's own address."""
        st.switch_page(explore, query_params=st.query_params.to_dict())

    explore, *others = (
        st.Page(
            page.script(name),
            title=title,
            icon=f":material/{icon}:",
            # Leaves /explore free: the default page answers at / only, whatever it is called.
            url_path="start" if name == "explore" else name,
            default=name == "explore",
            help=page.HELP[name],
        )
        for name, (title, icon) in MENU.items()
    )
    hidden = st.Page(to_explore, title="Explore", url_path="explore", visibility="hidden")
    st.navigation({"": [explore, *others, hidden]}, position="top").run()
