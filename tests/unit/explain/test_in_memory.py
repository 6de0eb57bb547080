"""A model that is in memory is explained as it is, stays as it was, and is freed with its last user."""

from __future__ import annotations

import gc
import html
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torchvision import models as torchvision_models
from torchvision import transforms

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.explainer import EVIDENCE
from sightglass.models.preprocess import Preprocessing
from sightglass.report.html_report import html as report
from tests.unit import own_nets

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
EVALUATION = transforms.Compose(
    [transforms.Resize(128), transforms.CenterCrop(112), transforms.ToTensor(), transforms.Normalize(**NUMBERS)]
)
NAMES = ["healthy", "rust", "blight", "mould", "spot"]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return torchvision_models.resnet18(num_classes=5)


def test_a_module_answers_as_it_does_on_what_its_own_transform_makes(net: nn.Module, bus: Path) -> None:
    net.eval()
    explainer = Explainer(net, preprocess=EVALUATION, labels=NAMES, layers=[net.layer4[-1]], name="leaves")
    made = explainer(bus, targets=["rust"])
    tensor = EVALUATION(Pillow.open(bus).convert("RGB"))[None]
    with torch.no_grad():
        expected = net(tensor).softmax(1)[0]
    assert made.model.id == "leaves"
    assert made.heatmaps[0].layers == ("layer4.1",)
    assert {p.label: p.score for p in made.predictions} == pytest.approx(
        dict(zip(NAMES, expected.tolist(), strict=True)), abs=1e-4
    )
    assert made.recipe.prepared == Preprocessing((112, 112), 128, tuple(NUMBERS["mean"]), tuple(NUMBERS["std"]))


def test_a_model_is_freed_with_its_last_user(bus: Path) -> None:
    net = own_nets.BlocksCNN(num_classes=3, width=4)
    explainer = Explainer(net, preprocess=EVALUATION)
    explainer(bus, top_k=1)
    module = weakref.ref(explainer.resident.adapter.module)
    del explainer
    gc.collect()
    assert module() is None
    assert not EVIDENCE.values() or all(
        type(e.resident.adapter.module) is not own_nets.BlocksCNN for e in EVIDENCE.values()
    )


def test_layers_by_module_path_preset_or_position(net: nn.Module) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    paths = [layer.path for layer in explainer.layers]
    for given in (net.layer3[1], "layer3.1", [net.layer3[1]], -1, [paths[0], net.layer4]):
        found = explainer._paths(given)
        assert found in ("layer3.1", ("layer3.1",), paths[-1], (paths[0], "layer4"))
    with pytest.raises(ModelProblem, match="no part of ResNet"):
        Explainer(net, layers=[nn.ReLU()])
    with pytest.raises(ModelProblem, match="There is no layer -99"):
        explainer._paths(-99)


def test_arrays_of_the_three_colours_the_other_way_round_are_the_same_picture(net: nn.Module, bus: Path) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    pixels = np.asarray(Pillow.open(bus).convert("RGB"))
    expected = explainer(pixels, top_k=1).predictions[0].score
    assert explainer(pixels[..., ::-1], top_k=1, bgr=True).predictions[0].score == expected
    with pytest.raises(ModelProblem, match="bgr is for arrays"):
        explainer(bus, bgr=True)


def test_a_tensor_that_is_ready_goes_straight_in(net: nn.Module, bus: Path) -> None:
    tensor = EVALUATION(Pillow.open(bus).convert("RGB"))[None]
    with torch.no_grad():
        expected = net.eval()(tensor).softmax(1).max()
    for preprocess in (None, EVALUATION):
        made = Explainer(net, preprocess=preprocess)(tensor, top_k=1)
        assert made.predictions[0].score == pytest.approx(float(expected), abs=1e-5)
        assert made.image.pixels.shape == (112, 112, 3)
        assert made.heatmaps[0].values.shape == (112, 112)
        assert made.recipe.preprocessing == "ready"


def test_a_list_goes_through_the_model_in_batches(
    net: nn.Module, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(net, preprocess=EVALUATION, labels=NAMES)
    five = [*pictures, pictures[0]][:5]
    rows: list[list[Any]] = [["rust"], [0], ["spot", "mould"], [1], [2]]
    alone = [explainer(one, targets=row) for one, row in zip(five, rows, strict=True)]
    EVIDENCE.clear()
    count: list[int] = []
    forward = Evidence._forward
    monkeypatch.setattr(Evidence, "_forward", lambda self: (count.append(len(self.tensor)), forward(self))[1])
    seen: list[float] = []
    made = explainer(list(five), progress=lambda share, _: seen.append(share), targets=rows)
    assert len(count) == 2 and max(count) <= 4
    assert seen[0] == 0 and all(0 <= share < 1 for share in seen)
    for one, single in zip(made, alone, strict=True):
        assert one.recipe == single.recipe
        assert one.predictions[0].score == pytest.approx(single.predictions[0].score, abs=1e-5)
        for got, expected in zip(one.heatmaps, single.heatmaps, strict=True):
            assert got.target == expected.target
            np.testing.assert_allclose(got.at_input, expected.at_input, atol=1e-4)
    # What is asked later of one of them is its own.
    again = made[1].with_targets(4).heatmaps[0]
    np.testing.assert_allclose(again.at_input, alone[1].with_targets(4).heatmaps[0].at_input, atol=1e-4)


def test_a_list_of_different_kinds_is_explained_one_by_one_where_it_must(net: nn.Module, bus: Path) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    ready = EVALUATION(Pillow.open(bus).convert("RGB"))
    large = nn.functional.interpolate(ready[None], 128)[0]
    made = explainer([bus, ready, large, bus])
    assert [one.heatmaps[0].at_input.shape for one in made] == [(112, 112), (112, 112), (128, 128), (112, 112)]
    assert explainer([]) == []
    assert [one.heatmaps for one in explainer([bus, bus], maps=False)] == [(), ()]
    for several in ((bus, ready), deque([bus, ready]), ()):
        assert [one.image.name for one in explainer(several)] == [one.image.name for one in made[: len(several)]]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        explainer([bus, bus], cancel=stop)


@pytest.mark.parametrize(
    "preprocess",
    [
        lambda picture: EVALUATION(picture),
        transforms.Compose([transforms.Lambda(abs), *EVALUATION.transforms]),
        transforms.Compose([transforms.CenterCrop(500), *EVALUATION.transforms]),
    ],
)
def test_a_preprocess_that_cannot_be_read_is_one_sentence(net: nn.Module, preprocess: Any) -> None:
    with pytest.raises(ModelProblem, match=r"cannot be read: leave only .*give the tensor|resizes after another step"):
        Explainer(net, preprocess=preprocess)


def test_other_libraries_objects(bus: Path) -> None:
    import timm
    import transformers

    small = timm.create_model("mobilenetv3_small_050", num_classes=4)
    assert Explainer(small).resident.adapter.resizing == "256 → 224, bicubic"
    names = {0: "rust", 1: "blight", 2: "none"}
    config = transformers.MobileNetV2Config(image_size=64, depth_multiplier=0.25, id2label=names)
    net = transformers.MobileNetV2ForImageClassification(config)
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64}, resample=3)
    made = Explainer(net, preprocess=processor)(bus, top_k=3)
    assert {p.label for p in made.predictions} == set(names.values())
    assert made.evidence.resident.adapter.resizing == "squeezed to 64, bicubic"


def test_what_is_no_model_is_one_sentence(net: nn.Module) -> None:
    with pytest.raises(ModelProblem, match="A int is no model"):
        Explainer(3)
    with pytest.raises(ModelProblem, match="has 5 classes and `labels` names 2: give as many names as classes"):
        Explainer(net, labels=["a", "b"])
    with pytest.raises(ModelProblem, match="has its own preprocessing"):
        Explainer("efficientnet-lite0", labels=["a"])


def test_what_is_wrong_with_a_model_in_memory_is_said_in_python_s_words(net: nn.Module) -> None:
    """There is no table to write into, no id for the command line, and no file that anybody has seen."""
    with pytest.raises(ModelProblem, match=r"nearest is layer4\.1; `layers` of the Explainer lists all\.$"):
        Explainer(net, layers="layer4_1")
    with pytest.raises(ModelProblem, match=r'ResNet takes no picture 2 x 2 .*: say preprocess={"size": \.\.\.}\.$'):
        Explainer(nn.Sequential(nn.AvgPool2d(7), net), preprocess={"size": 2}, name="ResNet")
    with pytest.raises(ModelProblem, match="A scripted module has no layers here: give the module"):
        Explainer(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())))


def test_a_notebook_shows_the_live_report(net: nn.Module, bus: Path) -> None:
    made = Explainer(net, preprocess=EVALUATION, labels=["<b>", *NAMES[1:]])(bus, targets=[0])
    shown = made._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    document = html.unescape(shown.partition('srcdoc="')[2].partition('" sandbox="allow-scripts"')[0])
    assert document.strip() == report([made]).strip()
    assert "default-src &#39;none&#39;" in document or "default-src 'none'" in document
