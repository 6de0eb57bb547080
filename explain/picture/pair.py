"""Join two pictures into one, side by side."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem
from sightglass.explain.picture.image import MAX_PIXELS, Image
from sightglass.models.adapters.pair import STRIP, is_joined, join

AND = " + "
"""Between the names of two joined pictures."""


def parts(name: str) -> tuple[str, str] | None:
    """Return the two names in `A + B`; None for one name, and where there is a file of the whole name."""
    two = name.split(AND)
    return (two[0], two[1]) if len(two) == 2 and all(two) and not os.path.exists(name) else None


def join_pictures(first: Image, second: Image) -> Image:
    """Return two pictures as one that a model of two pictures takes, with a strip below that marks the halves.

    The second is brought to the first's size, which its notes say. Raises ImageProblem where either is joined already,
    or both together are too large.

        both = join_pictures(Image.open("bus.jpg"), Image.open("zidane.jpg"))
        both.name, both.width  # ("bus.jpg + zidane.jpg", 1620)
    """
    if twice := next((one for one in (first, second) if is_joined(one.pixels)), None):
        raise ImageProblem(f"{twice.name} is two pictures already: give single ones.")
    height, width = first.height, first.width
    if 2 * width * (height + STRIP) > MAX_PIXELS:
        raise ImageProblem(f"{first.name} is too large beside another: give at most {MAX_PIXELS // 2:,} pixels.")
    notes: tuple[str, ...] = ()
    pixels = second.pixels
    if (second.height, second.width) != (height, width):
        pixels = np.asarray(Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC))
        notes = (f"{second.name} was brought to {width} x {height} pixels, the size of {first.name}.",)
    name = f"{first.name}{AND}{second.name}"
    return Image(join(first.pixels, pixels), name, (*first.notes, *second.notes, *notes))
