"""Choose the labels of a batch, say what each and each folder counts as, and how well answers fit them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch import labels, output
from sightglass.batch.labelled import labels as labelled
from sightglass.batch.labelled import pixels, summary
from sightglass.batch.labelled.evaluate import evaluate_folders
from sightglass.batch.table import classes as read_classes
from sightglass.batch.table import read_scores
from sightglass.common.errors import Problem
from sightglass.components.choices import gallery_picker
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.components.streamlit_internals import upload_megabytes
from sightglass.components.views import tables
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation import masks as pixel_masks
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.pages.batch.job import Batch, BatchJob, frame_of_job
from sightglass.pages.batch.source import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from sightglass.batch.labelled.summary import EvaluationSummary
    from sightglass.components.session.state import Choices
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain import Explainer
    from sightglass.models.spec import ModelSpec
    from sightglass.pages.batch.source import Source


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


def draw_fit(job: BatchJob) -> bool:
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
        (folder / labelled.FILE).stat()
        return state.latest("batch-evaluated", (folder, changed), lambda: summary.load(folder))
    except (OSError, Problem):
        return None


def describe_left_out(job: BatchJob) -> str:
    """Say which folders' pictures are not counted; empty where all are, or there are none."""
    found = _find(job)
    if found and not any(one.classes for one in found):
        return "No folder name matches a class of this model."
    return escape(labels.describe_left_out([replace(one, folder=shorten(one.folder, 24)) for one in found]))


def _find(job: BatchJob) -> list[labels.FolderLabel]:
    folder = job.plans[0].folder
    if read_scores(folder).numbers:
        return []
    if (truth := _read_labels(folder)) is not None:
        return labelled.list_names(truth, read_classes(folder), labels.corrections(folder))
    return labels.find_labels(frame_of_job(job), job.plans[0].folder)


def _read_labels(folder: Path) -> GroundTruth | None:
    path = folder / labelled.FILE
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return state.latest("batch-truth", (path, changed), lambda: labelled.read_labels(output.Local(folder)))


def draw(job: BatchJob) -> None:
    """Draw which class each label of a run counts as, and the way to correct it; nothing without labels."""
    found, folder = _find(job), job.plans[0].folder
    own = _read_labels(folder) is not None

    def correct(name: str, named: Sequence[str]) -> None:
        try:
            labels.correct(folder, {name: named})
            if not own:
                with st.spinner("Counting again…", show_time=False):
                    evaluate_folders(folder)
        except OSError as error:
            raise output.unwritable(folder, error) from error
        if own:
            # Objects under another name are found or missed for other reasons: their pictures are explained again.
            plans = tuple(replace(plan, labels=None) for plan in job.plans)
            state.of(Batch).job = BatchJob(job.source, plans)

    _draw(found, read_classes(folder), None if job.example else correct, own=own)


def draw_before(source: Source, choices: Choices, explainer: Explainer, folder: Path | None) -> None:
    """Draw the same for pictures that are only chosen; `folder`: of an earlier run with the same choices."""
    counts = Counter(item.label for item in source.items if item.label)
    known, truth = _find_known(choices, explainer), state.of(ChosenLabels).truth
    if not known or not (counts or truth):
        return
    batch = state.of(Batch)

    def correct(name: str, named: Sequence[str]) -> None:
        batch.matches[name] = tuple(named)

    if truth is not None:
        said = (labels.corrections(folder) if folder else {}) | _said(known)
        _draw(labelled.list_names(truth, known, said), known, correct, own=True)
    else:
        _draw(labels.list_labels(counts, known, folder, _said(known)), known, correct)


def _said(known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return what was said before the run, as far as this model knows the classes."""
    every = {*known}
    return {name: named for name, named in state.of(Batch).matches.items() if every.issuperset(named)}


def keep(choices: Choices, explainer: Explainer, folder: Path) -> None:
    """Write what was said before the run beside where its table will be."""
    if said := _said(_find_known(choices, explainer)):
        try:
            labels.correct(folder, said)
        except OSError as error:
            raise output.unwritable(folder, error) from error
    state.of(Batch).matches = {}


def _find_known(choices: Choices, explainer: Explainer) -> tuple[str, ...]:
    """Return the classes that the model knows, with the words it was given; none of a model that gives numbers."""
    if explainer.model.measures:
        return ()
    given = {name: one for name, one in choices.options.items() if name in ("vocabulary", "examples")}
    try:
        return explainer.with_vocabulary(explainer.resident, Options.parse(given), None).adapter.labels
    except Problem:
        # What is wrong with them is said where the pictures are explained.
        return ()


def _draw(
    found: Sequence[labels.FolderLabel],
    known: Sequence[str],
    correct: Callable[[str, Sequence[str]], None] | None,
    *,
    own: bool = False,
) -> None:
    """Draw the matches; `own`: of labels that a person gave, not of folders."""
    if not found:
        return
    counted, every = (sum(one.pictures for one in some) for some in ([one for one in found if one.classes], found))
    matched = sum(bool(one.classes) for one in found)
    with st.expander(
        f"Labels and classes: {matched:,} of {plural(len(found), 'label')} matched"
        if own
        else f"Folders as labels: {counted:,} of {plural(every, 'picture')} counted",
        icon=":material/folder:",
        # A question is seen; a folder that is no class may be meant as none.
        expanded=correct is not None and any(one.suggestion for one in found),
    ):
        rows = [
            {"label" if own else "folder": one.folder, "class": _name(one), "pictures": one.pictures} for one in found
        ]
        tables.table(rows, height=min(300, 36 * (len(rows) + 1)))
        if correct is not None:
            _correct({one.folder: one for one in found}, known, correct, own=own)


def _name(one: labels.FolderLabel) -> str:
    asked = f": did you mean {one.suggestion}?" if one.suggestion else ""
    return ", ".join(one.classes) or f"not counted{asked}"


def _correct(
    found: dict[str, labels.FolderLabel],
    known: Sequence[str],
    correct: Callable[[str, Sequence[str]], None],
    *,
    own: bool,
) -> None:
    """Draw the choice of a label and of the classes that it counts as."""
    known = sorted({*known, *(name for one in found.values() for name in one.classes)})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Label" if own else "Folder",
            list(found),
            key="batch-label-folder",
            width=220,
            help="Those that are not counted come first.",
        )
        one = found[name]
        named = st.multiselect(
            "Counts as",
            known,
            default=list(one.classes) or ([one.suggestion] if one.suggestion else []),
            # Another key for each folder: its own classes are shown first.
            key=f"batch-label-{name}",
            width=320,
            placeholder="no class: not counted",
            # Enter takes the first match, and not all of them.
            select_all=False,
            help="A prediction of any of these is right. Without a class these pictures are not counted.",
        )
        if st.button("Use", icon=":material/check:", disabled=set(named) == set(one.classes), help="Count it so."):
            correct(name, named)
            st.rerun()
