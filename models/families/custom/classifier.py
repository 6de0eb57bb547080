"""Probe and adapt classifiers, embedders and networks of pixels of unknown origin."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models import labels
from sightglass.models.adapter import to_eval
from sightglass.models.adapters.classifier import Classifier, Embedder, PreparedAdapter
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter, as_pixels, is_map
from sightglass.models.adapters.tasks import (
    ANSWERS,
    COARSEST,
    FEW,
    FILLS,
    Kind,
    assumed,
    kind_of,
    logits_of,
    task_of_names,
)
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.preprocess import IMAGENET, READY, Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task

SIDE, STEP = 224, 32
"""Usual input side in pixels, and what the sides of most networks' inputs are multiples of."""
SMALL = {1: 32, 2: 32, 4: 32, 8: 64}
"""Usual input side of networks by their total stride, where that is small."""
USUAL = ("logits", "out", "output", "pred")
"""Names under which a module returns its answer beside other things."""
SEVERAL = f"It was taken for {ANSWERS['multilabel']}: each has a probability of its own."
PROBABLE = "It returns probabilities: their logarithms are taken for its logits."


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Facts about a module from passes of flat pictures."""

    task: Task
    count: int
    """Classes, numbers, or entries of a vector; 2 of a module that answers with one number for yes or no."""
    kind: Kind
    preprocessing: Preprocessing
    why: str
    """Source of the inferred preprocessing."""
    notes: tuple[str, ...]
    step: int = 1
    """Of a segmentation network: see `Segmenter.step`."""
    pixels: bool = False
    """Whether its one number is of each pixel, as a depth."""
    activation: str = ""
    """Path of the last softmax or sigmoid, which is left out."""


def outputs_in(output: Any) -> dict[str | int, Tensor]:
    """Return a module output's tensors by name or place; a single one is 0."""
    if isinstance(output, torch.Tensor):
        return {0: output}
    parts: dict[str | int, Any] = {}
    if hasattr(output, "items"):
        parts = dict(output.items())
    elif isinstance(output, (list, tuple)):
        parts = dict(zip(getattr(output, "_fields", range(len(output))), output, strict=True))
    elif hasattr(output, "logits"):
        parts = {0: output.logits}
    # Deeper ones are named by the first tensor's place alone: (logits, (features, ...)).
    inner = {name: next(iter(outputs_in(part).values()), None) for name, part in parts.items()}
    return {name: tensor for name, tensor in inner.items() if tensor is not None}


def answer_in(output: Any, chosen: str | int | None = None) -> Tensor | None:
    """Return the (B, n) output: the `chosen`, only, or usual one; None with several."""
    return _choose(_rows_in(output), chosen)


def map_in(output: Any, chosen: str | int | None = None, *, numbers: bool = False) -> Tensor | None:
    """Return the (B, classes, h, w) output: the `chosen`, only, or usual one.

    `numbers`: one may be without classes, (B, h, w), as a depth's.
    """
    tensors = outputs_in(output)
    if numbers:
        tensors = {name: as_pixels(tensor) for name, tensor in tensors.items()}
    return _choose({name: tensor for name, tensor in tensors.items() if is_map(tensor)}, chosen)


def _choose(tensors: dict[str | int, Tensor], chosen: str | int | None) -> Tensor | None:
    if chosen is None:
        usual = next((name for name in USUAL if name in tensors), None)
        chosen = next(iter(tensors)) if usual is None and len(tensors) == 1 else usual
    return None if chosen is None else tensors.get(chosen)


def is_row(tensor: Tensor) -> bool:
    """Return whether a map is of one pixel, (B, n, 1, 1)."""
    return tensor.ndim == 4 and tensor.shape[2:] == (1, 1)


def _rows_in(output: Any) -> dict[str | int, Tensor]:
    """Return the outputs that are rows of numbers, (B, n)."""
    rows = {}
    for name, tensor in outputs_in(output).items():
        flat = tensor.flatten(1) if is_row(tensor) else tensor
        if flat.ndim in (1, 2):
            rows[name] = flat[:, None] if flat.ndim == 1 else flat
    return rows


def probe(
    module: nn.Module, stated: PreprocessingTable, spec: ModelSpec, task: Task | None = None, *, named: bool = False
) -> ProbeResult:
    """Probe a module's input and output; `stated`: its known preprocessing. A last softmax or sigmoid is removed.

    `task` is the caller's; None: inferred, `named` if its classes have names. Raises ModelProblem if it takes no
    picture of a usual size, or returns no row of numbers.
    """
    module = to_eval(module)
    convolutions = (part for part in module.modules() if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)))
    if isinstance(next(convolutions, None), nn.Conv3d):
        raise ModelProblem(f"{spec.id} takes volumes (Conv3d), and only flat pictures can be explained here.")
    channels, built_for = _input_of(module, stated, spec)
    stated = stated.for_channels(channels)
    trial = _Trial(module, channels, spec, numbers=task == "regress")
    size, why = _size(trial, stated.sides, built_for)
    crop = "centre" if size[0] == size[1] else "squash"
    preprocessing = Preprocessing(size, min(size), *IMAGENET, crop=crop).changed(stated)
    runs = trial.run_all(size)
    answers, last, maps = [run.answer for run in runs], runs[0].last, runs[0].maps
    count, step, notes, path = answers[0].shape[1], 1, tuple[str, ...](), ""
    if maps:
        step = math.gcd(*size, STEP)
        if isinstance(trial.run((size[0], size[1] + step)), Exception):
            # It takes one size only.
            preprocessing = replace(preprocessing, crop="squash")
        task, notes = _task_of_maps(spec, task, count)
    elif task == "segment":
        raise ModelProblem(f"{spec.id} returns one row of numbers, and no class for each pixel: state another task.")
    elif task is None:
        task, notes = _infer_task(spec, answers, last, named=named)
    elif task == "classify" and not spec.in_memory and _is_multilabel(answers, last):
        # Without a task in the table it is classify.
        task, notes = "multilabel", (SEVERAL,)
    cut = task in ("classify", "multilabel") and isinstance(last, (nn.Softmax, nn.LogSoftmax, nn.Sigmoid))
    if cut:
        path = next(path for path, part in module.named_modules() if part is last)
        module.set_submodule(path, nn.Identity())
        notes += ("Its logits are explained, before its last activation.",)
        answers = [run.answer for run in trial.run_all(size)]
    kind: Kind = "numbers" if task in ("regress", "embed") else kind_of(answers, cut)
    if kind == "sigmoids" and task == "classify":
        kind = "logits"
    notes += (PROBABLE,) if kind in ("probabilities", "probability", "sigmoids") else ()
    count = 2 if count == 1 and kind != "numbers" else count
    pixels = maps and task == "regress"
    return ProbeResult(task, count, kind, preprocessing, why, notes, step, pixels, path)


def _task_of_maps(spec: ModelSpec, task: Task | None, count: int) -> tuple[Task, tuple[str, ...]]:
    """Return the task of `count` maps, and a note where it is inferred; raise ModelProblem for other stated tasks."""
    if task == "regress":
        if count > 1:
            raise ModelProblem(f"{spec.id} returns {count} maps of numbers: wrap it to return one row of numbers.")
        return task, ()
    # Without a task in the table it is classify.
    if task not in (None, "segment") and (spec.in_memory or task != "classify"):
        raise ModelProblem(f"{spec.id} returns a map for each class, as segmentation does: state task segment.")
    note = f"It was taken for {ANSWERS['segment']}: it returns a map of each class."
    return "segment", () if task == "segment" else (note,)


def _infer_task(
    spec: ModelSpec, answers: Sequence[Tensor], last: nn.Module | None, *, named: bool
) -> tuple[Task, tuple[str, ...]]:
    """Guess the task by names and numbers, with a note."""
    count, stated = answers[0].shape[1], spec.weights.labels
    names = [spec.id, spec.arch.rpartition(".")[2], str(spec.weights.output or "")]
    if (task := task_of_names(names, count, stated if isinstance(stated, tuple) else ())) is not None:
        return task, (f"It was taken for {ANSWERS[task]} by its name; task states another.",)
    if _is_multilabel(answers, last):
        return "multilabel", (SEVERAL,)
    unclear = kind_of(answers) in ("logits", "logit") and count <= FEW and not (named or isinstance(last, nn.Softmax))
    return "classify", ((assumed(count),) if unclear else ())


def _is_multilabel(answers: Sequence[Tensor], last: nn.Module | None) -> bool:
    """Return whether each of several numbers is a probability by itself."""
    return answers[0].shape[1] > 1 and (isinstance(last, nn.Sigmoid) or kind_of(answers) == "sigmoids")


def channels_of(module: nn.Module) -> int:
    """Return the number of channels of the first convolution, or that which an exported file states."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first.in_channels if first is not None else getattr(module, "channels", None) or 3


def _input_of(module: nn.Module, stated: PreprocessingTable, spec: ModelSpec) -> tuple[int, tuple[int, int] | None]:
    """Return the number of channels, checked against the preprocessing's, and any fixed input size."""
    expected = stated.channels_in or len(stated.mean or ()) or len(stated.std or ()) or None
    first = next((part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))), None)
    if isinstance(first, nn.Linear):
        for channels in (expected,) if expected else (3, 1):
            side = math.isqrt(first.in_features // channels)
            if side * side * channels == first.in_features:
                return channels, (side, side)
    channels = channels_of(module)
    if expected not in (None, channels):
        raise ModelProblem(
            f"{spec.id} takes {channels} channels, and its preprocessing is for {expected}: give one number a channel."
        )
    sizes = (getattr(part, name, None) for part in module.modules() for name in ("img_size", "image_size"))
    built_for = next((size for size in sizes if size), None)
    height, width = built_for if isinstance(built_for, (list, tuple)) and len(built_for) == 2 else (built_for,) * 2
    return channels, (height, width) if isinstance(height, int) and isinstance(width, int) else None


@dataclass(frozen=True, slots=True)
class _Answer:
    """One pass of a flat picture."""

    answer: Tensor
    """(1, n); where `maps` (pixels, n)."""
    cells: int
    """Height of the last map inside; 0 without one."""
    maps: bool = False
    """Whether it has a number for each class in each pixel."""
    last: nn.Module | None = None
    """The activation module that makes the answer."""


class _Trial:
    """Passes of flat pictures through somebody's module."""

    def __init__(self, module: nn.Module, channels: int, spec: ModelSpec, *, numbers: bool = False) -> None:
        self.module, self.channels, self.spec, self.numbers = module, channels, spec, numbers

    def run_all(self, size: tuple[int, int]) -> list[_Answer]:
        """Return the outputs of pictures of all `FILLS`."""
        return [run for fill in FILLS if isinstance(run := self.run(size, fill), _Answer)]

    def run(self, size: tuple[int, int], fill: float = 0.0) -> _Answer | Exception:
        """Return the output or the exception of one run."""
        calls: list[tuple[nn.Module, Tensor]] = []

        def record(part: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                calls.append((part, output))

        try:
            with torch.no_grad(), ExitStack() as hooks:
                for part in self.module.modules():
                    hooks.enter_context(part.register_forward_hook(record))
                picture = torch.full((1, self.channels, *size), fill)
                like = next((each for each in self.module.parameters() if each.is_floating_point()), picture)
                output = self.module(picture.to(like))
        # The caller's code may raise anything.
        except Exception as problem:
            return problem
        chosen = self.spec.weights.output
        answer = answer_in(output, chosen)
        pixels = map_in(output, chosen, numbers=self.numbers) if answer is None else None
        if pixels is not None and len(pixels) == 1 and pixels.shape[2] * COARSEST >= size[0]:
            return _Answer(pixels[0].flatten(1).T, pixels.shape[2], maps=True)
        if answer is None or len(answer) != 1:
            raise ModelProblem(describe_output(self.spec, output))
        heights = [tensor.shape[-2] for _, tensor in calls if tensor.ndim == 4 and tensor.shape[-1] > 1]
        return _Answer(answer, heights[-1] if heights else 0, last=self._activation(calls, answer))

    def _activation(self, calls: Sequence[tuple[nn.Module, Tensor]], answer: Tensor) -> nn.Module | None:
        """Return the activation module that makes an answer, or None."""
        kinds = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Tanh)
        activations = [(part, tensor) for part, tensor in calls if isinstance(part, kinds) and part is not self.module]
        if not activations or activations[-1][1] is not answer:
            return None
        last = activations[-1][0]
        return last if [part for part, _ in activations].count(last) == 1 else None


def describe_output(spec: ModelSpec, output: Any) -> str:
    """Describe an unsupported output and the remedy."""
    tensors, rows = outputs_in(output), _rows_in(output)
    if (chosen := spec.weights.output) is not None and chosen not in tensors:
        return f"{spec.id} has no output {chosen!r}: it returns {', '.join(map(str, tensors)) or 'no tensor'}."
    if len(rows) > 1 and chosen is None:
        listed = ", ".join(f"{name} ({row.shape[1]})" for name, row in rows.items())
        first = next(iter(rows))
        example = f'"{first}"' if isinstance(first, str) else str(first)
        argument = "output" if spec.in_memory else "weights.output"
        return f"{spec.id} returns {len(rows)} outputs, {listed}: choose one with {argument}={example}."
    if isinstance(output, (list, tuple)) and output and isinstance(output[0], dict) and "boxes" in output[0]:
        return f"{spec.id} returns boxes: give a detector by its name in the catalogue, or as an ONNX file."
    shapes = ", ".join("x".join(map(str, tensor.shape)) for tensor in tensors.values()) or type(output).__name__
    return (
        f"{spec.id} returns {shapes}: wrap it in a module that returns one row of numbers for a picture, or a map of "
        "each class."
    )


def _size(
    trial: _Trial, stated: tuple[int, int] | None, built_for: tuple[int, int] | None
) -> tuple[tuple[int, int], str]:
    """Return (h, w) of the input, and how it was found: stated, fixed by a layer, or usual."""
    spec, channels = trial.spec, trial.channels
    height, width = first = stated or built_for or (SIDE, SIDE)
    reply = trial.run(first)
    if isinstance(reply, _Answer):
        if stated or built_for:
            return first, "the numbers"
        shrunk = height // reply.cells if reply.cells else height
        small = SMALL.get(shrunk)
        if small and isinstance(trial.run((small, small)), _Answer):
            return (small, small), f"it shrinks a picture {shrunk} times only"
        return first, f"it takes {height} x {width}"
    reason = describe_error(reply)
    if not re.search(r"size|shape|mat1|dimension|kernel|channels", reason, re.IGNORECASE):
        raise ModelProblem(
            f"{spec.id} cannot run on a picture as float32 (1, {channels}, {height}, {width}) ({reason}): wrap it in a "
            "module that takes one."
        ) from reply
    key = spec.where_stated("preprocessing.size")
    raise ModelProblem(
        f"{spec.id} takes no picture {height} x {width} with {channels} channels ({reason}): say {key}."
    ) from reply


SATURATED = 1 - 1e-6
"""Probability above which little but rounding is left of its gradient."""


class CustomInput(PreparedAdapter):
    """Find the answer in whatever a module returns."""

    kind: Kind = "logits"
    activation = ""
    """Path of the module's last softmax or sigmoid, which is left out."""

    def cut(self) -> None:
        """Leave the last activation out."""
        if self.activation:
            self.module.set_submodule(self.activation, nn.Identity())

    def _answer(self, tensor: Tensor) -> Tensor:
        output, chosen = self.module(tensor), self.spec.weights.output
        numbers = self.measures_pixels
        answer = answer_in(output, chosen) if self.has_row else map_in(output, chosen, numbers=numbers)
        assert answer is not None
        return logits_of(answer, self.kind)

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing != READY:
            return super().prepare(pixels, preprocessing)
        size = (pixels.shape[0], pixels.shape[1])
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return ModelInput(tensor[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))


class CustomClassifier(CustomInput, Classifier):
    """A module whose answer names classes or quantities."""

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        saturated = self.gradients and self.kind in ("probabilities", "probability", "sigmoids")
        if saturated and float(self.class_scores(outputs)[0].detach().max()) > SATURATED:
            return (
                "It is saturated, so next to no gradient is left: give logits, without the last softmax or sigmoid.",
            )
        return ()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer before pooling; of a transformer the last tokens that attention reads."""
        pooled = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d)
        candidates = [layer for layer in layers if not isinstance(self.module.get_submodule(layer.path), pooled)]
        return super().default_layers(candidates or layers)


class CustomSegmenter(CustomInput, Segmenter):
    """A module with a class per pixel."""


class CustomDepth(CustomInput, PixelNumbers):
    """A module with a number per pixel."""


class CustomEmbedder(CustomInput, Embedder):
    """A module whose answer is a vector to compare."""


CustomAdapter = CustomClassifier | CustomEmbedder | CustomSegmenter | CustomDepth


def adapt(
    spec: ModelSpec,
    module: nn.Module,
    sha256: str,
    task: Task | None,
    known: PreprocessingTable,
    *,
    names_in_file: Callable[[int], Sequence[str]] = lambda _: (),
    notes: tuple[str, ...] = (),
    change: Callable[[ProbeResult], ProbeResult] = lambda result: result,
) -> CustomAdapter:
    """Probe a module and return its adapter.

    `known`: what is stated of its preprocessing; `names_in_file` returns so many names of classes; `change` what is
    known better than by probing.
    """
    result = change(probe(module, known, spec, task, named=spec.weights.labels is not None))
    spec = spec.as_segmentation() if result.task == "segment" else replace(spec, task=result.task)
    notes += result.notes
    names: tuple[str, ...] = ()
    if result.task != "embed":
        usual = labels.imagenet()
        if result.task == "segment":
            usual = labels.voc() if spec.in_memory else ()
        binary = result.kind in ("logit", "probability")
        names, label_notes = labels.for_classes(spec, result.count, names_in_file(result.count), usual, binary=binary)
        notes += label_notes if result.task == "segment" or not spec.in_memory else ()
    if result.why:
        notes += note_preprocessing(spec, result.preprocessing, result.why)
    kinds: dict[str, type[CustomAdapter]] = {"segment": CustomSegmenter, "embed": CustomEmbedder}
    kind = kinds.get(result.task, CustomDepth if result.pixels else CustomClassifier)
    adapter = kind(spec, module, names, result.preprocessing, sha256, notes=notes)
    adapter.kind, adapter.activation = result.kind, result.activation
    if isinstance(adapter, Segmenter):
        adapter.step = result.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, key = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"Its preprocessing was inferred ({why}): {preprocessing}, mean {mean}; {key} states another.",)
