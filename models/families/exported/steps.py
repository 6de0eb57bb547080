"""Run a TorchScript graph's plain Python steps."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(node: Any) -> Callable[..., Any] | None:
    """Return the function of a step by its name and its inputs, or None for an operator of torch."""
    kind = node.kind()
    return PLAIN.get(kind) if kind not in LISTS or _of_lists(node) else None


def _raise(*message: Any) -> None:
    raise ModelProblem(f"It refuses this input ({' '.join(str(part) for part in message)[:150]}).")


def _append(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _set(values: Any, at: Any, value: Any) -> Any:
    values[at] = value
    return values


def _slice(values: Any, start: int | None = None, stop: int | None = None, step: int = 1) -> Any:
    return values[start:stop:step]


def _tensor(data: Any, dtype: int | None, device: torch.device | None, _gradient: bool) -> torch.Tensor:
    made = torch.tensor(data, device=device)
    # The dtype is a number here, which only operators understand.
    return made if dtype is None else torch.ops.aten.to.dtype(made, dtype)


def _of_lists(node: Any) -> bool:
    return str(next(node.inputs()).type().kind()) in ("ListType", "TupleType", "StringType", "DictType", "EnumType")


LISTS = tuple(f"aten::{name}" for name in ("__getitem__", "slice", "add", "mul", "len", "eq", "ne", "list", "copy"))
PLAIN: dict[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *parts: list(parts),
    "prim::TupleConstruct": lambda *parts: tuple(parts),
    "prim::ListUnpack": list,
    "prim::TupleUnpack": tuple,
    "prim::TupleIndex": operator.getitem,
    "prim::DictConstruct": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "prim::Uninitialized": lambda: None,
    "prim::unchecked_cast": lambda value: value,
    "prim::RaiseException": _raise,
    "prim::NumToTensor": lambda value: torch.tensor(value),
    "prim::data": lambda value: value.detach(),
    "prim::device": lambda value: value.device,
    "prim::dtype": lambda value: value.dtype,
    "prim::layout": lambda value: value.layout,
    "prim::is_cuda": lambda value: value.is_cuda,
    "prim::min": min,
    "prim::max": max,
    "aten::__is__": lambda one, other: one is other,
    "aten::__isnot__": lambda one, other: one is not other,
    "aten::__getitem__": operator.getitem,
    "aten::__contains__": operator.contains,
    "aten::slice": _slice,
    "aten::add": operator.add,
    "aten::mul": operator.mul,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::copy": list,
    "aten::len": len,
    "aten::list": list,
    "aten::append": _append,
    "aten::_set_item": _set,
    "aten::format": lambda text, *parts: text.format(*parts),
    "aten::str": str,
    "aten::warn": lambda *message: None,
    "aten::keys": lambda table: list(table.keys()),
    "aten::values": lambda table: list(table.values()),
    "aten::tensor": _tensor,
    "aten::Int": int,
    "aten::Float": float,
    "aten::Bool": bool,
    "aten::IntImplicit": int,
}
