"""Draw one record and its controls."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components import check_cards
from sightglass.components.saving import slides
from sightglass.components.session import history_store, reopen, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.viewer import Box, Map, Pane, View, ViewerOptions, ViewerScene, send_texts, viewer
from sightglass.components.views import charts, panels, tables
from sightglass.components.widgets import rows
from sightglass.deck import rows as slide_rows
from sightglass.deck import views
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import NBSP, megabytes, percent, plural
from sightglass.explain.rendering.marks import Mark
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.task import Answer
from sightglass.export import command
from sightglass.pages.history.files import AnnotatedRecord, archive, files, mark, marking, pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene as DeckScene
    from sightglass.explain.picture.image import Image
    from sightglass.history import Record, SavedMap
    from sightglass.history.rows import RemovedRecords

LOOK, MARK = "look", "mark"
UNDO = 10.0
"""Seconds for which a deletion can be undone."""


@dataclass
class Browsing:
    """State of the page between its runs."""

    turn: str = field(default_factory=lambda: secrets.token_hex(4))
    """A new one clears the grid's selection."""
    problem: str = ""
    deleted: str = ""
    """A sentence about what was deleted."""
    removed: tuple[RemovedRecords, float] | None = None
    """What was deleted last, and when (`time.monotonic`)."""
    filters: tuple[Any, ...] = ()
    pages: int = 1
    """Pages of the grid that are shown with these filters."""

    def new_turn(self) -> None:
        """Clear the grid's selection."""
        self.turn = secrets.token_hex(4)


def show(record: Record) -> None:
    """Draw the record."""
    image, maps = files(record)
    left, right = st.columns([3, 1], gap="medium")
    index = record.index if record.index < len(maps) else 0
    with right:
        if maps:
            st.markdown("### Predictions")
            items = [Answer(item.label, tell_score(record, item.score), item.score or 0.0) for item in maps]
            index = rows(items, key=f"history-rows-{record.id}", chosen=index)
            st.markdown("### What the map says")
            numbers(maps[index])
            if (seal := record.checks_of(index)) is not None:
                st.caption(f"Checks: {seal.line}", help="  \n".join(escape(mark.sentence) for mark in seal.checks))
        st.markdown("### Note and tags")
        history_store.edit_note(record, [record.id], key=f"history-{record.id}")
    with left:
        way = _way(record, maps)
        if way == MARK:
            marking(record.id, index)
        else:
            view = _viewer(record, image, maps, index)
            send_texts(view, [item.looks for item in maps], [None] * len(maps), key=f"history-words-{record.id}")
            if record.marks:
                single = len(record.marks) == 1
                hidden = f"{plural(len(record.marks), 'mark')} {'is' if single else 'are'} hidden here"
                st.button(
                    f"{hidden}: show {'it' if single else 'them'}",
                    icon=":material/draw:",
                    type="tertiary",
                    on_click=_annotate,
                    args=(record.id,),
                    help="View draws the maps without marks; Annotate shows them.",
                )
        _below(record, image, maps, index)
        if maps:
            _proof(record, maps[index], index)


def _way_key(id: str) -> str:
    return f"history-way-{id}"


def _annotate(id: str) -> None:
    st.session_state[_way_key(id)] = MARK


def _way(record: Record, maps: Sequence[SavedMap]) -> str:
    if not maps:
        return LOOK
    key, widgets, opened = _way_key(record.id), st.session_state, state.of(AnnotatedRecord)
    if key not in widgets or (widgets[key] == LOOK and opened.of and opened.last != record.marks):
        # Opened from elsewhere, or others annotated it meanwhile: start with the marks that are saved now.
        state.forget(AnnotatedRecord)
    # Marks are shown first where there are any.
    widgets.setdefault(key, MARK if record.marks else LOOK)
    return str(
        st.segmented_control(
            "Way",
            [LOOK, MARK],
            format_func={LOOK: ":material/visibility: View", MARK: ":material/draw: Annotate"}.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
            help="View: the maps in the viewer. Annotate: draw arrows, circles and words on the chosen map.",
        )
    )


def tell_score(record: Record, score: float | None) -> str:
    """Return a score as text; empty for none."""
    if score is None:
        return ""
    return task_of(record.task).text(score)


def panel_map(
    item: SavedMap, record: Record, place: int | None = None, *, title: str | None = None, note: str | None = None
) -> Map:
    """Return a saved map for the viewer; `place`: of its file."""
    recipe, view = record.checked_recipe, record.view
    if place is not None:
        view = view.model_copy(update={"index": place, "label": item.label[:200]})
    return Map(
        title=title or item.label,
        note=note if note is not None else tell_score(record, item.score),
        values=item.values,
        extent=item.extent,
        seen=item.seen,
        raw=item.raw,
        shared=item.shared,
        cells=item.cells,
        kind=item.kind,
        unit=item.unit,
        recipe=(recipe, view) if recipe else None,
    )


def boxes(maps: Sequence[SavedMap], index: int) -> tuple[Box, ...]:
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", place, place == index, marks=(Mark("polygon", p.outline),))
        for place, item in enumerate(maps)
        for p in item.boxes
        if p.box is not None
    )


def _viewer(record: Record, image: Image, maps: Sequence[SavedMap], index: int) -> View:
    drawn = tuple(panel_map(item, record, place) for place, item in enumerate(maps))
    panes = [Pane(maps=drawn) if maps else panels.plain(image)]
    scene = ViewerScene(image.pixels, image.sha256, panes, boxes(maps, index), image.jpeg, record.picture_name)
    return viewer(scene, ViewerOptions(beside=True), key=f"history-viewer-{record.id}")


def numbers(item: SavedMap) -> None:
    """Draw the most telling numbers of a map."""
    if item.state != "ok":
        st.caption(charts.NOTHING)
        return
    charts.half_heat(item.statistics, "of the visible area")


def _below(record: Record, image: Image, maps: Sequence[SavedMap], index: int) -> None:
    # Not the finding that is the page's heading.
    findings = [finding for finding in record.findings if finding.text != record.headline]
    if findings and index == record.index:
        charts.lines(findings)
    with st.container(horizontal=True, vertical_alignment="center"):
        _open_again(record, image, maps)
        _downloads(record, maps, index)
        slides.button("history", partial(_slide, record, image, maps, index), records=[record.id])
        confirm_record_deletion(record)
        _all(record, maps, index)
        slides.draw_added_link("history")
    st.caption(about(record))


def make_slide(record: Record) -> tuple[DeckScene, Sequence[str]]:
    """Return the slide of a saved record, and its id."""
    if record.damaged:
        raise Problem(f"{record.picture_name} cannot be shown: {record.damaged}")
    if record.pair is not None:
        return slide_rows.of_pair(pair(record), record.headline), (record.id,)
    image, maps = files(record)
    return views.of_record(record, image, maps, history_store.store().proof(record, record.index)), (record.id,)


def _slide(record: Record, image: Image, maps: Sequence[SavedMap], index: int, look: Look) -> DeckScene:
    view = record.view.model_copy(update={"settings": {**record.view.settings, **look}})
    saved_proof = history_store.store().proof(record, index)
    return views.of_record(replace(record, index=index, view=view), image, maps, saved_proof)


def _proof(record: Record, item: SavedMap, index: int) -> None:
    """Draw the saved proof of the chosen map, if any."""
    try:
        if (saved_proof := history_store.store().proof(record, index)) is None:
            return
    except Problem as problem:
        st.error(sentence(problem), icon=":material/error:")
        return
    st.markdown("### Proof")
    check_cards.draw_proof(saved_proof, detects=bool(item.boxes))


def describe(record: Record) -> str:
    """Return `demo-cls-m, GradCAM at layer4 (Where is it?)`."""
    part = record.recipe.part if record.recipe else ""
    return describe_setup(record.model, record.method, record.layers, part, record.task)


def about(record: Record) -> str:
    """Return `demo-cls-m, GradCAM at layer4 (Where is it?); saved 20 Nov 2026…`"""
    return f"{describe(record)}; saved {history_store.exact(record.created)}; {size(record.bytes)}."


def size(nbytes: int) -> str:
    """Return a size, with 1,000,000 bytes to a MB."""
    if nbytes < 1e5:
        return f"{nbytes / 1e3:,.0f}{NBSP}kB"
    return f"{nbytes / 1e6:,.1f}{NBSP}MB" if nbytes < 1e7 else megabytes(nbytes)


def _open_again(record: Record, image: Image, maps: Sequence[SavedMap]) -> None:
    def take() -> None:
        assert record.recipe is not None
        try:
            reopen.result(image, record.recipe, record.view)
        except Problem as problem:
            state.of(Browsing).problem = str(problem)
            return
        # A damaged proof is said of the record, and made again elsewhere.
        with contextlib.suppress(Problem):
            explain_job.bring(record, maps, history_store.store().proofs(record))

    st.button(
        "Open in Detect" if record.view.screen == task_of(record.task).screen == "detect" else "Open in Explore",
        icon=":material/visibility:",
        on_click=take,
        disabled=record.recipe is None,
        help="Open the same picture, model, method, layers and class there; the model must be on this machine.",
    )


def _downloads(record: Record, maps: Sequence[SavedMap], index: int) -> None:
    """Draw the downloads; each file is made when it is requested."""
    stem = record.picture_name.rsplit(".", 1)[0] or "record"
    if maps:
        charts.download(
            "With marks, .png" if record.marks else "Picture, .png",
            partial(mark, record.id, index),
            f"{stem}-marked.png",
            icon=":material/download:",
            key=f"history-marked-{record.id}",
            help="A PNG of the map with its marks, in full size; drop it on Explore to open this view again.",
        )
    with_proof = ", the proof" if record.proofs else ""
    everything(
        record, stem, f"the picture, the raw maps{with_proof}, the recipe, all numbers, your note, tags and marks"
    )


def everything(record: Record, stem: str, what: str) -> None:
    """Draw the download of a record's files; `what`: its contents."""
    charts.download(
        "Everything, .zip",
        partial(archive, [record.id]),
        f"{stem}-{record.id}.zip",
        icon=":material/download:",
        key=f"history-everything-{record.id}",
        help=f"A zip with {what}.",
    )


def confirm_record_deletion(record: Record) -> None:
    """Draw the button for deleting one record."""
    confirm_deletion(
        [record.id],
        f"Delete it permanently, with its note, tags and marks? This frees up to {size(record.bytes)}: files "
        "shared with other records stay.",
        # Opened for one record, it must not be open for the next one.
        key=f"history-delete-{record.id}",
        help="Delete it from History; asks for confirmation.",
    )


def confirm_deletion(ids: Sequence[str], question: str, *, key: str, help: str) -> None:
    """Draw the button for deleting records, and its question."""
    with st.popover("Delete", icon=":material/delete:", key=key, help=help):
        st.markdown(question)
        st.button(
            "Delete permanently",
            icon=":material/delete_forever:",
            on_click=delete,
            args=(ids,),
            help=f"You can undo this for {UNDO:.0f} seconds.",
        )


def delete(ids: Sequence[str]) -> None:
    """Delete records in a callback and report the freed space.

    Not the next record: its own Delete would be where this one's was.
    """
    browsing = state.of(Browsing)
    try:
        removed = history_store.store().remove(ids)
    except Problem as problem:
        browsing.problem = str(problem)
        return
    browsing.deleted = f"{plural(len(ids), 'record')} deleted, {size(removed.freed)} freed."
    browsing.removed = (removed, time.monotonic()) if removed.records else None
    browsing.new_turn()
    st.query_params.pop("kept", None)


def offer_undo() -> None:
    """Draw the button for undoing a deletion within `UNDO` seconds."""
    browsing = state.of(Browsing)
    if browsing.removed is None or browsing.removed[1] + UNDO <= time.monotonic():
        browsing.removed = None
        return

    many = len(browsing.removed[0].records)

    # By itself, so that the offer ends when its time is over.
    @st.fragment(run_every=UNDO + 0.1)
    def offer() -> None:
        kept = browsing.removed
        # Its line stays until the next click: nothing below it moves under the pointer.
        over = kept is None or kept[1] + UNDO <= time.monotonic()
        count = len(kept[0].records) if kept is not None else many
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/delete: {plural(count, 'record')} deleted.", width="content")
            help = "Bring back what was deleted."
            if not st.button("Undo", icon=":material/undo:", key="history-undo", disabled=over, help=help):
                return
        if kept is None:
            return
        browsing.removed = None
        try:
            history_store.store().put_back(kept[0])
        except Problem as problem:
            browsing.problem = str(problem)
        st.rerun()

    offer()


def _all(record: Record, maps: Sequence[SavedMap], index: int) -> None:
    def window() -> None:
        if maps:
            st.markdown(f"### {escape(maps[index].label)}")
            tables.of_maps([("value", maps[index].statistics)], height=360)
        st.markdown("### Recipe")
        if (recipe := record.recipe_of(index)) is None:
            st.caption("This record's recipe is damaged.")
            return
        st.code(command.line(recipe), language="shell", wrap_lines=True)
        st.json(recipe.model_dump(mode="json"), expanded=False)

    charts.button_for_numbers(window, "Every statistic, and the recipe.")
