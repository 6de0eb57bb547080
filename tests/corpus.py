"""Bad input of every kind, made and not kept: each a name, as a file's, and bytes."""

import io
import json
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.clips import clip, scene

Files = dict[str, bytes]


def pixels(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """Return a picture of noise."""
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def saved(image: Any, kind: str, **options: Any) -> bytes:
    """Return an image of Pillow as a file of a format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    """Return an array as a file of NumPy."""
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG of a header's own choice, with these rows as they are and `extra` chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join(extra) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def png_bomb(side: int) -> bytes:
    """Return a PNG of one colour that claims and holds side x side pixels."""
    return png_of(side, side, 1, 0, bytes((side // 8 + 1) * side))


@cache
def pictures() -> Files:
    """Pictures that are unusual, damaged or hostile."""
    plain = Pillow.fromarray(pixels())
    jpeg, png = saved(plain, "JPEG"), saved(plain, "PNG")
    exif = Pillow.Exif()
    files: Files = {"empty.jpg": b"", "zeros.png": bytes(1000), "text.jpg": b"this is no picture", "one.png": png[:1]}
    for share in (0.02, 0.3, 0.9, 0.99):
        files[f"cut-{share}.jpg"], files[f"cut-{share}.png"] = (data[: int(len(data) * share)] for data in (jpeg, png))
    for turn in (0, 3, 6, 9, 65535):
        exif[0x0112] = turn
        files[f"exif-{turn}.jpg"] = saved(plain, "JPEG", exif=exif)
    deep = pixels().astype(np.uint16) * 257
    files |= {
        "16bit.png": saved(Pillow.fromarray(deep[..., 0]), "PNG"),
        "palette.png": saved(plain.convert("P"), "PNG", transparency=0),
        "lab.tiff": saved(plain.convert("LAB"), "TIFF"),
        "float.tiff": saved(Pillow.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
        "animated.gif": saved(plain, "GIF", save_all=True, append_images=[plain] * 5),
        "animated.webp": saved(plain, "WEBP", save_all=True, append_images=[plain] * 5),
        "wrong-ending.png": jpeg,
        "no-ending": png,
        "bomb.png": png_bomb(30_000),
        "wide.png": saved(Pillow.fromarray(pixels(1, 20_000)), "PNG"),
        "pixel.png": saved(Pillow.fromarray(pixels(1, 1)), "PNG"),
        "header.png": png_of(0, 0, 8, 2, b""),
        "huge.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        "picture-and-zip.jpg": jpeg + zip_of({"a.txt": b"x"}),
        "script.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) print",
        "..%2f..%2fetc.png": png,
        "two\nlines\u202e.png": png[:50],
        "l" * 240 + ".png": png,
    }
    return files


def zip_of(files: Files) -> bytes:
    """Return files as a .zip, names as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name) if name else "_", data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@cache
def texts() -> Files:
    """Recipes, labels, decks, models.toml: texts that are none, of wrong values, or nested deeply."""
    deep = b"[" * 100_000
    return {
        "empty.json": b"",
        "deep.json": deep,
        "list.json": b"[1, 2]",
        "null.json": b"null",
        "number.json": b"1e999",
        "binary.json": bytes(range(256)),
        "surrogate.json": b'{"recipe": {"model": "\\ud800"}}',
        "wrong.json": json.dumps({"recipe": {"model": 3, "method": [], "layers": {"a": None}}}).encode(),
        "nan.json": b'{"recipe": {"model": "demo-cls-s", "alpha": NaN}}',
        "keys.json": json.dumps({f"k{i}": i for i in range(50_000)}).encode(),
        "bom.json": b"\xef\xbb\xbf{}",
    }


def clips(folder: Path) -> Files:
    """Clips that are cut off, damaged, no clips, or lead elsewhere; `folder`: where they are made."""
    whole = clip(folder / "whole.mp4", scene(6), sound="aac").read_bytes()
    turned = clip(folder / "turned.mp4", scene(3), turned=90).read_bytes()
    files = {f"cut-{share}.mp4": whole[: int(len(whole) * share)] for share in (0.01, 0.5, 0.9, 0.99)}
    files |= {"turned.mp4": turned, "empty.mp4": b"", "text.mp4": b"no clip", "zeros.mp4": bytes(9000)}
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    files |= {"list.mp4": playlist, "list.avi": b"RIFF\x00\x00\x00\x00AVI " + playlist, "head.mkv": b"\x1a\x45\xdf\xa3"}
    files |= {"picture.mp4": pictures()["16bit.png"], "wrong.gif": whole}
    for count in (2_000_000, 100_000_000):
        files[f"index-{count}.mp4"], files[f"run-{count}.mp4"] = of_many_samples(whole, count)
    return files


def of_many_samples(whole: bytes, count: int) -> tuple[bytes, bytes]:
    """Return an MP4 twice whose few bytes claim so many samples: in its index, and in a fragment."""
    indexed = bytearray(whole)
    for kind, fields in (
        # One size for all; all in one chunk; each as long.
        (b"stsz", (0, 1, count)),
        (b"stsc", (0, 1, 1, count, 1)),
        (b"stts", (0, 1, count, 1)),
    ):
        struct.pack_into(f">{len(fields)}I", indexed, indexed.index(kind) + 4, *fields)

    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I", 8 + len(body)) + kind + body

    # Default size and duration of a sample, so that the run need not say them.
    header = box(b"tfhd", struct.pack(">IIII", 0x18, 1, 1, 1))
    run = box(b"trun", struct.pack(">II", 0, count))
    fragment = box(b"moof", box(b"mfhd", bytes(4), struct.pack(">I", 1)), box(b"traf", header, run))
    extends = box(b"mvex", box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1, 1, 0)))
    at = whole.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", whole, at)
    moov = struct.pack(">I", size + len(extends)) + whole[at + 4 : at + size] + extends
    return bytes(indexed), whole[:at] + moov + whole[at + size :] + fragment + box(b"mdat", bytes(1000))
