"""Adapt models that are in memory.

What is adapted is a copy that shares the parameters' memory, so the model itself keeps its mode, device, hooks and
`requires_grad`.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files.scratch import scratch_folder
from sightglass.models import labels
from sightglass.models.checkpoints import checkpoint
from sightglass.models.families import transformers
from sightglass.models.families.custom import transforms
from sightglass.models.families.custom.classifier import CustomClassifier, probe
from sightglass.models.families.timm.networks import preprocessing_of
from sightglass.models.families.transformers import of_processor
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.adapter import Adapter

READY = "ready"
"""The preprocessing of a tensor (C, h, w) that needs none."""
NEAR = 0.02
"""Largest deviation from a straight line, in widths of the picture, of a transform that only scales and shifts."""


def adapt(model: Any, *, preprocess: Any = None, names: Any = None, name: str = "") -> Adapter:
    """Return the adapter of a model object, on the CPU.

    `preprocess`: a torchvision `Compose` or preset, a processor of Transformers, any function from a Pillow image to a
    tensor (C, h, w), a table as `weights.preprocessing`, or None: inferred, and tensors are taken as they are. `names`:
    of the classes, a list or {index: name}. Raises ModelProblem, one sentence.
    """
    home = type(model).__module__.partition(".")[0]
    spec = ModelSpec(
        name or type(model).__name__, "In memory", "", "custom.in_memory", type(model).__qualname__, "classify", "yours"
    )
    stated, transform = stated_by(preprocess)
    spec = spec.with_weights(labels=None if names is None else list_names(names), preprocessing=stated)
    known = {"ultralytics": _ultralytics, "keras": _keras, "transformers": _transformers}.get(home)
    if known is None and isinstance(model, torch.jit.ScriptModule):
        known = _scripted
    if known is not None:
        if transform is not None:
            raise ModelProblem(
                f"A {type(model).__name__} takes no function as preprocess: give a Compose of torchvision, a "
                "processor, or a table."
            )
        return known(spec, model)
    if not isinstance(model, nn.Module):
        raise ModelProblem(
            f"A {type(model).__name__} is no model: give a name of the catalogue, or a model of PyTorch, Keras, "
            "Ultralytics or Transformers."
        )
    return _module(spec, model, transform)


def list_names(names: Any) -> tuple[str, ...]:
    """Return the names of classes, given as a list or as {index: name}."""
    return tuple(str(row) for row in ([names[index] for index in sorted(names)] if hasattr(names, "keys") else names))


def shared_copy(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in eval mode, whose parameters share the memory of those that are there."""
    memo: dict[int, Any] = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in module.parameters()}
    memo |= {id(one): one.detach() for one in module.buffers()}
    try:
        return deepcopy(module, memo).cpu().eval()
    # A tensor with a history, an open file, a lock: anything may hang on a module.
    except Exception as problem:
        raise ModelProblem(
            f"The {type(module).__name__} could not be copied ({str(problem)[:160].rstrip('.')}): detach the tensors "
            "that it keeps."
        ) from problem


def _module(spec: ModelSpec, model: nn.Module, transform: Callable[..., Any] | None) -> InMemoryClassifier:
    module = shared_copy(model)
    known, why = spec.preprocessing, "by trying sizes"
    if transform is not None:
        height, width = _tensor(transform, np.zeros((300, 400, 3), np.uint8)).shape[1:]
        known = PreprocessingTable(size=(height, width))
    elif known == PreprocessingTable() and isinstance(getattr(module, "pretrained_cfg", None), dict):
        known, why = transforms.keys(preprocessing_of(module)), "as timm's weights of that name"
    sides = known.sides
    seen = probe(module, replace(known, size=min(sides) if sides else None), spec)
    preprocessing = replace(seen.preprocessing, size=sides) if sides else seen.preprocessing
    binary = seen.kind in ("logit", "probability")
    names, _ = labels.for_classes(spec, seen.classes, otherwise=labels.imagenet(), binary=binary)
    notes = seen.notes if transform is not None else seen.notes + _assume(spec, preprocessing, why)
    made = InMemoryClassifier(spec, seen.module, names, preprocessing, checkpoint.digest(module), notes=notes)
    made.kind, made.transform = seen.kind, transform
    made.preprocessings = (*made.preprocessings, READY)
    return made


class InMemoryClassifier(CustomClassifier):
    """A module as it is given: pictures go through its own transform, tensors that are ready straight in."""

    transform: Callable[..., Any] | None = None
    """From a Pillow image to a tensor (C, h, w), where it cannot be read as a `Preprocessing`."""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing == READY:
            size = (pixels.shape[0], pixels.shape[1])
            tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            return ModelInput(tensor[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
        if self.transform is None or preprocessing != "trained":
            return super().prepare(pixels, preprocessing)
        tensor = _tensor(self.transform, pixels)
        return ModelInput(tensor[None], measure(self.transform, (pixels.shape[0], pixels.shape[1])))

    @property
    def resizing(self) -> str:
        return super().resizing if self.transform is None else "by the given function"


def measure(transform: Callable[..., Any], size: tuple[int, int]) -> Geometry:
    """Find where a transform puts a picture of (H, W), by what becomes of a ramp along each side.

    Raises ModelProblem for a transform that is random, or does more than scale, shift, crop and pad.
    """
    black, white = (_tensor(transform, np.full((*size, 3), tone, np.uint8)).double() for tone in (0, 255))
    span = (white - black).mean(0)
    inside = span.abs() > 0.5 * span.abs().max()
    scales, offsets = [], []
    for axis in (0, 1):
        ramp = np.linspace(0, 255, size[axis]).round().astype(np.uint8)
        pixels = np.broadcast_to(ramp[:, None, None] if axis == 0 else ramp[None, :, None], (*size, 3)).copy()
        found = _tensor(transform, pixels).double()
        if not torch.equal(found, _tensor(transform, pixels).double()):
            raise ModelProblem("The transform is random: give the one that is used to evaluate the model.")
        share = ((found - black).mean(0) / span)[inside]
        place = (inside.nonzero()[:, axis] + 0.5).double()
        # Edges of pixels: the ramp is 0 in the middle of the first and 1 in the middle of the last.
        source = share * (size[axis] - 1) + 0.5
        middle = place.mean()
        slope = float(
            ((place - middle) * (source - source.mean())).sum() / ((place - middle) ** 2).sum().clamp_min(1e-9)
        )
        start = float(source.mean() - slope * middle)
        off = (slope * place + start - source).abs().quantile(0.9)
        if slope <= 0 or float(off) > max(NEAR * size[axis], 1):
            raise ModelProblem(
                "The transform flips, turns or warps pictures: give one that only resizes, crops and pads."
            )
        scales.append(1 / slope)
        offsets.append(-start / slope)
    h, w = black.shape[1:]
    return Geometry(size, (int(h), int(w)), (scales[0], scales[1]), (offsets[0], offsets[1]))


def _tensor(transform: Callable[..., Any], pixels: NDArray[Any]) -> Tensor:
    """Return float32 (C, h, w) of a picture; raise ModelProblem where the transform fails or returns something else."""
    try:
        found = transform(Pillow.fromarray(pixels))
    # It is somebody else's code.
    except Exception as problem:
        raise ModelProblem(
            f"preprocess raised {type(problem).__name__} ({str(problem)[:160].rstrip('.')}): it is called with a "
            "Pillow image."
        ) from problem
    tensor = torch.as_tensor(np.asarray(found) if not isinstance(found, torch.Tensor) else found)
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if tensor.ndim != 3:
        raise ModelProblem(f"preprocess returned {tuple(tensor.shape)}: it should return (C, height, width).")
    return tensor.detach().cpu().float()


def stated_by(preprocess: Any) -> tuple[PreprocessingTable, Callable[..., Any] | None]:
    """Return a preprocessing as keys of a table, or the function that it is."""
    if preprocess is None or isinstance(preprocess, dict):
        return PreprocessingTable.read(preprocess or {}), None
    if isinstance(preprocess, Preprocessing):
        return transforms.keys(preprocess), None
    if hasattr(preprocess, "image_mean"):
        return transforms.keys(of_processor(preprocess.to_dict())), None
    try:
        return transforms.keys(transforms.preprocessing_of(preprocess)), None
    except ModelProblem:
        if callable(preprocess):
            return PreprocessingTable(), preprocess
        raise


def network_of(model: Any) -> Any:
    """Return the module whose parts' names are the layers' paths: the network inside a YOLO, else the model itself."""
    return model.model if type(model).__module__.startswith("ultralytics.") and hasattr(model, "predictor") else model


def _ultralytics(spec: ModelSpec, model: Any) -> Adapter:
    from sightglass.models.families.ultralytics.loader import adapt as adapted

    module: Any = shared_copy(network_of(model)).float()
    classifies = type(module.model[-1]).__name__ == "Classify"
    task, method = ("classify", "gradcam") if classifies else ("detect", "hirescam")
    return adapted(replace(spec, task=task, method=method), module, checkpoint.digest(module))


def _keras(spec: ModelSpec, model: Any) -> Adapter:
    from sightglass.models.families.keras import loader

    with scratch_folder("model") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with _without_file(path, spec):
            return loader.load(replace(spec.with_weights(path=str(path)), arch="keras"))


def _scripted(spec: ModelSpec, model: torch.jit.ScriptModule) -> Adapter:
    from sightglass.models.families.exported import loader

    with scratch_folder("model") as folder:
        path = Path(folder) / "model.torchscript"
        torch.jit.save(model, str(path))
        with _without_file(path, spec):
            return loader.load(spec.with_weights(path=str(path)))


@contextmanager
def _without_file(path: Path, spec: ModelSpec) -> Iterator[None]:
    """Name the model in a problem, and not the file that it is passed on in, which nobody has seen."""
    try:
        yield
    except Problem as problem:
        raise type(problem)(str(problem).replace(str(path), spec.id).replace(path.name, spec.id)) from problem


def _transformers(spec: ModelSpec, model: Any) -> Adapter:
    net: Any = shared_copy(model)
    preprocessing = transformers.usual(net.config).changed(spec.preprocessing)
    sha256, notes = checkpoint.digest(net), _assume(spec, preprocessing, "as ViTs usually are")
    if hasattr(net.config, "text_config"):
        raise ModelProblem(
            f"A {spec.arch} reads words too: write it with save_pretrained, and give its folder to Explainer."
        )
    return transformers.make_adapter(spec, spec.arch, net, preprocessing, sha256, notes)


def _assume(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    if spec.preprocessing.complete:
        return ()
    return (f"Its preprocessing was inferred ({why}): {preprocessing}; give `preprocess` to state it.",)
