"""Keep the pictures and labels that a person drops on the page Pictures."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sightglass import examples
from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import write_file
from sightglass.common.settings import settings
from sightglass.evaluation import ground_truth
from sightglass.evaluation import masks as pixel_masks
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import PICTURES, Item, find, local_path, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.batch.earlier import RunFacts, RunOrigin
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.tasks.task import Task


MAX_PICTURES = 20_000
"""Pictures in one run of the page; the command line takes more."""
LABELS = (".csv", ".json", ".txt", ".xml", ".yaml", ".yml")
"""Ends of the names of files with labels."""
UPLOADS = "uploads"
"""The folder beside the runs with what was uploaded for them."""
KEPT = 20
"""Uploads of a person that are kept, the newest."""


@dataclass(frozen=True)
class Source:
    """The pictures of a run, and a name for all of them."""

    items: tuple[Item, ...]
    name: str
    path: str
    """The folder or archive."""
    origin: RunOrigin | None = None
    """What was chosen for an earlier run, where that is more than a folder."""


Taken = tuple[Source | None, "GroundTruth | None"]
"""What was dropped: pictures, labels, or both."""


def uploads_home() -> Path:
    """Return the folder of the current person's uploads."""
    return (users.folder(settings().batches) / UPLOADS).absolute()


def take(files: Sequence[tuple[str, bytes]], task: Task, beside: Source | None = None) -> Taken:
    """Keep dropped files and return what is in them; raise Problem for files that are of no use.

    `beside`: the pictures that labels alone are about; with those of an upload they are kept.
    """
    pictures = [(name, data) for name, data in files if Path(name).suffix.lower() in PICTURES]
    archives = [(name, data) for name, data in files if name.lower().endswith(".zip")]
    written = [(name, data) for name, data in files if Path(name).suffix.lower() in LABELS]
    others = [name for name, _ in files if Path(name).suffix.lower() not in (*PICTURES, *LABELS, ".zip")]
    if not (pictures or archives or written):
        raise Problem(f"{others[0]} is no picture, no .zip and no file of labels: drop one of these.")
    digest = hashlib.sha256()
    for name, data in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    upload = None if beside is None else _find_upload(beside.path)
    home = uploads_home() / digest.hexdigest()[:16]
    source: Source | None = None
    truth: GroundTruth | None = None
    try:
        if pictures:
            path = _write(home / "pictures", pictures)
            source = Source(tuple(find(str(path), most=MAX_PICTURES)), _name(pictures), str(path))
        for number, (name, data) in enumerate(archives):
            path = next(_write(home / str(number), [(PurePosixPath(name).name, data)]).glob("*.[zZ][iI][pP]"), home)
            source, truth = _open_archive(path, name, source, truth, task)
        if written:
            truth = _read_labels(_write(home / "labels", written), written, task)
            if upload is not None and source is None:
                _write(upload / "labels", written)
    except OSError as error:
        raise Problem(
            f"The files cannot be kept ({error.strerror or error}): free some room, then try again."
        ) from error
    except Problem:
        # What is of no use takes no room.
        shutil.rmtree(home, ignore_errors=True)
        raise
    if source is None:
        # Labels are kept with their run.
        shutil.rmtree(home, ignore_errors=True)
    else:
        _drop_oldest(home)
    return source, truth


def _open_archive(path: Path, name: str, source: Source | None, truth: GroundTruth | None, task: Task) -> Taken:
    """Return the pictures and labels, with those of an archive."""
    items: tuple[Item, ...] = ()
    # Masks are pictures, too: their names tell.
    masks = task.truth == "areas" and re.search("mask|label|truth", name.lower())
    if source is None and not masks:
        with contextlib.suppress(ModelProblem):
            items = tuple(find(str(path), most=MAX_PICTURES))
    if items:
        source = Source(items, name, str(path))
    if truth is None:
        try:
            # Beside pictures a .png is one of them.
            truth = ground_truth.read(path) if items else read_labels(path, task)
        except Problem:
            if not items:
                raise
    return source, truth


def _read_labels(folder: Path, files: Sequence[tuple[str, bytes]], task: Task) -> GroundTruth:
    path = next(iter(folder.iterdir())) if len(files) == 1 and files[0][0].endswith((".csv", ".json")) else folder
    return read_labels(path, task)


def read_labels(path: Path, task: Task | None = None) -> GroundTruth:
    """Read labels of the kind that a task has; raise Problem."""
    return pixel_masks.read(path) if task is not None and task.truth == "areas" else ground_truth.read(path)


def _write(folder: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    """Write files into a folder under names that stay in it, once."""
    taken: set[Path] = set()
    for name, data in files:
        # Names of a browser are of another machine, and may be anything.
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
        path = folder.joinpath(*(re.sub(r"[\x00-\x1f:]", "_", part)[-120:] for part in parts[-6:] or ["file"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        # A dropped folder comes without the names of its own folders.
        for number in count(2):
            if path not in taken:
                break
            path = path.with_stem(f"{path.stem} {number}")
        taken.add(path)
        if not path.is_file():
            write_file(path, data)
    return folder


def _name(pictures: Sequence[tuple[str, bytes]]) -> str:
    """Return the folder that dropped pictures are in, else their number."""
    tops = {PurePosixPath(name).parts[0] for name, _ in pictures if "/" in name}
    return tops.pop() if len(tops) == 1 else plural(len(pictures), "picture")


def _drop_oldest(newest: Path) -> None:
    """Delete all uploads but the newest `KEPT`."""
    os.utime(newest)
    folders = sorted(newest.parent.iterdir(), key=lambda folder: -folder.stat().st_mtime_ns)
    for folder in folders[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _find_upload(path: str) -> Path | None:
    """Return the folder of the upload that a path is in, or None."""
    upload = Path(path).absolute()
    return uploads_home() / upload.relative_to(uploads_home()).parts[0] if uploads_home() in upload.parents else None


def delete_upload(path: str) -> None:
    """Delete what was uploaded for a run; other folders are left alone."""
    if (upload := _find_upload(path)) is not None:
        shutil.rmtree(upload, ignore_errors=True)


def open_upload(text: str) -> Taken:
    """Return the pictures of an upload with their labels; raise Problem if it is not there."""
    path, root = locate(str(uploads_home() / text))
    source = Source(tuple(find(str(path), within=root, most=MAX_PICTURES)), path.name or root.name, str(path))
    truth: GroundTruth | None = None
    for labels in (path, (_find_upload(source.path) or uploads_home()) / "labels"):
        with contextlib.suppress(Problem):
            truth = ground_truth.read(labels)
    return source, truth


def locate(text: str) -> tuple[Path, Path]:
    """Return a path with the folder of uploads or examples that it is in; raise Problem for any other."""
    path = Path(os.path.normpath(text))
    for own in (uploads_home(), examples.find(examples.CLASSES)):
        if own in path.parents and own.resolve() in path.resolve().parents:
            return path, own
    raise ModelProblem("Its pictures were not uploaded here: go on with it on the command line, or drop them again.")


def find_source(facts: RunFacts) -> Source:
    """Return the pictures of a run; raise Problem if unreadable."""
    places = _locate(facts)
    path, root = places[0]
    several = len(places) > 1
    paths = [place for place, _ in places] if several else str(path)
    base = Path(facts.origin.base) if several and facts.origin.base else None
    items = find(paths, within=root, most=MAX_PICTURES, base=base)
    if facts.origin.samples is not None:
        items = spread(items, facts.origin.samples)
    return Source(tuple(items), facts.name, str(path), facts.origin)


def _locate(facts: RunFacts) -> list[tuple[Path, Path]]:
    """Return the pictures' paths and the folders that they are in; raise ModelProblem for others than uploads."""
    places = []
    for source in facts.origin.source:
        if (path := local_path(source)) is None:
            raise ModelProblem("Its pictures are not on this machine: go on with it on the command line.")
        places.append(locate(os.path.join(facts.origin.base, path.expanduser())))
    return places
