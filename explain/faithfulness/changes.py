"""Perturb a picture slightly and undo that on its map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from PIL import Image as Pillow

from sightglass.explain.picture.image import Image
from sightglass.explain.proof.controls import seed_of
from sightglass.models.preprocess import halve, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.models.geometry import Geometry

    Pixels = NDArray[np.uint8]

Kind = Literal["noise", "more noise", "right", "down", "mirror", "jpeg", "brighter", "darker"]
CHANGES: dict[Kind, str] = {
    "noise": "a little noise",
    "more noise": "more noise",
    "right": "a shift of 2 pixels to the right",
    "down": "a shift of 2 pixels downwards",
    "mirror": "a mirror image",
    "jpeg": "JPEG of quality 60",
    "brighter": "15 % brighter",
    "darker": "15 % darker",
}
"""Each change in words. Pixels are those of the model's input."""
NOISE: dict[Kind, float] = {"noise": 4.0, "more noise": 8.0}
"""Standard deviations, of 255."""
SHIFT, QUALITY, BRIGHTNESS = 2, 60, 0.15


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed picture, and where its pixels went."""

    kind: Kind
    pixels: Pixels
    """uint8 (H, W, 3), as large as the picture."""
    shift: tuple[int, int] = (0, 0)
    """(down, right) in pixels of the model's input."""
    mirrored: bool = False
    columns: int = 1
    """Pictures side by side, each of which was changed by itself."""

    def undone(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map (h, w) over the content of the model's input with every place back where it was."""
        if self.columns > 1:
            alone = replace(self, columns=1)
            return np.concatenate([alone.undone(part) for part in np.split(values, self.columns, 1)], 1)
        if self.mirrored:
            return np.ascontiguousarray(values[:, ::-1])
        # One pixel of a picture that is a line may be all that the model saw.
        down, right = (min(by, side - 1) for by, side in zip(self.shift, values.shape, strict=True))
        moved = np.roll(values, (-down, -right), (0, 1))
        # What was pushed out of the picture is as its neighbour.
        if down:
            moved[-down:] = moved[-down - 1]
        if right:
            moved[:, -right:] = moved[:, -right - 1 : -right]
        return moved


def change(image: Image, geometry: Geometry, kind: Kind) -> Changed:
    """Return a picture with one small change, the same every time."""
    pixels = image.pixels
    if geometry.columns > 1:
        both = [change(Image(half, image.name), geometry.one_column(), kind) for half in halve(pixels)]
        return replace(both[0], pixels=join(*(one.pixels for one in both)), columns=geometry.columns)
    if kind in NOISE:
        # Finer noise would be averaged away as the picture is reduced.
        height, width = pixels.shape[:2]
        rows, columns = (
            max(1, round(side * min(scale, 1.0))) for side, scale in zip((height, width), geometry.scale, strict=True)
        )
        random = np.random.default_rng(seed_of(image.sha256, int(NOISE[kind])))
        noise = random.normal(0, NOISE[kind], (rows, columns, 3)).astype(np.float32)
        grown = cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)
        noisy: Pixels = np.rint(np.clip(pixels + grown, 0, 255)).astype(np.uint8)
        return Changed(kind, noisy)
    if kind in ("right", "down"):
        # At the picture's own size, rounded to its pixels.
        by = [round(SHIFT / scale) for scale in geometry.scale]
        down, right = (max(by[0], 1), 0) if kind == "down" else (0, max(by[1], 1))
        # Nothing of a picture of one pixel would be left.
        down, right = min(down, image.height - 1), min(right, image.width - 1)
        padded = cv2.copyMakeBorder(pixels, down, 0, right, 0, cv2.BORDER_REPLICATE)
        moved = (round(down * geometry.scale[0]), round(right * geometry.scale[1]))
        return Changed(kind, np.ascontiguousarray(padded[: image.height, : image.width]), moved)
    if kind == "mirror":
        return Changed(kind, np.ascontiguousarray(pixels[:, ::-1]), mirrored=True)
    if kind == "jpeg":
        buffer = BytesIO()
        Pillow.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
        return Changed(kind, np.array(Pillow.open(buffer).convert("RGB")))
    factor = 1 + BRIGHTNESS if kind == "brighter" else 1 - BRIGHTNESS
    return Changed(kind, cv2.convertScaleAbs(pixels, alpha=factor).astype(np.uint8, copy=False))
