"""Search, open, compare and delete saved views; draw one with its maps, note and tags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import streamlit as st

from sightglass.common.errors import Problem
from sightglass.explain.maps.heatmap import Heatmap, rescale
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import megabytes, percent, plural
from sightglass.explain.rendering.marks import Mark
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.wording import Answer
from sightglass.history.encoding import record_view
from sightglass.report import similarity_files
from sightglass.report.result_folder import zip_files
from sightglass.ui import checks as page_checks
from sightglass.ui import saving
from sightglass.ui.instruments import EMPTY, instruments, printed
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.viewer import Box, Map, Pane, ViewerOptions, ViewSettings, viewer
from sightglass.ui.views import charts, panels
from sightglass.ui.views import pairs as pair_views
from sightglass.ui.widgets import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain.picture.image import Image
    from sightglass.history import Record, SearchResult
    from sightglass.report.view import View

    Maps = Sequence[Heatmap]
FILTERS = {"by-model": ("model", "Any model"), "said": ("label", "Any class"), "tagged": ("tag", "Any tag")}
"""What a search is narrowed by, by its parameter in the address; its widget is keyed `saved-` and that."""
SPANS = {"": "Any date", "day": "24 hours", "week": "7 days", "month": "30 days", "year": "A year"}
PAGE = 24
BLANK = np.zeros((3, 4, 4), np.uint8)
"""The transparent picture of a tile without one."""
MAX_EXPORT = 250_000_000
"""Bytes of files in one archive: it is made in memory."""


@dataclass
class Browsing(state.Kept):
    """State of the page between its runs."""

    ticked: dict[str, Record] = field(default_factory=dict)
    """Selected records by their ids, also those that the filters hide, in the order of selection."""

    def kept(self) -> Self:
        """Return the same selection, which each session changes by itself."""
        return type(self)({**self.ticked})


def draw() -> None:
    """Draw all views, or the one that the address names."""
    if id := st.query_params.get("kept"):
        _draw_record(id)
    elif count := saving.store().search(limit=0).total:
        _draw_all(count)
    else:
        st.markdown("## Nothing saved yet")
        st.markdown("Press **Save** below a map.")


def _draw_all(count: int) -> None:
    """Draw search, actions and tiles of all records."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"## {plural(count, 'saved view')}", width="content")
        actions = st.container(horizontal=True, width="content", vertical_alignment="center")
    page.say_problem()
    chosen = _draw_filters()
    tiles, below = st.container(horizontal=True, key="saved-tiles"), st.container()
    store, number = saving.store(), 1
    result = store.search(**chosen, limit=PAGE)
    if result.total > PAGE:
        with below:
            pages = -(-result.total // PAGE)
            number = int(st.pagination(pages, key=f"saved-page-{hash(tuple(chosen.values())) & 0xFFFFFF}"))
        result = store.search(**chosen, limit=PAGE, offset=PAGE * (number - 1)) if number > 1 else result
    with actions:
        _draw_actions(result)
    with tiles:
        for record in result.records:
            _draw_tile(record)
    folder, used = store.folder, f"{megabytes(store.used_bytes())} used."
    audience = "Everyone who opens this dashboard can see it."
    st.caption(f":material/folder: {used} Saved in {folder} on the machine that runs this page. {audience}")


def _draw_filters() -> dict[str, Any]:
    """Draw search and filters; return the arguments of the search."""
    choices = saving.store().choices()
    chosen: dict[str, Any] = {}
    look: dict[str, Any] = {"icon": ":material/search:", "placeholder": "Find a class, a note, a name", "width": 280}
    look["label_visibility"] = "collapsed"
    with st.container(horizontal=True):
        chosen["text"] = url_state.widget(st.text_input, "Find", None, "", key="saved-find", name="find", **look)
        for name, (field, any_value) in FILTERS.items():
            options = {"": any_value, **{word: f"{word} ({count})" for word, count in choices[field].items()}}
            chosen[field] = _choose(name, options) or None
        days = {"day": 1, "week": 7, "month": 30, "year": 365}.get(_choose("saved", SPANS))
    # To the hour, so that the pages of a search stay.
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return chosen | {"since": now - timedelta(days=days) if days else None}


def _choose(name: str, options: dict[str, str]) -> str:
    look: dict[str, Any] = {"label_visibility": "collapsed", "width": 170}
    return url_state.widget(st.selectbox, options[""], options, "", key=f"saved-{name}", name=name, **look)


def _draw_actions(result: SearchResult) -> None:
    """Draw the actions for the ticked records, or for all that are shown."""
    browsing = state.of(Browsing)
    if not result.total:
        st.caption("Nothing matches.", width="content")
    if ticked := list(browsing.ticked.values()):
        st.caption(f"{len(ticked)} selected", width="content")
        if len(ticked) == 2 and not any(record.pair for record in ticked):
            help = "One picture by two models, or two pictures."
            st.button("Compare", icon=":material/compare:", on_click=partial(_compare, *ticked), help=help)
        saving.make_deck("saved", saving.NEW_TITLE, lambda: (_make_slide(record, {}) for record in ticked))
        _draw_delete([record.id for record in ticked], key="saved-delete")
        clear = browsing.ticked.clear
        st.button("Deselect", icon=":material/close:", type="tertiary", on_click=clear, help="Clear the selection.")
    if records := ticked or result.records:
        _draw_export(records, "Export" if ticked else "Export all")


def _compare(first: Record, second: Record) -> None:
    """Open two records on Compare, in a callback: the models on one picture, or the two pictures."""
    store = saving.store()
    with page.keeping_problem():
        if first.picture_sha256 == second.picture_sha256:
            assert first.recipe is not None
            models = list(dict.fromkeys([first.model, second.model]))
            reopen.open_models(store.picture(first), first.recipe, first.view, models)
        else:
            reopen.open_pictures(first.model, store.picture(first))
            pair_views.compare_with(store.picture(second))


def _draw_tile(record: Record) -> None:
    """Draw a record's picture, its answer and what was written on it."""
    browsing, key, title = state.of(Browsing), f"saved-tick-{record.id}", _title(record)

    def tick() -> None:
        browsing.ticked.pop(record.id, None)
        browsing.ticked |= {record.id: record} if st.session_state[key] else {}

    def draw_tick() -> None:
        st.session_state[key] = record.id in browsing.ticked
        about = escape(f"Select: {record.picture_name}, {title}")
        st.checkbox(about, key=key, on_change=tick, label_visibility="collapsed", width="content")

    try:
        picture = saving.store().thumbnail(record)
    except Problem:
        picture = b""
    tags = " ".join(f":gray-badge[{escape(tag)}]" for tag in record.tags)
    about = " ".join(filter(None, (record.model, saving.format_day(record.created), tags)))
    note = escape(" ".join((record.damaged or record.note).split())[:80])
    about = f"{about}  \n*{note}*" if note else about
    alt, help = "The saved picture under its map", f"{escape(record.picture_name)}, {escape(_describe(record))}"
    draw_tile({"kept": record.id}, picture, title, about, alt=alt, help=help, beside=draw_tick)


def draw_tile(
    opens: dict[str, str], picture: bytes, title: str, about: str, *, alt: str, help: str, beside: Any = None
) -> None:
    """Draw a tile; `opens`: the parameter of what it opens; `about`: in Markdown; `beside`: draws before its title."""
    (key,) = opens.values()
    with st.container(width=240, gap="xsmall", key=f"saved-tile-{key}"):
        st.image(picture or BLANK, width="stretch", alt=alt)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if beside is not None:
                beside()
            go = partial(st.query_params.update, opens)
            st.button(escape(title), key=f"saved-open-{key}", type="tertiary", on_click=go, help=help)
        st.caption(about)


def _read(record: Record) -> tuple[Image, Maps]:
    """Return a record's picture and maps; the latest ones are cached. Raises Problem."""
    if record.damaged:
        raise Problem(record.damaged)
    store = saving.store()
    return state.latest("saved-files", record.id, lambda: (store.picture(record), store.heatmaps(record)))


def _draw_record(id: str) -> None:
    """Draw one record; offer to delete a damaged one."""
    with st.container(gap=None):
        icon, help = ":material/arrow_back:", "Back to all views."
        close: Any = partial(st.query_params.pop, "kept", None)
        st.button("All views", icon=icon, type="tertiary", on_click=close, help=help)
        heading = st.container()
    page.say_problem()
    record = None
    try:
        record = saving.store().get(id)
        left, right = st.columns([3, 1], gap="medium")
        (_draw_map if record.pair is None else _draw_pair)(record, left, right)
        heading.markdown(f"## {record.headline if record.pair is None else escape(record.headline)}")
        with right:
            saving.edit_note(record, [record.id], key=f"saved-{record.id}")
    except Problem as problem:
        heading.markdown("## This view cannot be shown")
        st.error(sentence(problem), icon=":material/error:")
        if record is not None:
            _draw_delete([id], key=f"saved-delete-{id}")


def _draw_map(record: Record, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """Draw the record of one picture."""
    image, maps = _read(record)
    index = record.index if record.index < len(maps) else 0
    with right:
        if maps:
            index, beside = _draw_predictions(record, index)
    with left:
        panes = [Pane(maps=_list_panel_maps(record, maps)) if maps else panels.plain_pane(image)]
        view = viewer(
            image, panes, _list_boxes(record, index), ViewerOptions(beside=True), key=f"saved-viewer-{record.id}"
        )
        if maps:
            with beside:
                instruments(view, [printed(info.statistics) if info.state == "ok" else EMPTY for info in record.maps])
        if index == record.index:
            charts.draw_lines([finding for finding in record.findings if finding.text != record.headline])
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same picture, model, method, layers and class there; the model must be on this machine."
            assert record.recipe is not None  # it is of one picture
            go = page.keeping_problem()(partial(reopen.open_result, image, record.recipe, record.view))
            st.button("Open in Explore", icon=":material/visibility:", on_click=go, help=help)
            saving.link_button()
            _draw_rest(record, index)


def _draw_predictions(record: Record, index: int) -> tuple[int, DeltaGenerator]:
    """Draw a record's answers, and the proof and the checks of the chosen one.

    `index`: the answer that is chosen at first. Return that of the chosen one, and the place below the answers.
    """
    st.markdown("### Predictions")
    items = [Answer(info.label, _score_text(record, info.score), info.score or 0.0) for info in record.maps]
    index = rows(items, key=f"saved-rows-{record.id}", chosen=index)
    below = st.container()
    if (proof := saving.store().proof(record, index)) is not None:
        st.caption(f"Proof: {escape(proof.sentence)}")
    if (checks := record.checks_of(index)) is not None:
        page_checks.draw_saved(checks)
    return index, below


def _list_boxes(record: Record, index: int) -> tuple[Box, ...]:
    """Return the boxes of a record's maps, those of the map `index` as chosen."""
    return tuple(
        Box(p.box, f"{p.label} {percent(p.score)}", i, i == index, marks=(Mark("polygon", p.outline),))
        for i, info in enumerate(record.maps)
        for p in info.boxes
        if p.box is not None
    )


def _draw_rest(record: Record, index: int) -> None:
    """Draw the actions that all records have, and how the record was made."""
    _draw_export([record], "Everything")
    saving.add_to_deck("saved", partial(_make_slide, record, index=index))
    _draw_delete([record.id], key=f"saved-delete-{record.id}")
    st.caption(f"{_describe(record)}; saved {saving.format_time(record.created)}.", width="content")


def _score_text(record: Record, score: float | None) -> str:
    """Return a score as text; empty for none."""
    return "" if score is None else task_of(record.task).wording.text(score)


def _list_panel_maps(record: Record, maps: Maps) -> tuple[Map, ...]:
    """Return the saved maps for the viewer."""
    several = len(maps) > 1 and len(maps[0].raw) > 1
    shared = [item.content for item in rescale(maps, "shared")] if several else [None] * len(maps)
    return tuple(
        panels.layer_map(
            item,
            title=info.label,
            note=_score_text(record, info.score),
            text=info.looks,
            unit=info.unit,
            shared=on_shared,
        )
        for item, info, on_shared in zip(maps, record.maps, shared, strict=True)
    )


def _make_slide(record: Record, look: ViewSettings, index: int | None = None) -> View:
    """Return the slide of a saved record, of its map at `index`."""
    store = saving.store()
    if record.pair is not None:
        return similarity_files.pair_view(store.similarity(record))
    image, maps = _read(record)
    view = record.view.model_copy(update={"settings": {**record.view.settings, **look}})
    record = replace(record, index=record.index if index is None else index, view=view)
    return record_view(record, image, maps, store.proof(record, record.index))


def _title(record: Record) -> str:
    """Return `minibus 62 %`, or the names of two pictures and their similarity."""
    if record.pair is not None:
        return f"{record.picture_name} and {record.pair.name} {record.score or 0:.2f}"
    first = next((answer.label for answer in record.predictions), "nothing found")
    return f"{record.label or first} {_score_text(record, record.score)}".strip()


def _describe(record: Record) -> str:
    """Return `demo-cls-m, GradCAM at layer4 (Where is it?)`."""
    part = record.recipe.part if record.recipe else ""
    return describe_setup(record.model, record.method, record.layers, part, record.task)


def _draw_export(records: Sequence[Record], label: str) -> None:
    """Draw the download of records' files as an archive made on request."""
    if (total := sum(record.bytes for record in records)) > MAX_EXPORT:
        st.caption(f"To export, tick at most {megabytes(MAX_EXPORT)}: these are {megabytes(total)}.", width="content")
        return
    ids, icon = [record.id for record in records], ":material/download:"
    help = f"A zip with a folder for each of {plural(len(records), 'view')}: pictures, raw maps, numbers and notes."
    file, key = f"saved-{ids[0] if len(ids) == 1 else len(ids)}.zip", f"saved-export-{label}"
    label = f"{label}, .zip"
    charts.download(label, lambda: zip_files(saving.store().export(ids)), file, key=key, help=help, icon=icon)


def _draw_delete(ids: Sequence[str], *, key: str) -> None:
    """Draw the button for deleting records, which asks first."""

    @page.keeping_problem()
    def delete() -> None:
        saving.store().delete(ids)
        state.of(Browsing).ticked.clear()
        # Not to the next record, whose Delete would be in the same place.
        st.query_params.pop("kept", None)

    icon, views = ":material/delete:", plural(len(ids), "view")
    with st.popover("Delete", icon=icon, key=f"{key}-ask", help=f"Delete {views}, with note and tags."):
        st.caption("There is no way back.")
        st.button("Delete for good", icon=icon, key=key, on_click=delete, help=f"Delete {views} with all files.")


def _draw_pair(record: Record, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """Draw the record of two compared pictures."""
    similarity = saving.store().similarity(record)
    assert record.pair is not None

    @page.keeping_problem()
    def open_pair() -> None:
        reopen.open_pictures(record.model, similarity.query.image, similarity)
        pair_views.compare_with(similarity.gallery.image)

    with left:
        pair_views.draw_pair(similarity, key=f"saved-pair-maps-{record.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Open the same two pictures, model, method and layers there; the model must be on this machine."
            st.button("Open in Compare", icon=":material/visibility:", on_click=open_pair, help=help)
            _draw_rest(record, 0)
    with right:
        pair_views.explain_score(similarity)
        for note in record.notes:
            st.caption(f":material/info: {note}")
