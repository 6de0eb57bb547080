"""What works for which kind of model: every tick in the table of docs/own-models.md is made here, and every gap too.

For each kind a small model is made as its users have it, a file; what a column says is then tried on it.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import RESIDENCY
from sightglass.models import catalog
from tests import examples
from tests.conftest import asset
from tests.unit import own_nets

if TYPE_CHECKING:
    from collections.abc import Callable

BUS = asset("ultralytics", "assets", "bus.jpg")
SIDE = 64
PREPROCESSING = {"size": SIDE, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
NEEDS = {"onnx": "ONNX", "keras": "Keras", "transformers": "Transformers", "open_clip": "CLIP"}


class SmallCNN(own_nets.BlocksCNN):
    """For any number of channels."""

    def __init__(self, num_classes: int = 3, channels: int = 3) -> None:
        super().__init__(num_classes, width=4)
        self.block1 = own_nets.block(channels, 4)


def own(folder: Path, channels: int) -> dict[str, Any]:
    torch.save(SmallCNN(channels=channels).state_dict(), folder / "model.pth")
    arch = f"{own_nets.__file__}:BlocksCNN"
    if channels == 3:
        torch.save(own_nets.BlocksCNN(3, 4).state_dict(), folder / "model.pth")
        return {"loader": "custom", "arch": arch, "weights": {"args": {"width": 4}}}
    return {"loader": "custom", "arch": f"{__file__}:SmallCNN", "weights": {"args": {"channels": channels}}}


def torchvision_net(folder: Path, channels: int) -> dict[str, Any]:
    import torchvision

    net = torchvision.models.mobilenet_v3_small(num_classes=3)
    net.features[0][0] = torch.nn.Conv2d(channels, 16, 3, 2, 1, bias=False)
    torch.save(net.state_dict(), folder / "model.pth")
    return {"loader": "custom", "arch": "mobilenet_v3_small"}


def timm_net(name: str) -> Callable[[Path, int], dict[str, Any]]:
    def make(folder: Path, channels: int) -> dict[str, Any]:
        import timm

        net = timm.create_model(name, num_classes=3, in_chans=channels)
        torch.save(net.state_dict(), folder / "model.pth")
        return {"loader": "custom", "arch": f"timm/{name}"}

    return make


def transformers_net(folder: Path, channels: int) -> dict[str, Any]:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=SIDE, patch_size=8,
        num_channels=channels, id2label={0: "a", 1: "b", 2: "c"},
    )  # fmt: skip
    net = transformers.ViTForImageClassification(config)
    net.save_pretrained(folder / "model")
    sides = {"height": SIDE, "width": SIDE}
    transformers.ViTImageProcessor(size=sides).save_pretrained(folder / "model")
    return {"loader": "transformers", "arch": "vit"}


def exported(kind: str) -> Callable[[Path, int], dict[str, Any]]:
    def make(folder: Path, channels: int) -> dict[str, Any]:
        net, probe = SmallCNN(channels=channels).eval(), torch.rand(2, channels, SIDE, SIDE)
        if kind == "torchscript":
            torch.jit.trace(net, probe[:1]).save(str(folder / "model.torchscript"))
        elif kind == "pt2":
            free = {0: torch.export.Dim("batch", min=1, max=64)}
            torch.export.save(torch.export.export(net, (probe,), dynamic_shapes=(free,)), folder / "model.pt2")
        else:
            free = {"input": {0: "batch"}}
            torch.onnx.export(
                net, (probe,), folder / "model.onnx", input_names=["input"], dynamic_axes=free, dynamo=False
            )
        return {"loader": "exported", "arch": kind, "task": "classify"}

    return make


def keras_net(folder: Path, channels: int) -> dict[str, Any]:
    from sightglass.models.families.keras.network import keras

    library = keras()
    layers = library.layers
    with library.device("cpu"):
        model = library.Sequential(
            [
                layers.Input((SIDE, SIDE, channels)),
                layers.Conv2D(8, 3, strides=2, activation="relu"),
                layers.Conv2D(8, 3, strides=2, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, activation="softmax"),
            ]
        )
    model.save(folder / "model.keras")
    return {"loader": "keras", "arch": "keras", "weights": {"preprocessing": {"range": 1}}}


def clip(folder: Path, channels: int) -> Any:
    from tests.unit.models.families.test_clip import TINY, _open_clip

    if channels != 3:
        return ""
    _open_clip(folder / "model", TINY)
    return {"loader": "clip", "arch": "open_clip", "weights": {"labels": ["a", "b", "c"]}}


def promptsg(folder: Path, channels: int) -> Any:
    from sightglass.models.checkpoints import weights

    if channels != 3:
        return ""
    packaged = weights.locate(catalog.spec("demo-reid"))
    for path in packaged.parent.glob("demo-reid.*"):
        shutil.copy(path, folder / path.name.replace("demo-reid", "model"))
    return {"loader": "promptsg", "arch": "promptsg"}


def detector(folder: Path, channels: int) -> Any:
    from sightglass.models.families.demo import nets

    if channels != 3:
        return ""
    torch.save({"model": nets.trained("demo-s")}, folder / "model.pt")
    return {"loader": "ultralytics", "arch": "model.pt", "task": "detect"}


def osnet(folder: Path, channels: int) -> Any:
    from sightglass.models.families import osnet

    if channels != 3:
        return ""
    (folder / "models.toml").write_text('[model.r]\nloader = "osnet"\narch = "osnet_x0_25"\nweights = { random = 1 }\n')
    catalog._merge.cache_clear()
    adapter = osnet.load(catalog.spec("r"))
    torch.save(adapter.module.state_dict(), folder / "model.pth")
    return {"loader": "osnet", "arch": "osnet_x0_25", "task": "embed"}


KINDS: dict[str, Any] = {
    "a network in a file of yours": own,
    "a network of torchvision": torchvision_net,
    "a CNN of timm": timm_net("test_convnext"),
    "a ViT of timm": timm_net("test_vit"),
    "a ViT, DeiT, DINOv2 of Transformers": transformers_net,
    "TorchScript, a classifier": exported("torchscript"),
    "`torch.export`, a classifier": exported("pt2"),
    "ONNX, a classifier": exported("onnx"),
    "Keras": keras_net,
    "CLIP": clip,
    "re-identification: PromptSG": promptsg,
    "re-identification: OSNet": osnet,
    "a detector of Ultralytics": detector,
}


def gradients(model: Explainer, picture: Any) -> bool:
    heatmap = model(picture, method="layercam", top_k=1, confidence=0.0).heatmaps[0]
    return heatmap.state in ("ok", "no evidence", "flat") and len(model.layers) > 1


def attention(model: Explainer, picture: Any) -> bool:
    return bool(model(picture, method="attention", top_k=1, confidence=0.0).heatmaps[0].state == "ok")


def hiding(model: Explainer, picture: Any) -> bool:
    return bool(model(picture, method="drise", masks=8, top_k=1, confidence=0.0).heatmaps[0].raw)


def contrast(model: Explainer, picture: Any) -> bool:
    return bool(model(picture, method="gradcam", part="contrast", top_k=1, confidence=0.0).heatmaps)


def compared(model: Explainer, picture: Any) -> bool:
    from sightglass.explain.similarity.similarity import similarity

    return similarity(model, BUS, BUS.with_name("zidane.jpg")).score == pytest.approx(0, abs=1.1)


def words(model: Explainer, picture: Any) -> bool:
    return bool(
        model(picture, vocabulary="a red star, a blue ring", top_k=2).predictions[0].label.endswith(("star", "ring"))
    )


COLUMNS: dict[str, Callable[[Explainer, Any], bool]] = {
    "CAMs at any layer": gradients,
    "attention": attention,
    "by hiding": hiding,
    "why this class": contrast,
    "compared": compared,
    "words": words,
}
CHANNELS, ADDED = "4 channels", "`models add`"


def table() -> dict[str, dict[str, bool]]:
    """What the page says: of each kind each column."""
    text = (examples.DOCS / "own-models.md").read_text("utf-8")
    found = re.search(r"^\| kind of model \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return {row[0]: {name: cell == "✓" for name, cell in zip(head[1:], row[1:], strict=True)} for row in rows}


def written(folder: Path, kind: str, channels: int) -> tuple[str, Path | None]:
    """The model's id after its table is in a models.toml, and its file; no id where there is no such model."""
    made = KINDS[kind](folder, channels)
    if not made:
        return "", None
    file = next(path for path in folder.iterdir() if path.stem == "model" and path.suffix != ".json")
    held = {"path": str(file), **made.pop("weights", {})}
    if made["loader"] in ("custom", "exported"):
        given = {**PREPROCESSING, "mean": [0.5] * channels, "std": [0.25] * channels}
        held |= {"labels": ["a", "b", "c"], "preprocessing": given}
    lines = [f"{key} = {json.dumps(value)}" for key, value in made.items()]
    lines.append(f"weights = {inline(held)}")
    (folder / "models.toml").write_text("[model.mine]\n" + "\n".join(lines) + "\n", "utf-8")
    catalog._merge.cache_clear()
    return "mine", file


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(held)}" for key, held in value.items()) + " }"
    return json.dumps(value)


def works(try_: Callable[[], bool]) -> bool:
    """A sentence for its user is a gap; anything else that is raised is a fault."""
    try:
        return try_()
    except Problem:
        return False


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    RESIDENCY.free()
    torch.manual_seed(0)
    return tmp_path


def lacking(kind: str) -> str:
    return next((name for name, word in NEEDS.items() if word in kind and find_spec(name) is None), "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_tick_is_true_and_every_gap(kind: str, folder: Path) -> None:
    if name := lacking(kind):
        pytest.skip(f"{name} is not installed")
    id_, file = written(folder, kind, 3)
    model = Explainer(id_, device="cpu")
    picture = np.asarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3)), np.uint8)
    found = {name: works(lambda try_=try_: try_(model, picture)) for name, try_ in COLUMNS.items()}
    found[CHANNELS] = works(lambda: many_channels(folder, kind))
    assert file is not None
    found[ADDED] = added(folder, file, kind)
    assert found == table()[kind]


def many_channels(folder: Path, kind: str) -> bool:
    inner = folder / "many"
    inner.mkdir()
    id_, _ = written(inner, kind, 4)
    if not id_ or not (inner / "models.toml").is_file():
        return False
    (folder / "models.toml").write_text((inner / "models.toml").read_text("utf-8"), "utf-8")
    catalog._merge.cache_clear()
    np.save(inner / "many.npy", np.random.default_rng(0).integers(0, 256, (70, 80, 4), np.uint8))
    explainer = Explainer(id_, device="cpu")
    method = {} if explainer.resident.gradients else {"masks": 8}
    return bool(explainer(inner / "many.npy", top_k=1, **method).predictions)


def added(folder: Path, file: Path, kind: str) -> bool:
    """Whether one call makes a model of the file, asked nothing but what the file cannot say."""
    from sightglass.cli import main

    (folder / "models.toml").unlink()
    said = (
        ["--arch", f"{Path(own_nets.__file__)}:BlocksCNN", "--set", "weights.args.width=4"]
        if KINDS[kind] is own
        else []
    )
    return main(["models", "add", str(file), "--yes", "--trust", "--json", *said]) == 0


def test_the_table_has_every_kind() -> None:
    assert [*table()] == [*KINDS]
    assert all([*row] == [*COLUMNS, CHANNELS, ADDED] for row in table().values())
