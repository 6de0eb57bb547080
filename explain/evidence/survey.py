"""What of a model's inside can be named: its layers, and the choices of them that have a name."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from explain.detections import stages

if TYPE_CHECKING:
    from explain.explainer import Explainer
    from models.adapter import Layer


@dataclass(frozen=True, slots=True)
class Inside:
    layers: tuple[Layer, ...]
    """In the order of execution."""
    default: tuple[str, ...]
    """Paths of those that a map is taken at where nobody says."""
    presets: dict[str, tuple[str, ...]]


def inside(explainer: Explainer, *, every: bool = False) -> Inside:
    """The outer layers of a model, those that are its own choice and those of presets; `every`: those within, too.

    None of a model that only answers.
    """
    resident, short = explainer.resident, explainer.layers
    presets = {name: tuple(paths) for name, paths in resident.adapter.presets(short).items()} if short else {}
    default = explainer.default_layers
    outer = {stage.path for stage in stages(resident)} | {*default, *chain(*presets.values())}
    shown = tuple(layer for layer in short if every or layer.path in outer or layer.path.count(".") <= 1)
    return Inside(shown, default, presets)
