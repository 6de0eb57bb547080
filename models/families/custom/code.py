"""Run an operator's own network code: `their_file.py:ClassName`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    """Call the class, or function, with `args`, and with the number of classes where it takes one.

    Raises ModelProblem, one sentence, where the file or the name is not there, or its code raises.
    """
    file, _, name = arch.rpartition(":")
    path = Path(file)
    make = load_name(path, name)
    given = {**_count(make, args, classes), **args}
    try:
        inspect.signature(make).bind(**given)
    except TypeError as problem:
        lacks = re.search(r"missing .*'(\w+)'", str(problem))
        raise ModelProblem(
            f"{path.name}:{name} cannot be made so ({problem}): say what it takes as weights.args, or by `models add "
            f"--set weights.args.{lacks[1] if lacks else 'n'}=3."
        ) from problem
    except ValueError:
        pass
    try:
        module = make(**given)
    # It is somebody else's code.
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
    """Return a class, function or callable of a Python file by its name; raise ModelProblem where it is not there."""
    if not path.is_file():
        raise ModelProblem(f"There is no file {path}: arch is its path from where models.toml is, and :{name}.")
    module = _run(path)
    if (found := getattr(module, name, None)) is not None and callable(found):
        return found  # type: ignore[no-any-return]
    there = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    raise ModelProblem(
        f"There is no {name} in {path.name}: it has {', '.join(there) or 'no class of torch.nn.Module'}."
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
