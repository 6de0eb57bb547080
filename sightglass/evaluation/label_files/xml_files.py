"""Read XML of untrusted files: without entities, element by element."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from sightglass.evaluation.label_files.opening import decode
from sightglass.evaluation.label_files.rows import LabelError

CHUNK = 2**21
"""Characters that are parsed at a time: a comment is scanned again with each part of it that follows."""
MAX_TAG = 2**20
"""Characters of a tag: one could have millions of attributes."""
MAX_ELEMENTS = 300_000
"""Elements of one picture or track, which are in memory at the same time."""
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*)")


def read_text(data: bytes, name: str, most_bytes: int) -> str:
    """Return the text of a file of XML.

    Raises LabelError for one that is too large or has entities.
    """
    if len(data) > most_bytes:
        raise LabelError(f"it has more than {most_bytes >> 20} MB")
    # In UTF-16 an entity would not be seen.
    text, _ = decode(data, name)
    # Entities can stand for billions of letters, and no label needs one.
    if "<!ENTITY" in text:
        raise LabelError("it has entities")
    return text


def root_of(data: bytes, name: str) -> str:
    """Return the name of a file's first element; empty without any.

    Raises Problem for no text.
    """
    text, _ = decode(data[: 2**12], name)
    found = _ROOT.search(text)
    return found[1] if found else ""


def list_elements(text: str, names: frozenset[str]) -> Iterator[ElementTree.Element]:
    """Yield each element of these names below the root when it has been read, and forget it then.

    Raises ElementTree.ParseError, and LabelError for what would fill the memory.
    """
    # Inside a tag no other may begin.
    if re.search(f"<[^<]{{{MAX_TAG}}}", text):
        raise LabelError(f"a tag has more than {MAX_TAG:,} characters")
    parser: Any = ElementTree.XMLPullParser(["start", "end"])
    path: list[ElementTree.Element] = []
    held = 0
    for start in range(0, len(text), CHUNK):
        parser.feed(text[start : start + CHUNK])
        for event, element in parser.read_events():
            if event == "start":
                path.append(element)
                held += 1
                if held > MAX_ELEMENTS:
                    raise LabelError(f"a part of it has more than {MAX_ELEMENTS:,} elements")
                continue
            path.pop()
            if len(path) != 1:
                continue
            if element.tag in names:
                yield element
            path[0].clear()
            held = 1
    parser.close()
