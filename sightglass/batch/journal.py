"""Journal of a run's progress.

A line is appended once the files of its pictures are written. A killed process leaves at most one incomplete line,
which is cut off; its pictures, and those without a line, are processed again. So are those of a damaged line, which
stays where it is. A power cut may lose more: nothing is synced.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sightglass.common.errors import DISK_FULL, ModelProblem, Unreadable, describe_error
from sightglass.common.files import Json, to_json
from sightglass.common.files.keeping import name_beside, reading

Outcome = dict[str, Any]
"""A picture's `key`, `stamp`, and its `rows`, or its `problem`."""
NAME = "journal.jsonl"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise ModelProblem where results cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or describe_error(error)
        if isinstance(error.filename, str) and Path(error.filename) != folder:
            reason = f"{Path(error.filename).name}: {reason}"
        hint = "make room or choose another folder" if error.errno in DISK_FULL else "choose another folder"
        raise ModelProblem(f"Results cannot be written to {folder} ({reason}): {hint}.") from error


RESTART = "put a copy of it back, choose another folder, or start over (on the command line: --restart)"
"""What to do where the journal does not say of which settings the results are."""


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

    def __init__(self, folder: Path, settings: Json, *, resume: bool, results: Sequence[str] = ()) -> None:
        """Open or create it; raise FolderBusy if another run has locked it, ModelProblem if its settings differ.

        `results`: names in the folder of which one is there only after a journal was. Raises Unreadable for a damaged
        journal; `resume` False keeps it beside the new one.
        """
        self._path, self._results = folder / NAME, results
        self.done: dict[str, Entry] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock(folder)
            if not resume:
                self._start_over(folder)
            self._read(settings, folder)
        except BaseException:
            self.close()
            raise

    def _lock(self, folder: Path) -> None:
        # The kernel frees it with the process, however that ends. Windows has no such lock.
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise FolderBusy(
                    f"Another run is writing to {folder}: wait for it, or choose another folder."
                ) from error

    def _start_over(self, folder: Path) -> None:
        """Empty the journal; keep one that cannot be read beside it."""
        try:
            _read_settings(folder)
        except Unreadable:
            if os.fstat(self._file).st_size:
                # The file that is open has the lock.
                shutil.copyfile(self._path, name_beside(self._path))
        self._results = ()
        os.ftruncate(self._file, 0)

    def _read(self, settings: Json, folder: Path) -> None:
        """Read all lines, and cut off an incomplete one; raise ModelProblem if the first has other settings."""
        # As read from JSON: tuples become lists.
        settings, end = json.loads(json.dumps(settings)), 0
        with reading(self._path):
            for start, line in _lines(self._path):
                end = start + len(line)
                if start:
                    self._remember(read_outcomes(line), start)
        if end:
            self._check(_read_settings(folder), settings, folder)
            os.ftruncate(self._file, end)
            return
        left = [name for name in self._results if (folder / name).exists()]
        if left:
            raise Unreadable(f"{NAME} in {folder} is missing or cut off, which says how {left[0]} was made: {RESTART}.")
        os.ftruncate(self._file, 0)
        self._write({"settings": settings})

    def _check(self, before: Json, settings: Json, folder: Path) -> None:
        if before != settings:
            raise ModelProblem(
                f"{folder} holds results of other settings ({differing_settings(before, settings)}): "
                "choose another folder, or start over (on the command line: --restart)."
            )

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

    def count_settled(self, keys: Iterable[str]) -> int:
        """Return how many pictures no later run tries again."""
        return sum(bool(self.done[key].stamp) for key in keys if key in self.done)

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


def read_outcomes(line: bytes) -> list[Outcome]:
    """Return the outcomes of a line after the first; none of a damaged one."""
    try:
        outcomes = json.loads(line)
        whole = all({"key", "stamp"} <= one.keys() and one.keys() & {"rows", "problem"} for one in outcomes)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
    return outcomes if whole else []


def count_done(folder: Path) -> int:
    """Return how many pictures a run has done, while it goes on or later."""
    done = set[str]()
    with contextlib.suppress(OSError):
        for start, line in _lines(folder / NAME):
            done.update(outcome["key"] for outcome in read_outcomes(line) if start)
    return len(done)


def settings_of(folder: Path) -> Json:
    """Return the settings of a result folder.

    Raises ModelProblem without any, Unreadable for a damaged journal.
    """
    try:
        return _read_settings(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelProblem(f"{folder} holds no results of a folder of pictures: {NAME} is missing.") from error


def _read_settings(folder: Path) -> Json:
    """Return the settings in a journal's first line.

    Raises Unreadable, FileNotFoundError without a journal.
    """
    with reading(folder / NAME, RESTART):
        line = next((line for _, line in _lines(folder / NAME)), b"")
        recorded: Json = json.loads(line)["settings"]
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


def differing_settings(before: Json, settings: Json) -> str:
    """Return the names of differing settings."""
    flat, flat_before = ({**value, **value.get("recipe", {})} for value in (settings, before))
    names = [name for name, value in flat.items() if name != "recipe" and flat_before.get(name) != value]
    return ", ".join(names[:3]) or "of another version"
