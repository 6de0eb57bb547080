"""Place layers that lie a few cells aside: a margin is padded or left out on the way to them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from sightglass.explain.evidence.marks import Array, MarkedGrid, ends_of
from sightglass.models.layers import WHOLE, Cover, Layer

FIRST, LATER = 0.75, 1.0
"""Cells that an end of the first grid may lie beside the input's (half a one by strides), and of those after it.

Convolutions put marks aside at random, the deeper the more.
"""
OUTSIDE = 0.95
"""Cells of a grid that may lie outside of the input and are drawn where they are; more are a margin's."""
NEAR = 0.7
"""Cells that an end may be beside its place where a graph shows it."""


class Margins:
    """What marks show of the ends of layers' grids."""

    def __init__(
        self,
        layers: Sequence[Layer],
        before: Mapping[str, str],
        inferred: Collection[str],
        changes: Mapping[str, Array],
        at: Array,
        traced: Mapping[str, Cover],
        cropped: Collection[str],
    ) -> None:
        """Compare places with marks, in the order of execution.

        `before`: the path of the layer that a layer is computed from. `inferred`: paths of layers that marks do not
        show. `changes`: (M, h, w) by path, of marks with their centres at (M, 2). `traced`: covers by path, as
        autograd's graph shows them. `cropped`: paths of layers that read a part of the input.
        """
        self._before, self._inferred, self._traced, self._cropped = before, inferred, traced, cropped
        self._marks = {path: marks for path, change in changes.items() if (marks := MarkedGrid.of_visible(change, at))}
        self._latest: dict[Cover, Cover] = {}
        """Where the latest grid is that was placed at a cover."""
        self._by_path = {layer.path: layer for layer in layers}
        self.moved: dict[str, Layer] = {}
        """The layers that marks show elsewhere, and those that follow them."""
        for layer in layers:
            cover = self._cover(layer)
            if cover == layer.cover:
                continue
            keeps_cells = layer.path not in cropped and cover in traced.values()
            keeps_cells &= _shows_all_cells(cover, layer.shape[1:])
            self.moved[layer.path] = replace(layer, cover=cover, keeps_cells=keeps_cells)

    @property
    def turned(self) -> bool:
        """Whether the first grid shows the marks turned."""
        first = next(iter(self._marks.values()), None)
        return first is not None and first.turns(LATER)

    def _cover(self, layer: Layer) -> Cover:
        """Return where the graph or marks show a layer, or where it follows the one before it."""
        latest = self._latest.get(layer.cover)
        traced = self._trace(layer)
        if traced is not None:
            self._latest[layer.cover] = traced
            return traced
        source = self._before.get(layer.path, "")
        known = self.moved.get(source) or self._by_path.get(source)
        followed = (latest or layer.cover) if known is None else known.cover
        marks = self._marks.get(layer.path)
        if marks is None or layer.views or layer.layout != "nchw" or layer.path in self._inferred:
            # What shows nothing itself follows the grid that it is computed from.
            return followed if followed == latest else layer.cover
        cover = marks.settled((followed, layer.cover), LATER if self._latest else FIRST)
        self._latest[layer.cover] = cover
        return cover

    def _trace(self, layer: Layer) -> Cover | None:
        """Return where the graph shows a layer; None where it does not, or where marks contradict it."""
        traced = self._traced.get(layer.path)
        if traced is None or layer.views or layer.layout not in ("nchw", "nhwc"):
            return None
        usual = layer.cover if layer.path in self._cropped else WHOLE
        if _is_near(traced, usual, layer.shape[1:]):
            return usual
        marks = self._marks.get(layer.path)
        return traced if marks is None or marks.allows(traced) else None


def _is_near(cover: Cover, other: Cover, cells: tuple[int, int]) -> bool:
    """Return whether both ends of each side of a grid (h, w) are at the same places, to `NEAR` of its cells."""
    aside = np.abs(ends_of(cover) - ends_of(other)) * np.array(cells)[:, None]
    return bool((aside <= NEAR).all())


def _shows_all_cells(cover: Cover, cells: tuple[int, int]) -> bool:
    """Return whether each cell of a grid (h, w) reaches into the input.

    A mirrored grid is none of those.
    """
    outside = [max(start, 1 - start - scale) * count for (scale, start), count in zip(cover, cells, strict=True)]
    return max(outside) < OUTSIDE and all(scale > 0 for scale, _ in cover)


def sources(recorded: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the latest other layer that each one's output was computed from, by path."""
    paths = [*recorded]
    nodes = [output.grad_fn for output in recorded.values()]
    numbers = {node: number for number, node in enumerate(nodes) if node is not None}
    latest = {paths[number]: _latest_before(node, numbers) for node, number in numbers.items()}
    return {path: paths[number] for path, number in latest.items() if number >= 0}


def _latest_before(node: Any, numbers: Mapping[Any, int]) -> int:
    """Return the largest number among the nearest numbered nodes that one is computed from; -1 of none."""
    latest = -1
    seen = {node}
    waiting = [node]
    while waiting:
        for parent, _ in waiting.pop().next_functions:
            if parent in numbers:
                latest = max(latest, numbers[parent])
            elif parent is not None and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return latest
