"""Prove a map: how much of the answer goes with what it shows, beside control maps that show something else."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import ModelProblem, Problem
from explain.faithfulness import controls
from explain.faithfulness.curves import STEPS, Curve, Order, Perturber
from explain.faithfulness.filling import FILLINGS
from explain.faithfulness.ranking import ranking
from explain.faithfulness.scores import scorer
from explain.maps.heatmap import scaled
from explain.maps.statistics import Agreement, coarse, compare
from explain.methods import METHODS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from explain.explanation import Explanation
    from explain.faithfulness.filling import Filling
    from explain.progress import Progress

CONTROLS = {
    "random": "random places, as smooth as this map",
    "blobs": "random places inside the same object",
    "centre": "the middle of the picture",
    "edges": "edges of the picture",
    "runner-up": "the map of the next best class",
}
"""The control maps, by name, in words. `random` and `blobs` are `controls.SEEDS` maps each."""
SUFFICIENT = 0.9
"""The share of the whole picture's value that is still the answer."""
RESAMPLES = 2000
NEAR = 0.1
"""The share of the picture that the sentence is about."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a map is than a control: its mean over seeds and fillings, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the map is better whichever seed and filling are drawn."""
        return self.low > 0


@dataclass(frozen=True, eq=False)
class Proof:
    """The curves of a map and its controls, and what follows from them.

    >>> from explain import Explainer
    >>> proof = Explainer()("bus.jpg", top_k=1).prove(steps=4)
    >>> proof.start.round(2), proof.difference("random").clear
    (0.62, True)
    """

    label: str
    """Of the target."""
    part: str
    curves: tuple[Curve, ...]
    fillings: tuple[Filling, ...]
    """The first one's curves are drawn."""
    start: float
    """The score of the whole picture."""
    similarity: Agreement | None
    """Of the map and the runner-up's: near 1, it does not tell the two classes apart."""
    runner_up: str = ""

    def of(self, name: str = "map", filling: Filling | None = None) -> tuple[Curve, ...]:
        """Return the curves of the map, or of a control, for one filling (the first by default)."""
        filling = filling or self.fillings[0]
        return tuple(curve for curve in self.curves if (curve.name, curve.filling) == (name, filling))

    @property
    def map(self) -> Curve:
        """The map's own curve for the first filling."""
        return self.of()[0]

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the controls that there are."""
        return tuple(dict.fromkeys(curve.name for curve in self.curves if curve.name != "map"))

    def difference(self, control: str, filling: Filling | None = None) -> Difference:
        """Return the map's advantage over a control's; over all fillings unless one is named.

        Seeds of the control and fillings are drawn again with replacement: with few of them the interval is only as
        good as that. Raises KeyError for a control that there is not.
        """
        used = [one for one in ((filling,) if filling else self.fillings) if self.of(control, one)]
        if not used:
            raise KeyError(control)
        gains = [
            [self.of("map", one)[0].advantage - curve.advantage for curve in self.of(control, one)] for one in used
        ]
        generator = np.random.default_rng(0)
        table = np.array(gains)  # (fillings, seeds)
        rows = generator.integers(0, len(table), (RESAMPLES, len(table)))
        columns = generator.integers(0, table.shape[1], (RESAMPLES, table.shape[1]))
        drawn = table[rows[:, :, None], columns[:, None, :]].mean((1, 2))
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
        return Difference(float(table.mean()), low, high)

    @cached_property
    def sufficiency(self) -> float | None:
        """The smallest hottest share that alone keeps 90 % of the value; None where nothing does, or none is left."""
        trace = self.map.insertion
        if trace.value[-1] <= 0:
            return None
        return _first(trace.value >= SUFFICIENT * trace.value[-1])

    @cached_property
    def necessity(self) -> float | None:
        """The smallest hottest share whose hiding flips the answer; None where nothing does, or it was another one."""
        stays = self.map.deletion.stays
        return _first(~stays) if stays[0] else None

    def at(self, share: float, name: str = "map") -> tuple[float, float]:
        """Return the score with the hottest share hidden, and with only that kept; of a control the mean."""
        curves = self.of(name)
        place = round(share * (len(self.map.deletion.score) - 1))
        hidden, kept = (
            float(np.mean([getattr(curve, way).score[place] for curve in curves])) for way in ("deletion", "insertion")
        )
        return hidden, kept

    def summary(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        from explain.faithfulness import phrases

        return {
            "target": self.label,
            "part": self.part,
            "score": self.start,
            "fillings": list(self.fillings),
            "sentence": phrases.sentence(self),
            "sufficiency": self.sufficiency,
            "necessity": self.necessity,
            "runner_up": self.runner_up or None,
            "runner_up_ssim": None if self.similarity is None else self.similarity.ssim,
            "runner_up_rank_correlation": None if self.similarity is None else self.similarity.rank_correlation,
            "differences": {
                name: {field: getattr(found, field) for field in ("mean", "low", "high")}
                for name in self.controls
                if (found := self.difference(name))
            },
            "curves": [
                {
                    "map": curve.name,
                    "number": curve.number,
                    "filling": curve.filling,
                    "deletion": curve.deletion.score.tolist(),
                    "insertion": curve.insertion.score.tolist(),
                    "deletion_area": curve.deletion.area,
                    "insertion_area": curve.insertion.area,
                }
                for curve in self.curves
            ],
        }


def prove(
    explanation: Explanation,
    index: int | str = 0,
    *,
    steps: int = STEPS,
    fillings: Sequence[Filling] = ("blur", "mean"),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Proof], None] | None = None,
) -> Proof:
    """Hide and keep the hottest shares of one map and of its controls, and follow the answer.

    `steps` of equal shares; `fillings` are what hidden pixels are set to (`filling.FILLINGS`), the first is the main
    one. `partial` is called with what is there after each map. Raises ModelProblem for a map that is empty or the same
    everywhere, a target that is no single answer, and an unknown filling; Cancelled within one batch of a stop.
    """
    for one in fillings:
        if one not in FILLINGS:
            raise ModelProblem(f"There is no filling called {one}: use one of {', '.join(FILLINGS)}.")
    if not fillings or not 2 <= steps <= 100:
        raise ModelProblem("A proof takes one filling at least, and 2 to 100 steps.")
    shown = explanation._map(index)
    heatmap, position = shown.measured, explanation.heatmaps.index(shown)
    places = ranking(heatmap.content) if heatmap.state == "ok" else None
    if places is None:
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to hide or keep first.")
    other, name = _runner_up(explanation, position)
    perturber = Perturber(
        explanation.evidence, scorer(explanation.evidence, heatmap.target, explanation.options), cancel
    )
    orders = [Order("map", 0, places), *_controls(explanation, position, perturber.picture, other)]
    # What the sentence is made of comes first.
    first, rest = fillings[0], [order for order in orders if order.name in ("map", "random", "blobs")]
    total = len(orders) + len(rest) * (len(fillings) - 1)
    similar = None if other is None else compare(heatmap.coarse, coarse(other))
    made: list[Curve] = []

    def proof() -> Proof:
        start = float(made[0].deletion.score[0])
        used = tuple(dict.fromkeys(curve.filling for curve in made))
        return Proof(heatmap.target.label, heatmap.target.part, tuple(made), used, start, similar, name)

    def done(curve: Curve) -> None:
        made.append(curve)
        if progress is not None:
            progress(len(made) / total, f"{len(made)} of {total} maps")
        if partial is not None:
            partial(proof())

    perturber.curves(orders, first, steps, done)
    for filling in fillings[1:]:
        perturber.curves(rest, filling, steps, done)
    return proof()


def _controls(explanation: Explanation, index: int, picture: Tensor, other: NDArray[np.float32] | None) -> list[Order]:
    """Return the control maps' orders over the content of the model's input, `picture` (1, C, h, w)."""
    heatmap = explanation.heatmaps[index].measured
    content = heatmap.content
    shape, grid = content.shape, _grid(explanation, index)
    inside, sha256 = _object(explanation, index), explanation.image.sha256
    pixels = np.ascontiguousarray(picture[0].float().cpu().permute(1, 2, 0).numpy())
    seeds = [controls.seed_of(sha256, number) for number in range(2 * controls.SEEDS)]
    made: list[tuple[str, int, Any]] = [
        ("random", number, controls.random_map(shape, grid, seeds[number])) for number in range(controls.SEEDS)
    ]
    if inside.any() and not inside.all():
        made += [
            ("blobs", number, controls.blobs(inside, grid, seeds[controls.SEEDS + number]))
            for number in range(controls.SEEDS)
        ]
    made += [("centre", 0, controls.centre(shape)), ("edges", 0, controls.edges(pixels))]
    if other is not None:
        made.append(("runner-up", 0, other))
    orders = ((name, number, ranking(values)) for name, number, values in made)
    return [Order(name, number, places) for name, number, places in orders if places is not None]


def _grid(explanation: Explanation, index: int) -> tuple[int, int]:
    """Return the rows and columns of cells in the content that a map was computed on, the finest of its layers."""
    geometry, raw = explanation.evidence.geometry, explanation.heatmaps[index].raw
    left, top, right, bottom = geometry.content
    height, width = geometry.input
    rows, columns = max((one.shape for one in raw), key=math.prod)
    return max(round(rows * (bottom - top) / height), 2), max(round(columns * (right - left) / width), 2)


def _object(explanation: Explanation, index: int) -> NDArray[np.bool_]:
    """Return where the object is, bool (h, w) over the content: in its boxes, else where the map is hottest."""
    heatmap, geometry = explanation.heatmaps[index].measured, explanation.evidence.geometry
    found = np.zeros(heatmap.content.shape, bool)
    left, top, _, _ = geometry.content
    for prediction in explanation.own(index):
        assert prediction.box is not None
        x0, y0, x1, y1 = prediction.box
        (sy, sx), (oy, ox) = geometry.scale, geometry.offset
        rows = slice(max(round(y0 * sy + oy) - top, 0), max(round(y1 * sy + oy) - top, 0))
        columns = slice(max(round(x0 * sx + ox) - left, 0), max(round(x1 * sx + ox) - left, 0))
        found[rows, columns] = True
    return found if found.any() else controls.hottest_region(heatmap.content)


def _runner_up(explanation: Explanation, index: int) -> tuple[NDArray[np.float32] | None, str]:
    """Return the map (h, w) of the next best class over the content, and its name; None where it costs passes.

    Of a box it is the next best class of the same candidate.
    """
    heatmap, evidence = explanation.heatmaps[index].measured, explanation.evidence
    method, target, adapter = METHODS[heatmap.method], heatmap.target, evidence.resident.adapter
    if not (method.quick and method.per_class) or target.index is None or len(adapter.labels) < 2:
        return None, ""
    if adapter.detects:
        if len(target.anchors) != 1:
            return None, ""
        scores = evidence.outputs.scores[0, :, target.anchors[0]].clone()
    else:
        scores = adapter.class_logits(evidence.outputs)[0].detach().clone()
    scores = scores[: len(adapter.labels)]
    scores[target.index] = float("-inf")
    best = int(scores.argmax())
    try:
        raw = method.run(evidence, [replace(target, index=best, label=adapter.labels[best])])
    except Problem:
        return None, ""
    left, top, right, bottom = evidence.geometry.content
    values = scaled(raw.maps, evidence.geometry, "own")[0, top:bottom, left:right].cpu().numpy()
    return values, adapter.labels[best]


def _first(found: NDArray[np.bool_]) -> float | None:
    """Return the share at which something holds for the first time."""
    return float(found.argmax() / (len(found) - 1)) if found.any() else None
