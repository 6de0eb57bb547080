"""Which layers of a model can be explained, found by running it once and looking at what comes out of each module."""

from __future__ import annotations

import difflib
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product, zip_longest
from typing import TYPE_CHECKING, Any

import torch

from common.errors import ModelProblem
from models.adapter import Layer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import Tensor, nn

    from explain.evidence.resident import Resident
    from models.adapter import Adapter

MAX_PREFIX = 16
"""CLS, a distilled token and registers; more only text would have."""
MAX_GUESSED = 8
"""Of them, where no convolution says what the grid is."""
NUMBERED = 16
"""Modules of one kind, counted from 0, that another tool's name with a star is tried for."""


@dataclass(frozen=True, slots=True)
class Attended:
    """One module that attends, as it was seen in a pass on a single picture."""

    path: str
    heads: int
    queries: int
    grid: tuple[int, int] | None
    """(h, w) of the patches among its keys; None where it attends within windows, or to something else."""
    prefix: int
    """Keys before the grid's (CLS, registers)."""
    same: bool
    """Whether its queries are the same tokens as its keys."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What one pass shows of a model's inside."""

    known: dict[str, Layer]
    """Every module that gives a map, by path."""
    short: tuple[Layer, ...]
    """The short list for a picker, in the order of execution."""
    attentions: tuple[Attended, ...]
    """What attends, in the order of execution."""


def discover(adapter: Adapter, tensor: Tensor) -> tuple[dict[str, Layer], tuple[Layer, ...]]:
    """`survey`'s layers alone: all by path, and the short list."""
    seen = survey(adapter, tensor)
    return seen.known, seen.short


def survey(adapter: Adapter, tensor: Tensor) -> Surveyed:
    """Run (1, 3, h, w) once and look at what every module gives, and at what attends.

    The short list is in the order of execution and names a tensor once, by the outermost module that returns it
    (`layer4`, not also `layer4.1.relu`); it starts with the earliest layer and ends with the last spatial one.
    """
    size = (tensor.shape[-2], tensor.shape[-1])
    known: dict[str, Layer] = {}
    short: list[str] = []
    attentions: dict[str, Attended] = {}
    grids: dict[tuple[int, int], None] = {}
    previous: Tensor | None = None
    returned = 0
    before: dict[str, int] = {}
    read_by: dict[str, str] = {}

    def look(path: str, leaf: bool, output: Any) -> None:
        nonlocal previous, returned
        if not isinstance(output, torch.Tensor):
            return
        returned += output.nbytes if leaf else 0
        if (layer := describe(path, output, size, grids)) is None:
            return
        if layer.layout == "nchw":
            # Last seen, first tried: patches are cut by the latest convolution.
            grids.pop(layer.shape[1:], None)
            grids[layer.shape[1:]] = None
        known[path], before[path] = layer, returned
        if output is previous:
            short[-1] = path
        else:
            short.append(path)
        previous = output

    def attend(path: str, weights: Tensor) -> Tensor:
        pictures, heads, queries, keys = weights.shape
        prefix, grid = (_tokens(keys, size, grids) if pictures == 1 else None) or (0, None)
        if path not in attentions:
            attentions[path] = Attended(path, heads, queries, grid, prefix, queries == keys)
            # What its own parts return (queries, keys) is no layer to look at it by.
            read = next((name for name in reversed(short) if not name.startswith(f"{path}.")), "")
            if read and (grid or pictures > 1) and known[read].layout != "nchw":
                read_by[read] = path
        return weights

    handles = []
    for path, module in adapter.module.named_modules():
        if path:
            seen = partial(look, path, next(module.children(), None) is None)
            handles.append(module.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen(output)))
    opened = adapter.record_attention(attend)
    try:
        # An activation in place returns what it was given: norm and ReLU would look like one layer.
        with torch.no_grad(), not_in_place(adapter.module), opened:
            adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
    known = {
        path: replace(layer, tail_bytes=returned - before[path], read_by=read_by.get(path, ""))
        for path, layer in known.items()
    }
    whole = {layer.shape[1:] for path, layer in known.items() if not _under(path, attentions)}
    # Inside of attention four sides are heads and tokens as a rule.
    inner = [path for path in known if _under(path, attentions) and known[path].shape[1:] not in whole]
    for path in inner:
        del known[path]
        short = [name for name in short if name != path]
    # A module that is called twice (one ReLU for all) has no single map of its own.
    return Surveyed(known, tuple(known[path] for path in short if short.count(path) == 1), tuple(attentions.values()))


def _under(path: str, parents: Collection[str]) -> bool:
    return any(path.startswith(f"{parent}.") for parent in parents)


@contextmanager
def not_in_place(module: nn.Module) -> Iterator[None]:
    """Activations that keep their input, for as long as this lasts."""
    parts = [part for part in module.modules() if getattr(part, "inplace", None) is True]
    for part in parts:
        part.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for part in parts:
            part.inplace = True  # type: ignore[assignment]


def describe(path: str, output: Tensor, size: tuple[int, int], grids: Collection[tuple[int, int]] = ()) -> Layer | None:
    """How an output can be read as a map on an input of `size` (h, w); None where it cannot.

    `grids` are those that convolutions were seen to make, the latest last: patches are one of them as a rule.
    """
    shape, aspect = tuple(output.shape), size[0] / size[1]
    if not shape or shape[0] != 1:
        return None  # the windows of one picture
    if len(shape) == 4:
        _, a, b, c = shape
        # Channels come last where the last two sides cannot be the picture's and the first two can (Swin).
        if not _fits(b, c, size, aspect) and _fits(a, b, size, aspect):
            return Layer(path, (c, a, b), "nhwc") if a * b > 1 else None
        return Layer(path, (a, b, c)) if b * c > 1 and b <= size[0] and c <= size[1] else None
    if len(shape) == 3 and shape[2] > 1 and (found := _tokens(shape[1], size, grids)) is not None:
        prefix, grid = found
        return Layer(path, (shape[2], *grid), "tokens", prefix)
    return None


def _fits(height: int, width: int, size: tuple[int, int], aspect: float) -> bool:
    return height <= size[0] and width <= size[1] and abs(height - aspect * width) <= 1


def _tokens(
    count: int, size: tuple[int, int], grids: Collection[tuple[int, int]]
) -> tuple[int, tuple[int, int]] | None:
    """How so many tokens are cut into those before the grid's and an (h, w) grid; None where they are none."""
    for grid in reversed([*grids]):
        if 0 <= (prefix := count - grid[0] * grid[1]) <= MAX_PREFIX and grid[0] * grid[1] > MAX_PREFIX:
            return prefix, grid
    for prefix in range(min(MAX_GUESSED, count)):
        if (cut := _grid(count - prefix, size)) is not None:
            return prefix, cut
    return None


def _grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """(h, w) of so many patches over an input of `size`, both sides cut by the same whole patch size."""
    patch = math.isqrt(size[0] * size[1] // tokens) if tokens else 0
    if patch < 2 or size[0] // patch * (size[1] // patch) != tokens:
        return None
    return size[0] // patch, size[1] // patch


def as_map(output: Tensor, layer: Layer) -> Tensor:
    """A layer's output or gradient as (B, C, h, w)."""
    if layer.layout == "nhwc":
        return output.permute(0, 3, 1, 2)
    if layer.layout == "tokens":
        rows = output[:, layer.prefix :]  # (B, h*w, C)
        return rows.transpose(1, 2).reshape(len(rows), *layer.shape)
    return output


def find(known: Mapping[str, Layer], paths: tuple[str, ...], module: nn.Module) -> tuple[Layer, ...]:
    """The layers at dotted paths; raises ModelProblem, one sentence, for a path that gives no map."""
    for path in paths:
        if path in known:
            continue
        raise _refused(path, path, known, module)
    return tuple(known[path] for path in paths)


def named(resident: Resident, typed: str) -> tuple[str, ...]:
    """The paths of what a person calls one layer or several.

    That is a path, a preset or another tool's name, one of these with `*` in it, several presets at once (`neck P3/P4`)
    or a list of all this with commas or spaces. Raises ModelProblem, one sentence with the name as it was typed.
    """
    (known, short), adapter = resident.layers, resident.adapter
    presets = adapter.presets(short)

    def one(name: str) -> tuple[str, ...]:
        if name in presets:
            return presets[name]
        if (path := adapter.alias(name)) in known:
            return (path,)
        if "*" in name:
            return _matching(name, adapter, known)
        first, *rest = (part.strip() for part in name.split("/"))
        prefix = first.rpartition(" ")[0]
        found = [one(first), *(one(f"{prefix} {part}") or one(part) for part in rest)] if rest else []
        return tuple(chain(*found)) if all(found) else ()

    def several(text: str) -> tuple[str, ...]:
        # The whole first: a preset's name has spaces of its own.
        if whole := one(text):
            return whole
        if "," in text:
            return tuple(chain(*(several(part.strip()) for part in text.split(",") if part.strip())))
        found: list[str] = []
        words = text.split()
        while words:
            counts = range(len(words), 0, -1)
            read = next(((count, paths) for count in counts if (paths := one(" ".join(words[:count])))), None)
            if read is None:
                # Where nothing of it is known it is no list, but one name that is spelt otherwise.
                wrong = words[0] if found or any(map(one, words)) else text
                raise _refused(wrong, adapter.alias(wrong), known, adapter.module, presets, resident.default_layers)
            found += read[1]
            words = words[read[0] :]
        return tuple(found)

    return several(typed.strip())


def _matching(name: str, adapter: Adapter, known: Mapping[str, Layer]) -> tuple[str, ...]:
    """The layers that a name with stars stands for, in the order of execution; a star ends at a dot."""
    parts = name.split("*")
    pattern = re.compile("[^.]*".join(map(re.escape, parts)))
    found = {path for path in known if pattern.fullmatch(path)}
    if not found and len(parts) <= 3:
        # What another tool calls them can only be asked for name by name.
        stars = product(map(str, range(NUMBERED)), repeat=len(parts) - 1)
        found = {adapter.alias("".join(chain(*zip_longest(parts, some, fillvalue="")))) for some in stars}
    return tuple(path for path in known if path in found)


def _refused(
    name: str,
    path: str,
    known: Mapping[str, Layer],
    module: nn.Module,
    presets: Collection[str] = (),
    default: Collection[str] = (),
) -> ModelProblem:
    """Why there is no map at `path`, which was called `name`, and where there is one."""
    choose = f"choose {', '.join(default)}" if default else "choose another layer"
    choose += f", or one of its presets: {', '.join(presets)}" if presets else ""
    if path in dict(module.named_modules()):
        meant = name if path == name else f"{name} ({path})"
        return ModelProblem(f"The output of {meant} is not a map: {choose}.")
    near = _nearest(name, [*presets, *known])
    return ModelProblem(f"There is no layer {name} in this model: {f'the nearest is {near}' if near else choose}.")


def _nearest(name: str, among: Collection[str]) -> str:
    """The one of these that was probably meant; empty where none is near."""
    lowered, wanted = {one.lower(): one for one in among}, name.lower()
    for near in difflib.get_close_matches(wanted, lowered, n=1, cutoff=0.75):
        # Another number is another layer, and no slip of the pen.
        if near == wanted or re.sub(r"\d+", "", near) != re.sub(r"\d+", "", wanted):
            return lowered[near]
    return ""
