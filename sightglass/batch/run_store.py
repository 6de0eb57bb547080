"""Keep what runs of the page Pictures need to go on, and the pictures and labels that a person drops there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from sightglass import examples
from sightglass.batch import labels, table
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import atomic_write, file_stem, modified, write_file
from sightglass.common.settings import settings
from sightglass.evaluation import ground_truth
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.kinds import KINDS
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import PICTURES, Item, find
from sightglass.explain.tasks import Task
from sightglass.models import catalog

FILE = "run.json"
"""In the folder of results. The journal names what results depend on, which is neither where the pictures are nor how
many."""


@dataclass(frozen=True)
class RunPlan:
    """One model's run, and where its results go."""

    model: str
    options: dict[str, Any]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The facts by which a run is listed and resumed."""

    source: tuple[str, ...]
    """A folder, a pattern or an archive; or several paths."""
    name: str
    """The user's name for the pictures."""
    plans: tuple[RunPlan, ...]
    """The run's own, and those of other models over the same pictures; their folders are beside each other."""
    pictures: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    done: int | None = None
    """Pictures that are explained, or of no use; None of a run that did not come to its end."""

    @property
    def folder(self) -> Path:
        """Where the first model's results go."""
        return self.plans[0].folder


_ADAPTER = TypeAdapter(RunFacts)


def describe_run(source: Any, model: str | Explainer, options: dict[str, Any], folder: Path) -> RunFacts | None:
    """Return the facts of a run; None where the next process could not find its pictures or model."""
    paths = [source] if isinstance(source, str | os.PathLike) else source
    if not (isinstance(paths, Sequence) and paths and all(isinstance(path, str | os.PathLike) for path in paths)):
        return None
    model_id = model if isinstance(model, str) else model.model.id
    if catalog.is_file(model_id):
        model_id = str(catalog.model_file(model_id))
    elif model_id not in catalog.catalog():
        return None
    first, plan = os.fspath(paths[0]), RunPlan(model_id, options, folder)
    return RunFacts(source=tuple(map(os.fspath, paths)), name=Path(first).name or first, plans=(plan,))


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write the facts of a run into its folder of results."""
    first, *others = facts.plans
    # Relative names, so that the folders can be moved together, and that of the run renamed.
    beside = (replace(plan, folder=Path(plan.folder.name)) for plan in others)
    written = replace(facts, plans=(replace(first, folder=Path()), *beside))
    write_file(folder / FILE, _ADAPTER.dump_json(written, indent=1, fallback=str))


def read_facts(folder: Path) -> RunFacts | None:
    """Return a run's facts; None without readable ones."""
    try:
        facts = _ADAPTER.validate_json((folder / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    # Plain folder names only: no path may lead out of the results.
    if not (facts.source and facts.plans and facts.pictures > 0) or any(
        len(plan.folder.parts) != 1 or plan.folder.name in ("", "..") for plan in facts.plans[1:]
    ):
        return None
    first, *others = facts.plans
    beside = (replace(plan, folder=folder.parent / plan.folder) for plan in others)
    return replace(facts, plans=(replace(first, folder=folder), *beside))


MOST = 20
"""Runs that are listed."""


def list_runs(base: Path) -> list[RunFacts]:
    """Return the runs below `base` with readable facts, newest first."""
    files = sorted(base.glob(f"*/{FILE}"), key=modified, reverse=True)
    runs = [facts for file in files if (facts := read_facts(file.parent)) is not None]
    # The run of another model is part of the first one's.
    others = {plan.folder for facts in runs for plan in facts.plans[1:]}
    return [facts for facts in runs if facts.folder not in others][:MOST]


def is_finished(facts: RunFacts) -> bool:
    """Return whether each model's run came to its end, with a table."""
    runs = [(plan.folder, read_facts(plan.folder)) for plan in facts.plans]
    return all(
        run is not None and (run.done or 0) >= facts.pictures and (folder / table.PARQUET).is_file()
        for folder, run in runs
    )


def is_stopped(folder: Path) -> bool:
    """Return whether a run has no answers to some of its pictures yet."""
    run = read_facts(folder)
    return run is not None and (run.done or 0) < run.pictures


MAX_PICTURES = 20_000
"""Pictures in one run of the page; the command line takes more."""
UPLOADS = "uploads"
"""The folder beside the runs with what was uploaded for them."""
MAX_BYTES = 2 * 2**30
"""Bytes of the files that are dropped at once."""
KEPT, KEPT_BYTES = 20, 10 * 2**30
"""Uploads that are kept, the newest, and their bytes."""
File = tuple[str, bytes | memoryview]
"""The name of a dropped file, and its bytes."""


@dataclass(frozen=True)
class Source:
    """The pictures of a run, and a name for all of them."""

    items: tuple[Item, ...]
    name: str
    path: str
    """The folder or archive."""


LabelledSource = tuple[Source | None, "GroundTruth | None"]
"""The content of dropped files: pictures, labels, or both."""


def uploads_home() -> Path:
    """Return the folder of uploads."""
    return (settings().batches / UPLOADS).absolute()


def read_uploads(files: Sequence[File], task: Task, beside: Source | None = None) -> LabelledSource:
    """Keep dropped files and return what is in them; raise Problem for files that are of no use.

    `beside`: the pictures that labels alone are about; with those of an upload they are run_store.
    """

    def select(*suffixes: str) -> list[File]:
        return [(name, data) for name, data in files if name.lower().endswith(suffixes)]

    pictures, archives, written = select(*PICTURES), select(".zip"), select(*ground_truth.PACKED)
    if not (pictures or archives or written):
        raise Problem(f"{files[0][0]} is no picture, no .zip and no file of labels: drop one of these.")
    if sum(len(data) for _, data in files) > MAX_BYTES:
        raise Problem(f"These files have more than {MAX_BYTES >> 30} GB: drop fewer, or use sightglass batch.")
    digest = hashlib.sha256()
    for name, data in sorted(files, key=itemgetter(0)):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    home = uploads_home() / digest.hexdigest()[:16]
    # By the folder that the pictures are in, else by their number.
    tops = {PurePosixPath(name).parts[0] for name, _ in pictures if "/" in name}
    title = tops.pop() if len(tops) == 1 else plural(len(pictures), "picture")
    try:
        # Files of labels say more than what is packed with pictures.
        parts = {_pack(written, home / "labels.zip"): "labels.zip"} if written else {}
        parts |= {_pack(pictures, home / "pictures.zip"): title} if pictures else {}
        for number, (name, data) in enumerate(archives):
            path = home / str(number) / f"{file_stem(PurePosixPath(name).stem)}.zip"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, data)
            parts[path] = name
        source, truth = _read_parts(parts, task)
        upload = home if source is not None else _find_upload(beside.path) if beside is not None else None
        if truth is not None and upload is not None:
            labels.write_labels(upload, truth)
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
        # All uploads but the newest go.
        os.utime(home)
        total = 0
        for number, upload in enumerate(sorted(home.parent.iterdir(), key=lambda folder: -folder.stat().st_mtime_ns)):
            total += sum(file.stat().st_size for file in upload.rglob("*") if file.is_file())
            if number and (number >= KEPT or total > KEPT_BYTES):
                shutil.rmtree(upload, ignore_errors=True)
    return source, truth


def _read_parts(parts: Mapping[Path, str], task: Task) -> LabelledSource:
    """Return what the archives of an upload hold; `parts`: their titles."""
    source: Source | None = None
    truth: GroundTruth | None = None
    for path, name in parts.items():
        items: tuple[Item, ...] = ()
        # Masks are pictures, too: their names tell.
        masks = task.evaluation == "areas" and re.search("mask|label|truth", path.name.lower())
        if source is None and not masks:
            with contextlib.suppress(ModelProblem):
                items = tuple(find(str(path), most=MAX_PICTURES))
        if items:
            source = Source(items, name, str(path))
        if truth is None:
            # Beside pictures a .png is one of them.
            reader = ground_truth.read if items else KINDS[task.evaluation].read
            with contextlib.suppress(Problem) if items else contextlib.nullcontext():
                found = reader(path)
                # Beside pictures may be files about anything else.
                about = not items or len(found.find_missing([item.key for item in items])) < len(found.files)
                truth = found if about else None
    return source, truth


def _pack(files: Sequence[File], path: Path) -> Path:
    """Write files as a .zip: their names, of another machine, are never paths of this one."""
    # A dropped folder comes without the names of its own folders.
    seen = Counter[str]()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft, zipfile.ZipFile(draft, "w") as archive:
        for name, data in files:
            inside = PurePosixPath(name.replace("\\", "/"))
            seen[str(inside)] += 1
            number = seen[str(inside)]
            archive.writestr(str(inside if number == 1 else inside.with_stem(f"{inside.stem} {number}")), data)
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
    source = open_source(str(uploads_home() / text))
    return source, labels.read_labels(uploads_home() / Path(text).parts[0])


def open_source(path: str, name: str = "") -> Source:
    """Return the pictures of an archive or a folder of uploads or examples; raise Problem for any other."""
    place = Path(os.path.normpath(path))
    homes = uploads_home(), examples.find(examples.CLASSES)
    inside = any(home in place.parents and home.resolve() in place.resolve().parents for home in homes)
    if not (inside and (place.is_dir() or place.suffix.lower() == ".zip")):
        raise ModelProblem(
            "Its pictures were not uploaded here: go on with it on the command line, or drop them again."
        )
    return Source(tuple(find(str(place), most=MAX_PICTURES)), name or place.name, str(place))
