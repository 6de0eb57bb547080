"""An operator's own state dict: for an architecture of torchvision or timm, or for a class in a file of theirs.

`arch` is `resnet18` (torchvision's, else timm's), `timm/resnet18`, or `their_file.py:ClassName` with its arguments in
`weights.args`. How many classes there are is read off the tensors, and preprocessing that the table does not state is
inferred, which each explanation then says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem
from common.suggestions import did_you_mean
from models import architectures, checkpoint, labels, state_dicts
from models.families.custom import code
from models.families.custom.classifier import OwnClassifier, channels_of, look_at
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from models.adapter import ModelSpec
    from models.adapters.classifier import Classifier
    from models.checkpoint import Checkpoint
    from models.inspect import Draft
    from models.preprocess import Preprocessing

_STATED = ("size", "mean", "std")
"""What a table says of the preprocessing where nothing is left to infer."""


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Open the checkpoint on the CPU, as it is wherever it was made.

    Raises WeightsProblem where the file is damaged or does not fit, ModelProblem where the architecture, its code or
    the labels are wrong: one sentence each, with the tensor and the shapes, and what would help.
    """
    if code.is_own(spec.arch):
        return _of_class(spec, progress)
    library, name = library_of(spec.arch)
    path = locate(spec, progress=progress)
    held = checkpoint.open_(path, spec.weights.get("key", ""))
    module, side, notes = of_library(library, name, path, held)
    count = _count(module)
    names, said = _names(spec, held, count, known=count == len(labels.imagenet()))
    stated = spec.weights.get("preprocessing", {})
    known = _carried(held, stated)
    if (channels := channels_of(module)) != 3 and not {"channels_in", "mean", "std"} & known.keys():
        known["channels_in"] = channels
    if side is not None:
        known.setdefault("size", side)
    adapter = _adapter(library, replace(spec, arch=name), module, names, known, sha256_of(path))
    notes += said
    if not set(_STATED) <= stated.keys():
        notes += (_inferred(adapter.preprocessing, f"as {name} is trained as a rule"),)
    adapter.notes = (*adapter.notes, *notes)
    found: Classifier = adapter
    return found


def inspect(path: Path, arch: str = "") -> Draft | None:
    """The draft of a table for a checkpoint of tensors; `arch` where the operator knows what it is."""
    from models.families.custom.inspect import inspect as found

    return found(path, arch)


def library_of(arch: str) -> tuple[str, str]:
    """Which library has an architecture, and its name there; raises ModelProblem, with names that are near."""
    import timm
    import torchvision

    library, _, name = arch.rpartition("/")
    theirs = torchvision.models.list_models(module=torchvision.models)
    if library in ("", "torchvision") and name in theirs:
        return "torchvision", name
    if library in ("", "timm") and timm.is_model(name):
        return "timm", name
    known = {*theirs, *timm.list_models()}
    hint = did_you_mean(name, known, "for a class of yours say their_file.py:ClassName.", n=3)
    raise ModelProblem(f"Neither torchvision nor timm has an architecture {arch}: {hint}")


def of_library(library: str, name: str, path: Path, held: Checkpoint) -> tuple[nn.Module, int | None, tuple[str, ...]]:
    """The architecture with the file's tensors, for as many classes as they are of; the side of its input where that is
    not the usual one; and sentences on what was done.

    Raises WeightsProblem where they are of another one.
    """
    options: dict[str, Any] = {}
    blank = build(library, name)
    if (
        side := state_dicts.side(state_dicts.renamed(held.tensors, blank.state_dict()), blank.state_dict())
    ) is not None:
        options["image_size" if library == "torchvision" else "img_size"] = side
        blank = build(library, name, **options)
    tensors = state_dicts.renamed(_modern(library, name, held.tensors, blank), blank.state_dict())
    options["num_classes"] = state_dicts.classes(tensors, blank)
    module = build(library, name, blank=False, **{key: value for key, value in options.items() if value})
    state_dicts.new_stem(module, tensors)
    note = state_dicts.new_head(module, tensors)
    left = state_dicts.put(path, tensors, module, name)
    if name in ("googlenet", "inception_v3") and library == "torchvision":
        without_aux(module)
    return module, side, (*((note,) if note else ()), *left, *_which(held))


def build(library: str, name: str, *, blank: bool = True, **options: Any) -> nn.Module:
    """An architecture without trained weights; `blank`: without memory for them where the library allows that."""
    import timm
    import torch
    import torchvision

    if library == "torchvision" and name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": True, "transform_input": True, "init_weights": False}
    make = torchvision.models.get_model if library == "torchvision" else timm.create_model
    if blank:
        try:
            with torch.device("meta"):
                module: nn.Module = make(name, **options)
            return module
        # A few compute with numbers as they are built.
        except (NotImplementedError, RuntimeError):
            pass
    made: nn.Module = make(name, **options)
    return made


def without_aux(module: nn.Module) -> None:
    """GoogLeNet and Inception without the heads that only training needs, and which their files may lack."""
    vars(module)["aux_logits"] = False
    for name in ("aux1", "aux2", "AuxLogits"):
        if name in module._modules:
            module.register_module(name, None)


def _modern(library: str, name: str, tensors: dict[str, Any], blank: nn.Module) -> dict[str, Any]:
    """A file's tensors by the names of today's library, where it knows that its older files have others."""
    if library == "torchvision":
        from models.families.torchvision.classifiers import _modern as renamed

        return renamed({**tensors})
    import sys

    import timm

    wanted = blank.state_dict()
    body = {key for key in wanted if key.partition(".")[0] not in architectures.HEADS}
    if body <= state_dicts.renamed(tensors, wanted).keys():
        return tensors
    entry = sys.modules[timm.models.model_entrypoint(name).__module__]
    try:
        found = entry.checkpoint_filter_fn({**tensors}, build(library, name, blank=False))
        return found if isinstance(found, dict) else tensors
    # None there, or one that expects another file.
    except Exception:
        return tensors


def _adapter(
    library: str, spec: ModelSpec, module: nn.Module, names: Sequence[str], known: Mapping[str, Any], sha256: str
) -> Any:
    """The library's own adapter, with its own preprocessing where `known` says nothing else."""
    if library == "torchvision":
        from models.families.torchvision.classifiers import TorchvisionClassifier, default_weights, preprocessing_of

        row = replace(spec, weights={"preprocessing": known})
        return TorchvisionClassifier(spec, module, names, preprocessing_of(default_weights(spec.arch), row), sha256)
    from models.adapters.classifier import Classifier
    from models.families import timm as timm_family

    preprocessing, fit = timm_family.preprocessing_of(module).changed(known), timm_family.fit_of(module)
    return Classifier(spec, module, names, preprocessing, sha256, fit=fit)


def _of_class(spec: ModelSpec, progress: Progress | None) -> Classifier:
    args, stated = spec.weights.get("args", {}), spec.weights.get("preprocessing", {})
    named = labels.own(spec)
    notes: tuple[str, ...] = ()
    if "random" in spec.weights:
        held = checkpoint.Checkpoint({})
        module = checkpoint.seeded(lambda: code.build(spec.arch, args, len(named) or None), spec.weights["random"])
        sha256 = checkpoint.digest(module)
    else:
        path = locate(spec, progress=progress)
        held = checkpoint.open_(path, spec.weights.get("key", ""))
        module = code.build(spec.arch, args, state_dicts.classes(held.tensors))
        tensors = state_dicts.renamed(held.tensors, module.state_dict())
        notes = (*state_dicts.put(path, tensors, module, spec.arch.rpartition("/")[2]), *_which(held))
        sha256 = sha256_of(path)
    seen = look_at(module, _carried(held, stated), spec.id)
    names, said = _names(spec, held, 1 if seen.kind in ("logit", "probability") else seen.classes)
    if "random" in spec.weights:
        names = tuple(f"{name} (untrained)" for name in names)
    notes += said + seen.notes
    if not set(_STATED) <= stated.keys():
        notes += (_inferred(seen.preprocessing, seen.why),)
    return OwnClassifier(spec, seen.module, names, seen.preprocessing, sha256, seen.kind, notes)


def _count(module: nn.Module) -> int:
    """Classes of a library's module, by its last layer."""
    return state_dicts.classes(module.state_dict(), module) or 0


def _names(
    spec: ModelSpec, held: Checkpoint, count: int, *, known: bool = False
) -> tuple[Sequence[str], tuple[str, ...]]:
    """The classes by name, and what is to be said of that; of a `count` of one they are no and yes.

    Raises ModelProblem where there are not as many.
    """
    one = count == 1
    count = 2 if one else count
    if own := labels.own(spec):
        own = labels.of_one(own) if one else own
        if len(own) != count:
            raise ModelProblem(
                f"{spec.id} has {count} classes and weights.labels names {len(own)}: give as many names as classes."
            )
        return own, ()
    if found := labels.carried(held.extras, count):
        return found, ()
    if known:
        return labels.imagenet(), ()
    note = "Its classes have no names here: say weights.labels in its table."
    return labels.of_one(()) if one else [f"class {index}" for index in range(count)], (note,)


def _carried(held: Checkpoint, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of the preprocessing, and where it is silent what the checkpoint itself does."""
    found: dict[str, Any] = {}
    inner = [getattr(value, "parts", value) for value in held.extras.values()]
    for place in (held.extras, *(value for value in inner if isinstance(value, dict))):
        for name in ("img_size", "image_size", "input_size", "imgsz", "size"):
            value = place.get(name)
            value = value[-1] if isinstance(value, (list, tuple)) and value else value
            if isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= 2048:
                found.setdefault("size", value)
        for name in ("mean", "std"):
            numbers = place.get(name)
            if isinstance(numbers, (list, tuple)) and numbers and all(type(number) is float for number in numbers):
                found.setdefault(name, list(numbers))
    return {**found, **stated}


def _which(held: Checkpoint) -> tuple[str, ...]:
    if not held.others:
        return ()
    others = " and ".join(name or "(the file itself)" for name in held.others[:2])
    return (f"The file has the tensors of several models: these are of {held.key}, others are {others} (weights.key).",)


def _inferred(preprocessing: Preprocessing, why: str) -> str:
    size = " x ".join(map(str, preprocessing.size))
    mean = ", ".join(f"{number:.3g}" for number in preprocessing.mean)
    return f"Its preprocessing was inferred ({why}): {size} pixels, mean {mean}; weights.preprocessing states another."
