"""The front door: the list of pages and the HTTP routes, nothing else."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from components.session import page

ROOT = page.ROOT

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

    explore = st.Page(
        "pages/explore.py",
        title="Explore",
        icon=":material/visibility:",
        # Leaves /explore free: the default page answers at / only, whatever it is called.
        url_path="start",
        default=True,
        help=page.HELP["explore"],
    )

    def to_explore() -> None:
        """The start page's own address."""
        st.switch_page(explore, query_params=st.query_params.to_dict())

    st.navigation(
        {
            "": [
                explore,
                st.Page("pages/topk.py", title="Top-k", icon=":material/format_list_numbered:", help=page.HELP["topk"]),
                st.Page("pages/detect.py", title="Detect", icon=":material/select_all:", help=page.HELP["detect"]),
                st.Page("pages/compare.py", title="Compare", icon=":material/compare:", help=page.HELP["compare"]),
                st.Page(
                    "pages/similarity.py",
                    title="Similarity",
                    icon=":material/join_inner:",
                    help=page.HELP["similarity"],
                ),
                st.Page(
                    "pages/cheat.py",
                    title="Catch the cheat",
                    icon=":material/troubleshoot:",
                    help=page.HELP["cheat"],
                ),
                st.Page(
                    "pages/batch/page.py",
                    url_path="batch",
                    title="Batch",
                    icon=":material/photo_library:",
                    help=page.HELP["batch"],
                ),
                st.Page(
                    "pages/watch/page.py",
                    url_path="watch",
                    title="Watch",
                    icon=":material/monitoring:",
                    help=page.HELP["watch"],
                ),
                st.Page(
                    "pages/history/page.py",
                    url_path="history",
                    title="History",
                    icon=":material/bookmarks:",
                    help=page.HELP["history"],
                ),
                st.Page(to_explore, title="Explore", url_path="explore", visibility="hidden"),
            ]
        },
        position="top",
    ).run()
