"""What a proof's drawings are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.proof import filling
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.measures import is_shown
from sightglass.explain.proof.proof import SUFFICIENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.proof.proof import Proof

MAX_CELLS = 320
"""Cells of a side of the order's grid; what models take is mostly smaller."""
MAX_SIDE = 1000
"""Pixels of the picture's longer side."""
LEVELS = 200
"""Of the order, in one byte each: whole halves of a percent, so that every step hides exactly its share."""
QUALITY = 88


@dataclass(frozen=True, eq=False)
class Slides:
    """What the picture is composed from while a slider hides, or keeps, its hottest share."""

    picture: bytes
    """JPEG of what the model saw, at most MAX_SIDE pixels a side."""
    blurred: bytes
    """JPEG of it blurred as the engine does, on the model's own pixels."""
    mean: tuple[int, int, int]
    """Its mean colour."""
    size: tuple[int, int]
    """Width and height of `picture`."""
    order: NDArray[np.uint8]
    """(h, w): a cell of value b is among the hottest p % where b < 2 p."""


def write(scores: Sequence[float], share: float) -> str:
    """Return a curve's score at a share, 0..1, as it is shown: with ≈ where it lies between two of its steps."""
    at = share * (len(scores) - 1)
    measured = abs(at - round(at)) < 1e-6
    value = scores[round(at)] if measured else float(np.interp(at, range(len(scores)), scores))
    return percent(value) if measured else f"\N{ALMOST EQUAL TO}{NBSP}{percent(value)}"


def slides(pixels: NDArray[np.uint8], content: NDArray[np.float32]) -> Slides:
    """Return what the slider needs of a picture, the part (H, W, 3) that the model saw, and of its map (h, w).

    Raises ValueError for a map that is the same everywhere.
    """
    places = ranking(content)
    if places is None:
        raise ValueError("A map that is the same everywhere has no order.")
    soft, mean = draw_fillings(pixels, (content.shape[0], content.shape[1]))
    scale = min(1.0, MAX_SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    shown = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Slides(_jpeg(shown), _jpeg(soft), mean, size, levels(places))


def levels(places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the order (h, w) of a map on at most MAX_CELLS cells a side, 0 the hottest and LEVELS - 1 the coldest."""
    height, width = places.shape
    scale = MAX_CELLS / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        places = cv2.resize(places, size, interpolation=cv2.INTER_AREA)
    # Half a pixel's share keeps a rank that is a whole number of levels from falling below it in float32.
    found = np.floor(places.astype(np.float64) * LEVELS + 0.5 * LEVELS / (height * width))
    return np.asarray(found.clip(0, LEVELS - 1), np.uint8)


def draw_fillings(seen: NDArray[np.uint8], grid: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Return what the engine hides pixels behind, in the picture's own colours: blurred (h, w, 3), and their mean."""
    import torch

    height, width = grid
    small = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = torch.from_numpy(small).permute(2, 0, 1)[None]
    soft = filling.blur(picture)[0].permute(1, 2, 0).numpy()
    red, green, blue = (round(float(value)) for value in small.mean((0, 1)))
    return np.rint(soft).clip(0, 255).astype(np.uint8), (red, green, blue)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return to_jpeg(pixels, QUALITY)


def shares(proof: Proof, *, detects: bool, every: bool = False) -> str:
    """Return necessity and sufficiency in plain words: those that are shown, or both with `every`.

    `detects`: the target is a box.
    """
    found = {"necessity": _necessity(proof, detects=detects), "sufficiency": _sufficiency(proof)}
    words = "; ".join(text for name, text in found.items() if is_shown(name, every=every))
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _necessity(proof: Proof, *, detects: bool) -> str:
    hidden, stays = proof.necessity, proof.map.deletion.stays
    if not detects and stays.all():
        return "whatever share is hidden, the answer stays"
    if hidden is None:
        return "it is not the model's answer, so hiding cannot flip it" if not stays[0] else "hiding does not lose it"
    return f"hiding the hottest {percent(hidden)} {'loses the box' if detects else 'flips the answer'}"


def _sufficiency(proof: Proof) -> str:
    kept, most = proof.sufficiency, percent(SUFFICIENT)
    what = "lead over the next class" if proof.part == "contrast" else "score"
    if kept is None:
        return f"there is no {what} to keep"
    if kept >= 1:
        return f"nothing less than the whole picture keeps {most} of the {what}"
    if kept == 0:
        return f"with nothing kept {most} of the {what} is there all the same"
    return f"the hottest {percent(kept)} alone keeps {most} of the {what}"
