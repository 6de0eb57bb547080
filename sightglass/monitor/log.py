"""Rotating, concurrent log of JSON lines.

A line is a single write in append mode, which the file systems of Linux and macOS keep contiguous (not NFS; on Windows
only one process should write). The file is locked meanwhile, so that a missing line end means a line that was cut off;
writers wait for the lock only briefly. Files are never renamed: when one is full, the next number begins, and the
oldest is deleted with the folder of files that its lines refer to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

from sightglass.common.files import Json, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PATIENCE = 0.5
"""Maximum seconds that a writer waits for the lock."""


class Log:
    """One series of numbered files `<name>-000001.jsonl` in a folder, with a folder of the same name for files."""

    def __init__(self, folder: Path, name: str, *, rotate: int, keep: int) -> None:
        """`rotate`: bytes, including the files beside it, at which a file is full; `keep`: number of files to keep."""
        self.folder, self.name, self.rotate, self.keep = folder, name, rotate, keep
        self._pattern = re.compile(rf"{re.escape(name)}-(\d{{6,9}})(\.jsonl)?")
        self._lock = threading.Lock()
        self._beside: tuple[int, int, int] = (0, 0, 0)
        """Number, bytes of the lines and bytes of the files beside them after this process's last write."""

    def append(self, value: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> int:
        """Write the files (by bare name) that a line refers to, then the line; return the number of the log file.

        Raises OSError; then neither the line nor any of its files exists.
        """
        files = files or {}
        line = (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode()
        with self._lock:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = self._number()
            beside = self.beside(number)
            try:
                if files:
                    beside.mkdir(mode=0o700, exist_ok=True)
                for name, data in files.items():
                    write_file(beside / name, data)
                size = self._write(self._path(number, ".jsonl"), line)
            except OSError:
                for name in files:
                    with contextlib.suppress(OSError):
                        (beside / name).unlink(missing_ok=True)
                raise
            beside_bytes = self._beside[2] if self._beside[0] == number else 0
            self._beside = (number, size, beside_bytes + sum(map(len, files.values())))
            return number

    def read(self, number: int | None = None) -> Iterator[tuple[int, Json]]:
        """Yield (number of the file, line) of every valid line, newest first."""
        for each in reversed(self.numbers()) if number is None else (number,):
            try:
                data = self._path(each, ".jsonl").read_bytes()
            except OSError:
                continue  # rotated away since it was listed
            for line in reversed(data.split(b"\n")):
                if not line.startswith(b"{"):
                    continue
                with contextlib.suppress(ValueError, RecursionError):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield each, found

    def beside(self, number: int) -> Path:
        """Return the folder of the files that lines of this number refer to."""
        return self._path(number)

    def numbers(self) -> list[int]:
        """Return the numbers of the existing files, oldest first."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        return sorted({int(found[1]) for name in names if (found := self._pattern.fullmatch(name))})

    def size(self) -> int:
        """Return the bytes of all lines and files."""
        return sum(self._size(number) for number in self.numbers())

    def clear(self) -> int:
        """Delete all lines and files; return their bytes. Raises OSError."""
        with self._lock:
            total = self.size()
            for number in self.numbers():
                self._delete(number)
            return total

    def _delete(self, number: int) -> None:
        # The lines first: none must refer to files that are gone.
        self._path(number, ".jsonl").unlink(missing_ok=True)
        shutil.rmtree(self._path(number), ignore_errors=True)

    def _path(self, number: int, suffix: str = "") -> Path:
        return self.folder / f"{self.name}-{number:06}{suffix}"

    def _number(self) -> int:
        """Return the number of the file to append to; start a new one if it is full, and delete the oldest."""
        numbers = self.numbers()
        if not numbers:
            return 1
        last = numbers[-1]
        if self._used(last) < self.rotate:
            return last
        for old in numbers:
            if old <= last + 1 - self.keep:
                self._delete(old)
        return last + 1

    def _used(self, number: int) -> int:
        """Return the bytes of a file and those beside it; counted anew only if another process wrote meanwhile."""
        known, size, beside = self._beside
        try:
            now = self._path(number, ".jsonl").stat().st_size
        except OSError:
            now = 0
        if (number, now) != (known, size):
            beside = self._size(number) - now
            self._beside = (number, now, beside)
        return now + beside

    def _size(self, number: int) -> int:
        total = 0
        with contextlib.suppress(OSError):
            total += self._path(number, ".jsonl").stat().st_size
        with contextlib.suppress(OSError), os.scandir(self._path(number)) as found:
            total += sum(one.stat().st_size for one in found)
        return total

    @staticmethod
    def _write(path: Path, line: bytes) -> int:
        """Append a line in one write; return the new length of the file."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        try:
            _lock(file)
            size = os.fstat(file).st_size
            # A line that a killed writer or a full disk left unfinished must not spoil this one.
            if size and _last(file, size) != b"\n":
                line = b"\n" + line
            written = os.write(file, line)
            if written < len(line):
                raise OSError(28, "No space left on device")
            return size + written
        finally:
            os.close(file)


def _lock(file: int) -> None:
    """Lock a file against other writers until it is closed."""
    try:
        import fcntl
    except ImportError:
        return
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.0005)
        except OSError:
            # A file system without locks.
            return


def _last(file: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, 1, size - 1)
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1)
