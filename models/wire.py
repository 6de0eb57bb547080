"""Write values as JSON and arrays, and read them without running code."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

OWN = ("sightglass.models.", "sightglass.explain.")
"""Packages whose dataclasses and functions are written by name."""


class Unwritable(TypeError):
    """A value is neither data nor a function of this project."""


class Writer:
    """Writes values; `arrays` has those that they refer to.

    `lenient`: parts of objects that cannot be written are left out, else Unwritable is raised.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self.arrays: list[Array] = []
        self.lenient = lenient

    def write(self, value: Any) -> Any:
        """Return a value as JSON has it, or raise Unwritable."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        kind = next((kind for kind in _WRITERS if isinstance(value, kind)), None)
        if kind is not None:
            return {kind.__name__: _WRITERS[kind](self, value)}
        if _is_tensor(value):
            return {"Tensor": self._write_tensor(value)}
        if is_dataclass(value) and not isinstance(value, type):
            return {"object": [_name_of(type(value)), _write_pairs(self, _state_of(value))]}
        if callable(value):
            return {"function": _name_of(value)}
        raise Unwritable(f"a {type(value).__name__} cannot be written")

    def write_array(self, array: Array) -> int:
        """Keep an array, and return its number."""
        if array.dtype.hasobject:
            raise Unwritable("an array of objects cannot be written")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _write_tensor(self, tensor: Any) -> list[Any]:
        if str(tensor.dtype) == "torch.bfloat16":
            raise Unwritable("numbers of bfloat16 have no array")
        values = tensor.detach().cpu()
        # Sums over other orders of memory round otherwise.
        order = sorted(range(values.ndim), key=lambda axis: -values.stride(axis))
        if not values.permute(order).is_contiguous():
            order = [*range(values.ndim)]
        return [self.write_array(values.permute(order).numpy()), order, tensor.requires_grad]


def _write_items(writer: Writer, value: Any) -> list[Any]:
    return [writer.write(item) for item in value]


def _write_pairs(writer: Writer, value: Mapping[Any, Any]) -> list[Any]:
    pairs = []
    for key, item in value.items():
        count = len(writer.arrays)
        try:
            pairs.append([writer.write(key), writer.write(item)])
        except Unwritable:
            if not writer.lenient:
                raise
            del writer.arrays[count:]
    return pairs


_WRITERS: dict[type, Callable[[Writer, Any], Any]] = {
    tuple: _write_items,
    list: _write_items,
    frozenset: _write_items,
    set: _write_items,
    dict: _write_pairs,
    np.ndarray: Writer.write_array,
    bytes: lambda writer, value: writer.write_array(np.frombuffer(value, np.uint8)),
    Path: lambda _, path: str(path),
}


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _name_of(value: Any) -> str:
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '<')}"
    if not name.startswith(OWN) or "<" in name:
        raise Unwritable(f"{name} is none of this project's")
    return name


def _state_of(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value) if hasattr(value, field.name)}


def read(value: Any, arrays: Sequence[Array]) -> Any:
    """Return what a Writer wrote; raise ValueError for anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    try:
        ((kind, content),) = value.items()
        return _READERS[kind](content, arrays)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("an answer in another form") from error


def _read_items(content: Any, arrays: Sequence[Array]) -> list[Any]:
    return [read(item, arrays) for item in content]


def _read_pairs(content: Any, arrays: Sequence[Array]) -> dict[Any, Any]:
    return {read(key, arrays): read(item, arrays) for key, item in content}


def _read_tensor(content: Any, arrays: Sequence[Array]) -> Any:
    import torch

    place, order, requires_grad = content
    axes = [order.index(axis) for axis in range(len(order))]
    return torch.from_numpy(arrays[place]).permute(axes).requires_grad_(bool(requires_grad))


def _read_object(content: Any, arrays: Sequence[Array]) -> Any:
    name, written = content
    kind = find(name)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise ValueError(f"{name} is no dataclass")
    state = _read_pairs(written, arrays)
    if not {field.name for field in fields(kind)}.issuperset(state):
        raise ValueError(f"{name} has other fields")
    instance = object.__new__(kind)
    for field, value in state.items():
        object.__setattr__(instance, field, value)
    return instance


def _read_function(content: Any, _: Sequence[Array]) -> Any:
    function = find(content)
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"{content} is no function")
    return function


def find(name: str) -> Any:
    """Return a class or function of this project; raise ValueError for another name."""
    module, _, path = name.partition(":")
    found: Any = None
    if module.startswith(OWN):
        with suppress(ImportError):
            found = import_module(module)
    for part in path.split("."):
        found = vars(found).get(part) if found is not None else None
    if found is None or getattr(found, "__module__", "") != module:
        raise ValueError(f"{name} is none of this project's")
    return found


_READERS: dict[str, Callable[[Any, Sequence[Array]], Any]] = {
    "tuple": lambda content, arrays: tuple(_read_items(content, arrays)),
    "list": _read_items,
    "frozenset": lambda content, arrays: frozenset(_read_items(content, arrays)),
    "set": lambda content, arrays: set(_read_items(content, arrays)),
    "dict": _read_pairs,
    "ndarray": lambda content, arrays: arrays[content],
    "bytes": lambda content, arrays: arrays[content].tobytes(),
    "Path": lambda content, _: Path(content),
    "Tensor": _read_tensor,
    "object": _read_object,
    "function": _read_function,
}
