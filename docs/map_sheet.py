"""Draw a sheet that compares overlays: the picture, ours, pytorch-grad-cam's and torch-cam's; or measure them.

`python docs/map_sheet.py` writes docs/images/overlays.webp from pictures that come with Sightglass; with an output file
and pictures as arguments, from those. `python docs/map_sheet.py --measure [PICTURES]` prints, for each overlay, what
`measure` returns, as the mean and the worst of the pictures, and in how many it is as it should be. All overlays show
the same map, of EfficientNet-Lite0's best class, or of the model after `--model`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sightglass import Explainer  # noqa: E402
from sightglass.explain.rendering.render import paint  # noqa: E402
from sightglass.explain.rendering.style import Style  # noqa: E402
from sightglass.explain.result import Result  # noqa: E402

Pixels = NDArray[np.uint8]

PICTURES = ("bus.jpg", "zidane.jpg", "china.jpg", "flower.jpg")
DRAWN = ("one thing.png", "scene 1.png", "scene 3.png", "red star.png")
CHANGED = (("china.jpg", 0.25), ("bus.jpg", 2.2), ("flower.jpg", 0.2), ("zidane.jpg", 1.8))
"""Pictures in very little and in very much light."""
SIDE, GAP, COLUMNS = 150, 4, 3
UNLINED = Style(threshold=0.01)
"""Has the white line where the map is nearly nothing, so that it is in no measure."""


class Measures(NamedTuple):
    """What an overlay does to a picture, in CIELAB."""

    peak: float
    """Mean chroma where the map has at least 0.9 of its maximum."""
    half: float
    """Mean chroma from 0.45 to 0.55 of it."""
    hue: float
    """Of the mean colour of the peak, degrees."""
    detail: float
    """Standard deviation of the lightness without what is broader than a sixtieth of the picture, where the map has at
    least 0.75 of its maximum, as a share of the picture's; NaN where the picture has none."""
    off: float
    """Share of what is above half that is teal or pale yellow."""

    def passed(self) -> tuple[bool, ...]:
        """Return whether chroma, hue, detail and colours are as they should be."""
        chroma, detail = not self.peak < self.half, not self.detail < 0.6
        return chroma, 20 <= self.hue <= 110, detail, self.off < 0.01


def measure(pixels: Pixels, drawn: Pixels, values: NDArray[np.float32]) -> Measures:
    """Measure an overlay of a map, float32 (H, W) in 0..1, over a picture, both uint8 (H, W, 3) RGB."""
    before, after = (
        cv2.cvtColor(part.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB) for part in (pixels, drawn)
    )
    values = values / values.max()
    peak, half, hot = values >= 0.9, (values > 0.45) & (values < 0.55), values >= 0.75
    chroma, hues = np.hypot(after[..., 1], after[..., 2]), np.degrees(np.arctan2(after[..., 2], after[..., 1])) % 360
    _, a, b = after[peak].mean(0)
    teal = (hues > 150) & (hues < 230) & (chroma > 12)
    pale = (hues > 75) & (hues < 120) & (chroma > 6) & (chroma < 40) & (after[..., 0] > 80)
    fine = [
        (part[..., 0] - cv2.GaussianBlur(part[..., 0], (0, 0), max(values.shape) / 60))[hot].std()
        for part in (before, after)
    ]
    return Measures(
        float(chroma[peak].mean()),
        float(chroma[half].mean()) if half.any() else float("nan"),
        float(np.degrees(np.arctan2(b, a)) % 360),
        float(fine[1] / fine[0]) if fine[0] > 0.5 else float("nan"),
        float((teal | pale)[values >= 0.5].mean()),
    )


def overlays(result: Result, style: Style) -> dict[str, Pixels]:
    """Return the overlays of a result's first map."""
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from torchcam.utils import overlay_mask

    pixels, heatmap = result.image.pixels, result.heatmaps[0]
    mask = overlay_mask(Image.fromarray(pixels), Image.fromarray(heatmap.values, mode="F"), alpha=0.5)
    return {
        "ours": paint(pixels, heatmap.field, style),
        "pytorch-grad-cam": show_cam_on_image(pixels / np.float32(255), heatmap.values, use_rgb=True),
        "torch-cam": np.asarray(mask.convert("RGB")),
    }


def draw(out: Path, results: list[Result]) -> None:
    """Write the sheet of overlays."""
    rows = [np.pad(row(result), ((0, GAP), (0, 2 * GAP), (0, 0)), constant_values=255) for result in results]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % COLUMNS)
    lines = [np.concatenate(rows[at : at + COLUMNS], axis=1) for at in range(0, len(rows), COLUMNS)]
    Image.fromarray(np.concatenate(lines)).save(out, quality=60, method=6)


def row(result: Result) -> Pixels:
    """Return the picture and its overlays beside one another."""
    columns = [result.image.pixels, *overlays(result, Style()).values()]
    fitted = [ImageOps.fit(Image.fromarray(column), (SIDE, SIDE)) for column in columns]
    return np.concatenate([np.asarray(column) for column in fitted], axis=1)


def table(results: list[Result]) -> str:
    """Return the measures of each overlay as lines of text."""
    found: dict[str, list[Measures]] = {}
    for result in results:
        for name, drawn in overlays(result, UNLINED).items():
            found.setdefault(name, []).append(measure(result.image.pixels, drawn, result.heatmaps[0].values))
    lines = [
        f"{len(results)} pictures: chroma at the peak, at half, least difference; hue; detail; teal or pale yellow"
    ]
    for name, of_pictures in found.items():
        m = Measures(*(np.array(column) for column in zip(*of_pictures, strict=True)))
        passed = np.array([each.passed() for each in of_pictures]).sum(0)
        lines.append(
            f"{name:17} {np.nanmean(m.peak):.0f} {np.nanmean(m.half):.0f} {np.nanmin(m.peak - m.half):+.0f}; "
            f"{m.hue.min():.0f} to {m.hue.max():.0f}; {np.nanmean(m.detail):.2f}, worst {np.nanmin(m.detail):.2f}; "
            f"{m.off.mean():.3f}, worst {m.off.max():.3f}; passed {'/'.join(map(str, passed))}"
        )
    return "\n".join(lines)


def packaged(explainer: Explainer) -> list[Image.Image | str]:
    """Return twelve pictures."""
    changed = [
        ImageEnhance.Brightness(Image.fromarray(explainer(name).image.pixels)).enhance(by) for name, by in CHANGED
    ]
    return [*PICTURES, *DRAWN, *changed]


def main(arguments: list[str]) -> None:
    model = "efficientnet-lite0"
    if "--model" in arguments:
        at = arguments.index("--model")
        _, model = arguments[at : at + 2]
        del arguments[at : at + 2]
    measuring = arguments[:1] == ["--measure"]
    explainer, out = Explainer(model), Path(__file__).parent / "images" / "overlays.webp"
    pictures = arguments[1:] or packaged(explainer)
    results = [result for picture in pictures if (result := explainer(picture, top_k=1)).heatmaps]
    if measuring:
        print(table(results))
    else:
        draw(Path(arguments[0]) if arguments else out, results)


if __name__ == "__main__":
    main(sys.argv[1:])
