"""The result of proving a map: curves, conclusions, summary numbers and tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.maps.statistics import Agreement
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.curves import Curve
    from sightglass.explain.proof.support import Support


CONTROLS = {
    "strongest": "the strongest map of the verdict's test",
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
UNTESTED = "Its verdict is not there: the curves alone do not say whether the map matters."
"""The sentence of a proof that is not whole yet, or that an earlier version saved."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A map's mean advantage over a control, with its 95 % interval."""

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

    >>> from sightglass import Explainer
    >>> proof = Explainer()("bus.jpg", top_k=1).prove(steps=4)
    >>> round(proof.start, 2), proof.support.verdict
    (0.62, 'cannot be told')
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
    support: Support | None = None
    """What the verdict follows from; None while it is not there."""

    @property
    def pictures(self) -> int:
        """The number of pictures answered by the model."""
        tested = 0 if self.support is None else self.support.pictures
        return tested + 2 * len(self.fillings) + sum(2 * (curve.steps - 1) for curve in self.curves)

    def of(self, name: str = "map", filling: Filling | None = None) -> tuple[Curve, ...]:
        """Return the map's or a control's curves for one filling."""
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

        It is computed at the control's steps, with a bootstrap over seeds and fillings. Raises KeyError for an unknown
        control.
        """
        used = [candidate for candidate in ((filling,) if filling else self.fillings) if self.of(control, candidate)]
        if not used:
            raise KeyError(control)
        # While it is computed, the last filling has fewer.
        seeds = min(len(self.of(control, name)) for name in used)
        gains = [
            [
                self.of("map", name)[0].thinned(curve.steps).advantage - curve.advantage
                for curve in self.of(control, name)[:seeds]
            ]
            for name in used
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
        """The smallest hottest share keeping 90 % of the value, or None."""
        trace = self.map.insertion
        if trace.value[-1] <= 0:
            return None
        return _first(trace.value >= SUFFICIENT * trace.value[-1])

    @cached_property
    def necessity(self) -> float | None:
        """The smallest hottest share flipping the answer if hidden, or None."""
        stays = self.map.deletion.stays
        return _first(~stays) if stays[0] else None

    def at(self, share: float, name: str = "map") -> tuple[float, float]:
        """Return the scores with the hottest share hidden, and kept alone.

        At the nearest of its steps.
        """
        curves = self.of(name)
        place = round(share * curves[0].steps)
        hidden, kept = (
            float(np.mean([getattr(curve, way).score[place] for curve in curves])) for way in ("deletion", "insertion")
        )
        return hidden, kept

    @property
    def sentence(self) -> str:
        """The verdict, and what hiding does beside the strongest control; see `Support.sentence`."""
        return UNTESTED if self.support is None else self.support.sentence

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        return {
            "target": self.label,
            "part": self.part,
            "score": self.start,
            "fillings": list(self.fillings),
            "sentence": self.sentence,
            "support": None if self.support is None else self.support.summary(),
            "sufficiency": self.sufficiency,
            "necessity": self.necessity,
            "runner_up": self.runner_up or None,
            "runner_up_ssim": None if self.similarity is None else self.similarity.ssim,
            "runner_up_rank_correlation": None if self.similarity is None else self.similarity.rank_correlation,
            "differences": {
                name: {field: getattr(difference, field) for field in ("mean", "low", "high")}
                for name in self.controls
                if (difference := self.difference(name))
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


def _first(holds: NDArray[np.bool_]) -> float | None:
    """Return the share at which something holds for the first time."""
    return float(holds.argmax() / (len(holds) - 1)) if holds.any() else None


SHOWN = frozenset(
    {
        *("deletion-random", "deletion-blobs", "insertion-random", "insertion-blobs", "advantage"),
        *("strongest", "random", "blobs", "centre", "edges", "sufficiency", "necessity", "stability"),
    }
)
"""The measures that screens, the API and the command line show unless all are asked for. On drawn scenes their rank
correlation with whether a map's hottest pixel is on the known cause is clear of zero, as the mean over families of
models (benchmarks/results/2026-11-24-proof-measures.md). This is the only such list."""

FIELDS: dict[str, tuple[str, ...]] = {
    "sufficiency": ("sufficiency",),
    "necessity": ("necessity",),
    "similarity": ("runner_up_ssim", "runner_up_rank_correlation"),
}
"""Where a proof's summary has a measure that is no difference to a control."""
COLUMNS = ("map", "hidden", "kept", "this map is better by", "95 % interval")
"""Of `rows`: areas under the curves, and the difference with its interval."""


def is_shown(name: str, *, every: bool = False) -> bool:
    """Return whether a measure is displayed: a validated one, or `every`."""
    return every or name in SHOWN


def without_hidden(summary: Json) -> Json:
    """Return a proof's `summary` with hidden measures as None, under `left_out`."""
    kept = summary | {"differences": {name: diff for name, diff in summary["differences"].items() if is_shown(name)}}
    hidden = [name for name in FIELDS if not is_shown(name)]
    kept |= dict.fromkeys(field for name in hidden for field in FIELDS[name])
    return kept | {"left_out": [*(name for name in summary["differences"] if not is_shown(name)), *hidden]}


def rows(proof: Proof, *, every: bool = False) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for the map and each control.

    Controls whose difference does not agree with known causes (`SHOWN`) are left out unless `every` one is
    asked for.
    """
    table: list[tuple[str, ...]] = [("this map", *_areas(proof, "map"), "", "")]
    for name in (control for control in proof.controls if is_shown(control, every=every)):
        difference = proof.difference(name)
        # One map with one filling has no spread.
        interval = f"{difference.low:+.2f} to {difference.high:+.2f}" if difference.high > difference.low else "–"
        table.append((CONTROLS[name], *_areas(proof, name), f"{difference.mean:+.2f}", interval))
    return table


def lines(proof: Proof, *, every: bool = False) -> list[str]:
    """Return a sentence each on sufficiency, necessity, and likeness to the runner-up's map.

    What does not agree with known causes (`SHOWN`) is left out unless `every` measure is asked for.
    """
    sentences = {"sufficiency": _sufficiency(proof), "necessity": _necessity(proof), "similarity": similarity(proof)}
    return [line for name, line in sentences.items() if line and is_shown(name, every=every)]


def _sufficiency(proof: Proof) -> str:
    kept, most = proof.sufficiency, percent(SUFFICIENT)
    if kept is None or kept >= 1:
        return f"No part of the picture alone keeps {most} of the score."
    if not kept:
        return f"Even with nothing kept, {most} of the score is there."
    return f"The hottest {percent(kept)} alone keeps {most} of the score."


def _necessity(proof: Proof) -> str:
    if proof.necessity is None:
        return "No share that was hidden changes the answer."
    return f"Hiding the hottest {percent(proof.necessity)} changes the answer."


def similarity(proof: Proof) -> str:
    """Return a sentence on the likeness to the runner-up's map; else empty."""
    if proof.similarity is None:
        return ""
    return (
        f"The map's rank correlation with that of {proof.runner_up}, the next best class, is "
        f"{proof.similarity.rank_correlation:.2f}; 1 would be the same map."
    )


def _areas(proof: Proof, name: str) -> tuple[str, str]:
    curves = proof.of(name)
    deletion, insertion = (
        float(np.mean([getattr(curve, way).area for curve in curves])) for way in ("deletion", "insertion")
    )
    return f"{deletion:.2f}", f"{insertion:.2f}"
