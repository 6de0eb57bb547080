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
GLOBAL_HOOKS: tuple[dict[int, object], ...] = tuple(
    table
    for name, table in sorted(vars(torch.nn.modules.module).items())
    if name.startswith("_global_") and "hooks" in name
)
"""The hooks of all modules of the process."""
MAX_DEPTH, MAX_OBJECTS = 4, 20_000
"""How deep, and how many, objects are read that a module's attributes and functions hold."""


def has_memory(tensor: Tensor) -> bool:
    """Return whether a tensor has memory of its own: sparse ones and those in oneDNN's layout have none."""
    return torch._C._has_storage(tensor)


@dataclass
class ModuleState:
    """The parts, hooks and functions of a module, and the values that its passes may read."""

    structure: list[object] = field(default_factory=list)
    values: dict[object, list[object]] = field(default_factory=dict)
    """By the module and the name of its attribute that holds them; of classes and tensors by None."""
    _place: object = field(default=None, compare=False)
    """Whose values are read now."""
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
            around, self._place = self._place, (id(part), name)
            self.add(attributes[name], 0)
            self._place = around
        for child in part.children():
            self.add_part(child)

    def differs(self, other: ModuleState) -> set[object]:
        """Return the places of values that another state has otherwise."""
        places = self.values.keys() | other.values.keys()
        return {place for place in places if self.values.get(place) != other.values.get(place)}

    @property
    def _row(self) -> list[object]:
        """The values at the place that is read now."""
        return self.values.setdefault(self._place, [])

    def add(self, value: Any, depth: int) -> None:
        """Add what an attribute, a container or a function holds."""
        kind = type(value)
        if kind in ATOMS:
            # NaN is unlike itself.
            self._row.append(value if value == value else "nan")
        elif isinstance(value, Tensor):
            self._add_identities([value], self._row)
            address = value.data_ptr() if has_memory(value) else 0
            self._row.extend([address, 0 if value.is_inference() else value._version])
        elif isinstance(value, np.ndarray):
            self._row.append(zlib.crc32(value.tobytes()) if value.dtype != object else id(value))
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
        elif type(value) in CONTAINERS:
            if self._is_new(value):
                self._add_all(value, depth)
        elif self._is_new(value):
            self._add_defaults(type(value))
            self._add_all(_attributes_of(value), depth)

    def _add_all(self, container: Any, depth: int) -> None:
        self._row.append(len(container))
        if isinstance(container, dict):
            self._row.extend([key for key in container if type(key) in ATOMS])
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

    def _add_defaults(self, kind: type) -> None:
        """Add the plain values and the functions that a class gives its objects."""
        for base in kind.__mro__:
            if not _is_library(base.__module__):
                values = [*vars(base).values()]
                self._row.extend([value for value in values if type(value) in ATOMS])
                self._add_identities(value for value in values if isinstance(value, FunctionType))

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
            self._row.extend([inside[name] for name in names if name in inside and type(inside[name]) in ATOMS])

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


def _attributes_of(value: object) -> dict[str, object]:
    """Return the attributes of an object, those in slots as well."""
    inside = getattr(value, "__dict__", None)
    attributes = dict(inside) if isinstance(inside, dict) else {}
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        attributes |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    return attributes


def _is_library(name: str | None) -> bool:
    return (name or "").partition(".")[0] in LIBRARIES


def read_state(module: nn.Module) -> ModuleState:
    """Return what a module is now."""
    state = ModuleState()
    state.add_part(module)
    for hooks in GLOBAL_HOOKS:
        state.structure += hooks
    return state
