"""Draw one saved view: maps, numbers, note, and what can be done with it."""

from __future__ import annotations

import contextlib
import io
import time
import zipfile
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.choices import gallery_picker
from sightglass.components.saving import slides
from sightglass.components.session import history_store, page, reopen, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.viewer import Box, Map, Pane, ViewerOptions, ViewerScene, send_texts, viewer
from sightglass.components.views import charts, panels, tables
from sightglass.components.views import pairs as pair_views
from sightglass.components.widgets import rows
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import NBSP, megabytes, percent, plural
from sightglass.explain.rendering.marks import Mark
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.task import Answer
from sightglass.history import encoding
from sightglass.history import slides as record_slides
from sightglass.report import command, similarity_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json
    from sightglass.components.viewer import Look
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import Record, SavedMap
    from sightglass.report.view import View

    Content = tuple[Image, tuple[SavedMap, ...]]
    Opened = tuple[str, Record, Image, tuple[SavedMap, ...]]


@dataclass
class Browsing:
    """State of the page between its runs."""

    problem: str = ""
    ticked: list[str] = field(default_factory=list)
    """Selected records, in the order of selection."""
    removed: tuple[str, ...] = ()
    """What was deleted last, and when (`time.monotonic`)."""
    removed_at: float = 0.0
    filters: Json = field(default_factory=dict)
    pages: int = 1
    """Pages of the tiles that are shown with these filters."""


@st.cache_resource(show_spinner=False, max_entries=8)
def _files(_record: Record, folder: str, id: str) -> Content:
    del folder, id  # the cache's key
    store = history_store.store()
    return store.picture(_record), store.heatmaps(_record)


def files(record: Record) -> Content:
    """Return a record's picture and maps, cached: they never change. Raises Problem."""
    if record.damaged:
        raise Problem(record.damaged)
    return _files(record, str(history_store.store().folder), record.id)


def close() -> None:
    """Go back to all records."""
    st.query_params.pop("kept", None)


def untick() -> None:
    state.of(Browsing).ticked.clear()


def show(record: Record, heading: DeltaGenerator) -> None:
    """Draw the record, its headline in `heading`. Raises Problem where it is damaged."""
    if record.pair:
        _show_pair(record, heading)
        return
    image, maps = files(record)
    heading.markdown(f"## {record.headline}")
    page.say_problem(state.of(Browsing))
    left, right = st.columns([3, 1], gap="medium")
    index = record.index if record.index < len(maps) else 0
    with right:
        if maps:
            st.markdown("### Predictions")
            items = [Answer(item.label, tell_score(record, item.score), item.score or 0.0) for item in maps]
            index = rows(items, key=f"saved-rows-{record.id}", chosen=index)
            st.markdown("### What the map says")
            if maps[index].state == "ok":
                charts.half_heat(maps[index].statistics, "of the visible area")
            else:
                st.caption(charts.NOTHING)
            if (saved := record.proof_of(index)) is not None:
                st.caption(f"Proof: {escape(saved.sentence)}")
            if (checks := record.checks_of(index)) is not None:
                help = "  \n".join(escape(check.sentence) for check in checks.checks)
                st.caption(f"Checks: {checks.line}", help=help)
        st.markdown("### Note and tags")
        history_store.edit_note(record, [record.id], key=f"saved-{record.id}")
    with left:
        drawn = tuple(panel_map(item, record) for item in maps)
        panes = [Pane(maps=drawn) if maps else panels.plain(image)]
        scene = ViewerScene(image.pixels, image.sha256, panes, boxes(maps, index), image.jpeg)
        view = viewer(scene, ViewerOptions(beside=True), key=f"saved-viewer-{record.id}")
        send_texts(view, [item.looks for item in maps], key=f"saved-words-{record.id}")
        if maps and record.marks:
            # Of former versions, which had a board to draw on.
            marked = state.latest("saved-marked", (record.id, index, record.marks), lambda: mark(record.id, index))
            st.image(marked, caption=f"With {plural(len(record.marks), 'mark')}")
        if index == record.index:
            charts.lines([finding for finding in record.findings if finding.text != record.headline])
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same picture, model, method, layers and class there; the model must be on this machine."
            _reopen("Open in Explore", partial(_take, record, image, maps), help)
            if maps:
                label = "With marks, .png" if record.marks else "Picture, .png"
                help = "A PNG of the map with its marks, in full size; drop it on Explore to open this view again."
                _download(record, label, partial(mark, record.id, index), "-marked.png", help)
            _download_all(record)
            slides.button("saved", partial(make_slide, record, index=index))
            draw_delete([record.id], key=f"saved-delete-{record.id}")
            _all_numbers(record, maps, index)
            slides.draw_added_link("saved")
        st.caption(about(record))


def tell_score(record: Record, score: float | None) -> str:
    """Return a score as text; empty for none."""
    return "" if score is None else task_of(record.task).text(score)


def panel_map(item: SavedMap, record: Record) -> Map:
    """Return a saved map for the viewer."""
    return Map(
        title=item.label,
        note=tell_score(record, item.score),
        values=item.values,
        extent=item.extent,
        seen=item.seen,
        raw=item.raw,
        shared=item.shared,
        cells=item.cells,
        kind=item.kind,
        unit=item.unit,
    )


def boxes(maps: Sequence[SavedMap], index: int) -> tuple[Box, ...]:
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", place, place == index, marks=(Mark("polygon", p.outline),))
        for place, item in enumerate(maps)
        for p in item.boxes
        if p.box is not None
    )


def make_slide(record: Record, look: Look, index: int | None = None) -> View:
    """Return the slide of a saved record, of its map at `index`."""
    store = history_store.store()
    if record.pair is not None:
        return similarity_files.pair_view(store.similarity(record), record.headline)
    image, maps = files(record)
    view = record.view.model_copy(update={"settings": {**record.view.settings, **look}})
    record = replace(record, index=record.index if index is None else index, view=view)
    return record_slides.record_view(record, image, maps, store.proof(record, record.index))


def title(record: Record) -> str:
    """Return `minibus 62 %`, or the names of two pictures and their similarity."""
    if record.pair is not None:
        return f"{record.picture_name} and {record.pair.name} {record.score or 0:.2f}"
    first = next((answer.label for answer in record.predictions), "nothing found")
    return f"{record.label or first} {tell_score(record, record.score)}".strip()


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


def _reopen(label: str, take: Callable[[], None], help: str) -> None:
    """Draw the button that opens a record on the page that made it."""

    def go() -> None:
        try:
            take()
        except Problem as problem:
            state.of(Browsing).problem = str(problem)

    st.button(label, icon=":material/visibility:", on_click=go, help=help)


def _take(record: Record, image: Image, maps: Sequence[SavedMap]) -> None:
    assert record.recipe is not None
    reopen.result(image, record.recipe, record.view)
    # A damaged proof is said of the record, and made again elsewhere.
    with contextlib.suppress(Problem):
        explain_job.bring(record, maps, history_store.store().proofs(record))


def mark(id: str, index: int) -> bytes:
    """Return the marked map in full size, as PNG with recipe."""
    record = history_store.store().get(id)
    image, maps = files(record)
    return encoding.mark(record, image, maps[index], index)


def archive(ids: Sequence[str]) -> bytes:
    """Return a zip with a folder of all files per record."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in history_store.store().export(ids):
            packed.writestr(name, data)
    return out.getvalue()


def _download(record: Record, label: str, make: Callable[[], bytes], end: str, help: str) -> None:
    stem, key = record.picture_name.rsplit(".", 1)[0] or "record", f"saved-{end}-{record.id}"
    charts.download(label, make, f"{stem}{end}", icon=":material/download:", key=key, help=help)


def _download_all(record: Record) -> None:
    help = "A zip with the picture, the raw maps, all numbers, your note, tags and marks."
    _download(record, "Everything, .zip", partial(archive, [record.id]), f"-{record.id}.zip", help)


def draw_delete(ids: Sequence[str], *, key: str) -> None:
    """Draw the button for deleting records."""

    def delete() -> None:
        browsing = state.of(Browsing)
        try:
            history_store.store().remove(ids)
        except Problem as problem:
            browsing.problem = str(problem)
            return
        browsing.removed, browsing.removed_at = tuple(ids), time.monotonic()
        untick()
        # Not to the next record, whose Delete would be in the same place.
        close()

    help = "Delete it, with its note, tags and marks; you can undo this for a minute."
    st.button("Delete", icon=":material/delete:", key=key, on_click=delete, help=help)


def _all_numbers(record: Record, maps: Sequence[SavedMap], index: int) -> None:
    def window() -> None:
        if maps:
            tables.of_maps([("value", maps[index].statistics)], height=360)
        if (recipe := record.recipe_of(index)) is not None:
            st.code(command.line(recipe), language="shell", wrap_lines=True)

    charts.button_for_numbers(window, "Every statistic, and the command that makes the map again.")


def _show_pair(record: Record, heading: DeltaGenerator) -> None:
    """Draw the record of two compared pictures."""
    found: Similarity = history_store.store().similarity(record)
    heading.markdown(f"## {escape(record.headline)}")
    page.say_problem(state.of(Browsing))
    left, right = st.columns([3, 1], gap="medium")
    with left:
        pair_views.draw_pair(found, key=f"saved-pair-maps-{record.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same two pictures, model, method and layers there; the model must be on this machine."
            _reopen("Open in Compare", partial(_take_pair, found), help)
            _download_all(record)
            draw_delete([record.id], key=f"saved-delete-{record.id}")
        st.caption(about(record))
    with right:
        assert record.pair is not None
        pair_views.explain_score(found, record.pair.context)
        st.markdown("### Note and tags")
        history_store.edit_note(record, [record.id], key=f"saved-{record.id}")
        for note in record.notes:
            st.caption(f":material/info: {note}")


def _take_pair(found: Similarity) -> None:
    reopen.pair(found)
    gallery_picker.compare_with(found.gallery.image)
