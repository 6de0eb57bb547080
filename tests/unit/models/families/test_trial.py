"""What a network takes and what its numbers are is tried on photographs; the expected values are its own forward's."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image as Pillow
from torch import nn
from torch.nn import functional as F
from torchvision.models import segmentation
from torchvision.transforms.functional import to_tensor

from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain import Explainer
from sightglass.models.checkpoints import weights
from sightglass.models.families.custom.classifier import usual_sizes
from sightglass.models.labels import class_index
from sightglass.models.load import inspect_model
from sightglass.models.spec import TASKS
from tests.unit import own_nets


def to_range(x: torch.Tensor) -> torch.Tensor:
    return (x - x.amin()) / (x.amax() - x.amin())


def to_unit(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


def blocks(answer: Callable[..., Any], count: int = 4) -> nn.Module:
    return own_nets.Answering(own_nets.BlocksCNN(count), answer)


def small(net: own_nets.BlocksCNN) -> nn.Module:
    """Keep the logits of a network in 0..1."""
    nn.init.normal_(net.fc.weight, std=1e-4)
    nn.init.constant_(net.fc.bias, 0.5)
    return net


ANSWERS: dict[str, tuple[Callable[[], nn.Module], str | None, str]] = {
    "range, softmax": (lambda: blocks(lambda net, x: (4 * net(to_range(x))).softmax(1)), None, "classify"),
    "unit, softmax": (lambda: blocks(lambda net, x: (4 * net(to_unit(x))).softmax(1)), "classify", "classify"),
    "half softmax": (lambda: blocks(lambda net, x: net(to_unit(x)).softmax(1).half().float()), None, "classify"),
    "percent": (lambda: blocks(lambda net, x: 100 * net(to_unit(x)).softmax(1)), None, "percent"),
    "range, logits": (lambda: blocks(lambda net, x: 4 * net(to_range(x))), None, "logits"),
    "small logits": (lambda: small(own_nets.BlocksCNN(4)), None, "logits"),
    "sigmoids": (lambda: blocks(lambda net, x: net(to_range(x)).sigmoid()), None, "multilabel"),
    "sigmoids of classes": (lambda: blocks(lambda net, x: net(to_unit(x)).sigmoid()), "classify", "multilabel"),
    "softmax of labels": (lambda: blocks(lambda net, x: net(to_unit(x)).softmax(1)), "multilabel", "multilabel"),
    "softmax module of labels": (lambda: own_nets.Softmaxed(4), "multilabel", "multilabel"),
    "softmax module": (lambda: own_nets.Softmaxed(4), None, "classify"),
    "softmax of the batch": (lambda: nn.Sequential(own_nets.BlocksCNN(4), nn.Softmax(0)), None, "multilabel"),
    "one sigmoid": (lambda: blocks(lambda net, x: net(to_range(x)).sigmoid(), 1), None, "yes or no"),
    "one sigmoid module": (own_nets.YesNo, None, "yes or no"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_scores_are_the_modules_own(kind: str, bus: Path) -> None:
    torch.manual_seed(3)
    make, task, meaning = ANSWERS[kind]
    net = make().eval()
    result = Explainer(net, preprocess={"size": 64}, task=task)(bus, top_k=4, maps=False)
    assert result.model.task == ("multilabel" if meaning == "multilabel" else "classify")
    with torch.no_grad():
        own = net(result.evidence.tensor)
    scores = {"logits": own.softmax(1), "percent": own / 100, "yes or no": torch.cat((1 - own, own), 1)}
    expected = dict(enumerate(scores.get(meaning, own)[0].tolist()))
    assert {p.index: p.score for p in result.predictions} == pytest.approx(expected, abs=1e-4)


class Patches(nn.Module):
    """A transformer with linear patches, and learnt positions if `side` is fixed."""

    def __init__(self, patch: int, side: int = 0) -> None:
        super().__init__()
        self.patch, self.rows = patch, nn.Linear(3 * patch**2, 16)
        self.positions = nn.Parameter(torch.randn(1, (side // patch) ** 2, 16)) if side else 0
        self.encoder, self.head = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
        return self.head(self.encoder(self.rows(rows) + self.positions).mean(1))


def backwards(*parts: nn.Module) -> nn.Module:
    """Run modules in another order than they are registered in."""
    return own_nets.Answering(nn.Sequential(*parts), lambda net, x: nn.Sequential(*reversed(net))(x))


def unet(count: int = 3) -> nn.Module:
    """Halve a picture and double it again, for a map of each class."""
    inner = nn.Sequential(*[own_nets.block(16 if i else 3, 16) for i in range(5)], nn.Upsample(scale_factor=32))
    parts = nn.ModuleList([inner, nn.Conv2d(19, count, 3, padding=1)])
    return own_nets.Answering(parts, lambda net, x: net[1](torch.cat([net[0](x), x], 1)))


def stated(net: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


def body(channels: int = 3, *rest: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 16, 3, 4), nn.ReLU(), nn.Conv2d(16, 32, 3, 4), nn.ReLU(), *rest)


CONFIG = {"input_size": (3, 96, 96)}
POOL, FLAT, HEAD = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)
INPUTS: dict[str, tuple[Callable[[], nn.Module], int, tuple[int, int], str]] = {
    "head first": (lambda: backwards(HEAD, FLAT, POOL, body()), 3, (224, 224), "it takes 224 x 224"),
    "grey, head first": (lambda: backwards(HEAD, FLAT, POOL, body(1)), 1, (224, 224), "it takes"),
    "grey, unshuffled": (lambda: nn.Sequential(nn.PixelUnshuffle(2), body(4, POOL, FLAT)), 1, (224, 224), "it takes"),
    "linear patches": (lambda: Patches(16), 3, (224, 224), "it takes 224 x 224"),
    "positions": (lambda: Patches(8, 96), 3, (96, 96), "it takes 96 x 96"),
    "odd side": (lambda: nn.Sequential(FLAT, nn.Linear(3 * 20 * 20, 5)), 3, (20, 20), "it takes 20"),
    "grey numbers": (lambda: nn.Sequential(FLAT, nn.Linear(28 * 28, 5)), 1, (28, 28), "it takes 28 x 28"),
    "flattened": (lambda: body(3, FLAT, nn.Linear(32 * 64, 5)), 3, (128, 128), "it takes 128"),
    "dictionary": (own_nets.Fixed, 1, (64, 64), "it takes 64 x 64"),
    "stated": (lambda: stated(body(3, POOL, FLAT), img_size=(96, 160)), 3, (96, 160), "its img_size"),
    "configured": (lambda: stated(body(3, POOL, FLAT), default_cfg=CONFIG), 3, (96, 96), "its def"),
    "full resolution": (unet, 3, (224, 224), "it takes 224 x 224"),
}


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"input_shape": (96, 160, 3)}, (96, 160)),
        ({"image_size": 96.0}, (96, 96)),
        ({"image_size": "96"}, (96, 96)),
        ({"imgsz": ["96", "160"]}, (96, 160)),
        ({"img_size": "96x160"}, (96, 160)),
        ({"img_size": "(96, 160)"}, (96, 160)),
        ({"hparams": {"img_size": np.float64(96)}}, (96, 96)),
        ({"config": SimpleNamespace(input_size=torch.Size((3, 96, 96)))}, (96, 96)),
        ({"image_size": float("nan")}, (224, 224)),
    ],
)
def test_a_stated_size_is_used(attributes: dict[str, Any], size: tuple[int, int]) -> None:
    net = stated(body(3, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)), **attributes)
    assert Explainer(net, device="cpu").loaded.adapter.preprocessing.size == size


def test_the_features_of_a_recurrent_layer_are_no_size() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 96 * 96, 64), nn.LSTM(64, 5))
    assert [size for size, _ in usual_sizes(net)][:2] == [(224, 224), (32, 32)]


@pytest.mark.parametrize("kind", INPUTS)
def test_input_is_found_by_running(kind: str) -> None:
    make, channels, size, why = INPUTS[kind]
    adapter: Any = Explainer(make(), device="cpu").loaded.adapter
    assert (adapter.preprocessing.channels, adapter.preprocessing.size) == (channels, size)
    assert f"inferred ({why}" in " ".join(adapter.notes)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (nn.Sequential(nn.Conv3d(3, 4, 3), FLAT), "begins with a Conv3d, which takes volumes or clips"),
        (nn.Sequential(nn.Conv3d(1, 4, 3), FLAT), "begins with a Conv3d"),
        (nn.Sequential(nn.Conv1d(1, 4, 3), FLAT), "a Conv1d, which takes sequences, such as sound"),
        (nn.Sequential(nn.Embedding(9, 4), FLAT), "an? Embedding, which takes numbers of words"),
        (nn.Sequential(own_nets.BlocksCNN(), nn.Linear(9, 2)), r"do not fit each other \(.*1x10 and 9x2"),
        (blocks(lambda net, x: x.nothing), r"cannot run on a picture .* has no attribute 'nothing'\)"),
        (torchvision.models.alexnet().to("meta"), "is on the device meta"),
        (blocks(lambda net, x: x.flatten(1).argmax(1)), "returns a whole number, .*: return the scores"),
    ],
)
def test_network_without_picture(net: nn.Module, sentence: str) -> None:
    with pytest.raises(ModelProblem, match=sentence):
        Explainer(net)


SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES: dict[str, Any] = {**SIZES, "image_size": 64, "patch_size": 16}
STAGES: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4}
PYRAMID: dict[str, Any] = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
TWO: dict[str, Any] = {"text_config": {**SIZES, "vocab_size": 99}, "vision_config": PATCHES, "num_labels": 3}
DETR: dict[str, Any] = {"use_timm_backbone": False, "backbone": None, "d_model": 32, "num_queries": 5} | {
    f"{part}_{key}": value
    for part in ("encoder", "decoder")
    for key, value in {"layers": 1, "attention_heads": 2, "ffn_dim": 32}.items()
}
DEPTH: dict[str, Any] = PATCHES | {"num_hidden_layers": 4, "is_hybrid": False, "backbone_out_indices": [0, 1, 2, 3]}
CLASSES: list[tuple[str, dict[str, Any], str]] = [
    ("ViTModel", PATCHES, "embed"),
    ("CLIPVisionModel", PATCHES, "embed"),
    ("CLIPForImageClassification", TWO, "classify"),
    ("PvtForImageClassification", {**PYRAMID, "num_labels": 3}, "classify"),
    ("DPTForDepthEstimation", DEPTH, "regress"),
    ("IJepaModel", PATCHES, "has no vector of a picture"),
    ("SamModel", {"vision_config": PATCHES}, "under mask generation: give a model for image classification"),
    ("VideoMAEForVideoClassification", PATCHES, "under video classification"),
    ("VideoMAEModel", PATCHES, "failed on pictures as"),
    ("ASTForAudioClassification", SIZES, "under audio classification"),
    ("ImageGPTForImageClassification", {"n_embd": 32, "n_layer": 1, "n_head": 2}, "takes input_ids and is listed"),
    ("CLIPModel", TWO, "reads words too"),
    ("OwlViTForObjectDetection", TWO, "under zero shot object detection"),
    ("DetrForObjectDetection", DETR, "draws boxes, .*: give it as preprocess"),
]


def transformers_net(arch: str, config: dict[str, Any]) -> Any:
    transformers = pytest.importorskip("transformers")
    if config is DETR:
        config = DETR | {"backbone_config": transformers.ResNetConfig(**STAGES, out_features=["stage4"])}
    kind = getattr(transformers, arch)
    return kind(kind.config_class(**config)).eval()


@pytest.mark.parametrize(("arch", "config", "expected"), CLASSES, ids=[arch for arch, *_ in CLASSES])
def test_task_of_class(arch: str, config: dict[str, Any], expected: str, tmp_path: Path) -> None:
    net = transformers_net(arch, config)
    if expected not in TASKS:
        with pytest.raises(ModelProblem, match=expected):
            Explainer(net)
        return
    assert Explainer(net).model.task == expected
    if expected != "embed":
        net.save_pretrained(tmp_path)
        assert inspect_model(tmp_path).table["task"] == expected
        count = 1 if expected == "regress" else net.config.num_labels
        assert len(Explainer(tmp_path).loaded.adapter.labels) == count


@pytest.mark.parametrize(
    "arch", ["fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet50_fpn", "ssdlite320_mobilenet_v3_large"]
)
def test_torchvision_detector(arch: str, bus: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = {} if "320" in arch else {"min_size": 96, "max_size": 160}
    net = torchvision.models.get_model(arch, weights=None, weights_backbone=None, num_classes=4, **size).eval()
    result = Explainer(net, labels=["a", "b", "c"])(bus, confidence=0.01, maps=False)
    with Pillow.open(bus) as picture, torch.no_grad():
        expected = net([to_tensor(picture)])[0]
    assert result.predictions[0].score == pytest.approx(float(expected["scores"][0]), abs=1e-4)
    assert result.predictions[0].index == int(expected["labels"][0]) - 1
    torch.save(net.state_dict(), tmp_path / "net.pth")
    explainer = Explainer(tmp_path / "net.pth", arch=arch)
    assert explainer.model.task == "detect" and explainer.labels == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("net", "label", "note"),
    [
        (lambda: own_nets.BlocksCNN(1000, 2), "class 517", "names here: say `labels`, or state task regress"),
        (lambda: unet(21), "class 17", "Its 21 classes have no names here: say `labels`"),
        (torchvision.models.squeezenet1_1, "crane", r"usual ones of its architecture \(tench to toilet tissue\)"),
        (lambda: timm.create_model("resnet10t"), "crane", "usual ones of its architecture"),
        (partial(segmentation.lraspp_mobilenet_v3_large, weights_backbone=None), "sheep", "usual ones"),
        (lambda: timm.create_model("resnet10t", num_classes=0), "", "timm built it without classes"),
        (lambda: blocks(lambda net, x: net(F.dropout(x))), "class 0", "differs from pass to pass"),
    ],
)  # fmt: skip
def test_usual_names(net: Callable[[], nn.Module], label: str, note: str) -> None:
    explainer = Explainer(net(), device="cpu")
    assert (explainer.labels or [""])[{21: 17, 1000: 517}.get(len(explainer.labels), 0)] == label
    assert len([said for said in explainer.loaded.adapter.notes if re.search(note, said)]) == 1


def test_ambiguous_name_is_asked_back() -> None:
    for names in (("crane", "egret", "crane"), ("Crane", "egret", "crane (class 2)"), ("CRANE", "egret", "Crane")):
        with pytest.raises(ModelProblem, match="crane is the name of classes 0 and 2: give the number"):
            class_index("crane", names)
    assert class_index("Crane", ("CRANE", "egret", "Crane")) == 2
    assert [class_index(name, ("crane", "1", "0")) for name in ("2", "1", "0")] == [2, 1, 2]


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_state_dict", "ema_model."])
def test_averaged_weights(key: str, tmp_path: Path) -> None:
    plain, averaged = (torchvision.models.squeezenet1_1(num_classes=3).state_dict() for _ in range(2))
    saved: dict[str, Any] = {"state_dict": plain, key: averaged}
    if key.endswith("."):
        saved = {start + name: value for start in ("model.", key) for name, value in plain.items()}
    torch.save(saved, tmp_path / "net.pth")
    notes = Explainer(tmp_path / "net.pth").loaded.adapter.notes
    assert any("Its weights are those" in note and key.rstrip(".") in note for note in notes)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "net.engine").write_bytes(b"ftrt")
    with pytest.raises(Problem, match="compiled for one kind of machine: give the ONNX file"):
        Explainer(tmp_path / "net.engine")
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in "xy"]
    weight = onnx.numpy_helper.from_array(torch.zeros(1, 3, 8, 8).numpy(), "w")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "net", ends[:1], ends[1:], [weight]))
    onnx.save_model(
        model, tmp_path / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0
    )
    digest, data = weights.sha256_of(tmp_path / "net.onnx"), (tmp_path / "net.onnx.data").read_bytes()
    (tmp_path / "net.onnx.data").write_bytes(data[::-1] + data[:-1])
    assert weights.sha256_of(tmp_path / "net.onnx") != digest
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(Problem, match=r"keeps its weights in net\.onnx\.data, which is missing"):
        Explainer(tmp_path / "net.onnx")
