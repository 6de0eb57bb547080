"""Convert pictures with a colour profile (ICC) to sRGB, by littleCMS.

A profile is not trusted: one that cannot be read, or is of other channels than the picture, counts as none.
"""

import functools
import itertools
import struct
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from sightglass.common.legible import legible

MAX_BYTES = 4 * 2**20
"""Bytes of a profile; those of printers have 3 million."""
MAX_NAME = 60
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""Pillow's mode of pictures by the kind of their profile."""
_STEP = 17
"""Between the levels at which a profile is compared with sRGB."""


Curve = NDArray[np.float32]
"""Light, 0..1, at each of 65,536 levels."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Three primaries with a curve each, worked out without littleCMS."""

    curves: tuple[Curve, ...]
    matrix: NDArray[np.float32]
    """From the primaries to those of sRGB, (3, 3)."""

    def to_srgb(self, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return uint16 (H, W, 3) as uint8 in sRGB."""
        light = np.stack([curve[values[..., i]] for i, curve in enumerate(self.curves)], -1) @ self.matrix
        light = light.clip(0, 1)
        tones = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        return np.asarray(np.rint(255 * tones), np.uint8)


def _read_linear(data: bytes, opened: Any) -> Linear | None:
    """Return a profile's primaries and curves; None where it has tables."""
    count = int.from_bytes(data[128:132])
    tags = {data[at : at + 4]: struct.unpack(">II", data[at + 4 : at + 12]) for at in range(132, 132 + 12 * count, 12)}
    if b"A2B0" in tags:
        return None
    curves = []
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        start, size = tags[name]
        curves.append(_read_curve(data[start : start + size]))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    matrix = _primaries(opened) @ np.linalg.inv(_primaries(srgb))
    return Linear(tuple(curves), matrix.astype(np.float32))


def _primaries(opened: Any) -> NDArray[np.float64]:
    profile = opened.profile
    return np.array([profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]])


def _read_curve(tag: bytes) -> Curve:
    """Return the curve of a tag (ICC.1:2022, 10.6 and 10.18); raise ValueError."""
    x = np.linspace(0, 1, 65536)
    kind, count = tag[:4], int.from_bytes(tag[8:12])
    if kind == b"curv" and count < 2:
        gamma = int.from_bytes(tag[12:14]) / 256 if count else 1.0
        return np.asarray(x**gamma, np.float32)
    if kind == b"curv":
        table = np.frombuffer(tag, ">u2", count, 12) / 65535
        return np.asarray(np.interp(x, np.linspace(0, 1, count), table), np.float32)
    if kind != b"para":
        raise ValueError
    return _of_numbers(int.from_bytes(tag[8:10]), tag[12:], x)


def _of_numbers(form: int, data: bytes, x: NDArray[np.float64]) -> Curve:
    """Return (a x + b)^g + e, and c x + f below d, whose last numbers may lack."""
    count = (1, 3, 4, 5, 7)[form]
    given = [number / 65536 for number in struct.unpack(f">{count}i", data[: 4 * count])]
    absent = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    g = given[0]
    a, b, c, d, e, f = given[1:] + absent[count - 1 :]
    if form in (1, 2):
        # Below -b/a it is c alone.
        e = f = c
        c = 0.0
        d = -b / a
    return np.asarray(np.where(x >= d, np.abs(a * x + b) ** g + e, c * x + f).clip(0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Profile:
    """A picture's profile, and how its pixels become sRGB."""

    name: str
    mode: str
    """Pillow's mode of the pixels that it is of."""
    transform: ImageCms.ImageCmsTransform
    linear: Linear | None = None
    """Its primaries and curves, for more bits than Pillow gives to littleCMS."""

    @property
    def note(self) -> str:
        """What is said of a converted picture."""
        return f"colours converted from {self.name} to sRGB"

    def convert(self, image: Pillow.Image) -> Pillow.Image:
        """Return a picture of the profile's mode as RGB."""
        if self.mode == "L":
            return Pillow.fromarray(self.tones[np.asarray(image)])
        return self.transform.apply(image)

    @functools.cached_property
    def tones(self) -> NDArray[np.uint8]:
        """The 256 levels of a grey profile in sRGB, (256, 3)."""
        levels = Pillow.fromarray(np.arange(256, dtype=np.uint8)[None])
        toned: NDArray[np.uint8] = np.asarray(self.transform.apply(levels), np.uint8)
        return toned.reshape(256, 3)

    def convert_16(self, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return uint16 (H, W) or (H, W, 3) as uint8 in sRGB."""
        shares = values.astype(np.float32) / 257
        if self.mode == "L":
            return np.asarray(np.rint(np.interp(shares, np.arange(256), self.tones[:, 0])), np.uint8)
        if self.linear is not None:
            return self.linear.to_srgb(values)
        low = np.floor(shares)
        shares -= low
        total = np.zeros(values.shape, np.float32)
        for corner in itertools.product((0, 1), repeat=3):
            weights = np.where(corner, shares, 1 - shares).prod(axis=2, keepdims=True)
            levels = np.minimum(low + corner, 255).astype(np.uint8)
            total += weights * np.asarray(self.convert(Pillow.fromarray(levels)), np.float32)
        return np.asarray(np.rint(total).clip(0, 255), np.uint8)


@functools.lru_cache(maxsize=8)
def read_profile(data: bytes) -> Profile | None:
    """Return the profile of a file's bytes; None if sRGB or unusable."""
    with suppress(Exception):
        # littleCMS raises nearly anything for hostile bytes.
        opened: Any = ImageCms.ImageCmsProfile(BytesIO(data))
        mode = _MODES.get(opened.profile.xcolor_space.strip())
        if mode is None or len(data) > MAX_BYTES:
            return None
        # Of a grey curve littleCMS takes few points, of which its dark end needs more.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
        name = legible(ImageCms.getProfileDescription(opened).strip(), MAX_NAME)
        linear = None
        if mode == "RGB":
            with suppress(Exception):
                linear = _read_linear(data, opened)
        profile = Profile(name or "its profile", mode, transform, linear)
        return None if _changes_nothing(profile) else profile
    return None


def _changes_nothing(profile: Profile) -> bool:
    """Return whether a profile is sRGB itself, to one level."""
    if profile.mode not in ("RGB", "L"):
        return False
    levels = np.arange(0, 256, _STEP, dtype=np.uint8)
    if profile.mode == "L":
        return bool(abs(profile.tones[levels, 0].astype(int) - levels).max() <= 1)
    lattice = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    return bool(abs(np.asarray(profile.convert(Pillow.fromarray(lattice)), int) - lattice).max() <= 1)


def profile_of(image: Pillow.Image) -> Profile | None:
    """Return an opened picture's profile where it changes its colours; else None."""
    data = image.info.get("icc_profile")
    return read_profile(bytes(data)) if data else None


def to_srgb(image: Pillow.Image, profile: Profile) -> Pillow.Image | None:
    """Return a picture in sRGB; None where the profile has other channels."""
    opaque, alpha = _without_alpha(image)
    if opaque.mode != profile.mode:
        return None
    converted = profile.convert(opaque)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _without_alpha(image: Pillow.Image) -> tuple[Pillow.Image, Pillow.Image | None]:
    """Return a picture's colours, and its transparency."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("RGBA", "LA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if image.has_transparency_data and image.mode in ("RGB", "L"):
        # A single colour is transparent.
        return image, image.convert("RGBA").getchannel("A")
    return image, None
