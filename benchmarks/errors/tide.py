"""Hold TIDE's error types beside those of tidecv, its authors' own program.

tidecv is no requirement: where it cannot be imported, what was measured before is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Row, grid
from sightglass.evaluation import average_precision, error_types
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.evaluation.error_types import ErrorType
    from sightglass.models.geometry import Box

SETS, PICTURES = 40, 40
NAMES = ("cat", "dog", "bird", "unicorn")
"""Of the last nothing is labelled."""
KINDS: dict[str, ErrorType] = {
    "ClassError": "class",
    "BoxError": "location",
    "OtherError": "both",
    "DuplicateError": "duplicate",
    "BackgroundError": "background",
    "MissedError": "missed",
}
WHY = {
    "no two scores alike": "tidecv reads precision at recalls of k/100, pycocotools and Sightglass at linspace(0, 1, "
    "101): ten of these differ in the last bit. With k/100 here, too, all is equal in 40 of 40",
    "scores in tenths": "of boxes with one score tidecv puts right ones behind wrong ones once it mends, but not "
    "before: its costs contain that change of order. Here the first one given comes first, as for COCO",
    "some labels are crowds": "tidecv types boxes inside a crowd, and mends them; here they are neither right nor "
    "wrong, as for COCO. All other boxes have the same type in 40 of 40",
    "a class without labels": "tidecv counts it with an AP of 0; here, as for COCO, it has none",
}
"""The kinds of sets, and where the two differ on them."""
BEFORE: dict[str, Row] = {
    "no two scores alike": {"counts": 40, "costs": 31, "most": 0.0014},
    "scores in tenths": {"counts": 40, "costs": 0, "most": 0.0544},
    "some labels are crowds": {"counts": 0, "costs": 22, "most": 0.0128},
    "a class without labels": {"counts": 40, "costs": 0, "most": 0.0661},
}
"""Of tidecv 1.0.1."""
Sample = tuple[list[tuple[TrueBox, ...]], list[tuple[Prediction, ...]]]


def measure() -> Row:
    """Return in how many sets of each kind counts and costs are equal, and the largest difference of a cost."""
    try:
        import tidecv  # type: ignore[import-not-found]
    except ImportError:
        return {"by": "tidecv 1.0.1, measured before", "rows": BEFORE}
    return {"by": "tidecv", "rows": {kind: _compare_sets(tidecv, kind) for kind in WHY}}


def _compare_sets(tidecv: Any, kind: str) -> Row:
    counts = costs = 0
    most = 0.0
    for seed in range(SETS):
        truths, found = draw(seed, kind)
        (their_counts, their_costs), (our_counts, our_costs) = run_tidecv(tidecv, truths, found), run(truths, found)
        # tidecv has no cost below 0.
        apart = max(abs(their_costs[name] - max(0.0, our_costs[name])) for name in error_types.MEANINGS)
        counts += their_counts == our_counts
        costs += apart < 1e-9
        most = max(most, apart)
    return {"counts": counts, "costs": costs, "most": most}


def draw(seed: int, kind: str) -> Sample:
    """Return random labels, and boxes on and beside them, of one of the kinds of `WHY`."""
    rng = np.random.default_rng(seed)
    ties, crowds, other = (kind == name for name in list(WHY)[1:])
    truths, found = [], []
    for _ in range(PICTURES):
        every = []
        for _ in range(rng.integers(0, 7)):
            box, name = _draw_box(rng, 300), NAMES[rng.integers(3)]
            every.append(TrueBox(name, box, bool(crowds and rng.random() < 0.15)))
        boxes = [(_pick_name(rng, one.label), _shake(rng, one.box)) for one in every for _ in range(rng.integers(0, 4))]
        boxes += [(NAMES[rng.integers(3)], _draw_box(rng, 400)) for _ in range(rng.integers(0, 3))]
        boxes += [("unicorn", (0.0, 0.0, 50.0, 50.0))] * int(other and rng.random() < 0.3)
        scores = rng.uniform(0.01, 1, len(boxes)).round(1 if ties else 12).tolist()
        answers = [
            Prediction(name, NAMES.index(name), score, box) for (name, box), score in zip(boxes, scores, strict=True)
        ]
        truths.append(tuple(every))
        found.append(tuple(sorted(answers, key=lambda one: -one.score)))
    return truths, found


def _draw_box(rng: np.random.Generator, within: int) -> Box:
    (x, y), (wide, high) = rng.uniform(0, within, 2).tolist(), rng.uniform(20, 120, 2).tolist()
    return x, y, x + wide, y + high


def _pick_name(rng: np.random.Generator, label: str) -> str:
    return label if rng.random() < 0.7 else NAMES[rng.integers(3)]


def _shake(rng: np.random.Generator, box: Box) -> Box:
    wide, high = box[2] - box[0], box[3] - box[1]
    far = rng.choice([0.05, 0.2, 0.5])
    across, down, wider, higher = (rng.normal(0, far, 4) * (wide, high, wide, high)).tolist()
    x, y = box[0] + across, box[1] + down
    return x, y, x + max(4.0, wide + wider), y + max(4.0, high + higher)


def run(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]]
) -> tuple[dict[ErrorType, int], dict[ErrorType, float]]:
    """Return Sightglass's counts and costs by type."""
    matched = error_types.match_boxes(truths, found)
    counts = {kind: sum(error.type == kind for one in matched for error in one.errors) for kind in error_types.MEANINGS}
    matches = error_types.match_columns(average_precision.gather(truths, found))
    return counts, {**error_types.cost_in_ap(matches)}


def run_tidecv(
    tidecv: Any, truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]]
) -> tuple[dict[ErrorType, int], dict[ErrorType, float]]:
    """Return tidecv's counts and costs by type."""
    labels, boxes = (tidecv.Data(name, max_dets=average_precision.MOST) for name in ("labels", "boxes"))
    for number, name in enumerate(NAMES):
        labels.add_class(number, name)
        boxes.add_class(number, name)
    for picture, (every, answers) in enumerate(zip(truths, found, strict=True)):
        labels.add_image(picture, str(picture))
        for one in every:
            add = labels.add_ignore_region if one.crowd else labels.add_ground_truth
            add(picture, NAMES.index(one.label), _to_xywh(one.box))
        for answer in answers:
            assert answer.box is not None
            boxes.add_detection(picture, answer.index, answer.score, _to_xywh(answer.box))
    made = tidecv.TIDE().evaluate(labels, boxes)
    counts = {KINDS[kind.__name__]: count for kind, count in made.count_errors().items()}
    return counts, {KINDS[kind.__name__]: cost / 100 for kind, cost in made.fix_main_errors().items()}


def _to_xywh(box: Box) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def markdown(measured: Row) -> tuple[str, ...]:
    """Return the section of ERRORS.md."""
    rows = measured["rows"]
    return (
        "## The types of errors are TIDE's",
        f"Counts and costs of the six types beside {measured['by']}, on {SETS} random sets of {PICTURES} pictures of "
        "each kind; equal: to 1e-9. Costs are in points of AP50.",
        grid(
            ("random boxes", "counts equal", "costs equal", "costs differ by at most", "why"),
            [
                (kind, f"{one['counts']} of {SETS}", f"{one['costs']} of {SETS}", f"{100 * one['most']:.2f}", WHY[kind])
                for kind, one in rows.items()
            ],
        ),
    )
