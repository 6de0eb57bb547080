"""Write results locally or through fsspec."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from sightglass.batch import journal
from sightglass.common.errors import ModelProblem
from sightglass.common.files import scratch_folder, write_file
from sightglass.explain.picture import remote
from sightglass.explain.picture.item import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
PARTS = "journal"
"""Folder of the journal's parts in a storage."""
INTERVAL = 10.0
"""Seconds between uploads of the journal to a storage, the work that a kill can cost."""
TRIES = 3


def unwritable(place: Path | str, error: OSError) -> ModelProblem:
    """Return the problem of an unwritable destination."""
    return ModelProblem(f"Results cannot be written to {place} ({error.strerror}): make room or choose another folder.")


class Local:
    """A local folder, or one that several machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name: Path | str = folder

    def put(self, name: str, data: bytes) -> None:
        """Write a file by its name below the folder, atomically."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)

    def get(self, name: str) -> bytes | None:
        """Return a file by its name below the folder, or None."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def workspace(self, resume: bool) -> Iterator[Local]:
        """Yield this folder as the place of journal and tables."""
        self.folder.mkdir(parents=True, exist_ok=True)
        yield self

    def save(self, interval: float = 0.0) -> None:
        """Do nothing: the journal is already in its place."""

    def finish(self, names: tuple[str, ...]) -> None:
        """Do nothing: the tables are already in their place."""


class RemoteFolder:
    """A folder in a storage; each file is put as one object."""

    def __init__(self, url: str) -> None:
        self.name: Path | str = url.rstrip("/")
        self._fs, self._root = remote.filesystem(url)
        self._root = self._root.rstrip("/")
        self._made: set[str] = set()

    def put(self, name: str, data: bytes) -> None:
        """Write a file below the folder, with retries. Raises OSError."""
        path = f"{self._root}/{name}"
        self._parent(path)
        self._retry(lambda: self._fs.pipe_file(path, data))

    def get(self, name: str) -> bytes | None:
        """Return a file by its name below the folder, or None."""
        path = f"{self._root}/{name}"
        if not self._retry(lambda: self._fs.exists(path)):
            return None
        return bytes(self._retry(lambda: self._fs.cat_file(path)))

    def send(self, name: str, file: Path) -> None:
        """Upload a local file; delete the remote one if it is missing."""
        path = f"{self._root}/{name}"
        if file.exists():
            self._parent(path)
            self._retry(lambda: self._fs.put_file(str(file), path))
        elif self._retry(lambda: self._fs.exists(path)):
            self._retry(lambda: self._fs.rm_file(path))

    def _parent(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent not in self._made:
            # Object stores have no folders, and some forbid creating one; a real problem shows when the file is put.
            with contextlib.suppress(Exception):
                self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)

    def _retry(self, work: Callable[[], T]) -> T:
        for left in reversed(range(TRIES)):
            try:
                return work()
            except Exception as error:
                if not left:
                    reason = str(error).splitlines() or [type(error).__name__]
                    raise OSError(None, short(reason[0]), short(str(self.name))) from error
                time.sleep(0.2 * (TRIES - left))
        raise AssertionError

    @contextlib.contextmanager
    def workspace(self, resume: bool) -> Iterator[RemoteWorkspace]:
        """Yield a temporary local folder with the journal of earlier runs."""
        parts = self._retry(lambda: sorted(map(str, self._fs.glob(f"{self._root}/{PARTS}/*.jsonl"))))
        with scratch_folder("batch") as folder:
            if resume:
                with Path(folder, journal.NAME).open("wb") as file:
                    for part in parts:
                        file.write(self._retry(lambda part=part: self._fs.cat_file(part)))  # type: ignore[misc]
                last = max((int(stem) for part in parts if (stem := PurePosixPath(part).stem).isdecimal()), default=-1)
            else:
                for part in parts:
                    self._retry(lambda part=part: self._fs.rm_file(part))  # type: ignore[misc]
                last = -1
            space = RemoteWorkspace(Path(folder), self, last + 1)
            try:
                yield space
            except BaseException:
                # The first error is the one to report.
                with contextlib.suppress(OSError):
                    space.save()
                raise
            space.save()


class RemoteWorkspace:
    """A temporary folder that is uploaded: the journal in parts, since objects cannot be appended to."""

    def __init__(self, folder: Path, store: RemoteFolder, number: int) -> None:
        self.folder, self._store, self._number = folder, store, number
        path = folder / journal.NAME
        self._sent = path.stat().st_size if path.exists() else 0
        self._last = time.monotonic()

    def save(self, interval: float = 0.0) -> None:
        """Upload new lines, at most once per `interval` seconds."""
        path = self.folder / journal.NAME
        if time.monotonic() - self._last < interval or not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._sent)
            new = file.read()
        # Another thread may be writing a line.
        if new := new[: new.rfind(b"\n") + 1]:
            self._store.put(f"{PARTS}/{self._number:06}.jsonl", new)
            self._sent += len(new)
            self._number += 1
        self._last = time.monotonic()

    def finish(self, names: tuple[str, ...]) -> None:
        """Upload these files, as far as they exist."""
        for name in names:
            self._store.send(name, self.folder / name)


def at(out: str | Path) -> Local | RemoteFolder:
    """Return the store of a path or URL; raise ModelProblem if unreachable."""
    text = os.fspath(out)
    if (path := remote.local_path(text)) is not None:
        return Local(path)
    return RemoteFolder(text)
