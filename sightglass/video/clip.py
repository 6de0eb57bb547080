"""Read the frames of a video file.

Files are untrusted: the container is chosen by the file's first bytes and not by FFmpeg's probing, which would follow a
playlist to other files and hosts; size, length and bytes are bounded; frames that cannot be decoded are counted.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.picture import decode
from sightglass.explain.picture.decode import Pixels
from sightglass.models.demo import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.common.files import Json

ACCEPTED = "MP4, MOV, WebM, MKV, GIF or AVI"
MAX_PIXELS = 36_000_000
"""Of a frame: 8K video has 33 million."""
MAX_SECONDS = 6 * 3600.0
MAX_BYTES = 16 * 2**30
_CONTAINERS = {
    rb".{4}(ftyp|moov|mdat|free|skip|wide)": "mov",
    rb"\x1a\x45\xdf\xa3": "matroska",
    rb"GIF8[79]a": "gif",
    rb"RIFF.{4}AVI ": "avi",
}
MAX_SHOWN = 0.5
"""Seconds before a time in which the frame that is shown then is looked for first."""
_SAMPLE = 2**20
"""Bytes at either end of a file by which it is recognised."""
EXAMPLE = "scene.mp4"
"""The bundled clip."""


def is_example(typed: str) -> bool:
    """Return whether an argument names the bundled clip, and no file."""
    return typed == EXAMPLE and not os.path.exists(typed)


def find_clip(source: str | Path) -> Path:
    """Return a clip's file, or the bundled one's."""
    return pictures.CLIP if is_example(str(source)) else Path(source)


@dataclass(frozen=True)
class Frame:
    """One frame; `number` counts the decoded frames of the range."""

    number: int
    pts: int
    """In units of the clip's `time_base`, as the file has it; it rises from frame to frame."""
    seconds: float
    """Since the start of the clip."""
    pixels: Pixels
    """uint8 (H, W, 3) RGB, upright and with square pixels, of the clip's size; read-only."""


@dataclass(frozen=True)
class ClipInfo:
    """The file's metadata; `frames` and `seconds` are estimates, 0 if missing."""

    name: str
    width: int
    height: int
    frames: int
    seconds: float
    rate: Fraction
    """Frames per second, on average."""
    time_base: Fraction
    begins: int
    """Timestamp of the first frame, in units of `time_base`."""
    sound: str
    """The codec of the sound; empty without."""


class Clip:
    """A video file; each call of `frames` opens it anew.

    >>> clip = Clip("clip.mp4")
    >>> clip.about.width, next(clip.frames()).pixels.shape
    (640, (480, 640, 3))
    """

    def __init__(self, path: str | Path, name: str = "") -> None:
        """Read a file's head. Raises ImageProblem or TooLarge."""
        self.path = Path(path)
        self.name = name or self.path.name
        self._format = self._container()
        self.skipped = 0
        """Frames of the latest reading that could not be decoded."""
        self.cut_off = False
        """Whether the latest reading found the file's end missing."""
        with self.open_container() as container:
            self._check(container)
            ratio = container.streams.video[0].sample_aspect_ratio
            self._aspect = float(ratio) if ratio and 1 / 8 <= ratio <= 8 else 1.0
            self.about = self._about(container)

    def _container(self) -> str:
        """Return FFmpeg's name of the format, by the content."""
        if not self.path.exists():
            raise ImageProblem(f"There is no file {self.name} at that path; check the path and try again.")
        if not self.path.is_file():
            raise ImageProblem(f"{self.name} is a folder or a device, not a file; give the path of one clip.")
        size = self.path.stat().st_size
        if not size:
            raise ImageProblem(f"{self.name} is empty (0 bytes); choose or send the clip again.")
        if size > MAX_BYTES:
            raise TooLarge(f"{self.name} holds {size:,} bytes; give at most {MAX_BYTES:,}, or cut it.")
        with self.path.open("rb") as file:
            head = file.read(64)
        for pattern, name in _CONTAINERS.items():
            if re.match(pattern, head, re.DOTALL):
                return name
        try:
            kind = decode.kind_of(head, self.name)
        except ImageProblem:
            raise ImageProblem(f"{self.name} is not a video of a known kind; give {ACCEPTED}.") from None
        raise ImageProblem(f"{self.name} is a picture ({kind}), not a video: use `image` or Explore for it.")

    def open_container(self) -> Any:
        """Open the container; a caller closes it. Raises ImageProblem."""
        try:
            return av.open(str(self.path), format=self._format, options={"protocol_whitelist": "file"})
        except (av.FFmpegError, ValueError) as error:
            raise ImageProblem(
                f"{self.name} is damaged or cut off: its index cannot be read, so send it again."
            ) from error

    def _check(self, container: Any) -> None:
        if not container.streams.video:
            what = "only sound" if container.streams.audio else "neither pictures nor sound"
            raise ImageProblem(f"{self.name} has {what}: give a clip with a video stream ({ACCEPTED}).")
        stream = container.streams.video[0]
        if stream.codec_context is None or stream.width < 1 or stream.height < 1:
            raise ImageProblem(f"{self.name} holds video that cannot be decoded here; convert it to H.264 in an MP4.")
        if stream.width * stream.height > MAX_PIXELS:
            raise TooLarge(
                f"{self.name} has frames of {stream.width:,} x {stream.height:,} pixels; give at most {MAX_PIXELS:,}."
            )
        if (seconds := _seconds(container, stream)) > MAX_SECONDS:
            raise TooLarge(
                f"{self.name} is {seconds / 3600:.1f} hours long; give at most {MAX_SECONDS / 3600:.0f}, or cut it."
            )

    def _about(self, container: Any) -> ClipInfo:
        stream = container.streams.video[0]
        first = next(self._decode(container), None)
        if first is None:
            raise ImageProblem(f"{self.name} has no frame that can be decoded; give {ACCEPTED}, whole.")
        self._quarter_turns = round(first.rotation / 90) % 4
        pixels = upright(first, self._quarter_turns, aspect=self._aspect)
        rate, seconds = Fraction(stream.average_rate or stream.guessed_rate or 25), _seconds(container, stream)
        sound = container.streams.audio[0].codec_context if container.streams.audio else None
        return ClipInfo(
            self.name,
            pixels.shape[1],
            pixels.shape[0],
            stream.frames or round(seconds * rate),
            seconds,
            rate,
            stream.time_base or Fraction(1, 1000),
            first.pts if first.pts is not None else 0,
            "" if sound is None else str(sound.name),
        )

    def frames(
        self, start: float = 0.0, end: float | None = None, *, first: int = 0, every: int = 1
    ) -> Iterator[Frame]:
        """Yield every n-th frame from `start` to `end` (exclusive), in seconds.

        `first`: number of the first frame. Raises TooLarge for frames that are larger than allowed.
        """
        self.skipped, self.cut_off = 0, False
        number, about = 0, self.about
        with self.open_container() as container:
            if start > 0:
                try:
                    key = about.begins + int(start / about.time_base)
                    container.seek(key, stream=container.streams.video[0], backward=True)
                except (av.FFmpegError, ValueError):
                    container.seek(0)
            for pts, frame in self._order_frames(container):
                seconds = float((pts - about.begins) * about.time_base)
                if seconds < start - 1e-6:
                    continue
                if (end is not None and seconds >= end - 1e-6) or seconds > MAX_SECONDS:
                    return
                if number % every == 0 and number >= first:
                    pixels = upright(frame, self._quarter_turns, (about.width, about.height), aspect=self._aspect)
                    pixels.flags.writeable = False
                    yield Frame(number, pts, seconds, pixels)
                number += 1

    def frame_at(self, seconds: float) -> Frame | None:
        """Return the frame at a time, or the last one; None without any."""
        for start in (max(0.0, seconds - MAX_SHOWN), 0.0):
            frames = takewhile(lambda frame: frame.seconds <= seconds + 1e-3, self.frames(start))
            if last := deque(frames, maxlen=1):
                return last[0]
        return None

    def _order_frames(self, container: Any) -> Iterator[tuple[int, Any]]:
        """Yield decoded frames in order of timestamps."""
        last: int | None = None
        for frame in self._decode(container):
            pts = frame.pts
            if pts is None or (last is not None and pts <= last):
                pts = self.about.begins if last is None else last + max(1, frame.duration or 1)
            last = pts
            yield pts, frame

    def _decode(self, container: Any) -> Iterator[Any]:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        # A frame that is larger than the file's head says is refused before there is room made for it. Decoders count
        # the sides rounded up to whole blocks, of up to 64 pixels.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS * 9 // 8)}
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, ValueError):
                self.cut_off = True
                packet = None
            if packet is None:
                return
            try:
                decoded = packet.decode()
            except (av.FFmpegError, ValueError):
                self.skipped += 1
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    self.skipped += 1
                elif frame.width * frame.height > MAX_PIXELS:
                    raise TooLarge(f"{self.name} has frames of more than {MAX_PIXELS:,} pixels; give smaller ones.")
                else:
                    yield frame

    def stamp(self) -> Json:
        """Return the file's fingerprint: size and digest of both ends."""
        size = self.path.stat().st_size
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
        return {"name": self.name, "bytes": size, "ends": digest.hexdigest()}


def upright(frame: Any, turns: int, size: tuple[int, int] | None = None, *, aspect: float = 1.0) -> Pixels:
    """Return a decoded frame as upright uint8 (H, W, 3) RGB.

    `turns`: quarter turns to the left. `size`: (width, height) of the result, for frames that differ from the first; by
    default the frame's own. `aspect`: how much wider than high a pixel of the frame is shown.
    """
    wide, high = max(1, round(frame.width * aspect)), frame.height
    if size is not None:
        wide, high = size[::-1] if turns % 2 else size
    transparent = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24", width=wide, height=high)
    if transparent:
        # As pictures are: on white.
        share = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _seconds(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0
