"""The menu Save: keep a view in Saved, or download its files; beside it Copy link and Add to deck."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.report import offers
from sightglass.ui.saving import slides
from sightglass.ui.session import history_store, page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.views import charts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.report.offers import Files
    from sightglass.ui.saving.slides import Draft
    from sightglass.ui.viewer import ViewSettings


def save_and_export(
    screen: str,
    rows: Callable[[ViewSettings], Sequence[Files]],
    *,
    saved: Sequence[tuple[Explanation | Similarity, Json]] = (),
    view: bool = True,
    slide: Draft | None = None,
) -> None:
    """Draw *Save*, *Copy link* and *Add to deck* for the page's maps.

    `saved`: what is kept in Saved, each with more arguments of `History.keep`: the `index` of an explanation's map,
    or the `context` of a pair; without any there are only files.
    `rows`: returns the files, given the settings of the page's viewer; it is called once the menu is open, and
    each file is made when its button is pressed. `view`: the page has a viewer, whose picture is offered as shown, and
    linked to.
    `slide`: makes the scene of the view, given the same settings; without it there is no *Add to deck*.

        saving.save_and_export("similarity", lambda look: [Files("Data", "Numbers.", [("JSON", "a.json", make)])])
    """

    def show() -> None:
        top = st.container()
        look = slides.view_settings(f"view-files-{screen}") if view else {}
        if saved and not history_store.off():
            with top, page.saying_problems():
                _draw_saved(screen, saved, look)
        with page.saying_problems():
            for row in rows(look):
                _draw_files(row, screen)

    # A popover that is filled after it was opened is placed as if it were empty, and cut off at the window's end.
    help = "Keep it in Saved, or download files: the picture as you see it, figures, reports, clips and data."
    page.button_for_window("Save", show, icon=":material/save_alt:", key=f"save-{screen}", help=help, width="medium")
    if view:
        link_button()
    if slide is not None:
        slides.button(screen, slide)


def link_button() -> None:
    """Draw the button that copies the address of the view, in the browser: `viewer.js`."""
    help = "Copy the address of this view as you see it."
    st.button("Copy link", icon=":material/link:", key="copy-link", help=help)


def of_map(explanation: Explanation, index: int) -> Callable[[ViewSettings], list[Files]]:
    """Return the maker of a map's files, with the proof of this session."""
    return lambda look: offers.map_downloads(explain_job.with_proofs(explanation), index, look)


def _draw_files(row: Files, screen: str) -> None:
    with st.container(gap="xsmall"):
        st.markdown(f"**{row.title}**", help=row.about)
        with st.container(horizontal=True, gap="xsmall"):
            for label, file, make in row.files:
                charts.download(label, make, file, key=f"export-{screen}-{file}", help=file)


def _draw_saved(screen: str, saved: Sequence[tuple[Any, Json]], look: ViewSettings) -> None:
    """Draw the button that keeps the view in Saved, or a link to its record with note and tags."""
    items = [(item if "context" in more else explain_job.with_proofs(item), more) for item, more in saved]
    records = [history_store.find(item, more.get("index", 0)) for item, more in items]

    @page.keeping_problem()
    def save() -> None:
        for record, (item, more) in zip(records, items, strict=True):
            if record is None:
                history_store.store().keep(item, look=dict(look), **more)

    page.say_problem()
    kept = [record for record in records if record is not None]
    if len(kept) < len(records):
        icon, help = ":material/bookmark_add:", "Save the picture, its maps, its checks and all numbers here."
        st.button("Keep it in Saved", icon=icon, key=f"keep-{screen}", type="primary", on_click=save, help=help)
        return
    st.page_link(
        page.script("saved"),
        label="See it in Saved",
        icon=":material/bookmark_added:",
        query_params={"kept": kept[0].id} if len(kept) == 1 else None,
        width="content",
    )
    history_store.edit_note(kept[0], [record.id for record in kept], key=f"keep-{screen}-{kept[0].id}")
