"""Drawn scenes with a mask each, for tests of segmentations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.demo.scenes import draw, sample

if TYPE_CHECKING:
    from pathlib import Path


def draw_masked(folder: Path, count: int) -> tuple[Path, Path]:
    """Draw scenes that demo-seg did not learn from; return the folder of pictures, and that of masks."""
    pictures, masks = folder / "pictures", folder / "masks"
    pictures.mkdir(parents=True)
    masks.mkdir()
    for number in range(count):
        scene = draw(sample(number, task="segment", held_out=True))
        classes = np.zeros(scene.pixels.shape[:2], np.uint8)
        for one in scene.objects:
            classes[one.mask] = 1 + one.index
        Image.fromarray(scene.pixels).save(pictures / f"{number:02}.png")
        Image.fromarray(classes).save(masks / f"{number:02}.png")
    return pictures, masks
