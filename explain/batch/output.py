"""Where results go: a folder of this machine, or any storage that fsspec knows."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from common.files import write_file
from explain.batch import journal, remote
from explain.batch.item import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
PARTS = "journal"
"""In a storage, the folder of the journal's parts."""
OFTEN = 10.0
"""Seconds of work that a kill can cost where the journal is in a storage."""
TRIES = 3


class Local:
    """A folder of this machine, or one that several machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name: Path | str = folder

    def put(self, name: str, data: bytes) -> None:
        """Write a file by its name below the folder, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)

    @contextlib.contextmanager
    def desk(self, resume: bool) -> Iterator[Desk]:
        """Where the journal and the tables are worked on: here it is where they stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        yield Desk(self.folder)


class Remote:
    """A folder in a storage; one object is put at once, and is there whole or not at all as the storage has it."""

    def __init__(self, url: str) -> None:
        self.name: Path | str = url.rstrip("/")
        self._fs, self._root = remote.filesystem(url)
        self._root = self._root.rstrip("/")
        self._made: set[str] = set()

    def put(self, name: str, data: bytes) -> None:
        """Write a file by its name below the folder; tried again where the network fails, then an OSError."""
        path = f"{self._root}/{name}"
        self._parent(path)
        self._surely(lambda: self._fs.pipe_file(path, data))

    def send(self, name: str, file: Path) -> None:
        """Put a file of this machine, however large; where there is none, nothing is left under its name either."""
        path = f"{self._root}/{name}"
        if file.exists():
            self._parent(path)
            self._surely(lambda: self._fs.put_file(str(file), path))
        elif self._surely(lambda: self._fs.exists(path)):
            self._surely(lambda: self._fs.rm_file(path))

    def _parent(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            # Object stores have no folders, and some let nobody ask for one; a real lack shows when the file is put.
            with contextlib.suppress(Exception):
                self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)

    def _surely(self, work: Callable[[], T]) -> T:
        for left in reversed(range(TRIES)):
            try:
                return work()
            except Exception as error:
                if not left:
                    said = str(error).splitlines() or [type(error).__name__]
                    raise OSError(None, short(said[0]), short(str(self.name))) from error
                time.sleep(0.2 * (TRIES - left))
        raise AssertionError

    @contextlib.contextmanager
    def desk(self, resume: bool) -> Iterator[Desk]:
        """A folder of this machine for as long as the run lasts, with the journal that earlier runs left."""
        parts = self._surely(lambda: sorted(map(str, self._fs.glob(f"{self._root}/{PARTS}/*.jsonl"))))
        with tempfile.TemporaryDirectory(prefix="sightglass-") as held:
            if resume:
                with Path(held, journal.NAME).open("wb") as file:
                    for part in parts:
                        file.write(self._surely(lambda part=part: self._fs.cat_file(part)))  # type: ignore[misc]
                last = max((int(stem) for part in parts if (stem := PurePosixPath(part).stem).isdecimal()), default=-1)
            else:
                for part in parts:
                    self._surely(lambda part=part: self._fs.rm_file(part))  # type: ignore[misc]
                last = -1
            desk = Shipped(Path(held), self, last + 1)
            try:
                yield desk
            except BaseException:
                # What went wrong first is what is told.
                with contextlib.suppress(OSError):
                    desk.save()
                raise
            desk.save()


class Desk:
    """A folder with a journal and tables, which stay where they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, often: float = 0.0) -> None:
        """Bring out what is new, where the last time is `often` seconds ago."""

    def finish(self, names: tuple[str, ...]) -> None:
        """Bring out these files, as far as they are there."""


class Shipped(Desk):
    """One whose files are brought to a storage: the journal in parts, as objects cannot be added to."""

    def __init__(self, folder: Path, store: Remote, number: int) -> None:
        super().__init__(folder)
        self._store, self._number = store, number
        path = folder / journal.NAME
        self._sent = path.stat().st_size if path.exists() else 0
        self._last = time.monotonic()

    def save(self, often: float = 0.0) -> None:
        path = self.folder / journal.NAME
        if time.monotonic() - self._last < often or not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._sent)
            new = file.read()
        # Another thread may be in the middle of a line.
        if new := new[: new.rfind(b"\n") + 1]:
            self._store.put(f"{PARTS}/{self._number:06}.jsonl", new)
            self._sent += len(new)
            self._number += 1
        self._last = time.monotonic()

    def finish(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._store.send(name, self.folder / name)


def at(out: str | Path) -> Local | Remote:
    """The store of a path or of an address with `://`; raises ModelProblem where nothing here can reach it."""
    text = os.fspath(out)
    if (path := remote.local_path(text)) is not None:
        return Local(path)
    return Remote(text)
