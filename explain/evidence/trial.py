"""Measure where a model's layers lie in its input, and which of them its answer is read from.

A photograph is run as it is and with a small square changed at known places: where a layer's output changes most is
where that place lies in its grid. Nearly always five marks show that the grid covers the input in reading order. What
does not fit is tried with sixteen: in other layouts, with other tokens beside the grid's, mirrored, or in a part of the
input. A layer that the marks contradict has no place; where they show nothing, its shape says where it lies. Tokens of
an encoder are followed from its cells, one by one.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from sightglass.common.errors import describe_error
from sightglass.explain.evidence.default_layer import AnswerGraph, ancestors, choose_default
from sightglass.explain.evidence.determinism import saved_copies
from sightglass.explain.evidence.layers import watch
from sightglass.explain.evidence.margins import Margins, sources
from sightglass.explain.evidence.marks import (
    EXACT,
    FULL,
    ROUNDING,
    UNCOUNTED,
    UNRELATED,
    Array,
    MarkedGrid,
    invert,
    photograph,
    plant,
    undone,
)
from sightglass.explain.evidence.placing import BENT, UNREAD, TracedCalls, measure_views, trace_calls
from sightglass.explain.evidence.survey import (
    MAX_PREFIX,
    MAX_VIEWS,
    AttentionModule,
    Size,
    Survey,
    proportional,
    split_tokens,
    survey,
)
from sightglass.models.adapter import Adapter
from sightglass.models.layers import WHOLE, Cover, Layer, Layout, cells_of, channels_first, has_axes
from sightglass.models.picture_functions import PLACES

LOGGER = logging.getLogger(__name__)
SOME = (1, 3, 8, 12, 14)
"""Marks of `PLACES` that are tried first: no flip, turn or shift leaves them where they are."""
PREFERENCE = 0.9
"""Factor to the misfit of a cover that an earlier layer has, beside that of the whole."""
CHANNELS, CELLS = 16, 32
"""Channels in which a change is looked for, and cells of a side to which it is averaged, about."""
ASIDE, EVEN = 0.4, 14
"""Cells that an end of a grid of at most so many may lie beside the input's."""
LAYOUTS: dict[Layout, tuple[Layout, ...]] = {
    "nchw": ("nchw", "nhwc", "ncwh"),
    "nhwc": ("nhwc", "nchw"),
    "tokens": ("tokens", "rows"),
    "rows": ("rows", "tokens"),
    "sequence": ("sequence",),
}
"""The layouts that an output may have, by the one that its shape shows."""
Key = tuple[str, Layout]
Values = dict[Key, Tensor]


def examine(adapter: Adapter, move: Callable[[Tensor], Tensor], size: Size | None = None) -> tuple[Survey, Size]:
    """Return what is inside a model, with the places of its layers as measured, and the input's (h, w).

    `size`: of the input, if not the usual one. What cannot be measured is inferred from shapes, and a note says so.
    """
    tensor = photograph(adapter, move, size)
    size = (tensor.shape[-2], tensor.shape[-1])
    try:
        with undone(adapter):
            found = survey(adapter, tensor, any_layout=True)
        return _Trial(adapter, tensor, found).measure(), size
    # Somebody's forward may raise anything on a changed picture; a fault of the measuring itself shows in the log.
    except Exception as error:
        LOGGER.warning("%s: its layers could not be measured", adapter.spec.id, exc_info=True)
        if adapter.encoder:
            return Survey({}, (), ()), size
        notes = {"": f"Where its layers lie was inferred: {describe_error(error)}."}
        with undone(adapter):
            return replace(survey(adapter, tensor), notes=notes), size


class _RecordedPass(NamedTuple):
    """A pass with its graph."""

    outputs: Any
    plain: Values
    """Some channels of what modules returned."""
    pixels: Tensor
    """The leaf that the graph begins with."""
    tensor: Tensor
    """The input that forward got."""
    last: dict[str, Tensor]
    """What layers of the short list returned when they ran last, by path."""
    traced: TracedCalls
    parallel: set[str]
    """Paths of layers that run several times beside each other."""


class _Marked(NamedTuple):
    """What marks change."""

    changes: dict[Key, Array]
    """How much each place changes with each mark, (M, h, w) or (M, N)."""
    at: Array
    """The marks' centres (M, 2), in shares."""


class _Fit(NamedTuple):
    """A layer that an output may be, and how well marks fit its places."""

    misfit: float
    """How far marks are from its places; 1 is the limit, and infinite what they do not show."""
    layer: Layer
    marks: MarkedGrid | None
    """None where too few marks change the output visibly."""

    @property
    def is_coarse(self) -> bool:
        """Whether the grid has too few cells to show more by more marks."""
        return self.marks is not None and self.misfit < math.inf and min(self.marks.sides) < FULL


class _Placement(NamedTuple):
    """Where an output lies, and what says so."""

    kind: Literal["measured", "covered", "inferred", "refused", "unclear"]
    """Marks fit; marks show another cover; its shape says it; marks contradict its shape; more marks are needed."""
    layer: Layer


class _Trial:
    """The passes of one model's trial, and what they showed so far."""

    def __init__(self, adapter: Adapter, tensor: Tensor, survey: Survey) -> None:
        self.adapter, self.tensor, self.survey = adapter, tensor, survey
        self.inverse = invert(tensor)
        self.attentions = tuple(f"{attention.path}." for attention in survey.attentions)
        self.every = survey.by_path
        self.survey = survey = replace(survey, by_path={k: each for k, each in self.every.items() if not each.views})
        self.layouts = {path: LAYOUTS[layer.layout] for path, layer in survey.by_path.items()}
        self.shapes: dict[Key, tuple[int, ...]] = {}  # channels and places
        self.covers: list[Cover] = [WHOLE]
        self.cropped: dict[str, Cover] = {}  # the part of the input that layers read, where it is not all
        self.framed: dict[Cover, Cover] = {}  # the same with what is padded
        self.tokens: dict[int, Layer] = {}  # the first layer of so many tokens that was placed
        self.hints: list[str] = []  # layers that may read a part of the input only
        self.refused: set[int] = set()  # numbers of tokens that are no grid
        self.layers: dict[str, Layer] = {}
        self.notes = {**survey.notes}
        self.turned: set[str] = set()  # layers whose rows and columns the graph shows to be none of the input

    def measure(self) -> Survey:
        """Return the survey with its layers and its default layer as measured."""
        first = {path: layouts[:1] for path, layouts in self.layouts.items()}
        recorded = self._record(first)
        traced = recorded.traced
        self.turned = traced.unstraight
        few = self._run(SOME, first, recorded.plain)
        missing = self._locate_most(few, recorded.plain)
        if self._find_crops(missing, first, recorded):
            missing = self.layouts
            self.tokens.clear()
        self._locate_rest(missing, few)
        self._settle(few, first, recorded.last, traced.covers())
        self._place_by_graph(traced, recorded.parallel)
        self.layers |= measure_views(self.adapter, self.tensor, [*self.every.values()])
        measured = self._summary(varies=traced.varies)
        if self.adapter.detects:
            return measured
        row = self.adapter.answer_row(recorded.outputs)[0]
        if row.grad_fn is None or not len(row):
            return measured
        measured = replace(measured, reaches_pixels=self._reaches(recorded.pixels, row))
        return choose_default(measured, self.adapter, AnswerGraph(row, recorded.last, self.tensor.shape))

    def _locate_most(self, few: _Marked, plain: Values) -> dict[str, tuple[Layout, ...]]:
        """Place outputs that a few marks show; return the others' layouts by path."""
        missing: dict[str, tuple[Layout, ...]] = {}
        for path, layouts in self.layouts.items():
            if not self._trace(path, plain) or self._locate(path, few):
                continue
            if not f"{path}.".startswith(self.adapter.encoder):
                missing[path] = layouts
        return missing

    def _find_crops(
        self, missing: Collection[str], first: Mapping[str, Sequence[Layout]], recorded: _RecordedPass
    ) -> bool:
        """Find the parts of the input that layers read; return whether there are any."""
        hints = [layer.path for layer in self.survey.short if layer.path in missing or layer.path in self.hints]
        # A layer before a crop reads more than one after it.
        for path in dict.fromkeys((*hints[:1], *hints[-1:])):
            self._find_crop(path, recorded.last[path], recorded.tensor, first, recorded.plain)
        return bool(self.cropped)

    def _locate_rest(self, missing: Mapping[str, Sequence[Layout]], few: _Marked) -> None:
        """Place by many marks, in any layout, outputs that few do not show."""
        if missing:
            many = self._run(range(len(PLACES)), missing, within=self._smallest_crop())
            # A later layer may show the order of an earlier one's tokens.
            for path in (*missing, *missing):
                self._locate(path, many, search=True)
        # What lies in a part of the input shows at fine layers, and holds for coarse ones, too.
        if len(self.covers) > 1:
            for path in self.layers.keys() - missing:
                self._locate(path, few)

    def _summary(self, *, varies: bool) -> Survey:
        """Return the survey with the layers that have a place, and their notes."""
        outside = [path for path in self.every if not f"{path}.".startswith(self.adapter.encoder)]
        layers = {path: self.layers[path] for path in outside if path in self.layers}
        if not self.adapter.has_row and any(layer.cover != WHOLE for layer in layers.values()):
            self.notes[""] = "Layers of it cover a part of the picture: that its answer covers all of it was inferred."
        return replace(
            self.survey,
            by_path=layers,
            short=tuple(layers[layer.path] for layer in self.survey.short if layer.path in layers),
            attentions=tuple(map(self._attend, self.survey.attentions)),
            unplaced=tuple(path for path in outside if path not in layers),
            inferred=tuple(self.notes.keys() & layers.keys()),
            notes=self.notes,
            varies=varies,
        )

    def _record(self, layouts: Mapping[str, Sequence[Layout]]) -> _RecordedPass:
        """Return a pass with its graph."""
        short = [layer.path for layer in self.survey.short]
        calls: dict[str, list[Tensor]] = {}

        def note(path: str, output: Tensor) -> None:
            calls.setdefault(path, []).append(output)

        # What a pass writes into is put back before the gradients.
        with torch.enable_grad(), saved_copies(), watch(self.adapter.module, {*self.layouts, *short}, note):
            pixels = self.tensor.clone().requires_grad_(not self.adapter.detects)
            # No leaf, which a forward could not write into.
            tensor = pixels * 1
            outputs, plain = self._pass(tensor, layouts)
        last = {path: calls[path][-1] for path in short if path in calls}
        return _RecordedPass(outputs, plain, pixels, tensor, last, TracedCalls(calls, tensor), _parallel_in(calls))

    def _reaches(self, pixels: Tensor, row: Tensor) -> bool:
        """Return whether the best classes of (n,) have a gradient at pixels.

        One of the two best has one that is finite and not 0.
        """
        for number in row.topk(min(2, len(row))).values:
            try:
                (slope,) = torch.autograd.grad(number, pixels, retain_graph=True, materialize_grads=True)
            # A layer's gradient may be known where a step before it has none, or raises.
            except Exception:
                LOGGER.info("%s has no gradient at its pixels", self.adapter.spec.id, exc_info=True)
                return False
            if bool(slope.any()) and bool(slope.isfinite().all()):
                return True
        return False

    def _settle(
        self,
        few: _Marked,
        layouts: Mapping[str, Sequence[Layout]],
        recorded: Mapping[str, Tensor],
        traced: Mapping[str, Cover],
    ) -> None:
        """Move layers that lie a few cells beside their places; more marks are planted where `few` show a margin."""
        before, inferred = sources(recorded), {*self.notes}

        def margins(changes: dict[Key, Array], at: Array) -> Margins:
            grids = {path: change for (path, layout), change in changes.items() if layout == "nchw"}
            layers = [self.layers[path] for path in self.every if path in self.layers]
            return Margins(layers, before, inferred, grids, at, traced, self.cropped)

        shown = margins(*few)
        if not (shown.moved or shown.turned):
            return
        if not traced:
            # A detector's pass is recorded without its pixels; deep layers spread marks too far to say a margin alone.
            traced = trace_calls(self.adapter, self.tensor, [*self.layers.values()]).covers()
        grids = {path: layouts[path] for path, layer in self.layers.items() if layer.layout == "nchw"}
        found = margins(*self._run(range(len(PLACES)), grids, within=self._smallest_crop()))
        if found.turned and not self.turned:
            self.notes[""] = "Its forward turns the picture, which maps of its layers do not undo."
        self.layers |= found.moved
        self.tokens = {count: self.layers.get(layer.path, layer) for count, layer in self.tokens.items()}

    def _place_by_graph(self, traced: TracedCalls, parallel: Collection[str]) -> None:
        """Place layers in turned pictures, and those that run on several.

        Notes say why the maps of others lie elsewhere.

        `parallel`: as `_parallel_in` returns them.
        """
        for path in self.layers:
            # What marks show as rows for columns is a turn, too.
            placed = traced.place(self.every[path]) if traced.turns(path) else None
            if path in parallel and (calls := traced.place_calls(self.every[path])) is not None:
                placed = calls
            if placed is not None:
                self.layers[path] = placed
                self.notes.pop(path, None)
            elif traced.bends(path):
                self.notes[path] = BENT.format(path=path)
            elif traced.mixes(path):
                self.notes[path] = (
                    f"{path} puts several places of the picture into each cell: its map shows them as one."
                )

    @torch.no_grad()
    def _trace(self, path: str, plain: Values) -> bool:
        """Return whether tokens come from an encoder's cells in reading order; True of what comes from none.

        While each token attends to itself alone, cells change in binary code: at once all whose number has a bit.
        """
        layer = self.survey.by_path[path]
        if not self.adapter.encoder or f"{path}.".startswith(self.adapter.encoder):
            return True
        numbers, changes = torch.arange(1, math.prod(layer.shape[1:]) + 1).view(layer.shape[1:]), list[Array]()
        maps = [each.path for each in self.layers.values() if each.layout == "nchw" and each.shape[1] >= layer.shape[1]]
        with self.adapter.record_attention(_attend_to_itself):
            alone = self._pass(
                self.tensor.clone().requires_grad_(), dict.fromkeys(maps, ("nchw",)) | {path: (layer.layout,)}
            )[1]
            # The last map before any attention; the picture itself without one.
            pairs = [(each, alone[each, "nchw"], plain[each, "nchw"]) for each in maps]
            maps = [each for each, a, b in pairs if (a - b).abs().max() <= ROUNDING * b.abs().max()][-1:]
            for bit in range(numbers.numel().bit_length()):
                cells = (numbers >> bit & 1).bool()
                tensor = self.tensor.clone() if maps else _change(cells, "", self.tensor, self.inverse)
                with watch(self.adapter.module, maps, partial(_change, cells)):
                    changes += self._changes(tensor.requires_grad_(), {path: (layer.layout,)}, alone).values()
        codes = 2 ** np.arange(len(changes)) @ (np.stack(changes) > np.max(changes, 0) / 2)
        self.tokens[len(codes)] = replace(layer, extras=tuple(np.flatnonzero(codes == 0).tolist()))
        return bool(codes[codes > 0].tolist() == numbers.flatten().tolist())

    def _find_crop(
        self, path: str, output: Tensor, tensor: Tensor, first: Mapping[str, Sequence[Layout]], plain: Values
    ) -> None:
        """Find the part of the input that an output is read from, and the layers that read nothing else."""
        if not output.requires_grad:
            return
        (slope,) = torch.autograd.grad(output.square().sum(), tensor, retain_graph=True, materialize_grads=True)
        read, part, cover = slope.any(1)[0], list[Any]([...]), list[tuple[float, float]]()
        for axis, side in enumerate(read.shape):
            lines = read.any(1 - axis).nonzero().flatten().tolist() or [0, side - 1]
            start = lines[0] if lines[0] > UNREAD * side else 0
            end = lines[-1] + 1
            # Strides leave out the rest of a cell at the end, which is no crop.
            if side - end < (UNREAD * side if start else self._stride(path, axis, lines)):
                end = side
            part.append(slice(start, end))
            cover.append((side / (end - start), -start / (end - start)))
        if (crop := (cover[0], cover[1])) != WHOLE:
            around = self.inverse.clone()
            around[tuple(part)] = self.tensor[tuple(part)]
            changes = self._changes(around, first, plain)
            self.cropped |= {path: crop for (path, _), change in changes.items() if not change.any()}

    def _stride(self, path: str, axis: int, lines: Sequence[int]) -> float:
        """Return how many pixels a cell is along an axis, of an output that reads some lines, the first one at 0."""
        cells = self.survey.by_path[path].shape[1 + axis]
        reads_all = len(lines) == lines[-1] + 1
        if reads_all or cells == 1:
            return (lines[-1] + 1) / cells
        # A cell reads its first pixels alone.
        return lines[-1] / (cells - 1)

    def _smallest_crop(self) -> Cover:
        """Return the smallest crop, where few marks would lie in it by chance."""
        smallest = max(self.cropped.values(), key=lambda cover: cover[0][0] * cover[1][0], default=WHOLE)
        return smallest if len(PLACES) / (smallest[0][0] * smallest[1][0]) < FULL else WHOLE

    def _pass(self, tensor: Tensor, layouts: Mapping[str, Sequence[Layout]]) -> tuple[Any, Values]:
        """Return a pass's outputs, and some channels of those of modules, (c, ...), in each layout."""
        recorded: Values = {}

        def note(path: str, output: Tensor) -> None:
            for layout in layouts[path]:
                if not has_axes(output, layout):
                    continue
                values = channels_first(output.detach(), layout)[0]
                self.shapes[path, layout] = tuple(values.shape)
                values = values[:: max(1, len(values) // CHANNELS)].float()
                # Of several calls the last counts.
                recorded[path, layout] = _coarser(values) if values.ndim == 3 else values.clone()

        with undone(self.adapter), watch(self.adapter.module, layouts, note):
            return self.adapter.run(tensor), recorded

    # As maps are made: a forward may do something else without gradients.
    @torch.enable_grad()
    def _run(
        self,
        numbers: Sequence[int],
        layouts: Mapping[str, Sequence[Layout]],
        plain: Values | None = None,
        within: Cover = WHOLE,
    ) -> _Marked:
        """Return how much each place changes with some marks, (M, ...), and the marks' centres (M, 2).

        `within`: the cover of the part of the input that is marked.
        """
        (down, top), (across, left) = within
        places = [((y - top) / down, (x - left) / across) for y, x in (PLACES[number] for number in numbers)]
        inputs, at = plant(self.tensor, self.inverse, places)
        plain = self._pass(self.tensor.clone(), layouts)[1] if plain is None else plain
        rows: dict[Key, list[Array]] = {}
        for marked in inputs:
            for key, change in self._changes(marked, layouts, plain).items():
                rows.setdefault(key, []).append(change)
        changes = {key: np.stack(each) for key, each in rows.items() if len(each) == len(at)}
        return _Marked(changes, at)

    @torch.enable_grad()
    def _changes(self, tensor: Tensor, layouts: Mapping[str, Sequence[Layout]], plain: Values) -> dict[Key, Array]:
        """Return how much each place changes, (h, w) or (N,), on another input."""
        changes: dict[Key, Array] = {}
        for key, values in self._pass(tensor, layouts)[1].items():
            if values.shape == plain[key].shape:
                change = (values - plain[key]).abs().nan_to_num(0, 0, 0)
                change[change < ROUNDING * plain[key].abs().max()] = 0
                changes[key] = change.sum(0).double().cpu().numpy()
        return changes

    def _likely(self, path: str, layout: Layout, *, search: bool) -> Iterator[Layer]:
        """Yield the layers that an output may be in one layout; `search`: also unlikely ones."""
        layer, (channels, *places) = self.survey.by_path[path], self.shapes[path, layout]
        grids = [each.shape[1:] for each in self.survey.by_path.values() if each.layout == "nchw"]
        height, width = self.tensor.shape[-2:]
        split = split_tokens(places[0], (height, width), grids, MAX_PREFIX + self.adapter.own_tokens)
        likely = replace(layer, layout=layout)
        if len(places) == 2:
            yield replace(likely, shape=(channels, places[0], places[1]))
        elif (known := self.tokens.get(places[0])) is not None:
            yield replace(likely, shape=(channels, *known.shape[1:]), extras=known.extras)
        elif split is not None:
            more, grid = (len(layer.extras), layer.shape[1:]) if layout == layer.layout else split
            orders = [(*range(before), *range(before - more, 0)) for before in range(more, -1, -1)]
            orders.append(tuple(range((places[0] - more) // 2, (places[0] + more) // 2)))
            for extras in orders if search else orders[:1]:
                yield replace(likely, shape=(channels, *grid), extras=extras)

    def _locate(self, path: str, marked: _Marked, *, search: bool = False) -> bool:
        """Place an output where its changes show it; return whether it has a place.

        `search`: also where its changes do not contradict its shape, as no more marks will be tried.
        """
        changes = {layout: change for (each, layout), change in marked.changes.items() if each == path}
        fits = self._fits(path, changes, marked.at, search=search)
        cover = self.cropped.get(path, WHOLE)
        by_shape = _Fit(math.inf, replace(self.survey.by_path[path], cover=cover), None)
        likeliest = min(fits, key=_rank, default=by_shape)
        never_changes = not any(change.any() for change in changes.values())
        placement = self._judge(path, likeliest, never_changes=never_changes, search=search)
        return self._keep(path, placement, likeliest.marks)

    def _fits(self, path: str, changes: Mapping[Layout, Array], at: Array, *, search: bool) -> Iterator[_Fit]:
        """Yield the layers that an output may be, by marks at (M, 2)."""
        usual = self.layouts[path][0]
        for layout, change in changes.items():
            is_row = change.ndim == 2
            is_uncounted = is_row and change.shape[1] not in self.tokens
            for layer in self._likely(path, layout, search=search):
                grid = _grid_of(change, layer) if is_row else change
                marks = MarkedGrid.of_visible(grid, at)
                if marks is None:
                    continue
                for cover in self._covers(path, marks):
                    misfit = marks.misfit(cover, exact=is_uncounted)
                    # What an earlier layer covers is likelier than the whole that fits about as well.
                    if cover != WHOLE:
                        misfit *= PREFERENCE
                    if misfit <= 1 or layout == usual or (search and marks.shows_cover):
                        yield _Fit(misfit, replace(layer, cover=cover), marks)

    def _judge(self, path: str, fit: _Fit, *, never_changes: bool, search: bool) -> _Placement:
        """Return where an output lies by the likeliest fit."""
        layer = fit.layer
        if fit.misfit <= 1:
            return _Placement("measured", layer)
        shape = self._shape(path)
        is_uncounted = len(shape) == 2 and shape[1] not in self.tokens
        is_attention = f"{path}.".startswith(self.attentions)
        # What attention returns for a token is at that token, wherever it looks.
        telling = None if is_attention else fit.marks
        if not search:
            more_show_no_more = never_changes or fit.is_coarse or (is_attention and fit.marks is not None)
            if is_uncounted or not more_show_no_more:
                return _Placement("unclear", layer)
        if telling is not None and len(shape) == 3 and telling.shows_cover:
            return _Placement("covered", replace(layer, cover=telling.shown))
        is_refused = self._contradicts(path, fit, telling, is_uncounted=is_uncounted)
        return _Placement("refused" if is_refused else "inferred", layer)

    def _contradicts(self, path: str, fit: _Fit, telling: MarkedGrid | None, *, is_uncounted: bool) -> bool:
        """Return whether an output does not lie where its shape says."""
        if is_uncounted:
            return fit.misfit > UNCOUNTED / EXACT
        # A turned picture puts marks elsewhere.
        if path in self.turned:
            return False
        if telling is not None and telling.sharp and telling.relation(fit.layer.cover) < UNRELATED:
            return True
        # Of another shape than the input, it may be patches by their pixels.
        _, *sides = self._shape(path)
        if len(sides) == 2 and not proportional(sides[0], sides[1], self.tensor.shape[-2:]):
            return True
        # Cross-attention of as many queries is traced, too, but moves to other places.
        return bool(self.adapter.encoder) and fit.misfit == math.inf

    def _keep(self, path: str, placement: _Placement, marks: MarkedGrid | None) -> bool:
        """Note where an output lies, and return whether it has a place."""
        kind, layer = placement
        shape = self._shape(path)
        if kind == "unclear":
            return False
        if kind == "refused":
            self.refused.add(shape[1])
            return False
        if kind == "measured":
            self.notes.pop(path, None)
        elif kind == "covered":
            self.covers.append(layer.cover)
        elif not self.adapter.encoder:
            self.notes[path] = f"Where {path} lies in the picture was inferred: marks in a picture do not show it."
        is_first = not self.layers
        self.layers[path] = layer
        if marks is None:
            return True
        if is_first and marks.aside > ASIDE / min(*marks.sides, EVEN):
            self.hints.append(path)
        if len(shape) == 2:
            self.tokens.setdefault(self.shapes[path, layer.layout][1], layer)
        return True

    def _shape(self, path: str) -> tuple[int, ...]:
        return self.shapes[path, self.layouts[path][0]]

    def _covers(self, path: str, marks: MarkedGrid) -> list[Cover]:
        """Return where a layer may lie: the part that it reads, or what the first layer of that part shows with it."""
        if (crop := self.cropped.get(path)) is None:
            return self.covers
        # Its margins may be padded before or after.
        for cover in (marks.cover, crop) if crop not in self.framed else ():
            if marks.misfit(cover, exact=False) < EXACT:
                self.framed[crop] = cover
        return [self.framed.get(crop, crop)]

    def _attend(self, attention: AttentionModule) -> AttentionModule:
        """Return an attention module with the places of its keys: those of as many tokens."""
        count = math.prod(attention.grid or ()) + len(attention.extras)
        if (known := self.tokens.get(count)) is None:
            return replace(attention, grid=None) if count in self.refused else attention
        return replace(attention, grid=known.shape[1:], extras=known.extras, cover=known.cover)


def _parallel_in(calls: Mapping[str, Sequence[Tensor]]) -> set[str]:
    """Return the paths of layers that run several times beside each other.

    None of the calls is on what another one returned.
    """
    return {path for path, outputs in calls.items() if _are_parallel(outputs)}


def _are_parallel(outputs: Sequence[Tensor]) -> bool:
    """Return whether several outputs are alike, none computed from another one."""
    if not 1 < len(outputs) <= MAX_VIEWS or len({output.shape for output in outputs}) > 1:
        return False
    nodes = {output.grad_fn for output in outputs}
    return not any((nodes - {node}) & ancestors(node) for node in nodes if node is not None)


def _coarser(values: Tensor) -> Tensor:
    """Return a map (C, h, w) averaged to about so many cells that cover all of it."""
    height, width = (math.ceil(side / max(1, side // CELLS)) for side in values.shape[1:])
    return adaptive_avg_pool2d(values[None], (height, width))[0]


def _rank(fit: _Fit) -> tuple[float, bool]:
    return fit.misfit, fit.marks is None or not fit.marks.shows_cover


def _grid_of(change: Array, layer: Layer) -> Array:
    """Return changes (M, N) of tokens as changes (M, h, w) of cells."""
    return change[:, cells_of(change.shape[1], layer.extras)].reshape(-1, *layer.shape[1:])


def _attend_to_itself(_: str, weights: Tensor) -> Tensor:
    """Return weights (B, heads, queries, keys) by which each query reads its own key, if there are as many."""
    queries, keys = weights.shape[2:]
    return torch.eye(keys).to(weights).expand_as(weights) if queries == keys else weights


def _change(cells: Tensor, _: str, values: Tensor, others: Tensor | None = None) -> Tensor:
    """Return a map (1, C, h, w) with other values, or its other channels', in the middles of those cells."""
    places = [(torch.arange(n) + 0.5) / n * count for n, count in zip(values.shape[2:], cells.shape, strict=True)]
    down, across = ((place % 1 - 0.5).abs() <= 0.25 for place in places)
    changed = cells[places[0].long()][:, places[1].long()] & down[:, None] & across
    return torch.where(changed.to(values.device), values.flip(1) if others is None else others, values)
