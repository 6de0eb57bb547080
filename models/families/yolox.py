"""Load YOLOX (Apache-2.0) on libreyolo's modules (MIT).

Both were trained on blue, green and red from 0 to 255 as they are, on a square whose bars are grey (114). Megvii's rule
rounds the picture's sides down and MMDetection's to the nearest pixel; before release 0.1.1 Megvii's weights wanted
normalised pixels, and those files are not for this.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models import labels
from sightglass.models.adapter import Part, Progress
from sightglass.models.adapters.detector import SIDES, Detections, Detector, cell_grid
from sightglass.models.adapters.folding import join_act
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.geometry import ModelInput
from sightglass.models.layers import Layer, Section, name_presets
from sightglass.models.load import TableDraft
from sightglass.models.preprocess import letterbox
from sightglass.models.spec import ModelSpec

CLASSES = ("head.cls_preds.0.weight", "bbox_head.multi_level_conv_cls.0.weight")
"""Tensors of which one has a row for each class."""
STRIDES = (8, 16, 32)
"""Pixels of the input that a cell of each scale is."""
NECK = ("backbone.C3_p3", "backbone.C3_n3", "backbone.C3_n4")
"""The maps that the head reads, finest first."""
_SIZES = {
    "yolox_nano": (1, 16, True),
    "yolox_tiny": (1, 24, False),
    "yolox_s": (1, 32, False),
    "yolox_m": (2, 48, False),
    "yolox_l": (3, 64, False),
    "yolox_x": (4, 80, False),
}
"""Bottlenecks of a short stage, channels of the stem, and whether convolutions are depthwise."""
_BACKBONE = tuple(f"backbone.backbone.{name}" for name in ("stem", "dark2", "dark3", "dark4", "dark5"))
# In the order of execution, which the nesting of libreyolo's modules does not show.
_NECK_STEPS = tuple(
    f"backbone.{name}"
    for name in ("lateral_conv0", "C3_p4", "reduce_conv1", "C3_p3", "bu_conv2", "C3_n3", "bu_conv1", "C3_n4")
)
# From MMDetection's names to Megvii's, one after the other.
_RENAMED = (
    *((rf"^backbone\.stage{n}\b", f"backbone.backbone.dark{n + 1}") for n in (1, 2, 3, 4)),
    (r"^backbone\.stem\b", "backbone.backbone.stem"),
    (r"^neck\.reduce_layers\.0\b", "backbone.lateral_conv0"),
    (r"^neck\.reduce_layers\.1\b", "backbone.reduce_conv1"),
    *((rf"^neck\.top_down_blocks\.{i}\b", f"backbone.C3_p{4 - i}") for i in (0, 1)),
    *((rf"^neck\.downsamples\.{i}\b", f"backbone.bu_conv{2 - i}") for i in (0, 1)),
    *((rf"^neck\.bottom_up_blocks\.{i}\b", f"backbone.C3_n{3 + i}") for i in (0, 1)),
    (r"^neck\.out_convs\b", "head.stems"),
    (r"^bbox_head\.multi_level_(cls|reg)_convs\b", r"head.\1_convs"),
    (r"^bbox_head\.multi_level_conv_(cls|reg|obj)\b", r"head.\1_preds"),
    *((rf"\.{name}_conv\b", f".conv{i}") for i, name in enumerate(("main", "short", "final"), 1)),
    (r"\.(blocks|poolings)\b", ".m"),
    (r"\.(d|p)(epth|oint)wise_conv\b", r".\1conv"),
    (r"\.activate$", ".act"),
)


def load(spec: ModelSpec, progress: Progress | None = None) -> "YoloxDetector":
    """Open a Megvii or MMDetection checkpoint on the CPU, by its tensors.

    Raises WeightsProblem where the file holds no YOLOX, ModelProblem for an untrained one of no known size.
    """
    if (seed := spec.weights.random) is not None:
        module = build_untrained(spec.arch, seed, classes=len(labels.stated_names(spec)) or 80)
        return adapt(spec, module, checkpoint.digest(module))
    path = locate(spec, progress=progress)
    tensors = checkpoint.read(path)
    # MMDetection has swapped in the averaged weights on saving.
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("ema_")}
    of_mmdetection = any(name.startswith("bbox_head.") for name in tensors)
    if of_mmdetection:
        tensors = {megvii_name(name): tensor for name, tensor in tensors.items()}
    try:
        module = Yolox(*_shape(tensors))
        module.load_state_dict(tensors)
    except (KeyError, RuntimeError) as problem:
        names = "Megvii's or MMDetection's names"
        raise WeightsProblem(f"{path} does not hold the tensors of a YOLOX, by {names}.") from problem
    return adapt(spec, module, sha256_of(path), of_mmdetection=of_mmdetection)


def adapt(spec: ModelSpec, module: "Yolox", sha256: str, *, of_mmdetection: bool = False) -> "YoloxDetector":
    """Adapt a YOLOX; its classes are the operator's, COCO's 80, or numbers."""
    count = module.classes
    names = labels.complete(spec, tuple(labels.coco().values()) if count == 80 else (), count)
    detector = YoloxDetector(spec, module, names, sha256)
    detector.rounding = 0.5 if of_mmdetection else 0.0
    return detector


def draft(path: Path, saved: checkpoint.Checkpoint) -> TableDraft | None:
    """Draft the table of a YOLOX's checkpoint; None for any other."""
    if not {"backbone.backbone.stem.conv.conv.weight", CLASSES[1]} & saved.tensors.keys():
        return None
    last = next((saved.tensors[key] for key in CLASSES if key in saved.tensors), None)
    table = {"task": "detect", "method": "hirescam", "weights": {"path": str(path)}}
    draft = TableDraft("yolox", "yolox", table, notes=("Its tensors are those of a YOLOX.",))
    # Without a file of names its classes are COCO's, or numbers.
    return replace(draft.with_labels(None if last is None else len(last)), unnamed=False)


def build_untrained(arch: str, seed: int, *, classes: int = 80) -> "Yolox":
    """Build an untrained YOLOX of a size, reproducible by its seed."""
    if arch not in _SIZES:
        raise ModelProblem(f"There is no YOLOX called {arch}: choose one of {', '.join(_SIZES)}.")
    return checkpoint.build_seeded(lambda: Yolox(*_SIZES[arch], classes), seed)


def megvii_name(name: str) -> str:
    """Translate a tensor's name from MMDetection to Megvii."""
    for theirs, ours in _RENAMED:
        name = re.sub(theirs, ours, name)
    return name


def _shape(tensors: dict[str, Tensor]) -> tuple[int, int, bool, int]:
    """Return the arguments of `Yolox` for a state dict; raise KeyError for others."""
    stage = "backbone.backbone.dark2"
    blocks = {name.split(".")[5] for name in tensors if name.startswith(f"{stage}.1.m.")}
    channels, classes = (tensors[f"{key}.weight"] for key in ("backbone.backbone.stem.conv.conv", "head.cls_preds.0"))
    return len(blocks), len(channels), f"{stage}.0.dconv.conv.weight" in tensors, len(classes)


class Yolox(nn.Module):
    """Megvii's network, by Megvii's names; from blue, green, red (B, 3, h, w), 0..255, to `Detections`.

    `blocks`: bottlenecks of a short stage, three times Megvii's depth; `channels`: of the stem, 64 times its width.
    """

    def __init__(self, blocks: int, channels: int, depthwise: bool, classes: int) -> None:
        from libreyolo.models.yolox.nn import YOLOPAFPN, YOLOXHead

        super().__init__()
        self.channels, self.classes = channels, classes
        self.backbone = YOLOPAFPN(blocks / 3, channels / 64, depthwise=depthwise)
        self.head = YOLOXHead(classes, channels / 64, depthwise=depthwise)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eps = 1e-3

    def forward(self, tensor: Tensor) -> Detections:
        head: Any = self.head
        logits, regressions, objectness = [], [], []
        for i, feature in enumerate(self.backbone(tensor)):
            shared = head.stems[i](feature)
            logits.append(head.cls_preds[i](head.cls_convs[i](shared)))
            towards_box = head.reg_convs[i](shared)
            regressions.append(head.reg_preds[i](towards_box))
            objectness.append(head.obj_preds[i](towards_box))
        centres, sides = cell_grid([(level.shape[2], level.shape[3]) for level in regressions], STRIDES, regressions[0])
        strides = sides[:, None]

        def boxes(levels: tuple[Tensor, ...]) -> Tensor:
            rows = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)  # (B, N, 4)
            # Counted from the cell's own corner, not from its middle.
            middle, extent = rows[..., :2] * strides + (centres - strides / 2), rows[..., 2:].exp() * strides / 2
            return torch.cat((middle - extent, middle + extent), 2)

        return Detections(tuple(logits), tuple(regressions), boxes, centres, sides, tuple(objectness))


def _fuse(module: nn.Module) -> None:
    """Fold each norm into the convolution before it, whose activation is out of place then."""
    parts: list[Any] = [*module.modules()]
    for part in parts:
        if isinstance(norm := getattr(part, "bn", None), nn.BatchNorm2d):
            part.conv, part.act = fuse_conv_bn_eval(part.conv, norm), nn.SiLU()
            del part.bn
            join_act(part)


class YoloxDetector(Detector):
    """A Megvii or MMDetection YOLOX."""

    parts: tuple[Part, ...] = ("class", "contrast", "objectness", "box", *SIDES, "all")
    rounding = 0.0
    """Added to a resized side before it is cut to whole pixels: MMDetection's rule rounds to the nearest."""

    def __init__(self, spec: ModelSpec, module: Yolox, labels: Sequence[str], weights_sha256: str) -> None:
        """Adapt a module, which is fused and from then on the adapter's own."""
        super().__init__(spec, module, labels, weights_sha256)
        _fuse(self.module)
        size = max(spec.preprocessing.sides or (416 if module.channels < 32 else 640,))
        self._size = -(-size // STRIDES[-1]) * STRIDES[-1]

    @property
    def resizing(self) -> str:
        return f"long side → {self._size}, with bars, bilinear, no antialias"

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        """Fit uint8 (H, W, 3) into a square, in the corner or centred."""
        place = {"squash": "squash", "letterbox": "centre"}.get(preprocessing, "corner")
        canvas, geometry = letterbox(pixels, (self._size, self._size), place, lambda side: int(side + self.rounding))
        backwards = np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1))
        return ModelInput(torch.from_numpy(backwards).float().unsqueeze(0), geometry)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return name_presets(layers, NECK, _BACKBONE, self._size) or super().presets(layers)

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        """Return the backbone's stages, the neck's steps and the head's towers."""
        towers = [f"head.{name}.{i}" for i in range(len(NECK)) for name in ("stems", "cls_convs", "reg_convs")]
        steps: dict[Section, Sequence[str]] = {"backbone": _BACKBONE, "neck": _NECK_STEPS, "head": towers}
        return {path: section for section, paths in steps.items() for path in paths}

    def alias(self, name: str) -> str:
        """Accept MMDetection's names too (`neck.out_convs.0`), and a norm's, which its convolution replaces."""
        known, theirs = dict(self.module.named_modules()), megvii_name(name)
        return next((path for path in (name, theirs, re.sub(r"\.bn$", ".conv", theirs)) if path in known), name)
