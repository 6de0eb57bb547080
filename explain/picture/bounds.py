"""Refuse pictures' files whose decoding takes long for their size, or much memory.

Pillow's parsers are in Python: what they do part by part is counted. Its decoders in C are fast by pixel, but a JPEG's
scans go over all pixels each.
"""

import os
import re
from collections import deque
from io import BytesIO
from typing import Any, Literal, cast

import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import TooLarge

MAX_PARTS = 100
"""Maximum number of scans of a JPEG, and of metadata of one kind."""
MAX_SCANNED = 1_500_000_000
"""Maximum number of pixels that all scans of a JPEG go over."""
QUICK = 50_000_000
"""As many of these pixels are decoded in about half a second."""
MAX_READS, MAX_NUMBERS = 1_000_000, 300_000
"""Maximum number of reads from a file, and of numbers in the tags of TIFF and EXIF."""
MAX_SLOW = 500_000
"""Maximum number of pixels of forms that Pillow decodes in Python."""
_MARKER = re.compile(rb"\xff\xff*([\xc0-\xcf\xd8-\xfe])")
"""A JPEG's marker that begins a part; there is none within entropy-coded data.

It begins with a literal, which `re` finds ten times as fast."""
_END, _SCAN = b"\xd9", b"\xda"
_METADATA = {"JPEG": rb"Exif\0\0", "PNG": rb"iCCP|zTXt|iTXt"}
_DIRECTORY = re.compile(rb"II[*+]\0|MM\0[*+]")
MAX_DIRECTORIES = 8
"""Directories of tags that are read from one header: EXIF has four, and a crafted file may name each again."""
_BYTES, _SUBDIRECTORIES = (1, 2, 6, 7), (0x8769, 0x8825, 0xA005)
"""Types of tags whose content stays bytes, and EXIF's tags that name another directory."""
# libtiff's own limit is 100 scans, of every strip.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "15")


class _Source(BytesIO):
    """A file that raises TooLarge when it is read in too many parts."""

    def __init__(self, data: bytes, title: str) -> None:
        super().__init__(data)
        self._title, self._reads_left = title, MAX_READS

    def read(self, size: int | None = -1) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise _too_many_parts(self._title)
        return super().read(size)


def _too_many_parts(title: str) -> TooLarge:
    return TooLarge(f"{title} has too many parts to be decoded in time; save it as an ordinary PNG or JPEG.")


def open_file(kind: str, data: bytes, title: str) -> Any:
    """Return Pillow's image of a file; raise TooLarge for too many parts.

    Only the header is read; `check_decoding` belongs between it and the pixels.
    """
    scans = _count_scans(data) if kind == "JPEG" else 0
    metadata = len(re.findall(_METADATA[kind], data)) if kind in _METADATA else 0
    if max(scans, metadata) > MAX_PARTS or _count_numbers(data) > MAX_NUMBERS:
        raise _too_many_parts(title)
    if kind == "HEIC":
        from pillow_heif import HeifImageFile

        return cast("Any", HeifImageFile)(BytesIO(data))
    # Not init, which imports Pillow's forty other plugins, too.
    Pillow.preinit()
    # Not PIL.Image.open: its size limit is a global, it warns where we must refuse, and Ultralytics replaces it.
    return Pillow.OPEN[kind][0](_Source(data, title), b"")


def check_decoding(image: Any, data: bytes, title: str) -> None:
    """Raise TooLarge for pixels that take long to decode."""
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO") and pixels * (_count_scans(data) - 1) > MAX_SCANNED:
        raise _too_many_parts(title)
    coders = {tile[0] for tile in image.tile}
    # In text, a comment moves all that follows it.
    comments = data.count(b"#") if "ppm_plain" in coders else 0
    if comments > MAX_PARTS or (pixels > MAX_SLOW and coders & Pillow.DECODERS.keys()):
        raise TooLarge(f"{title} takes long to decode in this form: save it as an ordinary PNG.")


def takes_long(data: bytes, title: str) -> bool:
    """Return whether decoding a file may take long for its size, though it is within the bounds."""
    if data[4:8] == b"ftyp" or _DIRECTORY.match(data):
        return True
    if not data.startswith(b"\xff\xd8"):
        return False
    try:
        image = open_file("JPEG", data, title)
    except Exception:
        # Said where it is decoded.
        return False
    scans = _count_scans(data)
    return bool(scans > 1 and scans * image.width * image.height > QUICK)


def _count_scans(data: bytes) -> int:
    """Return a JPEG's number of scans; each of too many parts counts."""
    at, scans, parts = 2, 0, 0
    while parts <= 100 * MAX_PARTS and (marker := _MARKER.search(data, at)) and marker[1] != _END:
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        scans, parts = scans + (marker[1] == _SCAN), parts + 1
    return scans if parts <= 100 * MAX_PARTS else parts


def _count_numbers(data: bytes) -> int:
    """Return how many tags and numbers the directories in a file have, of TIFF or of EXIF in another format."""
    total = 0
    for head in _DIRECTORY.finditer(data):
        big, width = b"+" in head[0], 8 if b"+" in head[0] else 4
        order: Literal["little", "big"] = "little" if head[0].startswith(b"I") else "big"
        entry: Any = [("tag", "u2"), ("type", "u2"), ("count", f"u{width}"), ("value", f"u{width}")]
        record = np.dtype(entry).newbyteorder(order)
        start = head.start() + (8 if big else 4)
        offsets, read = deque([int.from_bytes(data[start : start + width], order)]), 0
        while offsets and read < MAX_DIRECTORIES:
            read, at = read + 1, head.start() + offsets.popleft()
            first = at + (8 if big else 2)
            size = min(int.from_bytes(data[at:first], order), max(0, (len(data) - first) // record.itemsize))
            tags = np.frombuffer(data, record, size, first) if size else np.empty(0, record)
            # Pillow leaves out a tag that claims more than the file has.
            counts = tags["count"][~np.isin(tags["type"], _BYTES) & (tags["count"] <= len(data))]
            total += len(tags) + int(counts.astype(np.float64).sum())
            offsets += [int(tag["value"]) for tag in tags[np.isin(tags["tag"], _SUBDIRECTORIES)]]
        if total > MAX_NUMBERS:
            break
    return total
