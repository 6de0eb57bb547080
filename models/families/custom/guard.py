"""Run a caller's module where it is, and leave it as it was.

Inside a `ModuleGuard` the module is in eval mode, without gradients of its parameters, uncompiled, and without
checkpointing. On exit its attributes, containers, hooks, modes, tensors and generators are what they were on entry.
"""

import random
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter, is_, itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils import checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sightglass.models.families.custom.state import has_memory

_LOCK = threading.RLock()
"""One for all modules, which may share parts."""
_MODULE = vars(nn.Module())
_DICTS = itemgetter(*(key for key, value in _MODULE.items() if isinstance(value, dict) and "state_dict" not in key))
"""What a module keeps parameters, buffers, parts and hooks in."""
_ATOMS = {bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device, torch.Size}
_ATOMS |= {FunctionType, BuiltinFunctionType, MethodType, ModuleType}
_CONTAINERS = (dict, OrderedDict, list, set, deque)
MAX_DEPTH, MAX_OBJECTS = 4, 5000
"""How deep, and how many, objects that a module's attributes hold are put back."""


@dataclass(eq=False)
class _Entry:
    """One entry into a guard."""

    guard: "ModuleGuard"
    contexts: ExitStack
    left: bool = False
    """Whether it was left; what it changed stays until all later entries were left."""


_OPEN: list[_Entry] = []
"""The entries of all guards, the latest last; they belong to the thread that holds _LOCK."""


def _close_left() -> None:
    """Undo the latest entries that were left.

    Guards change what all modules share, and modules share parts, so each change is undone before earlier ones.
    """
    if not _OPEN or not _OPEN[-1].left:
        return
    entry = _OPEN.pop()
    entry.guard.entries.remove(entry)
    try:
        entry.contexts.close()
    finally:
        _close_left()


class ModuleGuard:
    """A re-entrant context in which a caller's module can be run and changed.

    Guards of several modules may be entered at once, and left in any order.
    """

    lock = _LOCK

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parts: list[nn.Module] = []
        """The modules of the first entry."""
        self.patch: Callable[[], None] | None = None
        """The change of the module that each entry makes: its adapter's `patch_module`."""
        self._writes: bool | None = None
        """Whether passes write into tensors of the module; None before the first."""
        self._snapshot: _Snapshot | None = None
        """The latest one, which holds as long as the module's dicts hold the same objects."""
        self.entries: list[_Entry] = []
        """The open ones, the latest last."""

    @property
    def device(self) -> torch.device:
        """The device of the first parameter or buffer."""
        return next((each.device for each in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first parameter or buffer of floats."""
        return next((each.dtype for each in self._tensors() if each.is_floating_point()), torch.float32)

    @property
    def restructured(self) -> bool:
        """Whether it has other modules than at the first entry."""
        return not self.entries and not _same(self.parts, _parts_of(self.module))

    def _tensors(self) -> Iterator[Tensor]:
        return chain(self.module.parameters(), self.module.buffers())

    def __enter__(self) -> Self:
        with ExitStack() as contexts:
            contexts.enter_context(_LOCK)
            if not self.entries:
                contexts.enter_context(self._prepared())
            entry = _Entry(self, contexts.pop_all())
        self.entries.append(entry)
        _OPEN.append(entry)
        return self

    def __exit__(self, *_: object) -> None:
        latest = next(entry for entry in reversed(self.entries) if not entry.left)
        latest.left = True
        # Closing the last entry gives up its hold: another thread's would be next in the list.
        with _LOCK:
            _close_left()

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        writes, snapshot = _Writes(), self._snapshot
        if snapshot is None or not snapshot.current:
            snapshot = self._snapshot = _Snapshot(self.module)
        snapshot.begin()
        self.parts = self.parts or snapshot.parts
        training = any(part.training for part in snapshot.parts)
        with ExitStack() as inside:
            inside.callback(snapshot.restore)
            inside.enter_context(_without_checkpoints())
            if training or self._writes is not False:
                inside.enter_context(writes.undone(snapshot.tensors))
            if training:
                # Some modules merge weights in `eval`.
                with writes:
                    self.module.eval()
            if "torch._dynamo" in sys.modules:
                # Hooks do not run in compiled parts.
                inside.enter_context(torch.compiler.set_stance("force_eager"))
            snapshot.open_parts()
            for parameter in snapshot.trained:
                parameter.requires_grad = False
            before = _signature(snapshot.tensors)
            if self._writes is not False:
                inside.enter_context(writes)
            if self.patch is not None:
                self.patch()
            yield
            self._writes = bool(writes.before) or before != _signature(snapshot.tensors) or bool(self._writes)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Put back on exit what a pass inside changes, while the guard may stay entered."""
        snapshot, writes = _Snapshot(self.module), _Writes()
        snapshot.begin()
        with ExitStack() as inside:
            inside.callback(snapshot.restore)
            if self._writes is not False:
                inside.enter_context(writes.undone(snapshot.tensors))
                inside.enter_context(writes)
            yield
        if not self.entries:
            self._writes = bool(self._writes) or bool(writes.before)


def _same(first: Collection[object], second: Collection[object]) -> bool:
    return len(first) == len(second) and all(map(is_, first, second))


def _parts_of(module: nn.Module) -> list[nn.Module]:
    """Return a module and all inside it, each once, in less time than `modules`."""
    parts: dict[nn.Module, None] = {}
    waiting: list[nn.Module | None] = [module]
    while waiting:
        part = waiting.pop()
        if part is not None and part not in parts:
            parts[part] = None
            waiting += part._modules.values()
    return [*parts]


class _Opaque(nn.Module):
    """A scripted or traced part, which takes no hooks itself."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.__dict__["_part"] = part

    def forward(self, *args: Any, **more: Any) -> Any:
        return self._part(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_part"], name)


def _opened(parts: Sequence[nn.Module]) -> dict[nn.Module, nn.Module]:
    """Return what takes hooks in place of compiled and of scripted modules."""
    others: dict[nn.Module, nn.Module] = {}
    for part in parts:
        if isinstance(part, torch.jit.ScriptModule):
            others[part] = _Opaque(part)
        elif type(part).__name__ == "OptimizedModule" and not (part._forward_hooks or part._forward_pre_hooks):
            others[part] = part.get_submodule("_orig_mod")
    return others


class _Snapshot:
    """What a module's dicts hold, and the state of its objects, which are put back on exit."""

    def __init__(self, module: nn.Module) -> None:
        self.parts = _parts_of(module)
        scripted = [part for part in self.parts if isinstance(part, torch.jit.ScriptModule)]
        self._scripted, self._plain = scripted, [*set(self.parts).difference(scripted)]
        self._attributes = [*map(vars, self._plain)]
        standard = [*chain.from_iterable(map(_DICTS, self._attributes))]
        self._empty = [each for each in standard if not each]
        self._dicts = [*self._attributes, *filter(None, standard)]
        self._copies = [each.copy() for each in self._dicts]
        self._values = [*chain.from_iterable(map(dict.values, self._copies))]
        tables = chain.from_iterable((values["_parameters"], values["_buffers"]) for values in self._attributes)
        self._weights = [each for table in tables if table for each in table.values() if each is not None]
        for part in scripted:
            self._weights += chain(part.parameters(recurse=False), part.buffers(recurse=False))
        attributes = ((values[name] for name in values.keys() - _MODULE.keys()) for values in self._attributes)
        self._objects = [value for value in chain.from_iterable(attributes) if not _is_atom(value)]
        self._read_kinds()

    def _read_kinds(self) -> None:
        """Note what of weights and parts stays as long as the module's dicts hold the same objects."""
        self._in_memory = [*filter(has_memory, self._weights)]
        self._inference = any(each.is_inference() for each in self._in_memory)
        self._compiled = [values for values in self._attributes if "_compiled_call_impl" in values]
        self._others = _opened(self.parts)

    @property
    def current(self) -> bool:
        """Whether the module's dicts still hold the same objects."""
        now = [*chain.from_iterable(map(dict.values, self._dicts))]
        return not any(self._empty) and _same(now, self._values) and _same([*map(vars, self._plain)], self._attributes)

    def begin(self) -> None:
        """Read the state of the module's objects."""
        self.tensors, self._seen = list[Tensor](), set[int]()
        self._undo: list[Any] = [(setattr, part, "training", part.training) for part in self._scripted]
        """Functions with their arguments."""
        for value in self._objects:
            self._add(value, 0)
        found = self.tensors
        self.tensors = [*self._in_memory, *filter(has_memory, found)]
        if self._inference or any(each.is_inference() for each in found):
            self._replace_inference()
        leaves = [each for each in (*self._weights, *found) if each.is_leaf and not each.is_inference()]
        self.trained = [each for each in leaves if each.requires_grad]
        self._gradients = [(each, each.grad) for each in leaves]

    def open_parts(self) -> None:
        """Replace compiled modules by what they were compiled from, and scripted ones by modules that take hooks."""
        for values in self._compiled:
            values.pop("_compiled_call_impl", None)
        for part in self.parts if self._others else ():
            if part not in self._others:
                inside = part._modules.items()
                part._modules.update({name: self._others[each] for name, each in inside if each in self._others})

    def _add(self, value: Any, depth: int) -> None:
        """Add what an attribute holds."""
        if isinstance(value, (nn.Module, type)):
            return
        if isinstance(value, Tensor):
            self.tensors.append(value)
            return
        if depth == MAX_DEPTH or len(self._seen) == MAX_OBJECTS or id(value) in self._seen:
            return
        self._seen.add(id(value))
        kind = type(value)
        undo = _undo_of(value)
        inner: Collection[Any] = ()
        if undo is not None:
            self._undo.append(undo)
        elif kind in (tuple, frozenset):
            inner = value
        elif kind is np.random.Generator:
            inner = (value.bit_generator,)
        elif kind is not np.ndarray:
            container = value if kind in _CONTAINERS else getattr(value, "__dict__", None)
            if isinstance(container, _CONTAINERS):
                inner = _items(container)
                self._undo.append((_refill, container, container.copy()))
        for each in inner:
            if type(each) not in _ATOMS:
                self._add(each, depth + 1)

    def _replace_inference(self) -> None:
        """Replace tensors of inference mode, which autograd cannot save, by copies."""
        copies: dict[int, Tensor] = {}
        for part in self.parts:
            tables: tuple[Any, ...] = (part._parameters, part._buffers)
            for tensors in tables:
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_inference():
                        tensors[name] = copies.setdefault(id(tensor), tensor.detach().clone())
        self.tensors = [each for each in self.tensors if not each.is_inference()]

    def restore(self) -> None:
        """Put everything back."""
        # Nearly always nothing has changed, and one comparison shows it.
        if not self.current:
            for container in self._empty:
                container.clear()
            for container, before in zip(self._dicts, self._copies, strict=True):
                _refill(container, before)
        for undo, *arguments in self._undo:
            undo(*arguments)
        for tensor in self.trained:
            tensor.requires_grad = True
        for tensor, gradient in self._gradients:
            if tensor.grad is not gradient:
                tensor.grad = gradient
        # Nothing here keeps a gradient alive until the next entry.
        self._undo, self.tensors, self.trained, self._gradients = [], [], [], []


def _is_atom(value: Any) -> bool:
    kind = type(value)
    return kind in _ATOMS or (kind is tuple and _ATOMS.issuperset(map(type, value)))


def _undo_of(value: Any) -> tuple[Any, ...] | None:
    """Return a function that puts back an object's state, and its arguments, or None."""
    kind = type(value)
    if isinstance(value, np.random.BitGenerator):
        return setattr, value, "state", value.state
    if kind is random.Random:
        return value.setstate, value.getstate()
    if kind in (torch.Generator, np.random.RandomState):
        return value.set_state, value.get_state()
    if kind is np.ndarray and value.flags.writeable:
        return np.copyto, value, value.copy()
    return None


def _items(container: Any) -> Collection[object]:
    return container.values() if isinstance(container, dict) else container


def _refill(container: Any, before: Any) -> None:
    """Put a container's items back, where they are others."""
    if not _same(_items(container), _items(before)):
        container.clear()
        (container.extend if isinstance(container, (list, deque)) else container.update)(before)


def _signature(tensors: Sequence[Tensor]) -> list[int]:
    return [*map(Tensor.data_ptr, tensors), *map(attrgetter("_version"), tensors)]


class _Writes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keep what operations of this thread overwrite in memory that they did not allocate."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._allocated: set[int] = set()
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        """What was written into, and a copy of it as it was."""
        self._versions: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        named = dict(zip(_argument_names(func), args, strict=False)) | (kwargs or {})
        # In eval mode batch norms write nothing, whatever their schemas say.
        for name in _written(func) if named.get("training", True) else ():
            for tensor in tree_leaves(named.get(name)):
                if isinstance(tensor, Tensor):
                    self._keep(tensor)
        out = func(*args, **(kwargs or {}))
        self._allocated |= _storage_ids(out) - _storage_ids(named)
        return out

    def _keep(self, tensor: Tensor) -> None:
        if not has_memory(tensor):
            return
        storage = tensor.untyped_storage()
        if (storage_id := storage._cdata) not in self._allocated:
            if storage_id not in self.before:
                self.before[storage_id] = storage, storage.clone()  # type: ignore[no-untyped-call]
            if not tensor.is_inference():
                self._versions.append(_unsafe_preserve_version_counter((tensor,)))

    @contextmanager
    def undone(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Put back on exit what was overwritten, and the memory and versions of `tensors`."""
        aliases = [each.data for each in tensors]
        with _unsafe_preserve_version_counter(tuple(tensors)):
            yield
            for storage, before in self.before.values():
                storage.copy_(before)
            for version in reversed(self._versions):
                version.__exit__()
            for tensor, alias in zip(tensors, aliases, strict=True):
                if tensor.data_ptr() != alias.data_ptr() or tensor.shape != alias.shape:
                    tensor.data = alias


def _storage_ids(values: Any) -> set[int]:
    """Return what identifies the memory of all tensors in a tree."""
    tensors = [each for each in tree_leaves(values) if isinstance(each, Tensor)]
    return {int(each.untyped_storage()._cdata) for each in filter(has_memory, tensors)}


@cache
def _argument_names(func: Any) -> tuple[str, ...]:
    return tuple(argument.name for argument in func._schema.arguments)


@cache
def _written(func: Any) -> tuple[str, ...]:
    """Return the arguments that an operation writes into."""
    if "batch_norm" in func._schema.name:
        # Its schema does not say so.
        return "running_mean", "running_var"
    return tuple(each.name for each in func._schema.arguments if each.alias_info and each.alias_info.is_write)


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Run what is checkpointed plainly, so that each module runs once."""
    names = [name for name in vars(checkpoint) if name.startswith("_checkpoint_without_reentrant_generator")]
    generators = {name: vars(checkpoint)[name] for name in names}
    reentrant = checkpoint.CheckpointFunction
    own_apply = vars(reentrant).get("apply")
    reentrant.apply = staticmethod(lambda function, _preserve, *args: function(*args))
    # The first step is before the function, and the second one after it.
    vars(checkpoint).update(dict.fromkeys(names, lambda *_args, **_more: iter([None])))
    try:
        yield
    finally:
        if own_apply is None:
            # Inherited from `Function` again.
            del reentrant.apply
        else:
            # That of another guard, which is still entered.
            reentrant.apply = own_apply
        vars(checkpoint).update(generators)
