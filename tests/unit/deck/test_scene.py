"""A scene holds what its explanation shows, survives packing, and hostile bytes end in one sentence."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.deck import Panel, Scene, SceneMap, SceneProof, SceneView, making, payload, scenes
from sightglass.deck.scene import MAX_SIDE
from sightglass.explain import Explainer, Image
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation

JPEG = to_jpeg(np.zeros((4, 6, 3), np.uint8))


@pytest.fixture(scope="module")
def cropped() -> Explanation:
    """Of a picture whose ends the model did not see, larger than a scene's maps may be."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 1200, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "wide.png"), top_k=2)


PROOF = SceneProof("dog", (0, 0.5, 1), (0.5, 0.2, 0), (0, 0.4, 0.5), (0.5, 0.4, 0), (0, 0.1, 0.5), "So.", map=1)


def whole() -> Scene:
    values = np.random.default_rng(1).integers(0, 256, (7, 9), dtype=np.uint8)
    seal = "✓ changes with the model: yes · ? holds still: unclear"
    maps = (
        SceneMap("cat", 0.5, values, (0.1, 0.2, 0.3, 0.4), seal=seal),
        SceneMap("dog", None, values, seen=(0.25, 0, 0.75, 1)),
    )
    panel = Panel("Lite", (("cat", 0.5), ("dog", 0.25)), maps, (((0.1, 0.2, 0.3, 0.4), "cat", 0.5),))
    view = SceneView(0, 1, "viridis", "contour", 0.5, 0.25)
    return Scene("picture", "A title", "A sentence.", "Notes.", JPEG, (6, 4), (panel,), PROOF, view=view)


def test_scenes_survive_packing() -> None:
    given = [whole(), Scene("words", "Only words", "And a sentence."), whole()]
    data = payload(given)
    found = scenes(data)
    assert [one.title for one in found] == ["A title", "Only words", "A title"]
    for name in ("kind", "sentence", "notes", "picture", "size", "proof", "view"):
        assert getattr(found[0], name) == getattr(given[0], name), name
    for mine, theirs in zip(given[0].panels[0].maps, found[0].panels[0].maps, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        for name in ("label", "score", "box", "seen", "seal"):
            assert getattr(mine, name) == getattr(theirs, name), name
    # The picture and the map, which two scenes and two maps share, are there once.
    assert len(unpack_data(data)[1]) == 2


def test_scenes_of_former_versions_open() -> None:
    head, blobs = unpack_data(payload([whole()]))
    (scene,) = head["scenes"]
    del scene["date"]
    scene |= {"question": "What is it?", "recipe": "b8781ef8"}
    scene["proof"]["controls"] = {"Random places": [[0.5, 0.4, 0], [0, 0.1, 0.5]]}
    for one in scene["panels"][0]["maps"]:
        del one["seal"], one["signed"], one["ends"]
        one |= {"sentence": "It looked at the ears.", "seal_short": "✓ model"}
    (found,) = scenes(pack_data(head, blobs))
    assert (found.title, found.date, found.panels[0].maps[0].seal) == ("A title", "", "")
    assert found.proof == PROOF


def test_a_scene_holds_what_its_explanation_shows(cropped: Explanation) -> None:
    panel = making.panel(cropped)
    made = making.scene(cropped.image, [panel], title="A wide picture", sentence="It saw the middle.")
    (found,) = scenes(payload([made]))
    assert found.size == (1200, 300)
    assert found.panels[0].name == "EfficientNet-Lite0"
    assert found.panels[0].answers == tuple((one.label, round(one.score, 5)) for one in cropped.predictions[:5])
    for one, heatmap in zip(found.panels[0].maps, cropped.heatmaps[:1], strict=True):
        assert one.values.shape == (240, MAX_SIDE)
        left, top, right, bottom = heatmap.seen
        assert one.seen == pytest.approx((left / 1200, top / 300, right / 1200, bottom / 300))
        assert one.label == heatmap.target.label
        # The map at the place of the reduced grid's centres.
        rows, columns = ((np.arange(size) + 0.5) * 1.25 for size in one.values.shape)
        full = heatmap.values[np.ix_(rows.astype(int), columns.astype(int))]
        inside = one.values > 0
        assert np.abs(one.values / 255 - full)[inside].mean() < 0.01


def test_a_detector_s_boxes_and_a_proof(scene: Path) -> None:
    found = Explainer("demo-s")(scene, per="detection", confidence=0.3)
    panel = making.panel(found)
    assert [label for _, label, _ in panel.boxes] == [one.label for one in found.predictions]
    assert [label for label, _ in panel.answers] == [one.label for one in found.predictions]
    box = found.own(0)[0].box
    assert box is not None
    size = (found.image.width, found.image.height)
    assert panel.maps[0].box == pytest.approx([at / of for at, of in zip(box, (*size, *size), strict=True)])
    proof = found.prove(0, steps=4)
    made = making.proof(proof)
    assert made.sentence == proof.sentence
    assert made.shares == (0, 0.25, 0.5, 0.75, 1)
    assert made.hide[0] == made.control_hide[0] == pytest.approx(proof.start, abs=1e-4)
    # The control that the sentence names is the one that is drawn.
    assert proof.support is not None and made.control.lower() == proof.support.strongest_name
    assert made.control.lower() in made.sentence.lower() and made.control_hide[-1] == made.hide[-1]
    assert scenes(payload([making.scene(found.image, [panel], title="", sentence="", proof=made)]))[0].proof == made


def test_a_map_of_both_signs_keeps_them(scene: Path) -> None:
    found = Explainer("demo-s")(scene, per="detection", method="hirescam", evidence="both", top_k=1)
    (one,) = making.panel(found).maps
    assert one.signed and one.ends[0].startswith("lowers") and one.values.min() < 128 < one.values.max()


def changed(**values: Any) -> bytes:
    """A deck's bytes with values of its first scene replaced."""
    head, blobs = unpack_data(payload([whole()]))
    head["scenes"][0] |= values
    return pack_data(head, blobs)


ZEROS = zlib.compress(bytes(10_000_000))


def with_map(**values: Any) -> bytes:
    head, blobs = unpack_data(payload([whole()]))
    head["scenes"][0]["panels"][0]["maps"][0] |= values
    return pack_data(head, [*blobs, ZEROS])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 200_000) + b"[" * 200_000,
        payload([whole()])[:-1],
        pack_data({"version": 2, "scenes": []}),
        pack_data({"version": 1, "scenes": 3}),
        pack_data({"version": 1, "scenes": [{}]}),
        pack_data({"version": 1, "scenes": [{}] * 1000}),
        changed(kind="script"),
        changed(picture=99),
        changed(picture=-1),
        changed(picture=1),
        changed(clip=0),
        changed(title="x" * 1000),
        changed(title=None),
        changed(view={"panel": 4}),
        changed(view={"map": 2}),
        changed(view={"mode": "<b>"}),
        changed(size=[1e9, 1]),
        changed(proof=asdict(replace(PROOF, shares=(), hide=(), keep=(), control_hide=(), control_keep=()))),
        changed(panels=[json.loads("{}")]),
        with_map(score=float("nan")),
        with_map(box=[0, 0, 2, 1]),
        with_map(values={"blob": 0, "shape": [7, 9]}),
        with_map(values={"blob": 2, "shape": [7, 9]}),
        with_map(values={"blob": 2, "shape": [100_000, 100_000]}),
        with_map(values={"blob": 1, "shape": [0, 0]}),
    ],
)
def test_hostile_bytes_end_in_one_sentence(data: bytes) -> None:
    with pytest.raises(Problem, match=r"^These slides cannot be read: they are damaged, or of a newer version\.$"):
        scenes(data)
