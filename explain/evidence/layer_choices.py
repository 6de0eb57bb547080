"""The layers of a model that are offered by name, with its default and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from explain.detections import stages

if TYPE_CHECKING:
    from explain.explainer import Explainer
    from models.adapter import Layer


@dataclass(frozen=True, slots=True)
class LayerChoices:
    layers: tuple[Layer, ...]
    """In the order of execution."""
    default: tuple[str, ...]
    """Paths of the layers used where none are named."""
    presets: dict[str, tuple[str, ...]]


def layer_choices(explainer: Explainer, *, every: bool = False) -> LayerChoices:
    """List a model's outer layers, its default ones and those of its presets; `every`: inner layers too.

    Empty for a model without layers (an exported file that only answers, a service).
    """
    resident, short = explainer.resident, explainer.layers
    presets = {name: tuple(paths) for name, paths in resident.adapter.presets(short).items()} if short else {}
    default = explainer.default_layers
    outer = {stage.path for stage in stages(resident)} | {*default, *chain(*presets.values())}
    shown = tuple(layer for layer in short if every or layer.path in outer or layer.path.count(".") <= 1)
    return LayerChoices(shown, default, presets)
