"""Open large pictures smaller where memory is short."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sightglass.common.errors import TooLarge

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from PIL import JpegImagePlugin

WHOLE = 12_500_000
"""Pixels of a file that can only be unpacked as a whole, at most: a photograph of 12 megapixels takes 50 MB."""
_SIZES = {2: "half", 4: "a quarter of", 8: "an eighth of"}
_AVERAGED = ("RGB", "RGBA", "L", "LA", "CMYK")
"""Modes in which pixels can be averaged before they are converted to RGB."""


def begin(image: Pillow.Image, name: str, room: int) -> tuple[int, int]:
    """Return by what to divide width and height, so that a file has at most `room` pixels, and how many it then has.

    The decoder of a JPEG is told to unpack only that size. Raises TooLarge where only the whole can be unpacked, and is
    too large for that.
    """
    width, height = image.size
    factor = _factor(width, height, room)
    # A progressive one is unpacked as a whole before its pixels are made.
    if hasattr(image, "draft") and image.format in ("JPEG", "MPO") and "progressive" not in image.info:
        if factor > 1:
            size = max(1, width // factor), max(1, height // factor)
            cast("JpegImagePlugin.JpegImageFile", image).draft(None, size)
    elif width * height > WHOLE:
        raise TooLarge(
            f"{name} has {width * height:,} pixels, more than this server holds: give at most {WHOLE:,}, or a JPEG "
            "that is not progressive."
        )
    return factor, _pixels(width, height, factor)


def shrunk(image: Pillow.Image, room: int | None) -> Pillow.Image:
    """Return an image, averaged where it has more than `room` pixels; as it is in a mode that has no mean."""
    if room is None or image.mode not in _AVERAGED or "transparency" in image.info:
        return image
    factor = _factor(*image.size, room)
    return image.reduce(factor) if factor > 1 else image


def note(factor: int) -> tuple[str, ...]:
    """Return what is said of a picture that was opened smaller."""
    return (f"Opened at {_SIZES[factor]} its width and height: this server has little memory.",) if factor > 1 else ()


def _factor(width: int, height: int, room: int) -> int:
    return next((factor for factor in (1, *_SIZES) if _pixels(width, height, factor) <= room), max(_SIZES))


def _pixels(width: int, height: int, factor: int) -> int:
    # Rounded up, as decoders do.
    return -(-width // factor) * -(-height // factor)
