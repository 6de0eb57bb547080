"""How often the classes of pictures are right, and how far their scores say so."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from sightglass.evaluation.intervals import (
    Estimate,
    Metrics,
    average_classes,
    count_answers,
    estimate,
    estimate_share,
    redraw,
)
from sightglass.evaluation.stored import Evaluation

TOP = 5
"""Answers of a classifier among which the true class counts for `top5`."""
BINS = 10
"""Ranges of scores, all of one width."""
LEAST_PICTURES = 20
"""Fewest pictures with an interval of the calibration: what fewer have in ten ranges varies too much."""


def find_bin(score: float) -> int:
    """Return the range that a score is in; 1 is in the last."""
    return min(max(int(score * BINS), 0), BINS - 1)


def measure(evaluation: Evaluation, right: NDArray[np.bool_]) -> Metrics:
    """Return the share of right pictures, of all, of each class, and with each class counted alike, and calibration.

    `right`: (pictures,).
    """
    pictures = len(right)
    draws = redraw(pictures)
    scores = {"accuracy": estimate_share(int(right.sum()), pictures)}
    # Of no more classes the true one is always among them.
    if len(evaluation.classes) > TOP:
        scores["top5"] = _count_among_best(evaluation)
    truths = np.array([str(picture.truth) for picture in evaluation.pictures], object)
    scores["balanced_accuracy"] = _balance(truths, right, draws)
    scores["calibration_error"] = _measure_calibration(evaluation, right, draws)
    counts, totals = Counter(truths[right]), Counter(truths)
    by_class = {name: estimate_share(counts[name], totals[name]) for name in sorted(totals)}
    return Metrics(scores, draws @ right / max(pictures, 1), by_class)


def _count_among_best(evaluation: Evaluation) -> Estimate:
    best = [[answer.label for answer in picture.predictions[:TOP]] for picture in evaluation.pictures]
    among = [picture.truth in labels for picture, labels in zip(evaluation.pictures, best, strict=True)]
    return estimate_share(sum(among), len(among))


def _balance(truths: NDArray[np.object_], right: NDArray[np.bool_], draws: NDArray[np.int32]) -> Estimate:
    """Return the mean of the classes' shares of right pictures; of a drawn set, of the classes that are in it."""
    names, place = np.unique(truths, return_inverse=True)
    of_class = np.eye(len(names))[place].reshape(len(truths), len(names))
    # The pictures as they are, then the redrawn sets.
    counted = np.concatenate([np.ones((1, len(truths)), np.int32), draws])
    with np.errstate(invalid="ignore"):
        shares = (counted @ (of_class * right[:, None])) / (counted @ of_class)
    means = average_classes(shares.T)
    return estimate(means[0], means[1:], len(truths), most=count_answers(np.bincount(place)))


def _measure_calibration(evaluation: Evaluation, right: NDArray[np.bool_], draws: NDArray[np.int32]) -> Estimate:
    """Return the expected calibration error (Guo et al. 2017, arXiv 1706.04599) with ranges of one width.

    It is by how much the mean score of a range is off the share of right answers in it, weighted by its pictures.
    """
    best = [picture.predictions[0].score if picture.predictions else 0.0 for picture in evaluation.pictures]
    gaps = np.zeros((len(right), BINS))
    gaps[np.arange(len(right)), [find_bin(score) for score in best]] = np.array(best) - right
    counted = np.concatenate([np.ones((1, len(right)), np.int32), draws])
    errors = np.abs(counted @ gaps).sum(1) / max(len(right), 1)
    return estimate(errors[0], errors[1:], len(right), least=LEAST_PICTURES)
