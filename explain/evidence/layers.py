"""Resolve target layers by name and read their outputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem, nearest
from sightglass.models.layers import AXES, Layer, ModelStage, cells_of, channels_first

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

    from sightglass.explain.evidence.resident import LoadedModel

PIXELS = "pixels"
"""The layer name of a map with a value for each pixel of the input, which is smoothed for display."""


def as_map(output: Tensor, layer: Layer) -> Tensor:
    """Return a layer's output or gradient as (B, C, h, w)."""
    moved = channels_first(output, layer.layout)
    if moved.ndim == 4:
        return moved
    return moved[..., cells_of(moved.shape[2], layer.extras)].reshape(len(moved), *layer.shape)


def fit_grid(layer: Layer, output: Tensor, probed: tuple[int, int], size: tuple[int, int]) -> Layer:
    """Return a token layer with its grid for an input of `size`.

    Raises ModelProblem where its tokens are no grid there.
    """
    if output.ndim == 4:
        return layer
    (channels, height, width), (pictures, last) = layer.shape, AXES[layer.layout]
    count = output.numel() // (output.shape[pictures] * output.shape[last]) - len(layer.extras)
    # An output with other channels is not a row of tokens.
    same = output.shape[last] == channels
    if same and count == height * width:
        return layer
    # Those in the middle are elsewhere.
    same &= all(extra < len(layer.extras) for extra in layer.extras)
    for rounding in (math.ceil, math.floor, round):
        grid = rounding(height * size[0] / probed[0]), rounding(width * size[1] / probed[1])
        if same and grid[0] * grid[1] == count:
            return replace(layer, shape=(channels, *grid))
    raise ModelProblem(f"The output of {layer.path} is no grid for a picture of this shape: choose another layer.")


def stages(resident: LoadedModel) -> tuple[ModelStage, ...]:
    """Return the model's top-level stages with maps."""
    return resident.adapter.stages(resident.layers) if resident.layers else ()


def presets(resident: LoadedModel) -> Mapping[str, tuple[str, ...]]:
    """Return a model's usual choices of layers by name."""
    return resident.adapter.presets(resident.layers) if resident.layers else {}


def outer_layers(resident: LoadedModel) -> tuple[Layer, ...]:
    """Return a model's outer, default and preset layers, in order."""
    outer = {stage.path for stage in stages(resident)}.union(resident.default_layers, *presets(resident).values())
    return tuple(layer for layer in resident.layers if layer.path in outer or layer.path.count(".") <= 1)


def layers_at(resident: LoadedModel, paths: Collection[str]) -> tuple[Layer, ...]:
    """Return the layers at dotted paths; raises ModelProblem without a map."""
    if wrong := next((path for path in paths if path not in resident.known_layers), None):
        raise _refuse(resident, wrong, wrong)
    return tuple(resident.known_layers[path] for path in paths)


def chosen_layers(resident: LoadedModel, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """Return layers by any names of `find_paths`, by default the model's."""
    if names and not resident.gradients:
        raise ModelProblem(f"{resident.adapter.spec.id} has no layer with a place in the picture: leave layers out.")
    paths = tuple(dict.fromkeys(path for name in names for path in find_paths(resident, name)))
    return layers_at(resident, paths or resident.default_layers)


def find_paths(resident: LoadedModel, typed: str) -> tuple[str, ...]:
    """Return the paths of layers by typed names, separated by commas.

    A name is a path (`layer4.1`, `layer4[-1]`), a preset or another tool's name; names without spaces may have these
    between them. Raises ModelProblem, one sentence with the name as it was typed.
    """
    layers_by_path, adapter = resident.known_layers, resident.adapter
    presets = adapter.presets(resident.layers)

    def match(name: str) -> tuple[str, ...]:
        return presets.get(name) or ((path,) if (path := adapter.path_of(name)) in layers_by_path else ())

    paths: list[str] = []
    for part in map(str.strip, typed.split(",")):
        # The whole first: a preset's name has spaces of its own, and an unknown text is one misspelt name.
        names = part.split() if not match(part) and any(map(match, part.split())) else [part]
        for name in names:
            if not match(name):
                raise _refuse(resident, name, adapter.path_of(name), presets, resident.default_layers)
            paths += match(name)
    return tuple(paths)


def _refuse(
    resident: LoadedModel, name: str, path: str, presets: Collection[str] = (), default: Collection[str] = ()
) -> ModelProblem:
    """Return the error for a `path` without a map, with a suggestion."""
    choose = f"choose {', '.join(default)}" if default else "choose another layer"
    choose += f", or one of its presets: {', '.join(presets)}" if presets else ""
    if path in dict(resident.adapter.module.named_modules()):
        shown_name = name if path == name else f"{name} ({path})"
        if any(attention.path == path for attention in resident.attentions):
            choose = f'method "attention" shows its weights, or {choose}'
        what = "was measured to have no place in the picture" if path in resident.survey.unplaced else "is not a map"
        return ModelProblem(f"The output of {shown_name} {what}: {choose}.")
    near = nearest(name, [*presets, *resident.known_layers], cutoff=0.75)
    listed = f"the nearest is {near[0]}" if near else choose
    # Models in memory have no id for the command line.
    in_memory = resident.adapter.spec.in_memory
    where = "`layers` of the Explainer lists all" if in_memory else "`models layers` lists all for --target-layers"
    return ModelProblem(f"There is no layer {name} in this model: {listed}; {where}.")
