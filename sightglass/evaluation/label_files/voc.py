"""Read Pascal VOC's XML: a file for each picture."""

from collections.abc import Iterator, Sequence
from functools import partial
from os.path import splitext
from xml.etree import ElementTree

from sightglass.common.errors import Problem
from sightglass.common.names import fold
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.parts import MOST
from sightglass.evaluation.label_files.rows import Row, Size, TrueBox, put_in_folder, refuse
from sightglass.evaluation.label_files.values import find_marks, parse_numbers, read_size
from sightglass.evaluation.label_files.xml_files import read_text

MAX_BYTES = 4 * 2**20
"""Bytes of a file."""


def list_rows(file: LabelFile, notes: Notes) -> Iterator[Row]:
    """Yield the objects of a file."""
    try:
        root = ElementTree.fromstring(read_text(file.read(), file.name, MAX_BYTES))
    except (OSError, ValueError, Problem, ElementTree.ParseError):
        yield file.path.stem, 0, partial(refuse, "it is no XML of Pascal VOC")
        return
    picture = root.findtext("filename") or file.path.stem
    named = put_in_folder(root.findtext("folder") or "", picture)
    if not _is_named_as(picture, file.path.stem):
        notes.count(
            "file has another name than the picture that it names: that picture's labels are read",
            "files have other names than the pictures that they name: these pictures' labels are read",
        )
    yield named, 0, lambda: None
    stated = read_size(root.findtext("size/width"), root.findtext("size/height"))
    for line, entry in enumerate(root.iterfind("object"), 1):
        corners = [entry.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        named_marks = {
            mark.findtext("name") or "": mark.findtext("value") for mark in entry.iterfind("attributes/attribute")
        }
        marks = find_marks({part.tag: part.text for part in entry} | named_marks)
        yield named, line, partial(_parse, entry.findtext("name") or "", corners, marks, stated)


def _is_named_as(picture: str, stem: str) -> bool:
    """Return whether a picture's name, with or without its folders and ending, is that of a file of labels."""
    name = picture.replace("\\", "/").rpartition("/")[2]
    return fold(stem) in (fold(name), fold(splitext(name)[0]))


def _parse(name: str, corners: Sequence[str], marks: tuple[bool, bool], stated: Size | None) -> TrueBox:
    x0, y0, x1, y1 = parse_numbers(corners)
    # A box of the first pixel alone is from 1 to 1.
    in_parts = max(x1, y1) <= MOST and x0 < x1 and y0 < y1
    # Pixels are counted from 1, the last one included.
    shift = 0 if in_parts else 1
    crowd, ignored = marks
    return TrueBox(name.strip(), (x0 - shift, y0 - shift, x1, y1), crowd, ignored, stated=stated)
