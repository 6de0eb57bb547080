"""Draw maps and boxes over frames, and encode these as MP4."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sightglass.common.files import Json, atomic_write
from sightglass.explain.maps.heatmap import Heatmap, heatmaps
from sightglass.explain.maps.statistics import coarse, describe
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.picture.decode import Pixels
from sightglass.explain.rendering import color_tables, contact_sheet, contours, render
from sightglass.explain.rendering.marks import box_mark, draw_marks
from sightglass.explain.rendering.style import Box, Field, Kind, Style, Values, parse_color
from sightglass.models.adapter import Target
from sightglass.video.frames import ClipExplainer
from sightglass.video.records import AnswerRecord, FrameRecord
from sightglass.video.results import rgb_of

_CELLS = 224
"""Cells a side, at most, of the grid from which a frame's map is enlarged."""
_LINE, _HALO = (0.5, 1.5), 1.75
"""Value at the line, its width and how much wider its halo is, in pixels of the screen, as in the viewer's overlay."""
_FAR = 8.0
"""Pixels from the line up to which distances are told apart."""
_FLAT = 1e-4
"""Slope, a pixel, that counts as flat."""


def paint_map(pixels: Pixels, field: Field, style: Style) -> Pixels:
    """Return a frame, uint8 (H, W, 3), under its map."""
    if style.mode != "overlay" or style.cells or field.kind != "heat" or not style.alpha:
        return render.paint(pixels, field, style)
    x0, y0, x1, y1 = field.seen
    frame = render.dim(pixels)
    keep, add = _tables(style)
    height, width = (min(side, _CELLS) for side in field.values.shape)
    grid = contours.drawn_over_extent(render.samples(field.values), field, (height, width))
    values = (grid / 65535).astype(np.float32)
    levels = _grow(cv2.convertScaleAbs(values, alpha=255), field, (y1 - y0, x1 - x0))
    inside = cv2.multiply(pixels[y0:y1, x0:x1], cv2.applyColorMap(levels, keep), scale=1 / 255)
    cv2.add(inside, cv2.applyColorMap(levels, add), inside)
    unit = max(1.0, max(pixels.shape) / 500)
    _outline(inside, values, field, style, unit)
    frame[y0:y1, x0:x1] = inside
    if field.seen != (0, 0, pixels.shape[1], pixels.shape[0]):
        contours.stroke(frame, *_frame(field.seen, (pixels.shape[0], pixels.shape[1]), unit))
    return frame


@lru_cache(maxsize=8)
def _tables(style: Style) -> tuple[Pixels, Pixels]:
    """Return each level's pixel factor and addend: uint8 (256, 1, 3)."""
    table = color_tables.of("heat", style, 228)
    assert table is not None
    return _table(table[0].astype(np.float64) * 255), np.rint(table[1]).astype(np.uint8)[:, None]


def _grow(values: Pixels, field: Field, shape: tuple[int, ...]) -> Pixels:
    """Upsample values to the model's view, uint8 (h, w)."""
    x0, y0 = field.seen[:2]
    left, top, right, bottom = field.extent
    across, down = values.shape[1] / (right - left), values.shape[0] / (bottom - top)
    # From the centre of a pixel of what is drawn to the map's own cells.
    place = np.array([[across, 0, (x0 + 0.5 - left) * across - 0.5], [0, down, (y0 + 0.5 - top) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(values, place, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(grown, np.uint8)


@lru_cache(maxsize=4)
def _frame(seen: Box, shape: tuple[int, int], unit: float) -> tuple[Pixels, Pixels]:
    planes = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    contours.cover_frame(planes, seen, unit)
    return planes


def _outline(inside: Pixels, values: Values, field: Field, style: Style, unit: float) -> None:
    """Draw the contour line over the model's view."""
    level = style.threshold or _LINE[0]
    values = contours.drop_small(values, level)
    left, top, right, bottom = field.extent
    slope = cv2.magnitude(
        cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=1, scale=0.5 * values.shape[1] / (right - left)),
        cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=1, scale=0.5 * values.shape[0] / (bottom - top)),
    )
    distance = (values - np.float32(level)) / np.maximum(slope, _FLAT)
    keep, add = _line_tables(unit)
    steps = cv2.convertScaleAbs(np.clip(distance, -_FAR, _FAR) + _FAR, alpha=255 / (2 * _FAR))
    steps = _grow(steps, field, inside.shape)
    cv2.multiply(inside, cv2.applyColorMap(steps, keep), inside, scale=1 / 255)
    cv2.add(inside, cv2.applyColorMap(steps, add), inside)


@lru_cache(maxsize=8)
def _line_tables(unit: float) -> tuple[Pixels, Pixels]:
    """Return each distance's factor and addend for a haloed line."""
    distance = abs(np.arange(256) - 127.5) * (2 * _FAR / 255)
    halo, line = (np.clip(width * unit / 2 + 0.5 - distance, 0, 1) for width in (_LINE[1] + _HALO, _LINE[1]))
    dark = 0.75 * halo
    keep, add = (1 - dark) * (1 - line), contours.DARK * dark * (1 - line) + contours.WHITE * line
    return _table(keep * 255), _table(add)


def _table(values: NDArray[np.float64]) -> Pixels:
    return np.repeat(np.rint(values).astype(np.uint8)[:, None, None], 3, 2)


GRID = 64
"""Cells a side on which the statistics of a frame's map are computed: exact to a hundredth of the picture."""
DrawnMap = tuple["AnswerRecord", Heatmap]
"""An answer in a frame, and its map."""


class Painter:
    """Draws the frames of one clip."""

    def __init__(self, explainer: ClipExplainer, width: int, height: int) -> None:
        """`explainer` has explained a frame; `width`, `height`: of the frames."""
        self.settings, self._explainer = explainer.settings, explainer
        self.geometry = explainer.geometry(np.zeros((height, width, 3), np.uint8))
        scale = min(1.0, (self.settings.side or math.inf) / max(width, height))
        self.size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
        """(width, height) of what is drawn, both even."""

    def maps(self, record: FrameRecord) -> list[DrawnMap]:
        """Return the maps of a frame, each on its own scale."""
        mapped = [(answer, answer.raws) for answer in record.drawn_answers if answer.raws is not None]
        if not mapped:
            return []
        computed = heatmaps(
            [torch.from_numpy(np.stack(layer)) for layer in zip(*(raws for _, raws in mapped), strict=True)],
            [Target(answer.index, answer.label) for answer, _ in mapped],
            method=self._explainer.method.id,
            layers=self._explainer.paths,
            geometry=self.geometry,
            scale="own",
            signed=self._explainer.signed,
        )
        return [(answer, heatmap) for (answer, _), heatmap in zip(mapped, computed, strict=True)]

    def paint(self, pixels: Pixels, record: FrameRecord, maps: Sequence[DrawnMap]) -> Pixels:
        """Return a frame, uint8 (h, w, 3), with maps and boxes."""
        small, (width, height) = pixels, self.size
        if pixels.shape[1::-1] != self.size:
            shrinks = width <= pixels.shape[1] and height <= pixels.shape[0]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            small = np.asarray(cv2.resize(pixels, self.size, interpolation=method), dtype=np.uint8)
        # A signed map is over a picture in grey, and no frame between may flash in colours.
        if maps or self._explainer.signed:
            # The strongest value at each place, with its sign.
            contents = [heatmap.content for _, heatmap in maps] or [np.zeros((1, 1), np.float32)]
            highest: NDArray[np.float32] = np.maximum.reduce(contents)
            lowest: NDArray[np.float32] = np.minimum.reduce(contents)
            strongest = np.where(highest >= -lowest, highest, lowest)
            kind: Kind = "signed" if self._explainer.signed else "heat"
            cells = maps[0][1].cells if maps else None
            field = Field(strongest, self.geometry.extent, self.geometry.seen, kind, cells)
            height, width = self.geometry.original
            small = paint_map(small, field.scaled((width, height), self.size), self.settings.style)
        return self._label(small, record) if self.settings.labels else small

    def _label(self, pixels: Pixels, record: FrameRecord) -> Pixels:
        boxed = [(answer, answer.box) for answer in record.drawn_answers if answer.box is not None]
        if boxed:
            height, width = self.geometry.original
            across, down = self.size[0] / width, self.size[1] / height
            items = []
            for answer, box in boxed:
                mark = box_mark(tuple(at * (down if i % 2 else across) for i, at in enumerate(box)))
                items.append(((mark,), plain_text(f"{answer.track} {answer.label} {percent(answer.score)}")))
            stated = parse_color(self.settings.style.boxes)
            colors = [rgb_of(answer.track or 1) if stated == render.WHITE else stated for answer, _ in boxed]
            return draw_marks(pixels, items, colors=colors)
        if not record.best:
            return pixels
        (answer,) = record.drawn_answers
        caption = self._explainer.task.wording.caption(answer.label, answer.score)
        return contact_sheet.add_heading(pixels, plain_text(caption))


def timeline_row(record: FrameRecord, answer: AnswerRecord, heatmap: Heatmap | None) -> Json:
    """Return a timeline row: an answer with its map's numbers."""
    values: list[Any] = [round(record.seconds, 4), record.number, answer.label, round(answer.score, 5), answer.track]
    values += [record.best or None, round(record.score, 5) if record.best else None]
    values += [None if edge is None else round(edge, 2) for edge in answer.box or (None,) * 4]
    if heatmap is not None:
        numbers = describe(coarse(heatmap.strength, GRID), heatmap.seen)
        measured = (*numbers.centre, *numbers.peak, numbers.half_heat_area, numbers.spread)
        values += [heatmap.state, *(round(value, 4) for value in measured)]
    return dict.fromkeys(COLUMNS) | dict(zip(COLUMNS, values, strict=False))


COLUMNS = (
    *("seconds", "frame", "answer", "score", "object", "best", "best_score", "x0", "y0", "x1", "y1"),
    *("map", "centre_x", "centre_y", "peak_x", "peak_y", "half_heat_area", "spread"),
)
"""Of a timeline; the last ones are about the map."""


QUALITY = {"crf": "20", "preset": "ultrafast", "x264-params": "deblock=0,0:no-deblock=0", "bf": "0"}
"""Half the time of the next slower preset, at the same fidelity and a quarter more bytes; it leaves out the deblocking
filter, which is worth more than it costs."""


def encode(
    into: Path, frames: Iterable[tuple[int, Pixels]], time_base: Fraction, rate: Fraction, begins: int = 0
) -> None:
    """Encode (timestamp, uint8 (H, W, 3) of even sides) as an MP4, whole or not at all.

    The timestamps are in units of `time_base` and rise; `begins` becomes 0.
    """
    pixels = iter(frames)
    first = next(pixels)
    with atomic_write(into) as draft, av.open(str(draft), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream: Any = file.add_stream("libx264", rate=rate)
        stream.height, stream.width = first[1].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        context = stream.codec_context
        # BT.709, but for the matrix of OpenCV's conversion to YUV, BT.601; of limited range.
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 1, 1, 1
        stream.options = dict(QUALITY)
        # Its bytes depend on the number of threads, and another machine may have another.
        context.thread_count = 1
        for pts, picture in itertools.chain([first], pixels):
            # In a twelfth of the time that FFmpeg's own conversion takes.
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
            frame.pts, frame.time_base = pts - begins, time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
