"""Draw maps and boxes over frames, and encode these as MP4."""

import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from sightglass.common.files import atomic_write
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.picture.decode import Pixels
from sightglass.explain.rendering import render
from sightglass.explain.rendering.marks import add_heading, box_mark, draw_marks
from sightglass.explain.rendering.style import Field, Kind, parse_color
from sightglass.models.adapter import Target
from sightglass.models.geometry import Box
from sightglass.video.frames import ClipExplainer
from sightglass.video.records import AnswerRecord, FrameRecord
from sightglass.video.timeline import rgb_of

DrawnMap = tuple[AnswerRecord, Heatmap]
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
        """Return a frame (H, W, 3) of the clip, uint8, at `size` with its maps and boxes."""
        drawn = self._resize(pixels)
        # A signed map is over a picture in grey, and no frame between may flash in colours.
        if maps or self._explainer.signed:
            height, width = self.geometry.original
            field = self._strongest([heatmap for _, heatmap in maps])
            drawn = render.paint(drawn, field.scaled((width, height), self.size), self.settings.style)
        if not self.settings.labels:
            return drawn
        boxed = [(answer, answer.box) for answer in record.drawn_answers if answer.box is not None]
        return self._draw_boxes(drawn, boxed) if boxed else self._add_heading(drawn, record)

    def _resize(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if (width, height) == self.size:
            return pixels
        method = cv2.INTER_AREA if self.size[0] <= width and self.size[1] <= height else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, self.size, interpolation=method), dtype=np.uint8)

    def _strongest(self, maps: Sequence[Heatmap]) -> Field:
        """Return the strongest value at each place, with its sign; of no map 0."""
        contents = np.stack([heatmap.content for heatmap in maps] or [np.zeros((1, 1), np.float32)])
        strongest = np.take_along_axis(contents, np.abs(contents).argmax(0)[None], 0)[0]
        kind: Kind = "signed" if self._explainer.signed else "heat"
        return Field(strongest, self.geometry.extent, self.geometry.seen, kind, maps[0].cells if maps else None)

    def _draw_boxes(self, pixels: Pixels, boxed: Sequence[tuple[AnswerRecord, Box]]) -> Pixels:
        height, width = self.geometry.original
        across, down = self.size[0] / width, self.size[1] / height
        stated = parse_color(self.settings.style.boxes)
        items, colors = [], []
        for answer, (x0, y0, x1, y1) in boxed:
            mark = box_mark((x0 * across, y0 * down, x1 * across, y1 * down))
            items.append(((mark,), plain_text(f"{answer.track} {answer.label} {percent(answer.score)}")))
            colors.append(rgb_of(answer.track or 1) if stated == render.WHITE else stated)
        return draw_marks(pixels, items, colors=colors)

    def _add_heading(self, pixels: Pixels, record: FrameRecord) -> Pixels:
        if not record.best:
            return pixels
        (answer,) = record.drawn_answers
        return add_heading(pixels, plain_text(self._explainer.task.wording.caption(answer.label, answer.score)))


QUALITY = {"crf": "20", "preset": "ultrafast", "x264-params": "deblock=0,0:no-deblock=0", "bf": "0"}
"""Half the time of the next slower preset, at the same fidelity and a quarter more bytes; it leaves out the deblocking
filter, which is worth more than it costs."""


def encode(
    into: Path, frames: Iterable[tuple[int, Pixels]], time_base: Fraction, rate: Fraction, begins: int = 0
) -> int:
    """Encode (timestamp, uint8 (H, W, 3) of even sides) as an MP4, whole or not at all; return how many there were.

    The timestamps are in units of `time_base` and rise; `begins` becomes 0. There is at least one frame.
    """
    remaining = iter(frames)
    first, count = next(remaining), 0
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
        for pts, picture in itertools.chain([first], remaining):
            # In a twelfth of the time that FFmpeg's own conversion takes.
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
            frame.pts, frame.time_base = pts - begins, time_base
            file.mux(stream.encode(frame))
            count += 1
        file.mux(stream.encode())
    return count
