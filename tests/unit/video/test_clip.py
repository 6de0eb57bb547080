"""Reading clips: turned, of variable frame rate, broken, cut off, and what is no video."""

import os
import signal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.picture import decode
from sightglass.explain.picture.image import to_png
from sightglass.models import isolated
from sightglass.models.demo.pictures import is_scene
from sightglass.video import clip as reading
from sightglass.video.clip import Clip, ReceivedClip
from sightglass.video.timeline import number_boxes
from tests.clips import clip, number_of, only_sound, plain


def test_frames_come_in_order_with_their_numbers_and_times(tmp_path: Path) -> None:
    frames = list(Clip(clip(tmp_path / "a.mp4", plain(20))).frames())
    assert [number_of(frame.pixels) for frame in frames] == [frame.number for frame in frames] == list(range(20))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 25 for i in range(20)])


def test_clip_without_length_or_index(tmp_path: Path) -> None:
    data = bytearray()
    # It cannot go back, so that the file has neither length nor index.
    pipe = SimpleNamespace(write=lambda part: data.extend(bytes(part)) or len(part))
    with av.open(pipe, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in plain(12):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    path = tmp_path / "a.webm"
    path.write_bytes(data)
    opened = Clip(path)
    assert (opened.about.frames, opened.about.seconds) == (0, 0.0)
    assert [number_of(frame.pixels) for frame in list(opened.frames())] == list(range(12))
    assert [frame.number for frame in opened.frames(first=7)] == list(range(7, 12))


def test_the_frame_at_a_time_is_the_one_that_is_shown_then(tmp_path: Path) -> None:
    opened = Clip(clip(tmp_path / "a.mp4", plain(4), pts=[0, 1, 60, 61], time_base=Fraction(1, 30)))
    shown = {at: opened.frame_at(at) for at in (0.0, 1 / 30, 1.5, 2.0, 2.01)}
    assert {at: number_of(frame.pixels) for at, frame in shown.items()} == {0: 0, 1 / 30: 1, 1.5: 1, 2: 2, 2.01: 2}


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_turned_clip_comes_upright(tmp_path: Path, turned: int) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 255  # a white corner, upper left
    first = next(Clip(clip(tmp_path / "a.mp4", [stored] * 3, turned=turned)).frames())
    upright = np.rot90(stored, turned // 90)  # counterclockwise, as the flag counts
    assert first.pixels.shape == upright.shape
    assert np.abs(first.pixels.astype(int) - upright).mean() < 5


def test_broken_frames_are_skipped_and_counted(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", plain(30), gop=1)
    with av.open(str(path)) as file:
        spots = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for start, size in spots[10:13]:
        data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    opened = Clip(path)
    assert [number_of(frame.pixels) for frame in list(opened.frames())] == [*range(10), *range(13, 30)]
    assert opened.skipped == 3
    # Reading on: as if it had never stopped.
    assert [frame.number for frame in list(opened.frames(first=16))] == list(range(16, 27))
    apart = ReceivedClip(path)
    assert apart.about == opened.about
    for span in ({}, {"first": 3, "every": 4}, {"start": 0.5, "end": 1.0}):
        for mine, theirs in zip(opened.frames(**span), apart.frames(**span), strict=True):
            assert (mine.number, mine.pts, mine.seconds) == (theirs.number, theirs.pts, theirs.seconds)
            assert np.array_equal(mine.pixels, theirs.pixels)
        assert (opened.skipped, opened.cut_off) == (apart.skipped, apart.cut_off)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no such signal")
def test_endless_decoder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = ReceivedClip(clip(tmp_path / "a.mp4", plain(30))).frames()
    next(frames)
    monkeypatch.setattr(isolated, "SLACK", 0.1)
    monkeypatch.setattr(reading, "SECONDS", 0.1)
    monkeypatch.setattr(isolated.Process, "ask", stopped(isolated.Process.ask))
    with pytest.raises(TooLarge, match=r"a\.mp4 takes too long to decode, or crashes its decoder: save it again"):
        next(frames)
    assert list(frames) == []


def stopped(ask: Any) -> Any:
    def ask_stopped(process: isolated.Process, *question: Any) -> Any:
        os.kill(process.id, signal.SIGSTOP)
        return ask(process, *question)

    return ask_stopped


@pytest.mark.parametrize(("name", "says"), [("a.mkv", False), ("a.avi", True)])
def test_a_clip_that_is_cut_off_gives_what_is_left(tmp_path: Path, name: str, says: bool) -> None:
    path = clip(tmp_path / name, [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(30)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    opened = Clip(path)
    assert 5 < len(list(opened.frames())) < 30 and opened.cut_off == says


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.mp4", b"", "a.mp4 cannot be read as a video; give MP4"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(500), "a.mp4 (cannot be read as a|has no) video"),
        ("playlist.mp4", b"ffconcat version 1.0\nfile secret.mp4\n", "cannot be read as a video; give MP4"),
        ("playlist.mp4", b"#EXTM3U\nsecret.mp4\n", "cannot be read as a video; give MP4"),
        ("a.png", to_png(np.zeros((8, 8, 3), np.uint8)), "a.png cannot be read as a video; give MP4"),
        ("sound.mp4", None, "sound.mp4 has no video that can be decoded; give MP4"),
        ("song.mp4", None, "song.mp4 is sound with a picture for its cover, and no video; give MP4"),
        ("", b"", "There is no file"),
        ("none.mp4", None, "There is no file none.mp4"),
    ],
)
def test_what_is_no_video_is_said_in_a_sentence(tmp_path: Path, name: str, data: bytes | None, sentence: str) -> None:
    only_sound(tmp_path / "sound.mp4")
    only_sound(tmp_path / "song.mp4", cover=True)
    clip(tmp_path / "secret.mp4", plain(3))
    if name and data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageProblem, match=sentence):
        Clip(tmp_path / name)


def test_what_is_too_large_or_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4", plain(30))
    for place, name, limit in ((reading, "MAX_PIXELS", 1000), (reading, "MAX_SECONDS", 1.0), (decode, "MAX_SIDE", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, limit)
            with pytest.raises(TooLarge):
                Clip(path)


def test_an_object_of_a_clip_is_one_box_of_its_frame() -> None:
    objects = {2: (0.0, 0.0, 10.0, 10.0), 3: (40.0, 40.0, 60.0, 60.0)}
    boxes = [(1.0, 0.0, 11.0, 10.0), (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 70.0, 70.0)]
    # The first two overlap the same object, the last one overlaps by a seventh.
    assert number_boxes(boxes, objects) == {1: 2}


def test_frames_of_the_packaged_clip_are_drawn_scenes() -> None:
    assert all(is_scene(frame.pixels) for frame in Clip(reading.pictures.CLIP).frames())


BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
"""The shares of red and of blue in lightness."""


def from_yuv(yuv: tuple[int, int, int], red: float, blue: float) -> np.ndarray:
    """Return a colour of limited range as RGB, by hand."""
    y, u, v = (yuv[0] - 16) / 219, (yuv[1] - 128) / 224, (yuv[2] - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return 255 * np.array([r, (y - red * r - blue * b) / (1 - red - blue), b]).clip(0, 1)


@pytest.mark.parametrize(
    ("size", "tag", "expected"),
    [
        ((1280, 720), None, BT709),
        ((960, 720), None, BT709),
        ((1280, 544), None, BT709),
        ((720, 576), None, BT601),
        ((64, 48), None, BT601),
        ((1280, 720), 5, BT601),
        ((1280, 720), 6, BT601),
        ((64, 48), 1, BT709),
        ((1280, 720), 9, BT2020),
    ],
)
def test_colours_of_a_clip_are_those_of_its_matrix(tmp_path: Path, size, tag, expected) -> None:
    width, height = size
    for name, yuv in (("a", (120, 90, 180)), ("b", (90, 150, 100))):
        path = tmp_path / f"{name}.mp4"
        with av.open(str(path), "w") as file:
            stream: Any = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": "1"}
            if tag is not None:
                stream.codec_context.colorspace = tag
            planes = np.repeat(np.array(yuv, np.uint8), (width * height, width * height // 4, width * height // 4))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(planes.reshape(-1, width), format="yuv420p")))
            file.mux(stream.encode())
        (frame,) = Clip(path).frames()
        assert abs(frame.pixels.reshape(-1, 3).mean(0) - from_yuv(yuv, *expected)).max() <= 2
