"""Draw what all files of slides share: pictures with their maps, charts, thumbnails."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image as Pillow

from sightglass.deck import page as slide_page
from sightglass.deck.layouts import DARK, INCH, LETTERS, SMALLEST, hex_of
from sightglass.deck.page import Picture
from sightglass.explain.phrases import percent, shorten
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.marks import box_mark, draw_marks
from sightglass.explain.rendering.render import dim, paint
from sightglass.explain.rendering.style import Field
from sightglass.export.figure import LOCK, save
from sightglass.export.proof.chart import ChartLine, draw_curves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.deck import Panel, Scene, SceneMap, SceneProof
    from sightglass.deck.layouts import Rect, Theme

SHARP = 12.0
"""Pixels of a unit: a slide is 1920 x 1080."""
QUALITY = 85


@dataclass(frozen=True)
class Drawn:
    """A panel's picture at the size of its place, and the same with its map over it."""

    plain: NDArray[np.uint8]
    mapped: NDArray[np.uint8] | None
    about: str

    @property
    def shown(self) -> NDArray[np.uint8]:
        return self.plain if self.mapped is None else self.mapped


def draw(scene: Scene, item: Picture, theme: Theme = DARK, scale: float = SHARP) -> Drawn:
    """Return the picture of an item, uint8 (H, W, 3). `scale`: pixels of a unit."""
    panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
    panel_file = panel.picture if panel is not None else None
    file = panel_file or scene.picture
    assert file is not None
    pixels = _open(file, (max(1, round(item.place.width * scale)), max(1, round(item.place.height * scale))))
    if panel is None:
        return Drawn(pixels, None, scene.title)
    if panel_file is not None and panel.seen is not None:
        pixels = _faded(pixels, panel.seen, theme)
    heatmap = panel.maps[item.map] if item.map is not None else None
    mapped = None if heatmap is None else _paint(pixels, heatmap, scene, theme)
    about = f"The picture that {panel.name} shows" if heatmap is None else f"Heat map of {heatmap.label}, {panel.name}"
    if panel.boxes and panel_file is None and not (heatmap is None and any(other.maps for other in scene.panels)):
        pixels = _mark(pixels, panel, heatmap, scale)
        mapped = None if mapped is None else _mark(mapped, panel, heatmap, scale)
    return Drawn(pixels, mapped, about)


@functools.lru_cache(8)
def _open(file: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    opened = Pillow.open(BytesIO(file))
    opened.draft("RGB", size)
    (width, height), (across, down) = opened.size, size
    # Of a picture that is higher than its place, the middle.
    cut = max(0.0, height - width * down / across) / 2
    box = (0, cut, width, height - cut) if cut > 0.01 * height else None
    return np.asarray(opened.convert("RGB").resize(size, Pillow.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def _paint(pixels: NDArray[np.uint8], heatmap: SceneMap, scene: Scene, theme: Theme) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    low, steps = (128, 127) if heatmap.signed else (0, 255)
    values = np.clip((heatmap.values.astype(np.float32) - low) / steps, -1, 1).astype(np.float32)
    x0, y0, x1, y1 = heatmap.seen or (0.0, 0.0, 1.0, 1.0)
    seen = round(x0 * width), round(y0 * height), max(1, round(x1 * width)), max(1, round(y1 * height))
    field = Field(values, (0.0, 0.0, float(width), float(height)), seen, "signed" if heatmap.signed else "heat")
    return paint(pixels, field, scene.view.style, unseen=theme.name, unit=max(1.0, max(height, width) / 600))


def _faded(pixels: NDArray[np.uint8], seen: tuple[float, float, float, float], theme: Theme) -> NDArray[np.uint8]:
    """Return a picture dimmed outside the model's view."""
    (height, width), (x0, y0, x1, y1) = pixels.shape[:2], seen
    rows, columns = slice(round(y0 * height), round(y1 * height)), slice(round(x0 * width), round(x1 * width))
    out = dim(pixels)
    out[rows, columns] = pixels[rows, columns]
    return out


def _mark(pixels: NDArray[np.uint8], panel: Panel, heatmap: SceneMap | None, scale: float) -> NDArray[np.uint8]:
    """Draw a detector's boxes, the explained one bolder."""
    height, width = pixels.shape[:2]
    chosen = None
    if heatmap is not None and heatmap.box is not None:
        chosen = next((i for i, (box, *_) in enumerate(panel.boxes) if np.allclose(box, heatmap.box, atol=1e-3)), None)
    items = [
        ([box_mark((box[0] * width, box[1] * height, box[2] * width, box[3] * height))], f"{label} {percent(score)}")
        for box, label, score in panel.boxes
    ]
    return draw_marks(pixels, items, chosen=chosen, letters=round(SMALLEST * scale))


def chart(proof: SceneProof, place: Rect, theme: Theme, format: Literal["png", "svg"]) -> bytes:
    """Return the score of the answer over the share that is hidden, beside the control's."""
    from matplotlib.figure import Figure

    ink, soft, accent = (hex_of(colour) for colour in (theme.ink, theme.soft, theme.accent))
    curves = (
        ChartLine("map", "Hottest places hidden", "", proof.hide, proof.keep),
        ChartLine("random", shorten(proof.control, 40, len), "", proof.control_hide, proof.control_keep),
    )

    def draw() -> Figure:
        size, ground = (place.width * INCH, place.height * INCH), hex_of(theme.ground)
        drawn = Figure(size, facecolor=ground)
        axes = drawn.add_axes((0.17, 0.145, 0.74, 0.7), facecolor=ground)
        draw_curves(axes, curves, "hidden", inks={"map": accent, "random": ink}, line=2.5, letters=LETTERS)
        axes.tick_params(colors=soft)
        axes.spines[:].set_color(soft)
        axes.set_xlabel("Hidden part of the picture", fontsize=LETTERS, color=soft)
        axes.set_ylabel(f"{shorten(proof.label, 24, len)}, how sure", fontsize=LETTERS, color=soft)
        drawn.legend(loc="upper left", fontsize=LETTERS, frameon=False, labelcolor=ink, handlelength=3)
        return drawn

    with LOCK:
        return save(draw, proof.sentence, format)


_SCALE = 3
"""Pixels of a unit in a thumbnail."""


def thumbnail(scene: Scene) -> bytes:
    """Return a slide's largest picture as a small JPEG; empty for a slide of words."""
    items = [item for item in slide_page.pages(scene)[0].items if isinstance(item, Picture)]
    if items:
        # Of a picture beside itself under its map, the map.
        largest = max(items, key=lambda item: (item.place.area, item.map is not None))
        return to_jpeg(draw(scene, largest, scale=_SCALE).shown)
    return b"" if scene.picture is None else to_jpeg(_open(scene.picture, (480, 270)))
