"""torchvision's detectors answer as torchvision says, and let a gradient through from the candidates that are shown."""

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sightglass.common.errors import ModelProblem
from sightglass.models import catalog, labels
from sightglass.models.adapter import Target
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.architectures import build_dense
from sightglass.models.families.torchvision.detectors import TorchvisionDetections, TorchvisionDetector, adapt
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec
from tests.built import record
from tests.conftest import asset
from tests.unit.models.specs import own_spec

EVERY = tuple(spec for spec in catalog.catalog().values() if spec.loader == "torchvision.detectors")
FASTER = "fasterrcnn_mobilenet_v3_large_320_fpn"
RETINA, FCOS, SSD, LITE = "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"
QUICK = (FASTER, RETINA, FCOS, LITE)
KINDS = (*QUICK, pytest.param(SSD, marks=pytest.mark.slow))
REST = tuple(spec.arch for spec in EVERY if spec.arch not in (*QUICK, SSD))
SMALL = 128
"""Pixels of the short side here; torchvision's own 800 show nothing more and take a hundred times as long."""


def spec_of(arch: str, **weights: Any) -> ModelSpec:
    return own_spec(arch, "torchvision.detectors", arch, "detect", **weights)


@cache
def bus() -> NDArray[np.uint8]:
    return np.asarray(Image.open(asset("ultralytics", "assets", "bus.jpg")))


def tensor_of(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255


def last_layers(module: Any) -> dict[str, list[Any]]:
    """The layers that say classes and boxes; what comes before them may be any features."""
    if hasattr(module, "rpn"):
        head, predictor = module.rpn.head, module.roi_heads.box_predictor
        return {
            "objectness": [head.cls_logits],
            "region": [head.bbox_pred],
            "class": [predictor.cls_score],
            "box": [predictor.bbox_pred],
        }
    classes, boxes = module.head.classification_head, module.head.regression_head
    if hasattr(classes, "module_list"):
        ends = [[x[-1] if isinstance(x, torch.nn.Sequential) else x for x in h.module_list] for h in (classes, boxes)]
        return {"class": ends[0], "box": ends[1]}
    heads = {"class": [classes.cls_logits], "box": [boxes.bbox_reg]}
    return heads | ({"objectness": [boxes.bbox_ctrness]} if hasattr(boxes, "bbox_ctrness") else {})


def lively(module: Any) -> None:
    """Scale the norms and the last layers so that an untrained model shows a few dozen boxes of many classes."""
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for part in norms:
        part.momentum = None
        part.train()
    pictures = [tensor_of(bus()), tensor_of(bus()).flip(2)]
    module(pictures)
    for part in norms:
        part.eval()
    nameless = torch.tensor([number not in labels.coco() for number in range(91)])
    two_stage = hasattr(module, "rpn")
    softmax = two_stage or hasattr(module.head.classification_head, "module_list")
    spread = {"region": 0.2, "objectness": 2.0, "class": 2.5, "box": 0.4 if softmax else 0.3}
    parts = last_layers(module)
    seen: dict[Any, list[torch.Tensor]] = {}
    handles = [
        layer.register_forward_hook(lambda m, _i, out: seen.setdefault(m, []).append(out.flatten()))
        for layers in parts.values()
        for layer in layers
    ]
    module(pictures[:1])
    for name in sorted(parts, key=list(spread).index):
        if two_stage:  # what a proposal holds depends on the layers before
            seen.clear()
            module(pictures[:1])
        for layer in parts[name]:
            layer.weight *= spread[name] / (torch.cat(seen[layer]).std() + 1e-6)
            layer.bias.zero_()
            if name == "class":
                bias = layer.bias.view(-1, 91)
                bias[:, nameless] = -30
                if softmax:
                    bias[:, 0] = 6
                else:
                    bias -= 6
    for handle in handles:
        handle.remove()


@cache
def built(arch: str) -> tuple[TorchvisionDetector, Any]:
    """Ours, and torchvision's model with the same numbers."""
    module: Any = checkpoint.build_seeded(lambda: build_dense(arch, classes=91), 0).eval()
    if not module.transform.fixed_size:
        module.transform.min_size, module.transform.max_size = (SMALL,), 2 * SMALL
    with torch.no_grad():
        lively(module)
    theirs = deepcopy(module)
    return adapt(spec_of(arch), module, ""), theirs


@cache
def answer(arch: str) -> TorchvisionDetections:
    adapter, _ = built(arch)
    with torch.no_grad():
        return adapter.run(adapter.prepare(bus(), "trained").tensor)


def same(adapter: TorchvisionDetector, theirs: Any, pixels: NDArray[np.uint8], confidence: float, iou: float) -> int:
    """How many boxes both show, all of them the same."""
    inputs = adapter.prepare(pixels, "trained")
    with torch.no_grad():
        boxes = adapter.decode(adapter.run(inputs.tensor), inputs.geometry, top_k=1, confidence=confidence, iou=iou)
        (expected,) = theirs([tensor_of(pixels)])
    coco = labels.coco()
    assert len(boxes) == len(expected["labels"])
    assert np.allclose([p.score for p in boxes], expected["scores"], atol=1e-3)
    rest = list(zip(expected["labels"].tolist(), expected["scores"].tolist(), expected["boxes"].tolist(), strict=True))
    for p in boxes:  # equal scores may come in any order
        twins = [
            place
            for place, (number, score, box) in enumerate(rest)
            if coco[number] == p.label and abs(score - p.score) < 1e-3 and np.abs(np.subtract(box, p.box)).max() < 1
        ]
        assert twins, p
        del rest[twins[0]]
    return len(boxes)


@pytest.mark.parametrize("arch", [*KINDS, *(pytest.param(arch, marks=pytest.mark.slow) for arch in REST)])
@pytest.mark.parametrize(("confidence", "iou"), [(0.05, 0.5), (0.3, 0.2)])
def test_boxes_are_those_of_torchvision(arch: str, confidence: float, iou: float) -> None:
    adapter, theirs = built(arch)
    heads = getattr(theirs, "roi_heads", theirs)
    heads.score_thresh, heads.nms_thresh = confidence, iou
    assert same(adapter, theirs, bus(), confidence, iou) >= (10 if confidence < 0.1 else 1)


@pytest.mark.parametrize("arch", [FASTER, LITE])
@pytest.mark.parametrize("size", [(90, 40), (1080, 810), (33, 500), (500, 1)])
def test_input_equals_torchvisions(arch: str, size: tuple[int, int]) -> None:
    adapter, theirs = built(arch)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    model_input = adapter.prepare(pixels, "trained")
    if min(size) == 1 and arch == FASTER:
        assert model_input.tensor.shape[3] == 32  # torch cannot resize to no width at all
    else:
        expected, _ = theirs.transform([tensor_of(pixels)])
        assert torch.equal(model_input.tensor, expected.tensors)
        assert adapter._images(model_input.tensor).image_sizes == [tuple(size) for size in expected.image_sizes]
        left, top, right, bottom = model_input.geometry.content
        assert (left, top, (bottom, right)) == (0, 0, tuple(expected.image_sizes[0]))
    assert model_input.geometry.input == tuple(model_input.tensor.shape[2:])
    assert model_input.geometry.seen == (0, 0, size[1], size[0])


@pytest.mark.parametrize("arch", KINDS)
def test_every_part_has_gradients(arch: str) -> None:
    adapter, _ = built(arch)
    tensor = adapter.prepare(bus(), "trained").tensor
    blank = [path for path, _ in adapter.module.named_modules()]
    neck = [path for path in adapter._neck() if path in blank]
    paths = (adapter._body(dict.fromkeys(blank))[-1], *neck[: 1 if arch == FASTER else 2])  # type: ignore[arg-type]
    kept, outputs = record(adapter, tensor, tuple(dict.fromkeys(paths)))
    # A candidate hangs on the maps of its own scale, and a side that is cut off or clamped on none.
    best = outputs.scores[0].amax(0)
    groups = torch.zeros_like(best, dtype=torch.long) if outputs.groups is None else outputs.groups
    each = [best.where(groups == group, -1).topk(9).indices.tolist() for group in groups.unique()[:2]]
    anchors = tuple(anchor for several in each for anchor in several)
    for part in adapter.parts:
        scalar = adapter.scalar(outputs, Target(int(outputs.best(anchors[0])), "", anchors, part))
        for path, gradient in zip(kept, torch.autograd.grad(scalar, [*kept.values()], retain_graph=True), strict=True):
            assert gradient.isfinite().all() and gradient.any(), (part, path)
    assert not any(parameter.requires_grad for parameter in adapter.module.parameters())
    assert ("objectness" in adapter.parts) == (arch == FCOS)


@pytest.mark.parametrize("arch", [FASTER, LITE])
def test_a_batch_answers_for_each_of_its_pictures(arch: str) -> None:
    adapter, _ = built(arch)
    first = adapter.prepare(bus(), "trained").tensor
    with torch.no_grad():
        both, alone = adapter.run(torch.cat((first, first.flip(3)))), adapter.run(first.flip(3))
    # In a batch of a two-stage model the size without padding is of both; flipped, the bars are on the other side.
    assert arch == FASTER or torch.allclose(both.boxes[1], alone.boxes[0], atol=1e-3)
    assert torch.allclose(adapter.class_logits(both)[0], adapter.class_logits(answer(arch))[0], atol=1e-3)


def test_classes_of_sigmoids() -> None:
    for classes, names, shown in ((1, [], 1), (2, ["cat", "dog"], 2), (2, ["background", "dog"], 1)):
        assert len(adapt(spec_of(FCOS, labels=names or None), build_dense(FCOS, classes=classes), "").labels) == shown
    with pytest.raises(ModelProblem, match="no class beside the background"):
        adapt(spec_of(FASTER), build_dense(FASTER, classes=1), "")


@pytest.mark.parametrize("arch", [pytest.param(RETINA, marks=pytest.mark.slow), FCOS])
def test_torchvision_files_are_read(arch, tmp_path, monkeypatch):
    import torchvision

    default = torchvision.models.get_model_weights(arch).DEFAULT
    # As in the files: norms were frozen, and a frozen norm counts no batches.
    state = {k: v.clone() for k, v in built(arch)[1].state_dict().items() if not k.endswith("num_batches_tracked")}
    for name in [name for name in state if name.endswith("running_var")]:
        # So small that it matters what is added to it.
        norm = name.removesuffix("running_var")
        scale = (1e-4 / state[name].clamp(min=1e-6)).sqrt()
        state[name].fill_(1e-4)
        state[f"{norm}weight"] *= scale
    monkeypatch.setattr(type(default), "get_state_dict", lambda *_a, **_k: state)
    theirs = torchvision.models.get_model(arch, weights=default).eval()
    torch.save(state, tmp_path / "file.pth")
    adapter = load(spec_of(arch, path=str(tmp_path / "file.pth")))
    probe = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = (module.backbone(probe) for module in (adapter.module, theirs))  # type: ignore[operator]
    for key in a:
        assert (a[key] - b[key]).abs().max() < 1e-3 * b[key].abs().max()
