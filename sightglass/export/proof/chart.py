"""Describe the chart of a proof: curves, dashes, colours, axes.

The screen draws it in `curves.js`; here are those who draw it on paper, as SVG, PDF and figures, and on slides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from sightglass.browser import constants
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.trust import perturber
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.proof import SUFFICIENT, is_shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fpdf import FPDF
    from numpy.typing import NDArray

    from sightglass.explain.trust import Filling
    from sightglass.explain.trust.proof import Proof


Way = Literal["hidden", "kept"]
WAYS: tuple[Way, Way] = ("hidden", "kept")
Point = tuple[float, float]
DASHES: dict[str, str] = constants("browser/curves.js")["DASHES"]
"""Dashes and gaps of each control's line, in pixels of a line of LINE pixels; none of the map's own."""
LINE = 1.5
INKS = {
    "map": "#111111",
    "strongest": "#1f5fd0",
    "random": "#5b6b7b",
    "blobs": "#8a5a00",
    "centre": "#00725c",
    "edges": "#7a3e9d",
    "runner-up": "#a33b20",
}
"""Every colour has a contrast of 4.5 or more with the paper."""
TITLES = {
    "map": "This map",
    "random": "Random places",
    "blobs": "Random places in the object",
    "centre": "Middle of the picture",
    "edges": "Edges in the picture",
}
AXES = {"hidden": "hidden, hottest first", "kept": "kept, hottest first"}
HEADS = {"hidden": "The hottest part hidden", "kept": "Only the hottest part kept"}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ChartLine:
    """A curve as it is drawn: of a control the mean over its maps."""

    name: str
    """`map`, or the control's."""
    title: str
    filling: Filling | Literal[""]
    hidden: Sequence[float]
    """The score at each step, by the share that is hidden, hottest first."""
    kept: Sequence[float]


@dataclass(frozen=True)
class ChartFrame:
    """A chart's size and the margins inside, in its own unit."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def across(self, share: float) -> float:
        return self.left + share * (self.width - self.left - self.right)

    def down(self, height: float) -> float:
        """Return the y of a height of 0..1 of the axis."""
        return self.top + (1 - max(0.0, height)) * (self.height - self.top - self.bottom)


@dataclass(frozen=True)
class Chart:
    """The score over the share that is hidden, or that alone is kept."""

    way: Way
    lines: tuple[ChartLine, ...]
    """The map's own first; it is drawn last, over the others."""
    top: float = 1.0
    """The score at the upper end of the axis."""
    unit: float = 0.25
    """Between two lines of the grid."""

    @property
    def axis(self) -> str:
        return AXES[self.way]

    @property
    def title(self) -> str:
        return HEADS[self.way]

    def rows(self, frame: ChartFrame) -> list[tuple[float, str]]:
        """Return the grid's lines: (place, score)."""
        count = round(self.top / self.unit)
        return [(frame.down(i / count), percent(self.top * i / count)) for i in range(count + 1)]

    def columns(self, frame: ChartFrame) -> list[tuple[float, str]]:
        """Return the places of the shares below the axis."""
        return [(frame.across(share), percent(share)) for share in SHARES]

    def points(self, line: ChartLine, frame: ChartFrame) -> list[Point]:
        scores = getattr(line, self.way)
        return [(frame.across(i / (len(scores) - 1)), frame.down(score / self.top)) for i, score in enumerate(scores)]


@dataclass(frozen=True)
class Pen:
    """How a chart is drawn on a page, in its unit."""

    inks: Mapping[str, str]
    grid: str
    zero: str
    thin: float
    """Width of the grid's lines."""
    line: float
    bold: float
    """Of the map's own."""
    gaps: tuple[float, float, float, float]
    """From the grid to a score's right end and its foot, from the axis to the feet of shares and of its title."""

    def width(self, name: str) -> float:
        return self.bold if name == "map" else self.line


def titles(proof: Proof) -> dict[str, str]:
    """Return the names of a proof's curves."""
    name = "Another map" if proof.support is None else proof.support.strongest_name
    return TITLES | {"strongest": name[:1].upper() + name[1:], "runner-up": f"Map of {proof.runner_up}"}


def lines(proof: Proof) -> list[ChartLine]:
    """Return the curves of every filling, the map's own before its controls'."""
    named = titles(proof)
    return [
        ChartLine(name, named[name], filling, *(_mean(proof, name, filling, way) for way in ("deletion", "insertion")))
        for filling in proof.fillings
        for name in ("map", *proof.controls)
        if proof.of(name, filling)
    ]


def _mean(proof: Proof, name: str, filling: Filling, way: str) -> list[float]:
    scores = np.mean([getattr(curve, way).score for curve in proof.of(name, filling)], axis=0)
    return [round(float(score), 4) for score in scores]


def chart(proof: Proof, way: Way, filling: str = "") -> Chart:
    """Return one way's chart, with one filling's curves or all.

    It ends at the next 5, 10 or 20 % above all scores of all fillings.
    """
    all_lines = lines(proof)
    most = max(0.01, *(score for line in all_lines for score in (*line.hidden, *line.kept)))
    unit = 0.2 if most > 0.4 else 0.1 if most > 0.1 else 0.05
    selected = tuple(line for line in all_lines if filling in ("", line.filling))
    return Chart(way, selected, min(1.0, math.ceil(most / unit - 1e-9) * unit), unit)


def dashes(name: str, width: float) -> list[float]:
    """Return a curve's dashes and gaps; empty for the map's own."""
    return [float(length) * width / LINE for length in DASHES[name].split()]


def stroke(name: str, width: float) -> dict[str, str]:
    """Return the attributes of a curve's line in SVG."""
    style = {"stroke": INKS[name], "stroke-width": f"{width:g}"}
    return style | ({"stroke-dasharray": " ".join(f"{each:g}" for each in dashes(name, width))} if DASHES[name] else {})


def draw_chart(page: FPDF, drawn: Chart, frame: ChartFrame, at: Point, pen: Pen) -> None:
    """Draw axes and curves on a PDF page, at `at`."""
    left, top = at
    foot, right = top + frame.down(0), left + frame.across(0.5)
    page.set_line_width(pen.thin)
    for i, (y, score) in enumerate(drawn.rows(frame)):
        page.set_draw_color(pen.grid if i else pen.zero)
        page.line(left + frame.left, top + y, left + frame.width - frame.right, top + y)
        page.text(left + frame.left - pen.gaps[0] - page.get_string_width(score), top + y + pen.gaps[1], score)
    for x, share in drawn.columns(frame):
        page.text(left + x - page.get_string_width(share) / 2, foot + pen.gaps[2], share)
    page.text(right - page.get_string_width(drawn.axis) / 2, foot + pen.gaps[3], drawn.axis)
    for line in reversed(drawn.lines):
        draw_line(page, line.name, [(left + x, top + y) for x, y in drawn.points(line, frame)], pen)


def draw_line(page: FPDF, name: str, points: Sequence[Point], pen: Pen) -> None:
    """Draw a dashed curve, or its sample, on a PDF page."""
    (x, y), *rest = points
    with page.new_path(x, y) as path:
        path.style.auto_close, path.style.fill_color, path.style.stroke_color = False, None, pen.inks[name]
        path.style.stroke_width, path.style.stroke_cap_style = pen.width(name), "butt"
        path.style.stroke_dash_pattern = dashes(name, pen.width(name)) or None
        for x, y in rest:
            path.line_to(x, y)


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
    """Format a curve's score at a share, with ≈ between steps."""
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
    reduced = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Slides(to_jpeg(reduced, QUALITY), to_jpeg(soft, QUALITY), mean, size, levels(places))


def levels(places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map's order (h, w) in LEVELS steps, 0 the hottest."""
    height, width = places.shape
    scale = MAX_CELLS / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        places = cv2.resize(places, size, interpolation=cv2.INTER_AREA)
    # Half a pixel's share keeps a rank that is a whole number of levels from falling below it in float32.
    ranks = np.floor(places.astype(np.float64) * LEVELS + 0.5 * LEVELS / (height * width))
    return np.asarray(ranks.clip(0, LEVELS - 1), np.uint8)


def draw_fillings(seen: NDArray[np.uint8], grid: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Return what the engine hides pixels behind, in the picture's own colours: blurred (h, w, 3), and their mean."""
    import torch

    height, width = grid
    small = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = torch.from_numpy(small).permute(2, 0, 1)[None]
    soft = perturber.blur(picture)[0].permute(1, 2, 0).numpy()
    red, green, blue = (round(float(value)) for value in small.mean((0, 1)))
    return np.rint(soft).clip(0, 255).astype(np.uint8), (red, green, blue)


def shares(proof: Proof, *, detects: bool, every: bool = False) -> str:
    """Describe necessity and sufficiency in plain words.

    `detects`: the target is a box.
    """
    sentences = {"necessity": _necessity(proof, detects=detects), "sufficiency": _sufficiency(proof)}
    words = "; ".join(text for name, text in sentences.items() if is_shown(name, every=every))
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
