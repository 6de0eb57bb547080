"""Choose the labels of a batch; show how well answers fit them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch.labelled import pixels, summary
from sightglass.batch.labelled.labels import FILE
from sightglass.common.errors import Problem
from sightglass.components.choices import gallery_picker
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.streamlit_internals import upload_megabytes
from sightglass.components.views import tables
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation import masks as pixel_masks
from sightglass.explain.phrases import plural
from sightglass.pages.batch.source import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from sightglass.batch.labelled.summary import EvaluationSummary
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.models.spec import ModelSpec
    from sightglass.pages.batch.job import BatchJob

MASKS = (
    "A folder of .png masks named as the pictures, or COCO polygons or RLE. Each pixel of a .png is a class index. A "
    "classes.txt names the indices; without one they are the model's. 255 is not counted."
)
LISTED = 1000
"""Problems of labels in the table."""


@dataclass
class ChosenLabels:
    """The labels that this session's next run is held against."""

    truth: GroundTruth | None = None


def choose(model: ModelSpec) -> None:
    """Draw the choice of labels for a model, uploaded or from a permitted folder; keep them in `ChosenLabels`."""
    chosen = state.of(ChosenLabels)
    with st.expander("Labels: how right is the model?", icon=":material/sell:"):
        try:
            chosen.truth = _read(model)
        except Problem as problem:
            chosen.truth = None
            st.error(sentence(problem), icon=":material/error:")
        if chosen.truth is None:
            st.caption("Without labels the run says where the model looked, but not whether it was right.")
            return
        _describe(chosen.truth)


def _read(model: ModelSpec) -> GroundTruth | None:
    masks = model.segments
    read = pixel_masks.read if masks else ground_truth.read
    given: UploadedFile | None = st.file_uploader(
        "Masks, as a .zip of .png or COCO .json"
        if masks
        else "True numbers, as a .csv"
        if model.measures
        else "Labels, as COCO .json, .csv or a .zip",
        type=["json", "zip"] if masks else ["json", "csv", "zip"],
        key="batch-labels-file",
        max_upload_size=upload_megabytes(),
        help=MASKS
        if masks
        else "A .csv with file,label, where label is the true number."
        if model.measures
        else "COCO .json, or .csv with file,label or file,x0,y0,x1,y1,label. A .zip holds one of these, YOLO's .txt "
        "files and data.yaml, or Pascal VOC's .xml files. Each picture is known by its file's name.",
    )
    if given is not None:
        return state.latest("batch-labels", (given.file_id, masks), lambda: _take_upload(given, read))
    if not gallery_picker.folders():
        return None
    named = gallery_picker.ask(
        "Or labels on this machine",
        key="batch-labels-path",
        name="labels",
        default="",
        help=MASKS if masks else "A COCO .json, a .csv, a folder of YOLO or Pascal VOC files, or a .zip of these.",
    )
    if named is None:
        return None
    path = named[0]
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return state.latest("batch-labels", (path, changed, masks), lambda: read(path))


def _take_upload(given: UploadedFile, read: Callable[[Path], GroundTruth]) -> GroundTruth:
    # Under a fixed name: the file's own could be anything.
    path = scratch() / f"labels{Path(given.name).suffix.lower()}"
    path.write_bytes(given.getvalue())
    return read(path)


def _describe(truth: GroundTruth) -> None:
    objects = sum(map(len, truth.pictures.values()))
    pictures = plural(len(truth.pictures) or len(truth.named), "picture")
    what = f"{plural(objects, 'labelled object')} in {pictures}" if truth.pictures else f"Labels of {pictures}"
    if truth.masks:
        what = f"Masks of {plural(len(truth.masks), 'picture')}"
    named = plural(len(truth.classes), "label") if truth.classes else "their values are the model's classes"
    st.caption(f":material/sell: {what}, {named}.")
    if truth.problems:
        st.caption(f":material/warning: {plural(len(truth.problems), 'line')} could not be used; the others count.")
        rows = [{"file": one.file, "line": one.line, "why": one.reason} for one in truth.problems[:LISTED]]
        tables.table(rows, height=min(220, 36 * (len(rows) + 1)))


def draw(job: BatchJob) -> bool:
    """Draw how well a run fits its labels, with its errors; return False for a run without labels."""
    found = load(job)
    if found is None:
        return False
    st.markdown(f"{escape(found.headline)}.")
    if found.unknown:
        rest = "Their pixels are not counted." if found.task == "segment" else "Such objects count as missed."
        st.caption(f"No class of the model: {escape(', '.join(found.unknown[:4]))}. {rest}")
    if found.problems:
        label = f"{plural(len(found.problems), 'picture')} without a mask that can be used"
        with st.expander(label, icon=":material/warning:"):
            tables.table([{"picture": name, "why": why} for name, why in found.problems[:LISTED]])
    if found.task != "detect":
        return True
    st.caption(f"{escape(found.found)}.")
    with st.expander("Errors by type", icon=":material/rule:"):
        tables.table(
            [dict(zip(("error", "count", "meaning"), one, strict=True)) for one in found.list_errors()],
            right=("count",),
        )
    return True


def load(job: BatchJob) -> EvaluationSummary | None:
    """Return the summary of the first run; None of one whose labels are its folders, or that has none."""
    folder = job.plans[0].folder
    try:
        masked = folder / pixels.FILE
        changed = (masked if masked.exists() else folder / stored.FILE).stat().st_mtime_ns
        (folder / FILE).stat()
        return state.latest("batch-evaluated", (folder, changed), lambda: summary.load(folder))
    except (OSError, Problem):
        return None
