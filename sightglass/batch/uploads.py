"""Store the pictures and labels that a person drops on the page Pictures."""

import contextlib
import hashlib
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path, PurePosixPath

from sightglass import examples
from sightglass.batch import labels
from sightglass.batch.received_labels import ANY, read_received
from sightglass.common.errors import ModelProblem, Problem, TooManyLabels, UnclearLabels
from sightglass.common.files import atomic_write, modified, write_file
from sightglass.common.left_out import HIDDEN, describe_left_out, is_hidden
from sightglass.common.legible import visible
from sightglass.common.names import file_stem
from sightglass.common.settings import settings
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.label_files.class_files import DATA
from sightglass.evaluation.label_files.opening import PACKED
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import PICTURES, Item, NoPictures, describe_encodings, find
from sightglass.explain.tasks import Task

MAX_PICTURES = 20_000
"""Pictures in one run of the page; the command line takes more."""
UPLOADS = "uploads"
"""The folder beside the runs with what was uploaded for them."""
MAX_BYTES = 2 * 2**30
"""Bytes of the files that are dropped at once."""
MAX_UPLOADS, MAX_STORED = 20, 10 * 2**30
"""Uploads that stay, the newest, and their bytes."""
NEITHER = "no pictures, no labels"
"""Why a dropped file is not used."""
File = tuple[str, bytes | memoryview]
"""The name of a dropped file, and its bytes."""


@dataclass(frozen=True)
class Source:
    """The pictures of a run, and a name for all of them."""

    items: tuple[Item, ...]
    name: str
    path: str
    """The folder or archive."""
    left_out: str = ""
    """Which files are neither pictures nor labels, as a sentence; empty of none."""


LabelledSource = tuple[Source | None, "GroundTruth | None"]
"""The content of dropped files: pictures, labels, or both."""


def uploads_home() -> Path:
    """Return the folder of uploads."""
    return (settings().batches / UPLOADS).absolute()


def read_uploads(
    files: Sequence[File],
    task: Task,
    beside: Source | None = None,
    waiting: GroundTruth | None = None,
    *,
    owner: str = "",
    labels_as: LabelOptions | None = None,
) -> LabelledSource:
    """Store dropped files and return what is in them; raise Problem for files that are of no use.

    `beside`: the pictures that labels alone are about; with those of an upload they are stored. `waiting`: the labels
    of pictures that come without any. `owner`: equal files of others are stored apart, as each may be deleted.
    `labels_as`: how labels that can be read in several ways are read.
    """
    if sum(len(data) for _, data in files) > MAX_BYTES:
        raise Problem(f"These files have more than {MAX_BYTES >> 30} GB: drop fewer, or use sightglass batch.")
    digest = hashlib.sha256(owner.encode())
    for name, data in sorted(files, key=itemgetter(0)):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    home = uploads_home() / digest.hexdigest()[:16]
    known = home.exists()
    try:
        left_out: dict[str, str] = {}
        source, truth = _read_archives(_store(files, home, left_out), task, left_out, labels_as or LabelOptions())
        truth = truth or (waiting if source is not None else None)
        upload = home if source is not None else _find_upload(beside.path) if beside is not None else None
        if truth is not None and upload is not None:
            labels.write_labels(upload, truth)
    except OSError as error:
        reason = error.strerror or error
        raise Problem(f"The files cannot be kept ({reason}): free some room, then try again.") from error
    except Problem:
        # What is of no use takes no room.
        _forget(home, known=known)
        raise
    if source is None:
        # Labels are stored with their run.
        _forget(home, known=known)
    else:
        os.utime(home)
        _remove_old(home.parent)
    return source, truth


def _forget(home: Path, *, known: bool) -> None:
    """Delete an upload, unless it was here before: runs may name it."""
    if not known:
        shutil.rmtree(home, ignore_errors=True)


def _store(files: Sequence[File], home: Path, left_out: dict[str, str]) -> dict[Path, str]:
    """Write dropped files into an upload's folder; return its archives with their titles.

    `left_out` receives the others. Raises Problem.
    """
    pictures, archives, tables = (
        [(name, data) for name, data in files if name.lower().endswith(suffixes)]
        for suffixes in (PICTURES, ".zip", PACKED)
    )
    if not (pictures or archives or tables):
        raise Problem(f"{files[0][0]} is no picture, no .zip and no file of labels: drop one of these.")
    known = (*PICTURES, ".zip", *PACKED)
    left_out |= {name: NEITHER for name, _ in files if not name.lower().endswith(known)}
    # By the folder that the pictures are in, else by their number.
    folders = {PurePosixPath(name).parts[0] for name, _ in pictures if "/" in name}
    title = folders.pop() if len(folders) == 1 else plural(len(pictures), "picture")
    # Files of labels say more than what is packed with pictures.
    titles = {_pack(tables, home / "labels.zip"): "labels.zip"} if tables else {}
    titles |= {_pack(pictures, home / "pictures.zip"): title} if pictures else {}
    for number, (name, data) in enumerate(archives):
        path = home / str(number) / f"{file_stem(PurePosixPath(name).stem)}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
        titles[path] = name
    return titles


def _remove_old(home: Path) -> None:
    """Delete all uploads but the newest."""
    total = 0
    for number, upload in enumerate(sorted(home.iterdir(), key=modified, reverse=True)):
        # Another server may delete it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            total += sum(file.stat().st_size for file in upload.rglob("*") if file.is_file())
        if number and (number >= MAX_UPLOADS or total > MAX_STORED):
            shutil.rmtree(upload, ignore_errors=True)


def _read_archives(
    titles: Mapping[Path, str], task: Task, left_out: dict[str, str], labels_as: LabelOptions
) -> LabelledSource:
    """Return the first pictures and the first labels in the archives of an upload.

    `left_out` receives the archives that come later, and files that are neither.
    """
    source: Source | None = None
    truth: GroundTruth | None = None
    for path, title in titles.items():
        others: dict[str, str] = {}
        items = _find_pictures(path, task, others) if source is None else ()
        if items:
            source = Source(items, title, str(path))
        labels = _read_labels(path, items, task, labels_as) if truth is None else None
        truth = truth or labels
        left_out |= _list_unused(title, others if items else None, labels)
    if source is not None:
        source = replace(source, left_out=_describe(source, left_out))
    elif truth is not None:
        truth = replace(truth, left_out={**truth.left_out, **left_out})
    return source, truth


def _describe(source: Source, left_out: Mapping[str, str]) -> str:
    """Say which files are not used, and as what the names of the others were read."""
    return " ".join(filter(None, (describe_left_out(left_out), describe_encodings(source.items))))


def _list_unused(title: str, others: Mapping[str, str] | None, labels: GroundTruth | None) -> dict[str, str]:
    """Return what of an archive is not used, with the reasons.

    `others`: what of it is no picture; None where no picture of it is used.
    """
    if others is not None:
        unread = [name for name in others if labels is None or visible(name) in labels.left_out]
        return {name: HIDDEN if is_hidden(name) else NEITHER for name in unread}
    return {title: "another .zip has pictures and labels"} if labels is None else {}


def _find_pictures(path: Path, task: Task, left_out: dict[str, str]) -> tuple[Item, ...]:
    # Masks are pictures, too: their names tell.
    if task.evaluation == "areas" and re.search("mask|label|truth", path.name.lower()):
        return ()
    with contextlib.suppress(NoPictures):
        return tuple(find(str(path), most=MAX_PICTURES, left_out=left_out))
    return ()


def _read_labels(path: Path, items: Sequence[Item], task: Task, labels_as: LabelOptions) -> GroundTruth | None:
    """Return the labels in an archive.

    Raises Problem for one with neither pictures, `items`, nor labels, TooManyLabels and UnclearLabels.
    """
    if not items:
        return read_received(path, task.evaluation, labels_as)
    # Beside pictures a .png is one of them, and other files may be about anything else.
    try:
        truth = read_received(path, ANY, labels_as)
    except (TooManyLabels, UnclearLabels):
        raise
    except Problem:
        return None
    labelled = len(truth.find_missing([item.key for item in items])) < len(truth.files)
    return truth if labelled else None


def _pack(files: Sequence[File], path: Path) -> Path:
    """Write files as a .zip: their names, of another machine, are never paths of this one."""
    inside = [PurePosixPath(name.replace("\\", "/")) for name, _ in files]
    totals, counts = Counter(inside), Counter[PurePosixPath]()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft, zipfile.ZipFile(draft, "w") as archive:
        for name, (_, data) in zip(inside, files, strict=True):
            counts[name] += 1
            # A dropped folder comes without the names of its own folders. Of several with one name none keeps it, as a
            # label would be of any; names of classes are read by theirs.
            is_first_list = counts[name] == 1 and name.name in DATA
            if totals[name] > 1 and not is_first_list:
                name = name.with_stem(f"{name.stem} ({path.stem} {counts[name]})")
            archive.writestr(str(name), data)
    return path


def _find_upload(path: str) -> Path | None:
    """Return the folder of the upload that a path is in, or None."""
    upload = Path(path).absolute()
    return uploads_home() / upload.relative_to(uploads_home()).parts[0] if uploads_home() in upload.parents else None


def delete_upload(path: str) -> None:
    """Delete what was uploaded for a run; other folders are left alone."""
    if (upload := _find_upload(path)) is not None:
        shutil.rmtree(upload, ignore_errors=True)


def open_upload(text: str) -> LabelledSource:
    """Return the pictures of an upload with their labels; raise Problem if it is not there."""
    others: dict[str, str] = {}
    source = open_source(str(uploads_home() / text), left_out=others)
    truth = labels.read_labels(uploads_home() / Path(text).parts[0])
    return replace(source, left_out=_describe(source, _list_unused(source.name, others, truth))), truth


def open_source(path: str, name: str = "", left_out: dict[str, str] | None = None) -> Source:
    """Return the pictures of an archive or a folder of uploads or examples; raise Problem for any other."""
    location = Path(os.path.normpath(path))
    homes = uploads_home(), examples.find(examples.CLASSES)
    inside = any(home in location.parents and home.resolve() in location.resolve().parents for home in homes)
    if not (inside and (location.is_dir() or location.suffix.lower() == ".zip")):
        raise ModelProblem(
            "Its pictures were not uploaded here: go on with it on the command line, or drop them again."
        )
    items = tuple(find(str(location), most=MAX_PICTURES, left_out=left_out))
    return Source(items, name or location.name, str(location))
