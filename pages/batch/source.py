"""Choose the pictures of a batch, a permitted folder or uploads, and their labels."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files.scratch import scratch_folder
from sightglass.components.choices import gallery_picker, image_picker
from sightglass.components.session import state, url_state
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.components.streamlit_internals import upload_megabytes
from sightglass.components.views import tables
from sightglass.evaluation import ground_truth
from sightglass.evaluation import masks as pixel_masks
from sightglass.explain.phrases import plural
from sightglass.explain.picture.item import Item
from sightglass.explain.picture.source import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from sightglass.batch.earlier import RunOrigin
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.tasks.task import Task


PREVIEWED = 6
WIDE = 168
"""Pixels of a picture that is shown before it is explained."""
MAX_PICTURES = 20_000
"""Pictures in one run of the page; the command line takes more."""
WAYS = {"folder": "A folder on this machine", "upload": "Upload"}


@dataclass(frozen=True)
class Source:
    """The pictures of a batch, and a name for all of them."""

    items: tuple[Item, ...]
    name: str
    path: str
    """The folder; empty for uploads."""
    origin: RunOrigin | None = None
    """What was chosen for an earlier run, where that is more than a folder."""


@dataclass
class BatchUploads:
    """The session's uploaded pictures."""

    generation: int = 0
    """Counts uploaders: a new one is empty."""
    scratch: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)
    """Folders that are deleted when the session ends."""


def clear() -> None:
    """Forget the uploads."""
    uploads = state.of(BatchUploads)
    state.forget(BatchUploads)
    state.of(BatchUploads).generation = uploads.generation + 1


def choose() -> Source | None:
    """Choose the pictures; None until there are any."""
    if gallery_picker.folders():
        way = url_state.widget(
            st.segmented_control,
            "Pictures from",
            WAYS,
            "folder",
            key="batch-way",
            help="A folder is read where it is; uploads are deleted when the session ends.",
        )
    else:
        way = "upload"
        st.caption("To read folders on this machine, the operator has to name them in SIGHTGLASS_FOLDERS.")
    source = _folder() if way == "folder" else _upload()
    if source is not None:
        labels = {item.label for item in source.items if item.label}
        used = f" in {plural(len(labels), 'folder')}; folder names are used as labels" if labels else ""
        st.caption(f":material/photo_library: {plural(len(source.items), 'picture')}{used}.")
    return source


def _folder() -> Source | None:
    named = gallery_picker.ask(
        "Folder",
        key="batch-folder",
        name="folder",
        help="A folder, a .zip, a list of paths, or a pattern with *. The names of its subfolders are used as labels.",
    )
    if named is None:
        return None
    path, root = named
    return Source(tuple(find(str(path), within=root, most=MAX_PICTURES)), path.name or root.name, str(path))


def _upload() -> Source | None:
    uploads = state.of(BatchUploads)
    files: list[UploadedFile] = st.file_uploader(
        "Pictures, or one .zip of them",
        accept_multiple_files=True,
        key=f"batch-files-{uploads.generation}",
        max_upload_size=upload_megabytes(),
        help="Several pictures, or an archive, whose folder names are used as labels. They stay on this machine.",
    )
    image_picker.say_refused()
    if not files:
        return None
    # Read once: the page runs again at every click.
    return state.latest("batch", tuple(file.file_id for file in files), lambda: _take_uploads(files))


def _take_uploads(files: list[UploadedFile]) -> Source:
    archives = [file for file in files if file.name.lower().endswith(".zip")]
    if archives and len(files) > 1:
        raise ModelProblem("Give either one .zip or several pictures, not both.")
    if not archives:
        items = find([(file.name, file.getvalue()) for file in files], most=MAX_PICTURES)
        return Source(tuple(items), plural(len(items), "picture"), "")
    # Under a fixed name: the archive's own name could be anything.
    folder = scratch()
    path = folder / "upload.zip"
    path.write_bytes(archives[0].getvalue())
    try:
        return Source(tuple(find(path, most=MAX_PICTURES)), archives[0].name, "")
    except ModelProblem as problem:
        raise ModelProblem(str(problem).replace("upload.zip", archives[0].name)) from problem


def preview(source: Source) -> None:
    """Draw some of the chosen pictures."""
    previewed = choose_previewed(source.items)
    names = {item.key: "/".join(PurePosixPath(item.key).parts[-2:]) for item in previewed}
    small = state.latest(
        "batch-preview", tuple((item.key, item.stamp) for item in previewed), lambda: _thumbnails(previewed)
    )
    with st.container(horizontal=True, gap="small"):
        for item in previewed:
            with st.container(width=WIDE, gap="xxsmall"):
                if (thumbnail := small[item.key]) is not None:
                    st.image(thumbnail, width="stretch", alt=names[item.key])
                st.caption(escape(shorten(names[item.key], 24)))
    if more := len(source.items) - len(previewed):
        st.caption(f"And {more:,} more.")


def choose_previewed(items: Sequence[Item]) -> list[Item]:
    """Return the first `PREVIEWED` pictures, in turn from each folder."""
    folders: dict[str, list[Item]] = {}
    for item in items:
        folders.setdefault(item.label or str(PurePosixPath(item.key).parent), []).append(item)
    turns = zip_longest(*(folder[:PREVIEWED] for folder in folders.values()))
    chosen = list(islice((item for turn in turns for item in turn if item is not None), PREVIEWED))
    return sorted(chosen, key=lambda item: item.key)


def _thumbnails(items: Sequence[Item]) -> dict[str, Any]:
    """Return thumbnails by key; None for an unreadable picture."""
    thumbnails: dict[str, Any] = {}
    for item in items:
        try:
            thumbnails[item.key] = item.open().thumbnail(2 * WIDE)
        except Problem:
            thumbnails[item.key] = None
    return thumbnails


def scratch() -> Path:
    """Return a new folder for this session only."""
    folder = scratch_folder("batch")
    state.of(BatchUploads).scratch.append(folder)
    return Path(folder.name)


@dataclass(frozen=True)
class LabelFiles:
    """Files of labels that a run can be held against."""

    title: str
    help: str
    path_help: str = "A COCO .json, a .csv, a folder of YOLO or Pascal VOC files, or a .zip of these."
    kinds: tuple[str, ...] = ("json", "csv", "zip")
    read: Callable[[Path], GroundTruth] = ground_truth.read


MASKS = (
    "A folder of .png masks named as the pictures, or COCO polygons or RLE. Each pixel of a .png is a class index. A "
    "classes.txt names the indices; without one they are the model's. 255 is not counted."
)
LABELS = LabelFiles(
    "Labels, as COCO .json, .csv or a .zip",
    "COCO .json, or .csv with file,label or file,x0,y0,x1,y1,label. A .zip holds one of these, YOLO's .txt "
    "files and data.yaml, or Pascal VOC's .xml files. Each picture is known by its file's name.",
)
OTHER_LABELS = {
    "areas": LabelFiles(
        "Masks, as a .zip of .png or COCO .json", MASKS, MASKS, ("json", "zip"), lambda path: pixel_masks.read(path)
    ),
    "numbers": LabelFiles("True numbers, as a .csv", "A .csv with file,label, where label is the true number."),
}
"""Those of models whose truth is neither classes nor boxes, by that truth."""
NO_LABELS = "Without labels the run says where the model looked, but not whether it was right."


@dataclass
class ChosenLabels:
    """The labels that this session's next run is held against."""

    truth: GroundTruth | None = None


def choose_labels(task: Task, *, about: str = NO_LABELS) -> GroundTruth | None:
    """Draw the choice of labels for a task and return them.

    They are kept in `ChosenLabels`. `about`: what it means that there are none.
    """
    chosen = state.of(ChosenLabels)
    with st.expander("Labels: how right is the model?", icon=":material/sell:"):
        try:
            chosen.truth = _read(task)
        except Problem as problem:
            chosen.truth = None
            st.error(sentence(problem), icon=":material/error:")
        if chosen.truth is None:
            st.caption(about)
        else:
            _describe(chosen.truth)
    return chosen.truth


def _read(task: Task) -> GroundTruth | None:
    labels = OTHER_LABELS.get(task.truth, LABELS)
    upload: UploadedFile | None = st.file_uploader(
        labels.title, type=labels.kinds, key="batch-labels-file", max_upload_size=upload_megabytes(), help=labels.help
    )
    if upload is not None:
        return state.latest("batch-labels", (upload.file_id, labels), lambda: _take_upload(upload, labels.read))
    if not gallery_picker.folders():
        return None
    named = gallery_picker.ask(
        "Or labels on this machine", key="batch-labels-path", name="labels", default="", help=labels.path_help
    )
    if named is None:
        return None
    path = named[0]
    return state.latest("batch-labels", (path, state.modified(path), labels), lambda: labels.read(path))


def _take_upload(upload: UploadedFile, read: Callable[[Path], GroundTruth]) -> GroundTruth:
    # Under a fixed name: the file's own could be anything.
    path = scratch() / f"labels{Path(upload.name).suffix.lower()}"
    path.write_bytes(upload.getvalue())
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
        rows = [
            {"file": problem.file, "line": problem.line, "why": problem.reason} for problem in truth.problems[:1000]
        ]
        tables.table(rows, height=min(220, 36 * (len(rows) + 1)))
