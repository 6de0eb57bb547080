"""List the dashboard's pages and HTTP routes."""

import gc
import sys
from pathlib import Path

import streamlit as st

from sightglass.common.errors import SettingProblem

try:
    from sightglass.ui.session import page
    from sightglass.ui.streamlit_internals import base_path, page_tooltip, prepare_server, script_context, styled_routes
except SettingProblem as problem:
    # This version of Streamlit lacks something.
    sys.exit(str(problem))

HERE = Path(__file__).parent
"""Folder of the icons: beside this file, in a checkout as in an installation."""
MENU = {
    "explore": ("Explore", "visibility", "Where a model looks in a picture, and whether that can be trusted."),
    "topk": ("Top-k", "format_list_numbered", "The best answers side by side, and what speaks for one of two."),
    "compare": ("Compare", "compare", "Two to four models on one picture, or two pictures: how similar they are."),
    "pictures": (
        "Pictures",
        "photo_library",
        "Many pictures with one or several models: what is right, what is wrong, and which model to take.",
    ),
    "video": ("Video", "movie", "A clip or the camera: where the model looks, and when its answer changes."),
    "saved": ("Saved", "bookmarks", "What you saved: views, runs over many pictures, and decks of slides."),
    "models": ("Models", "deployed_code", "What is here, and how large; add your own from a file."),
}
"""The pages of the bar in their order: their addresses, titles, icons and help texts."""

if script_context() is None:
    # The server reads this file once, for what is answered beside the pages; each visit then runs the rest.
    # No garbage until `import_ahead` is done: a search of all that is being imported takes a tenth of the time.
    gc.disable()
    from starlette.middleware import Middleware

    from sightglass.api import prepare, routes
    from sightglass.api.security import PAGES, AuthMiddleware, SecurityHeaders
    from sightglass.ui.choices import import_ahead
    from sightglass.ui.session.visitor import TabMiddleware

    try:
        prepare(st.get_option("server.address"))
    except SettingProblem as problem:
        sys.exit(str(problem))
    prepare_server()
    base = base_path()
    middleware = [Middleware(SecurityHeaders, PAGES), Middleware(AuthMiddleware, base=base), Middleware(TabMiddleware)]
    answered = [*routes(base=base), *styled_routes(MENU, base)]
    app = st.App(__file__, routes=answered, middleware=middleware, lifespan=import_ahead.serving)
else:
    from sightglass.ui.widgets import page_title

    pages = {
        name: st.Page(
            page.script(name),
            title=title,
            icon=f":material/{icon}:",
            url_path=name,
            default=name == "explore",
            **page_tooltip(help),
        )
        for name, (title, icon, help) in MENU.items()
    }
    # First: for a page without an icon of the window's own, the bar would fetch its symbol from a host outside.
    st.set_page_config(page_icon=str(HERE / "assets/icon.png"), layout="wide", initial_sidebar_state="collapsed")
    # Expanded: in the drawer of a phone, pages beyond the twelfth would hide behind another button.
    current = st.navigation([*pages.values()], position="top", expanded=True)
    shown = next((name for name in pages if pages[name] is current), "explore")
    st.set_page_config(page_title=f"{pages[shown].title} · Sightglass")
    # Where the bar is folded, the logo is as wide: the links do not move.
    st.logo(str(HERE / "assets/logo.svg"), icon_image=str(HERE / "assets/logo-wide.svg"), size="large")
    # On a phone, where Streamlit folds the bar into a drawer; filled last, as what is above it is seen first.
    foot = st.container(key="bottom-bar", horizontal=True, gap=None)
    # The name takes no place, and no gap.
    with st.container(gap=None):
        with st.container(key="page-title"):
            page_title(pages[shown].title)
        with st.container():
            current.run()
    with foot:
        for name, (title, icon, _) in MENU.items():
            st.page_link(pages[name], label=title, icon=f":material/{icon}:")
