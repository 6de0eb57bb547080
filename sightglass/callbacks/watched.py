"""Read and write what was watched of a training."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from sightglass.common.errors import ModelProblem
from sightglass.common.files import write_file
from sightglass.explain.picture.item import printable

FILE = "training.json"
"""In the folder of a run: what was watched."""
EPOCHS = "epochs.jsonl"
"""Beside it: a line for each epoch, appended once its pictures are written."""
MOST = 20
"""Runs that are listed."""
Rectangle = tuple[float, float, float, float]
"""xyxy in pixels of the picture."""


@dataclass(frozen=True, kw_only=True)
class WatchedPicture:
    """One of the pictures that are explained at each epoch."""

    name: str
    target: str = ""
    """The class whose map is made; empty: the best one of each epoch."""
    rectangle: Rectangle | None = None
    area: float | None = None
    """The share of the picture that the rectangle covers, 0..1."""


@dataclass(frozen=True, kw_only=True)
class WatchedTraining:
    """What is the same at each epoch."""

    name: str
    pictures: tuple[WatchedPicture, ...]
    place: str = "the rectangle"
    """What a person calls what is inside the rectangles."""
    method: str = ""
    """Empty: the one that suits the network."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class EpochAnswer:
    """What the network said of one picture after an epoch."""

    answer: str = ""
    """Empty where it found nothing."""
    score: float | None = None
    target: str = ""
    """The class whose map was made."""
    target_score: float | None = None
    inside: float | None = None
    """The share of the map's evidence inside the rectangle, 0..1; None without one, and of an empty map."""


@dataclass(frozen=True, kw_only=True)
class WatchedEpoch:
    """One epoch of a run."""

    number: int
    answers: tuple[EpochAnswer, ...] = ()
    milliseconds: float = 0.0
    """What watching took."""
    share: float | None = None
    """The part of the time since the last epoch was watched; None of the first one."""
    problem: str = ""
    """Why it could not be watched, in a sentence."""


@dataclass(frozen=True)
class WatchedRun:
    """The folder of a training that was watched, or is."""

    folder: Path
    training: WatchedTraining
    epochs: tuple[WatchedEpoch, ...]
    """In the order of their numbers, those with a problem left out."""
    problems: tuple[str, ...] = ()

    def locate(self, picture: int, epoch: int) -> Path:
        """Return the file of a picture under its map, by the picture's place and the epoch's number."""
        return locate(self.folder, picture, epoch)


_TRAINING = TypeAdapter(WatchedTraining)
_EPOCH = TypeAdapter(WatchedEpoch)


def locate(folder: Path, picture: int, epoch: int) -> Path:
    """Return the file of a picture under its map; the names in a run's own files are never read as paths."""
    return folder / "maps" / f"{picture:03d}" / f"{epoch:05d}.jpg"


def begin(folder: Path, training: WatchedTraining) -> None:
    """Write what is watched into a folder, or go on there; raise ModelProblem where it holds another training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FILE).exists():
            before = _read_training(folder)
            if before.pictures != training.pictures:
                raise ModelProblem(f"{folder} holds a training with other pictures: choose another folder.")
            return
        if any(folder.iterdir()):
            raise ModelProblem(f"{folder} has other files in it: choose a folder that is empty or new.")
        write_file(folder / FILE, _TRAINING.dump_json(training, indent=1))
    except OSError as error:
        raise ModelProblem(f"{folder} cannot be written to ({error.strerror}): choose another folder.") from error


def append(folder: Path, epoch: WatchedEpoch) -> None:
    """Append an epoch, whose pictures are written; raise OSError where that fails."""
    line = json.dumps(asdict(epoch), separators=(",", ":")).encode()
    with (folder / EPOCHS).open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            # A killed process leaves half a line.
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line + b"\n")


def read(folder: Path) -> WatchedRun:
    """Return the run in a folder; raise ModelProblem where there is none, or where it cannot be read."""
    training = _read_training(folder)
    found: dict[int, WatchedEpoch] = {}
    problems: dict[str, None] = {}
    lines: list[bytes] = []
    with contextlib.suppress(OSError):
        lines = (folder / EPOCHS).read_bytes().splitlines()
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            epoch = _EPOCH.validate_json(line)
            if epoch.problem:
                problems[epoch.problem] = None
            elif len(epoch.answers) == len(training.pictures) and all(map(_is_sound, epoch.answers)):
                # Of an epoch that was trained again, the last time counts.
                found[epoch.number] = epoch
    return WatchedRun(folder, training, tuple(found[number] for number in sorted(found)), tuple(problems))


def _is_sound(answer: EpochAnswer) -> bool:
    return all(value is None or math.isfinite(value) for value in (answer.score, answer.target_score, answer.inside))


def _read_training(folder: Path) -> WatchedTraining:
    try:
        found = _TRAINING.validate_json((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise ModelProblem(f"{folder} holds no training that was watched.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelProblem(f"The notes of the training in {printable(folder.name)} cannot be read.") from error
    if not found.pictures:
        raise ModelProblem(f"The notes of the training in {printable(folder.name)} name no picture.")
    return found


def list_runs(base: Path) -> list[WatchedRun]:
    """Return the newest trainings in folders of `base` that have an epoch, the one that was watched last first."""
    times: dict[Path, float] = {}
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        for folder in base.iterdir():
            with contextlib.suppress(OSError):
                times[folder] = max((folder / name).stat().st_mtime for name in (FILE, EPOCHS))
    runs = []
    for folder in sorted(times, key=lambda one: -times[one])[:MOST]:
        with contextlib.suppress(ModelProblem):
            runs.append(read(folder))
    return [run for run in runs if run.epochs]
