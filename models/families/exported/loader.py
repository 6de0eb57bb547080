"""Load exported models: ONNX, TorchScript, torch.export and OpenVINO files.

Their answers can always be explained by hiding parts of the picture (explain/methods/rise.py). Where a classifier's
file keeps its modules or its graph, the modules are rebuilt, so that it has layers and gradients like any other
(models/families/exported/classifier.py). The inside of a detector is not seen.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapters.detector import MAX_BOXES, Detections, Detector
from sightglass.models.adapters.peaks import name_peaks
from sightglass.models.adapters.segmenter import is_map
from sightglass.models.adapters.tasks import ANSWERS, FEW, ask_task, assumed, task_of_names
from sightglass.models.checkpoints.checkpoint import archive_names
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.custom.classifier import FILLS, kind_of
from sightglass.models.families.custom.inspect import find_labels
from sightglass.models.families.exported.classifier import (
    ExportedClassifier,
    ExportedEmbedder,
    classifier,
    place_of,
)
from sightglass.models.families.exported.files import (
    CHANNELS,
    ONNX,
    OPENVINO,
    PROGRAM,
    TORCHSCRIPT,
    choice,
    open_file,
    plain,
    read_labels,
    taken,
)
from sightglass.models.families.exported.graphs import ADVICE
from sightglass.models.families.exported.layouts import LAYOUTS, Candidates, Layout, grid, infer
from sightglass.models.families.exported.runtime import pad, pieces
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.inspect import TRUST, TableDraft, Toml, Unknown
from sightglass.models.preprocess import GREY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.adapter import Part, Progress
    from sightglass.models.families.exported.runtime import Runtime
    from sightglass.models.spec import ModelSpec, Task

__all__ = ["ExportedClassifier", "ExportedDetector", "as_answered", "detections", "inspect", "letterbox", "load"]

LOGGER = logging.getLogger(__name__)
SIZES = {"detect": 640, "classify": 224}
"""Input side in pixels where neither the file nor the operator says."""
PLACES = ("centre", "corner", "squash")
SURE = 1e-6
"""Distance of scores from 0 and 1, where a logit would be infinite."""


def load(spec: ModelSpec, progress: Progress | None = None) -> ExportedDetector | ExportedClassifier | ExportedEmbedder:
    """Open a file in its runtime; raise ModelProblem, one sentence, where its outputs fit no layout.

    TorchScript can run code: like Ultralytics' checkpoints it is opened only in places that the operator named.
    """
    path = locate(spec, progress=progress)
    runtime = open_file(path)
    wanted = spec.weights.layout
    if wanted is not None and wanted not in LAYOUTS:
        raise ModelProblem(f"{wanted} is no layout of {spec.id}: use one of {', '.join(LAYOUTS)}.")
    notes: list[str] = []
    size = _size(spec, runtime, notes)
    outputs = _probe(runtime, size, taken(spec, runtime))
    if spec.task != "detect":
        place = place_of(spec, runtime, outputs)
        outputs = (outputs[place].flatten(1) if outputs[place].shape[2:] == (1, 1) else outputs[place],)
    peaks = spec.measures and is_map(outputs[0])
    if peaks:
        spec = name_peaks(spec, outputs[0].shape[1], read_labels(runtime))
    if wanted is None and ((outputs[0].ndim == 2 and len(outputs) == 1) or peaks):
        if spec.task == "detect":
            raise ModelProblem(f'{spec.id} answers with one row of numbers: say task = "classify" in its table.')
        made: ExportedDetector | ExportedClassifier | ExportedEmbedder = classifier(
            spec, runtime, size, outputs[0], notes, sha256_of(path)
        )
        if spec.task == "classify" and outputs[0].shape[1] <= FEW and not (spec.weights.labels or read_labels(runtime)):
            notes.append(assumed(outputs[0].shape[1]))
    else:
        if spec.task != "detect":
            shapes = ", ".join("x".join(map(str, out.shape)) for out in outputs)
            raise ModelProblem(
                f"{spec.id} answers with {shapes}, not a row of numbers: for boxes state task detect; for segmentation "
                "export a class's mean."
            )
        if runtime.channels not in (3, None):
            raise ModelProblem(f"{runtime.path.name} takes {runtime.channels} channels, and a detector here takes 3.")
        made = _detector(spec, runtime, size, outputs, notes, sha256_of(path))
    made.notes = tuple(notes)
    for note in notes:
        LOGGER.info("%s: %s", spec.id, note)
    return made


def _size(spec: ModelSpec, runtime: Runtime, notes: list[str]) -> tuple[int, int]:
    """Return (h, w): fixed by the file, else by the operator or its metadata, else a usual size."""
    known = plain(runtime.metadata.get("imgsz"))
    given = spec.preprocessing.sides
    if runtime.size is not None:
        return runtime.size
    if given is not None:
        return given
    if isinstance(known, int):
        return known, known
    if isinstance(known, list | tuple) and len(known) == 2:
        return int(known[0]), int(known[1])
    usual = SIZES.get(spec.task, SIZES["classify"])
    notes.append(f"{runtime.path.name} does not say how large its input is: {usual} px a side was assumed.")
    return usual, usual


def _probe(runtime: Runtime, size: tuple[int, int], channels: int) -> tuple[Tensor, ...]:
    """Return the answer to noise, and find out whether the file takes several pictures at once."""
    noise = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))
    if runtime.batch is not None:
        return tuple(out[:1] for out in runtime(noise[:1].repeat(runtime.batch, 1, 1, 1)))
    outputs: tuple[Tensor, ...] = runtime(noise[:1])
    if not outputs:
        raise ModelProblem(f"{runtime.path.name} answers with no tensor at all.")
    try:
        both = runtime(noise)
        # A batch of one that was traced as a constant may give one answer, or a wrong one.
        same = len(both[0]) == 2 * len(outputs[0]) and torch.allclose(both[0][:1], outputs[0], atol=1e-2, rtol=1e-3)
    except ModelProblem:
        same = False
    runtime.batch = None if same else 1
    return outputs


def _detector(
    spec: ModelSpec,
    runtime: Runtime,
    size: tuple[int, int],
    outputs: tuple[Tensor, ...],
    notes: list[str],
    sha256: str,
) -> ExportedDetector:
    names, name = labels.own(spec) or read_labels(runtime), spec.weights.layout
    task = runtime.metadata.get("task")
    if task not in (None, "detect", "segment", "pose"):
        raise ModelProblem(f"{runtime.path.name} is a model to {task}: only plain detectors and classifiers fit here.")
    try:
        found, count = infer(outputs, size, len(names) or None, task is not None)
    except ModelProblem:
        if name is None:
            raise
        found, count = name, 0
    if name is None:
        name = found
        notes.append(
            f"The layout of {runtime.path.name} was inferred from its shapes{' and metadata' if task else ''}: "
            f"{LAYOUTS[name].about}."
        )
    if not names and name == "torchvision":
        # The numbers that torchvision's own weights answer with, the gaps among them.
        known = labels.coco()
        names = tuple(known.get(number, f"class {number}") for number in range(max(known) + 1))
        notes.append("No labels are given: these are taken for COCO's, as torchvision numbers them.")
    if not names:
        if not count or name != found:
            say = spec.where_stated("labels")
            raise ModelProblem(f"{runtime.path.name} does not say which classes it knows: name them in {say}.")
        names, more = labels.for_classes(spec, count)
        notes += more
    return ExportedDetector(spec, runtime, names, LAYOUTS[name], size, sha256)


class ExportedDetector(Detector):
    """A runtime from float32 (B, 3, h, w) to `Detections`, without gradients."""

    gradients = False
    parts: tuple[Part, ...] = ("class", "box", "all")
    preprocessings: tuple[str, ...] = ("trained", "squash")

    def __init__(
        self,
        spec: ModelSpec,
        runtime: Runtime,
        names: Sequence[str],
        layout: Layout,
        size: tuple[int, int],
        weights_sha256: str,
    ) -> None:
        super().__init__(spec, runtime, names, weights_sha256)
        self._runtime = runtime
        self.extra_bytes = runtime.nbytes
        self.layout = layout
        self.nms = not layout.final
        self._size = size
        self._at_once = 1 if layout.alone else runtime.batch
        self._place = choice(spec, "place", PLACES, layout.place)
        self._pixels = PixelFormat.of(spec, layout)

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        self.check_preprocessing(preprocessing)
        place = "squash" if preprocessing == "squash" else self._place
        placed, geometry = letterbox(pixels, self._size, place)
        return ModelInput(self._pixels.tensor(placed), geometry)

    def run(self, tensor: Tensor) -> Detections:
        cells = None if self.layout.final else self._size
        return detections([self._read(part) for part in pieces(tensor, self._at_once)], cells)

    def _read(self, tensor: Tensor) -> Candidates:
        full = pad(tensor, None if self.layout.alone else self._runtime.batch)
        outputs = [out[: len(tensor)] if len(full) > len(tensor) else out for out in self._runtime(full)]
        try:
            return self.layout.read(outputs, len(self.labels), self._size)
        except (RuntimeError, IndexError, ValueError, TypeError) as reason:
            if isinstance(reason, ModelProblem):
                raise
            shapes = ", ".join(str(tuple(out.shape)) for out in outputs)
            raise ModelProblem(
                f"The outputs of {self.spec.id}, {shapes}, are not {self.layout.about}: say another layout."
            ) from reason

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        return super().select_boxes(outputs, confidence, iou) if self.nms else as_answered(outputs, confidence)


class PixelFormat:
    """Colours as a file expects them: the order of the channels, the value of white, mean and std in 0..1."""

    def __init__(self, bgr: bool, highest: int, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        self._bgr, self._highest = bgr, highest
        self._mean = None if mean is None else torch.tensor(mean).view(3, 1, 1)
        self._std = None if std is None else torch.tensor(std).view(3, 1, 1)

    @classmethod
    def of(cls, spec: ModelSpec, layout: Layout) -> PixelFormat:
        """Return the layout's colours, changed by the operator's table."""
        bgr = choice(spec, "channels", CHANNELS, CHANNELS[layout.bgr]) == "bgr"
        return cls(
            bgr, choice(spec, "range", (1, 255), layout.highest), spec.preprocessing.mean, spec.preprocessing.std
        )

    def tensor(self, placed: NDArray[np.uint8]) -> Tensor:
        """Turn uint8 (h, w, 3) RGB into float32 (1, 3, h, w)."""
        tensor = torch.from_numpy(np.ascontiguousarray(placed.transpose(2, 0, 1))).float().div_(255)
        if self._mean is not None:
            tensor -= self._mean
        if self._std is not None:
            tensor /= self._std
        tensor = tensor.flip(0) if self._bgr else tensor
        return (tensor * self._highest).unsqueeze(0)


def letterbox(pixels: NDArray[np.uint8], size: tuple[int, int], place: str) -> tuple[NDArray[np.uint8], Geometry]:
    """Place the whole picture in (h, w, 3) as Ultralytics (`centre`) or YOLOX (`corner`) does, or squeeze it."""
    (height, width), (h, w) = pixels.shape[:2], size
    ratio = min(h / height, w / width)
    whole = round if place == "centre" else int
    inner = (h, w) if place == "squash" else (max(whole(height * ratio), 1), max(whole(width * ratio), 1))
    resized = pixels
    if inner != (height, width):
        resized = np.asarray(cv2.resize(pixels, inner[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    top, left = ((h - inner[0]) // 2, (w - inner[1]) // 2) if place == "centre" else (0, 0)
    geometry = Geometry((height, width), size, (inner[0] / height, inner[1] / width), (float(top), float(left)))
    canvas = np.full((h, w, 3), GREY, np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = resized
    return canvas, geometry


def as_answered(outputs: Detections, confidence: float) -> tuple[Tensor, Tensor]:
    """Return candidates and classes, long (n,) each, best first, of a model that did its own suppression."""
    best, classes = outputs.scores[0].max(0)
    order = best.argsort(descending=True)
    anchors = order[best[order] > confidence][:MAX_BOXES]
    return anchors, classes[anchors]


def detections(found: Sequence[Candidates], size: tuple[int, int] | None) -> Detections:
    """Join the candidates of several passes into one batch, padded with candidates that score 0.

    `size`: (h, w) of the input where candidates may be cells of a grid; None where they are not.
    """
    count = max(part.boxes.shape[1] for part in found)
    boxes = torch.cat([_fill(part.boxes.transpose(1, 2), count) for part in found])  # (B, 4, N)
    classes = torch.cat([_fill(part.classes, count) for part in found])
    cells = None if size is None else grid(count, size)
    if cells is None:
        # Boxes without cells have their own centres; any point within a box selects it.
        first = boxes[0]
        centres = torch.stack((first[0] + first[2], first[1] + first[3]), 1) / 2
        units = torch.maximum(first[2] - first[0], first[3] - first[1]).clamp_min(1) / 3
    else:
        centres, units = (part.to(boxes) for part in cells)
    objectness = [_fill(part.objectness, count) for part in found if part.objectness is not None]
    chosen = [_fill(part.choice[:, None], count)[:, 0] for part in found if part.choice is not None]
    return Detections(
        levels=(_logit(classes)[..., None],),
        regressions=(boxes[..., None],),
        boxes_of=lambda given: given[0][..., 0].transpose(1, 2),
        centres=centres,
        units=units,
        objectness=(_logit(torch.cat(objectness))[..., None],) if objectness else (),
        choice=torch.cat(chosen) if chosen else None,
    )


def _fill(rows: Tensor, count: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, count - rows.shape[-1]))


def _logit(probabilities: Tensor) -> Tensor:
    return torch.logit(probabilities.float(), SURE)


_SIDE = Unknown(
    "weights.preprocessing.size", "How many pixels does a side of its input have?", ("224", "640"), "224", False
)


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of an exported file; None for another kind. Raises ModelProblem where it cannot be opened.

    Files that can run code when they are opened are only recognised.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        found = sorted(path.glob("*.xml"))
        return inspect(found[0]) if len(found) == 1 and found[0].with_suffix(".bin").is_file() else None
    if suffix in PROGRAM or (suffix in TORCHSCRIPT and _is_script(path)):
        return _draft_unopened(path, program=suffix in PROGRAM)
    if suffix in OPENVINO and not (other := path.with_suffix(".bin")).is_file():
        raise ModelProblem(f"{path.name} is one half of an OpenVINO model: give {other.name} with it.")
    if suffix in (*ONNX, *OPENVINO):
        return _open(path, open_file(path))
    return None


def _is_script(path: Path) -> bool:
    names = archive_names(path)
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def _draft_unopened(path: Path, *, program: bool) -> TableDraft:
    """Draft the table of a file that can run code when it is opened; `program`: of torch.export."""
    if program and not archive_names(path):
        raise ModelProblem(f"{path.name} is not what torch.export saves: {ADVICE}.")
    kind = "a file of torch.export" if program else "TorchScript"
    # A program states the size of its input, which is read once the file is trusted.
    side = replace(_SIDE, default="") if program else _SIDE
    unknown = (
        Unknown(
            TRUST, f"It is {kind}, and opening such a file can run code in it: do you trust its source?", ("no", "yes")
        ),
        ask_task(None, detects=True),
        side,
        Unknown(
            "weights.labels", "Where are the names of its classes (a .json, a data.yaml or a text file)?", needed=False
        ),
        *_numbers(None),
    )
    table = {"task": "classify", "weights": {"path": str(path)}}
    return TableDraft("exported", path.name, table, unknown, (f"It is {kind if program else 'a TorchScript file'}.",))


def _open(path: Path, runtime: Runtime) -> TableDraft:
    notes = [f"It is a model for {runtime.kind}."]
    size = runtime.size or (224, 224)
    channels = runtime.channels or 3
    noise = torch.rand(runtime.batch or 1, channels, *size, generator=torch.Generator().manual_seed(0))
    outputs: tuple[Tensor, ...] = runtime(noise)
    row = next((out for out in outputs if out.ndim == 2), None)
    # Detectors have one row of boxes and one of scores; heads have names, and one row for a picture each.
    heads = len(outputs) > 1 and all(out.ndim == 2 and len(out) == len(noise) for out in outputs)
    classifies = row is not None and (len(outputs) == 1 or heads)
    weights: Toml = {"path": str(path)}
    unknown: list[Unknown] = []
    task: str = "classify" if classifies else "detect"
    if heads:
        names = tuple(runtime.outputs) or tuple(map(str, range(len(outputs))))
        unknown.append(Unknown("weights.output", "Which of its outputs is to be explained?", names, needed=False))
    if classifies and row is not None and not heads:
        guess, sure = _task_of(path, runtime, row, noise)
        task = guess
        if sure:
            notes.append(f"It was taken for {ANSWERS[guess]}: task states another.")
        elif row.shape[1] <= FEW and not read_labels(runtime):
            unknown.append(ask_task(row.shape[1]))
    if runtime.size is None:
        unknown.append(_SIDE)
    else:
        notes.append(f"It takes {channels} channels of {size[0]} by {size[1]} pixels.")
    names = read_labels(runtime)
    # One number says no or yes.
    count = None
    if row is not None and classifies and not heads:
        count = row.shape[1] if task == "regress" else max(row.shape[1], 2)
    if names:
        notes.append(f"The names of its {len(names)} classes are in the file.")
    elif count is not None:
        if task != "embed":
            find_labels(path, count, weights, notes, unknown)
    else:
        unknown.append(Unknown("weights.labels", "Where are the names of its classes?", needed=False))
    if classifies and runtime.metadata.get("task") != "classify":
        unknown += _numbers(channels)
    table = {"task": task, "weights": weights}
    return TableDraft("exported", path.name, table, tuple(unknown), tuple(notes))


def _task_of(path: Path, runtime: Runtime, row: Tensor, noise: Tensor) -> tuple[Task, bool]:
    """Return the task that names and a few flat pictures suggest, and whether they do."""
    if runtime.metadata.get("task") == "classify":
        return "classify", True
    named = task_of_names([path.stem, *runtime.outputs], row.shape[1], read_labels(runtime))
    if named is not None:
        return named, True
    kind = kind_of([row[:1], *(runtime(torch.ones_like(noise) * fill)[0][:1] for fill in FILLS)])
    return ("multilabel", True) if kind == "sigmoids" else ("classify", False)


def _numbers(channels: int | None) -> list[Unknown]:
    usual = "ImageNet's" if channels in (3, None) else "0 and 1"
    return [
        Unknown(
            f"weights.preprocessing.{key}",
            f"Which {key} do its pictures have, one number for each channel like [0.5, 0.5, 0.5] (default: {usual})?",
            needed=False,
        )
        for key in ("mean", "std")
    ]
