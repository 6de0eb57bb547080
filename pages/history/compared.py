"""Draw two records beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import history_store
from sightglass.components.viewer import Pane, ViewerOptions, ViewerScene, send_texts, viewer
from sightglass.components.views import charts, panels, tables
from sightglass.pages.history.record import about, boxes, describe, files, panel_map, tell_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain.picture.image import Image
    from sightglass.history import Record, RecordComparison, SavedMap

    Opened = tuple[str, Record, Image, tuple[SavedMap, ...]]


def show(found: RecordComparison, heading: DeltaGenerator) -> None:
    """Draw maps, agreement and statistics of the two, the verdict in `heading`."""
    heading.markdown(f"## {found.heading}.")
    detail = found.detail[:1].upper() + found.detail[1:]
    st.markdown("  \n".join(filter(None, (detail, *found.words[1:]))))
    # As the sentences call them, with what tells the two apart.
    apart = _apart(found.one, found.other)
    first, second = f"First ({apart[0]})", f"Second ({apart[1]})"
    opened = [(name, record, *files(record)) for name, record in ((first, found.one), (second, found.other))]
    if found.same_picture:
        more = ()
        if found.difference is not None and found.seen is not None:
            more = (Pane(maps=(panels.difference(found.difference, found.seen, (first, second)),)),)
        _viewer(opened, more, key="history-pair")
    else:
        for place, column in enumerate(st.columns(2, gap="medium")):
            with column:
                _viewer(opened[place : place + 1], key=f"history-pair-{place}")
    if found.agreement is not None:
        _agreement(found)
    numbers = [(name, record.statistics) for name, record, *_ in opened if record.statistics is not None]
    if len(numbers) == len(opened):
        st.markdown("### Numbers side by side")
        tables.of_maps(numbers, height=320)
    for name, record, *_ in opened:
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
    """Return the shortest names that tell two records apart."""
    pairs = ((a.model, b.model), (a.label, b.label), (describe(a), describe(b)), (a.picture_name, b.picture_name))
    times = history_store.exact(a.created), history_store.exact(b.created)
    return next(((one, other) for one, other in pairs if one and other and one != other), times)


def _viewer(opened: Sequence[Opened], more: Sequence[Pane] = (), *, key: str) -> None:
    """Draw the selected maps of records of one picture, a pane each."""
    panes, looks = [], []
    for name, record, _, maps in opened:
        if not maps:
            panes.append(Pane(title=name, note="no map"))
            continue
        index = min(record.index, len(maps) - 1)
        note = f"{record.label} {tell_score(record, record.score)}"
        chosen = tuple(box for box in boxes(maps, index) if box.chosen) or None
        panes.append(Pane(maps=(panel_map(maps[index], record, index, title=name, note=note),), boxes=chosen))
        looks.append(maps[index].looks)
    _, record, image, _ = opened[0]
    scene = ViewerScene(image.pixels, image.sha256, [*panes, *more], file=image.jpeg, name=record.picture_name)
    view = viewer(scene, ViewerOptions(height=400), key=key)
    if looks:
        send_texts(view, looks, [None] * len(looks), key=f"{key}-words")


def _agreement(found: RecordComparison) -> None:
    """Draw how far two maps agree, as three numbers."""
    assert found.agreement is not None
    metrics = (
        *(
            ("Same place", found.overlap, "overlap of the halves of the evidence"),
            ("Same order", found.agreement.rank_correlation, "rank correlation"),
        ),
        ("Same shape", found.agreement.ssim, "structural similarity"),
    )
    for column, (title, value, measure) in zip(st.columns(3), metrics, strict=True):
        with column:
            charts.metric(title, f"{value:.2f}", measure, "1: the two maps are the same; 0: nothing in common.")
