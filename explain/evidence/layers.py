"""Resolve target layers by name and read their outputs."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem, nearest
from sightglass.models.layers import AXES, Layer, ModelStage, cells_of, channels_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from torch import Tensor, nn

    from sightglass.explain.evidence.loaded_model import LoadedModel

PIXELS = "pixels"
"""The layer name of a map with a value for each pixel of the input, which is smoothed for display."""


ATTENTION = "attention"
"""The method whose layers are attention modules."""


def watch(module: nn.Module, paths: Iterable[str], note: Callable[[str, Tensor], Tensor | None]) -> ExitStack:
    """Return a context that calls `note` with the path and output of parts; what it returns replaces the output."""
    hooks = ExitStack()
    for path in paths:
        part = module.get_submodule(path)
        hooks.enter_context(part.register_forward_hook(lambda *call, path=path: note(path, call[2])))
    return hooks


def as_map(output: Tensor, layer: Layer) -> Tensor:
    """Return a layer's output or gradient as (B, C, h, w)."""
    moved = channels_first(output, layer.layout)
    if moved.ndim == 4:
        return moved
    return moved[..., cells_of(moved.shape[2], layer.extras)].reshape(len(moved), *layer.shape)


def fit_grid(layer: Layer, output: Tensor, probed: tuple[int, int], size: tuple[int, int]) -> Layer:
    """Return a token layer with its grid for an input of `size`; raise ModelProblem where its tokens are no grid."""
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


def measured_at(
    loaded: LoadedModel, layers: tuple[Layer, ...], size: tuple[int, int]
) -> tuple[LoadedModel, tuple[Layer, ...]]:
    """Return a model and its layers as measured for inputs (h, w)."""
    other, paths = loaded.at(size), tuple(dict.fromkeys(layer.path for layer in layers))
    if other is loaded and not any(layer.views for layer in layers):
        return loaded, layers
    is_default = paths == loaded.default_layers
    return other, layers_at(other, other.default_layers if is_default else paths)


def view_of(layer: Layer, number: int) -> Layer:
    """Return one of the views of a layer, where it lies."""
    frame = layer.frames[number] if layer.frames else None
    return replace(layer, cover=layer.views[number], frame=frame, view=number)


def split_views(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers, one for each picture that forward makes of one."""
    split: list[Layer] = []
    for layer in layers:
        views = [view_of(layer, number) for number in range(len(layer.views))] if layer.view < 0 else []
        split += views or [layer]
    return tuple(split)


def stages(loaded: LoadedModel) -> tuple[ModelStage, ...]:
    """Return the model's top-level stages with maps."""
    return loaded.adapter.stages(loaded.layers) if loaded.layers else ()


def presets(loaded: LoadedModel) -> Mapping[str, tuple[str, ...]]:
    """Return a model's usual choices of layers by name."""
    return loaded.adapter.presets(loaded.layers) if loaded.layers else {}


def outer_layers(loaded: LoadedModel) -> tuple[Layer, ...]:
    """Return a model's outer, default and preset layers, in order."""
    outer = {stage.path for stage in stages(loaded)}.union(loaded.default_layers, *presets(loaded).values())
    return tuple(layer for layer in loaded.layers if layer.path in outer or layer.path.count(".") <= 1)


def layers_at(loaded: LoadedModel, paths: Collection[str]) -> tuple[Layer, ...]:
    """Return the layers at dotted paths; raises ModelProblem without a map."""
    if wrong := next((path for path in paths if path not in loaded.survey.by_path), None):
        raise _refuse(loaded, wrong, wrong)
    return tuple(loaded.survey.by_path[path] for path in paths)


def nearest_attention(layer: Layer, paths: Sequence[str]) -> str:
    """Return the path of a layer's attention module: its own block's, else the last."""
    if layer.read_by in paths:
        return layer.read_by
    names = layer.path.split(".")

    def count_shared(path: str) -> int:
        return next((i for i, (a, b) in enumerate(zip(names, path.split("."), strict=False)) if a != b), len(names))

    return max(reversed(paths), key=count_shared)


def _attended(loaded: LoadedModel, path: str) -> str | None:
    """Return the last layer that an attention module reads; None without a map."""
    usable = [attention.path for attention in loaded.survey.attentions if attention.grid is not None]
    if path not in usable:
        return None
    layers = reversed([*loaded.survey.by_path.values()])
    return next((layer.path for layer in layers if nearest_attention(layer, usable) == path), None)


def chosen_layers(loaded: LoadedModel, names: tuple[str, ...], method: str | None = None) -> tuple[Layer, ...]:
    """Return layers by any names of `find_paths`, by default the model's."""
    if names and not loaded.gradients:
        raise ModelProblem(f"{loaded.adapter.spec.id} {loaded.without_layers}: leave layers out.")
    paths = tuple(dict.fromkeys(path for name in names for path in find_paths(loaded, name, method)))
    return layers_at(loaded, paths or loaded.default_layers)


def _known_path(module: nn.Module, path: str) -> str:
    """Return the path by which a part is listed that may have several (`self.layer4 = self.net.layer4`)."""
    parts = dict(module.named_modules(remove_duplicate=False))
    return next((known for known, part in module.named_modules() if part is parts.get(path)), path)


def find_paths(loaded: LoadedModel, typed: str, method: str | None = None) -> tuple[str, ...]:
    """Return the paths of layers by typed names, separated by commas.

    A name is a path (`layer4.1`, `layer4[-1]`), a preset or another tool's name, and of method "attention" an attention
    module; names without spaces may have these between them. Raises ModelProblem with the name as it was typed.
    """
    layers_by_path, adapter = loaded.survey.by_path, loaded.adapter
    presets = adapter.presets(loaded.layers)

    def match(name: str) -> tuple[str, ...]:
        path: str | None = _known_path(adapter.module, adapter.path_of(name))
        if path not in layers_by_path:
            attended = (method or "").lower() == ATTENTION
            path = _attended(loaded, str(path)) if attended else None
        return presets.get(name) or (() if path is None else (path,))

    paths: list[str] = []
    for part in map(str.strip, typed.split(",")):
        # The whole first: a preset's name has spaces of its own, and an unknown text is one misspelt name.
        names = part.split() if not match(part) and any(map(match, part.split())) else [part]
        for name in names:
            if not match(name):
                path = _known_path(adapter.module, adapter.path_of(name))
                raise _refuse(loaded, name, path, presets, loaded.default_layers)
            paths += match(name)
    return tuple(paths)


def _refuse(
    loaded: LoadedModel, name: str, path: str, presets: Collection[str] = (), default: Collection[str] = ()
) -> ModelProblem:
    """Return the error for a `path` without a map, with a suggestion."""
    choose = f"choose {', '.join(default)}" if default else "choose another layer"
    choose += f", or one of its presets: {', '.join(presets)}" if presets else ""
    if (reason := loaded.survey.notes.get(path)) is not None and path not in loaded.survey.by_path:
        return ModelProblem(f"{reason}: {choose}.")
    if path in dict(loaded.adapter.module.named_modules()):
        shown_name = name if path == name else f"{name} ({path})"
        if _attended(loaded, path) is not None:
            choose = f'method "attention" shows its weights, or {choose}'
        what = "was measured to have no place in the picture" if path in loaded.survey.unplaced else "is not a map"
        return ModelProblem(f"The output of {shown_name} {what}: {choose}.")
    near = nearest(name, [*presets, *loaded.survey.by_path], cutoff=0.75)
    listed = f"the nearest is {near[0]}" if near else choose
    # Models in memory have no id for the command line.
    in_memory = loaded.adapter.spec.in_memory
    where = "`layers` of the Explainer lists all" if in_memory else "`models layers` lists all for --target-layers"
    return ModelProblem(f"There is no layer {name} in this model: {listed}; {where}.")
