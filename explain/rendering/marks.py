"""Draw labelled boxes, joints, lines and areas over a picture, and maps computed elsewhere; arrange pictures."""

import functools
import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sightglass.common.arguments import called_as
from sightglass.common.errors import Problem
from sightglass.common.fonts import split_by_font
from sightglass.explain.phrases import shorten
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import HALO, WHITE, line_width, paint
from sightglass.explain.rendering.style import Field, Kind, Pixels, Style, Values, check_pixels, lut
from sightglass.explain.tasks.wording import Mark as Mark

Place = tuple[int, int, int, int]
Color = tuple[int, int, int]
INK: Color = (28, 28, 28)
DASH = 14
"""Pixels of a dash with the gap after it."""
_FAR = 1 << 14
"""Coordinate beyond which OpenCV draws no smooth line or circle."""
COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's, which the colour-blind tell apart too (https://jfly.uni-koeln.de/color/)."""
HATCHES = ("diagonal", "other diagonal", "level", "upright", "dotted")
"""Hatchings, taken in turn by the classes, so that no two of 35 have colour and hatching in common."""
TINTED, HATCHED = 0.45, 0.9
"""Opacity of a class's colour, and of the lines of its hatching."""
SMALLEST = 0.002
"""Share of the picture below which a region is drawn without its name."""


def box_mark(xyxy: Sequence[float]) -> Mark:
    """Return the mark of a box, xyxy in pixels; raises ValueError."""
    if len(xyxy) != 4 or not np.isfinite(xyxy).all():
        raise ValueError(f"A box must be four finite numbers x0, y0, x1, y1, got {xyxy}.")
    x0, y0, x1, y1 = (float(edge) for edge in xyxy)
    return Mark("polygon", ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


class _Item(NamedTuple):
    """A thing to draw."""

    marks: tuple[Mark, ...]
    label: str
    color: Color | None
    """Its own colour, where each thing has one."""
    chosen: bool

    def of_kind(self, kind: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.kind == kind]


def draw_marks(
    pixels: Pixels,
    items: Iterable[tuple[Sequence[Mark], str]],
    *,
    chosen: int | None = None,
    color: Color = WHITE,
    colors: Sequence[Color] = (),
    letters: int | None = None,
) -> Pixels:
    """Draw marks and labels, lines in `color` over dark; the chosen one on top.

    `items`: the marks and the label of each thing, empty for none. `colors`: instead of `color`, one for each item,
    RGB; a bar of it is at the left of its label. `letters`: pixels of a label's letters. Returns uint8 (H, W, 3).

    A label is above its box if it fits, and avoids other labels. An area has its name in each of its larger regions.
    """
    out = check_pixels(pixels).copy()
    line = line_width(out.shape)
    size = letters or max(12, round(max(out.shape) / 42))
    listed: list[_Item] = []
    for number, (marks, label) in enumerate(items):
        own_color = colors[number] if colors else None
        listed.append(_Item(tuple(marks), label, own_color, number == chosen))
    names: list[tuple[tuple[int, int], str]] = []
    for item in listed:
        names += _draw_areas(out, item, line)
        draw_lines(out, item.of_kind("polyline"), line, 2, color)
        _draw_points(out, item.of_kind("point"), line, color)
    chosen_last = sorted(listed, key=lambda item: item.chosen)
    for item in chosen_last:
        _draw_box(out, item, line, color)
    # The chosen label is placed first. Labels do not cover each other, so the order of drawing does not matter.
    _label_boxes(out, reversed(chosen_last), size)
    return add_names(out, names) if names else out


def _draw_areas(out: Pixels, item: _Item, line: int) -> list[tuple[tuple[int, int], str]]:
    """Draw a thing's areas in place; return places (x, y) for its name."""
    names: list[tuple[tuple[int, int], str]] = []
    for mark in item.marks:
        if mark.mask is None:
            continue
        _draw_area(out, mark, line)
        if item.label:
            names += _find_places(mark.mask, item.label)
    return names


def _draw_box(out: Pixels, item: _Item, line: int, color: Color) -> None:
    ink = color if item.color is None else item.color
    thick = line
    if item.color is not None or color != WHITE:
        # Clips and JPEGs keep less of colours than of brightness: a thin line would be grey.
        thick = 3 * line
    elif item.chosen:
        thick = round(line * 1.8)
    draw_lines(out, item.of_kind("polygon"), thick, 2 * max(1, round(line / 2)), ink)


def _label_boxes(out: Pixels, items: Iterable[_Item], size: int) -> None:
    """Draw labels of letters of `size` pixels at the boxes of things, in place."""
    occupied: list[Place] = []
    for item in items:
        corners = np.array([point for mark in item.of_kind("polygon") for point in mark.points])
        if not item.label or not len(corners):
            continue
        left, top = corners.min(0).round().astype(int).tolist()
        right, bottom = corners.max(0).round().astype(int).tolist()
        box = (left, top, right, bottom)
        occupied.append(add_label(out, item.label, box, size, occupied, chosen=item.chosen, color=item.color))


def draw_lines(out: Pixels, marks: Sequence[Mark], line: int, halo: int, color: Color = WHITE) -> None:
    """Draw marks' lines in place, `line` pixels wide over wider dark ones."""
    for ink, thick in ((HALO, line + halo), (color, line)):
        for mark in marks:
            smooth = mark.kind == "polyline" or mark.hollow
            closed = mark.kind != "polyline" and not mark.hollow
            cv2.polylines(out, _paths(mark), closed, ink, thick, cv2.LINE_AA if smooth else cv2.LINE_8)


def _draw_points(out: Pixels, marks: Sequence[Mark], line: int, color: Color) -> None:
    for mark in marks:
        for x, y in filter(_is_near, mark.points):
            for ink, more in ((HALO, 2), (color, 0)):
                thick = (3 if more else 1) if mark.hollow else cv2.FILLED
                cv2.circle(out, (round(x), round(y)), 2 * line + more, ink, thick, cv2.LINE_AA)


def _draw_area(out: Pixels, mark: Mark, line: int) -> None:
    """Draw an area: colour, hatching and edge, or a white edge."""
    assert mark.mask is not None
    area, edge, halo, color = mark.mask.astype(np.uint8), 2 * line, line, WHITE
    if mark.fill is not None:
        color, hatch = COLORS[mark.fill % len(COLORS)], HATCHES[mark.fill % len(HATCHES)]
        tint = TINTED * area + (HATCHED - TINTED) * (area & _hatching(hatch, area.shape, 3 * line))
        out[:] = np.round(out * (1 - tint[..., None]) + np.array(color) * tint[..., None])
        edge = max(1, line // 2)
        halo = line + 1 - edge
    _outline(out, area, edge, halo, color)


def _outline(out: Pixels, area: Any, edge: int, halo: int, color: Color = WHITE) -> None:
    """Draw an area's edge, `edge` pixels wide, over a wider dark one."""
    outlines, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, outlines, -1, HALO, edge + halo)
    cv2.drawContours(out, outlines, -1, color, edge)


def _find_places(area: NDArray[np.bool_], name: str) -> list[tuple[tuple[int, int], str]]:
    """Return the innermost point (x, y) of each larger region, with the name."""
    count, numbers, statistics, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=4)
    places = []
    for number in range(1, count):
        if statistics[number, cv2.CC_STAT_AREA] < SMALLEST * area.size:
            continue
        inside = np.pad((numbers == number).astype(np.uint8), 1)
        y, x = divmod(int(cv2.distanceTransform(inside, cv2.DIST_L2, 3).argmax()), inside.shape[1])
        places.append(((x - 1, y - 1), name))
    return places


def _hatching(kind: str, shape: tuple[int, ...], step: int) -> NDArray[np.uint8]:
    """Return lines or dots, a third of `step` wide and four times that apart."""
    y, x = np.mgrid[: shape[0], : shape[1]] // max(1, step // 3)
    lines = {
        "diagonal": (x + y) % 4 == 0,
        "other diagonal": (x - y) % 4 == 0,
        "level": y % 4 == 0,
        "upright": x % 4 == 0,
        "dotted": (x % 4 == 0) & (y % 4 == 0),
    }
    return np.asarray(lines[kind], np.uint8)


def _paths(mark: Mark) -> list[NDArray[np.int32]]:
    """Return a mark's polylines, int32 (n, 2) each; dashes for dashed marks."""
    if mark.kind == "polyline" and not all(map(_is_near, mark.points)):
        return []
    points = np.rint(np.array(mark.points, np.float64)).astype(np.int32)
    if not mark.hollow:
        return [points]
    dashes: list[NDArray[np.int32]] = []
    for start, end in zip(points, np.roll(points, -1, 0), strict=True):
        count = max(1, round(float(np.linalg.norm(end - start)) / DASH))
        shares = (np.arange(count)[:, None] + (0, 0.5)) / count
        dashes += list(np.rint(start + shares[..., None] * (end - start)).astype(np.int32))
    return dashes


def _is_near(point: tuple[float, float]) -> bool:
    return math.isfinite(sum(point)) and max(map(abs, point)) < _FAR


def add_names(pixels: Pixels, names: Iterable[tuple[tuple[int, int], str]]) -> Pixels:
    """Return the picture with white names on dark, without overlaps."""
    out = check_pixels(pixels).copy()
    size = max(11, round(max(out.shape) / 42))
    occupied: list[Place] = []
    for (x, y), name in names:
        half, tall = (math.ceil(text_width(name, size)) + 2 * (size // 3)) // 2, round(1.5 * size)
        occupied.append(add_label(out, name, (x - half, y + tall // 2, x + half, y + tall), size, occupied))
    return out


def add_label(
    out: Pixels,
    text: str,
    box: Place,
    size: int,
    occupied: Sequence[Place],
    *,
    chosen: bool = False,
    color: Color | None = None,
) -> Place:
    """Draw a label of letters of `size` pixels at a box, clear of others; return its place. `color`: of a bar in it."""
    pad, tall = size // 3, round(1.5 * size)
    wide = math.ceil(text_width(text, size)) + 2 * pad
    place = place_label(box, (wide, tall), (out.shape[1], out.shape[0]), occupied)
    cv2.rectangle(out, place[:2], (place[2] - 1, place[3] - 1), WHITE if chosen else HALO, cv2.FILLED)
    if color is not None:
        cv2.rectangle(out, place[:2], (place[0] + max(1, pad // 2), place[3] - 1), color, cv2.FILLED)
    write(out, text, (place[0] + pad, (place[1] + place[3]) // 2), size, INK if chosen else WHITE)
    return place


def place_label(box: Place, label: tuple[int, int], size: tuple[int, int], occupied: Sequence[Place]) -> Place:
    """Place a label without overlap, as `freePlace` in `ui/viewer/marks.js`.

    `box` in whole pixels of a picture of this `size`: above the box, in its corners, or below it; else above it anyway.
    """
    (left, top, right, bottom), (wide, tall) = box, label

    def inside(x: int, y: int) -> Place:
        x0, y0 = min(max(0, x), max(0, size[0] - wide)), min(max(0, y), max(0, size[1] - tall))
        return x0, y0, x0 + wide, y0 + tall

    above, within, under = top - tall, bottom - tall, bottom
    corners = [(left, above), (left, top), (right - wide, above), (right - wide, top)]
    places = [inside(*at) for at in [*corners, (left, under), (left, within), (right - wide, within)]]
    free = (p for p in places if all(p[0] >= t[2] or p[2] <= t[0] or p[1] >= t[3] or p[3] <= t[1] for t in occupied))
    return next(free, places[0])


@functools.lru_cache(maxsize=16)
def _font(file: Path, size: int) -> Any:
    return ImageFont.truetype(str(file), size)


def write(image: Pixels, text: str, start: tuple[int, int], size: int, color: Color = INK) -> None:
    """Draw text in place, clipped; `start`: its left end at half height, (x, y). `size`: of the letters, in pixels."""
    x, y = start
    top, high = max(0, y - size), 2 * size
    part = image[top : y - size + high, max(0, x) :]
    if not part.size:
        return
    mask = Pillow.new("L", (part.shape[1], part.shape[0]))
    drawing, left = ImageDraw.Draw(mask), float(min(0, x))
    for file, letters in split_by_font(text):
        font = _font(file, size)
        drawing.text((left, y - top), letters, font=font, fill=255, anchor="lm")
        left += font.getlength(letters)
    cover = np.asarray(mask, np.float32)[..., None] / 255
    part[:] = np.round(part * (1 - cover) + np.array(color, np.float32) * cover).astype(np.uint8)


def text_width(text: str, size: int) -> float:
    """Return the width of a line of text in pixels."""
    return sum(float(_font(file, size).getlength(letters)) for file, letters in split_by_font(text))


COLORMAP = "viridis"
"""Its lightness rises all the way, so that it reads without colours too."""


def draw_segments(
    pixels: Pixels,
    classes: NDArray[np.int64],
    labels: Sequence[str],
    *,
    plain: Collection[int] = (),
    chosen: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Draw each pixel's class over a picture, uint8 (H, W, 3).

    `classes`: (H, W), by index in `labels`, -1 for none. `plain`: classes that are left as they are, such as a
    background. `chosen`: pixels with a bold white outline, bool (H, W).
    """
    indices = [int(index) for index in np.unique(classes) if index >= 0 and index not in plain]
    items = [((Mark("mask", mask=classes == index, fill=index),), labels[index]) for index in indices]
    return draw_marks(pixels, items if chosen is None else [*items, ((Mark("mask", mask=chosen),), "")])


def ends_of(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range of numbers without NaN; 0, 0 if empty."""
    finite = numbers[np.isfinite(numbers)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def draw_numbers(
    numbers: NDArray[np.float32],
    scale: tuple[str, str],
    *,
    chosen: NDArray[np.bool_] | None = None,
    other: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Draw numbers from dark to bright, uint8 RGB; NaN is grey.

    `scale`: the labels at both ends of the scale at the bottom. `chosen` and `other`: pixels with a
    bold and with a thin white outline, bool (H, W).
    """
    low, high = ends_of(numbers)
    share = (numbers - low) / (high - low) if high > low else np.zeros_like(numbers)
    finite = np.isfinite(share)
    out: Pixels = lut(COLORMAP)[np.where(finite, share * 255, 0).round().astype(np.uint8)].copy()
    out[~finite] = (118, 118, 118)
    line, (height, width) = line_width(out.shape), out.shape[:2]
    for mask, thick in ((chosen, 2 * line), (other, line)):
        if mask is not None:
            # A single pixel would not be seen.
            _outline(out, cv2.dilate(mask.astype(np.uint8), np.ones((2 * line + 1,) * 2, np.uint8)), thick, line + 1)
    tall, left, right = max(3, height // 40), width // 8, width - width // 8
    bar = lut(COLORMAP)[np.linspace(0, 255, max(1, right - left)).round().astype(np.uint8)]
    out[height - tall - 1 : height - 1, left:right] = bar
    cv2.rectangle(out, (left - 1, height - tall - 2), (right, height - 1), HALO, 1)
    above = max(0, height - 3 * tall)
    return add_names(out, [((left, above), scale[0]), ((right, above), scale[1])])


MapScale = Literal["own", "as is"]
"""Of a map computed elsewhere: its strongest value is the scale's end, or its values lie in 0..1 (-1..1) already."""
ROUNDING = 1e-3
"""Share of a map's highest value below which a negative one comes from rounding."""


@called_as("overlay(map, picture, colormap=..., alpha=..., mode=...)")
def overlay(
    map: Any,
    picture: Any,
    *,
    colormap: str | int | None = None,
    alpha: float | None = None,
    mode: str | None = None,
    scale: str = "own",
) -> Pixels:
    """Draw a map over a picture, uint8 (H, W, 3) RGB.

    `map`: an array or tensor (h, w) of any size, alone or as a batch of one. `picture`: whatever an Explainer takes.
    `scale` "own": 0 stays 0, and the highest value becomes 1; "as is": the values lie in 0..1 already.
    A map with negative values has the same scale on both sides of 0: red raises and blue lowers, and of a `colormap`
    that is named, which then colours the whole picture, 0 is the middle. `mode` "blend": the whole picture is coloured.
    Raises Problem, one sentence. Warns where both are grey arrays of integers and of different sizes, as either may
    be the map.
    """
    _warn_of_two_grey(map, picture)
    values, style = _scale_map(_read_map(map), scale), Style.parse(colormap, alpha, mode)
    is_picture = str(getattr(map, "dtype", "")).endswith("uint8") or getattr(map, "mode", "") == "L"
    if _looks_like_map(picture) and (is_picture or len(picture) < len(values)):
        remedy = "give the map first, then the picture, a grey one as uint8"
        raise Problem(f"The picture has only the shape {picture.shape} and values as of a map: {remedy}.")
    pixels = Image.open(picture).pixels
    height, width = pixels.shape[:2]
    kind: Kind = "signed" if values.min() < 0 else "heat"
    if kind == "signed" and colormap is not None and style.mode in ("overlay", "blend", "map"):
        values, kind = np.asarray((1 + values) / 2, np.float32), "heat"
        style = replace(style, mode="map" if style.mode == "map" else "blend")
    whole = (0, 0, width, height)
    enlarged = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    cells = (values.shape[0], values.shape[1])
    return paint(pixels, Field(np.clip(enlarged, -1, 1), whole, whole, kind, cells=cells), style)


def _warn_of_two_grey(map: Any, picture: Any) -> None:
    if not (_is_grey(map) and _is_grey(picture)) or map.shape == picture.shape:
        return
    taken = (
        f"the array of shape {tuple(map.shape)} for the map and that of shape {tuple(picture.shape)} for the picture"
    )
    # The caller of `overlay`, which `called_as` wraps.
    warnings.warn(f"overlay took {taken}: give the map first, then the picture.", stacklevel=4)


def _is_grey(given: Any) -> bool:
    """Return whether an array or a tensor is a matrix of integers, as grey pictures and maps in bytes are."""
    shape, dtype = getattr(given, "shape", ()), str(getattr(given, "dtype", ""))
    return len(shape) == 2 and dtype.rpartition(".")[2].startswith(("uint", "int"))


def _looks_like_map(picture: Any) -> bool:
    return isinstance(picture, np.ndarray) and picture.ndim == 2 and picture.dtype.kind == "f"


def _read_map(map: Any) -> Values:
    """Return a map's values, float32 (h, w); raise Problem."""
    try:
        # numpy has no bfloat16.
        values = np.asarray(map.detach().float().cpu() if hasattr(map, "detach") else map, dtype=np.float32)
    except (TypeError, ValueError):
        raise Problem(f"A map cannot be {map!r:.80}: give the map first, then the picture.") from None
    shape = values.shape
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or not values.size:
        advice = "give one of shape (h, w), such as the sum of its channels, before the picture"
        raise Problem(f"A map of shape {shape} cannot be drawn: {advice}.")
    if not np.isfinite(values).all():
        raise Problem("The map has values that are not finite (NaN or infinity): replace them first.")
    return values


def _scale_map(values: Values, scale: str) -> Values:
    """Return a map's values in 0..1, with signs in -1..1; raise Problem."""
    if scale not in get_args(MapScale):
        raise Problem(f"scale is {scale!r}: use one of {', '.join(get_args(MapScale))}.")
    low, high = float(values.min()), float(values.max())
    strongest = max(-low, high)
    if -low <= ROUNDING * high:
        values = np.maximum(values, 0)
    if scale == "own":
        return values / (strongest or 1)
    if strongest > 1 + ROUNDING:
        raise Problem(
            f"The map has values from {low:g} to {high:g}: leave scale='as is' out, or divide it by its full scale."
        )
    return values


GAP = 16
"""Pixels between cells."""
WIDEST = 8
"""Maximum width of a cell, in heights: a picture one pixel high would need gigabytes."""


def add_heading(pixels: Pixels, text: str) -> Pixels:
    """Write a heading into the upper left corner, white on dark."""
    out = check_pixels(pixels).copy()
    size = max(12, round(max(out.shape) / 36))
    words = shorten(text, out.shape[1] - 2 * (size // 3), lambda part: text_width(part, size))
    add_label(out, words, (0, 0, 0, 0), size, ())
    return out


def _wrap(text: str, limit: int, size: int) -> list[str]:
    """Return a text in lines of at most `limit` pixels, longer words shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = " ".join([*lines[-1:], word])
        if lines and text_width(longer, size) <= limit:
            lines[-1] = longer
        else:
            lines.append(shorten(word, limit, lambda part: text_width(part, size)))
    return lines


@called_as("contact_sheet(pictures, captions, columns=...)")
def contact_sheet(
    pictures: Sequence[Any],
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    height: int = 320,
    title: str = "",
    names: bool = False,
) -> Pixels:
    """Arrange pictures with captions in equal cells, `height` pixels high; uint8 (H, W, 3).

    `pictures`: whatever an Explainer takes. A picture is scaled to fit its cell and centred there. By default up to
    three are in a row, and four are 2 x 2. A caption that is too long loses the end of its words, never a number that
    follows them; where captions are `names` of files, their middle. A title is above all pictures, on several lines if
    it is long. Raises Problem, one sentence.
    """
    panels = [Image.open(picture).pixels for picture in pictures]
    if not panels or height < 1 or (columns is not None and columns < 1):
        raise Problem(f"A sheet needs pictures, height and columns: got {len(panels)}, {height} px, {columns}.")
    if captions is not None and len(captions) != len(panels):
        raise Problem(f"A sheet needs a caption for each picture, got {len(captions)} for {len(panels)}.")
    ratios = [panel.shape[1] / panel.shape[0] for panel in panels]
    # The median: one panorama must not widen every cell.
    cell = max(1, round(height * min(sorted(ratios)[len(ratios) // 2], WIDEST)))
    across = columns or (len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels))))
    size = max(11, round(height / 20))
    line = size + size // 2
    head = line if captions is not None else 0
    rows, width = math.ceil(len(panels) / across), GAP + across * (cell + GAP)
    titles = _wrap(title, width - 2 * GAP, size)
    above = line * len(titles)
    sheet = np.full((above + GAP + rows * (head + height + GAP), width, 3), 255, dtype=np.uint8)
    for number, words in enumerate(titles):
        write(sheet, words, (GAP, GAP + line * number + line // 2), size)
    for number, panel in enumerate(panels):
        scale = min(height / panel.shape[0], cell / panel.shape[1])
        wide, high = max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale))
        left = GAP + number % across * (cell + GAP) + (cell - wide) // 2
        top = above + GAP + number // across * (head + height + GAP) + head + (height - high) // 2
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sheet[top : top + high, left : left + wide] = cv2.resize(panel, (wide, high), interpolation=interpolation)
        if captions is not None:
            middle, limit = top - (height - high) // 2 - head // 2, cell - (cell - wide) // 2
            words = shorten(captions[number], limit, lambda text: text_width(text, size), middle=names)
            write(sheet[:, : left + limit], words, (left, middle), size)
    return sheet
