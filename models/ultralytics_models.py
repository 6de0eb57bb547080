"""Ultralytics YOLO: detectors (detect, segment and pose, of which the boxes are used) and `-cls` classifiers."""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from types import MethodType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models import checkpoint, labels
from models.adapter import Geometry, Layer, ModelInput, ModelSpec
from models.classifier import Classifier
from models.detector import MOST, Detections, Detector
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
    distances = tuple(tower(x) for tower, x in zip(branch["box_head"], maps, strict=True))
    centres, strides = make_anchors(maps, head.stride, 0.5)

    def boxes(given: tuple[Tensor, ...]) -> Tensor:
        rows = torch.cat([level.flatten(2) for level in given], 2)
        return dist2bbox(head.dfl(rows).transpose(1, 2), centres, xywh=False) * strides  # type: ignore[no-any-return]

    return Detections(tuple(logits), distances, boxes, centres * strides, strides[:, 0])


class YoloDetector(Detector):
    """A module from float32 (B, 3, h, w), 0..1, to `Detections`."""

    def __init__(self, spec: ModelSpec, module: Any, weights_sha256: str) -> None:
        self._head = module.model[-1]
        super().__init__(spec, module, _labels(spec, module, self._head.nc), weights_sha256)
        self._head.forward = MethodType(_detect, self._head)
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

    def run(self, tensor: Tensor) -> Detections:
        found: Detections = self.module(tensor)
        return found

    def kept(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        from ultralytics.utils.nms import non_max_suppression
        from ultralytics.utils.ops import xyxy2xywh

        scores = outputs.scores[:1]  # (1, K, N)
        if self._head.end2end:
            best, classes, anchors = self._head.get_topk_index(scores.transpose(1, 2), MOST)
            kept = best[0, :, 0] > confidence
            return anchors[0, kept].flatten(), classes[0, kept].flatten().long()
        boxes = outputs.boxes[:1].detach().float()  # (1, N, 4)
        found = torch.cat((xyxy2xywh(boxes).transpose(1, 2), scores), 1)
        (rows,), (anchors,) = non_max_suppression(found, confidence, iou, max_det=MOST, return_idxs=True)
        return anchors.flatten().long(), rows[:, 5].long()

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """The maps that the head reads, one per scale."""
        inputs = {f"model.{index}" for index in self._head.f}
        found = tuple(layer.path for layer in layers if layer.path in inputs)
        return {"all neck outputs": found} if found else super().presets(layers)
