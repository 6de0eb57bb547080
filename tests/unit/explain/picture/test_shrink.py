"""Large pictures opened smaller where there is little memory: their size, their pixels, and what is said of it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.picture import shrink
from sightglass.explain.picture.image import Image

ROOM = 20_000
HALF = ("Opened at half its width and height: this server has little memory.",)
SMOOTH = np.stack(np.broadcast_arrays(np.arange(240)[:, None], np.arange(320)[None] * 3 // 4, 90), 2).astype(np.uint8)
"""(240, 320, 3), at each place another colour, so that a turned or a shifted picture is another."""


def file(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = BytesIO()
    Pillow.fromarray(SMOOTH).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}),
        ("JPEG", "L", {"quality": 95}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("TIFF", "RGB", {}),
    ],
)
def test_a_large_picture_is_opened_at_half_its_size_and_says_so(kind: str, mode: str, options: dict[str, Any]) -> None:
    data = file(kind, mode, **options)
    whole, small = Image.open(data), Image.open(data, room=ROOM)
    assert (whole.pixels.shape, whole.notes) == ((240, 320, 3), ())
    assert (small.pixels.shape, small.notes, small.jpeg) == ((120, 160, 3), HALF, b"")
    means = whole.pixels.reshape(120, 2, 160, 2, 3).mean((1, 3))
    assert np.abs(small.pixels - means).mean() < 2
    # The same file gives the same picture when it is opened again.
    assert Image.open(data, room=ROOM).sha256 == small.sha256


@pytest.mark.parametrize(
    ("room", "shape", "words"),
    [
        (240 * 320, (240, 320), None),
        (240 * 320 - 1, (120, 160), "half"),
        (120 * 160 - 1, (60, 80), "a quarter of"),
        (60 * 80 - 1, (30, 40), "an eighth of"),
        (1, (30, 40), "an eighth of"),
    ],
)
def test_it_is_made_no_smaller_than_there_is_room_and_at_least_an_eighth(
    room: int, shape: tuple[int, int], words: str | None
) -> None:
    for kind in ("JPEG", "PNG"):
        image = Image.open(file(kind), room=room)
        assert image.pixels.shape[:2] == shape
        said = () if words is None else (f"Opened at {words} its width and height: this server has little memory.",)
        assert image.notes == said


def test_it_is_turned_upright_as_ever() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = file("JPEG", quality=95, exif=exif)
    whole, small = Image.open(data), Image.open(data, room=ROOM)
    assert small.pixels.shape == (160, 120, 3)
    assert small.notes == (*whole.notes, *HALF)
    assert np.abs(small.pixels - whole.pixels.reshape(160, 2, 120, 2, 3).mean((1, 3))).mean() < 2


def test_a_jpeg_is_never_unpacked_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data, sizes = file("JPEG"), list[tuple[int, int]]()
    load = Pillow.Image.load

    def noted(image: Pillow.Image) -> Any:
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(Pillow.Image, "load", noted)
    Image.open(data, room=ROOM)
    assert set(sizes) == {(160, 120)}


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"progressive": True})])
def test_what_can_only_be_unpacked_whole_has_a_limit(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrink, "WHOLE", 70_000)
    sentence = (
        "big has 76,800 pixels, more than this server holds: give at most 70,000, or a JPEG that is not progressive."
    )
    with pytest.raises(TooLarge) as problem:
        Image.open(file(kind, **options), name="big", room=ROOM)
    assert str(problem.value) == sentence
    assert Image.open(file(kind, **options)).width == 320
    assert Image.open(file("JPEG"), room=ROOM).width == 160


def test_an_array_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.explain.picture.image.WHOLE", 70_000)
    out = BytesIO()
    np.save(out, SMOOTH)
    with pytest.raises(ImageProblem, match="at most 210,000"):
        Image.open(out.getvalue(), room=ROOM)
    assert Image.open(out.getvalue()).width == 320


def test_a_line_is_opened_too() -> None:
    out = BytesIO()
    Pillow.new("RGB", (60_000, 1), "red").save(out, "JPEG")
    assert Image.open(out.getvalue(), room=ROOM).pixels.shape == (1, 15_000, 3)
