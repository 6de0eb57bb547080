"""Layers that maps are taken at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Section = Literal["backbone", "neck", "head"]


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
    """One top-level step of a model that is a layer."""

    path: str
    kind: str
    """Name of the module's type."""
    stride: float
    """Pixels of the input that a cell of it is, along its height."""
    part: Section


def section_of(path: str) -> Section:
    """Guess a layer's part from its path."""
    words = path.lower()
    if any(word in words for word in ("neck", "fpn")):
        return "neck"
    return "head" if any(word in words for word in ("head", "decoder", "classifier")) else "backbone"


def name_presets(
    layers: Sequence[Layer], neck: Iterable[str], backbone: Iterable[str], side: int, *, scales: bool = True
) -> dict[str, tuple[str, ...]]:
    """Return a detector's usual choices of target layers among `layers`.

    `neck`, `backbone`: paths of the maps that the head reads, and of the backbone's steps, in order; `side`: the
    input's in pixels; `scales`: whether each map of the neck is a choice.
    """
    known = {layer.path: f"P{round(math.log2(side / layer.shape[1]))}" for layer in layers}
    maps, steps = ([path for path in paths if path in known] for paths in (neck, backbone))
    presets = {"all neck outputs": tuple(maps), "backbone end": tuple(steps[-1:])}
    if scales:
        presets |= {f"neck {known[path]}": (path,) for path in maps}
    presets["backbone P3"] = tuple([path for path in steps if known[path] == "P3"][-1:])
    return {name: paths for name, paths in presets.items() if paths}
