"""Load models of Ultralytics; adapt its classifiers (`-cls`) and semantic segmentation (`-sem`)."""

import os
import sys
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import cv2
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sightglass.common.errors import ModelProblem, from_machine
from sightglass.models import labels
from sightglass.models.adapter import Adapter, Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.folding import join_act
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.adapters.tasks import both
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import cache, locate, sha256_of
from sightglass.models.families.custom.classifier import channels_of
from sightglass.models.families.ultralytics.detectors import (
    LetterboxedSteps,
    NumberedLayers,
    PoseDetector,
    RotatedDetector,
    RtDetr,
    YoloDetector,
    reader,
    trained_size,
)
from sightglass.models.families.ultralytics.prompts import OpenVocabulary
from sightglass.models.layers import Layer
from sightglass.models.preprocess import MAX_CHANNELS, Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable


class YoloSegmenter(LetterboxedSteps, Segmenter):
    """A module from (B, C, h, w) to pixel logits at 1/8 scale."""

    preprocessings: tuple[str, ...] = ("trained", "letterbox", "squash")

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        self._size, self._stride = trained_size(module)
        self._channels = count = channels_of(module)
        # Bars that fill a square are a way of their own: the trained one has as few as the stride allows.
        how = Preprocessing(
            (self._size, self._size), self._size, (0.0,) * count, (1.0,) * count, antialias=False, crop="aspect"
        )
        super().__init__(spec, module, labels, how, weights_sha256)

    def _answer(self, tensor: Tensor) -> Tensor:
        logits: Tensor = self.module(tensor)
        # As `predict` does before it chooses the classes.
        grown = interpolate(logits, tensor.shape[2:], mode="bilinear", align_corners=False)
        return both(grown) if grown.shape[1] == 1 else grown

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return choices of target layers, the neck's finest map first."""
        choices = super().presets(layers)
        return {name: paths for name, paths in choices.items() if name != "all neck outputs"} or choices

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the end of the backbone."""
        return super().presets(layers).get("backbone end") or super().default_layers(layers)


TASK_OF_HEAD = {"Classify": "classify", "SemanticSegment": "segment"}
"""Tasks by the class of the head, the last step; the task of all others is to detect."""


def load(spec: ModelSpec, progress: Progress | None = None) -> Adapter:
    """Open a checkpoint on the CPU; raises ModelProblem where Ultralytics cannot.

    A `.pt` of Ultralytics is a pickle, and opening one runs the code in it: only files that `models.weights` finds in
    places the operator named may come here, never an upload.
    """
    if (seed := spec.weights.random) is not None:
        module = build_untrained(spec.arch, seed)
        return adapt(spec, _one_to_many(module), checkpoint.digest(module))
    path = locate(spec, progress=progress)
    import_quietly()
    from ultralytics.nn.tasks import load_checkpoint

    try:
        module, _ = load_checkpoint(path)
    # Unpickling can fail in any way at all.
    except Exception as reason:
        unknown = ModelProblem(f"{path.name} is not a checkpoint that Ultralytics can open.")
        raise from_machine(reason) or unknown from reason
    return adapt(spec, _one_to_many(module), sha256_of(path))


def _one_to_many(module: Any) -> Any:
    """Select the one-to-many branch of an end-to-end head."""
    if getattr(module.model[-1], "cv2", None) is not None:
        module.end2end = False
    return module


def build_untrained(arch: str, seed: int) -> Any:
    """Build an untrained architecture, reproducible by its seed."""
    import_quietly()
    from ultralytics import RTDETR, YOLO

    # Weights for other data, and those that came to v3 and v5 later with a `u`, are of the same architecture.
    name = arch.removesuffix(".pt").removesuffix(".yaml").removesuffix("-oiv7")
    name = f"{name.removesuffix('u') if name.startswith(('yolov3', 'yolov5')) else name}.yaml"
    return checkpoint.build_seeded(lambda: (RTDETR(name) if "rtdetr" in name else YOLO(name)).model, seed)


def import_quietly() -> None:
    """Import Ultralytics without network access, installs, or side effects."""
    if "ultralytics" in sys.modules:
        return
    os.environ |= {"YOLO_CONFIG_DIR": str(cache() / "ultralytics"), "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0"}
    os.environ.setdefault("YOLO_VERBOSE", "0")
    # Its import would leave later libraries and child processes one thread, switch off OpenCV's, and make Pillow
    # search for a package to install at any file that is no picture.
    threads, opener, saver = cv2.getNumThreads(), Image.open, torch.save
    chosen = "OMP_NUM_THREADS" in os.environ
    from ultralytics import settings

    if not chosen:
        del os.environ["OMP_NUM_THREADS"]
    cv2.setNumThreads(threads)
    Image.open, torch.save = opener, saver
    if settings["sync"]:
        settings.update(sync=False)


def adapt(spec: ModelSpec, module: Any, weights_sha256: str, *, fuse: bool = True) -> Adapter:
    """Adapt an Ultralytics model; with `fuse` the module is fused, frozen and from then on the adapter's own."""
    head = module.model[-1]
    task = TASK_OF_HEAD.get(type(head).__name__, "detect")
    if task == "detect" and reader(head) is None:
        raise ModelProblem(
            f"{spec.id} ends in {type(head).__name__}: only detectors, classifiers and semantic segmentation fit here."
        )
    if task != spec.task:
        raise ModelProblem(f'{spec.id} is a model to {task}: say task = "{task}" in its table.')
    channels = channels_of(module)
    if channels > MAX_CHANNELS:
        raise ModelProblem(f"{spec.id} takes {channels} channels, and a picture here has {MAX_CHANNELS} at most.")
    fused = _fuse(module) if fuse else module
    many = head.linear.out_features if task == "classify" else max(head.nc, 2) if task == "segment" else _classes(fused)
    names = labels.complete(spec, fused.names, many)
    if task == "classify":
        stated = PreprocessingTable(divide_by=spec.preprocessing.divide_by).for_channels(channels)
        return YoloClassifier(spec, fused, names, _preprocessing(fused).changed(stated), weights_sha256)
    if task == "segment":
        return YoloSegmenter(spec.as_segmentation(), fused, names, weights_sha256)
    return _detector_of(head)(spec, fused, names, weights_sha256)


def _fuse(module: Any) -> Any:
    """Fold a model's norms into its convolutions, and these with their activations."""
    from ultralytics.nn.modules.conv import Conv, RepConv

    fused = module.eval().fuse(verbose=False)
    # Every convolution shares one activation, with other models too: its in-place flag would be theirs to switch
    # back on, and a hook on it would fire at each of them.
    for part in list(fused.modules()):
        if isinstance(getattr(part, "act", None), nn.Module):
            part.act = deepcopy(part.act)
            part.act.inplace = False
        if getattr(part.forward, "__func__", None) in (Conv.forward_fuse, RepConv.forward_fuse):
            join_act(part)
    return fused


def _detector_of(head: Any) -> type[YoloDetector]:
    """Return the kind of adapter for a detector's head."""
    from ultralytics.nn.modules.head import OBB, Pose, RTDETRDecoder

    if _takes_prompts(head):
        return OpenVocabulary
    kinds = {RTDETRDecoder: RtDetr, OBB: RotatedDetector, Pose: PoseDetector}
    return next((adapter for kind, adapter in kinds.items() if isinstance(head, kind)), YoloDetector)


def _takes_prompts(head: Any) -> bool:
    from ultralytics.nn.modules.head import WorldDetect, YOLOEDetect

    baked_in = hasattr(head, "lrpc") or getattr(head, "is_fused", False)
    return isinstance(head, (WorldDetect, YOLOEDetect)) and not baked_in


def _classes(module: Any) -> int:
    """Return the number of classes of a detector; of an open vocabulary as many as it carries."""
    head = module.model[-1]
    carried = getattr(module, "pe", getattr(module, "txt_feats", None)) if _takes_prompts(head) else None
    return int(head.nc if carried is None else carried.shape[1])


def _preprocessing(module: Any) -> Preprocessing:
    """Return the checkpoint's preprocessing, or Ultralytics' default."""
    from ultralytics.data.augment import classify_transforms

    steps = getattr(getattr(module, "transforms", None), "transforms", [])
    kinds = [type(step).__name__ for step in steps]
    if kinds != ["Resize", "CenterCrop", "ToTensor", "Normalize"] or not isinstance(steps[0].size, int):
        steps = classify_transforms(trained_size(module)[0]).transforms
    resize, crop, _, normalise = steps
    mean, std = (tuple(map(float, numbers)) for numbers in (normalise.mean, normalise.std))
    return Preprocessing(tuple(crop.size), resize.size, mean, std, resize.interpolation.value)


class YoloClassifier(NumberedLayers, Classifier):
    """A `-cls` model, which in eval mode returns its probabilities and its logits."""

    def _answer(self, tensor: Tensor) -> Any:
        return self.module(tensor)[1]

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return Classifier.presets(self, layers)
