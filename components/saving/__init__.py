"""Save what a page shows to History, and export it as files: the two buttons of every page that has a result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Problem
from components.frontend import declare, no_callback
from components.session import history_store
from components.viewer import SETTINGS
from components.views import charts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from explain import Explanation

    Look = Mapping[str, bool | float | str]

_MODULES = ("../frontend/component.js", "view_files.js")
_component = declare("view_files", Path(__file__).parent, _MODULES)


@dataclass(frozen=True)
class Files:
    """One row of Export: a title, its help, and files, each a label, a file's name and what makes the file."""

    title: str
    about: str
    files: Sequence[charts.Offer]


def save_and_export(
    screen: str,
    rows: Callable[[Look], Sequence[Files]],
    *,
    saved: Sequence[tuple[Explanation, int]] = (),
    pair: history_store.Pair | None = None,
    view: bool = True,
    more: Callable[[], None] | None = None,
    beside: Callable[[], None] | None = None,
) -> None:
    """Draw *Save* and *Export* for what a page shows, in a horizontal container.

    `saved`: what Save puts into History, explanations with the index of the map, or instead of them the `pair` of
    pictures that the page compares; without either there is only Export.
    `rows`: returns what Export offers, given the settings of the page's viewer; it is called once Export is open, and
    each file is made when its button is pressed. `view`: the page has a viewer, whose picture is offered as shown.
    `more` is drawn at the end of Export, `beside` right of its button: what Save says comes last and moves nothing.

        saving.save_and_export("similarity", lambda look: [Files("Data", "All numbers.", [("JSON", "a.json", make)])])
    """

    def rest() -> None:
        _export(screen, rows, view, more)
        if beside is not None:
            beside()

    if pair is not None and not history_store.off():
        history_store.keep_pair(pair, screen=screen, beside=rest)
    elif saved and not history_store.off():
        history_store.keep(saved, screen=screen, beside=rest)
    else:
        rest()


def _export(screen: str, rows: Callable[[Look], Sequence[Files]], view: bool, more: Callable[[], None] | None) -> None:
    # A popover that is filled after it was opened is placed as if it were empty, and cut off at the window's end.
    help = "Download files: the picture as you see it, figures, reports, clips and data."
    if not st.button("Export", icon=":material/download:", key=f"export-{screen}", help=help):
        return

    @st.dialog("Export", width="medium", icon=":material/download:")
    def show() -> None:
        look = _view_files(screen) if view else {}
        try:
            listed = rows(look)
        except Problem as problem:
            st.error(str(problem), icon=":material/error:")
            return
        for row in listed:
            with st.container(gap="xsmall"):
                st.markdown(f"**{row.title}**", help=row.about)
                with st.container(horizontal=True, gap="xsmall"):
                    for label, file, make in row.files:
                        charts.download(label, make, file, key=f"export-{screen}-{file}", help=file)
        if more is not None:
            more()

    show()


def _view_files(screen: str) -> Look:
    """Draw the files of the view, which the viewer makes, and return its settings as the browser reports them."""
    result = _component(key=f"view-files-{screen}", data={}, on_settings_change=no_callback)
    try:
        given = json.loads(result.settings or "{}")
    except (TypeError, ValueError):
        return {}
    known = given.items() if isinstance(given, dict) else ()
    return {name: value for name, value in known if name in SETTINGS and isinstance(value, bool | int | float | str)}
