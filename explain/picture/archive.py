"""Read pictures from a .zip."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.picture.image import MAX_BYTES
from sightglass.explain.picture.item import MAX_LIST_BYTES, PICTURES, Item, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_UNPACKED_BYTES = 16 * 2**30
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
    """Yield the pictures of a .zip, each unpacked into memory when it is opened and never into a file.

    Raises ModelProblem if the file is not an archive, is encrypted, or would unpack to too much.
    """
    if _directory_bytes(path) > MAX_LIST_BYTES:
        raise ModelProblem(f"{path.name} lists too many files: give its pictures in several archives.")
    try:
        archive = Archive(path)
        infos = [info for info in archive.infolist() if not info.is_dir() and _is_picture(info.filename)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack the pictures again.") from error
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise ModelProblem(f"{path.name} unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB: give several archives.")
    # Files that share their bytes make a small archive unpack to a huge one without a suspicious ratio.
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ModelProblem(f"{path.name} holds files that overlap, which no ordinary archive does: pack it again.")
        end = info.header_offset + info.compress_size
    for info in sorted(infos, key=lambda info: info.filename):
        key, stamp = printable(info.filename.replace("\\", "/")), f"{info.file_size}-{info.CRC}"
        yield Item(key, stamp, partial(_unpack, archive, info))


def _unpack(archive: Archive, info: zipfile.ZipInfo) -> bytes:
    name = PurePosixPath(info.filename).name
    if info.flag_bits & 1:
        raise ImageProblem(f"{name} is encrypted: pack it without a password.")
    # Other methods may need gigabytes of memory to unpack a few bytes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageProblem(f"{name} is packed in an unusual way: pack it as an ordinary .zip.")
    if info.file_size > MAX_BYTES:
        raise ImageProblem(f"{name} holds {info.file_size:,} bytes; give at most {MAX_BYTES:,}.")
    try:
        with archive.lock, archive.open(info) as file:
            return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise ImageProblem(f"{name} is damaged inside its archive: pack it again.") from error
    except Exception as error:
        # zlib.error, and whatever else a hostile stream causes.
        raise ImageProblem(f"{name} cannot be unpacked: pack it again.") from error


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return name.lower().endswith(PICTURES) and not any(
        part.startswith((".", "__MACOSX")) for part in parts if part != ".."
    )


def _directory_bytes(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return directory_bytes(file)
    except (OSError, struct.error) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack the pictures again.") from error


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
