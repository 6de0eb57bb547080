"""A task that the project does not know, added as CONTRIBUTING.md says: every entry point works with it."""

import base64
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

from sightglass.api.app import create
from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled, to_png
from sightglass.explain.tasks import TASKS
from sightglass.explain.tasks.regress import Regress
from sightglass.explain.trust import diagnosis
from sightglass.models import catalog, load
from sightglass.models.adapter import Prediction
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec
from tests.pages.conftest import headline

PREPROCESSING = Preprocessing((64, 64), 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Count(Regress):
    """How many things a picture shows, without their places."""

    id = "count"
    title = "Count"
    noun = "count"

    def text(self, score: float, unit: str = "") -> str:
        return f"{max(0, round(score))} in the picture"


class CountAdapter(Classifier):
    """A module from float32 (B, 3, h, w) to one number of each picture (B, 1)."""

    parts = ("signed", "class", "lowers")

    def _answer(self, tensor: Tensor) -> Tensor:
        count: Tensor = self.module(tensor)
        return count

    def class_scores(self, outputs: Any) -> Tensor:
        return self.class_logits(outputs).float()

    def decode(self, outputs: Any, geometry: Any, *, top_k: int, confidence: float, iou: float) -> list[Prediction]:
        return [Prediction(self.labels[0], 0, float(outputs.logits[0, 0].detach()))]


def load_count(spec: ModelSpec, progress: Any = None) -> CountAdapter:
    torch.manual_seed(0)
    stem, mean = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(1)
    net = nn.Sequential(stem, nn.ReLU(), mean, nn.Flatten(), nn.Linear(4, 1))
    return CountAdapter(spec, net, ["things"], PREPROCESSING, "0" * 64)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, own_models: Callable[[str], None]) -> str:
    """The id of a model of the new task."""
    family = ModuleType("sightglass.models.families.counting")
    family.load = load_count  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, family.__name__, family)
    monkeypatch.setattr(load, "loader_exists", lambda _: True)
    monkeypatch.setattr(catalog, "loader_exists", lambda _: True)
    keys = f"{catalog.SHARED} family size arch megabytes"
    monkeypatch.setattr(catalog, "MODEL", catalog._table(keys, **catalog._LOADED | {"task": str}))
    monkeypatch.setitem(TASKS, "count", Count())
    own_models('[model.counter]\nloader = "counting"\narch = "net"\ntask = "count"\nweights = { random = 1 }\n')
    return "counter"


def test_new_task_in_library_cli_api_batch(counting, tmp_path, capsys):
    (pictures := tmp_path / "pictures").mkdir()
    (picture := pictures / "scene 1.png").write_bytes(to_png(load_bundled("scene 1").pixels))
    explanation = Explainer(counting)(picture)
    text = explanation.task.text(explanation.predictions[0].score)
    assert text.endswith("in the picture") and text in diagnosis.describe(explanation, "red").headline
    explanation.save(tmp_path / "report.html")
    assert text in (tmp_path / "report.html").read_text("utf-8")

    assert main(["image", str(picture), "-m", counting, "-o", str(tmp_path / "maps"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert text in json.dumps(summary) and any((tmp_path / "maps").glob("*.png"))

    with TestClient(create()) as client:
        body = {"image": base64.b64encode(picture.read_bytes()).decode(), "model": counting}
        answer = client.post("/api/explain", json=body)
    assert answer.status_code == 200 and answer.json()["predictions"][0]["label"].startswith("things")

    assert main(["batch", str(pictures), "-m", counting, "-o", str(tmp_path / "run")]) == 0
    assert text in (tmp_path / "run/report.html").read_text("utf-8")


def test_the_page_shows_the_new_task(page: Callable[..., Any], counting: str) -> None:
    app = page("explore", model=counting, example="scene 1")
    assert "in the picture" in headline(app)
