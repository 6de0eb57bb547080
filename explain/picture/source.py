"""Find pictures in folders, patterns, archives and storages (`s3://…`, by fsspec).

A source is not trusted: names in archives and storages become keys and never paths, no more bytes are read than a
picture may have, and every network error becomes one sentence. A source that cannot be read is a ModelProblem; a
problem with a single file is found when it is opened.
"""

import glob
import hashlib
import os
import re
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from sightglass.common.errors import ImageProblem, ModelProblem, from_machine
from sightglass.common.files import Stamp, stamp
from sightglass.common.left_out import HIDDEN, is_hidden
from sightglass.explain.phrases import listing, printable
from sightglass.explain.picture import packed_names
from sightglass.explain.picture.image import MAX_BYTES, Image, example_meant, to_path
from sightglass.explain.picture.received import open_received

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".ppm", ".pgm", ".npy"),
)
"""File extensions of pictures; a pattern may name any file."""
MAX_PICTURES, MAX_UNPACKED_BYTES = 200_000, 16 * 2**30
"""Pictures of one source, which are listed in memory, and bytes that those of an archive may unpack to."""
NO_PICTURE = "no picture"
"""Why a file of a source is left out."""
MAX_LIST_BYTES = 64 * 2**20
"""Limit for an archive's directory, which is read into memory as a whole."""
_READING = threading.Lock()
"""zipfile counts its open readers without one."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_STAMPS = ("ETag", "etag", "md5Hash", "crc32c", "mtime", "LastModified", "last_modified", "updated", "created")
"""Names under which storages give a value that changes with the content."""
_HEADER_BYTES = 2**18
"""Number of bytes at the start of a file within which its size and its orientation are."""
_JPEG = b"\xff\xd8"
RESULTS = {"analysis_summary.json", "journal.jsonl", "comparison.json", "similarity.json", "proof.json"}
"""Files of which each folder of results has one."""
OWN = "results of Sightglass"
"""Why a picture in such a folder is left out."""
_UNMARKED = {"classes.png", "labels.jpg", "methods.jpg", "segmentation.png", "similarity.jpg"}
"""Pictures of such a folder that carry no recipe, beside `*_original.jpg`."""
_MAP = re.compile(rb"\x93NUMPY.{4,8}\{'descr': '<f\d', 'fortran_order': False, 'shape': \(\d+, \d+\), \}", re.DOTALL)
"""How a map begins that was written as an array: it has no colours."""
_RECIPE_BYTES = 512
"""Number of bytes at the start of a file within which its recipe begins."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture that is still to be opened."""

    key: str
    """Unique in its source and the same in every run: the path below the source, with `/`."""
    stamp: str
    """Changes with the content: size and modification time, or a checksum."""
    read: Callable[[], bytes | Path | Image]
    label: str | None = None
    """Name of the picture's folder if the source has several."""
    encoding: str = ""
    """As what its name was read, where an archive does not state it."""
    folder: str = ""
    """The path of the folder that its key is below, with `/`; empty of an archive, and of what was uploaded."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def read_start(self) -> bytes | Path | Image:
        """Return the picture's file; of a JPEG or a storage no more than a header needs. Raises ImageProblem."""
        if isinstance(self.read, partial) and self.read.func is fetch:
            system, path = self.read.args
            return fetch(system, path, _HEADER_BYTES)
        data = self.read()
        if not isinstance(data, Path) or not data.is_file():
            return data
        with data.open("rb") as file:
            start = file.read(_HEADER_BYTES)
            return start if start.startswith(_JPEG) else start + file.read(MAX_BYTES)

    def open(self) -> Image:
        """Decode the picture; raise ImageProblem for failures and own renderings."""
        data = self.read()
        # Decoding reports what cannot be read.
        start = _read_start(data) if isinstance(data, Path) else data
        if isinstance(start, bytes) and _carries_recipe(start):
            raise ImageProblem(f"{self.name} is a picture of a map, made by Sightglass: it is not explained again.")
        if isinstance(data, bytes):
            # Of an archive or a storage.
            return open_received(data, name=self.name)
        return Image.open(data, name=self.name)


def _carries_recipe(start: bytes) -> bool:
    """Return whether a file begins as one that Sightglass drew (`sightglass.report.embedded_recipe`)."""
    return b'{"sightglass":' in start[:_RECIPE_BYTES]


def _find_results(names: Iterable[str]) -> set[str]:
    """Return the folders of files of which each folder of results has one."""
    paths = map(PurePosixPath, names)
    return {path.parent.as_posix() for path in paths if path.name in RESULTS}


def _is_result(
    key: str, of_results: Collection[str], read_start: Callable[[], bytes], left_out: dict[str, str]
) -> bool:
    """Return whether a picture was written into a folder of results, or into one below it, and note it."""
    path = PurePosixPath(key)
    if not any(folder.as_posix() in of_results for folder in path.parents):
        return False
    is_named = path.stem.endswith("_original") or path.name in _UNMARKED
    start = b"" if is_named else read_start()
    if not (is_named or _carries_recipe(start) or _MAP.match(start)):
        return False
    left_out[key] = OWN
    return True


def _read_start(path: Path) -> bytes:
    # Opening a pipe would wait for it.
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(_RECIPE_BYTES)
    return b""


class Unreachable(ImageProblem):
    """A picture that could not be fetched over the network; the next run tries again."""


class NoPictures(ModelProblem):
    """A source that can be read, and holds no picture."""


def find(
    source: Any,
    *,
    skip: Path | str | None = None,
    most: int = MAX_PICTURES,
    left_out: dict[str, str] | None = None,
) -> list[Item]:
    """Return every picture of a source, always in the same order.

    `source`: a folder (searched recursively), a pattern with `*`, a .zip, one picture, a bundled one's name
    (`bus.jpg`), or a sequence of paths, of (name, bytes), or of Items. A folder, a pattern and a picture may be on any
    storage that fsspec knows (`s3://bucket/photographs`). `skip`: a folder to leave out, such as the output folder.
    `left_out` receives the files of a folder or an archive that are no pictures, with the reasons. Raises ModelProblem
    if there are more than `most`, and NoPictures where there are none.
    """
    left_out = {} if left_out is None else left_out
    if isinstance(source, str | os.PathLike):
        pictures = _from_path(str(source), skip, left_out)
    elif isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        pictures = _from_sequence(source)
    else:
        raise ModelProblem(f"Pictures come from a folder, a pattern or a .zip, not from {type(source).__name__}.")
    items = list(islice(pictures, most + 1))
    if len(items) > most:
        raise ModelProblem(f"There are more than {most:,} pictures: give them in several parts.")
    if not items:
        raise NoPictures(f"There are no pictures in {short(source)}: check the path and the file extensions.")
    return _label(items)


def open_one(items: Iterable[Item], key: str) -> Image:
    """Decode a picture by its key; raise ImageProblem for failures and an unknown key."""
    item = next((item for item in items if item.key == key), None)
    if item is None:
        raise ImageProblem(f"{key} is not among the pictures: put it back, or choose another.")
    return item.open()


def describe_encodings(items: Iterable[Item]) -> str:
    """Return `Names in the archive were read as GBK.`; empty where their encoding is stated."""
    encodings = sorted({item.encoding for item in items} - {""})
    return f"Names in the archive were read as {listing(encodings)}." if encodings else ""


def folder_of(items: Iterable[Item]) -> str:
    """Return the path of the folder that all keys are below; empty without one, and of several."""
    folders = {item.folder for item in items}
    return folders.pop() if len(folders) == 1 else ""


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` items at even intervals, in order: from sorted folders, some of each."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def local_path(text: str) -> Path | None:
    """Return the path of a local file, `file://` or plain; None for a remote address."""
    match = _ADDRESS.match(text)
    if match is None:
        return Path(text)
    kind = match[1].lower()
    if kind == "file":
        return to_path(text)
    return Path(text[match.end() :]) if kind == "local" else None


def short(source: Any) -> str:
    """Return an address for a message: truncated, and without credentials."""
    if not isinstance(source, str | os.PathLike):
        return "what was given"
    text = re.sub(r"://[^/@]*@", "://", printable(str(source)))
    return text if len(text) <= 80 else f"…{text[-79:]}"


def _from_path(source: str, skip: Path | str | None, left_out: dict[str, str]) -> Iterator[Item]:
    if (local := local_path(source)) is None:
        return _from_storage(source, left_out)
    path = local.expanduser()
    if path.is_dir():
        return _files(_walk(path, None if skip is None else local_path(str(skip)), left_out), path)
    if path.is_file():
        return _from_archive(path, left_out) if path.suffix.lower() == ".zip" else _files([path], path.parent)
    if glob.has_magic(str(path)):
        root = Path(os.path.dirname(re.split(r"[*?[]", str(path), maxsplit=1)[0]))
        named = map(Path, sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True))))
        # Who writes a hidden folder into the pattern means it.
        return _files((file for file in named if not is_hidden(os.path.relpath(file, root))), root)
    if example_meant(source) is not None:
        return iter([Item(source, "bundled", partial(Path, source))])
    raise ModelProblem(f"There is nothing at {short(path)}: give a folder, a pattern or a .zip.")


def _walk(root: Path, skip: Path | None, left_out: dict[str, str]) -> Iterator[Path]:
    skip = skip and skip.resolve()
    of_results = set[str]()
    # Links to folders are not followed: they may form a loop.
    for folder, below, names in os.walk(root):
        top = Path(folder).relative_to(root)
        hidden = set(filter(is_hidden, below))
        below[:] = sorted({*below} - hidden)
        if skip is not None and skip in (here := Path(folder).resolve(), *here.parents):
            below.clear()
            continue
        left_out |= dict.fromkeys((f"{(top / name).as_posix()}/" for name in sorted(hidden)), HIDDEN)
        of_results |= _find_results((top / name).as_posix() for name in names)
        for name in sorted(names):
            path, key = Path(folder, name), (top / name).as_posix()
            own = _is_result(key, of_results, partial(_read_start, path), left_out)
            if not own and _is_chosen(key, PICTURES, left_out, NO_PICTURE):
                yield path


def _files(paths: Iterable[Path], root: Path) -> Iterator[Item]:
    for path in paths:
        try:
            status = path.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
        except (OSError, ValueError):
            # Reported when the picture is opened: one missing file must not stop the others.
            stamp = "missing"
        key = path.relative_to(root) if path.is_relative_to(root) else path
        # Workers of a cluster are in other folders.
        file = path.absolute()
        yield Item(printable(key.as_posix()), stamp, partial(Path, file), folder=root.absolute().as_posix())


def _from_sequence(source: Sequence[Any]) -> Iterator[Item]:
    base = Path.cwd()
    for entry in source:
        if isinstance(entry, Item):
            yield entry
        elif isinstance(entry, tuple):
            name, data = entry
            stamp = hashlib.sha256(data).hexdigest()[:16]
            yield Item(printable(str(name).replace("\\", "/").lstrip("/")), stamp, partial(bytes, data))
        else:
            name = os.path.expanduser(os.fspath(entry))
            if (local := local_path(name)) is None:
                # Whether it exists is known when it is opened.
                yield Item(printable(name), "listed", partial(fetch, *_storage(name)))
            elif not (base / local).exists() and example_meant(name):
                yield Item(name, "bundled", partial(Path, name))
            else:
                yield from _files([base / local], base)


def _label(items: list[Item]) -> list[Item]:
    """Number repeated keys, and label each picture with its folder if there are several."""
    folders = [PurePosixPath(item.key).parent.name for item in items]
    several = len({*folders} - {""}) > 1
    counts: Counter[str] = Counter()
    labelled = []
    for item, folder in zip(items, folders, strict=True):
        counts[item.key] += 1
        key = item.key if counts[item.key] == 1 else f"{item.key} ({counts[item.key]})"
        labelled.append(replace(item, key=key, label=item.label or (several and folder) or None))
    return labelled


def _storage(url: str) -> tuple[Any, str]:
    """Return an address's file system and path; raise ModelProblem if unreachable."""
    if "::" in url or url.lower().endswith(".zip"):
        raise ModelProblem(f"{short(url)} is an archive in a storage: copy it here, or unpack it there.")
    # Slow to import; torch requires it.
    import fsspec  # type: ignore[import-untyped]

    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:
        # An unknown protocol, a missing package, an invalid address.
        raise ModelProblem(f"{short(url)} cannot be reached ({_reason(error)}): check the address.") from error
    return system, str(path)


def _from_storage(url: str, left_out: dict[str, str]) -> Iterator[Item]:
    """Yield the pictures at the address of a folder, a pattern or a picture."""
    system, path = _storage(url)
    pattern = "*" in path
    named = pattern or PurePosixPath(path).suffix.lower() in PICTURES
    try:
        search = system.glob if pattern else system.find
        listing: dict[str, Any] = {path: system.info(path)} if named and not pattern else search(path, detail=True)
    except Exception as error:
        raise ModelProblem(f"{short(url)} cannot be read ({_reason(error)}): check address and rights.") from error
    root = path.partition("*")[0].rpartition("/")[0] if named else path.rstrip("/")
    keys = {name: name[len(root) :].lstrip("/") if name.startswith(root) else name for name in listing}
    if not named:
        keys = _leave_results_out(keys, system, left_out)
    for name, below in sorted(keys.items()):
        info = listing[name]
        if info.get("type") != "directory" and (named or _is_chosen(below, PICTURES, left_out, NO_PICTURE)):
            stamp = next((info[name] for name in _STAMPS if info.get(name)), "")
            stamp = f"{info.get('size')}-{stamp}"
            yield Item(printable(below), stamp, partial(fetch, system, name), folder=root)


def _leave_results_out(keys: Mapping[str, str], system: Any, left_out: dict[str, str]) -> dict[str, str]:
    """Return the keys of a storage's files without those of pictures in folders of results, and note these."""
    folders = _find_results(keys.values())
    return {
        name: key
        for name, key in keys.items()
        if not _is_result(key, folders, partial(_fetch_start, system, name), left_out)
    }


def fetch(system: Any, path: str, most: int = MAX_BYTES + 1) -> bytes:
    """Return a picture's first bytes, by default one more than `Image.open` takes.

    Raises ImageProblem if it is missing, Unreachable if the network fails.
    """
    name = printable(PurePosixPath(path).name)
    try:
        with system.open(path, "rb") as file:
            return bytes(file.read(most))
    except FileNotFoundError as error:
        raise ImageProblem(f"{name} is not there: check the path.") from error
    except Exception as error:
        raise Unreachable(f"{name} could not be fetched ({_reason(error)}): the next run tries again.") from error


def _fetch_start(system: Any, path: str) -> bytes:
    """Return how a file in a storage begins; nothing where it cannot be fetched, which is said when it is opened."""
    with suppress(ImageProblem):
        return fetch(system, path, _RECIPE_BYTES)
    return b""


def _reason(error: Exception) -> str:
    """Return an error message as the middle of a sentence."""
    return short((str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__)


def _from_archive(path: Path, left_out: dict[str, str]) -> Iterator[Item]:
    """Yield the pictures of a .zip, each unpacked into memory when it is read."""
    version = path.absolute(), stamp(path)
    archive = _open_once(*version)
    members = _list_members(archive)
    of_results = _find_results(map(_key_of, members))
    infos = [
        info
        for info in members
        if not _is_result(_key_of(info), of_results, partial(_unpack_start, archive, info), left_out)
        and _is_chosen(info.filename, PICTURES, left_out, NO_PICTURE)
    ]
    _check_unpacked(archive, infos, MAX_UNPACKED_BYTES)
    encoding = packed_names.describe(infos)
    for info in infos:
        yield Item(_key_of(info), f"{info.file_size}-{info.CRC}", partial(_unpack, version, info), encoding=encoding)


@contextmanager
def read_members(
    path: Path, choose: Callable[[str], bool], *, most: int, most_bytes: int
) -> Iterator[list[tuple[str, Callable[[], bytes]]]]:
    """Yield the names of a .zip's chosen files, each with the function that unpacks it into memory.

    Raises Problem for what is no archive, or holds more than `most` files or `most_bytes` unpacked; so does a function
    for a file that is damaged. Of several files of one name the last counts, as when they are unpacked.
    """
    with _open(path) as archive:
        infos = {info.filename: info for info in _list_members(archive) if choose(info.filename)}
        _check_unpacked(archive, [*infos.values()], most_bytes)
        if len(infos) > most:
            raise ModelProblem(f"{path.name} holds more than {most:,} files: give several archives.")
        yield [
            (printable(name.replace("\\", "/")), partial(_read_member, archive, info, most_bytes))
            for name, info in infos.items()
        ]


def _open(path: Path) -> zipfile.ZipFile:
    try:
        with path.open("rb") as file:
            # By zipfile's own parser, as another one could be shown another size; it reads the directory whole.
            end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        if not end or end[zipfile._ECD_SIZE] <= MAX_LIST_BYTES:  # type: ignore[attr-defined]
            archive = zipfile.ZipFile(path)
            packed_names.decode(archive.infolist())
            return archive
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        damaged = ModelProblem(f"{path.name} is damaged or no .zip archive: pack its files again.")
        raise from_machine(error) or damaged from error
    raise ModelProblem(f"{path.name} lists too many files: give several archives.")


@lru_cache(maxsize=2)
def _open_once(path: Path, at: Stamp) -> zipfile.ZipFile:
    """Open an archive once per process, and again if it has changed."""
    return _open(path)


def _list_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return an archive's files by name."""
    members = (info for info in archive.infolist() if not info.is_dir())
    return sorted(members, key=lambda info: info.filename)


def _check_unpacked(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], most_bytes: int) -> None:
    """Raise ModelProblem for files that unpack to more bytes."""
    if sum(info.file_size for info in infos) > most_bytes:
        name = Path(archive.filename or "").name
        raise ModelProblem(f"{name} unpacks to more than {most_bytes >> 20:,} MB: give several archives.")


def _key_of(info: zipfile.ZipInfo) -> str:
    return printable(info.filename.replace("\\", "/"))


def _unpack_start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return how a file in an archive begins; nothing of a damaged one, which is said when it is opened."""
    with _READING, suppress(ImageProblem):
        return bytes(_read(info, MAX_BYTES, lambda: archive.open(info).read(_RECIPE_BYTES)))
    return b""


def _unpack(version: tuple[Path, Stamp], info: zipfile.ZipInfo) -> bytes:
    with _READING:
        return bytes(_read(info, MAX_BYTES, lambda: _open_once(*version).read(info)))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most_bytes: int) -> bytes:
    return bytes(_read(info, most_bytes, partial(archive.read, info)))


def _read(info: zipfile.ZipInfo, most_bytes: int, read: Callable[[], Any]) -> Any:
    """Return `read()` of a file in an archive; raise ImageProblem for a hostile or damaged one."""
    name = printable(PurePosixPath(info.filename).name)
    # Other methods may need gigabytes of memory to unpack a few bytes.
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageProblem(f"{name} is encrypted, or packed in an unusual way: pack it as an ordinary .zip.")
    if info.file_size > most_bytes:
        raise ImageProblem(f"{name} holds {info.file_size:,} bytes; give at most {most_bytes:,}.")
    try:
        return read()
    except Exception as error:
        # A hostile stream or name raises anything.
        damaged = ImageProblem(f"{name[:80]} is damaged or has an unusual name: rename it, and pack it again.")
        raise from_machine(error) or damaged from error


def _is_chosen(name: str, suffixes: tuple[str, ...], left_out: dict[str, str], reason: str) -> bool:
    """Return whether a file in sight has one of these `suffixes`; note the others."""
    if is_hidden(name):
        left_out[name] = HIDDEN
    elif not name.lower().endswith(suffixes):
        left_out[name] = reason
    return name not in left_out
