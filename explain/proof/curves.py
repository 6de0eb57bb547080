"""Compute deletion and insertion curves of several maps.

Petsiuk et al. 2018, RISE, https://arxiv.org/abs/1806.07421. Deletion hides the hottest share of the picture and
insertion keeps nothing else; steps of both, of all maps, share batches of one model without gradients.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sightglass.common.errors import Cancelled
from sightglass.explain.proof.filling import impute, make_fill
from sightglass.explain.tasks.task import Answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.proof import Filling
    from sightglass.explain.tasks.task import Scorer

STEPS = 20
BATCH_CPU, BATCH_GPU = 4, 64
"""Pictures in one pass. On a CPU 8 took up to a third longer each, 2 a quarter, and others wait for the model until a
pass is over."""


@dataclass(frozen=True, slots=True)
class Order:
    """A map, as the order in which it hides pixels."""

    name: str
    """`map`, or the control's."""
    number: int
    """Which of several controls of that name."""
    places: NDArray[np.float32]
    """float32 (h, w) over the content of the model's input: the share of pixels that are hidden before each one."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The answer at every step, from the whole picture on."""

    value: NDArray[np.float64]
    """(steps + 1,); see `Answers`."""
    score: NDArray[np.float64]
    stays: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        return len(self.value) - 1

    @property
    def area(self) -> float:
        """The area under the values over the share of the picture, by trapezoids: their mean over all shares."""
        return float(np.trapezoid(self.value, dx=1 / self.steps))

    def thinned(self, steps: int) -> Trace:
        """Return the answers at fewer equal steps that are among these; raises ValueError for others."""
        if self.steps % steps:
            raise ValueError(f"{steps} steps are not among {self.steps}.")
        thinning = slice(None, None, self.steps // steps)
        return Trace(self.value[thinning], self.score[thinning], self.stays[thinning])


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The answer as pixels are hidden, or kept, in one map's order."""

    name: str
    number: int
    filling: Filling
    deletion: Trace
    """By the share that is hidden, hottest first."""
    insertion: Trace
    """By the share that is kept, hottest first."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """(steps + 1,) from 0 to 1."""
        return np.linspace(0, 1, self.steps + 1)

    @property
    def steps(self) -> int:
        return self.deletion.steps

    @property
    def advantage(self) -> float:
        """Insertion's area minus deletion's; high for a map of the important pixels."""
        return self.insertion.area - self.deletion.area

    def thinned(self, steps: int) -> Curve:
        """Return it at fewer equal steps; raises ValueError for steps that it does not have."""
        return replace(self, deletion=self.deletion.thinned(steps), insertion=self.insertion.thinned(steps))


class Perturber:
    """Runs a model on partly hidden versions of one picture."""

    def __init__(self, evidence: Evidence, score: Scorer, cancel: threading.Event | None = None) -> None:
        self._evidence, self._score, self._cancel = evidence, score, cancel
        self._adapter, self._lock = evidence.resident.aside()
        left, top, right, bottom = evidence.geometry.content
        self._place = (..., slice(top, bottom), slice(left, right))
        self.picture: Tensor = evidence.tensor[self._place].detach()
        """(1, C, h, w): the part of the model's input that is picture."""
        adapter, on_cpu = evidence.resident.adapter, evidence.resident.device.type == "cpu"
        self._batch = adapter.batch or (BATCH_CPU if on_cpu else BATCH_GPU)
        self._fills: dict[Filling, Tensor | None] = {}
        self._fillings: dict[Filling, tuple[Tensor | None, Answers]] = {}

    def curves(
        self,
        orders: Sequence[Order],
        filling: Filling,
        steps: int = STEPS,
        done: Callable[[Curve], None] = lambda _: None,
        known: Curve | None = None,
    ) -> list[Curve]:
        """Return each order's curve, calling `done` after each.

        `known`: the curve of the one order in fewer steps, which are not run again. Raises Cancelled within one batch
        of a stop.
        """
        fill, ends = self._filling(filling)
        stride = steps if known is None else steps // known.steps
        inner = [step for step in range(1, steps) if known is None or step % stride]
        placed = [torch.from_numpy(order.places).to(self.picture.device) for order in orders]
        hidings = [(places, step / steps, keeps) for places in placed for keeps in (False, True) for step in inner]
        curves: list[Curve] = []
        answers = self._in_batches(hidings, fill)
        earlier = (None, None) if known is None else (known.deletion, known.insertion)
        for order in orders:
            traces = []
            for keeps, before in zip((False, True), earlier, strict=True):
                between = Answers(*map(torch.stack, zip(*itertools.islice(answers, len(inner)), strict=True)))
                traces.append(_trace(ends, between, before, inner, steps, keeps=keeps))
            curve = Curve(order.name, order.number, filling, *traces)
            curves.append(curve)
            done(curve)
        return curves

    @property
    def whole(self) -> float:
        """The score of the whole picture, as the evidence has it."""
        with torch.no_grad():
            return float(self._score(self._evidence.outputs).score[0])

    def fill(self, filling: Filling) -> Tensor | None:
        """Return what hidden pixels are set to, as `filling.make_fill` makes it."""
        if filling not in self._fills:
            self._fills[filling] = make_fill(self.picture, filling)
        return self._fills[filling]

    def _filling(self, filling: Filling) -> tuple[Tensor | None, Answers]:
        """Return the fill, and the answers to the whole and hidden picture."""
        if filling not in self._fillings:
            fill = self.fill(filling)
            whole = torch.ones(self.picture.shape[-2:], dtype=torch.bool, device=self.picture.device)
            self._fillings[filling] = fill, self.predict_masked(torch.stack([whole, ~whole]), fill)
        return self._fillings[filling]

    def _in_batches(
        self, hidings: Sequence[tuple[Tensor, float, bool]], fill: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (score, value, stays), each (), for (order, share, keeps)."""
        at = 0
        while at < len(hidings):
            some = hidings[at : at + self._batch]
            try:
                visible = torch.stack([places < share if keeps else places >= share for places, share, keeps in some])
                answers = self.predict_masked(visible, fill)
            except torch.OutOfMemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2
                torch.cuda.empty_cache()
                continue
            at += len(answers.score)
            yield from zip(answers.score, answers.value, answers.stays, strict=True)

    def predict_masked(self, visible: Tensor, fill: Tensor | None) -> Answers:
        """Return the answers to partly visible pictures, bool (B, h, w)."""
        visible = visible[:, None]
        if fill is None:
            return self._run(impute(self.picture, visible))
        return self._run(torch.where(visible, self.picture, fill))

    def _run(self, pictures: Tensor) -> Answers:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled
        evidence = self._evidence
        tensor = pictures
        if pictures.shape[-2:] != evidence.tensor.shape[-2:]:
            tensor = evidence.tensor.repeat(len(pictures), 1, 1, 1)
            tensor[self._place] = pictures
        tensor = evidence.resident.move_input(tensor)
        # Only for the pass, so that other passes run between two of hundreds.
        with torch.no_grad(), self._lock:
            outputs = self._adapter.run(tensor)
        with torch.no_grad():
            return self._score(outputs)


def _trace(
    ends: Answers, between: Answers, known: Trace | None, inner: Sequence[int], steps: int, *, keeps: bool
) -> Trace:
    """Merge the answers `between` at `inner` with `known` into one trace."""
    first, last = (1, 0) if keeps else (0, 1)

    def join(name: str) -> NDArray[np.float64]:
        end = getattr(ends, name)
        values = np.empty(steps + 1)
        if known is not None:
            values[:: steps // known.steps] = getattr(known, name)
        values[0], values[inner], values[-1] = end[first], getattr(between, name), end[last]
        return values

    return Trace(join("value"), join("score"), join("stays").astype(bool))
