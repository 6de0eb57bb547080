"""Open pictures of strangers: files whose decoding can take long are decoded in a process with limits.

Others take time by their size alone, which `bounds` checks, and are decoded here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sightglass.common.errors import TooLarge
from sightglass.common.files import Json
from sightglass.explain.picture import bounds
from sightglass.explain.picture.image import MAX_BYTES, MAX_PIXELS, Image
from sightglass.models import isolated

SECONDS = 10.0
"""Time of all processors for one picture: an AVIF of 12 megapixels took one."""
_PROCESS: list[isolated.Process] = []
"""The process that waits for the next picture, if there is one."""
_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):
    # It answers to the process that started it.
    os.register_at_fork(after_in_child=_PROCESS.clear)


@contextmanager
def report_limits(name: str, kind: str) -> Iterator[None]:
    """Raise TooLarge where a process exceeds its limits; `kind`: a format that decodes quickly."""
    try:
        yield
    except (isolated.Lost, isolated.Refused, MemoryError) as error:
        reason = "takes too long to decode, or crashes its decoder"
        raise TooLarge(f"{name} {reason}: save it again as an ordinary {kind}, or a smaller one.") from error


def open_received(data: bytes, *, name: str, max_bytes: int = MAX_BYTES) -> Image:
    """Return a picture's bytes as an Image; raise as `Image.open`, and TooLarge for decoding that takes long."""
    if len(data) > max_bytes or not bounds.takes_long(data, name):
        return Image.open(data, name=name, max_bytes=max_bytes)
    head = {"name": name, "max_bytes": max_bytes}
    with _LOCK:
        process = _PROCESS.pop() if _PROCESS else None
    try:
        with report_limits(name, "PNG"):
            if process is None or not process.alive:
                process = isolated.Process(_start, seconds=SECONDS, memory=isolated.memory_for(0))
            answer, (pixels, *planes) = process.ask(head, [np.frombuffer(data, np.uint8)], SECONDS)
    finally:
        if process is not None:
            with _LOCK:
                if reused := process.alive and not _PROCESS:
                    _PROCESS.append(process)
            if not reused:
                process.end()
    about = answer.model_extra or {}
    pixels.flags.writeable = False
    return Image(pixels, name, tuple(map(str, about["notes"])), data if about["plain"] else b"", *planes)


def _start() -> tuple[isolated.Answer, Json]:
    return _decode, {}


def _decode(head: Json, arrays: list[isolated.Array]) -> tuple[Json, list[isolated.Array]]:
    image = Image.open(arrays[0].tobytes(), name=head["name"], max_bytes=head["max_bytes"], max_pixels=MAX_PIXELS)
    about = {"notes": image.notes, "plain": bool(image.jpeg)}
    return about, [image.pixels, *([] if image.planes is None else [image.planes])]
