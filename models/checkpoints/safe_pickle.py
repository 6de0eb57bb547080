"""Unpickle safely: unknown classes become inert stand-ins that keep their state.

A whole module saved by `torch.save(model)`, or a Lightning file with its own objects, is a pickle that names classes
and functions of its writer. None of them is imported or called here: each name becomes a new empty class that keeps its
state, so that the tensors can be taken out.
"""

import pickle
import tarfile
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import _utils


class _Frozen(type):
    """Metaclass of classes whose attributes a pickle cannot set."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise pickle.UnpicklingError("a class is no place to write to")


class StandIn(metaclass=_Frozen):
    """An object of an unimported class: `parts` is its state, `called` its arguments."""

    qualified_name = ""
    """Dotted name of the replaced class or function."""

    def __new__(cls, *args: object, **_: object) -> Self:
        stand_in = object.__new__(cls)
        object.__setattr__(stand_in, "called", args)
        object.__setattr__(stand_in, "parts", {})
        return stand_in

    called: tuple[object, ...]
    parts: dict[object, object]

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> "StandIn":
        return StandIn()

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict | None):
            state = {**(state[0] or {}), **(state[1] if isinstance(state[1], dict) else {})}
        self.parts.update(state if isinstance(state, dict) else {"state": state})

    def __setattr__(self, name: str, value: object) -> None:
        self.parts[name] = value

    def __setitem__(self, key: object, value: object) -> None:
        self.parts[key] = value

    def append(self, value: object) -> None:
        self.parts[len(self.parts)] = value

    def extend(self, values: list[object]) -> None:
        for value in values:
            self.append(value)

    add = append


class Unpickler(pickle.Unpickler):
    """Unpickle tensors and plain containers; every other name is a StandIn."""

    def find_class(self, module: str, name: str) -> Any:
        if (allowed := _find_type(module, name)) is not None:
            return allowed
        return _Frozen(name, (StandIn,), {"qualified_name": f"{module}.{name}", "__module__": __name__})

    def __setattr__(self, name: str, value: Any) -> None:
        # Torch's reader compares source code in old files, and may write a file.
        def load(saved: Any) -> Any:
            return saved[1] if saved[0] in ("module", b"module") else value(saved)

        super().__setattr__(name, load if name == "persistent_load" else value)


def _find_type(module: str, name: str) -> Any:
    """Return an allowed type or function by name, or None."""
    if module in ("builtins", "__builtin__") and name in ("dict", "frozenset", "list", "set", "tuple"):
        return {"dict": dict, "frozenset": frozenset, "list": list, "set": set, "tuple": tuple}[name]
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedDict
    if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
        return dtype
    # Not the functions themselves: a pickle could set attributes of them.
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch", "Size"): lambda sides: torch.Size(sides),
        ("torch._utils", "_rebuild_tensor"): lambda *parts: _utils._rebuild_tensor(*parts[:4]),  # type: ignore[no-untyped-call]
        ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: _utils._rebuild_tensor(*parts[:4]),  # type: ignore[no-untyped-call]
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        ("torch._utils", "_rebuild_parameter_with_state"): lambda tensor, *_: tensor,
        ("torch._tensor", "_rebuild_from_type_v2"): lambda function, _, parts, __: function(*parts),
        ("copyreg", "_reconstructor"): lambda kind, *_: kind(),
        ("copy_reg", "_reconstructor"): lambda kind, *_: kind(),
    }
    return functions.get((module, name))


def read(path: Path) -> Any:
    """Read a file of torch.save, with stand-ins; raise UnpicklingError or RuntimeError where it is damaged."""
    if tarfile.is_tarfile(path):
        raise pickle.UnpicklingError("written by a torch before 0.1.10")
    reader = types.SimpleNamespace(
        __name__="stand_ins", Unpickler=Unpickler, load=lambda file, **options: Unpickler(file, **options).load()
    )
    return torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
