"""What a network's numbers mean: classes, several at once, quantities, vectors; and what is said of anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.findings.diagnosis import headline
from sightglass.explain.phrases import quantity
from tests.unit import own_nets

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = {"size": 32, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "crop": "squash"}
POSE = ["yaw", "pitch", "roll"]


@pytest.fixture
def halves() -> NDArray[np.uint8]:
    """Left half red, right half blue."""
    made = np.zeros((32, 32, 3), np.uint8)
    made[:, :16, 0], made[:, 16:, 2] = 255, 255
    return made


def blocks(kind: type[nn.Module] = own_nets.BlocksCNN, *given: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*given).eval()


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "occlusion", "drise"])
def test_what_raises_and_what_lowers_a_number_are_two_maps(halves: NDArray[np.uint8], method: str) -> None:
    explainer = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE)
    for part, left in (("class", True), ("lowers", False)):
        (values,) = (one.values for one in explainer(halves, targets=["yaw"], part=part, method=method).heatmaps)
        assert bool(values[:, :14].mean() > 3 * values[:, 18:].mean()) is left, part


@pytest.mark.parametrize(
    "net", [blocks(own_nets.Tagger, 5), nn.Sequential(blocks(own_nets.BlocksCNN, 5), nn.Sigmoid())]
)
def test_a_probability_for_each_class_is_that_class_s_own(net: nn.Module, halves: NDArray[np.uint8]) -> None:
    made = Explainer(net, preprocess=PLAIN)(halves, method="gradcam", top_k=5)
    assert made.model.task == "multilabel"
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(halves).permute(2, 0, 1)[None] / 255)[0]
    assert {p.index: p.score for p in made.predictions} == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-5)
    hidden = made.with_method("occlusion")
    assert hidden.heatmaps[0].raw_range[1] <= 1


def test_a_vector_is_compared(halves: NDArray[np.uint8]) -> None:
    class Unit(own_nets.BlocksCNN):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.normalize(super().forward(x))

    explainer = Explainer(blocks(Unit, 24), preprocess=PLAIN)
    assert explainer.model.task == "embed" and explainer.labels == ()
    assert explainer(halves).predictions == ()
    assert Explainer(blocks(own_nets.BlocksCNN, 24), preprocess=PLAIN, task="embed").model.task == "embed"


def test_one_of_several_outputs_is_chosen(halves: NDArray[np.uint8]) -> None:
    with pytest.raises(ModelProblem, match=r'Heads returns 2 outputs, age \(1\), gender \(2\): choose .*output="age"'):
        Explainer(blocks(own_nets.Heads), preprocess=PLAIN)
    aged = Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="age", unit="years")(halves)
    assert aged.model.task == "regress" and headline(aged, "y").split(". ")[0].endswith("years")
    sexed = Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="gender", labels=["woman", "man"])(halves)
    assert sum(p.score for p in sexed.predictions) == pytest.approx(1)
    with pytest.raises(ModelProblem, match="has no output 'sex': it returns age, gender"):
        Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="sex")
    with pytest.raises(ModelProblem, match=r"2 outputs, 0 \(1\), 1 \(1\): choose one with output=0"):
        Explainer(blocks(own_nets.Drone), preprocess=PLAIN)
    drone = Explainer(blocks(own_nets.Drone), preprocess=PLAIN, output=0, task="regress", labels=["steering"])(halves)
    with torch.no_grad():
        expected = blocks(own_nets.Drone)(torch.from_numpy(halves).permute(2, 0, 1)[None] / 255)[0]
    assert drone.predictions[0].score == pytest.approx(float(expected), abs=1e-5)


def test_a_wrong_size_is_refused_before_anything_large_is_computed() -> None:
    class Slow(own_nets.BlocksCNN):
        """Refuses every picture, after as long as a large network takes."""

        runs = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            type(self).runs += x.device.type != "meta"
            return self.fc(self.block4(self.block3(self.block2(self.block1(x)))).flatten(1)[:, :7])

    with pytest.raises(ModelProblem, match=r"takes no picture of a usual size with 3 channels \(.*mat1 and mat2"):
        Explainer(blocks(Slow))
    assert Slow.runs == 1
    with pytest.raises(ModelProblem, match=r"takes no picture 64 x 64 with 3 channels \(.*mat1 and mat2"):
        Explainer(blocks(Slow), preprocess={"size": 64})


def test_labels_in_memory_are_what_a_file_may_say(tmp_path: Path) -> None:
    names = ["cat", "dog", "hen"]
    (tmp_path / "a.txt").write_text("\n".join(names), "utf-8")
    (tmp_path / "a.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), "utf-8")
    (tmp_path / "data.yaml").write_text(f"nc: 3\nnames: [{', '.join(names)}]\n", "utf-8")
    ways: list[Any] = [
        names,
        tmp_path / "data.yaml",
        dict(enumerate(names)),
        {name: np.int64(i) for i, name in enumerate(names)},
        tmp_path / "a.txt",
        str(tmp_path / "a.json"),
    ]
    for given in ways:
        assert Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels=given).labels == tuple(names)
    with pytest.raises(ModelProblem, match=r"labels of BlocksCNN cannot be read from nowhere\.txt"):
        Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels="nowhere.txt")
    with pytest.raises(ModelProblem, match=r"indices of 2 classes are not 0 to 1 \(see 4\)"):
        Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels={"cat": 0, "dog": 4})


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (-12.44, "°", "−12.4°"),
        (31.2, "years", "31.2\u00a0years"),
        (0.8, "", "0.8"),
        (12040.3, "", "12,040"),
        (0, "", "0"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
