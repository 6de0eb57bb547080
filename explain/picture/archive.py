"""Read pictures, or labels, from a .zip of a stranger."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.picture.image import MAX_BYTES
from sightglass.explain.picture.item import MAX_LIST_BYTES, PICTURES, Item, printable

MAX_UNPACKED_BYTES = 16 * 2**30
Read = TypeVar("Read")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")


class Archive(zipfile.ZipFile):
    """An open archive; unpickling it in another process opens it there."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path.absolute(), threading.Lock()
        super().__init__(path)

    def __reduce__(self) -> Any:
        status = self.path.stat()
        return _open, (self.path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _open(path: Path, _size: int, _changed: int) -> Archive:
    """Open an archive once per process, and again if it has changed."""
    return Archive(path)


def items(path: Path) -> Iterator[Item]:
    """Yield a .zip's pictures, unpacked into memory on opening.

    Raises ModelProblem if the file is not an archive, is encrypted, or would unpack to too much.
    """
    archive, infos = _list_files(path, PICTURES, MAX_UNPACKED_BYTES)
    for info in infos:
        key, stamp = printable(info.filename.replace("\\", "/")), f"{info.file_size}-{info.CRC}"
        yield Item(key, stamp, partial(_unpack, archive, info))


def unpack_files(path: Path, folder: Path, suffixes: tuple[str, ...], *, most: int, most_bytes: int) -> list[Path]:
    """Unpack a .zip's files with these `suffixes` below a folder; return their paths.

    Raises Problem for what is no archive, or holds more than `most` files or `most_bytes` unpacked; then nothing of it
    is to be used. A name that leads out of the folder is one inside it (`zipfile.ZipFile.extract`).
    """
    archive, infos = _list_files(path, suffixes, most_bytes)
    with archive:
        if len(infos) > most:
            raise ModelProblem(f"{path.name} holds more than {most:,} files: give several archives.")
        return [Path(_read(info, most_bytes, partial(archive.extract, info, folder))) for info in infos]


def _list_files(path: Path, suffixes: tuple[str, ...], most_bytes: int) -> tuple[Archive, list[zipfile.ZipInfo]]:
    """Return an archive's files by suffix; raise ModelProblem if hostile."""
    try:
        with path.open("rb") as file:
            listed = directory_bytes(file)
        if listed > MAX_LIST_BYTES:
            raise ModelProblem(f"{path.name} lists too many files: give several archives.")
        archive = Archive(path)
        infos = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename, suffixes)]
    except ModelProblem:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack its files again.") from error
    if sum(info.file_size for info in infos) > most_bytes:
        size = f"{most_bytes >> 30} GB" if most_bytes >= 2**30 else f"{most_bytes >> 20} MB"
        raise ModelProblem(f"{path.name} unpacks to more than {size}: give several archives.")
    return archive, sorted(infos, key=lambda info: info.filename)


def _unpack(archive: Archive, info: zipfile.ZipInfo) -> bytes:
    with archive.lock:
        return _read(info, MAX_BYTES, partial(archive.read, info))


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


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return name.lower().endswith(suffixes) and not any(
        part.startswith((".", "__MACOSX")) for part in parts if part != ".."
    )


def directory_bytes(file: BinaryIO) -> int:
    """Return the declared size of an archive's central directory, which zipfile would read whole.

    Raises OSError or struct.error for a file that cannot be read or is cut off.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - _END.size))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return 0
    listed = int(_END.unpack_from(tail, at)[5])
    large = tail.rfind(b"PK\x06\x06", 0, at)
    return int(_END64.unpack_from(tail, large)[8]) if large >= 0 else listed
