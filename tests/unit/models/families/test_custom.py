"""An operator's own checkpoint is a model: found out, loaded, explained; where it does not fit it says what does."""

import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sightglass.batch.engines import list_settings
from sightglass.common.errors import Problem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.explain.options import Options
from sightglass.models import catalog
from sightglass.models.checkpoints import architectures
from sightglass.models.load import inspect_model, load
from tests.conftest import asset
from tests.unit import own_nets

NETS = Path(own_nets.__file__)


@pytest.fixture
def folder(tmp_path: Path, models_file: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS.read_text("utf-8"), "utf-8")
    return tmp_path


def table(folder: Path, arch: str, file: str | Path, **weights: Any) -> str:
    """Write the table of a model called mine; returns its id."""
    extra = "".join(f", {key} = {value}" for key, value in weights.items())
    text = f'[model.mine]\nloader = "custom"\narch = "{arch}"\nweights = {{ path = "{file}"{extra} }}\n'
    (folder / "models.toml").write_text(text, "utf-8")
    catalog._merge.cache_clear()
    return "mine"


def loaded(folder: Path, arch: str, file: str | Path, **weights: Any) -> Any:
    return load(catalog.spec(table(folder, arch, file, **weights)))


def explained(name: str, **options: Any) -> Any:
    return Explainer(name, device="cpu", model_cache=ModelCache())(asset("ultralytics", "assets", "bus.jpg"), **options)


def saved(module: nn.Module, path: Path) -> nn.Module:
    torch.save(module.state_dict(), path)
    return module.eval()


def test_blocks_are_explained_at_the_last_of_them(folder: Path) -> None:
    """A custom CNN with block1 to block4 in a Lightning checkpoint, beside the tensors of its loss."""
    torch.manual_seed(0)
    net = own_nets.BlocksCNN(num_classes=5, width=4).eval()
    state = {f"model.{key}": value for key, value in net.state_dict().items()} | {"loss.weight": torch.ones(5)}
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.5"}, folder / "leaf.ckpt")
    result = explained(table(folder, "nets.py:BlocksCNN", "leaf.ckpt", args="{ width = 4 }"), top_k=5)
    (heatmap, *_) = result.heatmaps
    assert (heatmap.layers, heatmap.raw[0].shape, heatmap.state) == (("block4",), (14, 14), "ok")
    with torch.no_grad():
        scores = net(result.evidence.tensor).softmax(1)[0]
    assert {p.index: p.score for p in result.predictions} == pytest.approx(dict(enumerate(scores.tolist())), abs=1e-5)


def heads() -> dict[str, Any]:
    linear, normed = nn.Linear(512, 32), nn.BatchNorm1d(32)
    return {
        "one in a row": nn.Sequential(nn.Dropout(), nn.Linear(512, 3)),
        "two": nn.Sequential(linear, nn.ReLU(), nn.Dropout(), nn.Linear(32, 3)),
        "norm, then ReLU": nn.Sequential(linear, normed, nn.ReLU(), nn.Linear(32, 3)),
        "ReLU, then norm": nn.Sequential(linear, nn.ReLU(), normed, nn.Linear(32, 3)),
        "rows in a row": nn.Sequential(nn.Sequential(linear, nn.ReLU()), nn.Linear(32, 3)),
    }


@pytest.mark.parametrize("kind", heads())
def test_a_head_of_ones_own_is_read_off_the_tensors(kind: str, folder: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    net.fc = heads()[kind]
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.running_mean)
            nn.init.normal_(part.bias)
    saved(net, folder / "net.pth")
    adapter = loaded(folder, "resnet18", "net.pth")
    probe = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(adapter.run(probe).logits, net(probe), atol=1e-6)
    assert len(adapter.labels) == 3


WRONG: dict[str, tuple[str, dict[str, str], str]] = {
    "another size": ("resnet34", {}, r'it lacks layer1\.2\.conv1\.weight and \d+ more; .* say arch = "resnet18"'),
    "another kind": ("mobilenet_v2", {}, r'none of its tensors .* say arch = "resnet18"'),
    "a typo": ("resnet81", {}, "Neither torchvision nor timm has an architecture resnet81: did you mean resnet18"),
    "too few labels": ("resnet18", {"labels": '["a", "b"]'}, r"mine has 15 classes and weights\.labels names 2"),
    "no class": ("nets.py:Plant", {}, "There is no Plant in nets.py: it has .*BlocksCNN, .*Softmaxed, "),
    "code that raises": ("nets.py:Broken", {"args": "{ depth = 3 }"}, r"raised RuntimeError \(no depth 3 here\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named_with_what_would(case: str, folder: Path) -> None:
    arch, options, pattern = WRONG[case]
    saved(torchvision.models.resnet18(num_classes=15), folder / "leaf.pth")
    with pytest.raises(Problem, match=pattern) as caught:
        loaded(folder, arch, "leaf.pth", **options)
    assert "\n" not in str(caught.value)
    with pytest.raises(Problem, match='mine is a model to classify: say task = "classify" in its table'):
        load(replace(catalog.spec(table(folder, "resnet18", "leaf.pth")), task="detect"))


def test_networks_recognised_by_tensors() -> None:
    import timm

    with torch.device("meta"):
        for name in ("resnet34", "efficientnet_b1", "convnext_tiny", "vit_b_16", "swin_t", "densenet121"):
            state = torchvision.models.get_model(name, num_classes=7).state_dict()
            assert architectures.identify(state)[0] == f"torchvision/{name}"
        for name in ("convnext_atto", "swin_tiny_patch4_window7_224", "repvit_m0_9"):
            assert f"timm/{name}" in architectures.identify(timm.create_model(name, num_classes=7).state_dict())


@pytest.mark.parametrize("outer", ["", "model."])
@pytest.mark.parametrize("file", ["net.pth", "folder"])
def test_a_backbone_in_a_larger_network_is_not_taken_for_it(outer: str, file: str, tmp_path: Path) -> None:
    """As segmentation_models_pytorch saves its networks, and `save_pretrained` there writes a folder."""
    encoder = torchvision.models.resnet18().state_dict()
    tensors = {f"{outer}encoder.{key}": value for key, value in encoder.items() if not key.startswith("fc.")}
    tensors |= {f"{outer}decoder.blocks.0.conv1.0.weight": torch.zeros(256, 768, 3, 3)}
    tensors |= {f"{outer}segmentation_head.0.weight": torch.zeros(2, 16, 3, 3)}
    torch.save(tensors, tmp_path / "net.pth")
    (tmp_path / "folder").mkdir()
    save_file(tensors, tmp_path / "folder" / "model.safetensors")
    config = {"_model_class": "Unet", "encoder_name": "resnet18", "classes": 2}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(config), "utf-8")
    draft = inspect_model(tmp_path / file)
    (question,) = (unknown.question for unknown in draft.unknown if unknown.key == "arch")
    assert question.startswith("It holds a resnet18 without its head, and decoder and segmentation_head beside it: ")


def test_looking_runs_no_code_beside_the_file(folder: Path) -> None:
    (folder / "nets.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n{NETS.read_text('utf-8')}", "utf-8")
    torch.save(own_nets.BlocksCNN(), folder / "net.pth")
    (question,) = (unknown for unknown in inspect_model(folder / "net.pth").unknown if unknown.key == "arch")
    assert f"{folder / 'nets.py'}:BlocksCNN" in question.choices
    assert "a whole BlocksCNN" in question.question and not (folder / "ran").exists()


def test_yolov5_checkpoint_is_refused(folder, monkeypatch):
    yolo = types.ModuleType("models.yolo")
    yolo.DetectionModel = type("DetectionModel", (torch.nn.Conv2d,), {"__module__": "models.yolo"})  # type: ignore[attr-defined]
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "models", types.ModuleType("models"))
        context.setitem(sys.modules, "models.yolo", yolo)
        torch.save({"model": yolo.DetectionModel(3, 8, 3), "ema": None}, folder / "best.pt")
    sentence = r"best\.pt is a checkpoint of the YOLOv5 repository, .* --weights best\.pt --include onnx\)"
    with pytest.raises(WeightsProblem, match=sentence):
        Explainer(folder / "best.pt")


def test_file_opened_with_named_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    torch.save(own_nets.BlocksCNN().state_dict(), folder / "net.pth")
    explainer = Explainer("net.pth", arch="nets.py:BlocksCNN", labels=list("abcdefghij"))
    assert type(explainer.loaded.adapter.module).__name__ == "BlocksCNN"
    with pytest.raises(Problem, match=r"There is no file .*nope\.py: give its path from .* :Net\.$"):
        Explainer("net.pth", arch="nope.py:Net")
    with pytest.raises(Problem, match="arch names the network of a checkpoint"):
        Explainer("demo-cls-s", arch="nets.py:BlocksCNN")


def test_another_table_or_file_is_another_model_at_once(folder: Path) -> None:
    """Models stay loaded by their id, and while one is made to fit its table changes with every try."""
    saved(own_nets.BlocksCNN(num_classes=3, width=2), folder / "net.pth")
    model_cache = ModelCache()

    def labels(**keys: str) -> tuple[str, ...]:
        name = table(folder, "nets.py:BlocksCNN", "net.pth", args="{ width = 2 }", **keys)
        return Explainer(name, device="cpu", model_cache=model_cache).labels

    assert labels()[0] == "class 0" and labels(labels='["a", "b", "c"]') == ("a", "b", "c")
    loaded = Explainer("mine", device="cpu", model_cache=model_cache).loaded
    assert Explainer("mine", device="cpu", model_cache=model_cache).loaded is loaded
    saved(own_nets.BlocksCNN(num_classes=2, width=2), folder / "net.pth")
    assert labels() == ("class 0", "class 1")


def test_replaced_file_of_one_size_and_time_is_seen(folder: Path) -> None:
    """A link leads to two files in turn, and names of classes change."""
    model_cache, digests = ModelCache(), set()
    (folder / "names.txt").write_text("a\nb", "utf-8")
    name = table(folder, "nets.py:BlocksCNN", "net.pth", labels='"names.txt"')
    for file in ("one.pth", "two.pth"):
        saved(own_nets.BlocksCNN(num_classes=2), folder / file)
        os.utime(folder / file, (1, 1))
        (folder / "net.pth").unlink(missing_ok=True)
        (folder / "net.pth").symlink_to(folder / file)
        digests.add(Explainer(name, device="cpu", model_cache=model_cache).loaded.digest())
    assert len(digests) == 2
    before = Explainer(name, device="cpu", model_cache=model_cache).loaded
    (folder / "names.txt").write_text("c\nd", "utf-8")
    after = Explainer(name, device="cpu", model_cache=model_cache).loaded
    assert after.adapter.labels == ("c", "d") and after.version != before.version
    assert len(list_settings(after, Options(method="gradcam"), after.layers)["code"]) == 1
    (folder / "nets.py").unlink()
    assert not list_settings(after, Options(method="gradcam"), after.layers)["code"]


def test_networks_import_what_lies_beside_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = NETS.read_text("utf-8").replace("width: int = 8", "width: int = widths.WIDTH")
    code = code.replace("super().__init__()", "super().__init__()\n        import widths")
    for width in (2, 3):
        (folder / f"{width}").mkdir()
        (folder / f"{width}" / "widths.py").write_text(f"WIDTH = {width}", "utf-8")
        (folder / f"{width}" / "nets.py").write_text(f"import widths\n{code}", "utf-8")
        saved(own_nets.BlocksCNN(width=width), folder / "net.pth")
        loaded(folder, f"{width}/nets.py:BlocksCNN", "net.pth")
    (folder / "3" / "widths.py").write_text("WIDTH = 2 + 2", "utf-8")
    with pytest.raises(Problem, match="4 x 3 x 3 x 3 in the model"):
        loaded(folder, "3/nets.py:BlocksCNN", "net.pth")
    with monkeypatch.context() as patch:
        # As if torch, which cannot be imported twice, were installed into the folder.
        patch.setattr(nn, "__file__", f"{folder.resolve()}/3/torch/nn/__init__.py")
        patch.setitem(sys.modules, "widths", types.SimpleNamespace(WIDTH=3))
        loaded(folder, "3/nets.py:BlocksCNN", "net.pth")
