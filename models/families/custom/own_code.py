"""Run code of a user's own Python files: a network's class, a transform."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models import transforms
from sightglass.models.spec import PreprocessingTable

COUNTS = (
    *("num_classes", "n_classes", "nb_classes", "nclasses", "num_class", "classes"),
    *("num_labels", "n_labels", "out_features"),
)
"""Usual names of the argument for the number of classes."""


def is_own(arch: str) -> bool:
    """Return whether an architecture is a class in a Python file."""
    file, _, name = arch.rpartition(":")
    return file.endswith(".py") and name.isidentifier()


def build(arch: str, args: Mapping[str, Any], classes: int | None) -> nn.Module:
    """Call a class or function with `args` and the number of classes, if known.

    Raises ModelProblem, one sentence, where the file or the name is not there, or its code raises.
    """
    file, _, name = arch.rpartition(":")
    path = Path(file)
    module = _call(load_name(path, name), f"{path.name}:{name}", args, classes)
    if not isinstance(module, nn.Module):
        raise ModelProblem(f"{path.name}:{name} makes a {type(module).__name__}: it should make a torch.nn.Module.")
    return module


def _call(make: Callable[..., Any], name: str, args: Mapping[str, Any], classes: int | None) -> Any:
    """Call a user's function; raise ModelProblem, one sentence, where it raises."""
    try:
        usual = [key for key in COUNTS if key in inspect.signature(make).parameters]
        count = {usual[0]: classes} if usual and classes and not {*usual} & args.keys() else {}
        return make(**count, **args)
    # The caller's code may raise anything.
    except Exception as problem:
        absent = re.search(r"missing .*'(\w+)'", str(problem))
        hint = (
            f"; say what it takes as weights.args, or by `models add --set weights.args.{absent[1]}=3" if absent else ""
        )
        raise ModelProblem(f"{name} raised {type(problem).__name__} ({describe_error(problem)}){hint}.") from problem


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
    networks = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    raise ModelProblem(
        f"There is no {name} in {path.name}: it has {', '.join(networks) or 'no class of torch.nn.Module'}."
    )


def _run(path: Path) -> Any:
    """Import a file once per content; it can import files beside it."""
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
            f"{path.name}{line} cannot be run ({type(problem).__name__}: {describe_error(problem)})."
        ) from problem
    finally:
        sys.path.remove(str(path.parent))
    return module


def read_transform(name: str) -> PreprocessingTable:
    """Return the preprocessing of a user's transform, `train.py:transform`.

    A function is called for it.
    """
    if not is_own(name):
        raise ModelProblem(f"{name} is no transform in a Python file: name one of yours as train.py:transform.")
    file, _, member = name.rpartition(":")
    transform = load_name(Path(file), member)
    if inspect.isroutine(transform):
        transform = _call(transform, name, {}, None)
    return transforms.preprocessing_of(transform).table()
