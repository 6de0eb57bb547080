"""Draw maps and boxes over frames, and encode these as MP4."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from sightglass.common.files import Json, atomic_write
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.maps.statistics import coarse, describe
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.picture.decode import Pixels
from sightglass.explain.rendering import render
from sightglass.explain.rendering.marks import add_heading, box_mark, draw_marks
from sightglass.explain.rendering.style import Field, Kind, parse_color
from sightglass.models.adapter import Target
from sightglass.video.frames import ClipExplainer
from sightglass.video.records import AnswerRecord, FrameRecord
from sightglass.video.results import rgb_of

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
        mapped = [answer for answer in record.drawn_answers if answer.raws is not None]
        raws = [answer.raws for answer in mapped if answer.raws is not None]
        targets = [Target(answer.index, answer.label) for answer in mapped]
        maps = self._explainer.scale_maps(raws, targets, self._explainer.paths, self.geometry)
        return list(zip(mapped, maps, strict=True))

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
            contents = np.stack([heatmap.content for _, heatmap in maps] or [np.zeros((1, 1), np.float32)])
            strongest = np.take_along_axis(contents, np.abs(contents).argmax(0)[None], 0)[0]
            kind: Kind = "signed" if self._explainer.signed else "heat"
            cells = maps[0][1].cells if maps else None
            field = Field(strongest, self.geometry.extent, self.geometry.seen, kind, cells)
            height, width = self.geometry.original
            small = render.paint(small, field.scaled((width, height), self.size), self.settings.style)
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
        return add_heading(pixels, plain_text(self._explainer.task.wording.caption(answer.label, answer.score)))


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
"""Columns of a timeline; the last ones are about the map."""


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
