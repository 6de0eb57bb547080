"""Pictures with a colour profile come out in sRGB: as littleCMS has them, and as worked out by hand."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms

from sightglass.explain.picture import colour
from sightglass.explain.picture.image import Image

COLORANTS = {
    "sRGB": ((0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045), (0.1430804, 0.0606169, 0.7141733)),
    "ProPhoto": ((0.7976749, 0.2880402, 0), (0.1351917, 0.7118741, 0), (0.0313534, 0.0000857, 0.82521)),
    "AdobeRGB": ((0.6097559, 0.3111242, 0.0194811), (0.2052401, 0.625656, 0.0608902), (0.149224, 0.0632197, 0.7448387)),
}
"""Each primary as XYZ of D50, the columns of the matrix."""
PROFILES = {
    "linear": ("sRGB", 1.0),
    "ProPhoto": ("ProPhoto", 1.8),
    "linear ProPhoto": ("ProPhoto", 1.0),
    "AdobeRGB": ("AdobeRGB", 2.2),
}
TONES = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
SOFT = cv2.resize(TONES[:6, :8], (64, 48), interpolation=cv2.INTER_CUBIC)


def fixed(values: Any) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def power(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def profile(space: str, gamma: float, colorants: str = "sRGB", curve: bytes = b"") -> bytes:
    """Return an ICC profile of version 2: of "RGB " by three primaries, of "GRAY" by a curve alone."""
    curve = curve or power(gamma)
    name = f"{colorants} {gamma:g}".encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {b"desc": described, b"wtpt": b"XYZ \0\0\0\0" + fixed((0.9642, 1, 0.8249)), b"cprt": b"text\0\0\0\0x\0"}
    if space == "RGB ":
        for letter, primary in zip((b"r", b"g", b"b"), COLORANTS[colorants], strict=True):
            tags |= {letter + b"XYZ": b"XYZ \0\0\0\0" + fixed(primary), letter + b"TRC": curve}
    else:
        tags[b"kTRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for key, data in tags.items():
        table += key + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", 132 + 12 * len(tags) + len(body)) + b"lcms" + bytes.fromhex("02400000") + b"mntr"
    head += space.encode() + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1, 0.8249))
    return head + bytes(128 - len(head)) + table + body


def by_hand(shares: np.ndarray, gamma: float, colorants: str) -> np.ndarray:
    """Return values 0..1 (H, W, 3) as levels of sRGB, 0..255."""
    linear = shares.astype(np.float64) ** gamma @ np.array(COLORANTS[colorants])
    linear = (linear @ np.linalg.inv(np.array(COLORANTS["sRGB"]))).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def by_cms(image: Pillow.Image, data: bytes) -> np.ndarray:
    srgb = ImageCms.createProfile("sRGB")
    opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return np.asarray(ImageCms.profileToProfile(image, opened, srgb, outputMode="RGB")).astype(int)


def saved(image: Pillow.Image, kind: str, data: bytes) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, icc_profile=data, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_of_8_bits_is_littlecms_own(name: str, kind: str) -> None:
    colorants, gamma = PROFILES[name]
    data = profile("RGB ", gamma, colorants)
    file = saved(Pillow.fromarray(TONES), kind, data)
    plain = Pillow.open(io.BytesIO(file)).convert("RGB")
    opened = Image.open(file)
    assert abs(opened.pixels - by_cms(plain, data)).max() <= 2
    assert abs(opened.pixels - by_hand(np.asarray(plain) / 255, gamma, colorants)).max() <= 2
    assert opened.notes == (f"colours converted from {colorants} {gamma:g} to sRGB",)
    assert not opened.jpeg
    # Pillow keeps the profile of a picture that it opened.
    assert np.array_equal(Image.open(Pillow.open(io.BytesIO(file))).pixels, opened.pixels)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_of_16_bits_keeps_its_dark_tones(name: str, kind: str) -> None:
    colorants, gamma = PROFILES[name]
    values = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    values[:24] //= 64
    data = profile("RGB ", gamma, colorants)
    if kind == "tiff":
        file = io.BytesIO()
        tifffile.imwrite(file, values, photometric="rgb", iccprofile=data)
        raw = file.getvalue()
    else:
        raw = with_chunk(cv2.imencode(".png", values[..., ::-1])[1].tobytes(), data)
    opened = Image.open(raw)
    assert abs(opened.pixels - by_hand(values / 65535, gamma, colorants)).max() <= 2
    assert opened.notes[-1].startswith("colours converted from")


STEPS = np.rint((np.arange(4096) / 4095) ** 1.8 * 65535).astype(">u2")
CURVES = {
    "table": (1.8, b"curv\0\0\0\0" + struct.pack(">I", len(STEPS)) + STEPS.tobytes()),
    "power": (1.8, b"para\0\0\0\0\0\0\0\0" + fixed([1.8])),
    "none": (1.0, b"curv\0\0\0\0" + bytes(4)),
    "from a point": (1.8, b"para\0\0\0\0\0\1\0\0" + fixed([1.8, 1, 0])),
    "with an offset": (1.8, b"para\0\0\0\0\0\2\0\0" + fixed([1.8, 1, 0, 0])),
    "of two parts": (1.8, b"para\0\0\0\0\0\3\0\0" + fixed([1.8, 1, 0, 0, 0])),
    "of seven numbers": (1.8, b"para\0\0\0\0\0\4\0\0" + fixed([1.8, 1, 0, 0, 0, 0, 0])),
}


@pytest.mark.parametrize("name", CURVES)
def test_each_kind_of_curve_is_read(name: str) -> None:
    gamma, curve = CURVES[name]
    values = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    data = profile("RGB ", gamma, "ProPhoto", curve)
    read = colour.read_profile(data)
    assert read is not None and read.linear is not None
    expected = by_hand(values / 65535, gamma, "ProPhoto")
    assert abs(read.convert_16(values) - expected).max() <= 2
    # Where a profile has tables instead, littleCMS is asked at the nearest levels.
    asked = colour.Profile(read.name, read.mode, read.transform).convert_16(values)
    assert abs(asked - expected).max() <= 4


def with_chunk(png: bytes, data: bytes) -> bytes:
    """Return a PNG with a profile after its header."""
    import zlib

    body = b"iCCP" + b"x\0\0" + zlib.compress(data)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("deep", [False, True])
def test_grey_pictures_have_profiles_too(deep: bool) -> None:
    data = profile("GRAY", 1.0)
    tones = np.arange(256, dtype=np.uint8).reshape(16, 16)
    raw = saved(Pillow.fromarray(tones), "PNG", data)
    if deep:
        raw = with_chunk(cv2.imencode(".png", tones.astype(np.uint16) * 257)[1].tobytes(), data)
    expected = by_hand(np.repeat(tones[..., None], 3, 2) / 255, 1, "sRGB")
    assert abs(Image.open(raw).pixels - expected).max() <= 2


def test_transparency_and_palettes_keep_their_profile() -> None:
    data = profile("RGB ", 1.0)
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, :32] = 0
    see_through = Image.open(saved(Pillow.fromarray(np.concatenate([TONES, alpha], 2)), "PNG", data))
    assert (see_through.pixels[:, :32] == 255).all()
    whole = Image.open(saved(Pillow.fromarray(TONES), "PNG", data))
    assert np.array_equal(see_through.pixels[:, 32:], whole.pixels[:, 32:])
    palette = Pillow.fromarray(TONES).quantize(16)
    drawn = Image.open(saved(palette, "PNG", data))
    assert abs(drawn.pixels - by_cms(palette.convert("RGB"), data)).max() <= 2


def test_srgb_itself_and_what_is_no_profile_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (srgb, b"no profile", profile("RGB ", 1.0)[:200], profile("GRAY", 1.0), profile("RGB ", 1)[:128]):
        opened = Image.open(saved(Pillow.fromarray(TONES), "PNG", data))
        assert np.array_equal(opened.pixels, TONES)
        assert opened.notes == ()


def test_cmyk_is_converted_by_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    inks = Pillow.fromarray(SOFT).convert("CMYK")
    data = profile("RGB ", 1.0)
    # No profile of a printer is at hand: one of other channels counts as none.
    opened = Image.open(saved(inks, "TIFF", data))
    assert np.array_equal(opened.pixels, np.asarray(inks.convert("RGB")))
    assert opened.notes == ("CMYK converted to RGB",)
    used: list[str] = []
    monkeypatch.setattr(colour, "read_profile", lambda _: Printer(used))
    opened = Image.open(saved(inks, "TIFF", data))
    assert used == ["CMYK"] and opened.notes == ("printed",)


class Printer:
    mode, note = "CMYK", "printed"

    def __init__(self, used: list[str]) -> None:
        self.used = used

    def convert(self, image: Pillow.Image) -> Pillow.Image:
        self.used.append(image.mode)
        return image.convert("RGB")
