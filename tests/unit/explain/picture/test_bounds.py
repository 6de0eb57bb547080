"""A file that takes long to decode for its size is refused at once, and an ordinary one is not."""

import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.common.errors import TooLarge
from sightglass.explain.picture.image import Image
from sightglass.report import embedded_recipe
from tests import corpus
from tests.waits import patience


def saved(kind: str, side: int = 64, **options: object) -> bytes:
    pixels = np.arange(side * side, dtype=np.uint32).astype(np.uint8).reshape(side, side)
    return corpus.saved(Pillow.fromarray(pixels), kind, **options)


def scans(count: int, side: int) -> bytes:
    """A progressive JPEG whose last scan comes `count` times, of a side that its data do not fill."""
    whole = bytearray(saved("JPEG", progressive=True))
    start = whole.index(b"\xff\xc2") + 5
    whole[start : start + 4] = struct.pack(">HH", side, side)
    last = whole.rindex(b"\xff\xda")
    return bytes(whole[:last] + whole[last:-2] * count + b"\xff\xd9")


def chunks(kind: bytes, body: bytes, count: int) -> bytes:
    whole = saved("PNG")
    return whole[:33] + corpus.chunk(kind, body) * count + whole[33:]


def rationals(count: int) -> bytes:
    """EXIF whose orientation is many fractions."""
    tag = struct.pack("<HHLL", 0x112, 5, count, 26)
    return (b"II*\0" + struct.pack("<LH", 8, 1) + tag).ljust(26, b"\0") + b"\1\0\0\0" * 2 * count


def strips(count: int) -> bytes:
    whole = bytearray(saved("TIFF"))
    at = whole.index(struct.pack("<HH", 273, 4)) + 4
    whole[at : at + 4] = struct.pack("<L", count)
    return bytes(whole) + bytes(4 * count)


MANY = 2_000_000
HOSTILE: dict[str, Callable[[], bytes]] = {
    "scans": lambda: scans(100, 64),
    "scans of many pixels": lambda: scans(30, 10_000),
    "segments": lambda: (file := saved("JPEG"))[:2] + b"\xff\xe5\x00\x02" * MANY + file[2:],
    "fill bytes": lambda: (file := saved("JPEG"))[:2] + b"\xff" * MANY + file[2:],
    "EXIF in parts": lambda: (file := saved("JPEG"))[:2] + b"\xff\xe1\x00\x0aExif\0\0aa" * 101 + file[2:],
    "chunks": lambda: chunks(b"prVt", b"", MANY // 4),
    "profiles": lambda: chunks(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**6)), 101),
    "EXIF of PNG": lambda: chunks(b"eXIf", rationals(400_000), 1),
    "comments of GIF": lambda: (
        (file := saved("GIF"))[: (at := file.index(b",", 13))] + (b"!\xfe" + b"\1a" * MANY + b"\0") + file[at:]
    ),
    "tags of TIFF": lambda: strips(400_000),
    "text of PPM": lambda: b"P2\n1000 1000 255\n" + b"0 " * 10**6,
    "comments of PPM": lambda: b"P2\n100 100 255\n" + b"#\n" * 101 + b"0 " * 10**4,
    "PPM of another range": lambda: b"P5\n1000 1000 100\n" + bytes(10**6),
    "header of PPM": lambda: b"P5\n" + b" " * MANY + b"1 1 255\n0",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_takes_long_for_its_size_is_refused_at_once(kind: str) -> None:
    data, start = HOSTILE[kind](), time.process_time()
    with pytest.raises(TooLarge, match=r"^x (has too many parts|takes long) .*save it as an ordinary PNG"):
        Image.open(data, name="x")
    embedded_recipe.contents(data)
    assert time.process_time() - start < patience(6)


@pytest.mark.parametrize(
    "data",
    [
        saved("JPEG", progressive=True),
        scans(90, 64),
        saved("PNG", exif=b"Exif\0\0" + rationals(2)),
        saved("TIFF", 600),
        b"P2\n300 300 255\n# a comment\n" + b"0 " * 90_000,
        b"P5\n700 700 100\n" + bytes(490_000),
    ],
)
def test_an_ordinary_file_is_decoded(data: bytes) -> None:
    assert Image.open(data).width
