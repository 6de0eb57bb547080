"""Adapt models that are in memory.

A module of PyTorch is run itself, as it is at the time, within its `ModuleGuard`; a model of Keras is built again.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sightglass.common.errors import ModelProblem, Problem, describe_error, from_machine
from sightglass.models import labels
from sightglass.models.adapter import Adapter
from sightglass.models.adapters.tasks import check_task
from sightglass.models.checkpoints.architectures import timm_preprocessing, weights_preprocessing
from sightglass.models.families.custom.classifier import adapt as adapt_module
from sightglass.models.families.custom.classifier import channels_of, note_preprocessing
from sightglass.models.families.custom.guard import ModuleGuard
from sightglass.models.families.timm import config_file
from sightglass.models.families.transformers import loader as transformers
from sightglass.models.picture_functions import PictureFunction, Processor, SizedFunction, check_used, is_plain
from sightglass.models.preprocess import READY, Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task, read_outputs, read_table

LOGGER = logging.getLogger(__name__)
UNNAMED = re.compile(r"LABEL_\d+")
"""A class of Transformers that nobody has named."""


@dataclass(frozen=True, slots=True, eq=False)
class UserModel:
    """A model object with what the caller says of it; see `Explainer`."""

    model: Any
    preprocess: Any
    """A `Compose` of torchvision or albumentations, a preset, a processor of Transformers, a table as
    `weights.preprocessing`, any function from a picture to an array or tensor, or None: inferred, and tensors are taken
    as they are."""
    labels: Any
    """Names of the classes or numbers: a list, {index: name}, {name: index} or the path of a file of them."""
    name: str
    task: str | None
    """None: inferred."""
    output: str | int | None
    unit: str | None
    outputs: Sequence[Mapping[str, Any]]
    """Each number's own name, unit and range, which make it a regression."""

    def spec(self, base: ModelSpec) -> ModelSpec:
        """Return a model's row with what the caller says of it; raise ModelProblem."""
        id_ = self.name or base.id
        stated: dict[str, Any] = {"output": self.output, "unit": self.unit, "outputs": read_outputs(self.outputs)}
        if self.labels is not None:
            stated["labels"] = labels.parse_names(self.labels, id_)
        if self.preprocess is not None:
            stated["preprocessing"] = read_preprocess(self.preprocess)
        weights = {key: value for key, value in stated.items() if value not in (None, ())}
        return replace(base.with_weights(**weights), id=id_, task=self.stated_task or base.task)

    @property
    def stated_task(self) -> Task | None:
        """The task that the caller says, or that a unit or outputs say; None: inferred. Raises ModelProblem."""
        if self.task is not None:
            return check_task(self.task)
        return "regress" if self.outputs or self.unit else None


def adapt(user_model: UserModel) -> Adapter:
    """Return the adapter of a model object; raise ModelProblem, one sentence."""
    model = user_model.model
    _check_model(model)
    model = model if hasattr(model, "predictor") else network_of(model)
    kind = type(model)
    row = ModelSpec(kind.__name__, "In memory", "", "custom.in_memory", kind.__qualname__, "classify", "yours")
    try:
        if kind.__module__.startswith("transformers."):
            # Before its processor is tried.
            transformers.task_of(kind.__name__)
        spec = user_model.spec(row)
        if kind.__module__.startswith("keras."):
            from sightglass.models.families.keras import loader, network

            adapter = loader.adapt(replace(spec, arch="keras"), network.copy_model(model), spec.id)
            vars(adapter.module)["config"] = repr(model.get_config())
            adapter.preprocessings = (*adapter.preprocessings, READY)
            return check_used(adapter)
        return _adapt_module(spec, model, user_model)
    except (Problem, MemoryError):
        raise
    # The caller's code may raise anything.
    except Exception as problem:
        LOGGER.exception("cannot adapt a %s", kind.__name__)
        name, reason = kind.__name__, describe_error(problem)
        raise from_machine(problem) or ModelProblem(
            f"{name} does not run on a picture alone ({reason}): wrap it in a module that does."
        ) from problem


def _adapt_module(spec: ModelSpec, model: Any, user_model: UserModel) -> Adapter:
    """Return the adapter of a network of PyTorch, which runs itself within its guard."""
    network, library = network_of(model), type(model).__module__.partition(".")[0]
    if library == "ultralytics" and not isinstance(getattr(network, "model", None), nn.Sequential):
        # Its file may be an engine, or for another runtime.
        what = network if isinstance(network, str) else type(network).__name__
        raise ModelProblem(f"{what} has no layers of Ultralytics' here: give a YOLO or an RT-DETR of a .pt or .yaml.")
    guard = ModuleGuard(network)
    with guard:
        if library == "ultralytics":
            adapter: Adapter = _ultralytics(spec, network)
        elif library == "transformers":
            adapter = _transformers(spec, network, user_model.preprocess)
        else:
            adapter = _module(spec, network, user_model.stated_task)
        if library != "ultralytics" and not adapter.detects:
            adapter.preprocessings = (*adapter.preprocessings, READY)
        adapter.guard, guard.patch = guard, adapter.patch_module
        return check_used(adapter)


def is_current(model: Any, adapter: Adapter) -> bool:
    """Return whether an adapter is of a model's modules, of Keras of its layers and weights, as they are now."""
    if adapter.guard is not None:
        return adapter.guard.module is network_of(model) and not adapter.guard.restructured
    from sightglass.models.families.keras import network

    return network.is_same(model, adapter.module)  # type: ignore[arg-type]


def _check_model(model: Any) -> None:
    """Raise ModelProblem for what is no model."""
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelProblem("A scripted module has no layers here: give the module that it was made of.")
    parts = model.modules() if isinstance(model, nn.Module) else (model,)
    kinds = {kind.__module__ for part in parts for kind in type(part).__mro__}
    if not kinds.isdisjoint(("torch.export.exported_program", "torch.export._unlift")):
        raise ModelProblem("What torch.export made shows no layers: give what torch.export.unflatten makes of it.")
    if not isinstance(model, nn.Module) and type(model).__module__.partition(".")[0] not in ("ultralytics", "keras"):
        raise ModelProblem(
            f"A {type(model).__name__} is no model: give a name of the catalogue, or a network of PyTorch, Keras, "
            "Ultralytics or Transformers itself, not its class, its weights, or a function that calls it."
        )


def check_weights(module: nn.Module, device: str) -> None:
    """Raise ModelProblem for weights that are missing, or not on the named device (auto: anywhere)."""
    tensors, name = [*module.parameters(), *module.buffers()], type(module).__name__
    if any(map(is_lazy, tensors)):
        raise ModelProblem(f"The {name} has lazy layers without weights: run it on one picture before you give it.")
    if any(tensor.is_meta for tensor in tensors):
        raise ModelProblem(f"The {name} is on the device meta, without values: load its weights before you give it.")
    places = {tensor.device for tensor in tensors}
    if device != "auto" and places and all(torch.device(device) not in (at, torch.device(at.type)) for at in places):
        at = ", ".join(sorted(map(str, places)))
        raise ModelProblem(f"The {name} is on {at}: move it to {device} yourself, or leave device out.")


def _module(spec: ModelSpec, module: nn.Module, task: Task | None) -> Adapter:
    if any(kind.__module__.startswith("torchvision.models.detection.") for kind in type(module).__mro__):
        from sightglass.models.families.torchvision import detectors

        return detectors.adapt(spec, module, "")
    table, usual, why = spec.preprocessing, None, None
    if type(module).__module__.startswith("torchvision.models.segmentation."):
        from torchvision.models.segmentation import FCN_ResNet50_Weights

        usual = weights_preprocessing(FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1)
        why = "as torchvision's weights of its kind"
    elif isinstance(getattr(module, "pretrained_cfg", None), dict):
        usual, why = timm_preprocessing(module), "as timm's weights of that name"
    if usual is not None and table.function is None:
        table = usual.changed(table.for_channels(channels_of(module))).table()
    names = partial(_names_inside, module)
    adapter = adapt_module(spec, module, "", task, table, names_in_file=names, why=why)
    if is_quantised(module):
        adapter.gradients = False
        adapter.notes += (
            "Its weights are quantised, which leaves no gradients: it is explained by hiding, on the CPU.",
        )
    return adapter


def _names_inside(module: nn.Module, count: int) -> tuple[str, ...]:
    """Return the names of so many classes by timm's config, or by one of Transformers within a wrapper, as PEFT's."""
    stated = getattr(module, "pretrained_cfg", None)
    if isinstance(stated, dict):
        named = labels.find_names(({"names": config_file.names_in(stated)},), count)
        if named:
            return named
    for part in module.modules():
        names = getattr(getattr(part, "config", None), "id2label", None)
        if isinstance(names, Mapping) and {*names} == {*range(count)} and not UNNAMED.fullmatch(str(names[0])):
            return tuple(str(names[number]) for number in range(count))
    return ()


def is_quantised(module: nn.Module) -> bool:
    """Return whether a module has int8 weights, which only a CPU runs."""
    attributes = (value for part in module.modules() for value in vars(part).values())
    for value in (*module.parameters(), *module.buffers(), *attributes):
        # Weights may be packed for a kernel.
        kind = str(value._type()) if isinstance(value, torch.ScriptObject) else ""
        if re.search(r"\.classes\.(quantized|rnn)\.", kind) or (isinstance(value, torch.Tensor) and value.is_quantized):
            return True
    return False


def read_preprocess(preprocess: Any) -> PreprocessingTable:
    """Return a caller's preprocessing as a table; raises ModelProblem."""
    if preprocess is None or isinstance(preprocess, dict):
        return read_table(PreprocessingTable, preprocess or {}, "it", "preprocess")
    if isinstance(preprocess, Preprocessing):
        return preprocess.table()
    if "pixel_values" in getattr(getattr(preprocess, "image_processor", preprocess), "model_input_names", ()):
        return Processor(preprocess).table()
    with suppress(ModelProblem):
        sized = SizedFunction(preprocess)
        if sized.description is not None:
            return (sized if is_plain(preprocess) else PictureFunction(preprocess, sized.description)).table()
    return PictureFunction(preprocess).table()


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


def _ultralytics(spec: ModelSpec, module: Any) -> Adapter:
    from sightglass.models.families.ultralytics import loader

    task = loader.TASK_OF_HEAD.get(type(module.model[-1]).__name__, "detect")
    method = "gradcam" if task == "classify" else "hirescam"
    return loader.adapt(replace(spec, task=task, method=method), module, "", fuse=False)


def _transformers(spec: ModelSpec, model: Any, processor: Any) -> Adapter:
    if transformers.task_of(spec.arch) == "detect":
        # Its adapter prepares pictures by the processor itself.
        spec = spec.with_weights(preprocessing=PreprocessingTable())
        return transformers.make_detector(spec, model, "", processor)
    table = spec.preprocessing.for_channels(getattr(model.config, "num_channels", 3))
    preprocessing = transformers.usual_preprocessing(model.config).changed(table)
    notes = note_preprocessing(spec, preprocessing, "as ViTs usually are")
    return transformers.make_adapter(spec, spec.arch, model, preprocessing, "", notes)
