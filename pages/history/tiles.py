"""Draw records as a grid with bulk actions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.declare import declare, no_callback, packed_by_content
from sightglass.components.saving import slides
from sightglass.components.session import history_store, state
from sightglass.components.views import charts
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import task_of
from sightglass.pages.history import files
from sightglass.pages.history import record as record_view
from sightglass.pages.history.record import Browsing, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.history import Record, SearchResult


_component = declare("history_grid", __file__, script="grid", html='<div class="component grid" role="list"></div>')


@dataclass(frozen=True)
class Tile:
    """One picture and its texts; `about` says everything in one sentence, `marks` counts its marks."""

    id: str
    title: str
    score: str
    line: str
    when: str
    about: str
    tags: tuple[str, ...] = ()
    note: str = ""
    marks: int = 0
    damaged: str = ""


@dataclass(frozen=True)
class Clicked:
    """`opened`: for one run only. `chosen`: in the order of selection, including those no longer shown."""

    opened: str | None
    chosen: tuple[str, ...]


def grid(tiles: Sequence[Tile], pictures: Sequence[bytes], *, turn: str, key: str) -> Clicked:
    """Draw the grid of JPEG `pictures`; a new `turn` clears the selection."""
    data = pack(tiles, pictures, turn)
    result = _component(key=key, data=data, on_open_change=no_callback, on_chosen_change=no_callback)
    sent = result.chosen if isinstance(result.chosen, dict) and result.chosen.get("turn") == turn else {}
    ids = sent.get("ids")
    chosen = tuple(id_ for id_ in ids if isinstance(id_, str)) if isinstance(ids, list) else ()
    return Clicked(result.open if isinstance(result.open, str) else None, chosen)


def pack(tiles: Sequence[Tile], pictures: Sequence[bytes], turn: str) -> bytes:
    """Return the payload: [u32 header length][JSON][JPEG][JPEG]..., the same for the same tiles."""
    head = {"turn": turn, "chosen": [], "tiles": [asdict(tile) for tile in tiles]}
    return packed_by_content(head, pictures)[1]


PAGE = 24
MAX_SHOWN = 1000
"""Records on one page: beyond that, a search helps."""
MAX_EXPORT = 250_000_000
"""Bytes of files in one archive: it is made in memory."""


def draw(found: SearchResult, head: Any, *, narrowed: bool) -> None:
    """Draw the found records, and the ticked ones' actions in `head`."""
    browsing = state.of(Browsing)
    tiles, pictures = [], []
    for record in found.records:
        tiles.append(_tile(record))
        pictures.append(_thumbnail(record))
    clicked = grid(tiles, pictures, turn=browsing.turn, key="history-grid")
    records = {record.id: record for record in found.records}
    if clicked.opened in records:
        st.query_params["kept"] = str(clicked.opened)
        st.rerun()
    chosen = [records.get(item) or _hidden(item) for item in clicked.chosen[:MAX_SHOWN]]
    with head, st.container(horizontal=True, vertical_alignment="center"):
        ticked = [item for item in chosen if item is not None]
        _actions(found, ticked, set(records), narrowed=narrowed)
        _export(ticked or list(found.records), "Export" if ticked else "Export all")
    if len(found.records) < min(found.total, MAX_SHOWN):

        def more() -> None:
            browsing.pages += 1

        st.button(
            f"Show more ({found.total - len(found.records)} left)",
            icon=":material/expand_more:",
            on_click=more,
            help=f"Show {PAGE} more.",
        )
    elif found.total > MAX_SHOWN:
        st.caption(f"The first {MAX_SHOWN:,} of {found.total:,}: search or filter to see the others.")


def _export(records: list[Record], label: str) -> None:
    """Draw the download of records as an archive made on request."""
    if not records:
        return
    total = sum(record.bytes for record in records)
    if total > MAX_EXPORT:
        st.caption(f"To export, tick at most {size(MAX_EXPORT)}: these are {size(total)}.", width="content")
        return
    charts.download(
        f"{label}, .zip",
        partial(files.archive, [record.id for record in records]),
        f"history-{len(records)}.zip",
        icon=":material/download:",
        key=f"history-export-{label}",
        help=f"A zip with a folder for each of {plural(len(records), 'record')}: picture, raw maps, numbers and notes. "
        "Examples are included only if they are ticked.",
    )


def _hidden(id: str) -> Record | None:
    """Return a selected record not shown now; None if deleted."""
    try:
        return history_store.store().get(id)
    except Problem:
        return None


def _actions(result: SearchResult, chosen: list[Record], listed: set[str], *, narrowed: bool) -> None:
    """Draw the actions for the selected records."""
    if not chosen:
        if not result.total:
            return
        some = f"{result.total:,} found. " if narrowed else ""
        st.caption(f"{some}Open one, or select some to compare, present or delete.", width="content")
        return

    def compare() -> None:
        st.query_params["kept"], st.query_params["against"] = chosen[0].id, chosen[1].id

    browsing = state.of(Browsing)
    hidden = sum(record.id not in listed for record in chosen)
    beyond = f", {hidden} of them not shown now" if hidden else ""
    st.caption(f"{len(chosen)} selected{beyond}", width="content")
    st.button(
        "Compare",
        icon=":material/compare:",
        disabled=len(chosen) != 2 or any(record.pair for record in chosen),
        on_click=compare,
        help="Select exactly two records of one picture each: their maps, the difference and their numbers side by "
        "side.",
    )
    slides.button_for_several("history", [partial(record_view.make_slide, record) for record in chosen])
    most = size(sum(record.bytes for record in chosen))
    record_view.confirm_deletion(
        [record.id for record in chosen],
        f"Delete {plural(len(chosen), 'record')}{beyond} permanently? This frees up to {most}.",
        key=f"history-delete-{browsing.turn}",
        help="Delete the selected records; asks for confirmation.",
    )
    st.button(
        "Deselect", icon=":material/close:", type="tertiary", on_click=browsing.new_turn, help="Clear the selection."
    )
    slides.draw_added_link("history")


def _thumbnail(record: Record) -> bytes:
    try:
        return history_store.store().thumbnail(record)
    except Problem:
        return b""


def _tile(record: Record) -> Tile:
    part, when = "" if record.recipe is None else record.recipe.part, history_store.exact(record.created)
    if record.pair is not None and not record.damaged:
        title, score, what = f"{record.picture_name} and {record.pair.name}", f"{record.score or 0:.2f}", record.model
        about = f"{title}, similarity {score}, {record.model}, {when}"
    else:
        title, score, what = _describe(record)
        about = f"{record.picture_name}, {title} {score}, {record.model}, {when}"
    return Tile(
        id=record.id,
        title=title,
        score=score,
        line=describe_setup(what, record.method, (), part, record.task),
        when=history_store.when(record.created),
        about=about,
        tags=record.tags,
        note=record.note.replace("\n", " ")[:200],
        marks=len(record.marks),
        damaged=record.damaged,
    )


def _describe(record: Record) -> tuple[str, str, str]:
    """Return a record's label, score and method."""
    first, task = next(iter(record.predictions), None), task_of(record.task)
    label = record.label or (first.label if first else "nothing found")
    boxes = sum(prediction.box is not None for prediction in record.predictions)
    what = f"{plural(boxes, 'box')}; {record.model}" if boxes else record.model
    # Several classes of places are no rivals of each other.
    if not (task.has_boxes or task.gives_pixels) and first is not None and record.label not in (None, first.label):
        what = f"predicted {first.label}; {record.model}"
    return label, record_view.tell_score(record, record.score), what
