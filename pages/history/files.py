"""Read a record's files, make its downloads, and edit its marks."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.components.markup import markup
from sightglass.components.session import history_store, state
from sightglass.components.session.markdown import sentence
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import plural
from sightglass.export import similarity_files
from sightglass.history import export

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import Mark, Record, SavedMap


def files(record: Record) -> tuple[Image, tuple[SavedMap, ...]]:
    """Return a record's picture and maps, cached: they never change."""
    store = history_store.store()
    key = (str(store.folder), record.id)
    return _cache.get_or_make(key, lambda: (store.picture(record), store.heatmaps(record)))


def pair(record: Record) -> Similarity:
    """Return the comparison of a record of two pictures, cached."""
    store = history_store.store()
    return _pairs.get_or_make((str(store.folder), record.id), lambda: store.similarity(record))


def render_pair(id: str) -> bytes:
    """Return both pictures of a record with maps as a JPEG."""
    return next(
        data
        for name, data in similarity_files.of_similarity(pair(history_store.store().get(id)), None)
        if name.endswith(".jpg")
    )


def _size(content: tuple[Image, tuple[SavedMap, ...]]) -> int:
    image, maps = content
    grids = (grid for item in maps for grid in (item.values, item.measured, *item.layer_maps))
    return int(image.pixels.nbytes + len(image.jpeg) + sum(grid.nbytes for grid in grids))


_cache: ByteCache[tuple[Image, tuple[SavedMap, ...]]] = ByteCache(100 * MIB, _size)


_pairs: ByteCache[Similarity] = ByteCache(
    64 * MIB, lambda pair: sum(s.signed.nbytes + s.image.pixels.nbytes for s in pair.sides)
)


def mark(id: str, index: int) -> bytes:
    """Return the marked map in full size, as PNG with recipe."""
    record = history_store.store().get(id)
    image, maps = files(record)
    return export.mark(record, image, maps[index], index)


def archive(ids: Sequence[str]) -> bytes:
    """Return a zip with a folder of all files per record."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in history_store.store().export(ids):
            packed.writestr(name, data)
    return out.getvalue()


_drawn: ByteCache[NDArray[np.uint8]] = ByteCache(60 * MIB, lambda pixels: int(pixels.nbytes))


@dataclass
class AnnotatedRecord:
    """The record that is being annotated; the browser is sent what is here, so nothing changes while it draws."""

    of: tuple[str, int, bool] | None = None
    """Record, map, and whether the page is dark; None: the record is opened afresh."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    marks: list[Json] = field(default_factory=list)
    """The marks when it was opened."""
    last: tuple[Mark, ...] = ()
    """The marks that this browser sent or received last."""
    step: str | None = None
    """The browser's last step that was saved."""
    problem: str = ""


def _overlay(record: Record, index: int, *, dark: bool) -> NDArray[np.uint8]:
    def draw() -> NDArray[np.uint8]:
        image, maps = files(record)
        return export.look(image, maps[index], record.view.settings, dark=dark)

    return _drawn.get_or_make((str(history_store.store().folder), record.id, index, dark), draw)


@st.fragment
def marking(id: str, index: int) -> None:
    """Draw the map for annotation, in a fragment."""
    record = history_store.store().get(id)
    dark = st.context.theme.type == "dark"
    if state.of(AnnotatedRecord).of != (id, index, dark):
        state.forget(AnnotatedRecord)
        opened = state.of(AnnotatedRecord)
        opened.of, opened.marks, opened.last = (id, index, dark), [asdict(mark) for mark in record.marks], record.marks
    opened = state.of(AnnotatedRecord)
    label = record.labels[index] if index < len(record.labels) else "the map"
    answer = markup(
        _overlay(record, index, dark=dark),
        opened.marks,
        id=opened.id,
        about=f"{record.picture_name} under the map of {label}.",
        key=f"history-markup-{id}",
    )
    # A step is saved once: the browser repeats its last one in every run, and others annotate the same record.
    if answer is not None and answer.step != opened.step:
        opened.step, opened.problem = answer.step, ""
        try:
            record = _save(record, opened, answer.marks)
        except Problem as problem:
            opened.problem = str(problem)
    if opened.problem:
        st.markdown(f":material/error: {sentence(opened.problem)}")
        return
    if opened.step is not None:
        count = len(record.marks)
        st.caption(f":material/check: {plural(count, 'mark')} saved." if count else ":material/check: No marks saved.")
    if Counter(record.marks) != Counter(opened.last):
        _others()


def _save(record: Record, opened: AnnotatedRecord, sent: Sequence[Any]) -> Record:
    """Save a step of this browser; raise Problem if invalid."""
    try:
        marks = tuple(
            history.Mark(kind=raw["kind"], points=tuple(map(tuple, raw["points"])), text=raw["text"], ink=raw["ink"])
            for raw in sent
        )
    except (KeyError, TypeError, ValueError):
        raise Problem("The marks could not be read: reload the page.") from None
    if marks == opened.last:
        return record
    saved = history_store.store().annotate(record.id, marks=marks, since=opened.last)
    opened.last = marks
    return saved


def _others() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            ":material/group: Somebody else is annotating this record: their marks and yours are all saved.",
            width="content",
        )
        st.button(
            "Show all marks",
            icon=":material/refresh:",
            on_click=state.forget,
            args=(AnnotatedRecord,),
            help="Show their marks too.",
        )
