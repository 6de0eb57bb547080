"""Decisions on simulated evaluations: what was planted, and never "ship" above the tolerance."""

import json
import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.decision import Decision, decide, keep_common, list_objects, score, score_runs
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation, EvaluationFacts
from sightglass.explain.phrases import NBSP, plural
from sightglass.models.adapter import Prediction

SEEDS = range(40)
CLASSES = ("cat", "dog")
TOLERANCE = 0.02


def classify(name: str, right: np.ndarray, labels: np.ndarray) -> Evaluation:
    """A classifier that is right where it is said to be."""
    answers = np.where(right, labels, 1 - labels).tolist()
    pictures = [
        EvaluatedPicture(f"{i:04}.jpg", (64, 64), (), CLASSES[label], (Prediction(CLASSES[answer], answer, 0.8),))
        for i, (label, answer) in enumerate(zip(labels, answers, strict=True))
    ]
    return Evaluation(name, "", "classify", CLASSES, 0.0, pictures=tuple(pictures))


def detect(name: str, right: np.ndarray, sides: np.ndarray) -> Evaluation:
    """A detector that finds those of two objects a picture that it is said to find."""
    pictures = []
    for i, (hits, edges) in enumerate(zip(right, sides, strict=True)):
        boxes = [(10.0 + 200 * n, 10.0, 10.0 + 200 * n + edge, 10.0 + edge) for n, edge in enumerate(edges)]
        truths = tuple(TrueBox("cat", box) for box in boxes)
        predictions = tuple(Prediction("cat", 0, 0.9, box) for box, hit in zip(boxes, hits, strict=True) if hit)
        pictures.append(EvaluatedPicture(f"{i:04}.jpg", (400, 400), truths, None, predictions))
    return Evaluation(name, "", "detect", CLASSES, 0.25, pictures=tuple(pictures))


def compare(small: Evaluation, large: Evaluation) -> Decision:
    return decide([score(small), score(large)], against="large", tolerance=TOLERANCE)


def classifiers(seed: int, gap: float, count: int = 200) -> Decision:
    """Two classifiers of which the large one is right in 9 of 10, and the small one in less by a gap."""
    rng = np.random.default_rng(seed)
    labels, luck = rng.integers(0, 2, count), rng.random(count)
    flips = rng.random(count) < 0.03
    large = luck < 0.9
    small = (luck < 0.9 - gap) ^ (flips & (rng.random(count) < 0.5))
    return compare(classify("small", small, labels), classify("large", large, labels))


def detectors(seed: int, gap: float, count: int = 100) -> Decision:
    """Two detectors of which the small one finds less by a gap."""
    rng = np.random.default_rng(seed)
    sides = rng.choice([20.0, 120.0], (count, 2))
    luck = rng.random((count, 2))
    return compare(detect("small", luck < 0.95 - gap, sides), detect("large", luck < 0.95, sides))


@pytest.mark.parametrize("seed", SEEDS)
def test_intolerable_loss_is_not_shipped(seed: int) -> None:
    for card in (classifiers(seed, 0.06), classifiers(seed, 0.06, count=20), detectors(seed, 0.15)):
        assert card.verdict in ("do not ship", "cannot be told") and "good enough" not in card.headline


def test_equal_model_ships_with_enough_pictures() -> None:
    rng = np.random.default_rng(1)
    labels, right = rng.integers(0, 2, 400), rng.random(400) < 0.9
    for count, kind in ((40, "cannot be told"), (400, "ship")):
        card = compare(*(classify(name, right[:count], labels[:count]) for name in ("small", "large")))
        assert card.verdict == kind, card.words
    # Of too few nothing is decided, though all differ.
    for n, kind in ((1, "cannot be told"), (5, "cannot be told"), (6, "do not ship")):
        card = compare(*(classify(name, np.full(n, name == "large"), labels[:n]) for name in ("small", "large")))
        # What is too little for an interval does not say how many more would decide.
        assert card.verdict == kind and card.more_pictures is None and "would decide" not in card.words
        assert card.gaps["small"].has_interval == (n == 6)
        assert (card.headline == f"Cannot be told from {plural(n, 'picture')}") == (n < 6)
    # A picture without labels is none of them.
    boxes = (detect(name, [[name == "large"]] * 5, [[99.0]] * 5) for name in ("small", "large"))
    empty = EvaluatedPicture("z", (9, 9))
    beside_empty = compare(*(replace(row, pictures=(*row.pictures, empty)) for row in boxes))
    assert beside_empty.headline == "Cannot be told from 5 pictures"
    same = classify("small", right[:40], labels[:40])
    assert "as many points (" in compare(same, replace(same, model="large", name="large")).comparison
    with pytest.raises(Problem, match="No labelled object counts for small"):
        compare(*(replace(row.evaluation, pictures=(EvaluatedPicture("a", (9, 9)),)) for row in detectors(0, 0).rows))


def test_more_pictures_than_are_said_would_settle_it() -> None:
    card = classifiers(0, 0.05, count=100)
    assert card.verdict == "cannot be told", card.words
    more = card.more_pictures
    assert more is not None and "would decide" in card.words
    # The same pictures as often as is said: then it is settled.
    times = (100 + more) // 100 + 1
    many = (replace(row.evaluation, pictures=row.evaluation.pictures * times) for row in card.rows)
    assert compare(*many).verdict in ("ship", "do not ship")


def write_run(folder: Path, evaluation: Evaluation) -> Path:
    """Store an evaluation as a labelled run does."""
    folder.mkdir(parents=True)
    about = EvaluationFacts(*(getattr(evaluation, name) for name in ("model", "name", "task", "classes", "threshold")))
    stored.write(folder / stored.FILE, map(stored.to_row, evaluation.pictures), about)
    return folder


def test_a_detector_that_finds_less_loses_a_class() -> None:
    card = detectors(0, 0.5, count=30)
    small, large = card.rows
    assert card.reference is large and large.score.value > small.score.value + 0.1
    assert card.headline == "small instead of large: loses too much" and card.words.startswith("AP ")
    assert f"(most: cat, {small.right.sum()} of 60 against {large.right.sum()})" in card.words
    assert "Beyond chance: cat" in card.words
    objects = list_objects(card.rows)
    assert len(objects) == 60 and sum(row["large"] for row in objects) == large.right.sum()


def test_exchange_counts_what_is_gained_and_lost() -> None:
    large, small = np.arange(100) >= 20, np.arange(100) % 100 >= 35
    small[:5] = True
    card = compare(*(classify(name, right, np.zeros(100, int)) for name, right in (("small", small), ("large", large))))
    begins = "small is right on 5 that large has wrong, and wrong on 15 that it has right: −10 in all ("
    assert card.exchange.startswith(begins) and card.exchange in card.words
    high, low = map(int, re.findall(r"\(−(\d+) to −?(\d+); 95", card.exchange)[0])
    # Of paired shares, after Bonett and Price, the variance of b - c is (b + c + 2 - (b - c)^2 / n), about.
    half = 1.96 * np.sqrt(5 + 15 + 2 - 10**2 / 100)
    # To whole objects outwards.
    assert low == pytest.approx(10 - half, abs=2) and high == pytest.approx(10 + half, abs=2)
    gap = card.gap(card.reference, card.compared)
    assert (-high, -low) == (math.floor(100 * gap.low), math.ceil(100 * gap.high))
    rarely_worse = compare(
        *(classify(name, np.arange(100) >= n, np.zeros(100, int)) for n, name in ((1, "small"), (0, "large")))
    )
    assert rarely_worse.gaps["small"].high - 0.01 == pytest.approx(1.96 * np.sqrt(1 + 2) / 102, abs=0.005)
    boxed = detectors(0, 0.2, count=30)
    gained, lost = ({(row["picture"], row["x0"]) for row in rows} for rows in boxed.exchanged)
    alone = boxed.compared.right != boxed.reference.right
    assert len(gained) + len(lost) == alone.sum() and len(lost) == (alone & boxed.reference.right).sum()
    assert boxed.limits[:2] == ("30 labelled pictures.", "1 class, each 60 times or more.")


def test_only_common_pictures_are_compared() -> None:
    first, second = (row.evaluation for row in detectors(0, 0.2, count=10).rows)
    common, left = keep_common([first, replace(second, pictures=second.pictures[2:])])
    assert left == 2 and [len(item.pictures) for item in common] == [8, 8]
    with pytest.raises(Problem, match="no picture in common"):
        keep_common([replace(first, pictures=first.pictures[:2]), replace(second, pictures=second.pictures[2:])])
    # A label that is no class of one model counts for none.
    fewer = tuple(
        replace(picture, truths=(picture.truths[0], replace(picture.truths[1], label=""))) for picture in first.pictures
    )
    both, _ = keep_common([replace(first, pictures=fewer, unknown=("star",)), second])
    assert both[0].objects == both[1].objects == both[1].not_counted == 10


def test_stored_runs_give_the_same_scorecard(tmp_path: Path) -> None:
    card = detectors(0, 0.2, count=30)
    small, large = (row.evaluation for row in card.rows)
    for name, evaluation in (("run-s", small), ("run-l", large)):
        write_run(tmp_path / name, evaluation)
    (tmp_path / "no-run").mkdir()
    rows, left = score_runs([tmp_path / "run-s", tmp_path / "run-l"])
    assert left == []
    assert {row.model: row.score for row in rows} == {row.model: row.score for row in card.rows}
    # Runs of one model are told apart by their folders.
    write_run(tmp_path / "again", small)
    rows, _ = score_runs([tmp_path / "again", tmp_path / "run-s"])
    assert [row.model for row in rows] == ["again", "run-s"]
    with pytest.raises(Problem, match="has no evaluation"):
        score_runs([tmp_path / "no-run", tmp_path / "run-s"])


def decide_three(rights: dict[str, Any], labels: np.ndarray, sizes: tuple[int | None, ...] = (1, 2, 3)) -> Decision:
    rows = [score(classify(name, right, labels)) for name, right in rights.items()]
    return decide([replace(row, size=size) for row, size in zip(rows, sizes, strict=True)], tolerance=0.05)


@pytest.mark.parametrize(
    ("wrong", "sizes", "headline"),
    [
        ((10, 10, 10), (1, 2, 3), "Take a: the smallest; at most"),
        ((60, 10, 10), (1, 2, 3), "Take b: the smallest that is certainly good enough; at most"),
        ((60, 60, 10), (1, 2, 3), "Take c; the others lose too much"),
        # As long as a may do, c is not the answer; nor is what is larger than c.
        ((26, 60, 10), (1, 2, 3), "a or c: too close to call"),
        ((26, 12, 10), (1, 3, 2), "Too close to call within"),
        ((10, 10, 10), (None, 2, 3), "Take b: good enough; at most"),
    ],
)
def test_smallest_good_enough_model_is_taken(wrong, sizes, headline):
    rights = {name: np.arange(400) >= count for name, count in zip("abc", wrong, strict=True)}
    rights["c"] = np.roll(rights["c"], 1)
    card = decide_three(rights, np.arange(400) % 2, sizes)
    assert card.headline.startswith(headline), (card.headline, card.gaps)
    bound = re.search(r"at most ([\d.]+) points? worse than (.+) \(95", card.headline)
    if bound and card.first:
        highs = {row.model: card.gap(card.first, row).high for row in card.rows if row is not card.first}
        assert highs[bound[2]] == max(highs.values()) and 0 <= float(bound[1]) - 100 * highs[bound[2]] <= 0.1


def test_intervals_and_tests_are_simultaneous() -> None:
    missed, certain, count = 0, 0, 150
    for seed in range(count):
        rng = np.random.default_rng(seed)
        card = decide_three({name: rng.random(120) < 0.7 for name in "abc"}, rng.integers(0, 2, 120))
        missed += any(not card.gap(*pair).low <= 0 <= card.gap(*pair).high for pair in combinations(card.rows, 2))
        certain += any(change.certain for change in card.choose("a", "b").changes)
    # At most 5 %, and what three standard deviations allow.
    assert missed <= 0.1 * count and certain <= 0.1 * count
    worse = decide_three({"a": np.arange(120) >= 40, "b": [True] * 120, "c": [True] * 120}, np.zeros(120, int))
    assert [(change.label, change.certain) for change in worse.choose("a", "b").losses] == [("cat", True)]


CAT, DOG = ["cat", 0.9, 0, 0, 10, 10], ["dog", 0.9, 0, 0, 10, 10]
# The first cat overlaps most with the second shifted one, which only the second cat can take.
CATS, SHIFTED = [CAT, ["cat", 0.8, 6, 0, 16, 10]], [["cat", 0.9, -3, 0, 7, 10], ["cat", 0.8, 2.8, 0, 12.8, 10]]


@pytest.mark.parametrize(
    ("task", "first", "second", "text", "differs"),
    [
        ("detect", [], [], "100 %", False),
        ("detect", [CAT, DOG], [DOG, ["cat", 0.3, 0, 0, 10, 14]], "100 %", False),
        ("detect", CATS, SHIFTED, "100 %", False),
        *(("detect", [CAT], other, "0 %", True) for other in ([], [DOG], [CAT, DOG], [["cat", 0.9, 0, 0, 10, 21]])),
        ("classify", "cat", "dog", "0 %", True),
        ("segment", "cat", "cat", "100 %", False),
        ("regress", "angle", "angle", "2.5°", None),
        ("embed", None, None, "", None),
    ],
)
def test_what_the_same_answer_is(task: str, first: Any, second: Any, text: str, differs: bool | None) -> None:
    rows = [
        {"predicted": answer, "predicted_score": 2.5 * i, "boxes": json.dumps(answer) if answer else None}
        for i, answer in enumerate((first, second))
    ]
    said, differing = kind_of(task).compare({"a.jpg": (rows[0], rows[1])}, "°")
    assert said.replace(NBSP, " ") == text
    assert differing == {True: {"a.jpg"}, False: set(), None: None}[differs]
