"""Ultralytics models answer as `predict` does, and let a gradient through from the boxes that are shown."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.layers import find_paths
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.evidence.survey import survey
from sightglass.models import catalog
from sightglass.models.adapter import Target
from sightglass.models.families.ultralytics.detectors import RotatedDetector, RtDetr, YoloDetector
from sightglass.models.families.ultralytics.loader import YoloClassifier, adapt
from sightglass.models.families.ultralytics.prompts import OpenVocabulary
from sightglass.models.layers import Layer
from sightglass.models.load import load
from tests.built import build, built, record, spec_of
from tests.corpus import Touch
from tests.waits import patience
from tests.weights import weight

ROOT = Path(__file__).parents[4]
TRAINED = [
    pytest.param(name, marks=pytest.mark.weights(name)) for name in ("yolo11n.pt", "yolo11n-seg.pt", "yolo26n.pt")
]
BUILT = ("yolov8n", "yolo11n-seg", "yolov10n", "yolo26n-seg", "yoloe-11s-seg")


@cache
def trained(name: str) -> YoloDetector:
    return load(spec_of(name))


@cache
def library(name: str) -> Any:
    from ultralytics import YOLO

    return YOLO(weight(name))


def picture(name: str) -> NDArray[np.uint8]:
    from ultralytics.utils import ASSETS

    return np.asarray(Image.open(ASSETS / name))


@pytest.mark.parametrize(
    ("name", "way"),
    [*(("yolov8n", way) for way in ("trained", "letterbox", "squash", "half")), ("rtdetr-l", "trained")],
)
@pytest.mark.parametrize("size", [(1080, 810), (37, 501), (3000, 1), (333, 500)])
def test_input_equals_ultralytics(size: tuple[int, int], name: str, way: str) -> None:
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import scale_boxes

    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    model_input = built(name).prepare(pixels, way)
    side = 320 if way == "half" else 640
    # An RT-DETR sees the picture squeezed to a square.
    squash = way == "squash" or name == "rtdetr-l"
    box = LetterBox((side, side), auto=way in ("trained", "half") and not squash, scale_fill=squash, stride=32)
    expected = np.ascontiguousarray(box(image=pixels[..., ::-1])[..., ::-1].transpose(2, 0, 1))
    assert torch.equal(model_input.tensor[0], torch.from_numpy(expected).float() / 255)
    assert model_input.geometry.input == tuple(model_input.tensor.shape[2:])
    assert model_input.geometry.seen == (0, 0, size[1], size[0])
    left, top, right, bottom = model_input.geometry.content
    bars = np.ones(expected.shape[1:], bool)
    bars[top:bottom, left:right] = False
    assert (expected[:, bars] == 114).all()
    if not squash:
        back = scale_boxes(expected.shape[1:], torch.tensor([[left, top, right - 0.5, bottom - 0.25]]), size)
        assert model_input.geometry.box_to_original((left, top, right - 0.5, bottom - 0.25)) == pytest.approx(
            back[0].tolist(), abs=1e-3
        )


@pytest.mark.parametrize(("confidence", "iou"), [(0.25, 0.7), (0.02, 0.45)])
@pytest.mark.parametrize("name", TRAINED)
def test_boxes_are_those_of_predict(name: str, confidence: float, iou: float) -> None:
    adapter = trained(name)
    for photograph in ("bus.jpg", "zidane.jpg"):
        pixels = picture(photograph)
        inputs = adapter.prepare(pixels, "trained")
        boxes = adapter.decode(adapter.run(inputs.tensor), inputs.geometry, top_k=1, confidence=confidence, iou=iou)
        (expected,) = library(name).predict(
            np.ascontiguousarray(pixels[..., ::-1]), conf=confidence, iou=iou, device="cpu", verbose=False
        )
        assert [p.index for p in boxes] == expected.boxes.cls.int().tolist()
        assert [p.label for p in boxes] == [library(name).names[p.index] for p in boxes]
        assert np.allclose([p.score for p in boxes], expected.boxes.conf, atol=1e-3)
        assert np.allclose([p.box for p in boxes], expected.boxes.xyxy, atol=0.5)
        assert [p.score for p in boxes] == sorted((p.score for p in boxes), reverse=True)
        assert "person" in {p.label for p in boxes}


@pytest.mark.parametrize("name", BUILT)
def test_gradients_after_any_pass_and_size(name: str) -> None:
    adapter = built(name)
    tensor = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        adapter.run(tensor)
    for given in (tensor, torch.rand(1, 3, 96, 64), tensor):
        kept, outputs = record(adapter, given)
        gradients = torch.autograd.grad(
            adapter.scalar(outputs, Target(3, "", (0, outputs.boxes.shape[1] - 1))), list(kept.values())
        )
        assert all(gradient.isfinite().all() and gradient[0].any() for gradient in gradients)
        assert not any(gradient[1:].any() for gradient in gradients)
    with torch.no_grad():
        single = adapter.run(tensor[:1])
        assert torch.allclose(adapter.run(tensor).boxes[:1], single.boxes, atol=1e-4)
        assert torch.allclose(adapter.class_logits(adapter.run(tensor))[:1], single.logits.amax(2), atol=1e-5)


def test_ultralytics_classifier_logits_and_input() -> None:
    from ultralytics.data.augment import classify_transforms

    adapter = built("yolo11n-cls", "classify")
    pixels = picture("bus.jpg")
    model_input = adapter.prepare(pixels, "trained")
    # Its `predict` takes the size of `args`, 640 of a network built from a .yaml.
    assert torch.allclose(model_input.tensor[0], classify_transforms(640)(Image.fromarray(pixels)), atol=1.01 / 255)
    outputs = adapter.run(model_input.tensor)
    logits = outputs.logits
    probabilities, raw = build("yolo11n-cls").fuse(verbose=False)(model_input.tensor)
    assert torch.allclose(logits, raw, atol=1e-4)
    (best,) = adapter.decode(outputs, model_input.geometry, top_k=1, confidence=0, iou=0)
    assert best.index == probabilities.argmax()
    assert best.score == pytest.approx(probabilities.max().item(), abs=1e-5)
    assert len(adapter.labels) == logits.shape[1] == 1000


def test_classifier_preprocessing_from_checkpoint() -> None:
    from ultralytics.data.augment import classify_transforms

    module = build("yolo11n-cls")
    module.transforms = classify_transforms(64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), interpolation="BICUBIC")
    module.names = ["cat", "dog"]
    adapter = adapt(spec_of("own", "classify"), module, "")
    model_input = adapter.prepare(picture("zidane.jpg"), "trained")
    assert model_input.tensor.shape == (1, 3, 64, 64)
    expected = module.transforms(Image.fromarray(picture("zidane.jpg")))
    assert torch.allclose(model_input.tensor[0], expected, atol=1.01 / 255 / 0.1)
    assert adapter.labels[:3] == ("cat", "dog", "2")


def test_what_cannot_be_explained_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelProblem, match='say task = "segment"'):
        adapt(spec_of("dense"), build("yolo26n-sem"), "")
    with pytest.raises(ModelProblem, match=r"three has 80 classes and weights\.labels names 3"):
        adapt(spec_of("three").with_weights(labels=("a", "b", "c")), build("yolo11n"), "")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "tensors.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    for name in ("tensors.pt", "text.pt"):
        with pytest.raises(ModelProblem, match=rf"^{name} is not a checkpoint that Ultralytics can open\.$"):
            load(spec_of(name))


def test_import_reaches_no_host(tmp_path: Path) -> None:
    code = """
import io, os, socket, subprocess, sys
def refuse(*args, **kwargs): raise AssertionError("reached out")
socket.getaddrinfo = socket.create_connection = subprocess.check_output = refuse
from sightglass.models.families.ultralytics import loader
assert "ultralytics" not in sys.modules
import cv2, torch
before = cv2.getNumThreads(), torch.get_num_threads()
loader.import_quietly()
from ultralytics.nn import tasks
from ultralytics.utils import SETTINGS, SETTINGS_FILE, checks
assert (cv2.getNumThreads(), torch.get_num_threads()) == before
assert "OMP_NUM_THREADS" not in os.environ and not SETTINGS["sync"] and not checks.AUTOINSTALL
assert str(SETTINGS_FILE) == os.path.join(sys.argv[1], "sightglass", "ultralytics", "Ultralytics", "settings.json")
from PIL import Image, UnidentifiedImageError
try: Image.open(io.BytesIO(b"no picture"))
except UnidentifiedImageError: print("fine")
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO", "OMP"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=environment | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr


OURS = tuple(
    spec for family in catalog.families(packaged=True).values() for spec in family if spec.loader == "ultralytics"
)


def test_catalogue_has_all_published_files() -> None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    assert all(spec.weights.url.endswith(f"/v8.4.0/{spec.arch}") for spec in OURS)
    assert all(spec.licence == "AGPL-3.0" for spec in OURS)
    assert all((spec.task == "classify") == spec.arch.endswith("-cls.pt") for spec in OURS)

    # Not of this kind (SAM, NAS, depth, a class per pixel, one channel), or trials beside the release.
    others = ("sam", "SAM", "nas", "-depth", "-sem", "-distill", "-objv1", "-grayscale")
    published = {name for name in GITHUB_ASSETS_NAMES if name.endswith(".pt") and not any(o in name for o in others)}
    assert published == {spec.arch for spec in OURS}


KINDS = {
    "yolo11n-seg": YoloDetector,
    "yolo11n-obb": RotatedDetector,
    "yolov8s-world": OpenVocabulary,
    "yoloe-11s-seg": OpenVocabulary,
    "rtdetr-l": RtDetr,
    "yolo11n-cls": YoloClassifier,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_any_name_is_what_it_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": build(name), "train_args": {}}, tmp_path / "best.pt")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    spec = catalog.spec("best")
    assert spec.family == "best"
    assert spec.task == ("classify" if name.endswith("-cls") else "detect")
    adapter = load(spec)
    assert type(adapter) is KINDS[name] and ("mask" in adapter.parts) == name.endswith("-seg")


def test_what_a_file_holds_is_told_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": Touch(tmp_path / "ran")}, tmp_path / "trap.pt")
    (tmp_path / "ViT-B-32.pt").touch()
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    assert [name for name, (spec, *_) in catalog.families().items() if spec.id == name] == ["trap"]
    assert not (tmp_path / "ran").exists()


def layers_of(name: str, task: str = "detect") -> tuple[Layer, ...]:
    adapter = built(name, task)
    return survey(adapter, adapter.prepare(np.full((64, 64, 3), 128, np.uint8), adapter.preprocessings[0]).tensor).short


NECKS = {
    "yolo11n-seg": (("model.16", "model.19", "model.22"), "model.10", "model.4", True),
    "yolov8n": (("model.15", "model.18", "model.21"), "model.9", "model.4", True),
    "yolov3-tinyu": (("model.19", "model.15"), "model.12", "model.6", True),
    "yolov8s-world": (("model.15", "model.19", "model.22"), "model.9", "model.4", False),
    "rtdetr-l": (("model.21", "model.24", "model.27"), "model.9", "model.3", True),
}


@pytest.mark.parametrize("name", NECKS)
def test_a_menu_offers_what_the_head_reads_first(name: str) -> None:
    neck, end, third, scripts = NECKS[name]
    layers, adapter = layers_of(name), built(name)
    presets = adapter.presets(layers)
    assert next(iter(presets)) == "all neck outputs"
    assert presets["all neck outputs"] == neck == adapter.default_layers(layers)
    assert presets["backbone end"] == (end,) and presets["backbone P3"] == (third,)
    assert ("Ultralytics' 10 12 14 16 18" in presets) == scripts
    known = {layer.path: layer for layer in layers}
    scales = {name: paths[0] for name, paths in presets.items() if name.startswith("neck P")}
    assert tuple(scales.values()) == neck
    assert all(known[path].shape[1] == 640 >> int(name[-1]) for name, path in scales.items())
    assert all(path in known for paths in presets.values() for path in paths)


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("10 12 14 16 18", (10, 12, 14, 16, 18)),
        ("10,12,14,16,18", (10, 12, 14, 16, 18)),
        ("backbone end, neck P3, 4", (10, 16, 4)),
        ("all neck outputs", (16, 19, 22)),
        ("-2", (22,)),
        ("model.-2", (22,)),
        ("model.model[-2]", (22,)),
        ("model.model.model[10]", (10,)),
        ("model.4.cv2", ("4.cv2",)),
    ],
)
def test_layer_aliases(typed: str, numbers: tuple[Any, ...]) -> None:
    adapter = built("yolo11n-seg")
    assert find_paths(LoadedModel(adapter, torch.device("cpu")), typed) == tuple(f"model.{n}" for n in numbers)
    assert (adapter.alias("24"), adapter.alias("")) == ("24", "")
