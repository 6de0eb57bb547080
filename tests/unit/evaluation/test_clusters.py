"""Clusters of maps of wrong answers: two ways to look wrong are two clusters, with their own facts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightglass.evaluation import clusters
from sightglass.evaluation.evaluation import EvaluatedPicture, Look
from tests.unit.evaluation.labelled_pictures import LEFT, RIGHT, answer, classified, evaluation, picture


def blot(x: int, y: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    rows, columns = np.mgrid[:32, :32]
    x, y = np.array([x, y]) + np.random.default_rng(seed).integers(-1, 2, 2)
    return np.uint8(255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 30))


def looked(one: EvaluatedPicture, at: tuple[int, int], look: Look, seed: int) -> EvaluatedPicture:
    return replace(one, maps={0: blot(*at, seed)}, looks={0: look})


def test_two_ways_to_be_wrong() -> None:
    corner = [looked(classified("dog", 0.9, 0.1, 0), (29, 29), Look(0.1, 0, 0.8), i) for i in range(24)]
    middle = [looked(classified("bird", 0.1, 0.9, 0), (12, 12), Look(0.6, 0, 0.0), i) for i in range(16)]
    right = [looked(classified("cat", 0.9, 0.1, 0), (20, 5), Look(1, 0, 0), i) for i in range(30)]
    found = clusters.find_clusters(evaluation(*corner, *right, *middle))
    assert [(one.pair, len(one.answers), one.pair_count) for one in found] == [
        (("dog", "cat"), 24, 24),
        (("bird", "dog"), 16, 16),
    ]
    assert [one.share for one in found] == pytest.approx([0.6, 0.4])
    assert [one.on_border for one in found] == pytest.approx([0.8, 0])
    assert np.unravel_index(int(found[0].mean.argmax()), (32, 32)) == pytest.approx((29, 29), abs=1)
    assert found[0].sentence.replace("\N{NO-BREAK SPACE}", " ") == (
        "60 % of the wrong answers have maps like these, most often dog taken for cat (24 of 24). "
        "Of their evidence 10 % on the object and 80 % on the border."
    )


def test_of_boxes_only_wrong_ones_with_a_map_count() -> None:
    one = picture([("cat", LEFT)], [answer("dog"), answer("bird", 0.8, RIGHT), answer("cat", 0.7, LEFT)])
    found = list(clusters.list_wrong_answers(evaluation(replace(one, maps={0: blot(5, 5, 0), 2: blot(5, 5, 0)}))))
    assert [(each.picture, each.found, each.truth, each.answer) for each in found] == [(0, 0, "cat", "dog")]
    beside = evaluation(replace(one, maps={1: blot(5, 5, 0)}))
    assert [each.truth for each in clusters.list_wrong_answers(beside)] == [clusters.NOTHING]
    assert clusters.find_clusters(beside) == ()
