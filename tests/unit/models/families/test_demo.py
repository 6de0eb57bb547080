"""The packaged transformers: demo-detr, whose boxes are queries, and demo-vit, whose stem is drawn where it looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.maps.heatmap import rescale
from sightglass.explain.questions import settings
from training.demo import scenes


@pytest.fixture(scope="module")
def scene() -> scenes.DemoScene:
    return scenes.draw(scenes.sample(3, task="detect", held_out=True))


def test_it_finds_boxes_by_queries_and_explains_them_at_its_encoder(scene: scenes.DemoScene) -> None:
    explainer = Explainer("demo-detr")
    made = explainer(scene.pixels, per="detection", top_k=1)
    (heatmap,), first = made.heatmaps, made.predictions[0]
    (thing,) = [one for one in scene.objects if one.label == first.label]
    assert first.box == pytest.approx(thing.box, abs=8) and first.score > 0.5
    assert (heatmap.method, heatmap.layers) == ("layercam", ("model.15",))
    assert made.inside(thing.mask) > 0.4
    for question in ("where", "why"):
        chosen = settings(explainer.resident, question)
        assert (chosen["method"], chosen["layers"] or explainer.resident.default_layers) == ("layercam", ("model.15",))


def test_maps_of_the_stem_have_more_of_their_heat_on_the_object_than_on_an_even_grid() -> None:
    explainer = Explainer("demo-vit", device="cpu")
    shares = []
    for number in range(800_000, 800_012):
        scene = scenes.draw(scenes.sample(number, task="classify", held_out=True))
        made = explainer(scene.pixels, targets=(scene.objects[0].index,)).heatmaps[0]
        assert made.geometry.cell_offset("patch_embed.proj.4") == (-0.47, -0.47)
        (even,) = rescale([replace(made, geometry=replace(made.geometry, cell_offsets=()))], "own")
        mask = scene.objects[0].mask
        shares.append([one.at_input[mask].sum() / max(one.at_input.sum(), 1e-9) for one in (made, even)])
    drawn, before = np.mean(shares, 0)
    assert drawn > before + 0.01
