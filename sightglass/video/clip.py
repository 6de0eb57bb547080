"""Read the frames of a video file.

Files are untrusted: only formats of clips are opened, since a playlist would lead FFmpeg to other files and hosts;
size and length are bounded; frames that cannot be decoded are counted.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from pydantic import TypeAdapter

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.common.files import Json
from sightglass.explain.picture.decode import Pixels, check_sides
from sightglass.explain.picture.received import report_limits
from sightglass.models import isolated
from sightglass.models.demo import pictures

ACCEPTED = "MP4, MOV, WebM, MKV, GIF or AVI"
MAX_PIXELS = 36_000_000
"""Maximum pixels of a frame: 8K video has 33 million."""
HD = (1280, 720)
"""Width or height from which a clip is in BT.709 unless it says otherwise, as players have it."""
UNSPECIFIED = 2
"""FFmpeg's number of an unstated matrix."""
MAX_SECONDS = 6 * 3600.0
_SAFE = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,gif,avi"}
"""Options of FFmpeg, in which `mov` includes MP4, and `matroska` WebM."""
_ERRORS = (av.FFmpegError, ValueError)
_SAMPLE = 2**20
"""Bytes at each end of a file that identify it."""
EXAMPLE = "scene.mp4"
"""The bundled clip."""


def find_clip(source: str | Path) -> Path:
    """Return a clip's path; `EXAMPLE` is the bundled clip where there is no file of that name."""
    return pictures.CLIP if str(source) == EXAMPLE and not os.path.exists(source) else Path(source)


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
        # FFmpeg would wait for a device.
        if not self.path.is_file():
            raise ImageProblem(f"There is no file {self.name} at that path; check the path and try again.")
        self.skipped = 0
        """Frames of the latest reading that could not be decoded."""
        self.cut_off = False
        """Whether the latest reading found the file's end missing."""
        self.about = self._ask_head()

    def _ask_head(self) -> ClipInfo:
        with self._open() as container:
            return self._read_head(container)

    def _open(self) -> Any:
        """Open the container; a caller closes it. Raises ImageProblem."""
        try:
            return av.open(str(self.path), options=dict(_SAFE))
        except _ERRORS as error:
            raise ImageProblem(f"{self.name} cannot be read as a video; give {ACCEPTED}, whole.") from error

    def _read_head(self, container: Any) -> ClipInfo:
        """Return the metadata; remember how frames are scaled and turned. Raises ImageProblem or TooLarge."""
        unreadable = ImageProblem(f"{self.name} has no video that can be decoded; give {ACCEPTED}, whole.")
        stream = _find_video(container)
        if stream is None or stream.codec_context is None:
            raise self._describe_sound() if container.streams.video else unreadable
        seconds = self._check_limits(container, stream)
        ratio = stream.sample_aspect_ratio
        aspect = float(ratio) if ratio and 1 / 8 <= ratio <= 8 else 1.0
        first = next(self._decode(container), None)
        if first is None:
            raise unreadable
        self._quarter_turns = round(first.rotation / 90) % 4
        self._size = max(1, round(first.width * aspect)), first.height
        """Width and height before it is turned."""
        check_sides(self.name, *self._size)
        width, height = self._size[::-1] if self._quarter_turns % 2 else self._size
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        sound = container.streams.audio[0].codec_context if container.streams.audio else None
        return ClipInfo(
            name=self.name,
            width=width,
            height=height,
            frames=stream.frames or round(seconds * rate),
            seconds=seconds,
            rate=rate,
            time_base=stream.time_base or Fraction(1, 1000),
            begins=first.pts if first.pts is not None else 0,
            sound="" if sound is None else str(sound.name),
        )

    def _describe_sound(self) -> ImageProblem:
        return ImageProblem(f"{self.name} is sound with a picture for its cover, and no video; give {ACCEPTED}.")

    def _check_limits(self, container: Any, stream: Any) -> float:
        """Return the length in seconds, 0 if unknown; raise TooLarge for a clip beyond the limits."""
        if stream.width * stream.height > MAX_PIXELS:
            raise TooLarge(
                f"{self.name} has frames of {stream.width:,} x {stream.height:,} pixels; give at most {MAX_PIXELS:,}."
            )
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = container.duration / av.time_base if container.duration else 0.0
        if seconds > MAX_SECONDS:
            raise TooLarge(
                f"{self.name} is {seconds / 3600:.1f} hours long; give at most {MAX_SECONDS / 3600:.0f}, or cut it."
            )
        return seconds

    def frames(self, start: float = 0, end: float | None = None, *, first: int = 0, every: int = 1) -> Iterator[Frame]:
        """Yield every n-th frame from `start` to `end` (exclusive), in seconds, from number `first` on."""
        self.skipped, self.cut_off = 0, False
        number, about, last = 0, self.about, None
        end = MAX_SECONDS if end is None else min(end, MAX_SECONDS)
        with self._open() as container:
            if start > 0:
                try:
                    key = about.begins + int(start / about.time_base)
                    container.seek(key, stream=_find_video(container), backward=True)
                except _ERRORS:
                    container.seek(0)
            for frame in self._decode(container):
                pts = _timestamp(frame, last, about.begins)
                last = pts
                seconds = float((pts - about.begins) * about.time_base)
                if seconds < start - 1e-6:
                    continue
                if seconds >= end - 1e-6:
                    return
                if number % every == 0 and number >= first:
                    yield Frame(number, pts, seconds, self._upright(frame))
                number += 1

    def frame_at(self, seconds: float) -> Frame:
        """Return the frame at a time, or the last one. Raises ImageProblem."""
        # Most frames are shown for less than half a second.
        for start in (max(0.0, seconds - 0.5), 0.0):
            if last := deque(takewhile(lambda frame: frame.seconds <= seconds + 1e-3, self.frames(start)), maxlen=1):
                return last[0]
        raise ImageProblem(f"{self.name} has no frame at that time any more: choose the clip again.")

    def _decode(self, container: Any) -> Iterator[Any]:
        stream = _find_video(container)
        stream.thread_type = "AUTO"
        # A frame that is larger than the file's head says is refused before there is room made for it. Decoders count
        # the sides rounded up to whole blocks, of up to 64 pixels.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS * 9 // 8)}
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except _ERRORS:
                self.cut_off = True
                packet = None
            if packet is None:
                return
            self.cut_off |= packet.is_corrupt
            try:
                frames = packet.decode()
            except _ERRORS:
                self.skipped += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.skipped += 1
                else:
                    yield frame

    def _upright(self, frame: Any) -> Pixels:
        """Return a decoded frame as upright, read-only RGB of the clip's size."""
        width, height = self._size
        transparent = any(component.is_alpha for component in frame.format.components)
        pixels = frame.to_ndarray(
            format="rgba" if transparent else "rgb24", width=width, height=height, src_colorspace=_matrix_of(frame)
        )
        if transparent:
            # As pictures are: on white.
            share = pixels[..., 3:].astype(np.uint16)
            pixels = ((pixels[..., :3] * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
        turned = np.ascontiguousarray(np.rot90(pixels, self._quarter_turns))
        turned.flags.writeable = False
        return turned

    def stamp(self) -> Json:
        """Return the file's fingerprint: size and digest of both ends."""
        size = self.path.stat().st_size
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
        return {"name": self.name, "bytes": size, "ends": digest.hexdigest()}


def _matrix_of(frame: Any) -> str | None:
    """Return BT.709 for an HD frame that states no matrix; None: its own."""
    is_large = frame.height >= HD[1] or frame.width >= HD[0]
    return "ITU709" if is_large and frame.colorspace == UNSPECIFIED else None


def _find_video(container: Any) -> Any:
    """Return the first video that is no picture for a cover, or None."""
    moving = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    return next(moving, None)


def _timestamp(frame: Any, last: int | None, begins: int) -> int:
    """Return a decoded frame's `pts`, which rises from frame to frame.

    Where the file's is missing or does not rise, the frame comes right after the `last` one, or at `begins`.
    """
    pts = frame.pts
    if last is None:
        return begins if pts is None else int(pts)
    if pts is None or pts <= last:
        return last + max(1, frame.duration or 1)
    return int(pts)


SECONDS = 10.0
"""Time of all processors in which a stranger's clip has to open, and to give its next frame."""


class ReceivedClip(Clip):
    """A stranger's clip, decoded in a process with limits: methods raise TooLarge, too, if that is slow or crashes."""

    def _ask_head(self) -> ClipInfo:
        with self._process() as process:
            about: ClipInfo = _ABOUT.validate_python(process.about["about"])
            return about

    def frames(self, start: float = 0, end: float | None = None, *, first: int = 0, every: int = 1) -> Iterator[Frame]:
        self.skipped, self.cut_off = 0, False
        with self._process(start=start, end=end, first=first, every=every) as process:
            while True:
                answer, pixels = process.ask({}, (), SECONDS)
                facts = dict(answer.model_extra or {})
                self.skipped, self.cut_off = int(facts.pop("skipped")), bool(facts.pop("cut_off"))
                if not pixels:
                    return
                pixels[0].flags.writeable = False
                yield Frame(facts["number"], facts["pts"], facts["at"], pixels[0])

    @contextmanager
    def _process(self, **span: Any) -> Iterator[isolated.Process]:
        limits: Any = {"seconds": SECONDS, "memory": isolated.memory_for(0)}
        with report_limits(self.name, "MP4"), ExitStack() as stack:
            process = isolated.Process(_start, str(self.path.absolute()), self.name, span, **limits)
            stack.callback(process.end)
            yield process


_ABOUT = TypeAdapter(ClipInfo)


def _start(path: str, name: str, span: Json) -> tuple[isolated.Answer, Json]:
    clip = Clip(path, name)
    frames = clip.frames(**span)

    def answer(_head: Json, _arrays: list[isolated.Array]) -> tuple[Json, list[isolated.Array]]:
        frame = next(frames, None)
        about: Json = {"skipped": clip.skipped, "cut_off": clip.cut_off}
        if frame is None:
            return about, []
        return about | {"number": frame.number, "pts": frame.pts, "at": frame.seconds}, [frame.pixels]

    return answer, {"about": _ABOUT.dump_python(clip.about, mode="json")}
