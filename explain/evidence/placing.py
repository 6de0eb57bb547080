"""Check where layers lie in one picture, and measure it where it differs.

Somebody's forward may crop, mirror or pad by what is in the picture, and may make several pictures of one. Three marks
show whether a layer lies in this picture where it lay in the photograph. Where it does not, its place is measured by
more of them, planted in the part of the input that it reads.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product, takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain.evidence.cache import keep_latest
from sightglass.explain.evidence.layers import as_map, watch
from sightglass.explain.evidence.margins import NEAR
from sightglass.explain.evidence.marks import (
    LOOSE,
    ROUNDING,
    VISIBLE,
    Array,
    MarkedGrid,
    expected_at,
    fitted_cover,
    invert,
    photograph,
    plant,
    undone,
)
from sightglass.explain.evidence.traced import trace
from sightglass.models.layers import WHOLE, Cover, Layer, has_axes
from sightglass.models.picture_functions import FEWEST, PLACES

if TYPE_CHECKING:
    from sightglass.explain.evidence.loaded_model import LoadedModel
    from sightglass.explain.evidence.survey import Survey
    from sightglass.models.adapter import Adapter

LOGGER = logging.getLogger(__name__)
CHECKED = ((0.28, 0.41), (0.47, 0.72), (0.72, 0.34))
"""Where a picture is marked, y and x in shares: no two in one row or column, and none where a flip puts another."""
PART = (1, 3, 8, 12, 14)
"""Marks of `PLACES` that show where one of several views lies."""
CHANNELS, CELLS = 16, 56
"""Channels in which a change is looked for, and cells of a side to which it is averaged, at most."""
PICTURES = 256
"""Pictures whose places are held."""
UNREAD = 0.02
"""Least share of a side that a crop cuts off."""
SPREAD, BESIDE = 3.0, 2.0
"""Largest residual of a place that stands although marks fit none, and how far the line through them may be off."""
HALF, FINE = 0.5, 1.0
"""Cells of a layer that it may lie beside its place, and of the finest one in the same part of the input."""
ENDS = 0.05
"""Share of a grid at its ends in which a mark's middle cannot be told."""
Region = tuple[tuple[float, float], tuple[float, float]]
"""First and last row and column that are read, in shares of the input's sides."""
Changes = tuple[dict[str, Array], Array]
"""What `_Marked.changes` returns."""


class Places(NamedTuple):
    """Where layers lie in one picture."""

    layers: dict[str, Layer]
    """By path."""
    notes: dict[str, str]
    """A sentence on what is not known of them, by path; what there is to say of others is as before."""


Placed = Places | str
"""Or the sentence on why they have no place in it."""
BENT = "{path} lies in a picture that forward bends, which its map does not undo."


def views_of(layer: Layer) -> tuple[Cover, ...]:
    """Return where the maps of a layer lie, one for each picture that forward makes of one."""
    return layer.views or (layer.cover,)


def _with_views(layer: Layer, covers: Sequence[Cover]) -> Layer:
    if layer.views:
        return replace(layer, views=tuple(covers))
    keeps_cells = layer.keeps_cells and covers[0] == layer.cover
    return replace(layer, cover=covers[0], keeps_cells=keeps_cells)


class _Marked:
    """The passes of one input with marks planted in it."""

    def __init__(self, adapter: Adapter, tensor: Tensor) -> None:
        self.adapter, self.tensor, self.inverse = adapter, tensor, invert(tensor)

    # As maps are made: a forward may do something else without gradients.
    @torch.enable_grad()
    def changes(self, places: Sequence[Sequence[float]], layers: Sequence[Layer]) -> Changes:
        """Return changes by each mark, (M, V, h, w), and the marks' centres.

        A layer whose shape changes with a mark has no changes, (M, 0, 1, 1). A mark changes little of what others do
        not change, so that the median of all passes is the picture without marks.
        """
        inputs, at = plant(self.tensor, self.inverse, places)
        by_path: dict[str, list[Tensor]] = {layer.path: [] for layer in layers}
        for marked in inputs:
            check()
            for path, values in self._pass(marked, layers).items():
                by_path[path].append(values)
        changes: dict[str, Array] = {}
        for path, rows in by_path.items():
            if len({values.shape for values in rows}) != 1 or len(rows) < len(at):
                changes[path] = np.zeros((len(at), 0, 1, 1))
                continue
            stacked = torch.stack(rows)
            middle = stacked.median(0).values
            change = (stacked - middle).abs().nan_to_num(0, 0, 0)
            change[change < ROUNDING * middle.abs().max()] = 0
            changes[path] = change.sum(2).double().cpu().numpy()
        return changes, at

    def _pass(self, tensor: Tensor, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """Return some channels of the layers' outputs, (V, c, h, w), made coarser."""
        recorded: dict[str, Tensor] = {}
        by_path = {layer.path: layer for layer in layers}

        def note(path: str, output: Tensor) -> None:
            if not has_axes(output, by_path[path].layout):
                return
            maps = as_map(output.detach(), by_path[path]).float()
            maps = maps[:, :: max(1, maps.shape[1] // CHANNELS)]
            coarse = adaptive_avg_pool2d(maps, (min(maps.shape[2], CELLS), min(maps.shape[3], CELLS)))
            if by_path[path].by_call and path in recorded:
                coarse = torch.cat([recorded[path], coarse])
            # Of calls that are no views the last counts.
            recorded[path] = coarse

        with undone(self.adapter), watch(self.adapter.module, by_path, note):
            self.adapter.run(tensor)
        return recorded

    def trace(self, layers: Sequence[Layer]) -> TracedCalls:
        """Return what the graph shows of layers, in a pass without marks."""
        calls: dict[str, list[Tensor]] = {layer.path: [] for layer in layers}

        def note(path: str, output: Tensor) -> None:
            calls[path].append(output)

        with torch.enable_grad(), undone(self.adapter), watch(self.adapter.module, calls, note):
            # No leaf, which a forward could not write into.
            tensor = self.tensor.detach().clone().requires_grad_() * 1
            self.adapter.run(tensor)
        return TracedCalls(calls, tensor)

    def regions(self, layer: Layer) -> list[Region]:
        """Return the part of the input that each view of a layer reads."""
        calls: list[Tensor] = []
        tensor = self.tensor.detach().clone().requires_grad_()
        with (
            torch.enable_grad(),
            undone(self.adapter),
            watch(self.adapter.module, [layer.path], lambda _, output: calls.append(output)),
        ):
            # No leaf, which a forward could not write into.
            self.adapter.run(tensor * 1)
            maps = torch.cat([as_map(output, layer) for output in (calls if layer.by_call else calls[-1:])])
            regions = []
            for view in range(len(maps)):
                read = torch.ones(tensor.shape[2:])
                if maps.requires_grad:
                    scalar = maps[view].square().sum()
                    (slope,) = torch.autograd.grad(scalar, tensor, retain_graph=True, materialize_grads=True)
                    read = slope[0].any(0)
                regions.append((_extent(read.any(1)), _extent(read.any(0))))
        return regions


def _extent(lines: Tensor) -> tuple[float, float]:
    """Return the first and last line that is read, in shares."""
    numbers, count = lines.nonzero().flatten().tolist() or [0, len(lines) - 1], len(lines)
    first, last = numbers[0] / count, (numbers[-1] + 1) / count
    return first if first > UNREAD else 0.0, last if 1 - last > UNREAD else 1.0


def _cover_of(region: Region, flips: Sequence[bool] = (False, False)) -> Cover:
    """Return where a grid lies that covers a region, mirrored as `flips` say."""
    sides = []
    for (first, last), is_flipped in zip(region, flips, strict=True):
        scale = 1 / (last - first)
        sides.append((-scale, last * scale) if is_flipped else (scale, -first * scale))
    return sides[0], sides[1]


def _within(part: Cover, layer: Layer) -> Cover:
    """Return where a layer lies in the input that lies in a part of it as the survey shows."""
    if not layer.keeps_cells:
        return part
    sides = [
        (scale * inner, start * inner + first) for (scale, start), (inner, first) in zip(part, layer.cover, strict=True)
    ]
    return sides[0], sides[1]


def _region_of(cover: Cover) -> Region:
    """Return the part of the input that a grid lies in."""
    sides = [np.clip(sorted((-start / scale, (1 - start) / scale)), 0, 1).tolist() for scale, start in cover]
    return (sides[0][0], sides[0][1]), (sides[1][0], sides[1][1])


def _inside(places: Sequence[Sequence[float]], region: Region) -> list[tuple[float, float]]:
    """Return places in a region, from those in the whole."""
    (top, bottom), (left, right) = region
    return [(top + y * (bottom - top), left + x * (right - left)) for y, x in places]


class _Sight:
    """What marks show of one view of a layer."""

    def __init__(self, changes: Array, at: Array) -> None:
        """`changes`: (M, h, w) by marks with their centres at (M, 2)."""
        self.at, self.sides = at, np.array(changes.shape[1:])
        self.visible = changes.max((1, 2)) > VISIBLE * changes.max()
        self.grid = MarkedGrid(changes, at) if self.visible.any() else None

    def inside(self, cover: Cover) -> NDArray[np.bool_]:
        """Return which marks are by a cover inside the grid, (M,)."""
        expected = expected_at(self.at, cover)
        # At a crop's end a part of the mark is left, with another middle.
        return np.asarray((expected > ENDS).all(1) & (expected < 1 - ENDS).all(1))

    def seen(self, cover: Cover) -> NDArray[np.bool_]:
        """Return which marks are visible, and by a cover inside the grid, (M,)."""
        return np.asarray(self.visible & self.inside(cover))

    def distances(self, cover: Cover) -> Array:
        """Return how far visible marks are from a cover's places, (n, 2)."""
        if self.grid is None:
            return np.zeros((0, 2))
        distances: Array = np.abs(self.grid.centres - expected_at(self.at, cover))
        return distances[self.seen(cover)]

    def moves(self, other: _Sight, cover: Cover) -> Array:
        """Return how far marks moved between two pictures, (n, 2)."""
        if self.grid is None or other.grid is None:
            return np.zeros((0, 2))
        distances: Array = np.abs(self.grid.centres - other.grid.centres)
        return distances[self.seen(cover) & other.seen(cover)]

    def residual(self, cover: Cover) -> float:
        """Return the distance of four in five marks, as a share of a side; infinite of too few."""
        distances = self.distances(cover)
        return float(np.quantile(distances.max(1), 0.8)) if len(distances) >= FEWEST else np.inf

    def fitted(self) -> Cover:
        """Return the cover that the visible marks are in line with."""
        assert self.grid is not None
        return fitted_cover(self.at[self.visible], self.grid.centres[self.visible])


def witness(layer: Layer, by_path: Mapping[str, Layer], inferred: Collection[str] = ()) -> Layer:
    """Return the finest measured layer up to this one in its part of the input, the first of equal ones.

    Each later one spreads a mark over more of its grid.
    """

    def is_alike(other: Layer) -> bool:
        in_same_picture = (other.views, other.frame) == (layer.views, layer.frame)
        in_same_part = in_same_picture and _distance(other.cover, layer.cover) <= FINE / min(layer.shape[1:])
        return other.layout == "nchw" and in_same_part and other.path not in inferred

    earlier = takewhile(lambda other: other.path != layer.path, by_path.values())
    return max((*filter(is_alike, earlier), layer), key=lambda each: min(each.shape[1:]))


def _allowed(layer: Layer, fine: Layer) -> Array:
    """Return how far marks may be off in the finest layer, as shares of its sides."""
    cells = np.minimum(fine.shape[1:], CELLS)
    return np.maximum(HALF / np.array(layer.shape[1:]), FINE / cells)


def _agrees(layers: Sequence[Layer], changed: Changes, before: Changes | None = None) -> bool:
    """Return whether marks show a layer, and its finest one, where measured.

    `before`: what the same marks show in the photograph; the layers are then where they are there.
    """
    layer, fine = layers
    limit = _allowed(layer, fine)
    if not _is_near(fine, changed, before, lambda _: limit):
        return False
    return layer.path not in changed[0] or _is_near(layer, changed, before, _loosely)


def _loosely(sight: _Sight) -> Array | float:
    """Return how far marks may be off in a layer itself, in shares."""
    if sight.grid is None or not sight.grid.sharp:
        return np.inf
    return np.asarray(2 * LOOSE * np.maximum(sight.grid.unit, HALF / sight.sides))


def _is_near(layer: Layer, changed: Changes, before: Changes | None, limit: Callable[[_Sight], Array | float]) -> bool:
    """Return whether all marks that a layer shows are near their places."""
    if not all(each[0][layer.path].shape[1] for each in (changed, before) if each is not None):
        return False
    sights = _sights(layer, changed)
    usual = None if before is None else _sights(layer, before)
    for view, (cover, sight) in enumerate(zip(views_of(layer), sights, strict=False)):
        expected = sight.inside(cover) if usual is None else usual[view].seen(cover)
        if expected.any() and not sight.seen(cover).any():
            return False
        distances = sight.distances(cover) if usual is None else sight.moves(usual[view], cover)
        if bool((distances > limit(sight)).any()):
            return False
    return True


def _sights(layer: Layer, changed: Changes) -> list[_Sight]:
    changes, at = changed
    return [_Sight(each, at) for each in changes[layer.path].swapaxes(0, 1)]


def _measure(marked: _Marked, layer: Layer, fine: Layer) -> list[Cover] | None:
    """Return where each view of a layer lies; None where that cannot be told."""
    regions = marked.regions(fine)
    distinct = [*dict.fromkeys(regions)]
    numbers = range(len(PLACES)) if len(distinct) == 1 else PART
    places: list[tuple[float, float]] = []
    for region in distinct:
        places += _inside([PLACES[number] for number in numbers], region)
    changes, at = marked.changes(places, [fine])
    if len(regions) != changes[fine.path].shape[1]:
        return None
    known = views_of(fine)
    covers: list[Cover] = []
    for view, region in enumerate(regions):
        sight = _Sight(changes[fine.path][:, view], at)
        usual = known[view] if len(known) == len(regions) else None
        regular = [_within(_cover_of(region, flips), fine) for flips in product((False, True), repeat=2)]
        cover = _likeliest(sight, usual, regular, float(_allowed(layer, fine).min()))
        if cover is None:
            return None
        covers.append(cover)
    return covers


def _likeliest(sight: _Sight, usual: Cover | None, regular: Sequence[Cover], allowed: float) -> Cover | None:
    """Return the first cover that marks fit, their own at last; None of none.

    `usual`: where the layer lies in other pictures; it stands where too few marks are visible to say anything.
    """
    if sight.grid is None or sight.visible.sum() < FEWEST:
        return usual
    own = sight.fitted()
    # Marks alone are off by as much where convolutions spread them.
    likely = [*regular, own] if usual is None else [usual, *regular, own]
    fitting = next((cover for cover in likely if sight.residual(cover) <= allowed), None)
    if fitting is not None or usual is None:
        return fitting
    # Where they are spread widely, the line through them is hardly another place.
    is_spread = sight.residual(usual) <= SPREAD * allowed and _distance(usual, own) <= BESIDE * allowed
    return usual if is_spread else None


def _distance(cover: Cover, other: Cover) -> float:
    """Return how far the ends of two covers are from each other, at most, as a share of a side."""
    sides = zip(cover, other, strict=True)
    return max(max(abs(a[1] - b[1]), abs(a[0] + a[1] - b[0] - b[1])) for a, b in sides)


def measure_views(adapter: Adapter, tensor: Tensor, layers: Sequence[Layer]) -> dict[str, Layer]:
    """Return the layers of several views that have places, with those."""
    placed: dict[str, Layer] = {}
    by_count: dict[int, list[Layer]] = {}
    for layer in layers:
        if layer.views:
            by_count.setdefault(len(layer.views), []).append(layer)
    for group in by_count.values():
        by_path = {layer.path: layer for layer in group}
        fine = witness(group[-1], by_path)
        marked = _Marked(adapter, tensor)
        covers = _measure(marked, fine, fine)
        if covers is None:
            continue
        found = [_with_views(layer, covers) for layer in group]
        changed = marked.changes(CHECKED, found)
        placed |= {layer.path: layer for layer in found if _agrees((layer, layer), changed)}
    return placed


def find_places(loaded: LoadedModel, tensor: Tensor, layers: Sequence[Layer], outputs: Sequence[Tensor]) -> Places:
    """Return where layers lie in this picture; raises ModelProblem.

    `outputs`: of the layers in this pass. They are others where something outside the model has moved them.
    """
    paths = tuple(dict.fromkeys(layer.path for layer in layers))
    key = (_digest([tensor, *outputs]), tuple(tensor.shape), paths)
    if key not in loaded.places:
        with loaded.lock:
            loaded.places[key] = _find(loaded, tensor, [loaded.survey.by_path[path] for path in paths])
    placed = keep_latest(loaded.places, key, PICTURES)
    if isinstance(placed, str):
        raise ModelProblem(placed)
    return placed


def _digest(tensors: Sequence[Tensor]) -> bytes:
    """Return the sha256 of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.digest()


def _find(loaded: LoadedModel, tensor: Tensor, layers: Sequence[Layer]) -> Placed:
    marked = _Marked(loaded.adapter, tensor)
    places = Places({layer.path: layer for layer in layers}, dict(loaded.survey.notes))
    try:
        unsure = [layer for layer in layers if _is_unsure(loaded.survey, layer)]
        known = _place_by_graph(marked, unsure, places)
        refused = _place_moved(loaded, marked, [layer for layer in layers if layer.path not in known], places)
    # Somebody's forward may raise anything on a marked picture.
    except ModelProblem:
        LOGGER.info("%s does not run on a marked picture", loaded.adapter.spec.id, exc_info=True)
        return places
    return _refusal(refused) if refused else places


def _place_moved(loaded: LoadedModel, marked: _Marked, layers: Sequence[Layer], places: Places) -> str:
    """Place layers that marks show elsewhere than in the photograph.

    Return the path of one whose place cannot be measured, if there is one.
    """
    moved = _moved(loaded, marked, layers) if layers else []
    # Marks show that it moved, and the graph where to.
    known = _place_by_graph(marked, [layer for layer, _ in moved], places)
    for layer, fine in moved:
        if layer.path in known:
            continue
        covers = _measure(marked, layer, fine)
        if covers is None:
            return layer.path
        places.layers[layer.path] = _with_views(layer, covers)
    return ""


def _is_unsure(survey: Survey, layer: Layer) -> bool:
    """Return whether a layer may be elsewhere in each picture without a mark."""
    return survey.varies or layer.by_call or layer.frame is not None or layer.path in survey.inferred


def _place_by_graph(marked: _Marked, layers: Sequence[Layer], places: Places) -> Collection[str]:
    """Place layers where the graph of this picture's pass shows them.

    Return the paths of those that it shows.
    """
    layers = [layer for layer in layers if layer.layout in ("nchw", "nhwc") and (layer.by_call or not layer.views)]
    if not layers:
        return ()
    shown, known = marked.trace(layers), set[str]()
    for layer in layers:
        if (placed := shown.place(layer)) is not None:
            places.layers[layer.path] = placed
            places.notes.pop(layer.path, None)
        elif shown.bends(layer.path):
            places.notes[layer.path] = BENT.format(path=layer.path)
        else:
            continue
        known.add(layer.path)
    return known


class TracedCalls:
    """What the graph of a pass shows of the calls of layers."""

    def __init__(self, calls: Mapping[str, Sequence[Tensor]], tensor: Tensor) -> None:
        """Take what the layers returned, by path and call, and the graph's input."""
        self._counts = {path: len(outputs) for path, outputs in calls.items()}
        self._traced = trace({(path, i): of for path, outputs in calls.items() for i, of in enumerate(outputs)}, tensor)

    @property
    def varies(self) -> bool:
        """Whether it depends on the picture where layers lie."""
        return self._traced.varies

    @property
    def unstraight(self) -> set[str]:
        """The paths of layers whose rows and columns are none of the input."""
        return {path for path in self._counts if self.turns(path) or self.bends(path)}

    def place(self, layer: Layer) -> Layer | None:
        """Return a layer where the graph shows it; None where it does not.

        One that is there but for less than a cell stays. Of a layer with calls as views each call is shown.
        """
        if layer.by_call:
            placed = self.place_calls(layer)
            return placed if placed is not None and len(placed.views) == len(layer.views) else None
        last = self._last(layer.path)
        if last not in self._traced.covers:
            return None
        cover, frame = self._traced.covers[last], self._traced.frames.get(last)
        is_near = frame == layer.frame and _distance(cover, layer.cover) <= NEAR / max(layer.shape[1:])
        return layer if is_near else replace(layer, cover=cover, frame=frame, keeps_cells=False)

    def place_calls(self, layer: Layer) -> Layer | None:
        """Return a layer with its calls as views; None where some are not shown."""
        calls = [(layer.path, number) for number in range(self._counts[layer.path])]
        covers = tuple(self._traced.covers[call] for call in calls if call in self._traced.covers)
        if len(covers) < len(calls):
            return None
        frames = tuple(self._traced.frames.get(call) for call in calls)
        # Marks are looked for in the whole input.
        placed = replace(layer, cover=WHOLE, frame=None, keeps_cells=False)
        return replace(placed, views=covers, by_call=True, frames=frames if any(frames) else ())

    def covers(self) -> dict[str, Cover]:
        """Return where layers lie, by path, without those in turned pictures."""
        straight = {call: cover for call, cover in self._traced.covers.items() if call not in self._traced.frames}
        return {
            path: straight[path, count - 1] for path, count in self._counts.items() if (path, count - 1) in straight
        }

    def _last(self, path: str) -> tuple[str, int]:
        """Return the name of a layer's last call."""
        return path, self._counts.get(path, 0) - 1

    def turns(self, path: str) -> bool:
        """Return whether a layer's last output has rows of a turned picture."""
        return self._last(path) in self._traced.frames

    def bends(self, path: str) -> bool:
        """Return whether cells of a layer's last output are in no rows."""
        return self._last(path) in self._traced.turned

    def mixes(self, path: str) -> bool:
        """Return whether cells of a layer's last output are of several places."""
        return self._last(path) in self._traced.mixed


def trace_calls(adapter: Adapter, tensor: Tensor, layers: Sequence[Layer]) -> TracedCalls:
    """Return what the graph of a pass shows of layers."""
    return _Marked(adapter, tensor).trace(layers)


def _moved(loaded: LoadedModel, marked: _Marked, layers: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Return the layers that moved since the photograph, each with its finest one."""
    pairs = _with_witnesses(loaded.survey, layers)
    # Marks do not show an inferred one itself.
    watched = {each.path: each for each in chain.from_iterable(pairs) if each.path not in loaded.survey.inferred}
    if not watched:
        return []
    places = _inside(CHECKED, _region_of(layers[0].cover))
    changed = marked.changes(places, [*watched.values()])
    moved = [pair for pair in pairs if not _agrees(pair, changed)]
    # Unpadded convolutions put marks a little aside in any picture.
    before = _usual_changes(loaded, marked, places, [*watched.values()]) if moved else None
    return moved if before is None else [pair for pair in moved if not _agrees(pair, changed, before)]


def _usual_changes(
    loaded: LoadedModel, marked: _Marked, places: Sequence[Sequence[float]], layers: Sequence[Layer]
) -> Changes | None:
    """Return what the same marks showed in the photograph while its survey held; None where it holds no more.

    A state outside the module may have moved its layers without a sign: they are measured once again before what the
    photograph shows now is taken for what it showed then.
    """
    size = (marked.tensor.shape[-2], marked.tensor.shape[-1])
    key = (size, tuple(map(tuple, places)), tuple(layer.path for layer in layers))
    if key not in loaded.usual_changes:
        usual = _Marked(loaded.adapter, photograph(loaded.adapter, loaded.move_input, size))
        changes = usual.changes(places, layers)
        now = loaded.survey_anew(size).by_path
        loaded.usual_changes[key] = changes if all(now.get(layer.path) == layer for layer in layers) else None
    return keep_latest(loaded.usual_changes, key, PICTURES)


def _with_witnesses(survey: Survey, layers: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Return the layers that have a measured finest one, with it."""
    pairs = [(layer, witness(layer, survey.by_path, survey.inferred)) for layer in layers]
    return [(layer, fine) for layer, fine in pairs if fine.path not in survey.inferred]


def _refusal(path: str) -> str:
    return (
        f"Where {path} lies in this picture could not be measured, and marks in it show that it is not where it "
        "lies in other pictures: choose another layer, or a method that hides parts of the picture, such as RISE."
    )
