"""Draw one saved view: its maps, note, tags and marks, and what can be done with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.explain.maps.heatmap import rescale
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import megabytes, percent, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.marks import Mark as ViewerMark
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.task import Answer
from sightglass.explain.whatif import edits
from sightglass.history import Mark, encoding
from sightglass.history.records import draw_marks
from sightglass.report import similarity_files
from sightglass.report.result_folder import zip_files
from sightglass.ui import checks as page_checks
from sightglass.ui import painter, saving
from sightglass.ui.choices import gallery_picker
from sightglass.ui.saving import slides
from sightglass.ui.session import history_store, page, reopen, state
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.viewer import Box, Map, Pane, ViewerOptions, send_texts, viewer
from sightglass.ui.viewer.payload import jpeg
from sightglass.ui.views import charts, panels
from sightglass.ui.views import pairs as pair_views
from sightglass.ui.widgets import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.history import Record
    from sightglass.report.view import View
    from sightglass.ui.viewer import ViewSettings

    Maps = Sequence[Heatmap]
PAINTER = "saved-painter"
MAX_EXPORT = 250_000_000
"""Bytes of files in one archive: it is made in memory."""
PENS = (0.005, 0.01, 0.02)
"""Widths of the pen, as shares of the picture's longer side."""


@dataclass
class Browsing:
    """State of the page between its runs."""

    ticked: list[str] = field(default_factory=list)
    """Selected records, in the order of selection."""
    removed: tuple[str, ...] = ()
    """What was deleted last, and when (`time.monotonic`)."""
    removed_at: float = 0.0


def read(record: Record) -> tuple[Image, Maps]:
    """Return a record's picture and maps; the latest ones are cached. Raises Problem."""
    if record.damaged:
        raise Problem(record.damaged)
    store = history_store.store()
    return state.latest("saved-files", record.id, lambda: (store.picture(record), store.heatmaps(record)))


def close() -> None:
    """Go back to all records."""
    st.query_params.pop("kept", None)


def draw(id: str) -> None:
    """Draw one record; offer to delete a damaged one."""
    with st.container(gap=None):
        icon, help = ":material/arrow_back:", "Back to all views."
        st.button("All views", icon=icon, type="tertiary", on_click=close, help=help)
        heading = st.container()
    record = None
    try:
        record = history_store.store().get(id)
        (_draw_map if record.pair is None else _draw_pair)(record, heading)
    except Problem as problem:
        heading.markdown("## This view cannot be shown")
        st.error(sentence(problem), icon=":material/error:")
        if record is not None:
            draw_delete([id], key=f"saved-delete-{id}")


def _draw_map(record: Record, heading: DeltaGenerator) -> None:
    image, maps = read(record)
    heading.markdown(f"## {record.headline}")
    page.say_problem()
    left, right = st.columns([3, 1], gap="medium")
    index = record.index if record.index < len(maps) else 0
    with right:
        if maps:
            st.markdown("### Predictions")
            items = [Answer(info.label, tell_score(record, info.score), info.score or 0.0) for info in record.maps]
            index = rows(items, key=f"saved-rows-{record.id}", chosen=index)
            if record.maps[index].state == "ok":
                half = percent(record.maps[index].statistics.half_heat_area)
                charts.draw_metric(charts.HALF, half, "of the visible area")
            else:
                st.caption(charts.NOTHING)
            if (saved := record.proof_of(index)) is not None:
                st.caption(f"Proof: {escape(saved.sentence)}")
            if (checks := record.checks_of(index)) is not None:
                help = "  \n".join(escape(check.sentence) for check in checks.checks)
                st.caption(f"Checks: {page_checks.describe(checks)}.", help=help)
        history_store.edit_note(record, [record.id], key=f"saved-{record.id}")
    with left:
        panes = [Pane(maps=_list_panel_maps(record, maps)) if maps else panels.plain_pane(image)]
        boxes = _list_boxes(record, index)
        marked = image if not record.marks else Image(draw_marks(image.pixels, record.marks), image.name)
        view = viewer(marked, panes, boxes, ViewerOptions(beside=True), key=f"saved-viewer-{record.id}")
        send_texts(view, [info.looks for info in record.maps], key=f"saved-words-{record.id}")
        if index == record.index:
            charts.draw_lines([finding for finding in record.findings if finding.text != record.headline])
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same picture, model, method, layers and class there; the model must be on this machine."
            go = page.keeping_problem()(partial(_reopen, record, image))
            st.button("Open in Explore", icon=":material/visibility:", on_click=go, help=help)
            saving.link_button()
            if maps:
                help = "Draw on the map by hand; each stroke is saved."
                window = partial(_draw_on, record, image, maps[index], index)
                page.button_for_window(
                    "Draw on it", window, icon=":material/draw:", help=help, key="saved-draw", width="large"
                )
                make, file = partial(encoding.overlay, record, image, maps[index], index), f"saved-{record.id}.png"
                help, icon = "A PNG of the map with its marks and its recipe.", ":material/download:"
                charts.download("Picture, .png", make, file, icon=icon, key=f"saved-png-{record.id}", help=help)
            _draw_rest(record, index)


def _draw_rest(record: Record, index: int) -> None:
    """Draw the actions that all records have, and how the record was made."""
    draw_export([record], "Everything")
    slides.button("saved", partial(make_slide, record, index=index))
    draw_delete([record.id], key=f"saved-delete-{record.id}")
    st.caption(f"{describe(record)}; saved {history_store.exact(record.created)}.", width="content")


def tell_score(record: Record, score: float | None) -> str:
    """Return a score as text; empty for none."""
    return "" if score is None else task_of(record.task).text(score)


def _list_panel_maps(record: Record, maps: Maps) -> tuple[Map, ...]:
    """Return the saved maps for the viewer."""
    several = len(maps) > 1 and len(maps[0].raw) > 1
    # Several layers have no single raw value at full heat: on the shared scale they are another map.
    shared = [item.content for item in rescale(maps, "shared")] if several else [None] * len(maps)
    return tuple(
        Map(
            title=info.label,
            note=tell_score(record, info.score),
            values=item.content,
            extent=item.geometry.extent,
            seen=item.seen,
            raw=item.ends or ((0.0, 0.0) if len(item.raw) == 1 else None),
            shared=on_shared,
            cells=item.cells,
            kind=item.kind,
            unit=info.unit,
        )
        for item, info, on_shared in zip(maps, record.maps, shared, strict=True)
    )


def _list_boxes(record: Record, index: int) -> tuple[Box, ...]:
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", i, i == index, marks=(ViewerMark("polygon", p.outline),))
        for i, info in enumerate(record.maps)
        for p in info.boxes
        if p.box is not None
    )


def make_slide(record: Record, look: ViewSettings, index: int | None = None) -> View:
    """Return the slide of a saved record, of its map at `index`."""
    store = history_store.store()
    if record.pair is not None:
        return similarity_files.pair_view(store.similarity(record), record.headline)
    image, maps = read(record)
    view = record.view.model_copy(update={"settings": {**record.view.settings, **look}})
    record = replace(record, index=record.index if index is None else index, view=view)
    return encoding.record_view(record, image, maps, store.proof(record, record.index))


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


def _reopen(record: Record, image: Image) -> None:
    assert record.recipe is not None
    reopen.open_result(image, record.recipe, record.view)


def _draw_on(record: Record, image: Image, heatmap: Heatmap, index: int) -> None:
    """Draw the painter over the map; save each stroke as a mark."""
    id, longer = f"marks of {record.id}", max(image.width, image.height)
    others = tuple(mark for mark in record.marks if mark.kind != "line")
    current = painter.Painting({"fill": "mean", "keep": False, "marks": list_strokes(record.marks, image)})
    if (sent := painter.last_edit(PAINTER)).get("id") == id and current.take(sent):
        marks, store = (*others, *list_marks(current.edit, image)), history_store.store()
        with page.saying_problems():
            if marks != store.get(record.id).marks:
                store.annotate(record.id, marks=marks)
    key, plain = (record.id, index, others), replace(record, marks=others)
    make = partial(encoding.overlay, plain, image, heatmap, index)
    drawn = state.latest("saved-drawn", key, lambda: Image.open(make()).pixels)
    painter.draw(
        current,
        [jpeg(drawn, longer, f"{key}")],
        key=PAINTER,
        id=id,
        name=record.picture_name,
        size=(image.width, image.height),
        brushes=PENS,
        mean=[255, 255, 255],
        pen=True,
    )


def list_marks(edit: Json, image: Image) -> list[Mark]:
    """Return the painter's strokes as marks in pixels."""
    width, height = image.width, image.height
    return [
        Mark("line", tuple((x * width, y * height) for x, y in mark.points), width=mark.size * max(width, height))
        for mark in edits.parse(edit).marks
        if mark.kind == "brush"
    ]


def list_strokes(marks: Sequence[Mark], image: Image) -> list[Json]:
    """Return lines as the painter's strokes; inverse of `list_marks`."""
    width, height = image.width, image.height
    return [
        {
            "kind": "brush",
            "points": [share for x, y in mark.points for share in (x / width, y / height)],
            "size": mark.width / max(width, height),
        }
        for mark in marks
        if mark.kind == "line"
    ]


def draw_export(records: Sequence[Record], label: str) -> None:
    """Draw the download of records' files as an archive made on request."""
    if (total := sum(record.bytes for record in records)) > MAX_EXPORT:
        st.caption(f"To export, tick at most {megabytes(MAX_EXPORT)}: these are {megabytes(total)}.", width="content")
        return

    def make() -> bytes:
        return zip_files(history_store.store().export([record.id for record in records]))

    help = f"A zip with a folder for each of {plural(len(records), 'view')}: pictures, raw maps, numbers and notes."
    file, key = f"saved-{records[0].id if len(records) == 1 else len(records)}.zip", f"saved-export-{label}"
    charts.download(f"{label}, .zip", make, file, key=key, help=help, icon=":material/download:")


def draw_delete(ids: Sequence[str], *, key: str) -> None:
    """Draw the button for deleting records."""
    browsing = state.of(Browsing)

    @page.keeping_problem()
    def delete() -> None:
        history_store.store().remove(ids)
        browsing.removed, browsing.removed_at = tuple(ids), time.monotonic()
        browsing.ticked.clear()
        # Not to the next record, whose Delete would be in the same place.
        close()

    help = "Delete it, with its note, tags and marks; you can undo this for a minute."
    st.button("Delete", icon=":material/delete:", key=key, on_click=delete, help=help)


def _draw_pair(record: Record, heading: DeltaGenerator) -> None:
    """Draw the record of two compared pictures."""
    similarity = history_store.store().similarity(record)
    assert record.pair is not None
    heading.markdown(f"## {escape(record.headline)}")
    page.say_problem()

    @page.keeping_problem()
    def take() -> None:
        reopen.open_pictures(record.model, similarity.query.image, similarity)
        gallery_picker.compare_with(similarity.gallery.image)

    left, right = st.columns([3, 1], gap="medium")
    with left:
        pair_views.draw_pair(similarity, key=f"saved-pair-maps-{record.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same two pictures, model, method and layers there; the model must be on this machine."
            st.button("Open in Compare", icon=":material/visibility:", on_click=take, help=help)
            _draw_rest(record, 0)
    with right:
        pair_views.explain_score(similarity, record.pair.context)
        history_store.edit_note(record, [record.id], key=f"saved-{record.id}")
        for note in record.notes:
            st.caption(f":material/info: {note}")
