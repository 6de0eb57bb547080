"""List the dashboard's pages and HTTP routes."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import SettingProblem

try:
    from sightglass.components.session import page, state
    from sightglass.components.streamlit_internals import prepare_server, script_context
except SettingProblem as problem:
    # This version of Streamlit lacks something.
    sys.exit(str(problem))

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

HERE = Path(__file__).parent
"""Of the icons: beside this file, in a checkout as in an installation."""
MENU = {
    "Look": {
        "explore": ("Explore", "visibility", "What a model sees in a picture, and where it looks."),
        "topk": (
            "Top-k",
            "format_list_numbered",
            "The model's best classes side by side, and what speaks for one but not for another.",
        ),
        "detect": ("Detect", "select_all", "The evidence for each box, and why a missing one is not shown."),
    },
    "Compare": {
        "compare": ("Side by side", "compare", "Two to four models on the same picture."),
        "similarity": (
            "Similarity",
            "join_inner",
            "How similar two pictures are to a model, or one and a gallery, and which regions make them so.",
        ),
    },
    "Prove": {
        "trust": (
            "Trust",
            "fact_check",
            "Whether one map of your picture deserves trust: scrambled weights, and small changes of the picture.",
        ),
        "whatif": (
            "What if",
            "brush",
            "Paint over a part of the picture, and see at once what that changes in the answer.",
        ),
    },
    "Many pictures": {
        "pictures": (
            "Pictures",
            "photo_library",
            "Many pictures with one or several models: what is right, what is wrong, and which model to take.",
        ),
    },
    "Show": {
        "live": (
            "Live",
            "videocam",
            "The camera in real time, with what the model says and where it looks; without a camera, a clip.",
        ),
        "video": (
            "Video",
            "movie",
            "A clip in, a clip out: where the model looks in each frame, and the moments in which something changes.",
        ),
        "present": (
            "Present",
            "slideshow",
            "Decks of slides made of your views, for a room: edit, arrange, present and export them.",
        ),
    },
    "History": {
        "history": ("History", "bookmarks", "What you saved: search, annotate and compare it; no model runs."),
    },
    "Models": {
        "models": ("Models", "deployed_code", "What is here, and how large; add your own from a file."),
    },
}
"""The menus of the bar in their order, each with its pages: their addresses, titles, icons and help texts."""

MERGED: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "batch": ("pictures", {"second": "models"}, {}),
    "errors": ("pictures", {}, {"view": "wrong"}),
    "scorecard": ("pictures", {"score": "models"}, {}),
}
"""Old addresses: the page that has their content, new names of their parameters, and parameters that it needs."""

if script_context() is None:
    # The server reads this file once, for what is answered beside the pages; each visit then runs the rest.
    # No garbage until `import_ahead` is done: a search of all that is being imported takes a tenth of the time.
    gc.disable()
    from starlette.middleware import Middleware

    from sightglass.api import routes, serving
    from sightglass.api.security import PAGES, AuthMiddleware, SecurityHeaders
    from sightglass.components.choices import import_ahead
    from sightglass.components.session import signed_in, url_state

    try:
        serving.prepare(st.get_option("server.address"), oidc=signed_in.is_configured())
    except SettingProblem as problem:
        sys.exit(str(problem))
    prepare_server(url_state.miss_page)
    signed_in.install()
    base = signed_in.base_path()
    middleware = [
        Middleware(SecurityHeaders, PAGES),
        Middleware(AuthMiddleware, base=base, dashboard=signed_in),
    ]
    app = st.App(__file__, routes=routes(base=base), middleware=middleware, lifespan=import_ahead.serving)
else:
    from sightglass.common import removed
    from sightglass.components.session import signed_in, url_state
    from sightglass.components.session.markdown import escape
    from sightglass.components.widgets import page_title

    def to_explore() -> None:
        """The start page's own address."""
        st.switch_page(pages["explore"], query_params=st.query_params.to_dict())

    def make_page(name: str, title: str, icon: str, help: str) -> StreamlitPage:
        return st.Page(
            signed_in.sign_out if name == signed_in.SIGN_OUT else page.script(name),
            title=title,
            icon=f":material/{icon}:",
            # Leaves /explore free: the default page answers at / only, whatever it is called.
            url_path="start" if name == "explore" else name,
            default=name == "explore",
            help=help,
        )

    def removed_page(name: str) -> StreamlitPage:
        """Return the hidden page at an address that opens another page with what to use instead."""

        def leave() -> None:
            url_state.miss_removed_page(name)
            st.switch_page(pages[removed.INSTEAD.get(name, "explore")])

        return st.Page(leave, title="Explore", url_path=name, visibility="hidden")

    def merged_page(name: str, to: str, names: dict[str, str], more: dict[str, str]) -> StreamlitPage:
        """Return the hidden page at an old address that opens the page `to` with its parameters, some under new
        `names`, and `more`."""

        def leave() -> None:
            query = {names.get(key, key): value for key, value in st.query_params.to_dict().items()}
            st.switch_page(pages[to], query_params=more | query)

        return st.Page(leave, title=to.capitalize(), url_path=name, visibility="hidden")

    hidden = [
        st.Page(to_explore, title="Explore", url_path="explore", visibility="hidden"),
        *map(removed_page, removed.PAGES),
        *(merged_page(name, *about) for name, about in MERGED.items()),
    ]

    def bar(shown: str) -> tuple[StreamlitPage, str]:
        """Draw the bar, in which the menu of one page is named after it; return the page to run and its name."""
        # First: for a page without an icon of the window's own, the bar would fetch its symbol from a host outside.
        st.set_page_config(
            page_title=f"{pages[shown].title} · Sightglass",
            page_icon=str(HERE / "assets/icon.png"),
            layout="wide",
            initial_sidebar_state=264,
        )
        menus = {
            page.menu_name(escape(menu), {name: title for name, (title, *_) in group.items()}, shown): [
                pages[name] for name in group
            ]
            for menu, group in menu_of_all.items()
        }
        # Expanded: in the drawer of a phone, pages beyond the twelfth would hide behind another button.
        selected = st.navigation({"": hidden, **menus}, position="top", expanded=True)
        return selected, next((name for name in pages if pages[name] is selected), "explore")

    with signed_in.running():
        menu_of_all = MENU | signed_in.menu()
        pages = {name: make_page(name, *about) for group in menu_of_all.values() for name, about in group.items()}
        # Streamlit says which page is wanted only when it is given the bar: at first it is drawn for the page before.
        before = state.of(state.Navigation).page or "explore"
        current, shown = bar(before)
        if shown != before:
            current, shown = bar(shown)
        # Where the sidebar is folded, or a page has none, the logo in the bar is as wide: the menus do not move.
        st.logo(str(HERE / "assets/logo.svg"), icon_image=str(HERE / "assets/logo-wide.svg"), size="large")
        # The name takes no place, and no gap.
        with st.container(gap=None):
            page_title(pages[shown].title, links=[menu for menu, group in menu_of_all.items() if len(group) == 1])
            with st.container():
                current.run()
