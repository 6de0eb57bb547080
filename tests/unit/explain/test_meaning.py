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
from sightglass.explain.findings.diagnosis import describe_map, headline
from sightglass.explain.phrases import quantity
from sightglass.export import caption
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


def test_numbers_are_numbers_with_their_unit(halves: NDArray[np.uint8]) -> None:
    made = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, unit="°")(halves)
    assert made.model.task == "regress"
    assert {p.label: round(p.score, 2) for p in made.predictions} == {"yaw": 15.0, "pitch": 10.0, "roll": -2.5}
    assert headline(made, "yellow") == (
        "HeadPose gives yaw 15°, pitch 10°, roll −2.5°. Red raises yaw; blue, in dashed lines, lowers it."
    )
    assert describe_map(made).startswith("What raises or lowers **yaw** is strongest spread over the whole picture")
    assert caption.title(made, 2) == "roll, −2.5°"
    assert "(what raises or lowers it)" in caption.caption(made, 0) and "%" not in caption.caption(made, 0)
    assert not [one for one in made.diagnosis if "sure" in one.text or "class" in one.text.replace("class=", "")]


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "occlusion", "drise"])
def test_what_raises_and_what_lowers_a_number_are_two_maps(halves: NDArray[np.uint8], method: str) -> None:
    explainer = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE)
    for part, left in (("class", True), ("lowers", False)):
        (values,) = (one.values for one in explainer(halves, targets=["yaw"], part=part, method=method).heatmaps)
        assert bool(values[:, :14].mean() > 3 * values[:, 18:].mean()) is left, part


def test_a_number_has_no_contrast_and_no_probability_to_test(halves: NDArray[np.uint8]) -> None:
    made = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE)(halves)
    with pytest.raises(ModelProblem, match="cannot explain contrast: use one of signed, class, lowers"):
        made.with_options(part="contrast")
    with pytest.raises(ModelProblem, match="gives numbers: this test needs a class"):
        made.prove()


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


def test_a_network_without_maps_is_explained_by_hiding(halves: NDArray[np.uint8]) -> None:
    made = Explainer(own_nets.Flat(), preprocess={"mean": [0.5] * 3, "std": [0.5] * 3})(halves, masks=30)
    assert made.heatmaps[0].method == "drise" and made.evidence.geometry.input == (16, 16)
    assert "None of its layers returns a map: maps come from hiding parts of the picture." in made.notes
    with pytest.raises(ModelProblem, match="no layer of it can be seen: use RISE or Occlusion"):
        made.with_method("gradcam")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (own_nets.Flat, r"Flat is a class: give a network made of it, Flat\(\)"),
        (own_nets.Flat().state_dict(), "These are weights without their network: load them into it"),
        (lambda x: x, "is a function: give the network that it makes or calls"),
        (own_nets.WithNumbers(), r"takes two inputs \(x, numbers\): say inputs .* if both are pictures, else wrap it"),
    ],
)
def test_what_cannot_be_explained_says_what_it_is(model: Any, words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        Explainer(model, preprocess=PLAIN)


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
    ("preprocess", "words"),
    [
        ({"sise": 64}, "unknown key sise: did you mean size"),
        ({"size": "big"}, "size in it is of the wrong kind"),
        ({"mean": [0.5]}, "mean has 1 number, and BlocksCNN takes 3 channels"),
    ],
)
def test_a_wrong_preprocessing_is_one_sentence(preprocess: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        Explainer(blocks(), preprocess=preprocess)


def test_quantities() -> None:
    given = [(-12.44, "°"), (31.2, "years"), (0.8, ""), (12040.3, ""), (0, "")]
    assert [quantity(value, unit) for value, unit in given] == ["−12.4°", "31.2\u00a0years", "0.8", "12,040", "0"]
