"""What a module states and returns is read as it is meant, or refused with a sentence that names it."""

from __future__ import annotations

import collections
import dataclasses
import types
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import transforms

from sightglass.common.errors import AnswerProblem, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from tests.unit import own_nets
from tests.unit.explain.test_in_memory import PICTURE, PLAIN, Net


@dataclasses.dataclass
class Answer:
    scores: Tensor
    features: Any = None


class Slotted:
    __slots__ = "scores"

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores


Row = collections.namedtuple("Row", "scores maps")


class Answering(Net):
    """It returns its row in some form."""

    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        return self.form(super().forward(x))


def cyclic(row: Tensor) -> Any:
    answer = types.SimpleNamespace(scores=row)
    answer.itself = answer
    return answer


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "dataclass": Answer,
    "dataclass with features": lambda row: Answer(row, [row[..., None, None].expand(-1, -1, 8, 8)]),
    "slots": Slotted,
    "namespace": lambda row: types.SimpleNamespace(scores=row, version=3),
    "named tuple": lambda row: Row(row, row[..., None, None].expand(-1, -1, 8, 8)),
    "dataclass in a dictionary": lambda row: {"head": Answer(row)},
    "distribution": lambda row: torch.distributions.Categorical(logits=row, validate_args=False),
    "cyclic": cyclic,
    "squeezed": lambda row: row.squeeze(),
    "squeezed in a dictionary": lambda row: {"logits": row.squeeze(0)},
    "first row": lambda row: row[0],
    "beside a loss": lambda row: {"row": row, "loss": row.sum()},
}


def explain(net: nn.Module, **options: Any) -> Explanation:
    return Explainer(net, preprocess=PLAIN, **options)(PICTURE, method="gradcam", targets=[1])


@pytest.mark.parametrize("form", FORMS)
def test_a_row_in_any_form_is_the_answer(form: str) -> None:
    torch.manual_seed(1)
    net = Answering(FORMS[form])
    plain = Net()
    plain.load_state_dict(net.state_dict())
    explanation, expected = explain(net), explain(plain)
    np.testing.assert_array_equal(explanation.heatmaps[0].values, expected.heatmaps[0].values)
    assert [p.index for p in explanation.predictions] == [p.index for p in expected.predictions]
    assert [p.score for p in explanation.predictions] == pytest.approx([p.score for p in expected.predictions])


@pytest.mark.parametrize("form", ["squeezed", "first row"])
def test_several_pictures_of_a_squeezed_row(form: str) -> None:
    explainer = Explainer(Answering(FORMS[form]), preprocess=PLAIN)
    together = explainer([PICTURE, 255 - PICTURE], top_k=2)
    alone = [explainer(picture, top_k=2) for picture in (PICTURE, 255 - PICTURE)]
    assert [each.predictions for each in together] == [each.predictions for each in alone]


def test_one_squeezed_number() -> None:
    net = own_nets.Answering(own_nets.BlocksCNN(1), lambda net, x: net(x).squeeze())
    predictions = Explainer(net, preprocess=PLAIN)(PICTURE).predictions
    assert {p.label for p in predictions} == {"no", "yes"}


@pytest.mark.parametrize(("count", "task"), [(3, "segment"), (1, "regress")])
def test_squeezed_map(count: int, task: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, count, 1))
    squeezed = own_nets.Answering(net, lambda net, x: net(x).squeeze())
    maps = [Explainer(each, preprocess=PLAIN, task=task)(PICTURE, top_k=1) for each in (net, squeezed)]
    assert maps[0].heatmaps[0].values.any()
    np.testing.assert_array_equal(maps[0].heatmaps[0].values, maps[1].heatmaps[0].values)


BOXES: dict[str, Callable[[Tensor], Any]] = {
    "queries": lambda row: {"pred_logits": row[:, None], "pred_boxes": torch.rand(1, 1, 4)},
    "object": lambda row: types.SimpleNamespace(pred_logits=row[:, None], pred_boxes=torch.rand(1, 1, 4)),
    "list": lambda row: [{"boxes": torch.rand(3, 4), "labels": torch.arange(3), "scores": torch.rand(3)}],
    "tuple of names": lambda row: Boxes(row[:, None], torch.rand(1, 1, 4)),
}
Boxes = collections.namedtuple("Boxes", "scores bbox")


@pytest.mark.parametrize("form", BOXES)
def test_boxes_are_called_boxes(form: str) -> None:
    with pytest.raises(ModelProblem, match=r"Answering returns boxes: give a detector .*, or wrap it in a module"):
        Explainer(Answering(BOXES[form]), preprocess=PLAIN)


class ChannelsLast(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2))


@pytest.mark.parametrize("preprocess", [None, PLAIN, {"size": [32, 48]}])
def test_channels_last_are_named(preprocess: Any) -> None:
    with pytest.raises(ModelProblem, match=r"takes pictures with their channels last, .*: wrap it in .*permute\(0, 2"):
        Explainer(ChannelsLast(), preprocess=preprocess)


STATED = {
    "number": 40,
    "NumPy's": np.int64(40),
    "pair": (40, 40),
    "list": [40, 40],
    "pair of NumPy's": (np.int32(40), np.int32(40)),
    "array": np.array([40, 40]),
    "tensor": torch.tensor([40, 40]),
    "channels last": (40, 40, 3),
    "channels first": (3, 40, 40),
    "torch.Size": torch.Size([3, 40, 40]),
    "with a batch": (None, 40, 40, 3),
    "by name": {"height": 40, "width": 40},
}


@pytest.mark.parametrize("form", STATED)
def test_stated_size_in_any_form(form: str) -> None:
    net = own_nets.BlocksCNN()
    net.image_size = STATED[form]
    adapter: Any = Explainer(net).loaded.adapter
    assert adapter.preprocessing.size == (40, 40)
    assert "inferred (its image_size)" in " ".join(adapter.notes)


@pytest.mark.parametrize(
    ("channels", "stated", "size"),
    [(1, (28, 28, 1), (28, 28)), (1, (1, 28, 20), (28, 20)), (5, (40, 48, 5), (40, 48)), (5, (5, 40, 48), (40, 48))],
)
def test_stated_size_of_other_channels(channels: int, stated: Any, size: tuple[int, int]) -> None:
    net = nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    net.image_size = stated
    adapter: Any = Explainer(net).loaded.adapter
    assert (adapter.preprocessing.channels, adapter.preprocessing.size) == (channels, size)


@pytest.mark.parametrize("value", ["large", True, (0, 40), (40.5, 40.5), None, [], {"edge": 40}])
def test_what_is_no_size_is_passed_over(value: Any) -> None:
    net = own_nets.BlocksCNN()
    net.image_size = value
    adapter: Any = Explainer(net).loaded.adapter
    assert "image_size" not in " ".join(adapter.notes)


def test_size_with_channels_in_preprocess_is_refused() -> None:
    with pytest.raises(ModelProblem, match=r"size in it is \[40, 40, 3\], and should be one number or \[height, width"):
        Explainer(Net(), preprocess={"size": (40, 40, 3)})


def small(picture: Any) -> np.ndarray:
    return cv2.resize(np.asarray(picture), (32, 32))


SWAPS: dict[str, Any] = {
    "cvtColor": lambda picture: cv2.cvtColor(small(picture), cv2.COLOR_BGR2RGB),
    "slice": lambda picture: small(picture)[..., ::-1].transpose(2, 0, 1) / 255,
    "by its own numbers": lambda picture: (small(picture)[..., ::-1] - 100.0) / (small(picture).std() + 1),
    "Lambda": transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor(), lambda x: x[[2, 1, 0]]]),
}
KEEPS: dict[str, Any] = {
    "as it is": small,
    "HSV": lambda picture: cv2.cvtColor(small(picture), cv2.COLOR_RGB2HSV),
    "grey": lambda picture: np.repeat(small(picture).mean(2)[None], 3, 0),
}


@pytest.mark.parametrize("name", [*SWAPS, *KEEPS])
def test_swapped_colours_are_noted(name: str) -> None:
    explainer = Explainer(Net(), preprocess=SWAPS.get(name) or KEEPS[name])
    notes = [note for note in explainer(PICTURE, maps=False).notes if "puts blue first (BGR)" in note]
    assert len(notes) == (name in SWAPS)


class OneNaN(Net):
    def forward(self, x: Tensor) -> Tensor:
        row = super().forward(x)
        return torch.cat([row[:, :2], row[:, 2:3].detach() * float("nan"), row[:, 3:]], 1)


def with_nan_weights() -> nn.Module:
    net = Net()
    net.fc.weight.data[2] = float("nan")
    return net


@pytest.mark.parametrize("make", [OneNaN, with_nan_weights])
def test_one_class_that_is_nan_is_left_out(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    net = make()
    plain = Net()
    plain.load_state_dict(net.state_dict() | {"fc.weight": net.fc.weight.nan_to_num()})
    plain.fc.bias.data[2] = -torch.inf
    explanation, expected = explain(net), explain(plain)
    np.testing.assert_allclose(explanation.heatmaps[0].values, expected.heatmaps[0].values, atol=1e-5)
    scores = {p.index: p.score for p in expected.predictions}
    assert {p.index: p.score for p in explanation.predictions} == pytest.approx(scores, abs=1e-6)
    assert "Its answer for class 2 is NaN: this class is left out." in explanation.notes


def test_sigmoids_of_which_one_is_nan_stay_probabilities() -> None:
    net = own_nets.Answering(OneNaN(), lambda net, x: net(4 * x).sigmoid())
    explanation = Explainer(net, preprocess=PLAIN)(PICTURE)
    assert explanation.model.task == "multilabel"
    with torch.no_grad():
        picture = torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255
        expected = dict(enumerate(net.eval()(picture)[0].nan_to_num(0).tolist()))
    scores = {p.index: p.score for p in explanation.predictions}
    assert scores == pytest.approx(expected, abs=1e-4)


def test_an_answer_of_nothing_but_nan_is_refused() -> None:
    net = Net()
    net.fc.bias.data[:] = float("nan")
    with pytest.raises(AnswerProblem, match="answers NaN for this picture"):
        explain(net)


class Wrapper(Net):
    """A model of Transformers with adapters, as PEFT wraps it."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.base_model = nn.Identity()
        self.base_model.config = types.SimpleNamespace(id2label=names)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (dict(enumerate(["rust", "blight", "mould", "spot", "none"])), "blight"),
        ({number: f"LABEL_{number}" for number in range(5)}, "class 1"),
        ({0: "no", 1: "yes"}, "class 1"),
    ],
)
def test_names_of_a_wrapped_model(names: dict[int, str], label: str) -> None:
    assert explain(Wrapper(names)).heatmaps[0].target.label == label


def test_measuring_warns_of_nothing() -> None:
    """Where warnings are errors, as here, another path would be taken than by users."""
    nets = [Net(), own_nets.BlocksCNN(), nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(4, 3))]
    for net, size in zip(nets, (32, 16, 8), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            survey = Explainer(net, preprocess={"size": size}).loaded.survey
        assert "" not in survey.notes
