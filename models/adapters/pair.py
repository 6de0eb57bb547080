"""Join two pictures side by side, and split them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STRIP = 4
"""Rows below two joined pictures, black under the first and white under the second, which tell them from any other."""
_DARK, _LIGHT = 48, 207
"""Mean values of the strip's halves: far enough from black and white for a JPEG."""


def join(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two pictures of one size, uint8 (H, W, 3) each, as one of (H + STRIP, 2 W, 3)."""
    width = first.shape[1]
    strip = np.zeros((STRIP, 2 * width, 3), np.uint8)
    strip[:, width:] = 255
    return np.concatenate((np.concatenate((first, second), 1), strip))


def is_joined(pixels: NDArray[Any]) -> bool:
    """Return whether a picture (H, W, C) is two joined ones."""
    width = pixels.shape[1] // 2
    if pixels.dtype != np.uint8 or pixels.shape[0] <= STRIP or pixels.shape[1] % 2:
        return False
    return bool(pixels[-1, :width].mean() < _DARK and pixels[-1, width:].mean() > _LIGHT)


def split(pixels: NDArray[Any], model: str, inputs: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the two pictures (H, W, 3) of a joined one; raise ImageProblem for a single picture."""
    if not is_joined(pixels):
        both = " and ".join(inputs)
        raise ImageProblem(f"{model} takes two pictures, {both}: give both, as `sightglass image A B` or on Explore.")
    return halve(pixels)


def halve(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the two pictures (H, W, 3) of a joined one."""
    width = pixels.shape[1] // 2
    return np.ascontiguousarray(pixels[:-STRIP, :width]), np.ascontiguousarray(pixels[:-STRIP, width:])
