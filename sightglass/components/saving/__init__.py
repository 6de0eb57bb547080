"""Save, Export and Add to deck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page
from sightglass.components.session.markdown import sentence
from sightglass.components.views import charts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.components.saving.slides import Draft
    from sightglass.components.viewer import Look
    from sightglass.components.views.charts import Files
    from sightglass.explain import Explanation
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import Similarity


def save_and_export(
    screen: str,
    rows: Callable[[Look], Sequence[Files]],
    *,
    saved: Sequence[tuple[Explanation, int]] = (),
    pair: tuple[Similarity, Context] | None = None,
    view: bool = True,
    more: Callable[[], None] | None = None,
    beside: Callable[[], None] | None = None,
    slide: Draft | None = None,
) -> None:
    """Draw *Save*, *Export* and *Add to deck* for the page's maps.

    `saved`: what Save saves, explanations with the index of the map, or instead of them the `pair` of
    pictures that the page compares; without either there is only Export.
    `rows`: returns what Export offers, given the settings of the page's viewer; it is called once Export is open, and
    each file is made when its button is pressed. `view`: the page has a viewer, whose picture is offered as shown.
    `slide`: makes the scene of the view, given the same settings; without it there is no *Add to deck*.
    `more` is drawn at the end of Export, `beside` right of its button: what Save says comes last and moves nothing.

        saving.save_and_export("similarity", lambda look: [Files("Data", "Numbers.", [("JSON", "a.json", make)])])
    """

    def rest() -> None:
        _export(screen, rows, view, more)
        if slide is not None:
            slides.button(screen, slide)
        if beside is not None:
            beside()

    if history_store.off():
        rest()
    elif pair is not None:
        history_store.keep_pair(*pair, screen=screen, beside=rest)
    elif saved:
        history_store.keep(saved, screen=screen, beside=rest)
    else:
        rest()
    if slide is not None:
        slides.draw_added_link(screen)


def _export(screen: str, rows: Callable[[Look], Sequence[Files]], view: bool, more: Callable[[], None] | None) -> None:
    def show() -> None:
        look = slides.view_settings(f"view-files-{screen}") if view else {}
        try:
            listed = rows(look)
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")
            return
        for row in listed:
            with st.container(gap="xsmall"):
                st.markdown(f"**{row.title}**", help=row.about)
                with st.container(horizontal=True, gap="xsmall"):
                    for label, file, make in row.files:
                        charts.download(label, make, file, key=f"export-{screen}-{file}", help=file)
        if more is not None:
            more()

    # A popover that is filled after it was opened is placed as if it were empty, and cut off at the window's end.
    help = "Download files: the picture as you see it, figures, reports, clips and data."
    icon, key = ":material/download:", f"export-{screen}"
    page.button_for_window("Export", show, icon=icon, key=key, help=help, width="medium")
