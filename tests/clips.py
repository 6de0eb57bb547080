"""Clips that tests generate: some frames of a drawn scene in motion, or of plain colours, with and without sound."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from training.demo.scenes import draw, sample

SIDE = 160


@cache
def scene(count: int, side: int = SIDE) -> tuple[NDArray[np.uint8], ...]:
    """Frames (side, side, 3) of things that move to the right."""
    spec = sample(3, task="detect", held_out=True, size=side)
    moved = (
        replace(spec, things=tuple(replace(thing, x=thing.x + 0.4 * i) for thing in spec.things)) for i in range(count)
    )
    return tuple(draw(spec).pixels for spec in moved)


def plain(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """Frames whose grey tells their number: `number_of` reads it."""
    return [np.full((height, width, 3), 10 + 5 * i, np.uint8) for i in range(count)]


def number_of(pixels: NDArray[np.uint8]) -> int:
    """Return which of the `plain` frames this is."""
    return round((float(pixels.mean()) - 10) / 5)


def clip(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    sound: str = "",
    turned: int = 0,
    codec: str = "libx264",
    gop: int = 12,
) -> Path:
    """Write frames to a file, whose ending names the container, and a tone in the codec `sound`."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr8" if codec == "gif" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "1", "g": str(gop)}
        stream.time_base = stream.codec_context.time_base = time_base
        if turned:
            stream.set_display_rotation(turned)
        audio: Any = file.add_stream(sound, rate=16000, layout="mono") if sound else None
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = i if pts is None else pts[i], time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if audio is not None:
            for packet in _tone(audio, 1.0):
                file.mux(packet)
    return path


def only_sound(path: Path, *, cover: bool = False) -> Path:
    """Write a file without pictures, or with one for its cover."""
    with av.open(str(path), "w") as file:
        audio = file.add_stream("aac", rate=16000, layout="mono")
        if cover:
            stream: Any = file.add_stream("mjpeg", rate=1)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
            stream.disposition = Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(plain(1)[0], format="rgb24")
            file.mux([*stream.encode(frame), *stream.encode()])
        for packet in _tone(audio, 0.5):
            file.mux(packet)
    return path


def _tone(stream: Any, seconds: float) -> Any:
    size = 1024
    wave = (0.2 * np.sin(np.arange(round(16000 * seconds)) * 0.17)).astype(np.float32)
    for start in range(0, len(wave) - size, size):
        kind = "s16" if stream.codec_context.format.name == "s16" else "fltp"
        part = wave[None, start : start + size]
        frame = av.AudioFrame.from_ndarray((part * 32767).astype(np.int16) if kind == "s16" else part, kind, "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        yield from stream.encode(frame)
    yield from stream.encode()
