"""Draw labelled boxes on a picture, and arrange panels on a sheet."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sightglass.common.files import packing
from sightglass.explain.phrases import shorten
from sightglass.explain.rendering.render import HALO, line_width, picture
from sightglass.explain.rendering.style import Pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Place = tuple[int, int, int, int]

WIDEST = 8
"""Maximum width of a cell, in heights: a picture one pixel high would need gigabytes."""
_WHITE, _INK = (255, 255, 255), (28, 28, 28)


def boxes(
    pixels: Pixels,
    items: Iterable[tuple[Sequence[float], str]],
    *,
    chosen: int | None = None,
    colors: Sequence[tuple[int, int, int]] = (),
) -> Pixels:
    """Draw boxes (xyxy in pixels, label), white over a dark halo; the chosen one bolder, with a white label, on top.

    `colors`: instead of white, one for each box, RGB; a bar of it is at the left of its label.

    A label is above its box where there is room, and covers no other label while there is a free place.
    """
    out = picture(pixels).copy()
    line, size = line_width(out.shape), max(12, round(max(out.shape) / 42))
    listed = [(number, *item) for number, item in enumerate(items)]
    last = sorted(listed, key=lambda item: item[0] == chosen)
    for number, xyxy, _ in last:
        if len(xyxy) != 4 or not np.isfinite(xyxy).all():
            raise ValueError(f"A box must be four finite numbers x0, y0, x1, y1, got {xyxy}.")
        # A clip keeps less of colours than of brightness: a thin line would be grey.
        thick = 3 * line if colors else round(line * 1.8) if number == chosen else line
        x0, y0, x1, y1 = _whole(xyxy)
        own = colors[number] if colors else _WHITE
        for colour, width in ((HALO, thick + 2 * max(1, round(line / 2))), (own, thick)):
            cv2.rectangle(out, (x0, y0), (x1, y1), colour, width)
    taken: list[Place] = []
    # The chosen label is placed first. Labels do not cover each other, so the order of drawing does not matter.
    for number, xyxy, label in reversed(last):
        if not label:
            continue
        pad, tall = size // 3, round(1.5 * size)
        wide = math.ceil(_wide(label, size)) + 2 * pad
        place = place_label(_whole(xyxy), (wide, tall), (out.shape[1], out.shape[0]), taken)
        taken.append(place)
        cv2.rectangle(out, place[:2], (place[2] - 1, place[3] - 1), _WHITE if number == chosen else HALO, cv2.FILLED)
        middle = (place[0] + pad, (place[1] + place[3]) // 2)
        if colors:
            cv2.rectangle(out, place[:2], (place[0] + max(1, pad // 2), place[3] - 1), colors[number], cv2.FILLED)
        _write(out, label, middle, size, _INK if number == chosen else _WHITE)
    return out


def add_names(pixels: Pixels, names: Iterable[tuple[tuple[int, int], str]]) -> Pixels:
    """Return the picture with names, white on dark, each at its point (x, y), or beside it where others are."""
    out = picture(pixels).copy()
    size = max(11, round(max(out.shape) / 42))
    taken: list[Place] = []
    for (x, y), name in names:
        pad, tall = size // 3, round(1.5 * size)
        wide = math.ceil(_wide(name, size)) + 2 * pad
        box = (x - wide // 2, y + tall // 2, x + wide // 2, y + tall)
        place = place_label(box, (wide, tall), (out.shape[1], out.shape[0]), taken)
        taken.append(place)
        cv2.rectangle(out, place[:2], (place[2] - 1, place[3] - 1), HALO, cv2.FILLED)
        _write(out, name, (place[0] + pad, (place[1] + place[3]) // 2), size, _WHITE)
    return out


def add_heading(pixels: Pixels, text: str) -> Pixels:
    """Return the picture with a line of text in its upper left corner, white on dark, as long as there is room."""
    out = picture(pixels).copy()
    size = max(12, round(max(out.shape) / 36))
    pad, tall = size // 3, round(1.5 * size)
    words = shorten(text, out.shape[1] - 2 * pad, lambda part: _wide(part, size))
    wide = math.ceil(_wide(words, size)) + 2 * pad
    cv2.rectangle(out, (0, 0), (wide - 1, tall - 1), HALO, cv2.FILLED)
    _write(out[:tall], words, (pad, tall // 2), size, _WHITE)
    return out


def place_label(box: Place, label: tuple[int, int], size: tuple[int, int], taken: Sequence[Place]) -> Place:
    """Place a label (width, height) where it covers no other, as `freePlace` in `components/viewer/outline.js` does.

    `box` in whole pixels of a picture of this `size`: above the box, in its corners, or below it; else above it anyway.
    """
    (left, top, right, bottom), (wide, tall) = box, label

    def inside(x: int, y: int) -> Place:
        x0, y0 = min(max(0, x), max(0, size[0] - wide)), min(max(0, y), max(0, size[1] - tall))
        return x0, y0, x0 + wide, y0 + tall

    def open_at(at: Place) -> bool:
        return all(at[0] >= t[2] or at[2] <= t[0] or at[1] >= t[3] or at[3] <= t[1] for t in taken)

    above, within, under = top - tall, bottom - tall, bottom
    corners = [(left, above), (left, top), (right - wide, above), (right - wide, top)]
    places = [inside(*at) for at in [*corners, (left, under), (left, within), (right - wide, within)]]
    return next(filter(open_at, places), places[0])


def grid(
    panels: Sequence[Pixels],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    gap: int = 16,
    height: int = 320,
    title: str = "",
    names: bool = False,
) -> Pixels:
    """Arrange panels on a white sheet in equal cells, `height` pixels high, with captions above them.

    A panel is scaled to fit its cell and centred there. By default up to three are in a row, and four are 2 x 2. A
    caption that is too long loses the end of its words, never a number that follows them; where captions are `names` of
    files, their middle. A title, above all panels, is broken into lines.
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
    rows, width = math.ceil(len(panels) / across), gap + across * (cell + gap)
    lines = _broken(title, size, width - 2 * gap)
    above = len(lines) * head
    sheet = np.full((above + gap + rows * (head + height + gap), width, 3), 255, dtype=np.uint8)
    for number, words in enumerate(lines):
        _write(sheet, words, (gap, gap + number * head + head // 2), size)
    for number, panel in enumerate(panels):
        scale = min(height / panel.shape[0], cell / panel.shape[1])
        wide, high = max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale))
        left = gap + number % across * (cell + gap) + (cell - wide) // 2
        top = above + gap + number // across * (head + height + gap) + head + (height - high) // 2
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sheet[top : top + high, left : left + wide] = cv2.resize(panel, (wide, high), interpolation=method)
        if captions is not None:
            line, room = top - (height - high) // 2 - head // 2, cell - (cell - wide) // 2
            words = shorten(captions[number], room, lambda text: _wide(text, size), middle=names)
            _write(sheet[:, : left + room], words, (left, line), size)
    return sheet


def _broken(text: str, size: int, room: int) -> list[str]:
    """Break a text into lines between words; a word wider than the room is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _wide(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(shorten(word, room, lambda text: _wide(text, size), middle=True))
    return lines


def _whole(xyxy: Sequence[float]) -> Place:
    x0, y0, x1, y1 = (round(float(corner)) for corner in xyxy)
    return x0, y0, x1, y1


@functools.lru_cache(maxsize=16)
def _font(size: int) -> Any:
    return ImageFont.truetype(str(packing.font()), size)


def _write(image: Pixels, text: str, middle: tuple[int, int], size: int, colour: tuple[int, int, int] = _INK) -> None:
    """Draw a line of text in place; `middle`: its left end, at half of its height. What is outside is cut off."""
    x, y = middle
    top, high = max(0, y - size), 2 * size
    part = image[top : y - size + high, max(0, x) :]
    if not part.size:
        return
    mask = Pillow.new("L", (part.shape[1], part.shape[0]))
    ImageDraw.Draw(mask).text((min(0, x), y - top), text, font=_font(size), fill=255, anchor="lm")
    cover = np.asarray(mask, np.float32)[..., None] / 255
    part[:] = np.round(part * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)


def _wide(text: str, size: int) -> float:
    return float(_font(size).getlength(text))
