"""Read preprocessing from transforms of training, and load code from a user's files."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import PreprocessingTable

COUNTS = (
    "num_classes",
    "n_classes",
    "nb_classes",
    "nclasses",
    "num_labels",
    "n_labels",
    "classes",
    "out_features",
    "num_class",
)
"""Usual names of the argument for the number of classes."""


def is_own(arch: str) -> bool:
    """Return whether an architecture is a class in a Python file."""
    file, _, name = arch.rpartition(":")
    return file.endswith(".py") and name.isidentifier()


def build(arch: str, args: Mapping[str, Any], classes: int | None) -> nn.Module:
    """Call a class or function with `args`, and any number of classes.

    Raises ModelProblem, one sentence, where the file or the name is not there, or its code raises.
    """
    file, _, name = arch.rpartition(":")
    path = Path(file)
    make = load_name(path, name)
    keywords = {**_count(make, args, classes), **args}
    try:
        inspect.signature(make).bind(**keywords)
    except TypeError as problem:
        lacks = re.search(r"missing .*'(\w+)'", str(problem))
        raise ModelProblem(
            f"{path.name}:{name} cannot be made so ({problem}): say what it takes as weights.args, or by `models add "
            f"--set weights.args.{lacks[1] if lacks else 'n'}=3."
        ) from problem
    except ValueError:
        pass
    try:
        module = make(**keywords)
    # The caller's code may raise anything.
    except Exception as problem:
        raise ModelProblem(f"{path.name}:{name} raised {type(problem).__name__} ({_first(problem)}).") from problem
    if not isinstance(module, nn.Module):
        raise ModelProblem(f"{path.name}:{name} makes a {type(module).__name__}: it should make a torch.nn.Module.")
    return module


def _count(make: Callable[..., Any], args: Mapping[str, Any], classes: int | None) -> dict[str, int]:
    try:
        known = inspect.signature(make).parameters
    except ValueError:
        return {}
    usual = [name for name in COUNTS if name in known]
    return {usual[0]: classes} if usual and classes and not {*usual} & args.keys() else {}


def load_name(path: Path, name: str) -> Callable[..., Any]:
    """Return a callable of a Python file; raise ModelProblem if missing."""
    if not path.is_file():
        raise ModelProblem(
            f"There is no file {path}: give its path from the current folder, or in models.toml from where that is, "
            f"and :{name}."
        )
    module = _run(path)
    if (member := getattr(module, name, None)) is not None and callable(member):
        return member  # type: ignore[no-any-return]
    classes_there = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    raise ModelProblem(
        f"There is no {name} in {path.name}: it has {', '.join(classes_there) or 'no class of torch.nn.Module'}."
    )


def _run(path: Path) -> Any:
    """Import the file, again only when it has changed; it can import files beside it."""
    name = f"own_{path.stem}_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        sys.modules.pop(name, None)
        line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) else ""
        raise ModelProblem(
            f"{path.name}{line} cannot be run ({type(problem).__name__}: {_first(problem)})."
        ) from problem
    finally:
        sys.path.remove(str(path.parent))
    return module


def _first(problem: Exception) -> str:
    return next(iter(str(problem).strip().splitlines()), "no reason given")[:200].rstrip(".")


_TO_TENSOR = (
    "ToTensor",
    "MaybeToTensor",
    "PILToTensor",
    "MaybePILToTensor",
    "ToImage",
    "ToImageTensor",
    "ToPureTensor",
)
_SCALE = ("ConvertImageDtype", "ToDtype")
_READ = "Resize, CenterCrop, Grayscale, ToTensor (or PILToTensor, ToImage, ToDtype) and Normalize"


@dataclass(slots=True)
class _Steps:
    """What the steps of a transform say, collected in their order."""

    resize: Any = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    antialias: bool = True
    tensor: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int = 3

    def read(self, step: Any) -> None:
        """Note one step; raise ModelProblem for one that is not known."""
        kind = type(step).__name__
        if kind == "Resize":
            if self.crop is not None or self.resize is not None:
                raise ModelProblem("The transform resizes after another step: resize once, and crop after it.")
            self.resize, self.interpolation = step.size, getattr(step.interpolation, "value", step.interpolation)
            # Pillow always smooths; only tensors are resized without it.
            self.antialias = not self.tensor or step.antialias is not False
        elif kind == "CenterCrop":
            self.crop = _pair(step.size)
        elif kind == "Grayscale":
            self.channels = int(step.num_output_channels)
        elif kind == "Normalize":
            self.mean, self.std = _numbers(step.mean), _numbers(step.std)
        elif kind in _TO_TENSOR:
            self.tensor = True
        elif kind == "ImageClassification":
            self.resize, self.crop = step.resize_size, _pair(step.crop_size)
            self.interpolation, self.mean, self.std = step.interpolation.value, tuple(step.mean), tuple(step.std)
        elif kind == "SemanticSegmentation":
            self.resize, self.interpolation = step.resize_size, step.interpolation.value
            self.mean, self.std = tuple(step.mean), tuple(step.std)
        elif kind not in (*_SCALE, "Identity"):
            raise ModelProblem(
                f"The transform's step {kind} cannot be read: leave only {_READ}, or state size, mean, std, "
                "interpolation and crop in weights.preprocessing, or in Python give the tensor that it returns."
            )


def preprocessing_of(transform: Any) -> Preprocessing:
    """Return the preprocessing of a `Compose`, a preset of torchvision's weights, or a list of steps.

    Raises ModelProblem, one sentence, for a step that is unknown or random, and where no size is given.
    """
    steps = _Steps()
    for step in _flat(transform):
        steps.read(step)
    if steps.resize is None and steps.crop is None:
        raise ModelProblem("The transform has no Resize and no CenterCrop, so the size of the input is unknown.")
    if steps.resize is None:
        raise ModelProblem("The transform crops without a Resize before it, which cannot be shown here: add a Resize.")
    sides = _sides(steps.resize)
    size = steps.crop or ((sides[0], sides[0]) if len(sides) == 1 else (sides[0], sides[1]))
    crop = "centre" if len(sides) == 1 else "squash" if steps.crop in (None, tuple(sides)) else "square"
    if crop == "square" and sides[0] != sides[1]:
        raise ModelProblem(
            f"The transform squeezes pictures to {sides[0]} × {sides[1]} and then crops, which cannot be shown "
            "here: resize to a square."
        )
    channels = len(steps.mean) if steps.mean is not None and len(steps.mean) > 1 else steps.channels
    mean, std = (
        (default,) * channels if numbers is None else numbers * channels if len(numbers) == 1 else numbers
        for numbers, default in ((steps.mean, 0.0), (steps.std, 1.0))
    )
    short_side = sides[0] if len(sides) == 1 or crop == "square" else min(size)
    interpolation = steps.interpolation.removesuffix("-exact")
    return Preprocessing(size, short_side, mean, std, interpolation, steps.antialias, crop)


def keys_of(name: str) -> PreprocessingTable:
    """Return a transform as the keys of `weights.preprocessing`.

    `name` is of a transform in an operator's own file, `train.py:transform` (a function is called for it), or of
    torchvision's weights, `ResNet50_Weights.IMAGENET1K_V2`.
    """
    return keys(_own(name) if is_own(name) else _of_weights(name))


def keys(preprocessing: Preprocessing) -> PreprocessingTable:
    """Return a preprocessing as the keys of `weights.preprocessing`."""
    return PreprocessingTable(
        size=preprocessing.size[0] if preprocessing.size[0] == preprocessing.size[1] else preprocessing.size,
        short_side=preprocessing.short_side,
        mean=preprocessing.mean,
        std=preprocessing.std,
        channels=preprocessing.channels_order,
        range=preprocessing.highest,
        interpolation=preprocessing.interpolation,
        antialias=preprocessing.antialias,
        crop=preprocessing.crop,
    )


def _own(name: str) -> Preprocessing:
    file, _, member = name.rpartition(":")
    transform = load_name(Path(file), member)
    if inspect.isroutine(transform):
        try:
            transform = transform()
        # The caller's code may raise anything.
        except Exception as problem:
            raise ModelProblem(
                f"{name} raised {type(problem).__name__} ({problem}): let it need no argument."
            ) from problem
    return preprocessing_of(transform)


def _of_weights(name: str) -> Preprocessing:
    import torchvision

    try:
        weights = torchvision.models.get_weight(name)
    except (ValueError, KeyError) as problem:
        raise ModelProblem(
            f"torchvision has no weights called {name}: write them as ResNet50_Weights.IMAGENET1K_V2, or name a "
            "transform of yours as train.py:transform."
        ) from problem
    return preprocessing_of(weights.transforms())


def _flat(transform: Any) -> Iterable[Any]:
    steps = transform if isinstance(transform, (list, tuple)) else getattr(transform, "transforms", None)
    if steps is None:
        yield transform
        return
    for step in steps:
        yield from _flat(step)


def _sides(size: Any) -> list[int]:
    return [int(side) for side in size] if isinstance(size, (list, tuple)) else [int(size)]


def _pair(size: Any) -> tuple[int, int]:
    sides = _sides(size)
    return (sides[0], sides[-1])


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in (values.tolist() if hasattr(values, "tolist") else values))
