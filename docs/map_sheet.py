"""Draw a sheet that compares overlays: the picture, ours, pytorch-grad-cam's and torch-cam's.

`python docs/map_sheet.py` writes docs/images/overlays.webp from pictures that come with Sightglass; with an output file
and pictures as arguments, from those. All columns show the same map, of EfficientNet-Lite0's best class.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from pytorch_grad_cam.utils.image import show_cam_on_image
from torchcam.utils import overlay_mask

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sightglass import Explainer  # noqa: E402

PICTURES = ("bus.jpg", "zidane.jpg", "china.jpg", "flower.jpg")
DRAWN = ("one thing.png", "scene 1.png", "scene 3.png", "red star.png")
CHANGED = (("china.jpg", 0.25), ("bus.jpg", 2.2), ("flower.jpg", 0.2), ("zidane.jpg", 1.8))
"""Pictures in very little and in very much light."""
SIDE, GAP, COLUMNS = 150, 4, 3


def main(out: Path, pictures: list[Image.Image | str]) -> None:
    rows = [np.pad(row(picture), ((0, GAP), (0, 2 * GAP), (0, 0)), constant_values=255) for picture in pictures]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % COLUMNS)
    lines = [np.concatenate(rows[at : at + COLUMNS], axis=1) for at in range(0, len(rows), COLUMNS)]
    Image.fromarray(np.concatenate(lines)).save(out, quality=60, method=6)


def row(picture: Image.Image | str) -> NDArray[np.uint8]:
    """Return the picture and its overlays beside one another."""
    result = explainer(picture, top_k=1)
    pixels, heatmap = result.image.pixels, result.heatmaps[0].values
    theirs = show_cam_on_image(pixels / np.float32(255), heatmap, use_rgb=True)
    mask = overlay_mask(Image.fromarray(pixels), Image.fromarray(heatmap, mode="F"), alpha=0.5)
    columns = [Image.fromarray(part) for part in (pixels, result.overlay(), theirs)] + [mask]
    return np.concatenate([np.asarray(ImageOps.fit(column, (SIDE, SIDE))) for column in columns], axis=1)


def packaged() -> list[Image.Image | str]:
    """Return twelve pictures."""
    changed = [
        ImageEnhance.Brightness(Image.fromarray(explainer(name).image.pixels)).enhance(by) for name, by in CHANGED
    ]
    return [*PICTURES, *DRAWN, *changed]


explainer = Explainer("efficientnet-lite0")

if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), list(sys.argv[2:]))
    else:
        main(Path(__file__).parent / "images" / "overlays.webp", packaged())
