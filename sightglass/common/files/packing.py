"""Pack a JSON header and binary blobs."""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import yaml

from sightglass.common.files import Json, to_json

MAX_HEADER = 2**20
"""Maximum bytes of a header: parsed JSON takes up to 25 times the memory."""


def pack_data(head: Json, blobs: Sequence[bytes] = ()) -> bytes:
    """Pack a header and its blobs: [u32 length][JSON, padded to 4][blob][blob]…, little-endian.

    The header gets `sizes`, the bytes of each blob. `sightglass/browser/unpack.js` takes it apart in the browser.
    """
    text = to_json(head | {"sizes": [len(blob) for blob in blobs]}, None).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def unpack_data(data: bytes) -> tuple[Json, list[bytes]]:
    """Return the header and blobs of `pack_data`; raise ValueError."""
    if len(data) < 4:
        raise ValueError("too short for a header")
    (length,) = struct.unpack_from("<I", data)
    if length > min(len(data) - 4, MAX_HEADER):
        raise ValueError("the header is cut off, or too long")
    try:
        head = json.loads(data[4 : 4 + length])
    except RecursionError as error:
        raise ValueError("the header is nested too deeply") from error
    sizes = head.get("sizes") if isinstance(head, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("the header names no sizes")
    if 4 + length + sum(sizes) != len(data):
        raise ValueError("the sizes do not match")
    blobs, at = [], 4 + length
    for size in sizes:
        blobs.append(data[at : at + size])
        at += size
    return head, blobs


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that a spreadsheet takes for formulas."""


def escape(value: Any) -> Any:
    """Put an apostrophe before a text like a spreadsheet formula, and leave out what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) else value


def unescape(text: str) -> str:
    """Undo `escape`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text


def write(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV (RFC 4180); of each only these columns. `file`: opened with `newline=""`."""
    writer = csv.DictWriter(file, [str(escape(name)) for name in columns], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({escape(name): escape(value) for name, value in row.items()} for row in rows)


def read(file: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of such a file."""
    for row in csv.DictReader(file):
        yield {name: unescape(text) if isinstance(text, str) else text for name, text in row.items()}


SUFFIXES = (".yaml", ".yml")
MAX_BYTES, MAX_DEPTH = 2**20, 100
# It makes texts, lists and mappings alone; in Python, without libyaml, it takes ten times as long.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(path: Path) -> Any:
    """Return a YAML file's lists and mappings; all else in it is text as it is written: `no` is "no", and 1 is "1".

    Raises OSError, or ValueError with the reason for what is no YAML, is too large, or refers to parts of itself.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES / 1e6:.0f} MB")
    text, depth = raw.decode("utf-8-sig"), 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # A few lines of references can stand for billions, and libyaml's recursion has no limit.
            if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
                raise ValueError("it is nested too deeply, or refers to parts of itself")
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as problem:
        line = getattr(getattr(problem, "problem_mark", None), "line", None)
        raise ValueError(f"it is no YAML{'' if line is None else f' (line {line + 1})'}") from problem


PHOTOGRAPHS = {
    "cameraman": ("sightglass", "models/demo/cameraman.jpg"),
    "bus": ("ultralytics", "assets/bus.jpg"),
    "zidane": ("ultralytics", "assets/zidane.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
"""The package and the path of each photograph, by its name; the first is what pages open on."""


def packaged_file(package: str, part: str) -> Path | None:
    """Return a file of an installed package, or None."""
    spec = find_spec(package)
    roots = (spec.submodule_search_locations if spec else None) or ()
    return next((path for root in roots if (path := Path(root) / part).is_file()), None)


def photograph(name: str) -> Path | None:
    """Return a photograph of PHOTOGRAPHS by name, or None."""
    return packaged_file(*PHOTOGRAPHS[name])


def photographs() -> dict[str, Path]:
    """Return the paths of the installed photographs of other packages, with which checks were measured, by name."""
    names = [name for name, (package, _) in PHOTOGRAPHS.items() if package != "sightglass"]
    return {name: path for name in names if (path := photograph(name)) is not None}


def font(name: str = "DejaVuSans") -> Path:
    """Return the TrueType file of matplotlib's `DejaVuSans` or `DejaVuSans-Bold`."""
    file = packaged_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")
    assert file is not None  # matplotlib is a requirement
    return file
