"""Move layers that lie a few cells beside their places: a margin is padded or left out on the way to them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from sightglass.explain.evidence.marks import Array, MarkedGrid
from sightglass.models.layers import Cover, Layer

FIRST, LATER = 0.75, 1.0
"""Cells that an end of the first grid may lie beside the input's (half a one by strides), and of those after it.

Convolutions put marks aside at random, the deeper the more.
"""


class Margins:
    """What marks show of the ends of layers' grids."""

    def __init__(
        self,
        layers: Sequence[Layer],
        before: Mapping[str, str],
        inferred: Collection[str],
        changes: Mapping[str, Array],
        at: Array,
    ) -> None:
        """Compare places with marks, in the order of execution.

        `before`: the path of the layer that a layer is computed from. `inferred`: paths of layers that marks do not
        show. `changes`: (M, h, w) by path, of marks with their centres at (M, 2).
        """
        self._before, self._inferred = before, inferred
        self._marks = {path: marks for path, change in changes.items() if (marks := MarkedGrid.of_visible(change, at))}
        self._latest: dict[Cover, Cover] = {}
        """Where the latest grid is that was placed at a cover."""
        self._by_path = {layer.path: layer for layer in layers}
        self.moved: dict[str, Layer] = {}
        """The layers that marks show elsewhere, and those that follow them."""
        for layer in layers:
            cover = self._cover(layer)
            if cover != layer.cover:
                self.moved[layer.path] = replace(layer, cover=cover)

    @property
    def turned(self) -> bool:
        """Whether the first grid shows the marks turned."""
        first = next(iter(self._marks.values()), None)
        return first is not None and first.turns(LATER)

    def _cover(self, layer: Layer) -> Cover:
        """Return where marks show a layer, or where it follows the one before it."""
        latest = self._latest.get(layer.cover)
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
