"""Sparse backward pass of one detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from sightglass.explain.backward.gradient import Gradient

if TYPE_CHECKING:
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

    def gradient(self, at: Place) -> Gradient:
        _, channels, height, width = self.shapes[at]
        if at not in self.gradients:
            return Gradient(self.graph.like.new_zeros(channels, 1, 1), 0, 0, (height, width))
        top, _, left, _ = self.windows[at]
        return Gradient(self.gradients[at][0], top, left, (height, width))

    def reach(self, at: Place | None, window: Window | None) -> None:
        """Extend a place's window by one with nonzero gradient."""
        if at is None or window is None:
            return
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        new = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        if new[0] >= new[1] or new[2] >= new[3]:
            # Only padding was read.
            return
        if (old := self.windows.get(at)) is not None:
            new = min(old[0], new[0]), max(old[1], new[1]), min(old[2], new[2]), max(old[3], new[3])
        self.windows[at] = new

    def widen(self, at: Place, window: Window) -> Window:
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def whole(self, at: Place) -> bool:
        """Return whether a place's window is its whole map."""
        return self.windows[at] == (0, self.shapes[at][2], 0, self.shapes[at][3])

    def add(
        self,
        at: Place | None,
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
        if at is None or at not in self.windows:
            return
        y0, y1, x0, x1 = self.windows[at]
        fits = (top, left, *part.shape[2:]) == (y0, x0, y1 - y0, x1 - x0) and channels is None
        if fits and at not in self.gradients:
            self.gradients[at] = part
            if fresh:
                self.owned.add(at)
        elif fits and at not in self.owned:
            self.gradients[at] = self.gradients[at] + part
            self.owned.add(at)
        else:
            buffer = self._buffer(at)
            add_moved(buffer if channels is None else buffer[:, channels], part, top - y0, left - x0)

    def _buffer(self, at: Place) -> Tensor:
        """Return a place's gradient as a writable buffer."""
        if at not in self.gradients:
            y0, y1, x0, x1 = self.windows[at]
            # Channels last in memory, which convolutions on a CPU prefer.
            buffer = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[at][1])
            self.gradients[at] = buffer.permute(0, 3, 1, 2)
        elif at not in self.owned:
            self.gradients[at] = self.gradients[at].clone()
        self.owned.add(at)
        return self.gradients[at]

    def cut(self, tensor: Tensor, at: Place) -> Tensor:
        """Return the part of a (1, C, h, w) in a place's window."""
        return _part(tensor, *self.windows[at])


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
