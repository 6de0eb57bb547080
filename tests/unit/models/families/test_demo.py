"""The packaged demo-vit, whose stem is drawn where it looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sightglass.explain import Explainer
from sightglass.explain.maps.heatmap import rescale
from training.demo import scenes


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
