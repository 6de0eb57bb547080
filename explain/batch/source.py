"""Where many pictures come from: a folder, a pattern, a list, an archive, or files in memory.

Nothing here is trusted: an archive's names are never used as paths, and its sizes are bounded before anything is
unpacked. What cannot be read as a whole is a ModelProblem; what is wrong with a single file is found when it is opened.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import struct
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from common.errors import ImageProblem, ModelProblem
from explain.picture.image import MAX_BYTES, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".ppm", ".pgm", ".npy"),
)
"""How the names of pictures end; in a list or a pattern anything is taken for one."""
LISTS = (".txt", ".lst", ".tsv")
MOST = 200_000
MOST_UNPACKED = 16 * 2**30
MOST_NAMES = 64 * 2**20
"""Bytes of an archive's list of names, which is read into memory as a whole."""
_HEAD = 512
"""Bytes of a file in which its recipe begins."""
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture that is still to be opened."""

    key: str
    """What tells it from the others and stays from run to run: its path below the source, with `/`."""
    stamp: str
    """Another where its content is another: size and time of change, or checksum."""
    read: Callable[[], bytes | Path | Image]
    label: str | None = None
    """The folder it lies in, where the pictures lie in several; or what the list says."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def open(self) -> Image:
        """Decode it; raises ImageProblem, one sentence, also of a picture that this project has drawn."""
        given = self.read()
        if _drawn_here(given):
            raise ImageProblem(f"{self.name} is a picture of a map, made by Sightglass: it is not explained again.")
        return Image.open(given, name=self.name)


def _drawn_here(given: bytes | Path | Image) -> bool:
    """Whether a file begins with a recipe (`explain.export.embedded_recipe`): results often lie beside the pictures."""
    # A pipe would be waited for.
    if isinstance(given, Image) or (isinstance(given, Path) and not given.is_file()):
        return False
    try:
        with io.BytesIO(given) if isinstance(given, bytes) else given.open("rb") as file:
            return b'{"sightglass":' in file.read(_HEAD)
    except OSError:
        # Decoding says in a sentence what is wrong with it.
        return False


class Unreachable(ImageProblem):
    """A picture that the network did not give this time: another run asks for it again."""


def find(source: Any, *, within: Path | None = None, skip: Path | str | None = None, most: int = MOST) -> list[Item]:
    """Every picture of a source, in an order that does not change.

    `source`: a folder (with all below it), a pattern with `*`, a text file with one path a line (and, after a tab, its
    label), a .zip, one picture, or a sequence of paths, of (name, bytes), or of Items that were found before. A folder,
    a pattern, a list and a picture may be on any storage that fsspec knows (`s3://bucket/photographs`). `within`: files
    outside of this folder are left out, wherever a link leads, and so is every other machine. `skip`: a folder that is
    not looked into, as the one that results go to.
    Raises ModelProblem where there is nothing, or more than `most`.
    """
    if isinstance(source, str | os.PathLike):
        found = _at(str(source), within, skip)
    elif isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        found = _given(source, within)
    else:
        raise ModelProblem(
            f"Pictures come from a folder, a pattern, a list or a .zip, not from {type(source).__name__}."
        )
    items: list[Item] = []
    for item in found:
        if len(items) == most:
            raise ModelProblem(f"These are more than {most:,} pictures: give them in several parts.")
        items.append(item)
    if not items:
        raise ModelProblem(f"There are no pictures in {_short(source)}: check the path and what the names end with.")
    return _labelled(_once(items))


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """So many of them, evenly over all in their order, and always the same: of sorted folders some of each."""
    if count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _at(source: str, within: Path | None, skip: Path | str | None) -> Iterator[Item]:
    from explain.batch import remote

    path = remote.here(source)
    if path is None:
        if within is not None:
            raise ModelProblem(f"{_short(source)} is not on this machine: give a folder of it.")
        return remote.items(source, str(skip or ""))
    path = path.expanduser()
    skip = remote.here(str(skip)) if skip is not None else None
    source = str(path)
    if path.is_dir():
        return _folder(path, within, skip)
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return archive(path)
        return _listed(path, within) if path.suffix.lower() in LISTS else _files([(path, None)], path.parent, within)
    if glob.has_magic(source):
        named = sorted(glob.glob(str(path), recursive=True))
        fixed = str(path)[: min(str(path).find(sign) for sign in "*?[" if sign in str(path))]
        root = Path(fixed if fixed.endswith(os.sep) else os.path.dirname(fixed))
        return _files([(Path(name), None) for name in named if os.path.isfile(name)], root, within)
    raise ModelProblem(f"There is nothing at {_short(source)}: give a folder, a pattern, a list or a .zip.")


def _folder(root: Path, within: Path | None, skip: Path | None) -> Iterator[Item]:
    left_out = skip.resolve() if skip is not None else None

    def walk() -> Iterator[tuple[Path, None]]:
        # Links to folders are not followed: they can lead in circles.
        for folder, below, names in os.walk(root):
            below[:] = sorted(one for one in below if not one.startswith("."))
            if left_out is not None and (left_out in (here := Path(folder).resolve()).parents or here == left_out):
                below.clear()
                continue
            for name in sorted(names):
                if name.lower().endswith(PICTURES) and not name.startswith("."):
                    yield Path(folder, name), None

    return _files(walk(), root, within)


def _listed(path: Path, within: Path | None) -> Iterator[Item]:
    try:
        if path.stat().st_size > MOST_NAMES:
            raise ModelProblem(f"The list {path.name} is larger than {MOST_NAMES >> 20} MB: give it in several parts.")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelProblem(f"The list {path.name} cannot be read: is it a text file with one path a line?") from error
    return _named(lines, path.parent, within)


def _named(lines: Iterable[str], root: Path, within: Path | None) -> Iterator[Item]:
    """The pictures of a list, here or elsewhere."""
    from explain.batch import remote

    for name, label in entries(lines):
        if (path := remote.here(name)) is not None:
            yield from _files([(root / path, label)], root, within)
        elif within is None:
            yield remote.item(name, label)


def entries(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Of each line of a list the path and the label."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, _, label = line.strip().partition("\t")
            yield name, label.strip() or None


def _files(paths: Iterable[tuple[Path, str | None]], root: Path, within: Path | None) -> Iterator[Item]:
    inside = within.resolve() if within is not None else None
    for path, label in paths:
        try:
            if inside is not None and inside not in path.resolve().parents:
                continue
            status = path.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
        except (OSError, ValueError, RuntimeError):
            if inside is not None:
                continue
            # Said of the picture when its turn comes: one that is missing is no reason to do none.
            stamp = "missing"
        try:
            key = path.relative_to(root)
        except ValueError:
            key = path
        yield Item(_text(key.as_posix()), stamp, partial(Path, path), label)


def _given(source: Sequence[Any], within: Path | None) -> Iterator[Item]:
    from explain.batch import remote

    for one in source:
        if isinstance(one, Item):
            yield one
        elif isinstance(one, tuple):
            name, data = one
            stamp = hashlib.sha256(data).hexdigest()[:16]
            yield Item(_text(str(name).replace("\\", "/").lstrip("/")), stamp, partial(bytes, data))
        elif (path := remote.here(os.fspath(one))) is not None:
            yield from _files([(path.expanduser(), None)], Path.cwd(), within)
        elif within is None:
            yield remote.item(one, None)


def archive(path: Path) -> Iterator[Item]:
    """The pictures of a .zip, each unpacked when its turn comes, into memory and never into a file.

    Raises ModelProblem for what is no archive, for an encrypted one, and where it would unpack to too much.
    """
    if _bytes_of_names(path) > MOST_NAMES:
        raise ModelProblem(f"{path.name} lists too many files: give its pictures in several archives.")
    try:
        opened = Packed(path)
        infos = [info for info in opened.infolist() if not info.is_dir() and _is_picture(info.filename)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack the pictures again.") from error
    if sum(info.file_size for info in infos) > MOST_UNPACKED:
        raise ModelProblem(f"{path.name} unpacks to more than {MOST_UNPACKED >> 30} GB: give several archives.")
    # Files that share their bytes are how a small archive unpacks to a huge one without a suspicious ratio.
    ends = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < ends:
            raise ModelProblem(f"{path.name} holds files that overlap, which no ordinary archive does: pack it again.")
        ends = info.header_offset + info.compress_size
    for info in sorted(infos, key=lambda info: info.filename):
        yield Item(
            _text(info.filename.replace("\\", "/")), f"{info.file_size}-{info.CRC}", partial(_unpack, opened, info)
        )


class Packed(zipfile.ZipFile):
    """An archive that is open; in another process it is opened there."""

    def __init__(self, path: Path) -> None:
        self.path, self.turn = path.absolute(), threading.Lock()
        super().__init__(path)

    def __reduce__(self) -> Any:
        status = self.path.stat()
        return _opened, (self.path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(path: Path, _size: int, _changed: int) -> Packed:
    """Of all batches of one archive that come to a process, once; one that changed is another."""
    return Packed(path)


def _unpack(opened: Packed, info: zipfile.ZipInfo) -> bytes:
    name = PurePosixPath(info.filename).name
    if info.flag_bits & 1:
        raise ImageProblem(f"{name} is encrypted: pack it without a password.")
    # The others may ask for gigabytes of memory to unpack a few bytes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageProblem(f"{name} is packed in an unusual way: pack it as an ordinary .zip.")
    if info.file_size > MAX_BYTES:
        raise ImageProblem(f"{name} holds {info.file_size:,} bytes; give at most {MAX_BYTES:,}.")
    try:
        with opened.turn, opened.open(info) as file:
            return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise ImageProblem(f"{name} is damaged inside its archive: pack it again.") from error
    except Exception as error:
        # zlib.error and what else a hostile stream makes of it.
        raise ImageProblem(f"{name} cannot be unpacked: pack it again.") from error


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return name.lower().endswith(PICTURES) and not any(
        part.startswith((".", "__MACOSX")) for part in parts if part != ".."
    )


def _bytes_of_names(path: Path) -> int:
    """How large an archive says its list of names is: zipfile reads it whole, so it is bounded before."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**16 - _END.size))
            tail = file.read()
            at = tail.rfind(b"PK\x05\x06")
            if at < 0 or len(tail) - at < _END.size:
                return 0
            listed = int(_END.unpack_from(tail, at)[5])
            if listed == 0xFFFFFFFF or tail.rfind(b"PK\x06\x06", 0, at) >= 0:
                large = tail.rfind(b"PK\x06\x06", 0, at)
                listed = int(_END64.unpack_from(tail, large)[8]) if large >= 0 else listed
            return listed
    except (OSError, struct.error) as error:
        raise ModelProblem(f"{path.name} is damaged or no .zip archive: pack the pictures again.") from error


def _once(items: list[Item]) -> list[Item]:
    """A key stands for one picture: what comes again under it gets a number."""
    seen: dict[str, int] = {}
    out = []
    for item in items:
        count = seen[item.key] = seen.get(item.key, 0) + 1
        out.append(item if count == 1 else replace(item, key=f"{item.key} ({count})"))
    return out


def _labelled(items: list[Item]) -> list[Item]:
    """Each picture's folder as its label, where they lie in several."""
    parents = [PurePosixPath(item.key).parent.name for item in items]
    if len({parent for parent in parents if parent}) < 2:
        return items
    return [
        item if item.label is not None or not parent else replace(item, label=parent)
        for item, parent in zip(items, parents, strict=True)
    ]


def _text(name: str) -> str:
    """A name as text that any file can hold: bytes that are none, and characters that steer, are spelled out."""
    whole = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in whole)


def _short(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        return "what was given"
    from explain.batch import remote

    return remote.short(str(source))
