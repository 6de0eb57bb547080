"""Adapt models that are in memory.

What is adapted is a copy with tensors of its own: a forward, `train` or `eval` that writes into weights cannot change
the caller's.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files.scratch import scratch_folder
from sightglass.models import labels
from sightglass.models.adapter import to_eval
from sightglass.models.adapters.classifier import PreparedAdapter
from sightglass.models.adapters.tasks import check_task
from sightglass.models.catalog import check_preprocessing, read_inputs, read_outputs
from sightglass.models.checkpoints import checkpoint
from sightglass.models.families.custom import transforms
from sightglass.models.families.custom.classifier import (
    CustomClassifier,
    CustomDepth,
    CustomEmbedder,
    CustomJoints,
    CustomSegmenter,
    name_numbers,
    probe,
)
from sightglass.models.families.custom.pair import PairClassifier, make_pair, probe_pair
from sightglass.models.families.timm.networks import preprocessing_of
from sightglass.models.families.transformers import loader as transformers
from sightglass.models.families.transformers.loader import of_processor
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.models.adapter import Adapter

SEGMENTATION = "torchvision.models.segmentation."
"""Beginning of the modules of torchvision's segmentation networks."""
NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
"""A picture with enough variety for any preprocessing."""
READY = "ready"
"""The preprocessing of a tensor (C, h, w) that needs none."""


def adapt(
    model: Any,
    *,
    preprocess: Any = None,
    names: Any = None,
    name: str = "",
    task: str | None = None,
    output: str | int | None = None,
    unit: str | None = None,
    outputs: Sequence[Mapping[str, Any]] = (),
    inputs: Sequence[Any] = (),
) -> Adapter:
    """Return the adapter of a model object, on the CPU.

    `preprocess`: a torchvision `Compose` or preset, a processor of Transformers, any function from a Pillow image to a
    tensor (C, h, w), a table as `weights.preprocessing`, or None: inferred, and tensors are taken as they are. `names`:
    of the classes or numbers: a list, {index: name}, {name: index} or the path of a file of them. `task`, `output` and
    `unit` are the table's, and so are `outputs`, which make it a regression; a task of None is inferred. Raises
    ModelProblem, one sentence.
    """
    _check_model(model)
    if not hasattr(model, "predictor"):
        model = network_of(model)
    stated_task = check_task(task) if task is not None else "regress" if outputs else None
    home = type(model).__module__.partition(".")[0]
    spec = ModelSpec(
        name or type(model).__name__,
        "In memory",
        "",
        "custom.in_memory",
        type(model).__qualname__,
        stated_task or "classify",
        "yours",
    )
    stated, transform = stated_by(preprocess)
    class_names = None if names is None else labels.given(names, spec.id)
    spec = spec.with_weights(
        labels=class_names,
        preprocessing=stated,
        output=output,
        unit=unit,
        outputs=read_outputs(outputs),
        inputs=read_inputs(inputs),
    )
    known = {"ultralytics": _ultralytics, "keras": _keras, "transformers": _transformers}.get(home)
    if known is None and isinstance(model, torch.jit.ScriptModule):
        known = _scripted
    if known is not None and inputs:
        raise ModelProblem(f"A {type(model).__name__} takes one picture here: `inputs` is for a module of PyTorch.")
    if known is not None:
        if home == "keras":
            return _keras(spec, model, transform)
        if transform is not None:
            raise ModelProblem(
                f"A {type(model).__name__} takes no function as preprocess: give a Compose of torchvision, a "
                "processor, or a table."
            )
        return known(spec, model)
    return _module(spec, model, transform, stated_task)


def _check_model(model: Any) -> None:
    """Raise ModelProblem for what is no model, with what was likely meant."""
    kind = type(model).__name__
    if isinstance(model, type):
        raise ModelProblem(f"{model.__name__} is a class: give a network made of it, {model.__name__}().")
    if hasattr(model, "keys") and not isinstance(model, nn.Module):
        raise ModelProblem(
            "These are weights without their network: load them into it (net.load_state_dict), and give the network."
        )
    if isinstance(model, nn.Module) or type(model).__module__.partition(".")[0] in ("ultralytics", "keras"):
        return
    if callable(model) and not hasattr(model, "parameters"):
        name = getattr(model, "__name__", kind)
        raise ModelProblem(f"{name} is a function: give the network that it makes or calls.")
    raise ModelProblem(
        f"A {kind} is no model: give a name of the catalogue, or a model of PyTorch, Keras, Ultralytics or "
        "Transformers."
    )


def check_initialised(module: nn.Module) -> None:
    """Raise ModelProblem for lazy layers that have no weights yet."""
    if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
        raise ModelProblem(
            f"The {type(module).__name__} has lazy layers without weights: run it on one picture before you give it."
        )


def private_copy(module: nn.Module) -> nn.Module:
    """Return an independent copy on the CPU, in eval mode and float32."""
    tensors = (*module.parameters(), *module.buffers())
    # Old hooks of weight norms, and pruning, keep computed tensors.
    computed = [value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor)]
    memo: dict[int, Any] = {id(tensor): _copied(tensor) for tensor in (*tensors, *computed)}
    try:
        copied = deepcopy(module, memo)
    # A tensor with a history, an open file, a lock: anything may hang on a module.
    except Exception as problem:
        raise ModelProblem(
            f"The {type(module).__name__} could not be copied ({str(problem)[:160].rstrip('.')}): detach the tensors "
            "that it keeps."
        ) from problem
    for path, part in [*copied.named_modules()]:
        if path and isinstance(original := getattr(part, "_orig_mod", None), nn.Module):
            copied.set_submodule(path, original)
    return to_eval(copied.cpu().float())


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().to("cpu", copy=True)
    return nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied


def _module(
    spec: ModelSpec, model: nn.Module, transform: Callable[..., Any] | None, task: Task | None
) -> InMemoryClassifier | InMemoryEmbedder | InMemorySegmenter | InMemoryDepth | InMemoryJoints | PairClassifier:
    module = private_copy(model)
    known, why = spec.preprocessing, "by trying sizes"
    if transform is not None:
        height, width = transforms.apply(transform, NOISE).shape[1:]
        known = PreprocessingTable(size=(height, width))
    elif known == PreprocessingTable() and isinstance(getattr(module, "pretrained_cfg", None), dict):
        known, why = transforms.keys(preprocessing_of(module)), "as timm's weights of that name"
        built_for = getattr(getattr(module, "patch_embed", None), "img_size", None)
        if built_for and built_for != known.sides:
            known = replace(known, size=tuple(built_for), short_side=min(built_for), crop=None)
    if spec.weights.inputs:
        return _pair(spec, module, transform, known, task)
    seen = probe(module, known, spec, task, named=spec.weights.labels is not None)
    preprocessing = seen.preprocessing
    if seen.task == "segment" and not known.stated() and type(module).__module__.startswith(SEGMENTATION):
        from torchvision.models.segmentation import FCN_ResNet50_Weights

        preset = FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.transforms()
        preprocessing, why = transforms.preprocessing_of(preset), "as torchvision's weights of its kind"
    spec = spec.as_segmentation() if seen.task == "segment" else replace(spec, task=seen.task)
    notes = seen.notes if transform is not None else seen.notes + _assume(spec, preprocessing, why)
    sha256 = checkpoint.digest(module)
    adapter: InMemoryClassifier | InMemoryEmbedder | InMemorySegmenter | InMemoryDepth | InMemoryJoints
    if seen.task == "segment":
        names, more = labels.for_classes(spec, seen.count, otherwise=labels.voc(), binary=seen.binary)
        adapter = InMemorySegmenter(spec, seen.module, names, preprocessing, sha256, notes=notes + more)
        adapter.kind, adapter.step = seen.kind, 1 if type(module).__module__.startswith(SEGMENTATION) else seen.step
    elif seen.task == "embed":
        adapter = InMemoryEmbedder(spec, seen.module, (), preprocessing, sha256, notes=notes)
    elif seen.depth:
        names, _ = labels.for_classes(spec, 1)
        adapter = InMemoryDepth(spec, seen.module, names, preprocessing, sha256, notes=notes)
        adapter.step = seen.step
    else:
        spec, count = name_numbers(spec, seen)
        names, _ = labels.for_classes(spec, count, otherwise=labels.imagenet(), binary=seen.binary)
        kind = InMemoryJoints if seen.pixels else InMemoryClassifier
        adapter = kind(spec, seen.module, names, preprocessing, sha256, notes=notes)
        adapter.kind = seen.kind
    if any("quantized" in type(part).__module__ for part in module.modules()):
        adapter.gradients = False
        adapter.notes += ("Its weights are quantised, which leaves no gradients: it is explained by hiding.",)
    adapter.transform = transform
    adapter.preprocessings = (*adapter.preprocessings, READY)
    return adapter


def _pair(
    spec: ModelSpec,
    module: nn.Module,
    transform: Callable[..., Any] | None,
    known: PreprocessingTable,
    task: Task | None,
) -> PairClassifier:
    """Return the adapter of a module that takes two pictures."""
    if transform is not None:
        raise ModelProblem(f"{spec.id} takes two pictures: give preprocess as a table or a Compose of torchvision.")
    seen, each = probe_pair(module, known, spec, task, named=spec.weights.labels is not None)
    names, _ = labels.for_classes(spec, seen.count, binary=seen.binary)
    notes = seen.notes + _assume(spec, each[0], "by trying sizes")
    return make_pair(spec, seen, each, names, checkpoint.digest(module), notes)


class _OwnInput(PreparedAdapter):
    """Pictures go through the caller's own transform, tensors that are ready straight in."""

    transform: Callable[..., Any] | None = None
    """From a Pillow image to a tensor (C, h, w), where it cannot be read as a `Preprocessing`."""

    def flat_input(self, value: int = 128) -> torch.Tensor:
        if self.transform is None:
            return super().flat_input(value)
        # A picture of one tone has no measurable place, and needs none.
        flat = np.full((64, 64, 3), value, np.uint8)
        try:
            return transforms.apply(self.transform, flat)[None]
        except ModelProblem:
            return transforms.apply(self.transform, NOISE)[None]

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if preprocessing == READY:
            size = (pixels.shape[0], pixels.shape[1])
            tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            return ModelInput(tensor[None], Geometry(size, size, (1.0, 1.0), (0.0, 0.0)))
        if self.transform is None or preprocessing != "trained":
            return super().prepare(pixels, preprocessing)
        return transforms.prepare(self.transform, pixels)

    @property
    def resizing(self) -> str:
        return super().resizing if self.transform is None else transforms.BY_FUNCTION


class InMemoryClassifier(_OwnInput, CustomClassifier):
    """A module as it is given, whose answer names classes or quantities."""


class InMemorySegmenter(_OwnInput, CustomSegmenter):
    """A caller's module with a class per pixel."""


class InMemoryDepth(_OwnInput, CustomDepth):
    """A caller's module with a number per pixel."""


class InMemoryJoints(_OwnInput, CustomJoints):
    """A caller's module with one heat map per joint."""


class InMemoryEmbedder(_OwnInput, CustomEmbedder):
    """A module as it is given, whose answer is a vector."""


def stated_by(preprocess: Any) -> tuple[PreprocessingTable, Callable[..., Any] | None]:
    """Return a preprocessing as keys of a table, or the function that it is."""
    if preprocess is None or isinstance(preprocess, dict):
        if preprocess:
            check_preprocessing(preprocess)
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
    """Return the module whose parts' names are the layers' paths.

    That is the network inside a YOLO or a wrapper for several devices, the module that was compiled, or else the model.
    """
    if type(model).__module__.startswith("ultralytics.") and hasattr(model, "predictor"):
        return model.model
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return network_of(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return network_of(compiled) if isinstance(compiled, nn.Module) else model


def _ultralytics(spec: ModelSpec, model: Any) -> Adapter:
    from sightglass.models.families.ultralytics.loader import TASK_OF_HEAD
    from sightglass.models.families.ultralytics.loader import adapt as adapted

    module: Any = private_copy(network_of(model))
    task = TASK_OF_HEAD.get(type(module.model[-1]).__name__, "detect")
    method = "gradcam" if task == "classify" else "hirescam"
    return adapted(replace(spec, task=task, method=method), module, checkpoint.digest(module))


def _keras(spec: ModelSpec, model: Any, transform: Callable[..., Any] | None = None) -> Adapter:
    from sightglass.models.families.keras import loader

    with scratch_folder("model") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with _without_file(path, spec):
            return loader.load(replace(spec.with_weights(path=str(path)), arch="keras"), transform=transform)


def _scripted(spec: ModelSpec, model: torch.jit.ScriptModule) -> Adapter:
    from sightglass.models.families.exported import loader

    with scratch_folder("model") as folder:
        path = Path(folder) / "model.torchscript"
        torch.jit.save(model, str(path))
        with _without_file(path, spec):
            return loader.load(spec.with_weights(path=str(path)))


@contextmanager
def _without_file(path: Path, spec: ModelSpec) -> Iterator[None]:
    """Replace a temporary file's name by the model's in a problem."""
    try:
        yield
    except Problem as problem:
        raise type(problem)(str(problem).replace(str(path), spec.id).replace(path.name, spec.id)) from problem


def _transformers(spec: ModelSpec, model: Any) -> Adapter:
    net: Any = private_copy(model)
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
