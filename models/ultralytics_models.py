"""Ultralytics YOLO: detectors (detect, segment and pose, of which the boxes are used) and `-cls` classifiers."""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models import checkpoint, labels
from models.adapter import Geometry, Layer, ModelInput, ModelSpec, Prediction, Target
from models.classifier import Classifier, freeze
from models.errors import ModelProblem
from models.preprocess import Preprocessing
from models.weights import cache, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.weights import Progress


def load(spec: ModelSpec, progress: Progress | None = None) -> YoloClassifier | YoloDetector:
    """Open a checkpoint on the CPU; raises ModelProblem where Ultralytics cannot.

    A `.pt` of Ultralytics is a pickle, and opening one runs the code in it: only files that `models.weights` finds in
    places the operator named may come here, never an upload.
    """
    if "random" in spec.weights:
        module = untrained(spec.arch, spec.weights["random"])
        module.names = {index: f"{name} (untrained)" for index, name in module.names.items()}
        return adapt(spec, module, checkpoint.digest(module))
    path = locate(spec, progress=progress)
    import_quietly()
    from ultralytics.nn.tasks import load_checkpoint

    try:
        module, _ = load_checkpoint(path)
    # Unpickling can fail in any way at all.
    except Exception as reason:
        raise ModelProblem(f"{path.name} is not a checkpoint that Ultralytics can open.") from reason
    # Of two branches `predict` shows the one-to-many boxes, after NMS, for as long as they are there.
    if getattr(module.model[-1], "cv2", None) is not None:
        module.end2end = False
    return adapt(spec, module, sha256_of(path))


def untrained(arch: str, seed: int) -> Any:
    """The architecture that a checkpoint's name or Ultralytics' own `.yaml` stands for, the same for the same seed."""
    import_quietly()
    from ultralytics import YOLO

    name = arch.removesuffix(".pt").removesuffix(".yaml")
    return checkpoint.seeded(lambda: YOLO(f"{name}.yaml", verbose=False).model, seed)


def import_quietly() -> None:
    """Import Ultralytics so that it looks up no host, installs nothing, and leaves other libraries as they were."""
    if "ultralytics" in sys.modules:
        return
    os.environ |= {"YOLO_CONFIG_DIR": str(cache() / "ultralytics"), "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0"}
    os.environ.setdefault("YOLO_VERBOSE", "0")
    # Its import would leave later libraries and child processes one thread, switch off OpenCV's, and make Pillow
    # look for a package to install wherever it meets a file that is no picture.
    threads, opener, saver = cv2.getNumThreads(), Image.open, torch.save
    chosen = "OMP_NUM_THREADS" in os.environ
    from ultralytics import settings

    if not chosen:
        del os.environ["OMP_NUM_THREADS"]
    cv2.setNumThreads(threads)
    Image.open, torch.save = opener, saver
    if settings["sync"]:
        settings.update(sync=False)


def adapt(spec: ModelSpec, module: Any, weights_sha256: str) -> YoloClassifier | YoloDetector:
    """A built Ultralytics model as an Adapter; the module is fused, frozen and from then on the adapter's own."""
    from ultralytics.nn.modules import OBB, Classify, Detect, WorldDetect

    head = module.model[-1]
    task = "classify" if isinstance(head, Classify) else "detect"
    # Turned boxes are no xyxy, and an open vocabulary without words of its own has no fixed classes.
    if not isinstance(head, (Classify, Detect)) or isinstance(head, (OBB, WorldDetect)) or hasattr(head, "lrpc"):
        raise ModelProblem(f"{spec.id} ends in {type(head).__name__}: only plain detectors and classifiers fit here.")
    if task != spec.task:
        raise ModelProblem(f'{spec.id} is a model to {task}: say task = "{task}" in its table.')
    if module.yaml.get("channels", 3) != 3:
        raise ModelProblem(f"{spec.id} takes {module.yaml['channels']} channels, and a picture here has 3.")
    fused = module.eval().fuse(verbose=False)
    # Every convolution shares one activation, with other models too: its in-place flag would be theirs to switch
    # back on, and a hook on it would fire at each of them.
    for part in list(fused.modules()):
        if isinstance(getattr(part, "act", None), nn.Module):
            part.act = deepcopy(part.act)
            part.act.inplace = False
    if task == "detect":
        return YoloDetector(spec, fused, weights_sha256)
    names = _labels(spec, fused, fused.model[-1].linear.out_features)
    return YoloClassifier(spec, fused, names, _preprocessing(fused), weights_sha256)


def _labels(spec: ModelSpec, module: Any, count: int) -> tuple[str, ...]:
    given = labels.own(spec) or module.names
    names = given if isinstance(given, dict) else dict(enumerate(given))
    return tuple(str(names.get(index, index)) for index in range(count))


def _preprocessing(module: Any) -> Preprocessing:
    """What the checkpoint says it was trained with; Ultralytics' own default where it says nothing usable."""
    from ultralytics.data.augment import classify_transforms

    steps = getattr(getattr(module, "transforms", None), "transforms", [])
    kinds = [type(step).__name__ for step in steps]
    if kinds != ["Resize", "CenterCrop", "ToTensor", "Normalize"] or not isinstance(steps[0].size, int):
        steps = classify_transforms().transforms
    resize, crop, _, normalise = steps
    mean, std = (np.asarray(numbers, float).tolist() for numbers in (normalise.mean, normalise.std))
    interpolation = Image.Resampling[resize.interpolation.name]
    return Preprocessing(tuple(crop.size), resize.size, tuple(mean), tuple(std), interpolation)


class YoloClassifier(Classifier):
    """A `-cls` model, which in eval mode returns its probabilities and its logits."""

    def _answer(self, tensor: Tensor) -> Any:
        return self.module(tensor)[1]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Every candidate of a batch, before any is thrown away."""

    boxes: Tensor
    """(B, N, 4) xyxy in pixels of the input."""
    levels: tuple[Tensor, ...]
    """Class logits per scale of the head, (B, classes, cells); apart, so that a gradient walks one tower only."""

    @property
    def logits(self) -> Tensor:
        """(B, classes, N)."""
        return torch.cat(self.levels, 2)


def _detect(head: Any, feats: list[Tensor]) -> Detections:
    """What takes the place of the head's own forward: the branch whose boxes it would show, and nothing kept.

    The library's forward caches anchors on the head (a call under inference mode then spoils later gradients), drops
    all but the strongest candidates of an end-to-end head, and computes masks that are not used here.
    """
    from ultralytics.utils.tal import dist2bbox, make_anchors

    branch = head.one2one if head.end2end else head.one2many
    maps = feats[: head.nl]
    logits = [tower(x) for tower, x in zip(branch["cls_head"], maps, strict=True)]
    if "contrastive_head" in branch:  # YOLOE: the words it was given come after the maps
        logits = [tower(x, feats[-1]) for tower, x in zip(branch["contrastive_head"], logits, strict=True)]
    distances = torch.cat([tower(x).flatten(2) for tower, x in zip(branch["box_head"], maps, strict=True)], 2)
    centres, strides = make_anchors(maps, head.stride, 0.5)
    boxes = dist2bbox(head.dfl(distances).transpose(1, 2), centres, xywh=False) * strides  # (B, N, 4)
    return Detections(boxes, tuple(level.flatten(2) for level in logits))


class YoloDetector:
    """A module from float32 (B, 3, h, w), 0..1, to `Detections`, as an `Adapter`."""

    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash")

    def __init__(self, spec: ModelSpec, module: Any, weights_sha256: str) -> None:
        self.spec = spec
        self.module = freeze(module)
        self.weights_sha256 = weights_sha256
        self._head = module.model[-1]
        self._head.forward = MethodType(_detect, self._head)
        self.labels = _labels(spec, module, self._head.nc)
        self._stride = max(int(module.stride.max()), 32)
        size = int(np.max((getattr(module, "args", None) or {}).get("imgsz", 640)))
        self._size = -(-size // self._stride) * self._stride

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        from ultralytics.data.augment import LetterBox

        if preprocessing not in self.preprocessings:
            raise ModelProblem(f"{preprocessing} is no way to prepare a picture here: try {self.preprocessings[0]}.")
        squash = preprocessing == "squash"
        box = LetterBox(self._size, auto=preprocessing == "trained", scale_fill=squash, stride=self._stride)
        placed = np.asarray(box(image=pixels))
        (height, width), (h, w) = pixels.shape[:2], placed.shape[:2]
        ratio = min(self._size / height, self._size / width)
        inner = (h, w) if squash else (max(round(height * ratio), 1), max(round(width * ratio), 1))
        # An odd pixel of bar goes to the bottom or the right.
        offset = (float((h - inner[0]) // 2), float((w - inner[1]) // 2))
        geometry = Geometry((height, width), (h, w), (inner[0] / height, inner[1] / width), offset)
        tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(255)
        return ModelInput(tensor.unsqueeze(0), geometry)

    def run(self, tensor: Tensor) -> Any:
        return self.module(tensor)

    def decode(
        self, outputs: Detections, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        """All boxes above `confidence`, as `predict` 300 at most; `top_k` is for classifiers."""
        from ultralytics.utils.nms import non_max_suppression
        from ultralytics.utils.ops import xyxy2xywh

        boxes = outputs.boxes[:1].detach().float()  # (1, N, 4)
        scores = outputs.logits[:1].detach().float().sigmoid()  # (1, K, N)
        if self._head.end2end:
            best, classes, anchors = self._head.get_topk_index(scores.transpose(1, 2), 300)
            kept = best[0, :, 0] > confidence
            anchors = anchors[0, kept]
            rows = torch.cat((boxes[0, anchors], best[0, kept], classes[0, kept]), 1)
        else:
            found = torch.cat((xyxy2xywh(boxes).transpose(1, 2), scores), 1)
            (rows,), (anchors,) = non_max_suppression(found, confidence, iou, max_det=300, return_idxs=True)
        return [
            Prediction(self.labels[int(index)], int(index), score, geometry.box_to_original((x0, y0, x1, y1)), anchor)
            for (x0, y0, x1, y1, score, index), anchor in zip(rows.tolist(), anchors.tolist(), strict=True)
        ]

    def class_logits(self, outputs: Detections) -> Tensor:
        return outputs.logits.amax(2)

    def scalar(self, outputs: Detections, target: Target) -> Tensor:
        """The sum of the logits of a class at the target's candidates; at its strongest one where none is named."""
        anchors = target.anchors or (int(outputs.logits[0, target.index].argmax()),)
        terms, start = [], 0
        for level in outputs.levels:
            if here := [anchor - start for anchor in anchors if start <= anchor < start + level.shape[2]]:
                terms.append(level[0, target.index, here])
            start += level.shape[2]
        if not terms:
            raise ModelProblem(f"This input has {start} candidates, and {anchors[0]} is not among them.")
        return torch.cat(terms).sum()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """The maps that the head reads, one per scale."""
        inputs = {f"model.{index}" for index in self._head.f}
        return tuple(layer.path for layer in layers if layer.path in inputs) or (layers[-1].path,)
