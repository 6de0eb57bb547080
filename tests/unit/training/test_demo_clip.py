"""The packaged model that reads words: it names what was drawn, and its maps lie on what was named."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.models.families.demo import nets
from sightglass.models.families.demo.loader import ONLY_DRAWN
from training.demo import captioned_scenes

NAMES = [thing.phrase for thing in captioned_scenes.example().named]


def test_the_example_is_named_thing_by_thing() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    absent = ["blue ball", "red square", "yellow star", "green heart"]
    result = Explainer("demo-clip")(scene.pixels, vocabulary=[*NAMES, *absent], top_k=4)
    assert {prediction.label for prediction in result.predictions} == set(NAMES) == set(scene.masks)
    for heatmap in result.heatmaps:
        assert points_at(scene, heatmap.target.label, heatmap.values), heatmap.target.label
    assert ONLY_DRAWN in result.notes


def test_a_lone_prompt_points_too_however_it_is_put() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    result = Explainer("demo-clip")(scene.pixels, vocabulary="a star that is red")
    assert points_at(scene, "red star", result.heatmaps[0].values)
    assert any("set against" in note for note in result.notes)


def test_words_that_it_was_not_taught_are_named() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example()).pixels
    with pytest.raises(ModelProblem, match="does not know the word 'zebra'"):
        Explainer("demo-clip")(scene, vocabulary="a zebra")
    result = Explainer("demo-clip")(scene, vocabulary="red star, green bar, zebra, blue star")
    # The rest is answered as if only it had been asked for.
    alone = Explainer("demo-clip")(scene, vocabulary="red star, blue star")
    assert [(p.label, p.score) for p in result.predictions] == [(p.label, p.score) for p in alone.predictions]
    left_out = [note for note in result.notes if "is left out" in note]
    assert [note.split(". ")[0] for note in left_out] == ["'green bar' is left out", "'zebra' is left out"]
    with pytest.raises(ModelProblem, match="in fewer"):
        nets.tokenize(["a " * 12])


def points_at(scene: captioned_scenes.CaptionedScene, label: str, values: np.ndarray) -> bool:
    """Whether the hottest pixel is at most 16 pixels from what was named."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return bool(scene.masks[label][max(row - 16, 0) : row + 17, max(column - 16, 0) : column + 17].any())
