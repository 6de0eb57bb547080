"""The front door: the list of screens and the HTTP routes, nothing else."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from components import frame

ROOT = frame.ROOT

if get_script_run_ctx(suppress_warning=True) is None:
    # The server reads this file once, for what is answered beside the pages; each visit then runs the rest.
    from api import routes

    app = st.App(__file__, routes=routes())
else:
    st.set_page_config(
        page_title="Sightglass", page_icon=str(ROOT / "assets/icon.png"), layout="wide", initial_sidebar_state=264
    )
    st.logo(str(ROOT / "assets/logo.svg"), icon_image=str(ROOT / "assets/icon.svg"), size="large")

    explore = st.Page(
        "screens/explore.py",
        title="Explore",
        icon=":material/visibility:",
        # Leaves /explore free: the default page answers at / only, whatever it is called.
        url_path="start",
        default=True,
        help=frame.HELP["explore"],
    )

    def to_explore() -> None:
        """The start page's own address."""
        st.switch_page(explore, query_params=st.query_params.to_dict())

    st.navigation(
        {
            "": [
                explore,
                st.Page(
                    "screens/topk.py", title="Top-k", icon=":material/format_list_numbered:", help=frame.HELP["topk"]
                ),
                st.Page("screens/detect.py", title="Detect", icon=":material/select_all:", help=frame.HELP["detect"]),
                st.Page("screens/compare.py", title="Compare", icon=":material/compare:", help=frame.HELP["compare"]),
                st.Page(
                    "screens/similarity.py",
                    title="Similarity",
                    icon=":material/join_inner:",
                    help=frame.HELP["similarity"],
                ),
                st.Page(
                    "screens/cheat.py",
                    title="Catch the cheat",
                    icon=":material/troubleshoot:",
                    help=frame.HELP["cheat"],
                ),
                st.Page("screens/batch.py", title="Batch", icon=":material/photo_library:", help=frame.HELP["batch"]),
                st.Page("screens/watch.py", title="Watch", icon=":material/monitoring:", help=frame.HELP["watch"]),
                st.Page("screens/history.py", title="History", icon=":material/bookmarks:", help=frame.HELP["history"]),
                st.Page(to_explore, title="Explore", url_path="explore", visibility="hidden"),
            ]
        },
        position="top",
    ).run()
