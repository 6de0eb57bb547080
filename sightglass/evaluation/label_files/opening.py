"""Open files of labels: one file, a folder or a `.zip`, within bounds."""

import codecs
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.common.left_out import HIDDEN, is_hidden
from sightglass.common.legible import visible
from sightglass.explain.picture.source import PICTURES, unpack_files

MAX_BYTES = 512 * 2**20
"""Maximum bytes of one file of labels."""
MAX_FILES, MAX_UNPACKED = 200_000, 256 * 2**20
"""Files of an archive of labels, and their bytes: a small one can unpack to a JSON that fills the memory."""
JSON = (".json", ".jsonl", ".ndjson")
PACKED = (".txt", ".xml", ".yaml", ".yml", *JSON, ".csv", ".tsv")
"""Endings of files that are unpacked from one."""
DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "classes.json")
"""Files with the names of classes by index."""
EXPECTED = "one table with file and label, one COCO .json, or a folder or a .zip of YOLO .txt or VOC .xml files"


@contextlib.contextmanager
def open_files(
    path: Path | str, what: str, hint: str, left_out: dict[str, str], endings: tuple[str, ...] = PACKED
) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and its files with these endings, unpacked from an archive.

    `left_out` receives the others, but for pictures, with the reasons. Raises Problem.
    """

    def choose(name: str) -> bool:
        chosen = name.lower().endswith(endings) and not is_hidden(name)
        if not chosen and not name.lower().endswith(PICTURES):
            left_out[visible(name)] = HIDDEN if is_hidden(name) else f"no {what}"
        return chosen

    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield path, [file for file in files if choose(file.relative_to(path).as_posix())]
        return
    if not path.is_file():
        raise Problem(f"There are no {what} at {path}: {hint}.")
    if path.suffix.lower() != ".zip":
        if path.stat().st_size > MAX_BYTES:
            raise Problem(f"{path.name} has more than {MAX_BYTES >> 20} MB: split these labels.")
        if path.suffix.lower() not in endings:
            raise Problem(f"{path.name} has no readable {what}: {hint}.")
        yield path.parent, [path]
        return
    with tempfile.TemporaryDirectory(prefix=f"sightglass-{what}-", ignore_cleanup_errors=True) as home:
        # Deep enough that no file of somebody else's is above it.
        folder = Path(home) / "unpacked" / file_stem(path.stem, otherwise=what)
        folder.mkdir(parents=True)
        yield folder, unpack_files(path, folder, choose, most=MAX_FILES, most_bytes=MAX_UNPACKED)


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Return a text and its encoding, empty for UTF-8; raise Problem for what is no text."""
    encodings = {"utf-8-sig": "", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = {"utf-16": "UTF-16"}
    for encoding, title in encodings.items():
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in (text := data.decode(encoding)):
                return text, title
    raise Problem(f"{name} is no text: save it as UTF-8.")
