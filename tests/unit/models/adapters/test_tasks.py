"""What a row of numbers means is told by the names of a network, of its output and of its classes; wrong labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.tasks import check_task, task_of_names
from sightglass.models.geometry import Geometry
from sightglass.models.inspect import inspect_model
from sightglass.models.preprocess import Preprocessing
from tests.unit import own_nets
from tests.unit.models.specs import own_spec


@pytest.mark.parametrize(
    ("names", "count", "labels", "task"),
    [
        (["fsanet_1x1_headpose_op13"], 3, (), "regress"),
        (["AgeNet"], 1, (), "regress"),
        (["AgeNet"], 101, (), None),
        (["AgeNet"], 3, ("young", "middle", "old"), None),
        (["net"], 3, ("Yaw", "pitch", "roll"), "regress"),
        (["osnet_x0_25", "resnet18", "imagenet"], 4, (), None),
        (["stages", "manager", "image"], 2, (), None),
    ],
)
def test_names_tell_the_task(names: list[str], count: int, labels: tuple[str, ...], task: str | None) -> None:
    assert task_of_names(names, count, labels) == task


def test_a_wrong_task_is_one_sentence() -> None:
    with pytest.raises(ModelProblem, match="task is 'regresion': did you mean regress"):
        check_task("regresion")
    with pytest.raises(ModelProblem, match="use one of classify, multilabel, regress, embed"):
        check_task("detect")


def test_a_draft_says_what_the_name_says_and_takes_few_numbers_for_classes(tmp_path: Path) -> None:
    named, unnamed, many = tmp_path / "headpose.pth", tmp_path / "mine.pth", tmp_path / "plants.pth"
    torch.save(own_nets.HeadPose().state_dict(), named)
    torch.save(own_nets.HeadPose().state_dict(), unnamed)
    torch.save(own_nets.BlocksCNN(10).state_dict(), many)
    draft = inspect_model(named, f"{own_nets.__file__}:HeadPose")
    assert draft.table["task"] == "regress" and any("taken for a regression" in note for note in draft.notes)
    assert inspect_model(unnamed).table["task"] == "classify"
    assert "task" not in inspect_model(many).table


def test_fewer_labels_than_classes_are_one_sentence() -> None:
    spec = own_spec("leaf", "own", "leaf")
    half = (0.5, 0.5, 0.5)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    adapter = Classifier(spec, net, ("oak", "elm"), Preprocessing((8, 8), 8, half, half), "leaf")
    outputs = adapter.run(torch.zeros(1, 3, 8, 8))
    geometry = Geometry((8, 8), (8, 8), (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(ModelProblem, match="leaf has 4 classes but 2 labels: give it a file with one label for each"):
        adapter.decode(outputs, geometry, top_k=4, confidence=0.25, iou=0.7)
