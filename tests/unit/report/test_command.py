"""The call of a recipe, and a command with the same options, make the same map and the same recipe."""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightglass.cli import main
from sightglass.explain.evidence.loaded_model import MODEL_CACHE, LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.options import Options
from sightglass.explain.recipe import Recipe
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.models.families.ultralytics import prompts
from sightglass.report import embedded_recipe, result_folder
from tests.built import built
from tests.oracle.flags import flags
from tests.unit.models.families.test_ultralytics_prompts import YOLOE, open_model, spoken

POSE = "yolo11n-pose"
BOXES, CLIP = "demo-s", "demo-clip"
WORDS = ("red star", "blue ball", "yellow square")
ANY_BOX: dict[str, Any] = {"confidence": 0.0, "top_k": 1, "layers": ("neck P5",)}
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("targets", CLIP, {"targets": ("yellow square",), "vocabulary": ("unreadable", *WORDS)}),
    ("classes", BOXES, {"classes": (0, "rod-cross"), "per": "detection"}),
    ("vocabulary", YOLOE, {"vocabulary": ("red bus", "person"), "classes": ("person", 0), "per": "detection"}),
    (
        "examples",
        YOLOE,
        {"examples": (((20.25, 30.0, 200.0 + 1 / 3, 160.0), "this = it"), ((5.0, 5.0, 90.0, 90.0), "b"))},
    ),
    ("joint", POSE, {"joint": "nose visibility", "part": "lowers"}),
)
"""Several values of an option, options together, and what no packaged model takes; `tests/oracle` has all others."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Path) -> Path:
    """A folder with one picture, which is where commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prompts, "text_embeddings", spoken)
    (tmp_path / "scene.png").write_bytes(scene.read_bytes())
    return tmp_path


def made_by(model: str, options: dict[str, Any]) -> tuple[Recipe, dict[str, np.ndarray[Any, Any]]]:
    """What a command writes: its recipe and its maps."""
    task = task_of(catalog.spec(model))
    per = {"per": "class"} if task.explains("detection") else {}
    words = flags(task.verb, {"model": model, **per, **options})
    assert main([task.verb, "scene.png", *words, "--out", "out"]) == 0
    with np.load(Path("out") / result_folder.MAPS) as saved:
        maps = dict(saved)
    return Recipe.model_validate_json((Path("out") / result_folder.RECIPE).read_text("utf-8")), maps


def assert_maps_equal(maps: Mapping[str, np.ndarray[Any, Any]], result: Explanation) -> None:
    expected = result_folder.arrays(result)
    assert maps.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(maps[name], values)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Explainer]:
    """Load a model; a YOLOE and a pose have random weights."""

    def load(model: str) -> Explainer:
        if model in (YOLOE, POSE):
            loaded = LoadedModel(open_model() if model == YOLOE else built(POSE), torch.device("cpu"))
            monkeypatch.setattr(MODEL_CACHE, "get", lambda *_: loaded)
            monkeypatch.setattr(MODEL_CACHE, "models", lambda: [loaded])
        return Explainer(model)

    return load


@pytest.mark.parametrize(("option", "model", "given"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_call_and_command_give_same_map(option, model, given, here, loaded):
    assert given[option] != getattr(Options(), option)
    options = ANY_BOX | given if model in (YOLOE, POSE) else given
    result = loaded(model)("scene.png", **options)
    recipe, maps = made_by(model, options)
    assert recipe == result.recipe and result.heatmaps
    assert_maps_equal(maps, result)
    again = eval(embedded_recipe.python_call(result.recipe), {"Explainer": Explainer})
    assert again.recipe == result.recipe
    assert_maps_equal(result_folder.arrays(again), result)


def test_the_docs_list_the_options_as_they_are_declared() -> None:
    script = runpy.run_path(str(Path(__file__).parents[3] / "docs/list_options.py"))
    assert script["PAGE"].read_text("utf-8") == script["page"](), "run python docs/list_options.py"
