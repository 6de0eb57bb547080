"""A model drawn from its layers alone, where its family knows no better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from models.adapter import Stage
from models.preprocess import blank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.adapter import Adapter, Layer


def outermost(adapter: Adapter, layers: Sequence[Layer]) -> tuple[Stage, ...]:
    """One layer per top-level step, in the order of `layers`: each that lies in no other, and reads the one before."""
    height = adapter.prepare(blank(adapter, 128), adapter.preprocessings[0]).tensor.shape[-2]
    paths = {layer.path for layer in layers}
    found: list[Stage] = []
    for layer in layers:
        names = layer.path.split(".")
        if any(".".join(names[:count]) in paths for count in range(1, len(names))):
            continue
        kind = type(adapter.module.get_submodule(layer.path)).__name__
        stride, inputs = height / layer.shape[1], tuple(stage.path for stage in found[-1:])
        found.append(Stage(layer.path, kind, layer.shape, stride, inputs, _part(layer.path)))
    return tuple(found)


def _part(path: str) -> Literal["backbone", "neck", "head"]:
    """What a path calls itself; a family whose paths say nothing draws its own stages."""
    words = path.lower()
    if any(word in words for word in ("neck", "fpn")):
        return "neck"
    return "head" if any(word in words for word in ("head", "decoder", "classifier")) else "backbone"
