"""Draw labelled boxes on a picture, and arrange panels on a sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from explain.rendering.render import HALO, line_width, picture
from explain.rendering.style import Pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDEST = 8
"""Maximum width of a cell, in heights: a picture one pixel high would need gigabytes."""
_WHITE, _INK = (255, 255, 255), (28, 28, 28)


def boxes(pixels: Pixels, items: Iterable[tuple[Sequence[float], str]], *, chosen: int | None = None) -> Pixels:
    """Draw boxes (xyxy in pixels, label), white over a dark halo; the chosen one bolder, with a white label, on top."""
    out = picture(pixels).copy()
    line, size = line_width(out.shape), max(12, round(max(out.shape) / 48))
    listed = list(enumerate(items))
    for number, (xyxy, label) in sorted(listed, key=lambda item: item[0] == chosen):
        if len(xyxy) != 4 or not np.isfinite(xyxy).all():
            raise ValueError(f"A box must be four finite numbers x0, y0, x1, y1, got {xyxy}.")
        x0, y0, x1, y1 = (round(float(corner)) for corner in xyxy)
        thick = round(line * 1.8) if number == chosen else line
        for colour, width in ((HALO, thick + 2 * max(1, round(line / 2))), (_WHITE, thick)):
            cv2.rectangle(out, (x0, y0), (x1, y1), colour, width)
        if not label:
            continue
        pad, wide = size // 3, _wide(label, size)
        left = max(0, min(x0, out.shape[1] - wide - 2 * pad))
        top = max(0, y0)
        end = (left + wide + 2 * pad, top + size + pad)
        cv2.rectangle(out, (left, top), end, _WHITE if number == chosen else HALO, cv2.FILLED)
        _write(out, label, (left + pad, top + size), size, _INK if number == chosen else _WHITE)
    return out


def grid(
    panels: Sequence[Pixels],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    gap: int = 16,
    height: int = 320,
) -> Pixels:
    """Arrange panels on a white sheet in equal cells, `height` pixels high, with captions above them.

    A panel is scaled to fit its cell and centred there. By default up to three are in a row, and four are 2 x 2.
    """
    if not panels or height < 1 or gap < 0 or (columns is not None and columns < 1):
        raise ValueError(f"A grid needs panels, height and columns: got {len(panels)}, {height} px, {columns}.")
    if captions is not None and len(captions) != len(panels):
        raise ValueError(f"A grid needs a caption for each panel, got {len(captions)} for {len(panels)}.")
    ratios = [picture(panel).shape[1] / panel.shape[0] for panel in panels]
    # The median: one panorama must not widen every cell.
    cell = max(1, round(height * min(sorted(ratios)[len(ratios) // 2], WIDEST)))
    across = columns or (len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels))))
    size = max(11, round(height / 20)) if captions is not None else 0
    head = size + size // 2
    rows = math.ceil(len(panels) / across)
    sheet = np.full((gap + rows * (head + height + gap), gap + across * (cell + gap), 3), 255, dtype=np.uint8)
    for number, panel in enumerate(panels):
        scale = min(height / panel.shape[0], cell / panel.shape[1])
        wide, high = max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale))
        left = gap + number % across * (cell + gap) + (cell - wide) // 2
        top = gap + number // across * (head + height + gap) + head + (height - high) // 2
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sheet[top : top + high, left : left + wide] = cv2.resize(panel, (wide, high), interpolation=method)
        if captions is not None:
            line = top - (height - high) // 2 - size // 2
            _write(sheet, _shortened(captions[number], size, cell - (cell - wide) // 2), (left, line), size)
    return sheet


def _write(image: Pixels, text: str, start: tuple[int, int], size: int, colour: tuple[int, int, int] = _INK) -> None:
    cv2.putText(image, text, start, cv2.FONT_HERSHEY_SIMPLEX, size / 26, colour, 1, cv2.LINE_AA)


def _wide(text: str, size: int) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / 26, 1)[0][0])


def _shortened(text: str, size: int, room: int) -> str:
    """Shorten a text with an ellipsis where it is wider than the room."""
    cut = next((n for n in range(len(text), 0, -1) if _wide(text[:n] + "…" * (n < len(text)), size) <= room), 0)
    return text if cut == len(text) else text[:cut] + "…"
