"""The packaged model that reads words: it names what was drawn, and its maps lie on what was named."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.demo import captioned_scenes
from sightglass.models.families.demo import nets
from sightglass.models.families.demo.loader import ONLY_DRAWN, card
from sightglass.models.families.demo.nets import WEIGHTS
from training import clip

NAMES = [thing.phrase for thing in captioned_scenes.example().named]


def test_it_is_packaged_and_small() -> None:
    spec = catalog.spec("demo-clip")
    assert catalog.available(spec)
    assert (WEIGHTS / "demo-clip.safetensors").stat().st_size < 3_000_000


def test_the_example_is_named_thing_by_thing() -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    absent = ["blue ball", "red square", "yellow star", "green heart"]
    result = Explainer("demo-clip")(scene.pixels, vocabulary=[*NAMES, *absent], top_k=4)
    assert {prediction.label for prediction in result.predictions} == set(NAMES)
    for heatmap in result.heatmaps:
        row, column = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
        near = scene.masks[heatmap.target.label][max(row - 16, 0) : row + 17, max(column - 16, 0) : column + 17]
        assert near.any(), heatmap.target.label
    assert ONLY_DRAWN in result.notes


@pytest.mark.parametrize("prompt", ["red star", "a star that is red", "a picture of a red star"])
def test_a_lone_prompt_points_too_however_it_is_put(prompt: str) -> None:
    scene = captioned_scenes.draw(captioned_scenes.example(), 384)
    result = Explainer("demo-clip")(scene.pixels, vocabulary=prompt)
    row, column = np.unravel_index(result.heatmaps[0].values.argmax(), (384, 384))
    assert scene.masks["red star"][max(row - 16, 0) : row + 17, max(column - 16, 0) : column + 17].any()
    assert any("set against" in note for note in result.notes)


def test_words_that_it_was_not_taught_are_named() -> None:
    with pytest.raises(ModelProblem, match="does not know the word 'zebra'"):
        Explainer("demo-clip")(captioned_scenes.draw(captioned_scenes.example()).pixels, vocabulary="a zebra")
    scene = captioned_scenes.draw(captioned_scenes.example()).pixels
    result = Explainer("demo-clip")(scene, vocabulary="red star, green bar, zebra, blue star")
    # The rest is answered as if only it had been asked for.
    alone = Explainer("demo-clip")(scene, vocabulary="red star, blue star")
    assert [p.label for p in result.predictions] == [p.label for p in alone.predictions]
    assert [p.score for p in result.predictions] == [p.score for p in alone.predictions]
    left_out = [note for note in result.notes if "is left out" in note]
    assert [note.split(". ")[0] for note in left_out] == ["'green bar' is left out", "'zebra' is left out"]
    assert "does not know the word 'bar'" in left_out[0]
    with pytest.raises(ModelProblem, match="in fewer"):
        nets.tokenize(["a " * 12])


def test_the_card_says_what_the_weights_do() -> None:
    net = nets.fill(nets.DemoClip(), WEIGHTS / "demo-clip.safetensors", "clip")
    found, said = clip.metrics_of(net, 120), card("demo-clip")["metrics"]
    assert found.keys() == said.keys()
    for name, share in found.items():
        assert share == pytest.approx(said[name], abs=0.12), name


def test_scenes_are_the_same_bytes_each_time_and_share_nothing_with_training() -> None:
    one, other = (captioned_scenes.draw(captioned_scenes.sample(5, held_out=True)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert not np.array_equal(one.pixels, captioned_scenes.draw(captioned_scenes.sample(5)).pixels)
    kinds = {(t.colour, t.shape) for seed in range(200) for t in captioned_scenes.sample(seed).named}
    assert not kinds & captioned_scenes.NEVER_SEEN
    assert all((s.named[0].colour, s.named[0].shape) in captioned_scenes.NEVER_SEEN for s in map(_rare, range(20)))


def _rare(seed: int) -> captioned_scenes.CaptionedSpec:
    return captioned_scenes.sample(seed, held_out=True, rare=True)


def test_masks_are_what_was_painted() -> None:
    spec = captioned_scenes.example()
    plain = captioned_scenes.draw(
        captioned_scenes.CaptionedSpec((), spec.background, spec.seed, spec.noise, spec.held_out)
    )
    scene = captioned_scenes.draw(spec)
    assert set(scene.masks) == set(NAMES)
    changed = (scene.pixels != plain.pixels).any(2)
    for mask in scene.masks.values():
        assert mask.sum() > 150
        assert changed[mask].mean() > 0.99


def test_a_few_steps_of_training_learn_something(tmp_path: object) -> None:
    pool = clip.pool_of([captioned_scenes.sample(seed) for seed in range(64)])
    recipe = clip.replace(clip.RECIPE, images=96, pool=64)
    net = clip.fit(pool, recipe, 0, words=3)
    tokens = nets.tokenize(["a red star", "something blue"])
    assert net(pool.batch(np.arange(4), np.zeros(4, np.int64)), tokens).shape == (4, 2)
