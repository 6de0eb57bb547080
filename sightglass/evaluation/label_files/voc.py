"""Read Pascal VOC's XML: a file for each picture."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.opening import decode
from sightglass.evaluation.label_files.rows import LabelError, Row, TrueBox
from sightglass.evaluation.label_files.values import parse_numbers

MAX_XML = 4 * 2**20
"""Bytes of a file of Pascal VOC."""


def list_voc(file: Path) -> Iterator[Row]:
    from xml.etree import ElementTree

    try:
        data = file.read_bytes()
        # In UTF-16 an entity would not be seen.
        text, _ = decode(data, file.name)
        # Entities can stand for billions of letters, and no label needs one.
        if len(data) > MAX_XML or "<!ENTITY" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, Problem, ElementTree.ParseError):
        yield file.stem, 0, partial(_refuse, "it is no XML of Pascal VOC")
        return
    picture = root.findtext("filename") or file.stem
    yield picture, 0, lambda: None
    for line, entry in enumerate(root.iterfind("object"), 1):
        corners = [entry.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        difficult = (entry.findtext("difficult") or "").strip() in ("1", "true", "True")
        yield picture, line, partial(_parse_voc, entry.findtext("name") or "", corners, difficult)


def _refuse(reason: str) -> TrueBox:
    raise LabelError(reason)


def _parse_voc(name: str, corners: Sequence[str], difficult: bool) -> TrueBox:
    # Its pixels are counted from 1, the last one included.
    x0, y0, x1, y1 = parse_numbers(corners)
    return TrueBox(name.strip(), (x0 - 1, y0 - 1, x1, y1), ignored=difficult)
