"""Rank correlation of proof measures with the known cause, by model family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import grid
from benchmarks.timing import SEED
from benchmarks.truth.numbers import MEASURES
from sightglass.explain.proof.measures import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.bootstrap import Interval
    from benchmarks.truth.proved import ProvedMap

    Values = NDArray[np.float64]

RESAMPLES = 1000
LEAST = 4
"""Maps of one object from which their order is compared."""
STABILITY = "stability"
WORDS = {name: one.words for name, one in MEASURES.items()} | {STABILITY: "spread under small changes"}
ALL = "all families"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a measure goes with the truth, 1 is in the same order; each a correlation and its 95 % interval."""

    measure: str
    hits: dict[str, Interval]
    """With hits, over all maps of a family; of `ALL` the mean over families."""
    energy: Interval
    """With energy, over all maps, the mean over families."""
    between: Interval
    """With energy, between the maps of one object and question, the mean over these and over families."""

    @property
    def agrees(self) -> bool:
        """Whether its correlation with hits is clear of zero."""
        return self.hits[ALL][1] > 0


def ranks(values: Values) -> Values:
    """Return the ranks of values (n,) from 0; equal ones share their mean rank."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Values = (last - (counts + 1) / 2)[at]
    return found


def spearman(one: Values, other: Values) -> float:
    """Return the rank correlation of two (n,), -1 to 1; NaN where either is the same throughout."""
    first, second = (ranks(values) - (len(values) - 1) / 2 for values in (one, other))
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size else float("nan")


def values_of(one: ProvedMap) -> dict[str, float]:
    """Return a proof's measures, turned so that more should be better; NaN for what it lacks."""
    found: dict[str, float] = {}
    for name, measure in MEASURES.items():
        value = measure.of(one.proof)
        found[name] = float("nan") if value is None else value if measure.higher else -value
    found[STABILITY] = -one.spread
    return found


@dataclass(frozen=True, eq=False)
class Family:
    """What the maps of some models got, row by row."""

    scenes: Values
    objects: list[tuple[str, int, str]]
    """Model, scene and question."""
    hit: Values
    energy: Values
    values: dict[str, Values]

    @classmethod
    def of(cls, found: Sequence[ProvedMap]) -> Family:
        rows = [values_of(one) for one in found]
        return cls(
            np.array([one.number for one in found], float),
            [(one.model, one.number, one.question) for one in found],
            np.array([one.hit for one in found]),
            np.array([one.energy for one in found]),
            {name: np.array([row[name] for row in rows]) for name in WORDS},
        )

    def between(self, name: str) -> tuple[Values, Values]:
        """Return the correlation with energy between the maps of each object, and the scenes of the objects."""
        found, scenes = [], []
        for key in dict.fromkeys(self.objects):
            at = [i for i, one in enumerate(self.objects) if one == key and np.isfinite(self.values[name][i])]
            if len(at) >= LEAST:
                found.append(spearman(self.values[name][at], self.energy[at]))
                scenes.append(self.scenes[at[0]])
        known = np.isfinite(found)
        return np.array(found)[known], np.array(scenes)[known]


def agreement(families: Mapping[str, Sequence[ProvedMap]]) -> list[Agreement]:
    """Return each measure's correlations; scenes are drawn again with replacement, for all families at once."""
    made = {name: Family.of(found) for name, found in families.items() if found}
    numbers = np.unique(np.concatenate([of.scenes for of in made.values()]))
    drawn = np.random.default_rng(SEED).choice(numbers, (RESAMPLES, len(numbers)))
    return [_agreement(name, made, drawn) for name in WORDS]


def _agreement(name: str, families: Mapping[str, Family], drawn: Values) -> Agreement:
    hits, energy, between = {}, {}, {}
    for family, of in families.items():
        known = np.isfinite(of.values[name])
        pairs, scenes = np.stack([of.values[name], of.hit, of.energy])[:, known], of.scenes[known]
        if not known.any():
            continue
        hits[family] = _resampled(partial(_spearman_at, pairs[0], pairs[1]), scenes, drawn)
        energy[family] = _resampled(partial(_spearman_at, pairs[0], pairs[2]), scenes, drawn)
        own, places = of.between(name)
        if len(own):
            between[family] = _resampled(partial(_mean_at, own), places, drawn)
    each = {family: _interval(found) for family, found in hits.items()}
    return Agreement(name, each | {ALL: _interval(_mean(hits))}, _interval(_mean(energy)), _interval(_mean(between)))


def _spearman_at(one: Values, other: Values, at: Any) -> float:
    return spearman(one[at], other[at])


def _mean_at(values: Values, at: Any) -> float:
    return float(values[at].mean())


def _resampled(statistic: Callable[[Any], float], scenes: Values, drawn: Values) -> Values:
    """Return a statistic of the rows given by index: of all, and then of those of each draw of scenes, (1 + R,)."""

    @cache
    def rows(scene: float) -> NDArray[np.intp]:
        return np.flatnonzero(scenes == scene)

    found = [statistic(np.arange(len(scenes)))]
    for numbers in drawn:
        at = np.concatenate([rows(number) for number in numbers.tolist()])
        found.append(statistic(at) if len(at) else float("nan"))
    return np.array(found)


def _mean(found: Mapping[str, Values]) -> Values:
    return np.mean(list(found.values()), axis=0) if found else np.full(2, np.nan)


def _interval(found: Values) -> Interval:
    known = found[1:][np.isfinite(found[1:])]
    if not len(known):
        return (float("nan"),) * 3
    low, high = np.percentile(known, (2.5, 97.5)).tolist()
    return float(found[0]), low, high


def section(families: Mapping[str, Sequence[ProvedMap]]) -> str:
    """Return the section of TRUTH.md: the table, and which measures are shown."""
    made, names = agreement(families), [name for name, found in families.items() if found]
    sizes = ", ".join(
        f"{name.lower()} {len({(one.model, one.number) for one in families[name]})} objects with "
        f"{len(families[name])} maps ({np.mean([one.hit for one in families[name]]):.0%} hit)"
        for name in names
    )
    rows = [
        (
            "shown" if one.measure in SHOWN else "",
            WORDS[one.measure],
            *(_ends(one.hits.get(name)) for name in names),
            f"**{_ends(one.hits[ALL])}**" if one.agrees else _ends(one.hits[ALL]),
            _ends(one.energy),
            _ends(one.between),
        )
        for one in sorted(made, key=lambda one: -one.hits[ALL][0])
    ]
    head = ("", "measure", *(f"hits, {name.lower()}" for name in names), "hits, mean", "energy", "between")
    against = [WORDS[one.measure] for one in made if not one.agrees]
    parts = (
        "## Which measures agree with the known cause?",
        INTRODUCTION.format(sizes=sizes),
        grid(head, rows),
        f"Do not agree, and are not shown unless all are asked for: {'; '.join(against) or 'none'}.",
    )
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
Of what a proof measures ([docs/proof.md](../docs/proof.md)), what tells a map that shows the cause from one that does \
not? Good and poor methods at a late and an early layer, and both defaults, are proved in ten steps with both \
fillings: {sizes}. "Where" maps count against the object, "why" maps against the mark that is shown to be the cause.

Spearman's rank correlation of each measure, turned so that more should be better, with hits (whether the hottest \
pixel is on the cause) by family and as the mean of families, and with energy (the share of the map on the cause). \
Between: with energy, among the maps of one object, which is what choosing a method by a measure takes. In brackets \
the 95 % interval of a bootstrap over scenes. A measure agrees \
if the interval of the mean over families is above zero."""


def _ends(found: Interval | None) -> str:
    if found is None or not np.isfinite(found[0]):
        return ""
    return f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"
