"""Discover a model's layers and attention modules by one run."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sightglass.explain.evidence.layers import watch
from sightglass.models.adapter import Adapter
from sightglass.models.adapters.queries import QueryDetections
from sightglass.models.layers import AXES, WHOLE, Cover, Layer, Layout

MAX_PREFIX = 16
"""Tokens before the grid's: CLS, a distilled token and registers; only text would have more."""
MAX_GUESSED_PREFIX = 8
"""The same where no convolution shows what the grid is."""
LEAST_TOKENS = 9
"""Tokens that are taken for a grid; fewer are a summary of the picture."""
MAX_VIEWS = 64
"""Pictures that forward may make of one."""
IN_TRANSFORM = "runs within a transform of torch.func, such as vmap, in which no layer can be recorded"
NOT_CALLED = "is not called on the photograph that the model was measured with"
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class AttentionModule:
    """One attention module, as seen in a pass on a single picture."""

    path: str
    heads: int
    queries: int
    grid: Size | None
    """(h, w) of the patches among its keys; None where it attends within windows, or to something else."""
    extras: tuple[int, ...]
    """Numbers of the keys that are no patches (CLS, registers), as `Layer.extras`."""
    same: bool
    """Whether its queries are the same tokens as its keys."""
    cover: Cover = WHOLE
    """Where the grid lies in the input."""


Part = TypeVar("Part", Layer, AttentionModule)


@dataclass(frozen=True, slots=True)
class Survey:
    """The inside of a model, as one pass shows it."""

    by_path: dict[str, Layer]
    """Every module that returns a map, by path."""
    short: tuple[Layer, ...]
    """The short list for a picker, in the order of execution."""
    attentions: tuple[AttentionModule, ...]
    """In the order of execution."""
    queries: AttentionModule | None = None
    """The cross-attention of a detector whose boxes are queries; None of others."""
    unplaced: tuple[str, ...] = ()
    """Paths of outputs that were measured to have no place in the picture."""
    default: tuple[str, ...] = ()
    """Paths of the default layers, where these were measured."""
    reaches_pixels: bool = False
    """Whether the answer to the photograph was measured to have a gradient at its pixels that is not 0 everywhere."""
    inferred: tuple[str, ...] = ()
    """Paths of layers whose place marks do not show; empty where none was measured."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """A sentence on what was not measured or recorded, by the path of the layer; of all by the empty path."""
    varies: bool = False
    """Whether the graph of a pass shows that it depends on the picture where layers lie."""

    @property
    def in_transform(self) -> bool:
        """Whether a layer ran within a transform of torch.func."""
        return any(IN_TRANSFORM in note for note in self.notes.values())

    def moved(self, placed: Mapping[str, Layer], notes: Mapping[str, str]) -> "Survey":
        """Return the survey with some layers, and those that lay with them, moved.

        `notes`: what there is to say of these layers in place of the notes before, by path.
        """
        other = self if notes == self.notes else replace(self, notes=notes)
        covers = {self.by_path[path].cover: layer.cover for path, layer in placed.items() if not layer.views}
        if all(before == after for before, after in covers.items()):
            return other

        def move(part: Part) -> Part:
            return replace(part, cover=covers.get(part.cover, part.cover))

        by_path = {path: move(layer) for path, layer in self.by_path.items()}
        return replace(
            other,
            by_path=by_path | dict(placed),
            short=tuple(move(layer) for layer in self.short),
            attentions=tuple(move(attention) for attention in self.attentions),
        )


def survey(adapter: Adapter, tensor: Tensor, *, any_layout: bool = False) -> Survey:
    """Run (1, C, h, w) once; list explainable layers and attention modules.

    The short list is in the order of execution and names a tensor once, by the outermost module that returns it
    (`layer4`, not also `layer4.1.relu`); it starts with the earliest layer and ends with the last spatial one.
    `any_layout`: outputs that may be maps in any layout, and an encoder's, are measured; else tokens are (1, N, C).
    """
    parts, outside = dict(adapter.module.named_modules()), tuple(f"{path}." for path in adapter.placeless)
    leaves = {path for path, part in parts.items() if next(part.children(), None) is None}
    repeatable = _find_repeatable(adapter, any_layout)
    size, extras = (tensor.shape[-2], tensor.shape[-1]), MAX_PREFIX + adapter.own_tokens
    inside = adapter.encoder if any_layout else ()
    watched = [path for path in parts if f"{path}.".startswith(inside) or (path and not f"{path}.".startswith(outside))]
    observer = _Observer(size, extras, any_layout, leaves, repeatable, parts, watched)
    hooks = watch(adapter.module, watched, observer.note_output)
    opened = adapter.record_attention(observer.note_attention)
    # In-place activations return their input, so that norm and ReLU would be one layer.
    with hooks, torch.no_grad(), disable_inplace(adapter.module), opened:
        outputs = adapter.run(tensor)
    if not isinstance(outputs, QueryDetections) or (read := outputs.attended) is None:
        return observer.result()
    queries = AttentionModule(read.path, read.heads, outputs.count, max(read.sizes), (), same=False)
    return replace(observer.result(), queries=queries)


def _find_repeatable(adapter: Adapter, any_layout: bool) -> set[str]:
    """Return the paths of modules that are steps of their own, though they run several times."""
    if adapter.detects or not any_layout:
        return set()
    return {path for path, part in adapter.module.named_modules() if next(part.parameters(), None) is not None}


@dataclass
class _Observer:
    """Collects what the modules of one pass return, in the order of execution."""

    size: Size
    extras: int
    """Tokens beside a grid's, at most."""
    any_layout: bool
    leaves: Collection[str]
    """Paths of modules without parts."""
    repeatable: Collection[str]
    """Paths of modules that are listed although they run several times, by what they return last."""
    parts: Mapping[str, nn.Module]
    watched: Sequence[str]
    """Paths of the modules that are to be noted."""
    by_path: dict[str, Layer] = field(default_factory=dict)
    short: list[list[str]] = field(default_factory=list)
    """Paths by call, in order; those that return the same tensor are together."""
    attentions: dict[str, AttentionModule] = field(default_factory=dict)
    grids: dict[Size, None] = field(default_factory=dict)
    views: set[int] = field(default_factory=set)
    """Numbers of pictures that convolutions were given at once."""
    previous: Tensor | None = None
    returned: int = 0
    """Bytes that leaf modules have returned so far."""
    before: dict[str, int] = field(default_factory=dict)
    """`returned` at the time of each layer."""
    read_by: dict[str, str] = field(default_factory=dict)
    """The attention module that reads a layer of tokens, by the layer's path."""
    notes: dict[str, str] = field(default_factory=dict)
    """What keeps an output from being a layer, by the module's path."""
    called: set[str] = field(default_factory=set)
    """Paths of modules that ran."""

    def note_output(self, path: str, output: Any) -> None:
        """Note one module's output."""
        self.called.add(path)
        if not isinstance(output, torch.Tensor) or self._notes_obstacle(path, output):
            return
        self.returned += output.nbytes if path in self.leaves else 0
        layer = describe(path, output, self.size, self.grids, extras=self.extras, any_layout=self.any_layout)
        layer = self._describe_views(path, output) if layer is None else layer
        if layer is None:
            # Of several calls the last counts.
            self.by_path.pop(path, None)
            return
        if layer.layout == "nchw" and proportional(*layer.shape[1:], self.size):
            # Last seen, first tried: patches are cut by the latest convolution.
            self.grids.pop(layer.shape[1:], None)
            self.grids[layer.shape[1:]] = None
        self.by_path[path], self.before[path] = layer, self.returned
        if output is self.previous:
            self.short[-1].append(path)
        else:
            self.short.append([path])
        self.previous = output

    def _describe_views(self, path: str, output: Tensor) -> Layer | None:
        """Return the layout of maps of several pictures that forward made of one; None of windows."""
        count = len(output) if output.ndim in (3, 4) else 1
        if not (self.any_layout and 1 < count <= MAX_VIEWS):
            return None
        if isinstance(self.parts[path], nn.Conv2d):
            self.views.add(count)
        first = describe(path, output[:1], self.size, self.grids, any_layout=False) if count in self.views else None
        return None if first is None else replace(first, views=(WHOLE,) * count)

    def _notes_obstacle(self, path: str, output: Tensor) -> bool:
        """Note why an output cannot be a layer; return whether there is a reason."""
        if torch._C._functorch.is_functorch_wrapped_tensor(output):
            self.notes[path] = f"{path} {IN_TRANSFORM}"
            if output.ndim > 1:
                self.notes.setdefault("", f"{path} {IN_TRANSFORM}, and so may others.")
        elif output.is_complex():
            self.notes[path] = f"{path} returns complex numbers"
        plain = output.layout is torch.strided and not output.is_nested and output.is_floating_point()
        return path in self.notes or not plain

    def note_attention(self, path: str, weights: Tensor) -> Tensor:
        """Note one module's attention (B, heads, queries, keys) and return it unchanged."""
        pictures, heads, queries, keys = weights.shape
        prefix, grid = (self._split(keys) if pictures == 1 else None) or (0, None)
        if path not in self.attentions:
            self.attentions[path] = AttentionModule(path, heads, queries, grid, tuple(range(prefix)), queries == keys)
            # Its parts' outputs (queries, keys) are no maps of it.
            latest = (names[-1] for names in reversed(self.short))
            read = next((name for name in latest if not name.startswith(f"{path}.")), "")
            if read and (grid or pictures > 1) and self.by_path[read].layout != "nchw":
                self.read_by[read] = path
        return weights

    def _split(self, tokens: int) -> tuple[int, Size] | None:
        return split_tokens(tokens, self.size, self.grids, self.extras)

    def result(self) -> Survey:
        layers = {
            path: replace(layer, tail_bytes=self.returned - self.before[path], read_by=self.read_by.get(path, ""))
            for path, layer in self.by_path.items()
        }
        inner = {path for path in layers if any(path.startswith(f"{parent}.") for parent in self.attentions)}
        shapes = {layer.shape[1:] for path, layer in layers.items() if path not in inner}
        # Inside of attention four sides are heads and tokens as a rule.
        dropped = {path for path in inner if layers[path].shape[1:] not in shapes}
        layers = {path: layer for path, layer in layers.items() if path not in dropped}
        short = tuple(layers[path] for path in self._listed() if path in layers)
        # An expert, say, that other pictures are sent to.
        notes = {path: f"{path} {NOT_CALLED}" for path in self.watched if path not in self.called} | self.notes
        return Survey(layers, short, tuple(self.attentions.values()), notes=notes)

    def _listed(self) -> Iterator[str]:
        """Yield the paths of the short list, of several calls at the last.

        Without weights a module with several calls (one ReLU for all) is no step of its own.
        """
        counts = Counter(chain.from_iterable(self.short))
        calls: Counter[str] = Counter()

        def is_step(path: str) -> bool:
            last = calls[path] == counts[path]
            return last and path in self.by_path and (counts[path] == 1 or path in self.repeatable)

        for names in self.short:
            calls.update(names)
            yield from [*filter(is_step, names)][-1:]


@contextmanager
def disable_inplace(module: nn.Module) -> Iterator[None]:
    """Run the module's in-place activations out of place while the context lasts."""
    parts = [part for _, part in module.named_modules() if getattr(part, "inplace", None) is True]
    for part in parts:
        part.inplace = False
    try:
        yield
    finally:
        for part in parts:
            part.inplace = True


def describe(
    path: str, output: Tensor, size: Size, grids: Collection[Size], *, extras: int = MAX_PREFIX, any_layout: bool
) -> Layer | None:
    """Return an output's layout as a map on an input (h, w), or None.

    `extras`: tokens beside a grid's, at most. `grids` are those that convolutions were seen to make, the latest last:
    patches are one of them as a rule.
    """
    shape = tuple(output.shape)
    if len(shape) == 4 and shape[0] == 1:
        _, a, b, c = shape
        # Channels come last if only the first two sides fit the picture's (Swin).
        if not proportional(b, c, size) and proportional(a, b, size):
            return Layer(path, (c, a, b), "nhwc") if a * b > 1 else None
        return Layer(path, (a, b, c)) if b * c > 1 and b <= size[0] and c <= size[1] else None
    layouts: tuple[Layout, ...] = ("tokens", "rows", "sequence") if any_layout else ("tokens",)
    for layout in layouts if len(shape) == 3 else ():
        pictures, channels = AXES[layout]
        count = shape[3 - pictures - channels]
        split = split_tokens(count, size, grids, extras) if shape[channels] > 1 else None
        # Several pictures are the windows of one.
        if shape[pictures] == 1 and split is not None:
            return Layer(path, (shape[channels], *split[1]), layout, tuple(range(split[0])))
    return None


def proportional(height: int, width: int, size: Sequence[int]) -> bool:
    """Return whether a grid has an input's shape, to a cell."""
    return height <= size[0] and width <= size[1] and abs(height - size[0] / size[1] * width) <= 1


def split_tokens(count: int, size: Size, grids: Collection[Size], extras: int = MAX_PREFIX) -> tuple[int, Size] | None:
    """Split `count` tokens into a prefix of at most `extras` and an (h, w) grid, or None."""
    for grid in reversed([*grids]):
        if 0 <= (prefix := count - grid[0] * grid[1]) <= extras and grid[0] * grid[1] > MAX_PREFIX:
            return prefix, grid
    # Square patches.
    for side in range(2, min(size)):
        grid = size[0] // side, size[1] // side
        if 0 <= (prefix := count - grid[0] * grid[1]) < min(MAX_GUESSED_PREFIX, count - LEAST_TOKENS + 1):
            return prefix, grid
    return None
