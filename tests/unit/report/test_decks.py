"""Decks are kept beside the records, in order, whole or not at all; their slides hold what explanations show."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.common.files.packing import unpack_data
from sightglass.explain import Explainer, Explanation, Image
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.style import Field, Style
from sightglass.history import History
from sightglass.history.decks import pack, unpack
from sightglass.report import views
from sightglass.report.charts import describe_proof
from sightglass.report.view import Box, Chart, ChartLine, Map, Picture, View


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def test_a_damaged_deck_can_be_deleted(history: History) -> None:
    history.decks.create("For Monday", [View("A title", kind="words")])
    (file,) = (history.folder / "decks").iterdir()  # type: ignore[operator]
    file.write_bytes(file.read_bytes()[:-30])
    (damaged,) = history.decks.all()
    assert damaged.slides == ()
    history.decks.delete(damaged.id)
    assert history.decks.all() == ()


JPEG = to_jpeg(np.zeros((4, 6, 3), np.uint8))


@pytest.fixture(scope="module")
def cropped() -> Explanation:
    """Of a picture whose ends the model did not see."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "wide.png"), top_k=2)


CHART = Chart("dog", "So.", (ChartLine("map", "This map", (0.5, 0.2, 0), (0, 0.4, 0.5)),))


def whole() -> View:
    values = np.random.default_rng(1).integers(0, 256, (7, 9)).astype(np.float32) / 255
    cat = Map("cat", Field(values, (-0.6, 0, 6.6, 4), (1, 0, 5, 4), cells=(7, 9)), 0.5)
    dog = Map("dog", Field(2 * values - 1, (0, 0, 6, 4), (0, 0, 6, 4), "signed"), None, ("lowers", "0", "raises"))
    box = Box(((0.1, 0.2), (0.3, 0.2), (0.3, 0.4)), "cat 50 %", explained=True)
    pictures = (
        Picture("Lite", JPEG, (6, 4), "cat 50 %", cat, (("cat", 0.5), ("dog", 0.25)), (box,)),
        Picture("Large", JPEG, (6, 4), "dog", dog),
    )
    return View("A title", "A sentence.", pictures, (CHART,), display=Style("contour", "viridis", 0.5, 0.25))


def test_an_edited_title_is_one_line(history: History) -> None:
    deck = history.decks.create("For Monday", [whole()])
    history.decks.edit(deck.slides[0].id, title=" What \n it saw ", sentence="")
    drawn = history.decks.get(deck.id).slides[0].view
    assert (drawn.title, drawn.sentence) == ("What it saw", "")


def test_a_picture_of_two_maps_is_stored_once() -> None:
    assert len(unpack_data(pack(whole()))[1]) == 3


def test_a_view_holds_what_its_explanation_shows(cropped: Explanation) -> None:
    (picture,) = unpack(pack(views.map_view(cropped))).pictures
    assert (picture.size, picture.name) == ((1200, 300), "EfficientNet-Lite0")
    assert picture.answers == tuple((p.label, round(p.score, 5)) for p in cropped.predictions[:5])
    heatmap, item = cropped.heatmaps[0], picture.map
    assert item is not None and item.label == heatmap.target.label
    assert np.abs(item.field.values - heatmap.content).max() < 0.01
    assert tuple(item.field.seen) == heatmap.seen and item.field.extent == pytest.approx(heatmap.geometry.extent)


def test_a_detector_s_boxes_and_a_proof(scene: Path) -> None:
    result = Explainer("demo-s")(scene, per="detection", confidence=0.3)
    picture = views.explained_picture(result)
    assert [box.text.rpartition(" ")[0] for box in picture.boxes] == [p.label for p in result.predictions]
    assert [label for label, _ in picture.answers] == [prediction.label for prediction in result.predictions]
    assert [box.explained for box in picture.boxes] == [p == result.own(0)[0] for p in result.predictions]
    # Of a box there is no other map beside the random ones.
    assert [line.name for line in describe_proof(result.prove(0, steps=2)).curves] == ["map", "random"]


def test_the_strongest_map_of_a_proof_is_drawn(scene: Path) -> None:
    proof = Explainer("demo-cls-s")(scene, top_k=1).prove(steps=2)
    controls = [line.title.lower() for line in describe_proof(proof).curves[1:]]
    assert proof.support.strongest_name in controls


CURVE = {"name": "map", "title": "This map", "hidden": [1, 0], "kept": [0, 1]}
CHARTED = {"label": "cat", "sentence": "So.", "curves": [CURVE], "picture": 1}


def changed(part: str = "view", **values: Any) -> bytes:
    """A slide's bytes with values of its view, its first picture, its first map or that one's place replaced."""
    head, blobs = unpack_data(pack(whole()))
    (picture, *_) = head["pictures"]
    parts = {"view": head, "picture": picture, "map": picture["map"], "field": picture["map"]["field"]}
    parts[part].update(values)
    sizes = [len(blob) for blob in blobs]
    text = json.dumps(head | {"sizes": sizes}).encode()
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def test_a_slide_with_another_chart_is_read() -> None:
    assert unpack(changed(charts=[CHARTED])).charts[0].picture == 1


@pytest.mark.parametrize(
    "data",
    [
        *(b"", pack(whole())[:-1], changed(kind="script"), changed("picture", jpeg=99), changed("map", field=0)),
        *(changed("picture", size=size) for size in ([0, 4], [-6, 4], [10**400, 4], [10**9, 4])),
        *(changed("picture", answers=[["cat", score]]) for score in (1e308, -1, float("nan"))),
        *(changed("field", seen=seen) for seen in ([0, 0, 7, 4], [-1, 0, 6, 4], [3, 0, 3, 4], [float("nan"), 0, 6, 4])),
        changed("field", extent=[0, 0, 1e308, 4]),
        changed(facts=["75 % right"] * 50_000),
        changed("picture", boxes=[{"points": [[0, 0], [1, 1]], "text": "cat"}] * 1000),
        changed("map", label="y" * 30_000),
        *(changed("picture", caption=text) for text in ("\ud800", "a\x00b", "\x1b[31m")),
        changed(charts=[CHARTED | {"curves": [CURVE | {"kept": [1e308, 0]}]}]),
        *(changed(charts=[CHARTED | {"picture": place}]) for place in (-5, 2)),
    ],
)
def test_damaged_slide_ends_in_one_sentence(data: bytes) -> None:
    with pytest.raises(Problem, match=r"^This slide cannot be read: it is damaged, or .* another version\.$"):
        unpack(data)
