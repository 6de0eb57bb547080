"""The gradients of one target on its way back through the graph, each within the window where it is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from explain.backward.gradient import Gradient, Term

if TYPE_CHECKING:
    from explain.backward.graph import Graph, Place, Window

WHOLE = 0.75
"""Share of a map above which a window is not worth cutting out."""


class Walk:
    """One target, back from its seeds to the sources."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.shapes = graph, graph.shapes
        self.windows: dict[Place, Window] = {}
        """Where gradients are not 0."""
        self.held: dict[Place, Tensor] = {}
        """Gradients (1, C, h', w') within their windows, as far as they are known."""
        self.products: dict[Place, list[Term]] = {}
        """What is to be added to them."""
        self.owned: set[Place] = set()
        """Places whose gradient shares no memory with another, and can be added to in place."""

    def found(self, at: Place) -> Gradient:
        _, channels, height, width = self.shapes[at]
        terms = self.products.get(at, [])
        if at in self.held:
            top, _, left, _ = self.windows[at]
            terms = [Term(self.held[at][0], top, left), *terms]
        elif not terms:
            terms = [Term(self.graph.like.new_zeros(channels, 1, 1), 0, 0)]
        return Gradient(tuple(terms), (height, width))

    def reach(self, at: Place | None, window: Window | None) -> None:
        """The gradient at a place will be not 0 within this window too."""
        if at is None or window is None:
            return
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        new = max(y0, 0), min(y1, height), max(x0, 0), min(x1, width)
        if new[0] >= new[1] or new[2] >= new[3]:
            # Nothing but padding was read.
            return
        if (old := self.windows.get(at)) is not None:
            new = min(old[0], new[0]), max(old[1], new[1]), min(old[2], new[2]), max(old[3], new[3])
        self.windows[at] = new

    def widen(self, at: Place, window: Window) -> Window:
        height, width = self.shapes[at][2:]
        y0, y1, x0, x1 = window
        return (0, height, 0, width) if (y1 - y0) * (x1 - x0) > WHOLE * height * width else window

    def whole(self, at: Place) -> bool:
        """Whether a window is all of its map."""
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
        """Add (1, C, a, b) that starts at a row and a column; what is outside the window is 0 there.

        `fresh`: nobody else holds its memory.
        """
        if at is None or at not in self.windows:
            return
        y0, y1, x0, x1 = self.windows[at]
        fits = (top, left, *part.shape[2:]) == (y0, x0, y1 - y0, x1 - x0) and channels is None
        if fits and at not in self.held:
            self.held[at] = part
            if fresh:
                self.owned.add(at)
        elif fits and at not in self.owned:
            self.held[at] = self.held[at] + part
            self.owned.add(at)
        else:
            out = self._buffer(at)
            add_moved(out if channels is None else out[:, channels], part, top - y0, left - x0)

    def multiply(self, at: Place | None, term: Term) -> None:
        """Add what a 1x1 convolution's weights make of the gradient after it, where it is late as a product."""
        if at is None or at not in self.windows:
            return
        assert term.weight is not None
        if at in self.graph.late and len(term.weight) <= term.weight.shape[1]:
            self.products.setdefault(at, []).append(term)
        else:
            whole = self.whole(at) and term.values.shape[1:] == self.shapes[at][2:]
            self.add(at, term.computed(whole=whole)[None], term.top, term.left, fresh=True)

    def _buffer(self, at: Place) -> Tensor:
        """The gradient at a place, to be added to."""
        if at not in self.held:
            y0, y1, x0, x1 = self.windows[at]
            # Channels last in memory, as the convolutions on a CPU want it.
            out = self.graph.like.new_zeros(1, y1 - y0, x1 - x0, self.shapes[at][1])
            self.held[at] = out.permute(0, 3, 1, 2)
        elif at not in self.owned:
            self.held[at] = self.held[at].clone()
        self.owned.add(at)
        return self.held[at]

    def cut(self, tensor: Tensor, at: Place) -> Tensor:
        """The part of a (1, C, h, w) in a place's window."""
        return _part(tensor, *self.windows[at])


def _part(tensor: Tensor, y0: int, y1: int, x0: int, x1: int) -> Tensor:
    # Half the time of brackets, which look at every dimension.
    return tensor.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0)


def add_moved(out: Tensor, part: Tensor, down: int, right: int) -> None:
    (height, width), (a, b) = out.shape[2:], part.shape[2:]
    y0, y1, x0, x1 = max(down, 0), min(down + a, height), max(right, 0), min(right + b, width)
    if y0 < y1 and x0 < x1:
        _part(out, y0, y1, x0, x1).add_(_part(part, y0 - down, y1 - down, x0 - right, x1 - right))


def bounds(gradient: Gradient) -> Window | None:
    """The smallest window that holds all that is not 0; None where everything is."""
    top, left = gradient.top, gradient.left
    # Of one cell of a map it is known without a look, which a GPU would have to be waited for.
    if gradient.values.shape[1:] == (1, 1) != gradient.shape:
        return top, top + 1, left, left + 1
    found = (gradient.values.amax(0).ne(0) | gradient.values.amin(0).ne(0)).cpu().numpy()
    rows = np.flatnonzero(found.any(1))
    if not rows.size:
        return None
    columns = np.flatnonzero(found.any(0))
    return top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1
