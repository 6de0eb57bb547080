"""Arrange panels on a sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from sightglass.explain.phrases import shorten
from sightglass.explain.rendering.marks import add_label, text_width, write
from sightglass.explain.rendering.render import picture
from sightglass.explain.rendering.style import Pixels

GAP = 16
"""Pixels between cells."""
WIDEST = 8
"""Maximum width of a cell, in heights: a picture one pixel high would need gigabytes."""


def add_heading(pixels: Pixels, text: str) -> Pixels:
    """Write a heading into the upper left corner, white on dark."""
    out = picture(pixels).copy()
    size = max(12, round(max(out.shape) / 36))
    words = shorten(text, out.shape[1] - 2 * (size // 3), lambda part: text_width(part, size))
    add_label(out, words, (0, 0, 0, 0), size, ())
    return out


def grid(
    panels: Sequence[Pixels],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    height: int = 320,
    title: str = "",
    names: bool = False,
) -> Pixels:
    """Arrange panels with captions in equal cells, `height` pixels high.

    A panel is scaled to fit its cell and centred there. By default up to three are in a row, and four are 2 x 2. A
    caption that is too long loses the end of its words, never a number that follows them; where captions are `names` of
    files, their middle. A title is above all panels.
    """
    if not panels or height < 1 or (columns is not None and columns < 1):
        raise ValueError(f"A grid needs panels, height and columns: got {len(panels)}, {height} px, {columns}.")
    if captions is not None and len(captions) != len(panels):
        raise ValueError(f"A grid needs a caption for each panel, got {len(captions)} for {len(panels)}.")
    ratios = [picture(panel).shape[1] / panel.shape[0] for panel in panels]
    # The median: one panorama must not widen every cell.
    cell = max(1, round(height * min(sorted(ratios)[len(ratios) // 2], WIDEST)))
    across = columns or (len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels))))
    size = max(11, round(height / 20)) if captions is not None else 0
    head = size + size // 2
    rows, width = math.ceil(len(panels) / across), GAP + across * (cell + GAP)
    above = head if title else 0
    sheet = np.full((above + GAP + rows * (head + height + GAP), width, 3), 255, dtype=np.uint8)
    if title:
        words = shorten(title, width - 2 * GAP, lambda text: text_width(text, size))
        write(sheet, words, (GAP, GAP + head // 2), size)
    for number, panel in enumerate(panels):
        scale = min(height / panel.shape[0], cell / panel.shape[1])
        wide, high = max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale))
        left = GAP + number % across * (cell + GAP) + (cell - wide) // 2
        top = above + GAP + number // across * (head + height + GAP) + head + (height - high) // 2
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sheet[top : top + high, left : left + wide] = cv2.resize(panel, (wide, high), interpolation=method)
        if captions is not None:
            line, limit = top - (height - high) // 2 - head // 2, cell - (cell - wide) // 2
            words = shorten(captions[number], limit, lambda text: text_width(text, size), middle=names)
            write(sheet[:, : left + limit], words, (left, line), size)
    return sheet
