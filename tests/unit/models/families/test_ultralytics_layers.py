"""Layers by the words of a menu, by the numbers of other tools, and as the graph that a picker draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightglass.explain.evidence.layers import find_paths
from sightglass.explain.evidence.resident import LoadedModel
from sightglass.explain.evidence.survey import survey
from sightglass.models.layers import Layer, ModelStage
from tests.built import built


def layers_of(name: str, task: str = "detect") -> tuple[Layer, ...]:
    adapter = built(name, task)
    given = adapter.prepare(np.full((64, 64, 3), 128, np.uint8), adapter.preprocessings[0])
    return survey(adapter, given.tensor).short


NECKS = {
    "yolo11n-seg": (("model.16", "model.19", "model.22"), "model.10", "model.4", True),
    "yolov8n": (("model.15", "model.18", "model.21"), "model.9", "model.4", True),
    "yolov3-tinyu": (("model.19", "model.15"), "model.12", "model.6", True),
    "yolov8s-world": (("model.15", "model.19", "model.22"), "model.9", "model.4", False),
    "rtdetr-l": (("model.21", "model.24", "model.27"), "model.9", "model.3", True),
}


@pytest.mark.parametrize("name", NECKS)
def test_a_menu_offers_what_the_head_reads_first(name: str) -> None:
    neck, end, third, scripts = NECKS[name]
    layers, adapter = layers_of(name), built(name)
    presets = adapter.presets(layers)
    assert next(iter(presets)) == "all neck outputs"
    assert presets["all neck outputs"] == neck == adapter.default_layers(layers)
    assert presets["backbone end"] == (end,)
    assert presets["backbone P3"] == (third,)
    assert ("Ultralytics' 10 12 14 16 18" in presets) == scripts
    known = {layer.path: layer for layer in layers}
    scales = {name: paths[0] for name, paths in presets.items() if name.startswith("neck P")}
    assert tuple(scales.values()) == neck
    assert all(known[path].shape[1] == 640 >> int(name[-1]) for name, path in scales.items())
    assert all(path in known for paths in presets.values() for path in paths)


def test_stages_are_the_steps_of_the_model_with_maps() -> None:
    adapter = built("yolo11n-seg")
    stages = adapter.stages(layers_of("yolo11n-seg"))
    assert [stage.path for stage in stages] == [f"model.{index}" for index in range(23)]
    assert stages[0] == ModelStage("model.0", "Conv", 2.0, "backbone")
    assert stages[12] == ModelStage("model.12", "Concat", 16.0, "neck")
    assert [stage.part for stage in stages].count("backbone") == 11


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("10", "model.10"),
        ("-2", "model.21"),
        ("model.-2", "model.21"),
        ("model.model[-2]", "model.21"),
        ("model.model.model[10]", "model.10"),
        ("model.4.cv2", "model.4.cv2"),
        ("23", "23"),
        ("", ""),
    ],
)
def test_layers_are_known_by_the_numbers_of_other_tools(name: str, path: str) -> None:
    assert built("yolov8n").alias(name) == path


@pytest.fixture(scope="module")
def resident() -> LoadedModel:
    return LoadedModel(built("yolo11n-seg"), torch.device("cpu"))


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("10 12 14 16 18", (10, 12, 14, 16, 18)),
        ("10,12,14,16,18", (10, 12, 14, 16, 18)),
        ("neck P3", (16,)),
        ("backbone end, neck P3, 4", (10, 16, 4)),
        ("all neck outputs", (16, 19, 22)),
        ("model[-2]", (22,)),
    ],
)
def test_lists_and_presets_are_layers(resident: LoadedModel, typed: str, numbers: tuple[int, ...]) -> None:
    assert find_paths(resident, typed) == tuple(f"model.{number}" for number in numbers)
