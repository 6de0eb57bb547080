"""Test whether a map matters to the answer (permutation test).

The null hypothesis: maps of other pictures do as well. Each map's strongest shares are hidden, and alone kept, as in
Petsiuk et al. 2018 (RISE), https://arxiv.org/abs/1806.07421. `python -m benchmarks verdict` measures the error rates.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.faithfulness.other_maps import other_maps
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.proof import controls
from sightglass.explain.proof.controls import ranking
from sightglass.explain.proof.curves import BATCH_CPU, Perturber
from sightglass.explain.proof.support import CLEAR, OTHERS, SHARES, SHOWN, Effect, Support, settle

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.result import Result

    Map = NDArray[np.float32]

MOVED = 0.25
"""Of the width or height, by which copies of a map are moved: what leaves at one side comes back at the other."""


@own_modes()
def support(
    explanation: Result,
    index: int | str = 0,
    *,
    quick: bool = False,
    cancel: threading.Event | None = None,
) -> Support:
    """Compare the effect of a map's hottest pixels with other maps'.

    These are up to `OTHERS` maps of other pictures, and copies of this map. Each takes two passes, or eight if close;
    `quick`: always two, at the share `SHOWN`. Raises ModelProblem for an empty map and a target without a single
    answer; Cancelled within one batch of a stop.
    """
    return find_strongest(explanation, index, quick=quick, cancel=cancel)[0]


def find_strongest(
    explanation: Result,
    index: int | str,
    *,
    quick: bool = False,
    perturber: Perturber | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Support, Map]:
    """Return what `support` does, and the strongest control's map, (h, w) over the content.

    `perturber`: the map's own, if there is one.
    """
    selected = explanation._map(index)
    heatmap, position = selected.measured, explanation.heatmaps.index(selected)
    if heatmap.state != "ok":
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to hide or keep first.")
    evidence = explanation.evidence
    score = explanation.task.scorer(evidence, heatmap.target, explanation.options)
    boxed = explanation.own(position)
    box = box_on_content(evidence.geometry, boxed[0].box) if len(boxed) == 1 and boxed[0].box else None
    embeds = not explanation.task.names_classes
    measure = Measure(perturber or Perturber(evidence, score, cancel), heatmap.strength, box, cosine=embeds)
    effect = measure.effect("this map", measure.part, (SHOWN,) if quick else SHARES)
    candidates = other_maps(explanation, position, cancel)
    order = np.random.default_rng(controls.seed_of(explanation.image.sha256, 0)).permutation(len(candidates))[:OTHERS]
    named = ((candidates[at].name, measure.fit(candidates[at].values)) for at in order.tolist())
    others, copies = measure.compare(effect, named)
    share = SHOWN * measure.part.size / heatmap.strength.size
    result = Support(heatmap.target.label, box is not None, measure.start, effect, others, copies, share)
    at = result.controls.index(result.strongest)
    if at < len(others):
        values = measure.fit(candidates[order[at]].values)
    else:
        values = [*_copies(measure.part, flipped=box is not None)][at - len(others)][1]
    return result, measure.place(values)


def _copies(values: Map, *, flipped: bool) -> Iterator[tuple[str, Map]]:
    """Yield mirrored and moved copies of a map, and a centred one.

    `flipped`: upside down instead of moved, as in a box, whose object fills it.
    """
    height, width = values.shape
    yield "the middle", controls.centre((height, width))
    yield "this map mirrored", np.ascontiguousarray(values[:, ::-1])
    if flipped:
        yield "this map upside down", np.ascontiguousarray(values[::-1])
        return
    for where, (down, right) in {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}.items():
        by = (round(down * MOVED * height), round(right * MOVED * width))
        yield f"this map moved {where}", np.roll(values, by, (0, 1))


class Measure:
    """Measures maps' effects on one answer, in the picture or box."""

    def __init__(
        self, perturber: Perturber, values: Map, box: tuple[slice, slice] | None = None, *, cosine: bool = False
    ) -> None:
        """`values`: the map that is tested, (h, w) over the content. `cosine`: scores are -1..1."""
        self._shape, self._box, self._cosine, self._perturber = values.shape, box, cosine, perturber
        self.part: Map = values if box is None else values[box]
        """The part of the map that is compared."""
        self._fill = perturber.fill("blur")
        (self.start,) = self._in_range([perturber.whole])

    def compare(self, own: Effect, named: Iterable[tuple[str, Map]]) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
        """Return the effects of other maps and copies, until the verdict is clear."""
        others: list[Effect] = []
        for effect in self.against(own, named):
            others.append(effect)
            if settle(own, others) is not None:
                break
        copies: list[Effect] = []
        if len(others) == OTHERS and settle(own, others) is None:
            for effect in self.against(own, _copies(self.part, flipped=self._box is not None)):
                copies.append(effect)
                if not own.beats(effect):
                    break
        return tuple(others), tuple(copies)

    def fit(self, values: Map) -> Map:
        """Return another map as large as that part."""
        height, width = self.part.shape
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR))

    def place(self, values: Map) -> Map:
        """Place a part's map in the whole content, weakest elsewhere."""
        if self._box is None:
            return values
        placed = np.full(self._shape, values.min() - 1, np.float32)
        placed[self._box] = values
        return placed

    def against(self, effect: Effect, named: Iterable[tuple[str, Map]]) -> Iterator[Effect]:
        """Yield each map's effect at as many shares as necessary."""
        maps = iter(named)
        while some := list(itertools.islice(maps, BATCH_CPU // 2)):
            for (name, values), first in zip(some, self._effects(some, (SHOWN,)), strict=True):
                near = abs(effect.size(SHOWN) - first.size(SHOWN)) < CLEAR
                yield (
                    self.effect(name, values, effect.shares, first) if near and effect.shares != first.shares else first
                )

    def effect(self, name: str, values: Map, shares: Sequence[float], known: Effect | None = None) -> Effect:
        """Return the effect of a map (h, w) at these shares, reusing `known`."""
        (new,) = self._effects([(name, values)], [s for s in shares if known is None or s not in known.shares])
        effects = [(known if known is not None and share in known.shares else new).at(share) for share in shares]
        return Effect(name, tuple(shares), *zip(*effects, strict=True))

    def _effects(self, named: Sequence[tuple[str, Map]], shares: Sequence[float]) -> list[Effect]:
        """Return the effects of maps at the same shares; constant maps hide nothing."""
        visible = np.ones((len(named), 2, len(shares), *self._shape), bool)
        part = (slice(None), *(self._box or (slice(None), slice(None))))
        for (_, values), (hidden, kept) in zip(named, visible, strict=True):
            if (places := ranking(values)) is not None:
                hidden[part] = [places >= share for share in shares]
                kept[part] = [places < share for share in shares]
        scores = iter(self._scores(visible.reshape(-1, *self._shape)))
        each = [[tuple(itertools.islice(scores, len(shares))) for _ in range(2)] for _ in named]
        return [Effect(name, tuple(shares), *both) for (name, _), both in zip(named, each, strict=True)]

    def _scores(self, visible: NDArray[np.bool_]) -> list[float]:
        """Return the scores, 0..1, of pictures with visible parts (B, h, w)."""
        batches = torch.split(torch.from_numpy(visible).to(self._perturber.picture.device), BATCH_CPU)
        parts = [self._perturber.predict_masked(batch, self._fill).score for batch in batches]
        return self._in_range(torch.cat(parts).tolist())

    def _in_range(self, scores: list[float]) -> list[float]:
        """Bring a cosine to 0..1, where scores are."""
        return [(1 + score) / 2 for score in scores] if self._cosine else scores
