"""What is done, on the disk: one line for each batch of pictures, written whole or not at all.

A line is appended once the files of its pictures are in place. A process that is killed leaves at most one line without
an end, which is cut off; its pictures, and those that had no line yet, are done again. A power cut is another thing:
nothing is forced onto the disk here.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Entry = dict[str, Any]
"""Of one picture: `key`, `stamp`, and its `rows` or the `problem` it had."""
NAME = "journal.jsonl"


class Journal:
    """The journal in a folder, held by one run at a time."""

    def __init__(self, folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
        """Open it, or begin it; raises ModelProblem where another run holds it or it is of other settings."""
        self._path = folder / NAME
        self._lock = threading.Lock()
        self.done: dict[str, tuple[str, int, int]] = {}
        """By key: its stamp, where its line starts, and its place in it."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _hold(self._file, folder)
            if not resume:
                os.ftruncate(self._file, 0)
            self._read(settings, folder)
        except BaseException:
            self.close()
            raise

    def _read(self, settings: dict[str, Any], folder: Path) -> None:
        # As JSON has it: a tuple comes back as a list.
        settings = json.loads(json.dumps(settings))
        good = 0
        for start, line in _lines(self._path):
            try:
                found = json.loads(line)
            except ValueError:
                break
            good = start + len(line)
            if start == 0:
                if found != {"settings": settings}:
                    raise ModelProblem(
                        f"{folder} holds results of other settings ({_differing(found, settings)}): "
                        "choose another folder, or start over (on the command line: --restart)."
                    )
                continue
            for place, entry in enumerate(found):
                self.done[entry["key"]] = (entry["stamp"], start, place)
        os.ftruncate(self._file, good)
        if not good:
            self._write({"settings": settings})

    def _write(self, value: Any) -> int:
        data = (json.dumps(value, separators=(",", ":")) + "\n").encode()
        start = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            # The disk is full: half a line would take the next one with it.
            os.ftruncate(self._file, start)
            raise
        return start

    def add(self, entries: list[Entry]) -> None:
        """Write down what a batch came to; from here on it counts as done."""
        with self._lock:
            start = self._write(entries)
            for place, entry in enumerate(entries):
                self.done[entry["key"]] = (entry["stamp"], start, place)

    def entries(self, keys: list[str]) -> Iterator[Entry]:
        """What became of the pictures that are done, in the order asked for; a line is read once for neighbours."""
        last, held = -1, []
        with self._path.open("rb") as file:
            for key in keys:
                if key not in self.done:
                    continue
                _, start, place = self.done[key]
                if start != last:
                    file.seek(start)
                    last, held = start, json.loads(file.readline())
                yield held[place]

    def close(self) -> None:
        """Let another run have it."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the results in a folder; raises ModelProblem where there are none."""
    try:
        _, line = next(_lines(folder / NAME))
        found: dict[str, Any] = json.loads(line)["settings"]
    except (OSError, StopIteration, ValueError, KeyError, TypeError) as error:
        raise ModelProblem(f"{folder} holds no results of a folder of pictures.") from error
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each whole line starts, and the line; one without an end is none."""
    start = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield start, line
            start += len(line)


def _hold(file: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        # Windows has no such lock; there it is left to whoever starts two runs into one folder.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ModelProblem(f"Another run is writing to {folder}: wait for it, or choose another folder.") from error


def _differing(found: Any, settings: dict[str, Any]) -> str:
    """The names of the settings that are not the same."""
    held = found.get("settings", {}) if isinstance(found, dict) else {}

    def flat(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, **value.get("recipe", {})}

    names = [name for name, value in flat(settings).items() if name != "recipe" and flat(held).get(name) != value]
    return ", ".join(names[:3]) or "of another version"
