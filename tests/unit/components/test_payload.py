"""The viewer's Python half: what it sends, and what it makes of what the browser asks, which can be anything."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from sightglass.common.files.packing import unpack_data
from sightglass.components import viewer
from sightglass.components.viewer import Box, Map, Pane, ViewerScene, pack
from sightglass.components.viewer.payload import raw_range, scaling
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style

WHOLE = (0, 0, 60, 40)
SETTINGS = {
    "mode": "overlay", "layout": "single", "split": 0.5, "alpha": 0.62, "colormap": "inferno", "threshold": 0,
    "scale": "own", "top": 1, "even": False, "invert": False, "cells": False, "boxes": True,
}  # fmt: skip


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def ramp(scale: float = 1.0) -> np.ndarray:
    return (np.linspace(0, scale, 12, dtype=np.float32)).reshape(3, 4)


def heat(title: str = "bus", raw: tuple[float, float] | None = (0.0, 0.5), **more) -> Map:
    return Map(title, "", ramp(), WHOLE, WHOLE, raw, **more)


def opened(parcel: bytes) -> tuple[dict, bytes]:
    head, blobs = unpack_data(parcel)
    return head, b"".join(blobs)


def sent(bits: bytes, level: int | None = 6) -> str:
    return base64.b64encode(bits if level is None else zlib.compress(bits, level)).decode()


def asked(**changes) -> dict:
    return {"id": "1", "format": "png", "choice": 0, "columns": 2, "dark": False, "settings": SETTINGS | changes}


def test_the_payload_follows_picture_and_maps_alone():
    black = np.zeros((20, 30, 3), np.uint8)

    def packed(scale: float = 1, chosen: int = 0, both: bool = True) -> bytes:
        maps = tuple(Map(name, "", ramp(scale), WHOLE, WHOLE) for name in ("a", "b")[: 1 + both])
        boxes = [Box(WHOLE, name, i, chosen=i == chosen) for i, name in enumerate("ab")]
        return pack(ViewerScene(black, "black", [Pane(), Pane(maps)], boxes))[1]

    assert packed() == packed()
    assert packed(chosen=1) == packed()
    assert packed(scale=0.5) != packed()
    assert packed(chosen=1, both=False) != packed(both=False)  # no list to choose from: Python says which
    with pytest.raises(ValueError, match=r"must lie within 0\.\.1, got 0 to 2"):
        packed(scale=2)


def test_maps_of_several_layers_bring_their_shared_scale_with_them(picture):
    head, rest = opened(pack(ViewerScene(picture, "p", [Pane((heat(raw=None, shared=ramp(0.5)), heat()))]))[1])
    first, second = head["panels"][0]["maps"]
    assert (first["own"], first["shared"], second["own"], second["shared"]) == (0, 1, 2, None)
    steps = np.frombuffer(zlib.decompress(rest[head["sizes"][0] :]), "<u2").reshape(3, 3, 4)
    own, shared, _ = np.cumsum(steps, axis=2, dtype=np.uint16) / 65535
    assert np.allclose(own, ramp(), atol=1e-5)
    assert np.allclose(shared, ramp(0.5), atol=1e-5)


def test_one_scale_for_all_reaches_from_the_lowest_to_the_highest_raw_value():
    panels = [Pane((heat(raw=(0.1, 0.5)),)), Pane((heat(raw=(0.0, 2.0)), heat(raw=None)))]
    assert raw_range(panels) == (0.0, 2.0)
    assert raw_range([Pane((heat(raw=None),))]) is None
    gain, offset = scaling(panels[0].maps[0], "shared", 1.0, (0.0, 2.0))
    assert (gain, offset) == pytest.approx((0.2, 0.05))
    assert scaling(panels[0].maps[0], "fixed", 4.0, (0.0, 2.0)) == pytest.approx((0.1, 0.025))
    assert scaling(panels[0].maps[0], "own", 4.0, (0.0, 2.0)) == (1.0, 0.0)


def test_a_rectangle_and_a_painted_area_are_masks():
    rectangle = viewer.region_of({"picture": "p", "kind": "rectangle", "xyxy": [10, 5, 30, 25]}, "p", (60, 40))
    assert rectangle.mask(40, 60).sum() == 20 * 20
    painted = np.zeros((20, 30), bool)
    painted[5:10, 10:20] = True
    bits = sent(np.packbits(painted).tobytes())
    region = viewer.region_of({"picture": "p", "kind": "brush", "size": [30, 20], "bits": bits}, "p", (60, 40))
    assert region.xyxy == (20.0, 10.0, 40.0, 20.0)
    assert np.array_equal(region.mask(40, 60), rectangle.mask(40, 60) & False | np.kron(painted, np.ones((2, 2), bool)))


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"picture": "other", "kind": "rectangle", "xyxy": [0, 0, 9, 9]},
        {"picture": "p", "kind": "rectangle", "xyxy": [9, 0, 0, 9]},
        {"picture": "p", "kind": "rectangle", "xyxy": [0, 0, float("nan"), 9]},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": "!"},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": sent(b"no", level=None)},
        {"picture": "p", "kind": "brush", "size": [99999, 99999], "bits": ""},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": sent(bytes(75))},
        {"picture": "p", "kind": "brush", "size": [30, 20], "bits": sent(b"\1")},
    ],
)
def test_an_area_that_makes_no_sense_is_none(given):
    assert viewer.region_of(given, "p", (60, 40)) is None


def test_a_place_that_is_asked_about_is_no_area():
    given = {"picture": "p", "xyxy": [10, 5, 30, 25]}
    assert viewer.parse_place(given, "p", (60, 40)) == (10, 5, 30, 25)
    assert viewer.parse_place(given | {"xyxy": [7, 7, 7, 7]}, "p", (60, 40)) == (7, 7, 7, 7)
    for wrong in ([30, 5, 10, 25], [0, 0, 61, 4], [0, 0, 1], "here", [0, 0, float("nan"), 4], None):
        assert viewer.parse_place(given | {"xyxy": wrong}, "p", (60, 40)) is None
    assert viewer.parse_place(given, "another", (60, 40)) is viewer.parse_place(None, "p", (60, 40)) is None


def test_a_bomb_is_not_inflated():
    bits = sent(b"\xff" * 10**7)
    region = viewer.region_of({"picture": "p", "kind": "brush", "size": [16, 16], "bits": bits}, "p", (60, 40))
    assert region.painted.shape == (16, 16)


def test_a_part_comes_as_fine_as_it_is(picture):
    large = np.kron(picture, np.ones((100, 100, 1), np.uint8))
    scene = ViewerScene(large, "p", [Pane()])
    head, blob = opened(viewer.detail(scene, {"picture": "p", "rect": [1000, 500, 3000, 2000], "id": "7"}))
    assert (head["kind"], head["rect"], head["id"]) == ("detail", [1000, 500, 3000, 2000], "7")
    assert Image.open(io.BytesIO(blob)).size == (2000, 1500)
    head, blob = opened(viewer.detail(scene, {"picture": "p", "rect": [0, 0, 6000, 4000]}))
    assert max(Image.open(io.BytesIO(blob)).size) == viewer.MAX_DETAIL_SIDE
    for rect in ([0, 0, 7000, 10], [5, 5, 5, 9], ["a", 0, 1, 1], None):
        assert viewer.detail(scene, {"picture": "p", "rect": rect}) == b""
    another = ViewerScene(large, "another", [Pane()])
    assert viewer.detail(another, {"picture": "p", "rect": [0, 0, 9, 9]}) == viewer.detail(scene, 7) == b""


def test_a_file_is_what_render_makes_of_the_settings(picture):
    panels = [Pane((heat("bus"), heat("van", raw=(0.0, 1.0))))]
    head, blob = opened(viewer.file(ViewerScene(picture, "p", panels, name="my bus.jpg"), asked(scale="shared")))
    expected = paint(picture, Field(ramp(), WHOLE, WHOLE), Style(gain=0.5))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(blob))), expected)
    assert head["name"] == "my-bus-bus-overlay.png"
    scene = ViewerScene(picture, "p", panels, name="b.png")
    head, blob = opened(viewer.file(scene, asked() | {"format": "jpg", "choice": 1}))
    assert (head["name"], head["mime"]) == ("b-van-overlay.jpg", "image/jpeg")


@pytest.mark.parametrize(
    "given",
    [7, asked(mode="<b>"), asked(alpha="x"), asked(top=0), asked() | {"choice": "a"}],
)
def test_a_file_that_cannot_be_is_a_sentence(picture, given):
    head, _ = opened(viewer.file(ViewerScene(picture, "p", [Pane((heat(),))], name="b.png"), given))
    assert head["kind"] == ("file" if given == asked(top=0) else "sorry")
