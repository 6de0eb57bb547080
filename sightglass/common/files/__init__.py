"""Write files atomically; encode JSON and arrays."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stamp = tuple[int, ...]
"""What tells a file from others that were or will be at its path; empty without one."""
Json = dict[str, Any]
"""An object of JSON, as it is read from a file or a request, or leaves as one."""
MAX_ARRAYS = 2**31
"""Maximum bytes of the arrays in a .npz."""
ABANDONED = 3600.0
"""Age in seconds at which a draft is no longer being written."""
_READ: ContextVar[dict[Path, Stamp]] = ContextVar("_READ")


@contextlib.contextmanager
def atomic_write(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yield a draft's path; it replaces the file at the end.

    `sync`: wait until its bytes are on the disk, so that they survive a crash of the machine too. The path's name
    begins with a dot and ends in `.part`.
    """
    draft = path.with_name(f".sightglass-{secrets.token_hex(8)}.part")
    try:
        yield draft
        if sync:
            with draft.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(draft):
            # Nobody knows the draft.
            error.filename = str(path)
        raise


def remove_drafts(folder: Path, *, age: float = ABANDONED) -> None:
    """Delete drafts of `atomic_write` older than `age` seconds in a folder."""
    for draft in folder.glob(".sightglass-*.part"):
        with contextlib.suppress(OSError):
            # Of a clock that was set back, a draft may be of tomorrow.
            if abs(time.time() - draft.stat().st_mtime) >= age:
                draft.unlink()


def write_file(path: Path, data: bytes | memoryview, *, sync: bool = False) -> None:
    """Write a file, whole or not at all."""
    with atomic_write(path, sync=sync) as draft:
        draft.write_bytes(data)


def modified(path: Path) -> int:
    """Return a file's time of change in nanoseconds; 0 without one."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def stamp(path: Path) -> Stamp:
    """Return the stamp of the file that a path leads to now."""
    try:
        about = path.stat()
    except OSError:
        return ()
    # A copy keeps the time of its content, and some network drives number their files anew.
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


@contextlib.contextmanager
def noted_files() -> Iterator[dict[Path, Stamp]]:
    """Collect the files that `note_files` names, with their stamps at that time."""
    token = _READ.set({})
    try:
        yield _READ.get()
    finally:
        _READ.reset(token)


def note_files(paths: Iterable[Path]) -> None:
    """Note files that are about to be read, on which depends what is made."""
    if (read := _READ.get(None)) is not None:
        read.update({path: stamp(path) for path in paths if path not in read})


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all, and to the disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        write_file(folder / name, data, sync=True)
    for directory in (folder, folder.parent) if os.name != "nt" else ():
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def to_json(value: Any, indent: int | None = 1, **layout: Any) -> str:
    """Return plain values, dataclasses and pydantic models as JSON; null is what is not finite."""
    return json.dumps(jsonable(value), indent=indent, allow_nan=False, **layout)


def jsonable(value: Any) -> Any:
    """Return a value as dicts, lists, texts and finite numbers."""

    def plain(other: Any) -> Any:
        # Scalars and arrays of numpy have `tolist`.
        return dict(other) if isinstance(other, Mapping) else other.tolist()

    return to_jsonable_python(value, inf_nan_mode="null", fallback=plain)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Return an array as the content of a .npy file."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz_bytes(arrays: Mapping[str, NDArray[Any]], *, compress: bool = True) -> bytes:
    """Return arrays by name as the content of a .npz file."""
    import numpy as np

    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_npz(source: Path | bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz; raise ValueError, OSError or KeyError for a damaged or huge one."""
    import zipfile
    import zlib

    import numpy as np

    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with zipfile.ZipFile(file) as archive:
            # A few bytes can unpack to gigabytes.
            if sum(info.file_size for info in archive.infolist()) > MAX_ARRAYS:
                raise ValueError("its arrays are too large")
        with np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError("it is damaged") from error


def data_folder(name: str) -> Path:
    """Return this user's data folder of that name."""
    import platformdirs

    return platformdirs.user_data_path("sightglass", appauthor=False) / name
