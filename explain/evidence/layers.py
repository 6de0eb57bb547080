"""Resolve target layers by name and read their outputs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from itertools import chain, product, zip_longest
from typing import TYPE_CHECKING

from sightglass.common.errors import LayerProblem, ModelProblem, nearest
from sightglass.explain.phrases import listing
from sightglass.models.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import Tensor, nn

    from sightglass.explain.evidence.resident import Resident
    from sightglass.models.adapter import Adapter
    from sightglass.models.layers import ModelStage

PIXELS = "pixels"
"""The layer of a map that has a value for each pixel of the input, and is smoothed for the eye."""
NEAR = 3
"""Layers that are suggested for a name that is none."""
NUMBERED = 16
"""Numbers from 0 that are tried for a star in another tool's name of a layer."""


def as_map(output: Tensor, layer: Layer) -> Tensor:
    """Return a layer's output or gradient as (B, C, h, w)."""
    if layer.layout == "nhwc":
        return output.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        rows = output[:, layer.prefix :]  # (B, h*w, C)
        return rows.transpose(1, 2).reshape(len(rows), *layer.shape)
    return output


def fit_grid(layer: Layer, output: Tensor, probed: tuple[int, int], size: tuple[int, int]) -> Layer:
    """Return a token layer with its grid for an input of `size`.

    Raises ModelProblem where its tokens are no grid there.
    """
    (channels, height, width), count = layer.shape, output.shape[1] - layer.prefix
    if layer.layout != "tokens" or count == height * width:
        return layer
    for whole in (math.ceil, math.floor, round):
        grid = whole(height * size[0] / probed[0]), whole(width * size[1] / probed[1])
        if grid[0] * grid[1] == count:
            return replace(layer, shape=(channels, *grid))
    raise ModelProblem(f"The output of {layer.path} is no grid for a picture of this shape: choose another layer.")


def stages(resident: Resident) -> tuple[ModelStage, ...]:
    """Return the model's top-level stages with maps."""
    layers = resident.layers
    paths = {layer.path for layer in layers}
    return tuple(stage for stage in resident.adapter.stages(layers) if stage.path in paths) if layers else ()


@dataclass(frozen=True, slots=True)
class LayerChoices:
    """The layers offered by name; empty for models without layers."""

    layers: tuple[Layer, ...]
    """In the order of execution."""
    default: tuple[str, ...]
    """Paths of the layers used where none are named."""
    presets: dict[str, tuple[str, ...]]


def layer_choices(resident: Resident, *, every: bool = False) -> LayerChoices:
    """List a model's outer layers, its default ones and those of its presets; `every`: inner layers too."""
    short, default = resident.layers, resident.default_layers
    presets = {name: tuple(paths) for name, paths in resident.adapter.presets(short).items()} if short else {}
    outer = {stage.path for stage in stages(resident)} | {*default, *chain(*presets.values())}
    visible = tuple(layer for layer in short if every or layer.path in outer or layer.path.count(".") <= 1)
    return LayerChoices(visible, default, presets)


def find(resident: Resident, paths: Collection[str]) -> tuple[Layer, ...]:
    """Return the layers at dotted paths; raises ModelProblem for a path that gives no map."""
    if wrong := next((path for path in paths if path not in resident.known_layers), None):
        raise _refuse(resident, wrong, wrong)
    return tuple(resident.known_layers[path] for path in paths)


def chosen_layers(resident: Resident, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """Return layers by any names of `find_paths`, by default the model's."""
    if names and not resident.gradients:
        raise ModelProblem(f"No layer of {resident.adapter.spec.id} can be seen: leave layers out.")
    paths = tuple(dict.fromkeys(path for name in names for path in find_paths(resident, name)))
    return find(resident, paths or resident.default_layers)


def find_paths(resident: Resident, typed: str) -> tuple[str, ...]:
    """Return the paths of one or several layers, by any name a user types.

    That is a path (`layer4.1`, `layer4[-1]`), a preset or another tool's name, one of these with `*` in it, several
    presets at once (`neck P3/P4`) or a list of all this with commas or spaces. Raises ModelProblem, one sentence with
    the name as it was typed.
    """
    known, adapter = resident.known_layers, resident.adapter
    presets = adapter.presets(resident.layers)

    def one(name: str) -> tuple[str, ...]:
        if name in presets:
            return presets[name]
        if (path := adapter.path_of(name)) in known:
            return (path,)
        if "*" in name:
            return _matching(name, adapter, known)
        first, *rest = (part.strip() for part in name.split("/"))
        prefix = first.rpartition(" ")[0]
        groups = [one(first), *(one(f"{prefix} {part}") or one(part) for part in rest)] if rest else []
        return tuple(chain(*groups)) if all(groups) else ()

    def several(text: str) -> tuple[str, ...]:
        # The whole first: a preset's name has spaces of its own.
        if whole := one(text):
            return whole
        if "," in text:
            return tuple(chain(*(several(part.strip()) for part in text.split(",") if part.strip())))
        chosen: list[str] = []
        words = text.split()
        while words:
            counts = range(len(words), 0, -1)
            read = next(((count, paths) for count in counts if (paths := one(" ".join(words[:count])))), None)
            if read is None:
                # An unknown text is one misspelt name, not a list.
                wrong = words[0] if chosen or any(map(one, words)) else text
                raise _refuse(resident, wrong, adapter.path_of(wrong), presets, resident.default_layers)
            chosen += read[1]
            words = words[read[0] :]
        return tuple(chosen)

    return several(typed.strip())


def _matching(name: str, adapter: Adapter, known: Mapping[str, Layer]) -> tuple[str, ...]:
    """Return the layers matching a name with stars, in execution order."""
    parts = name.split("*")
    first, *middle, last = map(re.escape, parts)
    # Atomic groups: backtracking over many stars would take hours.
    pattern = re.compile(f"{first}{''.join(f'(?>[^.]*?{part})' for part in middle)}[^.]*{last}")
    matches = {path for path in known if pattern.fullmatch(path)}
    if not matches and len(parts) <= 3:
        # What another tool calls them can only be asked for name by name.
        stars = product(map(str, range(NUMBERED)), repeat=len(parts) - 1)
        matches = {adapter.alias("".join(chain(*zip_longest(parts, some, fillvalue="")))) for some in stars}
    return tuple(path for path in known if path in matches)


def _refuse(
    resident: Resident, name: str, path: str, presets: Collection[str] = (), default: Collection[str] = ()
) -> ModelProblem:
    """Return the error for a `path` without a map, with a suggestion."""
    choose = f"choose {', '.join(default)}" if default else "choose another layer"
    choose += f", or one of its presets: {', '.join(presets)}" if presets else ""
    if path in dict(resident.adapter.module.named_modules()):
        meant = name if path == name else f"{name} ({path})"
        return ModelProblem(f"The output of {meant} is not a map: {choose}.")
    near = _nearest(name, [*presets, *resident.known_layers])
    listed = f"the nearest {'is' if len(near) == 1 else 'are'} {listing(near)}" if near else choose
    # Models in memory have no id for the command line.
    where = "`layers` of the Explainer" if resident.adapter.spec.in_memory else "`models layers`"
    return LayerProblem(f"There is no layer {name} in this model: {listed}", where)


def _nearest(name: str, among: Collection[str]) -> list[str]:
    """Return at most NEAR probable matches of a misspelt name."""

    def same(kind: str, near: str) -> bool:
        return re.sub(kind, "", near.lower()) == re.sub(kind, "", name.lower())

    letters, numbers = r"\d+", r"\D+"
    candidates = nearest(name, among, n=10, cutoff=0.75)
    if in_case := [near for near in candidates if near.lower() == name.lower()]:
        return in_case
    # Another number is another layer, not a typing error.
    return [near for near in candidates if same(numbers, near) and not same(letters, near)][:NEAR]


def receptive_field(module: nn.Module, path: str) -> int | None:
    """Return a layer's receptive field in input pixels; None: unlimited.

    All convolutions and poolings defined up to and in the layer count as if each followed the one before. With branches
    that is too much, never too little (Araujo et al. 2019, doi:10.23915/distill.00021).

        receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), "1")  # 5
    """
    # Menus import this module without torch.
    from torch import nn

    windows = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    whole = (nn.MultiheadAttention, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    field, jump = 1, 1
    for layer in _until(module, path):
        if isinstance(layer, whole) or "attention" in type(layer).__name__.lower():
            return None
        if isinstance(layer, windows):
            kernel, stride = _most(layer.kernel_size), _most(layer.stride)
            dilation = 1 if isinstance(layer, nn.AvgPool2d) else _most(layer.dilation)
            field += (kernel - 1) * dilation * jump
            jump *= stride
    return field


def _until(module: nn.Module, path: str) -> Iterator[nn.Module]:
    """Yield every module in the order of definition, up to the last one in `path`."""
    inside = False
    for name, submodule in module.named_modules():
        within = name == path or name.startswith(f"{path}.")
        if inside and not within:
            return
        inside = within
        yield submodule


def _most(sides: int | tuple[int, ...]) -> int:
    return sides if isinstance(sides, int) else max(sides)
