"""Cluster the maps of wrong answers: what they have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.maps import grouping
from sightglass.explain.phrases import listing, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import Evaluation

NOTHING = "nothing"
"""What a box on no object is about."""


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """One wrong answer that has a map."""

    picture: int
    """Its index among the pictures."""
    found: int
    """Its index in `found` of the picture."""
    truth: str
    """The class of the object that it is about; `NOTHING` of none."""
    answer: str


@dataclass(frozen=True, eq=False)
class MapCluster:
    """Wrong answers whose maps are alike."""

    answers: tuple[WrongAnswer, ...] = field(repr=False)
    share: float
    """Of all wrong answers that have a map."""
    mean: NDArray[np.float32] = field(repr=False)
    """(32, 32), 0..1: the mean map, each map with the same weight, scaled to its maximum."""
    on_object: float
    """Mean share of the evidence on the object; nan where none is about an object."""
    on_others: float
    on_border: float
    pair: tuple[str, str]
    """The most frequent class and answer."""
    pair_count: int

    @property
    def sentence(self) -> str:
        """`34 % of the wrong answers have maps like these, most often rod-cross taken for rod-ring (12 of 20).`

        Another sentence says where their evidence lies, where that was measured.
        """
        truth, answer = self.pair
        # The right class all the same: the box lies badly, or is a second one.
        what = f"{truth} taken for {answer}" if truth != answer else f"misplaced or second boxes of {answer}"
        most = f"most often {what} ({self.pair_count:,} of {len(self.answers):,})"
        told = f"{percent(self.share)} of the wrong answers have maps like these, {most}."
        shares = [
            f"{percent(share)} on the {place}"
            for share, place in ((self.on_object, "object"), (self.on_border, "border"))
            if np.isfinite(share)
        ]
        return f"{told} Of their evidence {listing(shares)}." if shares else told


def find_clusters(evaluation: Evaluation) -> tuple[MapCluster, ...]:
    """Return groups of similar maps of wrong answers, the largest first; none where fewer than `grouping.FEWEST` wrong
    answers have a map."""
    answers = list(list_wrong_answers(evaluation))
    maps = [evaluation.pictures[one.picture].maps[one.found].astype(np.float32) / np.float32(255) for one in answers]
    _, nearest = grouping.find_neighbours(maps)
    if nearest is None:
        return ()
    groups = grouping.group(nearest)
    found = [
        _describe(evaluation, [answers[i] for i in np.flatnonzero(groups == group)], maps, groups == group)
        for group in np.unique(groups)
    ]
    return tuple(sorted(found, key=lambda one: -len(one.answers)))


def list_wrong_answers(evaluation: Evaluation) -> Iterator[WrongAnswer]:
    """Yield the wrong answers that have a map: a detector's boxes at its threshold, a classifier's best answers."""
    if evaluation.task == "classify":
        for number, picture in enumerate(evaluation.pictures):
            if (
                picture.truth is not None
                and picture.found
                and picture.found[0].label != picture.truth
                and 0 in picture.maps
            ):
                yield WrongAnswer(number, 0, picture.truth, picture.found[0].label)
        return
    for number, (picture, matched) in enumerate(zip(evaluation.pictures, evaluation.matched, strict=True)):
        places = {id(one): i for i, one in enumerate(picture.found)}
        for error in matched.errors:
            if error.predicted is not None and (i := places[id(error.predicted)]) in picture.maps:
                yield WrongAnswer(number, i, error.truth.label if error.truth else NOTHING, error.predicted.label)


def _describe(
    evaluation: Evaluation, answers: Sequence[WrongAnswer], maps: Sequence[NDArray[np.float32]], own: NDArray[np.bool_]
) -> MapCluster:
    shares = np.stack([maps[i] for i in np.flatnonzero(own).tolist()])
    shares = shares / np.maximum(shares.sum((1, 2), keepdims=True), 1e-6)
    mean = shares.mean(0)
    found = (evaluation.pictures[one.picture].looks.get(one.found) for one in answers)
    looks = [look for look in found if look is not None]
    pair, count = Counter((one.truth, one.answer) for one in answers).most_common(1)[0]
    return MapCluster(
        tuple(answers),
        len(answers) / len(maps),
        np.asarray(mean / max(float(mean.max()), 1e-12), np.float32),
        _mean([one.on_object for one in looks]),
        _mean([one.on_others for one in looks]),
        _mean([one.on_border for one in looks]),
        pair,
        count,
    )


def _mean(values: Sequence[float]) -> float:
    """Return the mean of those that are numbers, nan of none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
