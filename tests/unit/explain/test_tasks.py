"""The parts of a task, and one put together from them that the project does not know."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sightglass.evaluation.kinds import kind_of
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explanation import Explanation, explain
from sightglass.explain.options import Options
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.result import Result
from sightglass.explain.tasks import TASKS
from sightglass.explain.tasks.detect import BoxScorer
from sightglass.explain.tasks.parts import Movement, Scorer
from sightglass.explain.tasks.wording import Wording
from sightglass.explain.trust.diagnosis import describe
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec


class CountWording(Wording):
    """How many things a picture shows, without their places."""

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        return f"{result.model.name} counts {result.predictions[0].label}.", True


@pytest.fixture
def counted() -> Iterator[Explanation]:
    """A picture explained by a model of the task `count`, which is put together from parts of others."""
    TASKS["count"] = replace(TASKS["classify"], id="count", title="Count", wording=CountWording())
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    spec = ModelSpec("counter", "Own", "", "none", "net", "count", "yours")
    preparation = Preprocessing((64, 64), 64, (0.5,) * 3, (0.5,) * 3)
    loaded = LoadedModel(Classifier(spec, net, ["none", "one", "two"], preparation, "0" * 64), torch.device("cpu"))
    image = load_bundled("scene 1")
    layers = tuple(layer for layer in loaded.layers if layer.path == "1")
    evidence = Evidence(loaded, loaded.adapter.prepare(image.pixels, "trained"), layers)
    yield explain(image, evidence, Options(method="hirescam"), milliseconds={})
    del TASKS["count"]


def test_new_task_is_a_row_of_the_table(counted: Explanation, tmp_path: Path) -> None:
    words = f"{counted.model.name} counts {counted.predictions[0].label}."
    assert counted.task.title == "Count" and describe(counted, "red").headline.startswith(words)
    assert words in counted.save(tmp_path / "report.html").read_text("utf-8")
    assert kind_of("count") is kind_of("classify")


def test_class_scorer_weighs_the_best_other_class() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5], [0.0, 3.0, 1.0]])
    adapter = SimpleNamespace(class_logits=lambda _: logits, class_scores=lambda _: logits.softmax(1))
    evidence = SimpleNamespace(loaded=SimpleNamespace(adapter=adapter))
    answers = Scorer().follow(evidence, Target(0, "a", (), "contrast"), Options())(None)
    assert answers.score.tolist() == pytest.approx([0.62853, 0.04201], abs=1e-5)
    assert answers.value.tolist() == [1.0, -3.0] and answers.stays.tolist() == [True, False]


@pytest.mark.parametrize(("movement", "left"), [(Movement((3, 5)), 15.0), (Movement(mirrored=True), 70.0)])
def test_box_scorer_finds_a_moved_box(movement: Movement, left: float) -> None:
    down = movement.shift[0]
    first = torch.tensor([[10.0, 10, 30, 40]])
    moved = torch.tensor([[60.0, 60, 80, 80], [left, 10.0 + down, left + 20, 40.0 + down]])

    def outputs(boxes: Tensor, *scores: float) -> Any:
        loaded = SimpleNamespace(adapter=SimpleNamespace(labels=("star",)))
        geometry = SimpleNamespace(content=(0, 0, 100, 100))
        answers = SimpleNamespace(boxes=boxes[None], scores=torch.tensor([[scores]]))
        return SimpleNamespace(outputs=answers, loaded=loaded, geometry=geometry)

    before = SimpleNamespace(evidence=outputs(first, 0.9), options=Options())
    again = BoxScorer().find_again(before, outputs(moved, 0.8, 0.7), movement, Target(0, "star", (0,)))
    assert again[0] == pytest.approx(0.7) and again[1] == "star" and again[2].anchors == (1,)
