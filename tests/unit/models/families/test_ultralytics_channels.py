"""Ultralytics models of other than three channels answer as `predict` does."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import nn

from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.models.families.ultralytics.loader import import_quietly
from sightglass.models.load import load
from tests.unit.models.specs import own_spec

CONFIDENCE = 0.2
SIDE = 64
BODY = [
    [-1, 1, "Conv", [8, 3, 2]],
    [-1, 1, "Conv", [16, 3, 2]],
    [-1, 1, "Conv", [16, 3, 2]],
    [-1, 1, "Conv", [16, 3, 2]],
]
HEADS = {
    "detect": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3, 4], 1, "Detect", ["nc"]]],
    "classify": [[-1, 1, "Classify", ["nc"]]],
}


@cache
def library(task: str, channels: int, folder: Path) -> Any:
    """Return an untrained model of Ultralytics of a `.yaml`."""
    import_quietly()
    from ultralytics import YOLO
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel

    torch.manual_seed(0)
    kinds = {"detect": DetectionModel, "classify": ClassificationModel}
    path = folder / f"{task}-{channels}.yaml"
    path.write_text(yaml.safe_dump({"nc": 3, "backbone": BODY, "head": HEADS[task]}))
    model = YOLO(path, task=task, verbose=False)
    # As its trainer builds it by the channels of the data.
    model.model = kinds[task](path, ch=channels, verbose=False)
    model.model.args = {"imgsz": SIDE}
    model.overrides["imgsz"] = SIDE
    model.model.names = {0: "cat", 1: "dog", 2: "bear"}
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            # Untrained heads are of one opinion.
            if name.endswith(("cv3.0.2.weight", "cv3.1.2.weight", "cv3.2.2.weight", "linear.weight")):
                parameter.normal_(0, 3.0)
            elif ".cv3." in name and name.endswith("2.bias"):
                parameter.fill_(-1.0)
    return model.model.eval() and model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yolo")


def save(model: Any, path: Path) -> None:
    """Write a checkpoint as the library's trainer does."""
    training = {"imgsz": SIDE, "task": "detect"}
    torch.save({"model": deepcopy(model.model), "train_args": training, "date": "2026-01-01"}, path)


def field(channels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    """Numbers (H, W, C) that are no noise."""
    small = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (6, 9, channels)).astype(np.float32)
    planes = [
        np.asarray(Pillow.fromarray(small[..., i]).resize((90, 60), Pillow.Resampling.BILINEAR))
        for i in range(channels)
    ]
    return np.stack(planes, 2).clip(0, np.iinfo(dtype).max).astype(dtype)


def predicted(model: Any, picture: Any) -> list[tuple[str, float, list[float]]]:
    """Return label, score and box of what `predict` finds."""
    (found,) = deepcopy(model).predict(picture, conf=CONFIDENCE, imgsz=SIDE, device="cpu", verbose=False)
    names = [found.names[int(index)] for index in found.boxes.cls]
    return list(zip(names, found.boxes.conf.tolist(), found.boxes.xyxy.tolist(), strict=True))


def same(explained: Any, expected: list[tuple[str, float, list[float]]]) -> None:
    assert len(expected) > 1
    assert [p.label for p in explained.predictions] == [label for label, _, _ in expected]
    assert [p.score for p in explained.predictions] == pytest.approx([score for _, score, _ in expected], abs=2e-3)
    for prediction, (_, _, box) in zip(explained.predictions, expected, strict=True):
        assert prediction.box == pytest.approx(box, abs=0.6)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_detectors_find_what_predict_finds(channels: int, folder: Path) -> None:
    model = library("detect", channels, folder)
    pixels = field(channels)
    expected = predicted(model, pixels)
    explainer = Explainer(deepcopy(model))
    for picture in (pixels, pixels.transpose(2, 0, 1), torch.from_numpy(pixels).permute(2, 0, 1)):
        same(explainer(picture, confidence=CONFIDENCE, top_k=300), expected)


def test_a_detector_of_grey_takes_colours(folder: Path) -> None:
    model = library("detect", 1, folder)
    picture = Pillow.fromarray(field(3))
    same(Explainer(deepcopy(model))(picture, confidence=CONFIDENCE, top_k=300), predicted(model, picture))


def test_numbers_of_16_bits_are_scaled_by_their_white(folder: Path) -> None:
    model = library("detect", 5, folder)
    bands = field(5, np.uint16)
    explained = Explainer(deepcopy(model))(bands, confidence=CONFIDENCE, top_k=300)
    same(explained, predicted(model, (bands >> 8).astype(np.uint8)))


@pytest.mark.parametrize("channels", [1, 5])
def test_classifiers_take_their_channels(channels: int, folder: Path) -> None:
    model = library("classify", channels, folder)
    pixels = field(channels)[:, 15:75]
    planes = [
        np.asarray(Pillow.fromarray(pixels[..., i]).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR))
        for i in range(channels)
    ]
    with torch.no_grad():
        right = model.model(torch.from_numpy(np.stack(planes)[None] / np.float32(255)))[0][0].tolist()
    explained = Explainer(deepcopy(model))(pixels, top_k=3)
    assert {p.index: p.score for p in explained.predictions} == pytest.approx(dict(enumerate(right)), abs=1e-4)


def test_a_file_is_added_and_explained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGHTGLASS_MODELS", raising=False)
    model = library("detect", 5, folder)
    save(model, tmp_path / "bands.pt")
    np.save(tmp_path / "field.npy", field(5).transpose(2, 0, 1))
    assert main(["models", "add", "bands.pt", "--trust"]) == 0
    explained = Explainer("bands")("field.npy", confidence=CONFIDENCE, top_k=300)
    expected = predicted(model, field(5))
    same(explained, expected)
    capsys.readouterr()
    assert main(["detect", "bus.jpg", "-m", "bands"]) != 0
    assert "bus.jpg has 3 channels, and bands takes 5 channels" in capsys.readouterr().err


class Grid(nn.Module):
    """A detector with a box for each cell of 8 x 8 pixels, its numbers linear in the picture's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.boxes, self.scores = nn.Conv2d(5, 4, 8, 8), nn.Conv2d(5, 3, 8, 8)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        rows = torch.cat(((self.boxes(pictures).sigmoid() + 0.5) * 20, self.scores(pictures).sigmoid()), 1)
        return rows.flatten(2)


def test_exported_detectors_take_their_channels(folder: Path, tmp_path: Path) -> None:
    net = Grid().eval()
    path = tmp_path / "bands.torchscript"
    torch.jit.trace(net, torch.zeros(1, 5, SIDE, SIDE)).save(path)
    stated = {"labels": ["a", "b", "c"], "layout": "ultralytics", "preprocessing": {"size": SIDE}}
    adapter = load(own_spec("bands", "exported", "bands", "detect", path=str(path), **stated))
    assert adapter.channels == 5
    prepared = adapter.prepare(field(5), "trained").tensor
    theirs = Explainer(deepcopy(library("detect", 5, folder))).loaded.adapter.prepare(field(5), "letterbox").tensor
    assert torch.equal(prepared, theirs)
    with torch.no_grad():
        torch.testing.assert_close(adapter.run(prepared).scores, net(theirs)[:, 4:], atol=1e-5, rtol=0)


def test_too_many_channels_are_a_sentence(folder: Path) -> None:
    with pytest.raises(ModelProblem, match="takes 17 channels, and a picture here has 16 at most"):
        Explainer(deepcopy(library("detect", 17, folder))).loaded  # noqa: B018


def test_colours_may_come_first() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    expected, given = (Explainer("demo-cls-s")(array, maps=False) for array in (rows, rows.transpose(2, 0, 1)))
    assert given.predictions == expected.predictions
