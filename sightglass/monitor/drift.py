"""Detect drift from a reference.

Numbers: the two-sample Kolmogorov-Smirnov test (scipy.stats.ks_2samp) for a change of all pictures, an exact test of
their ends for a change of some (`compare_ends`), and the population stability index over the reference's deciles, the
usual measure for scoring models. Labels: the Jensen-Shannon divergence (doi:10.1109/18.61115) in bits, with a
permutation test, and an exact test of each label that became more frequent. All p-values are corrected after Holm
(doi:10.2307/4615733). How often a planted drift is found: benchmarks/DRIFT.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.phrases import listing, percent
from sightglass.monitor.observation import NAMES, Observation
from sightglass.monitor.phrases import many
from sightglass.monitor.reference import Known, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

MIN_PICTURES = 30
"""Minimum number of pictures for comparing a distribution."""
ALPHA = 0.02
"""Probability of a false alarm over all comparisons."""
MIN_KS = 0.1
"""Minimum Kolmogorov-Smirnov statistic of a difference that matters, however significant."""
MIN_JS = 0.02
"""Minimum divergence of the labels that matters, in bits."""
MIN_BEYOND = 0.05
"""Minimum share of pictures that are beyond the reference's ends, or have a label that became more frequent."""
END = 0.01
"""Share of the reference at each of its ends."""
NEWEST = 100
"""Pictures of a log that are compared, the newest: of more, a change that began lately would be lost among older."""
MIN_COUNT = 5
"""Pictures that a label needs, then and now together, to be tested by itself."""
BINS = 10
DRAWS = 1999


@dataclass(frozen=True)
class Shift:
    """One number compared with the reference."""

    name: str
    """One of `sightglass.monitor.NUMBERS`."""
    count: int
    reference_count: int
    median: float
    reference_median: float
    ks: float
    """0..1: the largest gap between the two cumulative distributions."""
    p: float
    """Probability of such a gap by chance alone."""
    psi: float
    """The population stability index: below 0.1 counts as stable, above 0.25 as changed."""
    beyond: float = 0.0
    """The share of pictures below the reference's lowest hundredth, or above its highest, whichever is larger."""
    corrected: float = 1.0
    """`p` after Holm, over all numbers and the labels."""

    @property
    def changed(self) -> bool:
        """Whether the change is significant and large enough to matter."""
        return self.corrected < ALPHA and (self.ks >= MIN_KS or self.beyond >= MIN_BEYOND)

    @property
    def of_some(self) -> bool:
        """Whether only some pictures changed, which its median does not show."""
        return self.changed and self.ks < MIN_KS

    @property
    def way(self) -> str:
        """`lower`, `higher`, or `distributed differently` if the median is the same."""
        if f"{self.median:.2g}" == f"{self.reference_median:.2g}":
            return "distributed differently"
        return "lower" if self.median < self.reference_median else "higher"

    @property
    def words(self) -> str:
        """`Confidence is lower than in the reference: median 0.41 against 0.83, p < 0.001, 120 against 500 ...`"""
        verdict = f" is {self.way} than in the reference" if self.changed else ": same"
        if self.of_some:
            verdict = f": {percent(self.beyond)} of the pictures are beyond the ends of the reference"
        medians = f"median {self.median:.2g} against {self.reference_median:.2g}"
        counts = f"{self.count:,} against {many(self.reference_count, 'picture')}"
        return f"{NAMES[self.name]}{verdict}: {medians}, {likely(self.corrected)}, {counts}."


@dataclass(frozen=True)
class Labels:
    """The best predictions compared with the reference."""

    count: int
    reference_count: int
    divergence: float
    """Jensen-Shannon, 0 (the same) to 1 (nothing in common), in bits."""
    p: float
    largest: tuple[tuple[str, float, float], ...]
    """(label, share now, share in the reference) of those that changed most."""
    corrected: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether the change is significant and large enough to matter."""
        more = max((now - then for _, now, then in self.largest), default=0.0)
        return self.corrected < ALPHA and (self.divergence >= MIN_JS or more >= MIN_BEYOND)

    @property
    def words(self) -> str:
        """`The labels differ from the reference: bus 3 % against 41 %, ...`"""
        if not self.changed:
            return f"The labels are those of the reference: {likely(self.corrected)}."
        named = listing([f"{label} {percent(now)} against {percent(then)}" for label, now, then in self.largest])
        return f"The labels differ from the reference: {named}, {likely(self.corrected)}."


@dataclass(frozen=True)
class Drift:
    """A model compared with its reference."""

    model: str
    reference: str
    """Origin of the reference, in words."""
    count: int
    reference_count: int
    since: datetime | None
    """Times of the first and the last observation."""
    until: datetime | None
    numbers: tuple[Shift, ...]
    """Numbers with enough pictures, most changed first."""
    labels: Labels | None
    """None if there are too few, or the model has no labels."""
    notes: tuple[str, ...] = ()
    """Sentences on what could not be compared."""

    @property
    def enough(self) -> bool:
        return bool(self.numbers) or self.labels is not None

    @property
    def changed(self) -> bool:
        return any(one.changed for one in self.numbers) or (self.labels is not None and self.labels.changed)

    @property
    def headline(self) -> str:
        """`3 of 10 measures changed, most: confidence`."""
        changed = [NAMES[one.name].lower() for one in self.numbers if one.changed]
        changed += ["predictions"] if self.labels is not None and self.labels.changed else []
        every = len(self.numbers) + (self.labels is not None)
        if not changed:
            return f"None of {every} measures changed"
        return f"{len(changed)} of {every} measures changed, most: {changed[0]}"

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence for each change, or one that nothing changed or that there are too few pictures."""
        if not self.enough:
            return self.notes
        found = [one.words for one in self.numbers if one.changed]
        found += [self.labels.words] if self.labels is not None and self.labels.changed else []
        if not found:
            counts = f"{self.count:,} against {many(self.reference_count, 'picture')}"
            found = [f"Nothing has changed beyond chance: {counts}."]
        return (*found, *self.notes)


def compare_newest(known: Known, seen: Sequence[Observation]) -> Drift:
    """Compare the newest `NEWEST` of these observations, which are in order of time, with the reference."""
    found = compare(known, seen[-NEWEST:])
    if len(seen) <= NEWEST:
        return found
    return replace(found, notes=(f"Now: the newest {NEWEST:,} of {len(seen):,} pictures.", *found.notes))


def compare(known: Known, now: Sequence[Observation]) -> Drift:
    times = sorted(one.time for one in now if one.time is not None)
    notes: list[str] = []
    current = numbers(now, known.way)
    shifts: list[Shift] = []
    for name, then in known.numbers.items():
        values = current.get(name, np.empty(0))
        if min(len(values), len(then)) >= MIN_PICTURES:
            shifts.append(_shift(name, values, then))
    labels = Counter(one.label for one in now if one.label is not None)
    compared = (
        _labels(labels, known.labels) if min(labels.total(), sum(known.labels.values())) >= MIN_PICTURES else None
    )
    if not shifts and compared is None:
        notes.append(
            f"There are too few pictures to compare: {len(now):,} against {known.count:,} in the "
            f"reference, and {MIN_PICTURES} of each are needed."
        )
    elif others := sum(1 for one in now if one.way and one.way != known.way):
        notes.append(
            f"{many(others, 'map')} of {len(now):,} {'was' if others == 1 else 'were'} made in another way than the "
            f"reference's ({known.way}): the numbers of maps leave {'it' if others == 1 else 'them'} out."
        )
    ps = [one.p for one in shifts] + ([compared.p] if compared else [])
    corrected = holm(ps)
    shifts = [replace(one, corrected=p) for one, p in zip(shifts, corrected, strict=False)]
    compared = replace(compared, corrected=corrected[-1]) if compared else None
    return Drift(
        model=known.model,
        reference=known.name,
        count=len(now),
        reference_count=known.count,
        since=times[0] if times else None,
        until=times[-1] if times else None,
        numbers=tuple(sorted(shifts, key=lambda one: (not one.changed, -one.ks))),
        labels=compared,
        notes=tuple(notes),
    )


def _shift(name: str, now: Values, then: Values) -> Shift:
    from scipy.stats import ks_2samp

    # The exact probability is slow for many values, and assumes no ties.
    found = ks_2samp(now, then, method="asymp")
    p, beyond = compare_ends(now, then)
    return Shift(
        name=name,
        count=len(now),
        reference_count=len(then),
        median=float(np.median(now)),
        reference_median=float(np.median(then)),
        ks=float(found.statistic),
        # Bonferroni's correction of two tests.
        p=min(1.0, 2 * min(float(found.pvalue), p)),
        psi=psi(now, then),
        beyond=beyond,
    )


def compare_ends(now: Values, then: Values) -> tuple[float, float]:
    """Return how probable it is by chance that so many values are beyond the reference's ends, and their share.

    Exact whatever the distribution: of the pooled values up to the last that is beyond, few are the reference's. Both
    ends count, with Bonferroni's correction.
    """
    from scipy.stats import hypergeom

    ordered, end = np.sort(then), max(1, round(END * len(then)))
    counts = int((now < ordered[end - 1]).sum()), int((now > ordered[-end]).sum())
    most = max(counts)
    p = float(hypergeom.cdf(end - 1, len(then) + len(now), len(then), most + end - 1)) if most else 1.0
    return min(1.0, 2 * p), most / len(now)


def psi(now: Values, then: Values) -> float:
    """Return the population stability index over the reference's deciles; half a picture is added to each, so that an
    empty one does not make it infinite."""
    edges = np.unique(np.quantile(then, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for values in (now, then):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def _labels(now: Mapping[str, int], then: Mapping[str, int]) -> Labels:
    names = sorted({*now, *then})
    counts = np.array([[now.get(name, 0), then.get(name, 0)] for name in names], np.int64)  # (labels, 2)
    found = float(divergence(counts[None, :, 0], counts[None, :, 1])[0])
    # Permutation test: draw the labels at random from both together.
    drawn = np.random.default_rng(0).multivariate_hypergeometric(counts.sum(1), int(counts[:, 0].sum()), size=DRAWS)
    by_chance = divergence(drawn, counts.sum(1) - drawn)
    shares = counts / counts.sum(0)
    most = np.argsort(-abs(shares[:, 0] - shares[:, 1]), kind="stable")[:3]
    return Labels(
        count=int(counts[:, 0].sum()),
        reference_count=int(counts[:, 1].sum()),
        divergence=found,
        p=min(1.0, 2 * min(float((1 + np.count_nonzero(by_chance >= found - 1e-12)) / (1 + DRAWS)), _more(counts))),
        largest=tuple(
            (names[i], float(shares[i, 0]), float(shares[i, 1])) for i in most if shares[i, 0] != shares[i, 1]
        ),
    )


def _more(counts: NDArray[np.int64]) -> float:
    """Return how probable it is by chance that some label became so much more frequent; `counts` (labels, now and
    then). Rare labels, which cannot tell anything, take no part in the correction."""
    from scipy.stats import hypergeom

    often = counts[counts.sum(1) >= MIN_COUNT]
    now, total = int(counts[:, 0].sum()), int(counts.sum())
    ps = hypergeom.sf(often[:, 0] - 1, total, often.sum(1), now)
    return min(1.0, float(ps.min()) * len(ps)) if len(ps) else 1.0


def divergence(a: NDArray[np.integer], b: NDArray[np.integer]) -> Values:
    """Return the Jensen-Shannon divergence in bits between rows of counts, (n, labels) each; (n,)."""
    from scipy.special import rel_entr

    p, q = a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)
    middle = (p + q) / 2
    total: Values = (rel_entr(p, middle) + rel_entr(q, middle)).sum(1) / np.log(4)
    return np.asarray(np.clip(total, 0, 1))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons after Holm (doi:10.2307/4615733)."""
    order = np.argsort(ps, kind="stable")
    found, highest = [1.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = highest
    return found


def likely(p: float) -> str:
    """`p < 0.001`, `p = 0.034`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
