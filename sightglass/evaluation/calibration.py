"""Measure calibration: reliability diagram and smooth ECE.

The smooth calibration error (Błasiok and Nakkiran 2023, arXiv 2309.12236) smooths what is missing between score and
truth by a kernel as wide as the error itself, so that no bins have to be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation import intervals
from sightglass.evaluation.average_precision import Estimate
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import Evaluation

    Numbers = NDArray[np.float64]

BINS = 10
DRAWS = 200
"""Times that the pictures are drawn again for an interval."""
FEWEST = 20
"""Answers from which on anything can be told."""
_CELLS = 1000
"""Of the scale of scores, for smoothing."""
_WIDTHS = np.geomspace(1e-3, 1.0, 80)
"""Widths of the kernel that are tried."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of about the same score."""

    low: float
    high: float
    count: int
    score: float
    """Their mean score."""
    right: Estimate
    """The share that is right."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How well scores say how often answers are right."""

    bins: tuple[ReliabilityBin, ...]
    """Of equal width over 0..1, those that have answers, the lowest first."""
    error: Estimate
    """The smooth calibration error, 0..1."""
    score: float
    """Mean over all answers."""
    right: Estimate
    """The share of all answers that is right."""
    count: int
    units: str = field(default="answers")

    @property
    def sentence(self) -> str:
        """`The mean score is 81 %, and 74 % of the boxes are right: scores are too high.`"""
        if self.count < FEWEST:
            return f"Whether scores can be trusted cannot be told from {self.count} {self.units}."
        low, high = self.right.low, self.right.high
        way = "too high" if self.score > high else "too low" if self.score < low else "about right on average"
        share = percent(self.right.value)
        return f"The mean score is {percent(self.score)}, and {share} of the {self.units} are right: scores are {way}."


def measure(evaluation: Evaluation) -> Calibration:
    """Return the calibration of a detector's boxes from its threshold on, right at an IoU of 0.5, or of a classifier's
    best answers. Boxes inside a crowd do not count."""
    scores, right, picture = [], [], []
    if evaluation.task == "detect":
        for number, one in enumerate(evaluation.matched):
            wrong = [error.predicted for error in one.errors if error.predicted is not None]
            scores += [box.score for box in (*one.right, *wrong)]
            right += [True] * len(one.right) + [False] * len(wrong)
            picture += [number] * (len(one.right) + len(wrong))
        return calibrate(np.array(scores), np.array(right, bool), np.array(picture, np.int64), units="boxes")
    for number, each in enumerate(evaluation.pictures):
        if each.truth is not None and each.found:
            scores.append(each.found[0].score)
            right.append(each.found[0].label == each.truth)
            picture.append(number)
    return calibrate(np.array(scores), np.array(right, bool), np.array(picture, np.int64))


def calibrate(
    scores: Numbers,
    right: NDArray[np.bool_],
    picture: NDArray[np.int64] | None = None,
    *,
    units: str = "answers",
    seed: int = 0,
) -> Calibration:
    """Return the calibration of answers, intervals over pictures: `scores` 0..1, `right` and `picture`, (n,) each."""
    if not len(scores):
        nothing = Estimate(float("nan"), 0.0, 1.0)
        return Calibration((), nothing, float("nan"), nothing, 0, units)
    picture = np.arange(len(scores)) if picture is None else np.unique(picture, return_inverse=True)[1]
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        share = _share(right[inside], picture[inside])
        bins.append(
            ReliabilityBin(place / BINS, (place + 1) / BINS, int(inside.sum()), float(scores[inside].mean()), share)
        )
    return Calibration(
        tuple(bins),
        _estimate(scores, right, picture, seed),
        float(scores.mean()),
        _share(right, picture),
        len(scores),
        units,
    )


def smooth_ece(scores: Numbers, right: NDArray[np.bool_]) -> float:
    """Return the smooth calibration error of answers, 0 to 1: scores and right, each (n,)."""
    gaps = np.bincount(_cell(scores), right - scores, _CELLS)[None] / max(1, len(scores))
    return float(_smooth(gaps)[0])


def _cell(scores: Numbers) -> NDArray[np.int64]:
    return np.clip((scores * _CELLS).astype(np.int64), 0, _CELLS - 1)


def _smooth(gaps: Numbers) -> Numbers:
    """Return the error (draws,) where the kernel is as wide as the error; `gaps` (draws, cells): right minus score."""
    from scipy.fft import dct, idct

    waves = dct(gaps, axis=1, norm="ortho")
    errors = np.empty((len(_WIDTHS), len(gaps)))
    for i, width in enumerate(_WIDTHS):
        # A Gaussian that is reflected at 0 and 1 damps each cosine of the interval by itself.
        damped = waves * np.exp(-((np.pi * np.arange(gaps.shape[1]) * width) ** 2) / 2)
        errors[i] = np.abs(idct(damped, axis=1, norm="ortho")).sum(1)
    found = np.empty(len(gaps))
    for draw in range(len(gaps)):
        # The error falls with the width, so they cross once.
        over = errors[:, draw] - _WIDTHS
        last = int(np.argmax(over <= 0)) if (over <= 0).any() else len(_WIDTHS) - 1
        if last == 0:
            found[draw] = errors[0, draw]
            continue
        part = over[last - 1] / max(over[last - 1] - over[last], 1e-12)
        found[draw] = errors[last - 1, draw] + part * (errors[last, draw] - errors[last - 1, draw])
    return found


def _share(right: NDArray[np.bool_], picture: NDArray[np.int64]) -> Estimate:
    return Estimate(*intervals.count_clustered(right, picture))


def _estimate(scores: Numbers, right: NDArray[np.bool_], picture: NDArray[np.int64], seed: int) -> Estimate:
    pictures = int(picture.max()) + 1
    cells, gaps = _cell(scores), right - scores
    once = np.bincount(cells, gaps, _CELLS) / len(scores)
    rng = np.random.default_rng(seed)
    drawn = np.empty((DRAWS, _CELLS))
    for draw in range(DRAWS):
        weights = np.bincount(rng.integers(pictures, size=pictures), minlength=pictures)[picture]
        drawn[draw] = np.bincount(cells, gaps * weights, _CELLS) / max(1, weights.sum())
    value, *others = _smooth(np.concatenate([once[None], drawn]))
    # Drawing again adds chance, which makes the error larger: the basic interval mirrors that.
    high, low = 2 * value - np.percentile(others, [2.5, 97.5])
    return Estimate(float(value), float(np.clip(low, 0, value)), float(np.clip(high, value, 1)))
