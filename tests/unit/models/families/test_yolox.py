"""YOLOX answers as Megvii's own formulas say, whichever of its two file formats it came from."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models import catalog
from sightglass.models.adapter import Target
from sightglass.models.checkpoints import checkpoint
from sightglass.models.families.yolox import Yolox, YoloxDetector, build_untrained
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec
from tests.built import record
from tests.conftest import asset
from tests.unit.models.specs import own_spec
from tests.weights import weight

SIZES = ("yolox_nano", "yolox_tiny", "yolox_s", "yolox_m", "yolox_l", "yolox_x")
PARTS = ("class", "contrast", "objectness", "box", "left", "top", "right", "bottom", "all")
# Which of Megvii's modules each of MMDetection's is, as their two constructors say; written apart from the loader's.
MODULES = {
    "backbone.backbone.stem": "backbone.stem",
    "backbone.backbone.dark2": "backbone.stage1",
    "backbone.backbone.dark3": "backbone.stage2",
    "backbone.backbone.dark4": "backbone.stage3",
    "backbone.backbone.dark5": "backbone.stage4",
    "backbone.lateral_conv0": "neck.reduce_layers.0",
    "backbone.C3_p4": "neck.top_down_blocks.0",
    "backbone.reduce_conv1": "neck.reduce_layers.1",
    "backbone.C3_p3": "neck.top_down_blocks.1",
    "backbone.bu_conv2": "neck.downsamples.0",
    "backbone.C3_n3": "neck.bottom_up_blocks.0",
    "backbone.bu_conv1": "neck.downsamples.1",
    "backbone.C3_n4": "neck.bottom_up_blocks.1",
    "head.stems": "neck.out_convs",
    "head.cls_convs": "bbox_head.multi_level_cls_convs",
    "head.reg_convs": "bbox_head.multi_level_reg_convs",
    "head.cls_preds": "bbox_head.multi_level_conv_cls",
    "head.reg_preds": "bbox_head.multi_level_conv_reg",
    "head.obj_preds": "bbox_head.multi_level_conv_obj",
}
CSP = {"conv1": "main_conv", "conv2": "short_conv", "conv3": "final_conv", "m": "blocks"}
WITH_CSP = {"dark2": "1", "dark3": "1", "dark4": "1", "dark5": "2"}


def mmdetection_name(name: str) -> str:
    """What MMDetection calls a tensor of Megvii's."""
    module = next(module for module in MODULES if name.startswith(f"{module}."))
    rest = name.removeprefix(f"{module}.").split(".")
    stage = module.rpartition(".")[2]
    at = 1 if rest[0] == WITH_CSP.get(stage) else 0 if stage.startswith("C3_") else None
    if at is not None:
        rest[at] = CSP[rest[at]]
    words = {"dconv": "depthwise_conv", "pconv": "pointwise_conv"}
    return ".".join([MODULES[module], *(words.get(word, word) for word in rest)])


def spec_of(name: str, **weights: Any) -> ModelSpec:
    return own_spec(name, "yolox", name, "detect", **weights)


def lively(module: Yolox) -> Yolox:
    """The same network with numbers that let a signal through: fresh ones end as a constant."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 4:
            # The picture goes up to 255, and a box's sides are exponents.
            size = 1 / 128 if "stem." in name else 0.5 if "_preds" in name else 1
            tensor.normal_(0, size * (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.8, 1.2, generator=generator)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.normal_(0, 0.1, generator=generator)
    return module


@cache
def saved() -> dict[str, torch.Tensor]:
    return lively(Yolox(1, 8, False, 3)).state_dict()


@cache
def trained() -> YoloxDetector:
    return load(catalog.spec("yolox_nano"))


@cache
def built(depthwise: bool = True) -> YoloxDetector:
    return YoloxDetector(spec_of("built"), lively(Yolox(1, 16, depthwise, 80)), [str(index) for index in range(80)], "")


def picture(name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(asset("ultralytics", "assets", name)))


def megvii(module: Any, pixels: NDArray[np.uint8], confidence: float, iou: float) -> list[tuple[int, float, Any]]:
    """Class, score and xyxy in original pixels of each box, by the formulas of Megvii's demo and nothing of ours."""
    from torchvision.ops import nms

    bgr, size = pixels[..., ::-1], 416
    ratio = min(size / bgr.shape[0], size / bgr.shape[1])
    h, w = int(bgr.shape[0] * ratio), int(bgr.shape[1] * ratio)
    padded = np.full((size, size, 3), 114, np.uint8)
    padded[:h, :w] = cv2.resize(np.ascontiguousarray(bgr), (w, h), interpolation=cv2.INTER_LINEAR)
    tensor = torch.from_numpy(padded.transpose(2, 0, 1).astype(np.float32))[None]
    rows = []
    with torch.no_grad():
        for k, (level, stride) in enumerate(zip(module.backbone(tensor), (8, 16, 32), strict=True)):
            x = module.head.stems[k](level)
            towards_box = module.head.reg_convs[k](x)
            out = torch.cat(
                (
                    module.head.reg_preds[k](towards_box),
                    module.head.obj_preds[k](towards_box).sigmoid(),
                    module.head.cls_preds[k](module.head.cls_convs[k](x)).sigmoid(),
                ),
                1,
            )[0]
            y, x = torch.meshgrid(torch.arange(out.shape[1]), torch.arange(out.shape[2]), indexing="ij")
            cx, cy, (half_w, half_h) = (out[0] + x) * stride, (out[1] + y) * stride, out[2:4].exp() * stride / 2
            corners = torch.stack((cx - half_w, cy - half_h, cx + half_w, cy + half_h))
            rows.append(torch.cat((corners, out[4:])).flatten(1).T)
    boxes = torch.cat(rows)
    best, index = boxes[:, 5:].max(1)
    sure = boxes[:, 4] * best
    found: list[tuple[int, float, Any]] = []
    for label in index.unique():
        mine = ((index == label) & (sure > confidence)).nonzero()[:, 0]
        for at in mine[nms(boxes[mine, :4], sure[mine], iou)]:
            found.append((int(label), float(sure[at]), (boxes[at, :4] / ratio).tolist()))
    return sorted(found, key=lambda row: -row[1])


@cache
def unfused() -> Any:
    from libreyolo.models.yolox.nn import LibreYOLOXModel

    module = LibreYOLOXModel("n")
    module.load_state_dict(checkpoint.read(weight("yolox_nano.pth")))
    return module.eval()


@pytest.mark.weights("yolox_nano.pth")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bus.jpg", {"bus": [0.91], "person": [0.85, 0.81, 0.69, 0.26]}),
        ("zidane.jpg", {"person": [0.85, 0.83], "tie": [0.47]}),
    ],
)
def test_boxes_are_those_of_megviis_formulas(name: str, expected: dict[str, list[float]]) -> None:
    adapter, pixels = trained(), picture(name)
    inputs = adapter.prepare(pixels, "trained")
    with torch.no_grad():
        boxes = adapter.decode(adapter.run(inputs.tensor), inputs.geometry, top_k=1, confidence=0.25, iou=0.45)
    theirs = megvii(unfused(), pixels, 0.25, 0.45)
    height, width = pixels.shape[:2]
    assert [p.index for p in boxes] == [index for index, _, _ in theirs]
    assert np.allclose([p.score for p in boxes], [score for _, score, _ in theirs], atol=1e-3)
    clipped = np.clip([box for _, _, box in theirs], 0, [width, height, width, height])
    assert np.abs(np.array([p.box for p in boxes]) - clipped).max() < 1
    for label, scores in expected.items():
        assert [round(p.score, 2) for p in boxes if p.label == label][: len(scores)] == scores


@pytest.mark.parametrize("way", ["trained", "letterbox", "squash"])
@pytest.mark.parametrize("size", [(1080, 810), (37, 501), (3000, 1), (416, 416)])
def test_geometry_knows_where_the_picture_lies(size: tuple[int, int], way: str) -> None:
    adapter = built()
    pixels = np.random.default_rng(0).integers(0, 113, (*size, 3), np.uint8)
    model_input = adapter.prepare(pixels, way)
    assert model_input.tensor.shape == (1, 3, 416, 416)
    assert model_input.geometry.seen == (0, 0, size[1], size[0])
    left, top, right, bottom = model_input.geometry.content
    bars = torch.ones(416, 416, dtype=torch.bool)
    bars[top:bottom, left:right] = False
    assert (model_input.tensor[0, :, bars] == 114).all()
    assert (model_input.tensor[0, :, ~bars] < 114).all()
    if size == (416, 416):
        # Blue first, from 0 to 255.
        assert model_input.tensor[0, :, 5, 5].tolist() == pixels[5, 5, ::-1].tolist()
    if way == "trained":
        assert (left, top) == (0, 0)
    back = model_input.geometry.box_to_original((left, top, right, bottom))
    assert back == pytest.approx((0, 0, size[1], size[0]), abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 8, False, 3), (2, 8, True, 80)], ids=["plain", "depthwise"])
def test_mmdetections_checkpoints_give_the_same_answers(shape: tuple[int, int, bool, int], tmp_path: Path) -> None:
    module = lively(Yolox(*shape))
    tensors = module.state_dict()
    theirs = {mmdetection_name(name): tensor for name, tensor in tensors.items()}
    assert len(theirs) == len(tensors)
    # So are layers known by these names; a norm is in its convolution here.
    adapter = YoloxDetector(spec_of("built"), Yolox(*shape), [""] * shape[-1], "")
    for name in (*tensors, "a.weight"):
        layer = (mmdetection_name(name) if name in tensors else name).rpartition(".")[0]
        assert adapter.alias(layer) == re.sub(r"\.bn$", ".conv", name.rpartition(".")[0])
    assert not set(theirs) & set(tensors)
    spare = {f"ema_{name.replace('.', '_')}": torch.zeros_like(tensor) for name, tensor in theirs.items()}
    torch.save({"meta": {"epoch": 300}, "state_dict": theirs | spare}, tmp_path / "mm.pth")
    torch.save({"model": tensors}, tmp_path / "megvii.pth")
    tensor = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0)) * 255
    answers = []
    for name in ("mm", "megvii"):
        adapter = load(spec_of(name, path=str(tmp_path / f"{name}.pth")))
        assert len(adapter.labels) == shape[-1]
        assert (adapter.labels[0] == "person") == (shape[-1] == 80)
        with torch.no_grad():
            answers.append(adapter.run(tensor))
    assert all(torch.equal(a, b) for a, b in zip(answers[0].leaves, answers[1].leaves, strict=True))
    with torch.no_grad():
        before = module.eval()(tensor)
    for a, b in zip(before.leaves, answers[0].leaves, strict=True):
        assert (a - b).abs().max() < 1e-4 * a.abs().max()
    assert min(leaf.std() for leaf in before.leaves) > 0.01


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_told_from_its_tensors(name: str) -> None:
    from libreyolo.models.yolox.nn import LibreYOLOXModel

    from sightglass.models.families.yolox import _SIZES, _shape

    with torch.device("meta"):
        theirs = LibreYOLOXModel(name.removeprefix("yolox_")[0]).state_dict()
        ours = Yolox(*_SIZES[name], 80).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}
    assert _shape(theirs) == (*_SIZES[name], 80)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_gradients(part: Any) -> None:
    adapter = built(depthwise=False)
    layers = ("backbone.backbone.dark3", "backbone.backbone.dark5", "backbone.C3_n3")
    tensor = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        # It spoils no later gradient.
        adapter.run(tensor)
    kept, outputs = record(adapter, tensor, layers)
    middle = 12 * 12 + 14  # a cell of the second scale
    scalar = adapter.scalar(outputs, Target(2, "", (middle,), part))
    assert scalar.shape == ()
    gradients = torch.autograd.grad(scalar, [kept[path] for path in layers])
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)


def test_what_is_no_yolox_is_said_in_one_sentence(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    short = dict(saved())
    del short["backbone.C3_p4.conv1.conv.weight"]
    torch.save(short, tmp_path / "short.pth")
    for name in ("other", "short"):
        with pytest.raises(WeightsProblem, match="does not hold the tensors of a YOLOX") as caught:
            load(spec_of(name, path=str(tmp_path / f"{name}.pth")))
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelProblem, match="There is no YOLOX called yolox_xl: choose one of yolox_nano"):
        build_untrained("yolox_xl", 0)
