"""Pictures of any channels are read as they are, and no file, however hostile, more than pixels or a sentence."""

import struct
import sys
import warnings
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as pil
from torch import nn

from sightglass.common.errors import ImageProblem, ModelProblem, TooLarge
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.decode import Header, read_header
from sightglass.explain.picture.image import Image, to_png
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare
from sightglass.models.spec import ModelSpec
from tests.corpus import chunk, npy, png_of, saved, zip_of

R, G, B, W, K = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
# Two rows, three columns, six colours: no turn or mirror of it looks like another.
CORNERS = np.array([[R, G, B], [W, K, (9, 99, 199)]], np.uint8)


def photo(side: int = 64) -> pil.Image:
    rows, columns = np.mgrid[:side, :side]
    return pil.fromarray(np.stack([rows * 3, columns * 3, (rows * columns) % 256], axis=2).astype(np.uint8))


def test_bundled_picture_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (Image.open("bus.jpg").width, Image.open(Path("bus.jpg")).name) == (810, "bus.jpg")
    assert Image.open("scene-3.png").sha256 == Image.open("scene 3.png").sha256
    assert Image.open("bus.jpg").jpeg
    for missing in ("bus.png", "bus", "./bus.jpg/", "photos/bus.jpg", str(tmp_path / "bus.jpg"), "../bus.jpg"):
        with pytest.raises(ImageProblem, match="There is no file"):
            Image.open(missing)
    Path("bus.jpg").write_bytes(to_png(CORNERS))
    assert Image.open("bus.jpg").width == 3


def test_an_upload_is_read_from_its_start() -> None:
    upload = BytesIO(to_png(CORNERS))
    upload.name = "C:\\holiday\\bus.png"  # type: ignore[attr-defined]
    for _ in range(2):
        image = Image.open(upload)
        assert image.name == "bus.png"
        np.testing.assert_array_equal(image.pixels, CORNERS)


def test_pixels_are_read_only_and_nobody_elses() -> None:
    mine = CORNERS.copy()
    for image in (Image.open(mine), Image(mine), Image.open(mine[:, ::-1]), Image.open(to_png(mine))):
        assert image.pixels.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            image.pixels[0, 0] = 7
    image = Image.open(mine)
    mine[:] = 0
    np.testing.assert_array_equal(image.pixels, CORNERS)
    assert (image.height, image.width) == (2, 3)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[[0], [128]]], np.uint8), [0, 128]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[32768, 255]], ">u2"), [128, 0]),
        (np.array([[4095, 255]], np.uint16), [255, 15]),
        (np.array([[0.0, 1.0, 0.5, 1 + 1e-7]]), [0, 255, 128, 255]),
    ],
)
def test_grey_arrays(array: np.ndarray, expected: list[int]) -> None:
    np.testing.assert_array_equal(Image.open(array).pixels, np.repeat(np.array([expected])[..., None], 3, axis=2))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(7, 5), (2, 40), (40, 50), (5, 2000)])
@pytest.mark.parametrize("convert", [np.copy, lambda array: array / 255, lambda array: array.astype(np.uint16) * 257])
def test_channels_may_come_first(channels: int, size: tuple[int, int], convert: Any) -> None:
    rows = convert(np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8))
    expected = Image.open(rows)
    first = np.ascontiguousarray(rows.transpose(2, 0, 1))
    for given in (first, first[None]):
        image = Image.open(given)
        np.testing.assert_array_equal(image.pixels, expected.pixels)
        assert (image.planes is None, image.notes) == (True, expected.notes)


@pytest.mark.parametrize("shape", [(3, 9, 3), (3, 9, 4), (4, 9, 3), (1, 9, 3), (9, 3, 3)])
def test_three_or_four_columns_are_channels(shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    array[:, :, 3:] = 255
    np.testing.assert_array_equal(Image.open(array).pixels, array[:, :, :3])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\x00b\n\x1b[31m.png", "ab[31m.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("\ud800x.png", "x.png"),
        ("..", "picture"),
        ("été 1.jpg", "été 1.jpg"),
        ("n" * 500 + ".jpeg", "n" * 115 + ".jpeg"),
    ],
)
def test_a_name_is_only_a_base_name(given: str, expected: str) -> None:
    assert Image.open(CORNERS, name=given).name == expected


TURNED = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.transpose(1, 0, 2),
    6: np.rot90(CORNERS, 1),
    7: CORNERS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(CORNERS, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "pillow"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation(orientation: int, kind: str) -> None:
    stored = pil.fromarray(np.ascontiguousarray(TURNED[orientation]))
    exif = pil.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(stored, "PNG" if kind == "pillow" else kind, exif=exif, **options)
    image = Image.open(pil.open(BytesIO(data)) if kind == "pillow" else data)
    np.testing.assert_array_equal(image.pixels, CORNERS)
    assert ("rotated as its EXIF orientation says" in image.notes) == (orientation != 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_header_has_the_size_before_and_after_the_turn(orientation: int, kind: str) -> None:
    exif = pil.Exif()
    exif[0x0112] = orientation
    data = saved(pil.new("RGB", (40, 24)), kind, exif=exif)
    shown = (24, 40) if orientation >= 5 else (40, 24)
    image = Image.open(data)
    assert (image.width, image.height) == shown
    assert read_header(data, "a") == Header(shown, (40, 24), orientation)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = saved(photo(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff broken")
    assert Image.open(data).pixels.shape == (64, 64, 3)


def test_a_jpeg_an_avif_and_a_heic_are_turned_once() -> None:
    sideways = pil.Exif()
    sideways[0x0112] = 6
    exif = sideways.tobytes()
    wide = pil.new("RGB", (64, 32), "red")
    wide.paste("blue", (0, 0, 32, 32))
    doors = [saved(wide, "JPEG", exif=exif), saved(wide, "AVIF", exif=exif)]
    heif = pytest.importorskip("pillow_heif")
    out = BytesIO()
    heif.from_pillow(wide).save(out, exif=exif)
    for data in (*doors, out.getvalue()):
        pixels = Image.open(data).pixels.astype(int)
        assert pixels.shape == (64, 32, 3) and np.abs(pixels[5, 5] - B).max() < 12
        assert np.abs(pixels[-5, 5] - R).max() < 12


def grey16() -> np.ndarray:
    return np.array([[0, 255, 256, 32768, 65535]], np.uint16)


@pytest.mark.parametrize(
    "data",
    [
        saved(pil.fromarray(grey16()), "PNG"),
        saved(pil.fromarray(grey16()), "TIFF"),
        png_of(5, 1, 16, 2, b"\x00" + grey16().repeat(3).astype(">u2").tobytes()),
        b"P5 5 1 65535\n" + grey16().astype(">u2").tobytes(),
    ],
    ids=["png", "tiff", "rgb png", "pgm"],
)
def test_sixteen_bits(data: bytes) -> None:
    image = Image.open(data)
    np.testing.assert_array_equal(image.pixels[0, :, 1], [0, 0, 1, 128, 255])
    assert image.notes == ("16-bit reduced to 8 bits",)


def palette_png() -> bytes:
    picture = pil.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    return saved(picture, "PNG", transparency=bytes([255, 0]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(pil.fromarray(np.array([[[255, 0, 0, 128], [9, 9, 9, 0]]], np.uint8)), "PNG"), [(255, 127, 127), W]),
        (saved(pil.fromarray(np.array([[[0, 64], [50, 255]]], np.uint8)), "PNG"), [(191, 191, 191), (50, 50, 50)]),
        (palette_png(), [R, W]),
        (png_of(2, 1, 8, 2, b"\x00" + bytes(R + G), chunk(b"tRNS", struct.pack(">3H", *G))), [R, W]),
    ],
    ids=["RGBA", "LA", "P", "RGB key"],
)
def test_transparency_is_shown_on_white(data: bytes, expected: list[tuple[int, ...]]) -> None:
    image = Image.open(data)
    np.testing.assert_array_equal(image.pixels[0], expected)
    assert image.notes[-1] == "Transparent areas are shown on white."


def test_alpha_of_arrays_premultiplied_and_opaque() -> None:
    rgba = np.array([[[255, 0, 0, 128], [0, 0, 0, 0]]], np.uint8)
    for source in (rgba, rgba / 255, pil.fromarray(rgba).convert("RGBa")):
        np.testing.assert_array_equal(Image.open(source).pixels, [[(255, 127, 127), W]])
    la = pil.fromarray(np.array([[[80, 255], [0, 0]]], np.uint8)).convert("La")
    np.testing.assert_array_equal(Image.open(la).pixels, [[(80, 80, 80), W]])
    opaque = np.dstack([CORNERS, np.full((2, 3), 255, np.uint8)])
    assert Image.open(opaque).notes == Image.open(to_png(opaque)).notes == ()


def test_cmyk() -> None:
    inks = [(0, 255, 255, 0), (255, 0, 0, 0), (0, 0, 0, 255), (0, 0, 0, 0)]
    expected = [R, (0, 255, 255), K, W]
    image = Image.open(saved(pil.fromarray(np.array([inks], np.uint8), "CMYK"), "TIFF"))
    np.testing.assert_array_equal(image.pixels[0], expected)
    assert image.notes == ("CMYK converted to RGB",)
    # Pillow writes CMYK JPEG inverted with the Adobe marker, as Photoshop does.
    for ink, colour in zip(inks, expected, strict=True):
        data = saved(pil.new("CMYK", (16, 16), ink), "JPEG", quality=100)
        assert b"Adobe" in data
        assert np.abs(Image.open(data).pixels.astype(int) - colour).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(kind: str) -> None:
    frames = [pil.new("RGB", (8, 8), colour) for colour in (R, G, B)]
    options = {"lossless": True} if kind == "WEBP" else {}
    image = Image.open(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert (image.pixels == R).all() and image.notes == ("Only the first frame is used.",)


KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "HEIC"]


@pytest.mark.parametrize("kind", KINDS)
def test_content_decides_and_cut_off_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "liar.docx"
    if kind == "HEIC":
        pytest.importorskip("pillow_heif").from_pillow(photo()).save(path)
    else:
        photo().save(path, kind)
    image, data = Image.open(path), path.read_bytes()
    assert (image.pixels.shape, image.name) == ((64, 64, 3), "liar.docx")
    with pytest.raises(ImageProblem, match="cut off"):
        Image.open(data[: len(data) // 2])


HUGE = {
    "png": png_of(60000, 60000, 8, 2, b""),
    "png bomb": png_of(30000, 30000, 1, 0, bytes(3751 * 3000)),
    "gif": b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x00;",
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIIIII", 54, 0, 0, 54, 40, 50000, 50000, 1, 24, 0, 0, 0, 0, 0, 0),
    "ppm": b"P6 70000 70000 255\n",
    "webp": b"RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\xff\xff\x00",
    "jpeg": saved(photo(), "JPEG").replace(b"\x00\x11\x08\x00\x40\x00\x40", b"\x00\x11\x08\xff\xdc\xff\xdc"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_the_size_is_checked_before_decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: pil.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(pil.Image, "load", decoded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageProblem, match=r"pixels; give at most 100,000,000\."):
            Image.open(HUGE[kind])


def test_no_warning_above_pillow_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Image.open(saved(photo(), "PNG")).pixels.shape == (64, 64, 3)
    assert pil.MAX_IMAGE_PIXELS == 3000


def test_the_limits_are_exact_and_named(tmp_path: Path) -> None:
    data, large = to_png(CORNERS), tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(2**40)
    assert Image.open(data, max_pixels=6, max_bytes=len(data)).width == 3
    for source in (data, CORNERS, pil.fromarray(CORNERS)):
        with pytest.raises(ImageProblem, match=r"3 x 2 = 6 pixels; give at most 5\."):
            Image.open(source, max_pixels=5)
    for source in (data, BytesIO(data), large):
        with pytest.raises(ImageProblem, match=rf"too large; give at most {len(data) - 1} bytes\."):
            Image.open(source, max_bytes=len(data) - 1)


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_has_a_limit_at_every_door(turned: bool) -> None:
    longest, long = (np.zeros((6, side, 3), np.uint8) for side in (65_500, 65_501))
    if turned:
        longest, long = longest.transpose(1, 0, 2), long.transpose(1, 0, 2)
    assert max(Image.open(to_png(longest)).pixels.shape) == 65_500
    numbers = np.zeros((*long.shape[:2], 5), np.float32)
    tensor = torch.from_numpy(numbers).permute(2, 0, 1)
    files = [to_png(long), saved(pil.fromarray(long), "TIFF"), npy(long), npy(numbers), tif(numbers)]
    for source in (*files, long, numbers, tensor, pil.fromarray(long)):
        with pytest.raises(TooLarge, match=r"a side of 65,501 pixels; give at most 65,500: cut it or make it smaller"):
            Image.open(source, numbers=5)
    for wrap in (lambda: Image(long), lambda: Image.of_tensor(tensor)):
        with pytest.raises(TooLarge, match="65,501"):
            wrap()


DICE = np.random.default_rng(0)
WIDE = DICE.integers(0, 4000, (40, 50, 8)).astype(np.uint16)
SPEC = ModelSpec("bands", "Tests", "", "tests", "bands", "classify", "")


def tif(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    out = BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


def bomb() -> bytes:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 4)})
    return header.getvalue()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.full((2, 2), 1.5), "1.5 to 1.5"),
        (np.array([[np.nan, 1.0]]), "nan"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.zeros((2, 8, 8), np.uint8), r"\(1, 3 or 4, height, width\), not \(2, 8, 8\)"),
        (np.zeros((3, 0, 8), np.uint8), "no pixels"),
        (np.zeros((9, 8, 0), np.uint8), r"\(9, 8, 0\)"),
        (np.zeros((4, 0), np.float32), "no pixels"),
        (torch.zeros((2, 3, 4, 4)), "."),
        (torch.tensor([0.0, 255.0]).reshape(1, 1, 2), "0 to 255"),
        *((source, ".") for source in (None, 3, [1, 2], object(), StringIO("x"))),
        (b"", "picture is empty: send or save it again"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(40), "Video"),
        (b"%PDF-1.7 and more", "known kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "known kind"),
        (".", "is a folder"),
        ("missing.png", "no file missing.png"),
        *((path, ".") for path in ("a\x00b", "x" * 5000, "")),
        ("https://example.org/bus.jpg", "is not fetched by its address"),
        (npy(WIDE)[:500], "cut off"),
        (tif(WIDE, photometric="minisblack", planarconfig="contig")[:4000], "cut off"),
        (npy(np.array([{}, {}], object)), "unusual kind"),
        (npy(np.array(["a", "b"])), "holds <U1, not numbers"),
        (npy(np.zeros((40, 50, 40))), "is an array of 40 x 50 x 40; give"),
        (npy(np.zeros((0, 7))), "has no pixels"),
        (npy(np.zeros((9, 8, 0))), "is an array of 9 x 8 x 0; give"),
        (npy(np.full((40, 50, 5), np.nan)), "not finite"),
        (npy(np.full((40, 50, 5), 1e300)), "not finite"),
        (npy(np.ones((40, 50, 3), np.complex64)), "holds complex64, not numbers"),
        (npy(np.zeros((4, 4), [("a", "u1"), ("b", "f4")])), "not numbers"),
        (npy(np.float32(3)), "is an array of ; give"),
        (zip_of({"a.npy": npy(WIDE)}), "known kind"),
        (b"\x93NUMPY\x01\x00\x05\x00junk\n", "is damaged"),
        (b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**31) + b"{", "is damaged"),
        (bomb(), "smaller picture|cut off"),
        pytest.param("/dev/zero", "no file", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux's")),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageProblem, match=words) as problem:
        Image.open(source)
    assert "\n" not in str(problem.value)


def test_only_plain_jpeg_is_kept_as_it_came() -> None:
    picture = pil.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))

    def kept(image: pil.Image = picture, kind: str = "JPEG", after: bytes = b"", **options: object) -> bool:
        data = saved(image, kind, **options) + after
        found = Image.open(data).jpeg
        assert found in (b"", data)
        return found == data

    turned = pil.Exif()
    turned[0x0112] = 6
    somewhere = pil.Exif()
    somewhere[0x010F] = "a camera"
    assert kept()
    assert not kept(exif=turned) and not kept(exif=somewhere)
    assert not kept(icc_profile=b"a profile") and not kept(comment=b"a comment") and not kept(after=b"more")
    assert not kept(picture.convert("L")) and not kept(picture.convert("CMYK")) and not kept(kind="PNG")
    assert not Image.open(picture).jpeg


@pytest.mark.parametrize(
    "data",
    [
        npy(WIDE),
        npy(WIDE.transpose(2, 0, 1)),
        npy(np.asfortranarray(WIDE)),
        npy(WIDE[None]),
        npy(WIDE.astype(">u2")),
        tif(WIDE),
        tif(WIDE.transpose(2, 0, 1)),
        tif(WIDE, photometric="minisblack", planarconfig="contig"),
        tif(WIDE.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
        tif(WIDE, photometric="minisblack", planarconfig="contig", compression="zlib", byteorder=">"),
        tif(WIDE.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}),
    ],
    ids=["rows", "channels first", "fortran", "batch", "other end first", *[f"tif {i}" for i in range(6)]],
)
def test_the_same_numbers_come_out_of_every_file(data: bytes) -> None:
    image = Image.open(data, name="field")
    assert image.planes.dtype == np.uint16 and np.array_equal(image.planes, WIDE)
    assert not image.planes.flags.writeable and image.pixels.shape == (40, 50, 3)
    assert any("8 channels of uint16; the first three are shown" in note for note in image.notes)
    assert image.sha256 == Image.open(WIDE).sha256
    changed = WIDE.copy()
    changed[3, 4, 7] += 1
    # A channel that nobody sees is part of the picture all the same.
    other = Image.open(changed)
    assert np.array_equal(other.pixels, image.pixels) and other.sha256 != image.sha256


def test_what_every_reader_knows_stays_what_it_was() -> None:
    rgb = DICE.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for data in (npy(rgb), tif(rgb, photometric="rgb")):
        image = Image.open(data)
        assert image.planes is None and np.array_equal(image.pixels, rgb)
    see_through = np.dstack((rgb, np.full((40, 50), 128, np.uint8)))
    image = Image.open(tif(see_through, photometric="rgb", extrasamples=["unassalpha"]))
    assert image.planes is None and "Transparent areas are shown on white." in image.notes
    # Four bands that are not said to be see-through.
    bands = Image.open(tif(see_through, photometric="rgb", extrasamples=["unspecified"])).planes
    assert np.array_equal(bands, see_through)
    # Pages of a document are no channels.
    assert Image.open(tif(DICE.integers(0, 256, (30, 40, 50)).astype(np.uint8))).notes == (
        "Only the first frame is used.",
    )


@pytest.mark.parametrize("ends", [(-3e38, 3e38), (-1e-30, 1e-30), (-5.0, -4.0)])
def test_extreme_numbers_are_drawn(ends: tuple[float, float]) -> None:
    image = Image.open(npy(np.linspace(*ends, 40 * 50 * 5, dtype=np.float32).reshape(40, 50, 5)))
    assert (image.pixels.min(), image.pixels.max()) == (0, 255)


def of_pillow(values: np.ndarray, kind: str = "TIFF") -> bytes:
    return saved(pil.fromarray(values), kind)


RAMP = np.linspace(0, 4095, 40 * 50).reshape(40, 50).astype(np.uint16)
DEEP = np.stack([RAMP] * 3, 2)
MOST = [(341, "H", 3, (4095,) * 3, True)]


@pytest.mark.parametrize(
    ("data", "expected", "note"),
    [
        (of_pillow(np.float32([[-1, 0, 1]])), [[[0], [128], [255]]], "scaled"),
        (of_pillow(np.float32([[7, 7, 7]])), [[[0], [0], [0]]], "scaled"),
        (npy(np.float32([[-1, 0, 1]])), [[[0], [128], [255]]], "scaled to 0 to 255"),
        (of_pillow(np.int32([[0, 256, 65535]])), [[[0], [1], [255]]], "16-bit"),
        (of_pillow(np.int32([[-(2**31), 0, 2**31 - 1]])), [[[0], [128], [255]]], "scaled"),
        (tif(DEEP, photometric="rgb", extratags=MOST), DEEP >> 4, "12-bit reduced to 8 bits"),
        (tif(DEEP // 4, photometric="rgb", extratags=MOST), DEEP // 4 >> 4, "12-bit"),
        (tif(DEEP // 64, photometric="rgb", extratags=[(341, "H", 3, (65535,) * 3, True)]), DEEP // 64 >> 8, "16-bit"),
        (tif(DEEP, photometric="rgb"), DEEP >> 4, "12-bit reduced"),
        (of_pillow(RAMP, "PNG"), DEEP >> 4, "12-bit reduced"),
        (of_pillow(RAMP // 16, "PNG"), DEEP // 16, "values up to 255 taken as 8 bits"),
        (tif(DEEP * 16, photometric="rgb", extratags=[(274, "H", 1, 6, True)]), np.rot90(DEEP >> 4, -1), "rotated"),
        (tif(RAMP * 16, photometric="miniswhite"), 255 - (DEEP >> 4), "16-bit reduced"),
        (tif((RAMP >> 4).astype(np.uint8), photometric="miniswhite"), 255 - (DEEP >> 4), ""),
        (tif(RAMP > 2000, photometric="miniswhite"), np.where(DEEP > 2000, 0, 255), ""),
        (tif((RAMP >> 5).astype(np.int8) - 64, photometric="minisblack"), (DEEP >> 5) * 255 / 127, "from -64 to 63"),
        (tif(RAMP.astype(np.float32) - 4095, photometric="miniswhite"), 255 - DEEP / 4095 * 255, "from -4095 to 0"),
        (tif(RAMP * 16, photometric="minisblack", extratags=[(274, "H", 1, 8, True)]), np.rot90(DEEP >> 4), "rotated"),
    ],
)
def test_tones_of_a_file_are_those_that_it_states(data: bytes, expected: np.ndarray, note: str) -> None:
    image = Image.open(data)
    np.testing.assert_allclose(image.pixels, np.broadcast_to(expected, image.pixels.shape), atol=1)
    assert note in "; ".join(image.notes)


LEFT = [(42113, "s", 0, "-32768", True)]


@pytest.mark.parametrize(
    ("kind", "value", "writes"),
    [
        (np.int16, -9999, npy),
        (np.float32, np.nan, npy),
        (np.float32, -9999, lambda array: tif(array, photometric="minisblack")),
        (np.int16, -32768, lambda array: tif(array, photometric="minisblack", extratags=LEFT)),
        (np.float32, np.finfo(np.float32).min, npy),
    ],
)
@pytest.mark.parametrize("channels", [1, 5])
def test_no_data_is_named_and_not_scaled_in(kind: Any, value: float, writes: Any, channels: int) -> None:
    heights = np.linspace(100, 300, 40 * 50 * channels).reshape(40, 50, channels).astype(kind)
    holed = heights.copy()
    holed[:4, :10] = value
    image = Image.open(writes(holed[:, :, 0] if channels == 1 else holed.transpose(2, 0, 1)))
    assert image.notes[0].startswith(f"2.0% of its values hold no data ({value:g}): the median")
    np.testing.assert_array_equal(image.planes[4:], heights[4:])
    medians = [
        np.median(np.delete(heights[:, :, c].ravel(), np.ravel_multi_index(np.indices((4, 10)), (40, 50))))
        for c in range(channels)
    ]
    np.testing.assert_allclose(image.planes[0, 0], medians, atol=1)
    assert np.ptp(image.pixels[4:]) > 8


@pytest.mark.parametrize(
    ("array", "divide_by", "mean", "whole"),
    [
        (WIDE, None, 0.5, 65535),
        (WIDE.astype(np.int32), 10_000, 0.5, 10_000),
        (WIDE.astype(np.float32) / 4000, None, 0.5, 1),
        (WIDE.astype(np.int16), None, 2000.0, 1),
        (WIDE.astype(np.int16), 1, 0.5, 1),
        (WIDE.astype(np.int16), None, 0.5, None),
        (WIDE.astype(np.float32) * (255 / 4000), None, 0.5, None),
        (WIDE.astype(np.int64) - 2000, None, 0.0, None),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_numbers_are_divided_by_what_is_stated(array, divide_by, mean, whole, channels) -> None:
    planes = Image.open(npy(array[:, :, :channels])).array(channels, "bands")
    how = Preprocessing((40, 50), 40, (mean,) * channels, (1.0,) * channels, crop="squash", divide_by=divide_by)
    if whole is None:
        with pytest.raises(ModelProblem, match=r"nothing says which is white: state divide_by in weights\.preproc"):
            prepare(planes, how, "trained")
    else:
        expected = array[:, :, :channels].transpose(2, 0, 1) / whole - mean
        np.testing.assert_allclose(prepare(planes, how, "trained").tensor[0], expected, rtol=1e-5, atol=1e-5)


class Bands(nn.Module):
    """Whether the last channel or the first is brighter, through one convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1, bias=False)
        self.relu = nn.ReLU()
        nn.init.zeros_(self.conv.weight)
        self.conv.weight.data[0, 0] = self.conv.weight.data[1, -1] = 4.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


def test_every_channel_is_prepared_as_a_picture_is() -> None:
    """An array of the three colours goes the way of the RGB picture, to within what bytes are rounded by."""
    rgb = DICE.integers(0, 256, (90, 120, 3)).astype(np.uint8)
    numbers = Preprocessing((32, 48), 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    for way in CLASSIFIER_WAYS:
        expected = prepare(rgb, numbers, way)
        for array in (rgb.astype(np.uint16) * 257, rgb.astype(np.float32) / 255):
            given = prepare(array, numbers, way)
            assert given.geometry == expected.geometry
            torch.testing.assert_close(given.tensor, expected.tensor, atol=0.03, rtol=0)
        divided = Preprocessing((32, 48), 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), divide_by=510)
        given = prepare(rgb.astype(np.float32) * 2, divided, way)
        torch.testing.assert_close(given.tensor, expected.tensor, atol=0.03, rtol=0)
    grey = np.asarray(pil.fromarray(rgb).convert("L")).astype(np.float32) / 255
    given = prepare(rgb, Preprocessing((90, 120), 90, (0.0,), (1.0,)), "squash")
    torch.testing.assert_close(given.tensor, torch.from_numpy(grey)[None, None])


@pytest.mark.parametrize("channels", [2, 5, 16])
def test_the_map_is_where_the_channel_says(channels: int) -> None:
    numbers = Preprocessing((32, 32), 32, (0.1,) * channels, (0.5,) * channels)
    adapter = Classifier(SPEC, Bands(channels), ["first", "last"], numbers, "")
    loaded = LoadedModel(adapter, torch.device("cpu"))
    field = np.full((64, 64, channels), 0.1, np.float32)
    field[8:24, 40:56, -1] = 0.9
    given = adapter.prepare(Image.open(field).array(channels, "bands"), "squash")
    assert given.tensor.shape == (1, channels, 32, 32)
    evidence = Evidence(loaded, given, (loaded.survey.by_path["relu"],))

    last = Target(1, "last")
    (made,) = METHODS["hirescam"].run(evidence, [last]).maps
    row, column = divmod(int(made[0].argmax()), 32)
    assert 4 <= row < 12 and 20 <= column < 28
    (hidden,) = METHODS["occlusion"].run(evidence, [last]).maps
    row, column = divmod(int(hidden[0].argmax()), hidden.shape[2])
    assert 3 <= row * 32 / hidden.shape[1] < 13 and 19 <= column * 32 / hidden.shape[2] < 29


def test_a_picture_that_does_not_fit_is_said() -> None:
    words = "field has 8 channels, and bands takes 3 channels: choose another model, or give a picture of 3"
    with pytest.raises(ImageProblem, match=words):
        Image.open(WIDE, name="field").array(3, "bands")
