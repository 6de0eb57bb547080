"""Encode drawn frames as MP4, GIF or WebP."""

from __future__ import annotations

import contextlib
import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.common.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sightglass.explain.rendering.style import Pixels

QUALITY = {"crf": "20", "preset": "ultrafast", "x264-params": "deblock=0,0:no-deblock=0", "bf": "0"}
"""Half the time of the next slower preset, at the same fidelity and a quarter more bytes; it leaves out the deblocking
filter, which is worth more than it costs."""
FILM_RATE = {"gif": 12.5, "webp": 15.0}
"""Most frames per second of a GIF or WebP: browsers slow down those that are faster."""
NAMES = {"gif": "GIF", "webp": "WebP"}
FILM_SIDE = 480
FILM_SECONDS = 60.0
"""A GIF of more would be larger than the clip."""
_BT709 = 1
_BT601 = 6
"""The matrix of OpenCV's conversion to YUV."""
_LIMITED = 1


def even(side: float) -> int:
    """Round a side in pixels to even, at least 2."""
    return max(2, round(side / 2) * 2)


def fit_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Fit a size into `longest` (0: any), with even sides."""
    scale = min(1.0, longest / max(width, height)) if longest else 1.0
    return even(width * scale), even(height * scale)


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
        context.colorspace, context.color_primaries, context.color_trc = _BT601, _BT709, _BT709
        context.color_range = _LIMITED
        stream.options = dict(QUALITY)
        # Its bytes depend on the number of threads, and another machine may have another.
        context.thread_count = 1
        for packet in _encode_pictures(stream, itertools.chain([first], pixels), time_base, begins):
            file.mux(packet)


def _encode_pictures(
    stream: Any, frames: Iterable[tuple[int, Pixels]], time_base: Fraction, offset: int
) -> Iterator[Any]:
    for pts, pixels in frames:
        # In a twelfth of the time that FFmpeg's own conversion takes.
        frame = av.VideoFrame.from_ndarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        frame.pts, frame.time_base = pts - offset, time_base
        yield from stream.encode(frame)
    yield from stream.encode()


def film(video: Path, into: Path, kind: str) -> str:
    """Encode an MP4's first minute as a GIF or WebP; return a note."""
    gif, per_second = kind == "gif", 100 if kind == "gif" else 1000
    with av.open(str(video)) as source:
        track: Any = source.streams.video[0]
        seconds = float((track.duration or 0) * track.time_base)
        pictures = _thin(source.decode(track), FILM_RATE[kind])
        if (first := next(pictures, None)) is None:
            raise ModelProblem(f"There is no frame to make a {NAMES[kind]} of.")
        with atomic_write(into) as draft, av.open(str(draft), "w", format=kind) as file:
            stream: Any = file.add_stream("gif" if gif else "libwebp_anim", rate=25 if gif else 100)
            stream.width, stream.height = fit_size(track.width, track.height, FILM_SIDE)
            stream.pix_fmt = "pal8" if gif else "yuv420p"
            stream.options = {} if gif else {"quality": "80", "loop": "0"}
            stream.time_base = stream.codec_context.time_base = Fraction(1, per_second)

            def reduced() -> Iterator[Any]:
                for at, frame in itertools.chain([first], pictures):
                    small = frame.reformat(stream.width, stream.height, "rgb24" if gif else "yuv420p")
                    small.pts, small.time_base = at * per_second // 100, Fraction(1, per_second)
                    yield small

            for picture in _with_palettes(reduced(), stream) if gif else reduced():
                file.mux(stream.encode(picture))
            file.mux(stream.encode())
    if seconds > FILM_SECONDS:
        return f"The {NAMES[kind]} holds the first {FILM_SECONDS:.0f} seconds only."
    return ""


def _thin(frames: Iterator[Any], rate: float) -> Iterator[tuple[int, Any]]:
    """Yield (hundredths of a second, frame), thinned."""
    due = 0.0
    for frame in frames:
        if frame.time >= FILM_SECONDS:
            return
        if frame.time >= due - 1e-6:
            due = max(due + 1 / rate, frame.time)
            yield round(frame.time * 100), frame


def _with_palettes(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    """Yield frames with a palette of 256 colours each."""
    graph: Any = av.filter.Graph()
    enter = graph.add_buffer(width=stream.width, height=stream.height, format="rgb24", time_base=stream.time_base)
    split, make = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, leave = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"), graph.add("buffersink")
    enter.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(make, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(leave)
    graph.configure()
    for frame in itertools.chain(frames, [None]):
        enter.push(frame)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield leave.pull()


def fit_pixels(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a picture at (width, height), reduced by area."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    shrinks = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)
