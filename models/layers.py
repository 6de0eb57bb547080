"""Layers that maps are taken at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True, slots=True)
class Layer:
    """A module by dotted path, with a (C, h, w) map as output."""

    path: str
    shape: tuple[int, int, int]
    """(C, h, w) for the model's own input size."""
    layout: str = "nchw"
    """`nchw`, `nhwc` (Swin) or `tokens` (a ViT's (N, C) rows, its prefix tokens first)."""
    prefix: int = 0
    """Tokens before the grid's (CLS, registers)."""
    tail_bytes: int = field(default=0, compare=False)
    """What the modules after it return, for the model's own input size: about what a graph from here on keeps."""
    read_by: str = field(default="", compare=False)
    """Of tokens: the path of the attention that reads them as they are here; later each goes its own way."""


@dataclass(frozen=True, slots=True)
class ModelStage:
    """One top-level step of a model, for a drawing of it."""

    path: str
    kind: str
    """Name of the module's type."""
    shape: tuple[int, int, int] | None
    """(C, h, w) of what it returns for the model's own input size; None where that is no single map."""
    stride: float | None
    """Pixels of the input that a cell of it is, along its height."""
    inputs: tuple[str, ...]
    """Paths of the stages that it reads; none for the first."""
    part: Literal["backbone", "neck", "head"]


def stages_of(module: nn.Module, layers: Sequence[Layer], height: int) -> tuple[ModelStage, ...]:
    """Return the stages of a model with layers in execution order.

    Each is a layer that is inside no other one, and reads the one before it.
    """
    paths = {layer.path for layer in layers}
    model_stages: list[ModelStage] = []
    for layer in layers:
        names = layer.path.split(".")
        if any(".".join(names[:count]) in paths for count in range(1, len(names))):
            continue
        kind = type(module.get_submodule(layer.path)).__name__
        stride, inputs = height / layer.shape[1], tuple(stage.path for stage in model_stages[-1:])
        model_stages.append(ModelStage(layer.path, kind, layer.shape, stride, inputs, _part_by_name(layer.path)))
    return tuple(model_stages)


def _part_by_name(path: str) -> Literal["backbone", "neck", "head"]:
    """Guess a layer's part from its path; `Adapter.stages` may override it."""
    words = path.lower()
    if any(word in words for word in ("neck", "fpn")):
        return "neck"
    return "head" if any(word in words for word in ("head", "decoder", "classifier")) else "backbone"
