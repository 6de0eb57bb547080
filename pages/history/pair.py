"""Compare two records, and draw the record of two compared pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, jsonable
from sightglass.components.choices import gallery_picker
from sightglass.components.session import history_store, reopen, state
from sightglass.components.session.markdown import escape
from sightglass.components.viewer import Pane, View, ViewerOptions, ViewerScene, send_texts, viewer
from sightglass.components.views import charts, panels, tables
from sightglass.components.views import pairs as pair_views
from sightglass.explain.phrases import plural
from sightglass.export import similarity_files
from sightglass.history import pairs
from sightglass.models import catalog
from sightglass.pages.history import record as record_view
from sightglass.pages.history.files import files, pair, render_pair
from sightglass.pages.history.record import about, boxes, describe, panel_map, tell_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import Record, RecordComparison, SavedMap


def show(found: RecordComparison) -> None:
    """Draw maps, agreement and statistics of the two."""
    detail = found.detail[:1].upper() + found.detail[1:]
    st.markdown("  \n".join(filter(None, (detail, *found.more))))
    # As the sentences call them, with what tells the two apart.
    first, second = _apart(found.one, found.other)
    names = (f"First ({first})", f"Second ({second})")
    opened = [(record, *files(record)) for record in (found.one, found.other)]
    if found.same_picture:
        _together(found, opened, names)
    else:
        for place, (column, (record, image, maps)) in enumerate(zip(st.columns(2, gap="medium"), opened, strict=True)):
            with column:
                panel, looks = _panel(record, maps, names[place])
                _viewer(image, [panel], looks, key=f"history-pair-{place}", record=record, height=420)
    if found.agreement is not None:
        _agreement(found)
    listed = [(name, numbers) for name, numbers in zip(names, found.statistics, strict=True) if numbers is not None]
    if len(listed) == len(names):
        st.markdown("### Numbers side by side")
        tables.of_maps(listed, height=320)
    for name, record in zip(names, (found.one, found.other), strict=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"**{name}**: {about(record)}", width="content")
            st.button(
                "Open",
                key=f"history-pair-open-{record.id}",
                type="tertiary",
                icon=":material/open_in_full:",
                on_click=_open,
                args=(record.id,),
                help="Show only this record, with its note and marks.",
            )


def _open(id: str) -> None:
    st.query_params.pop("against", None)
    st.query_params["kept"] = id


def _apart(a: Record, b: Record) -> tuple[str, str]:
    """Return the shortest distinguishing names: for one family their sizes."""
    specs = [catalog.catalog().get(record.model) for record in (a, b)]
    if specs[0] and specs[1] and specs[0].family == specs[1].family and specs[0].size != specs[1].size:
        return specs[0].size or a.model, specs[1].size or b.model
    for first, second in ((a.model, b.model), (a.label, b.label), (describe(a), describe(b))):
        if first and second and first != second:
            return first, second
    if a.picture_name != b.picture_name:
        return a.picture_name, b.picture_name
    return history_store.exact(a.created), history_store.exact(b.created)


def _panel(record: Record, maps: Sequence[SavedMap], name: str) -> tuple[Pane, list[str]]:
    score = tell_score(record, record.score)
    note = f"{record.label} {score}" if record.label else "no map"
    if not maps:
        return Pane(title=name, note=note), []
    index = min(record.index, len(maps) - 1)
    chosen = tuple(box for box in boxes(maps, index) if box.chosen) or None
    return Pane(maps=(panel_map(maps[index], record, title=name, note=note),), boxes=chosen), [maps[index].looks]


def _together(
    comparison: RecordComparison, opened: Sequence[tuple[Record, Image, tuple[SavedMap, ...]]], names: tuple[str, str]
) -> None:
    panes, looks = [], []
    for name, (record, _, maps) in zip(names, opened, strict=True):
        panel, texts = _panel(record, maps, name)
        panes.append(panel)
        looks += texts
    if comparison.difference is not None and comparison.seen is not None:
        panes.append(Pane(maps=(panels.difference(comparison.difference, comparison.seen, names),)))
    _viewer(opened[0][1], panes, looks, key="history-pair", record=comparison.one, height=380)


def _viewer(image: Image, panes: Sequence[Pane], looks: list[str], *, key: str, record: Record, height: int) -> View:
    scene = ViewerScene(image.pixels, image.sha256, panes, file=image.jpeg, name=record.picture_name)
    view = viewer(scene, ViewerOptions(height=height), key=key)
    if looks:
        send_texts(view, looks, [None] * len(looks), key=f"{key}-words")
    return view


METRICS = (
    (
        *("Same place", "iou_top20", "overlap of the hottest fifths"),
        "1: the hottest fifths of both maps are the same place; 0: nothing in common.",
    ),
    (
        *("Same order", "rank_correlation", "rank correlation"),
        "1: what is hotter in one map is hotter in the other, everywhere; 0: unrelated.",
    ),
    (
        *("Same shape", "ssim", "structural similarity"),
        "1: the maps have the same peaks and valleys; 0: unrelated.",
    ),
)
"""How much two maps agree: title, field of the agreement, what that is, and help."""


def _agreement(comparison: RecordComparison) -> None:
    agreement = comparison.agreement
    assert agreement is not None
    for column, (title, name, what, help) in zip(st.columns(3), METRICS, strict=True):
        with column:
            charts.metric(title, f"{getattr(agreement, name):.2f}", what, help)


LISTED = 10
"""Pictures of the gallery that are listed."""


def show_pictures(record: Record) -> None:
    """Draw the record."""
    similarity, context = pair(record), pairs.context_of(record)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        pair_views.draw_pair(similarity, key=f"history-pair-maps-{record.id}")
        with st.container(horizontal=True, vertical_alignment="center"):
            _open_again(record, similarity)
            _downloads(record)
            record_view.confirm_record_deletion(record)
            _all(record, similarity)
        st.caption(record_view.about(record))
    with right:
        pair_views.explain_score(similarity, context)
        _ranking(record)
        st.markdown("### Note and tags")
        history_store.edit_note(record, [record.id], key=f"history-{record.id}")
        for note in record.notes:
            st.caption(f":material/info: {note}")


def _ranking(record: Record) -> None:
    """Draw the saved ranking of the second picture's gallery."""
    if (ranked := record.pair) is None or not ranked.ranking:
        return
    with st.expander(f"Rank {ranked.rank} of {plural(len(ranked.ranking), 'picture')}"):
        for place, (name, score) in enumerate(ranked.ranking[:LISTED], 1):
            words = f"{place}. {escape(name)} {score:.2f}"
            st.caption(f"**{words}**" if place == ranked.rank else words)
        if len(ranked.ranking) > LISTED:
            st.caption(f"The first {LISTED}; all of them are in the zip.")


def _open_again(record: Record, similarity: Similarity) -> None:
    def take() -> None:
        try:
            reopen.pair(similarity)
        except Problem as problem:
            state.of(record_view.Browsing).problem = str(problem)
        else:
            gallery_picker.compare_with(similarity.gallery.image)

    st.button(
        "Open in Compare",
        icon=":material/compare_arrows:",
        on_click=take,
        help="Open the same two pictures, model, method and layers there; the model must be on this machine.",
    )


def _downloads(record: Record) -> None:
    stem = file_stem(record.picture_name.rsplit(".", 1)[0])
    charts.download(
        "Picture, .jpg",
        partial(render_pair, record.id),
        f"{stem}-similarity.jpg",
        icon=":material/download:",
        key=f"history-drawn-{record.id}",
        help="Both pictures under their maps, with the score.",
    )
    what = "both pictures, the raw maps, the matches, all numbers, your note and tags"
    record_view.everything(record, stem, what)


def _all(record: Record, similarity: Similarity) -> None:
    def window() -> None:
        st.code(pairs.command(record), language="shell", wrap_lines=True)
        st.json(jsonable(similarity_files.summary(similarity, pairs.context_of(record))))

    charts.button_for_numbers(window, "Every number, and the command.")
