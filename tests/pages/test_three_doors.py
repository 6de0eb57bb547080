"""One engine, several doors: the same choices give the same recipe and the same map, value for value, through each."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.cli import main
from sightglass.explain import Explainer, Recipe, replay
from sightglass.explain.rendering.render import samples
from tests.pages.conftest import shown

CHOICES = {
    "method, layers and fit": (
        {"method": "layercam", "layers": "blocks.4", "fit": "letterbox"},
        {"method": "layercam", "layers": ("blocks.4",), "preprocessing": "letterbox"},
        ["--method", "layercam", "--target-layers", "blocks.4", "--preprocessing", "letterbox"],
    ),
    "several layers, another size": (
        {"model": "efficientnet-lite1", "layers": "blocks.2,blocks.4"},
        {"layers": ("blocks.2", "blocks.4")},
        ["--model", "efficientnet-lite1", "--target-layers", "blocks.2,blocks.4"],
    ),
}


def written(arguments, folder):
    """What the command line wrote: its recipe, and its maps in their order."""
    assert main([*map(str, arguments), "--out", str(folder)]) == 0
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text("utf-8"))
    held = np.load(folder / "maps.npz")
    return recipe, [held[name] for name in held.files if "_raw_" not in name], sorted(folder.rglob("*.npy"))


def same(result, recipe, maps, values, view) -> None:
    assert recipe == result.recipe
    assert len(view.maps) == len(maps) == len(values) == len(result.heatmaps) > 1
    for heatmap, at_input, file, on_screen in zip(result.heatmaps, maps, values, view.maps, strict=True):
        np.testing.assert_array_equal(at_input, heatmap.at_input)
        np.testing.assert_array_equal(np.load(file), heatmap.values)
        # The screen is sent each value as one of 65,536 steps.
        np.testing.assert_array_equal(np.rint(on_screen * 65535).astype(np.uint16), samples(heatmap.content))


@pytest.mark.parametrize("choice", CHOICES)
def test_library_command_line_and_screen_give_the_same_map(page, bus, tmp_path, choice):
    address, options, flags = CHOICES[choice]
    view = shown(page(**address))
    result = Explainer(address.get("model", "efficientnet-lite0"))(bus, **options)
    recipe, maps, values = written(["image", bus, "--npy", *flags], tmp_path / "out")
    same(result, recipe, maps, values, view)
    again = replay(recipe, bus)
    for heatmap, first in zip(again.heatmaps, maps, strict=True):
        np.testing.assert_array_equal(heatmap.at_input, first)


def test_and_so_do_a_detectors_boxes(page, scene, tmp_path):
    view = shown(page("pages/detect.py", model="demo-s", example="scene 3"))
    result = Explainer("demo-s")(scene, per="detection")
    recipe, maps, values = written(["detect", scene, "--model", "demo-s", "--save-all"], tmp_path / "out")
    same(result, recipe, maps, values, view)
