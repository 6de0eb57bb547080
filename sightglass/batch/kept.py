"""Keep what runs of the page Pictures need to go on, and the pictures and labels that a person drops there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sightglass import examples
from sightglass.batch import journal, table
from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import atomic_write, file_stem, write_file
from sightglass.common.settings import settings
from sightglass.evaluation import ground_truth
from sightglass.evaluation import masks as pixel_masks
from sightglass.explain.phrases import plural, printable
from sightglass.explain.picture.source import PICTURES, Item, find
from sightglass.models import catalog

if TYPE_CHECKING:
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.tasks.task import Task

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
    """What a run is listed by, and goes on with."""

    source: tuple[str, ...]
    """A folder, a pattern or an archive; or several paths."""
    name: str
    """What a person calls the pictures."""
    plans: tuple[RunPlan, ...]
    """The run's own, and those of other models over the same pictures; their folders are beside each other."""
    pictures: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    done: int | None = None
    """Pictures that are explained, or of no use; None of a run that did not come to its end."""


_ADAPTER = TypeAdapter(RunFacts)


def describe_run(source: Any, model: str | Explainer, options: dict[str, Any], folder: Path) -> RunFacts | None:
    """Return the facts of a run; None where the next process could not find its pictures or model."""
    paths = [source] if isinstance(source, str | os.PathLike) else source
    if not (isinstance(paths, Sequence) and paths and all(isinstance(path, str | os.PathLike) for path in paths)):
        return None
    named = model if isinstance(model, str) else model.model.id
    if catalog.is_file(named):
        named = str(catalog.model_file(named))
    elif named not in catalog.catalog():
        return None
    first, plan = os.fspath(paths[0]), RunPlan(named, options, folder)
    return RunFacts(source=tuple(map(os.fspath, paths)), name=Path(first).name or first, plans=(plan,))


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write the facts of a run into its folder of results."""
    first, *others = facts.plans
    # Wherever the folders are moved together.
    beside = (replace(plan, folder=Path(plan.folder.name)) for plan in others)
    written = replace(facts, plans=(replace(first, folder=Path()), *beside))
    write_file(folder / FILE, _ADAPTER.dump_json(written, indent=1, fallback=str))


def unreadable_problem(folder: Path) -> ModelProblem:
    """Return the problem of a run with unreadable facts."""
    name = printable(folder.name)
    return ModelProblem(f"The notes of the run {name} cannot be read: choose its pictures again to go on.")


def read_facts(folder: Path) -> RunFacts | None:
    """Return a run's facts, or None; raise ModelProblem for unreadable ones."""
    try:
        document = json.loads((folder / FILE).read_bytes())
        if "origin" in document:
            # As former versions wrote it.
            origin = document["origin"]
            first = {"model": document["model"], "options": document["arguments"]["options"], "folder": "."}
            document["plans"] = [first, *filter(None, [origin.get("second"), *origin.get("more", ())])]
            document["source"] = origin["source"]
            document["name"] = origin.get("name") or Path(origin["source"][0]).name or origin["source"][0]
        facts = _ADAPTER.validate_python(document)
        # Folders' names, and no way out of where results are.
        if not (facts.source and facts.plans and facts.pictures > 0) or any(
            len(plan.folder.parts) != 1 or plan.folder.name in ("", "..") for plan in facts.plans[1:]
        ):
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise unreadable_problem(folder) from error
    folders = [folder, *(folder.parent / plan.folder for plan in facts.plans[1:])]
    plans = (
        replace(plan, options=_restore_tuples(plan.options), folder=place)
        for plan, place in zip(facts.plans, folders, strict=True)
    )
    return replace(facts, plans=tuple(plans))


def _restore_tuples(value: Any) -> Any:
    """Return options with tuples in place of JSON's lists."""
    if isinstance(value, dict):
        return {name: _restore_tuples(item) for name, item in value.items()}
    return tuple(map(_restore_tuples, value)) if isinstance(value, list) else value


MOST = 20
"""Runs that are listed."""


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run, over the same pictures with one model or several."""

    folder: Path
    facts: RunFacts | None = None
    """None where they cannot be read."""
    left: int = 0
    """Pictures that are still to be explained."""

    @property
    def problem(self) -> str:
        """Why its facts cannot be read."""
        return str(unreadable_problem(self.folder)) if self.facts is None else ""


def list_runs(base: Path) -> list[EarlierRun]:
    """Return the runs below `base`, newest first."""
    times: dict[Path, float] = {}
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            with contextlib.suppress(OSError):
                times[folder] = (folder / FILE).stat().st_mtime
    runs: list[EarlierRun] = []
    seconds: set[str] = set()
    for folder in sorted(times, key=lambda path: -times[path]):
        facts, left = _try_read(folder), 0
        if facts is not None:
            left = _count_left(folder, facts)
            for other in facts.plans[1:]:
                seconds.add(other.folder.name)
                left = max(left, _count_left(other.folder, _try_read(other.folder) or replace(facts, done=None)))
        runs.append(EarlierRun(folder, facts, left))
    # The run of another model is part of the first one's.
    return [run for run in runs if run.folder.name not in seconds][:MOST]


def _try_read(folder: Path) -> RunFacts | None:
    with contextlib.suppress(ModelProblem, OSError):
        return read_facts(folder)
    return None


def _count_left(folder: Path, facts: RunFacts) -> int:
    """Return how many pictures of a run are still to be explained."""
    done = facts.done
    if done is None:
        try:
            done = _count_done(folder, (folder / journal.NAME).stat().st_mtime_ns)
        except OSError:
            done = 0
    # Whatever its facts say, a run without a table has no result to show.
    return max(facts.pictures - done, 0 if (folder / table.PARQUET).is_file() else 1)


@lru_cache(maxsize=256)
def _count_done(folder: Path, _changed: int) -> int:
    return sum(bool(stamp) for stamp in journal.stamps_of(folder).values())


# What was dropped

MAX_PICTURES = 20_000
"""Pictures in one run of the page; the command line takes more."""
LABELS = (".csv", ".json", ".txt", ".xml", ".yaml", ".yml")
"""Ends of the names of files with labels."""
UPLOADS = "uploads"
"""The folder beside the runs with what was uploaded for them."""
PACKED_LABELS = "labels.zip"
"""In the folder of an upload."""
KEPT = 20
"""Uploads of a person that are kept, the newest."""


@dataclass(frozen=True)
class Source:
    """The pictures of a run, and a name for all of them."""

    items: tuple[Item, ...]
    name: str
    path: str
    """The folder or archive."""


Taken = tuple[Source | None, "GroundTruth | None"]
"""What was dropped: pictures, labels, or both."""


def uploads_home() -> Path:
    """Return the folder of the current person's uploads."""
    return (users.folder(settings().batches) / UPLOADS).absolute()


def take(files: Sequence[tuple[str, bytes]], task: Task, beside: Source | None = None) -> Taken:
    """Keep dropped files and return what is in them; raise Problem for files that are of no use.

    `beside`: the pictures that labels alone are about; with those of an upload they are kept.
    """

    def select(*suffixes: str) -> list[tuple[str, bytes]]:
        return [(name, data) for name, data in files if name.lower().endswith(suffixes)]

    pictures, archives, written = select(*PICTURES), select(".zip"), select(*LABELS)
    if not (pictures or archives or written):
        raise Problem(f"{files[0][0]} is no picture, no .zip and no file of labels: drop one of these.")
    digest = hashlib.sha256()
    for name, data in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    upload = None if beside is None else _find_upload(beside.path)
    home = uploads_home() / digest.hexdigest()[:16]
    source: Source | None = None
    truth: GroundTruth | None = None
    try:
        if pictures:
            path = _pack(home / "pictures.zip", pictures)
            source = Source(tuple(find(str(path), most=MAX_PICTURES)), _name(pictures), str(path))
        for number, (name, data) in enumerate(archives):
            path = home / str(number) / f"{file_stem(PurePosixPath(name).stem)}.zip"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, data)
            source, truth = _open_archive(path, name, source, truth, task)
        if written:
            truth = read_labels(_pack(home / PACKED_LABELS, written), task)
            if upload is not None and source is None:
                _pack(upload / PACKED_LABELS, written)
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


def read_labels(path: Path, task: Task | None = None) -> GroundTruth:
    """Read labels of the kind that a task has; raise Problem."""
    return pixel_masks.read(path) if task is not None and task.truth == "areas" else ground_truth.read(path)


def _pack(path: Path, files: Sequence[tuple[str, bytes]]) -> Path:
    """Write files into a .zip: their names, of another machine, are never paths of this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A dropped folder comes without the names of its own folders.
    seen = Counter[str]()
    with atomic_write(path) as draft, zipfile.ZipFile(draft, "w") as archive:
        for name, data in files:
            inside = PurePosixPath(name.replace("\\", "/"))
            seen[str(inside)] += 1
            number = seen[str(inside)]
            archive.writestr(str(inside if number == 1 else inside.with_stem(f"{inside.stem} {number}")), data)
    return path


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
    path = locate(str(uploads_home() / text))
    source = Source(tuple(find(str(path), most=MAX_PICTURES)), path.name, str(path))
    truth: GroundTruth | None = None
    upload = _find_upload(source.path) or path
    # Former versions kept labels unpacked.
    for labels in (path, upload / PACKED_LABELS, upload / "labels"):
        with contextlib.suppress(Problem):
            truth = ground_truth.read(labels)
    return source, truth


def locate(text: str) -> Path:
    """Return the path of an archive or a folder of uploads or examples; raise Problem for any other."""
    path = Path(os.path.normpath(text))
    for own in (uploads_home(), examples.find(examples.CLASSES)):
        inside = own in path.parents and own.resolve() in path.resolve().parents
        if inside and (path.is_dir() or path.suffix.lower() == ".zip"):
            return path
    raise ModelProblem("Its pictures were not uploaded here: go on with it on the command line, or drop them again.")


def find_source(facts: RunFacts) -> Source:
    """Return the pictures of a run; raise Problem if unreadable."""
    path = str(locate(facts.source[0]))
    return Source(tuple(find(path, most=MAX_PICTURES)), facts.name, path)
