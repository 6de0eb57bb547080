"""Sum one detection's gradients, each only within the window of its map where it is not 0."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.backward.graph import Graph, Place, Window

WHOLE = 0.75
"""Share of a map above which a window is not worth cutting out."""


class Walk:
    """The state of one target's walk from its seeds to the sources."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shapes = graph, graph.shapes
        self.windows: dict[Place, Window] = {}
        """Where gradients are not 0."""
        self.gradients: dict[Place, Tensor] = {}
        """Gradients (1, C, h', w') within their windows, as far as they have been summed."""
        self.owned: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def gradient(self, place: Place) -> Gradient:
        _, channels, height, width = self.shapes[place]
        if place not in self.gradients:
            return Gradient(self.graph.like.new_zeros(channels, 1, 1), 0, 0, (height, width))
        top, _, left, _ = self.windows[place]
        return Gradient(self.gradients[place][0], top, left, (height, width))

    def reach(self, place: Place | None, window: Window | None) -> None:
        """Extend a place's window by one with nonzero gradient."""
        if place is None or window is None:
            return
        height, width = self.shapes[place][2:]
        y0, y1, x0, x1 = window
        y0, y1, x0, x1 = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        if y0 >= y1 or x0 >= x1:
            # Only padding was read.
            return
        if (before := self.windows.get(place)) is not None:
            y0, y1, x0, x1 = min(before[0], y0), max(before[1], y1), min(before[2], x0), max(before[3], x1)
        self.windows[place] = y0, y1, x0, x1

    def widen(self, place: Place, window: Window) -> Window:
        height, width = self.shapes[place][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def whole(self, place: Place) -> bool:
        """Return whether a place's window is its whole map."""
        return self.windows[place] == (0, self.shapes[place][2], 0, self.shapes[place][3])

    def add(
        self,
        place: Place | None,
        part: Tensor,
        top: int,
        left: int,
        *,
        channels: slice | None = None,
        fresh: bool = False,
    ) -> None:
        """Add (1, C, a, b) from row `top` and column `left` on; outside the window it is 0.

        `fresh`: its memory is shared with nothing else.
        """
        if place is None or place not in self.windows:
            return
        y0, y1, x0, x1 = self.windows[place]
        fits = (top, left, *part.shape[2:]) == (y0, x0, y1 - y0, x1 - x0) and channels is None
        if fits and place not in self.gradients:
            self.gradients[place] = part
            if fresh:
                self.owned.add(place)
        elif fits and place not in self.owned:
            self.gradients[place] = self.gradients[place] + part
            self.owned.add(place)
        else:
            buffer = self._buffer(place)
            add_moved(buffer if channels is None else buffer[:, channels], part, top - y0, left - x0)

    def _buffer(self, place: Place) -> Tensor:
        """Return a place's gradient as a writable buffer."""
        if place not in self.gradients:
            y0, y1, x0, x1 = self.windows[place]
            # Channels last in memory, which convolutions on a CPU prefer.
            buffer = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[place][1])
            self.gradients[place] = buffer.permute(0, 3, 1, 2)
        elif place not in self.owned:
            self.gradients[place] = self.gradients[place].clone()
        self.owned.add(place)
        return self.gradients[place]

    def cut(self, tensor: Tensor, place: Place) -> Tensor:
        """Return the part of a (1, C, h, w) in a place's window."""
        return _part(tensor, *self.windows[place])


def _part(tensor: Tensor, y0: int, y1: int, x0: int, x1: int) -> Tensor:
    # Half the time of indexing, which checks every dimension.
    return tensor.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0)


def add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
    (height, width), (a, b) = out.shape[2:], part.shape[2:]
    y0, y1, x0, x1 = max(down, 0), min(down + a, height), max(right, 0), min(right + b, width)
    if y0 < y1 and x0 < x1:
        _part(out, y0, y1, x0, x1).add_(_part(part, y0 - down, y1 - down, x0 - right, x1 - right))


def bounds(gradient: Gradient) -> Window | None:
    """Return the smallest window of nonzero values, or None."""
    top, left = gradient.top, gradient.left
    # A single cell needs no search, which would synchronise a GPU.
    if gradient.values.shape[1:] == (1, 1) != gradient.shape:
        return top, top + 1, left, left + 1
    nonzero = (gradient.values.amax(0).ne(0) | gradient.values.amin(0).ne(0)).cpu().numpy()
    rows = np.flatnonzero(nonzero.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(nonzero.any(0))
    return top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1
