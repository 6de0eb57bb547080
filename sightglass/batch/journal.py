"""Journal of a run's progress.

A line is appended once the files of its pictures are written. A killed process leaves at most one incomplete line,
which is cut off; its pictures, and those without a line, are processed again. A power cut may lose
more: nothing is synced.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, to_json

Outcome = dict[str, Any]
"""A picture's `key`, `stamp`, and its `rows`, or its `problem`."""
NAME = "journal.jsonl"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise ModelProblem where results cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        hint = "make room or choose another folder"
        raise ModelProblem(f"Results cannot be written to {folder} ({reason}): {hint}.") from error


class FolderBusy(ModelProblem):
    """Another run, of this process or another, writes into the folder."""


class Entry(NamedTuple):
    """What the journal knows of a picture that is done."""

    stamp: str
    """`Item.stamp` when it was explained; empty where the next run tries again."""
    start: int
    """Byte at which its line begins."""
    position: int


class Journal:
    """The journal in a folder, locked by one run at a time."""

    def __init__(self, folder: Path, settings: Json, *, resume: bool) -> None:
        """Open or create it; raise FolderBusy if another run has locked it, ModelProblem if its settings differ."""
        self._path = folder / NAME
        self.done: dict[str, Entry] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # The kernel frees it with the process, however that ends. Windows has no such lock.
            with contextlib.suppress(ImportError):
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not resume:
                os.ftruncate(self._file, 0)
            self._read(settings, folder)
        except (BlockingIOError, PermissionError) as error:
            self.close()
            raise FolderBusy(f"Another run is writing to {folder}: wait for it, or choose another folder.") from error
        except BaseException:
            self.close()
            raise

    def _read(self, settings: Json, folder: Path) -> None:
        """Read all lines, and cut off an incomplete one; raise ModelProblem if the first has other settings."""
        # As read from JSON: tuples become lists.
        settings, end = json.loads(json.dumps(settings)), 0
        for start, line in _lines(self._path):
            try:
                content = json.loads(line)
            except ValueError as error:
                # What follows another damaged line is explained again; this one says of which settings all results are.
                if start == 0:
                    raise ModelProblem(f"{NAME} in {folder} is damaged: start over, or use another folder.") from error
                break
            end = start + len(line)
            if start > 0:
                self._remember(content, start)
            elif not isinstance(content, dict) or content.get("settings") != settings:
                raise ModelProblem(
                    f"{folder} holds results of other settings ({differing_settings(content, settings)}): "
                    "choose another folder, or start over (on the command line: --restart)."
                )
        os.ftruncate(self._file, end)
        if not end:
            self._write({"settings": settings})

    def _remember(self, outcomes: list[Outcome], start: int) -> None:
        for position, outcome in enumerate(outcomes):
            self.done[outcome["key"]] = Entry(outcome["stamp"], start, position)

    def _write(self, value: Any) -> int:
        """Append a value as a line; return the byte at which it begins."""
        data = (to_json(value, None, separators=(",", ":")) + "\n").encode()
        start = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            # The disk is full: half a line would spoil the next one.
            os.ftruncate(self._file, start)
            raise
        return start

    def add(self, outcomes: list[Outcome]) -> None:
        """Append a batch's outcomes; from then on they are done."""
        self._remember(outcomes, self._write(outcomes))

    def outcomes(self, keys: list[str]) -> Iterator[Outcome]:
        """Yield the finished outcomes of these pictures."""
        last, line = -1, []
        with self._path.open("rb") as file:
            for entry in (self.done[key] for key in keys if key in self.done):
                if entry.start != last:
                    file.seek(entry.start)
                    last, line = entry.start, json.loads(file.readline())
                yield line[entry.position]

    def close(self) -> None:
        """Release the lock."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def count_done(folder: Path) -> int:
    """Return how many pictures a run has done, while it goes on or later."""
    done = set[str]()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for start, line in _lines(folder / NAME):
            done.update(entry["key"] for entry in json.loads(line) if start)
    return len(done)


def settings_of(folder: Path) -> Json:
    """Return the settings of a result folder; raise ModelProblem without any."""
    try:
        _, line = next(_lines(folder / NAME))
        recorded: Json = json.loads(line)["settings"]
    except (OSError, StopIteration, ValueError, KeyError, TypeError) as error:
        raise ModelProblem(f"{folder} holds no results of a folder of pictures.") from error
    return recorded


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the start and the bytes of each complete line."""
    start = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield start, line
            start += len(line)


def differing_settings(recorded: Any, settings: Json) -> str:
    """Return the names of differing settings."""
    before = recorded.get("settings", {}) if isinstance(recorded, dict) else {}
    flat, flat_before = ({**value, **value.get("recipe", {})} for value in (settings, before))
    names = [name for name, value in flat.items() if name != "recipe" and flat_before.get(name) != value]
    return ", ".join(names[:3]) or "of another version"
