"""Open files of labels: one file, a folder or a `.zip`, within bounds."""

import codecs
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from os.path import splitext
from pathlib import Path, PurePosixPath

from sightglass.common.errors import Problem, TooManyLabels
from sightglass.common.left_out import HIDDEN, is_hidden
from sightglass.common.legible import visible
from sightglass.evaluation.matching import is_part
from sightglass.explain.picture.source import PICTURES, read_members

MAX_BYTES = 512 * 2**20
"""Maximum bytes of one file of labels."""
MAX_FILES = 200_000
"""Files of an archive of labels."""
MAX_UNPACKED = 256 * 2**20
"""Bytes of an archive's files: a small one can unpack to a JSON that fills the memory."""
JSON = (".json", ".jsonl", ".ndjson")
NAMED = (".yaml", ".yml", ".names")
"""Endings of files that may name classes and hold nothing else."""
PACKED = (".txt", ".xml", ".data", *NAMED, *JSON, ".csv", ".tsv")
"""Endings of files that are read from one."""
EXPECTED = (
    "one table with file and label, one .json, or a folder or a .zip of YOLO .txt, Pascal VOC .xml, or LabelMe .json "
    "files"
)


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file of labels, in a folder or in an archive."""

    key: str
    """Its path below the folder or in the archive, with `/`."""
    read: Callable[[], bytes]
    """Return its content. Raises OSError, and Problem for a damaged member of an archive."""
    on_disk: Path | None = None
    """None of a member of an archive."""

    @property
    def path(self) -> PurePosixPath:
        # Of 200,000 files texts take half the memory.
        return PurePosixPath(self.key)

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """Its ending in small letters."""
        return splitext(self.key)[1].lower()

    @property
    def shown(self) -> str:
        """What a sentence calls it."""
        return visible(self.key)


@dataclass(frozen=True)
class LabelFiles:
    """What was given as labels."""

    name: str
    """What a sentence calls the folder or the archive."""
    files: list[LabelFile]
    above: tuple[Path, ...] = ()
    """Folders in which names of classes may be, too, the nearest first; none of an archive."""


@contextlib.contextmanager
def open_files(
    path: Path | str, what: str, hint: str, left_out: dict[str, str], endings: tuple[str, ...] = PACKED
) -> Iterator[LabelFiles]:
    """Yield the files with these endings in a folder or an archive, or one file.

    `left_out` receives the others, but for pictures, with the reasons. Raises Problem.
    """

    packed: list[str] = []

    def choose(name: str) -> bool:
        packed.append(name)
        chosen = name.lower().endswith(endings) and not is_hidden(name)
        if not chosen and not name.lower().endswith(PICTURES):
            left_out[visible(name)] = HIDDEN if is_hidden(name) else f"no {what}"
        return chosen

    path = Path(path).expanduser()
    if path.is_dir():
        yield _open_folder(path, choose)
        return
    if not path.is_file():
        raise Problem(f"There are no {what} at {path}: {hint}.")
    if path.suffix.lower() == ".zip":
        with read_members(path, choose, most=MAX_FILES, most_bytes=MAX_UNPACKED) as members:
            top = _find_top(packed)
            yield LabelFiles(path.stem, [LabelFile(name.removeprefix(top), read) for name, read in members])
        return
    if path.stat().st_size > MAX_BYTES:
        raise TooManyLabels(f"{path.name} has more than {MAX_BYTES >> 20} MB: split these labels.")
    if path.suffix.lower() not in endings:
        raise Problem(f"{path.name} has no readable {what}: {hint}.")
    yield LabelFiles(path.parent.name, [_on_disk(path, path.parent)], _list_above(path.parent))


def find_folder(path: Path | str) -> str:
    """Return the path of the folder that labels are in."""
    path = Path(path).expanduser().absolute()
    return (path if path.is_dir() else path.parent).as_posix()


def _find_top(names: Iterable[str]) -> str:
    """Return the one folder, with a slash, that all of an archive is in, unless it is a part of a data set."""
    folders = [name.replace("\\", "/").rpartition("/")[0] for name in names if not is_hidden(name)]
    tops = {folder.partition("/")[0] for folder in folders}
    top = tops.pop() if len(tops) == 1 else ""
    return f"{top}/" if top and not is_part(top) else ""


def _open_folder(folder: Path, choose: Callable[[str], bool]) -> LabelFiles:
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    files = [_on_disk(file, folder) for file in found if choose(file.relative_to(folder).as_posix())]
    return LabelFiles(folder.name, files, _list_above(folder))


def _on_disk(file: Path, folder: Path) -> LabelFile:
    return LabelFile(file.relative_to(folder).as_posix(), partial(_read_bytes, file), file)


def _read_bytes(file: Path) -> bytes:
    if file.stat().st_size > MAX_BYTES:
        raise TooManyLabels(f"{file.name} has more than {MAX_BYTES >> 20} MB: split these labels.")
    return file.read_bytes()


def _list_above(folder: Path) -> tuple[Path, ...]:
    return folder, folder.parent, folder.parent.parent


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Return a text and its encoding, empty for UTF-8.

    Raises Problem for what is no text.
    """
    encodings = {"utf-8-sig": "", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = {"utf-16": "UTF-16"}
    for encoding, title in encodings.items():
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in (text := data.decode(encoding)):
                return text, title
    raise Problem(f"{name} is no text: save it as UTF-8.")
