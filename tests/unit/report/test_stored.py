"""A stored view holds what its explanation shows, and damaged bytes end in one sentence."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.explain import Explainer, Explanation, Image
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.style import Style
from sightglass.report import views
from sightglass.report.charts import describe_proof
from sightglass.report.stored import pack, unpack
from sightglass.report.view import Box, Chart, ChartLine, Map, Picture, View

JPEG = to_jpeg(np.zeros((4, 6, 3), np.uint8))


@pytest.fixture(scope="module")
def cropped() -> Explanation:
    """Of a picture whose ends the model did not see."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "wide.png"), top_k=2)


CHART = Chart("dog", "So.", (ChartLine("map", "This map", (0.5, 0.2, 0), (0, 0.4, 0.5)),))


def whole() -> View:
    values = np.random.default_rng(1).integers(0, 256, (7, 9)).astype(np.float32) / 255
    cat = Map("cat", values, 0.5, (-0.1, 0.0, 1.1, 1.0), (0.25, 0, 0.75, 1), cells=(7, 9))
    dog = Map("dog", 2 * values - 1, None, kind="signed", ends=("lowers", "0", "raises"))
    box = Box(((0.1, 0.2), (0.3, 0.2), (0.3, 0.4)), "cat 50 %", explained=True)
    pictures = (
        Picture("Lite", JPEG, (6, 4), "cat 50 %", cat, (("cat", 0.5), ("dog", 0.25)), (box,)),
        Picture("Large", JPEG, (6, 4), "dog", dog),
    )
    display = Style("contour", "viridis", 0.5, 0.25)
    return View("A title", "A sentence.", pictures, (CHART,), display=display)


def test_views_survive_packing() -> None:
    views_before = [whole(), View("Only words", "And a sentence.", kind="words"), whole()]
    data = pack(views_before)
    unpacked = unpack(data)
    assert [view.title for view in unpacked] == ["A title", "Only words", "A title"]
    for name in ("kind", "sentence", "charts", "display"):
        assert getattr(unpacked[0], name) == getattr(views_before[0], name), name
    for mine, theirs in zip(views_before[0].pictures, unpacked[0].pictures, strict=True):
        for name in ("name", "jpeg", "size", "caption", "answers", "boxes"):
            assert getattr(mine, name) == getattr(theirs, name), name
        assert mine.map is not None and theirs.map is not None
        np.testing.assert_allclose(mine.map.values, theirs.map.values, atol=1 / 250)
        for name in ("label", "score", "extent", "seen", "kind", "cells", "ends"):
            assert getattr(mine.map, name) == getattr(theirs.map, name), name
    # Packed again it is the same file; the picture and the maps, which two views share, are there once.
    assert pack(unpack(pack(unpacked))) == pack(unpacked) and len(unpack_data(data)[1]) == 3


def test_a_view_holds_what_its_explanation_shows(cropped: Explanation) -> None:
    (view,) = unpack(pack([views.map_view(cropped)]))
    (picture,) = view.pictures
    assert (picture.size, picture.name) == ((1200, 300), "EfficientNet-Lite0")
    assert picture.answers == tuple((p.label, round(p.score, 5)) for p in cropped.predictions[:5])
    heatmap, item = cropped.heatmaps[0], picture.map
    assert item is not None and item.label == heatmap.target.label
    left, top, right, bottom = heatmap.seen
    assert item.seen == pytest.approx((left / 1200, top / 300, right / 1200, bottom / 300))
    assert np.abs(item.values - heatmap.content).max() < 0.01
    assert item.field(1200, 300).extent == pytest.approx(heatmap.geometry.extent)


def test_a_detector_s_boxes_and_a_proof(scene: Path) -> None:
    result = Explainer("demo-s")(scene, per="detection", confidence=0.3)
    picture = views.explained_picture(result)
    assert [box.text.rpartition(" ")[0] for box in picture.boxes] == [p.label for p in result.predictions]
    assert [label for label, _ in picture.answers] == [prediction.label for prediction in result.predictions]
    assert [box.explained for box in picture.boxes] == [p == result.own(0)[0] for p in result.predictions]
    proof = result.prove(0, steps=4)
    controls = [line.title.lower() for line in describe_proof(proof).curves[1:]]
    # The control that the sentence names is one that is drawn.
    assert proof.support is not None and proof.support.strongest_name in controls


ZEROS = zlib.compress(bytes(10_000_000))


def changed(part: str = "view", **values: Any) -> bytes:
    """A deck's bytes with values of its first view, its first picture or its first map replaced."""
    head, blobs = unpack_data(pack([whole()]))
    (picture, *_) = head["views"][0]["pictures"]
    {"view": head["views"][0], "picture": picture, "map": picture["map"]}[part].update(values)
    return pack_data(head, [*blobs, ZEROS])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 200_000) + b"[" * 200_000,
        pack([whole()])[:-1],
        pack_data({"version": 1, "views": []}),
        changed(kind="script"),
        changed(clip=0),
        changed(title="x" * 1000),
        changed(display={"mode": "<b>"}),
        changed(charts=[{"label": "", "sentence": "", "curves": [], "picture": 9}]),
        changed("picture", source=99),
        changed("picture", source=1),
        changed("map", score="nan"),
        changed("map", seen=[0, 0, 2, 1]),
        changed("map", extent=[0, 0, 0, 1]),
        changed("map", values={"blob": 0, "shape": [7, 9]}),
        changed("map", values={"blob": 3, "shape": [7, 9]}),
    ],
)
def test_damaged_bytes_end_in_one_sentence(data: bytes) -> None:
    with pytest.raises(Problem, match=r"^These slides cannot be read: they are damaged, or .* another version\.$"):
        unpack(data)
