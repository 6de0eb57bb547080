"""Read pictures, or labels, from a .zip of a stranger."""

from __future__ import annotations

import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.phrases import printable
from sightglass.explain.picture.image import MAX_BYTES

MAX_UNPACKED_BYTES = 16 * 2**30
MAX_LIST_BYTES = 64 * 2**20
"""Limit for an archive's directory and for a list of names, which are read into memory as a whole."""
Read = TypeVar("Read")
_READING = threading.Lock()
"""zipfile counts its open readers without one."""


def read_entries(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield name, stamp and reader of a .zip's files with these `suffixes`, unpacked into memory.

    Raises ModelProblem if the file is not an archive, is encrypted, or would unpack to too much.
    """
    status = path.stat()
    cached = partial(_open_once, path.absolute(), status.st_size, status.st_mtime_ns)
    for info in _list_files(path, cached(), suffixes, MAX_UNPACKED_BYTES):
        yield info.filename, f"{info.file_size}-{info.CRC}", partial(_unpack, cached, info)


def unpack_files(path: Path, folder: Path, suffixes: tuple[str, ...], *, most: int, most_bytes: int) -> list[Path]:
    """Unpack a .zip's files with these `suffixes` below a folder; return their paths.

    Raises Problem for what is no archive, or holds more than `most` files or `most_bytes` unpacked; then nothing of it
    is to be used. A name that leads out of the folder is one inside it (`zipfile.ZipFile.extract`).
    """
    with _open(path) as archive:
        infos = _list_files(path, archive, suffixes, most_bytes)
        if len(infos) > most:
            raise ModelProblem(f"{path.name} holds more than {most:,} files: give several archives.")
        return [Path(_read(info, most_bytes, partial(archive.extract, info, folder))) for info in infos]


def _open(path: Path) -> zipfile.ZipFile:
    try:
        with path.open("rb") as file:
            listed = directory_bytes(file)
        if listed <= MAX_LIST_BYTES:
            return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack its files again.") from error
    raise ModelProblem(f"{path.name} lists too many files: give several archives.")


@lru_cache(maxsize=2)
def _open_once(path: Path, _size: int, _changed: int) -> zipfile.ZipFile:
    """Open an archive once per process, and again if it has changed."""
    return _open(path)


def _list_files(
    path: Path, archive: zipfile.ZipFile, suffixes: tuple[str, ...], most_bytes: int
) -> list[zipfile.ZipInfo]:
    """Return an archive's files by suffix; raise ModelProblem for too large ones."""
    infos = [info for info in archive.infolist() if not info.is_dir() and is_wanted(info.filename, suffixes)]
    if sum(info.file_size for info in infos) > most_bytes:
        size = f"{most_bytes >> 30} GB" if most_bytes >= 2**30 else f"{most_bytes >> 20} MB"
        raise ModelProblem(f"{path.name} unpacks to more than {size}: give several archives.")
    return sorted(infos, key=lambda info: info.filename)


def _unpack(archive: Callable[[], zipfile.ZipFile], info: zipfile.ZipInfo) -> bytes:
    with _READING:
        return _read(info, MAX_BYTES, lambda: archive().read(info))


def _read(info: zipfile.ZipInfo, most_bytes: int, read: Callable[[], Read]) -> Read:
    """Return what `read` makes of a file; raise ImageProblem for a hostile or damaged one."""
    name = printable(PurePosixPath(info.filename).name)
    if info.flag_bits & 1:
        raise ImageProblem(f"{name} is encrypted: pack it without a password.")
    # Other methods may need gigabytes of memory to unpack a few bytes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageProblem(f"{name} is packed in an unusual way: pack it as an ordinary .zip.")
    if info.file_size > most_bytes:
        raise ImageProblem(f"{name} holds {info.file_size:,} bytes; give at most {most_bytes:,}.")
    try:
        return read()
    except Exception as error:
        # A hostile stream or name raises anything.
        raise ImageProblem(f"{name[:80]} is damaged or has an unusual name: rename it, and pack it again.") from error


def is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a stranger's file has one of these `suffixes` and is not hidden."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return name.lower().endswith(suffixes) and not any(
        part.startswith((".", "__MACOSX")) for part in parts if part != ".."
    )


def directory_bytes(file: BinaryIO) -> int:
    """Return the declared size of an archive's directory, which zipfile reads whole; 0 for no archive.

    It is read by zipfile's own parser: another one could be shown another size.
    """
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    return int(end[zipfile._ECD_SIZE]) if end else 0  # type: ignore[attr-defined]
