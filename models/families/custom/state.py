"""The state of a caller's module, read without a pass."""

from __future__ import annotations

import functools
import inspect
import zlib
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ATOMS = (bool, int, float, complex, str, bytes, type(None))
CONTAINERS = (dict, OrderedDict, list, tuple, set, frozenset, deque)
STANDARD = vars(nn.Module()).keys()
"""Attributes that every module has."""
TENSORS = ("_parameters", "_buffers")
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "ultralytics", "numpy")
"""Packages whose functions nobody changes."""
MAX_DEPTH, MAX_OBJECTS = 4, 20_000
"""How deep, and how many, objects are read that a module's attributes and functions hold."""


def has_memory(tensor: Tensor) -> bool:
    """Return whether a tensor has memory of its own: sparse ones and those in oneDNN's layout have none."""
    return torch._C._has_storage(tensor)


@dataclass
class ModuleState:
    """The parts, hooks and functions of a module, and the values that its passes may read."""

    structure: list[object] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    _kept: list[object] = field(default_factory=list, repr=False, compare=False)
    """What the numbers of objects are of, so that no other object gets one of them."""
    _seen: set[int] = field(default_factory=set, repr=False, compare=False)

    def add_part(self, part: nn.Module) -> None:
        """Add a module with its parts."""
        if not self._is_new(part):
            return
        if isinstance(part, torch.jit.ScriptModule):
            self._add_all([*part.parameters(), *part.buffers()], 0)
            return
        attributes = vars(part)
        self._add_class(type(part))
        for name in sorted(STANDARD & attributes.keys()):
            table = attributes[name]
            if name in TENSORS:
                self._add_all(table, 0)
            elif isinstance(table, dict):
                self.structure += table
                self._add_identities(table.values())
        for name in sorted(attributes.keys() - STANDARD):
            self.values.append(name)
            self.add(attributes[name], 0)
        for child in part.children():
            self.add_part(child)

    def add(self, value: Any, depth: int) -> None:
        """Add what an attribute, a container or a function holds."""
        kind = type(value)
        if kind in ATOMS:
            # NaN is unlike itself.
            self.values.append(value if value == value else "nan")
        elif isinstance(value, Tensor):
            self._add_identities([value], self.values)
            address = value.data_ptr() if has_memory(value) else 0
            self.values += [address, 0 if value.is_inference() else value._version]
        elif isinstance(value, np.ndarray):
            self.values.append(zlib.crc32(value.tobytes()) if value.dtype != object else id(value))
        elif isinstance(value, nn.Module):
            self.add_part(value)
        elif depth < MAX_DEPTH and len(self._seen) < MAX_OBJECTS:
            self._add_object(value, depth)

    def _add_object(self, value: Any, depth: int) -> None:
        if isinstance(value, MethodType):
            self._add_function(value.__func__, depth)
            self.add(value.__self__, depth + 1)
        elif isinstance(value, FunctionType):
            self._add_function(value, depth)
        elif isinstance(value, functools.partial):
            self._add_all([value.func, value.args, value.keywords], depth)
        elif isinstance(value, (BuiltinFunctionType, type)):
            self._add_identities([value])
        elif self._is_new(value):
            inner = value if type(value) in CONTAINERS else getattr(value, "__dict__", None)
            if isinstance(inner, CONTAINERS):
                self._add_all(inner, depth)

    def _add_all(self, container: Any, depth: int) -> None:
        self.values.append(len(container))
        if isinstance(container, dict):
            self.values += [key for key in container if type(key) in ATOMS]
            container = container.values()
        for each in list(container):
            self.add(each, depth + 1)

    def _add_class(self, kind: type) -> None:
        self._add_identities([kind])
        for base in kind.__mro__:
            if _is_library(base.__module__) or not self._is_new(base):
                continue
            for name, value in vars(base).items():
                inner = getattr(value, "__func__", value)
                if isinstance(inner, FunctionType) or (type(inner) in ATOMS and not name.startswith("__")):
                    self.add(inner, 0)

    def _add_function(self, function: Any, depth: int) -> None:
        """Add a function with what it reads from around it."""
        self._add_identities([function])
        if not isinstance(function, FunctionType) or _is_library(function.__module__) or not self._is_new(function):
            return
        # A name may not have its value yet.
        with suppress(ValueError):
            self._add_all(inspect.getclosurevars(function).nonlocals, depth)
        self._add_all(function.__defaults__ or (), depth)
        names, around = function.__code__.co_names, function.__globals__
        for value in [around[name] for name in names if name in around]:
            if isinstance(value, ModuleType):
                self._add_settings(value, names)
            elif not isinstance(value, type):
                self.add(value, depth + 1)

    def _add_settings(self, module: ModuleType, names: Sequence[str]) -> None:
        """Add the plain values of a module of Python that have one of these names."""
        if not _is_library(module.__name__):
            inside = vars(module)
            self.values += [inside[name] for name in names if name in inside and type(inside[name]) in ATOMS]

    def _add_identities(self, objects: Iterable[object], row: list[object] | None = None) -> None:
        objects = list(objects)
        self._kept += objects
        (self.structure if row is None else row).extend(map(id, objects))

    def _is_new(self, value: object) -> bool:
        """Return whether an object was not read before."""
        if id(value) in self._seen:
            return False
        self._seen.add(id(value))
        self._kept.append(value)
        return True


def _is_library(name: str | None) -> bool:
    return (name or "").partition(".")[0] in LIBRARIES


def read_state(module: nn.Module) -> ModuleState:
    """Return what a module is now."""
    state = ModuleState()
    state.add_part(module)
    return state
