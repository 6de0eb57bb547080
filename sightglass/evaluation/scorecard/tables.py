"""Print a scorecard's numbers as cells, for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sightglass.evaluation.error_types import MEANINGS
from sightglass.explain.phrases import count, percent, quantity

if TYPE_CHECKING:
    from sightglass.evaluation.average_precision import Estimate
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.evaluation.scorecard.rows import ModelScore

NOTHING = "–"
HELP: Mapping[str, str] = {
    "Model": "A star: no other model here is both faster and better.",
    "AP": "COCO's average precision in points: the mean over classes and over overlaps (IoU) of 0.5 to 0.95.",
    "AP50": "Average precision in points where an overlap (IoU) of 0.5 is enough.",
    "Accuracy": "How often the best answer is the label.",
    "Top 5": "How often the label is among the best five answers.",
    "95 %": "How the number varies between sets of as many pictures.",
    "Right": "Labelled objects with a right box at the model's own threshold, or pictures answered right.",
    "Threshold": "The score from which on boxes are shown: the one with the highest F1, chosen on these pictures.",
    "Calibration": "How far scores are from the share that is right, in points: smooth calibration error; 0 is best.",
    "ms": "Milliseconds of one picture, from its pixels to the answers: the median, measured one at a time.",
    "ms, 95 %": "19 of 20 pictures take no longer.",
    "Parameters": "Numbers that were trained.",
    "Memory": "Of the loaded model, without the picture.",
    "File": "Size of the weights on the disk.",
    "Same answers": "Of boxes, twice those that both models draw over all of both; of classes, equal best answers.",
    "Same place": "Of what both get right: maps overlap as much as the larger model's own when the picture is moved.",
}
"""What each column means."""
KINDS: Mapping[str, str] = {
    "class": "Class",
    "folder": "Folder",
    "size": "Size",
    "crowding": "Crowding",
}
"""What slices differ in."""


def list_rows(card: Scorecard) -> list[dict[str, str]]:
    """Return a row of texts a model under the columns of `HELP`; columns that are empty for all are left out."""
    pairs = {one.pair.first.model: one.pair for one in card.verdicts}
    rows = []
    for row in card.rows:
        pair = pairs.get(row.model)
        place = pair.same_place if pair is not None else None
        answers = NOTHING if pair is None else percent(pair.same_answers)
        star = " ★" if card.is_efficient(row) and len(card.rows) > 1 else ""
        rows.append(
            {
                "Model": f"{row.model}{star}",
                **_score_cells(row),
                "Right": f"{row.found:,} of {len(row.right):,}",
                "Threshold": NOTHING if row.threshold is None else percent(row.threshold.score),
                "Calibration": points(row.calibration.error.value),
                "ms": NOTHING if row.speed is None else _milliseconds(row.speed.p50),
                "ms, 95 %": NOTHING if row.speed is None else _milliseconds(row.speed.p95),
                "Parameters": NOTHING if row.facts.parameters is None else count(row.facts.parameters),
                "Memory": NOTHING if row.facts.memory_bytes is None else quantity(row.facts.memory_bytes / 1e6, "MB"),
                "File": NOTHING if row.facts.file_bytes is None else quantity(row.facts.file_bytes / 1e6, "MB"),
                "Same answers": answers,
                "Same place": NOTHING
                if place is None or place.share is None
                else f"{percent(place.share.value)} of {len(place.overlaps):,}",
            }
        )
    filled = [name for name in rows[0] if any(row[name] != NOTHING for row in rows)]
    return [{name: row[name] for name in filled} for row in rows]


def list_errors(card: Scorecard) -> list[dict[str, str]]:
    """Return a row for each type of detection error: its count and its cost in AP50 of each model; none of classes."""
    detectors = [row for row in card.rows if row.detects]
    if not detectors:
        return []
    return [
        {"Error": kind, **{row.model: f"{row.counts[kind]} ({100 * row.costs[kind]:+.1f})" for row in detectors}}
        | {"meaning": meaning}
        for kind, meaning in MEANINGS.items()
    ]


def describe_range(one: Estimate, *, signs: bool = False) -> str:
    """Return `58.1 to 63.0`, in points."""
    if one.low != one.low:
        return NOTHING
    return f"{points(one.low, signs=signs)} to {points(one.high, signs=signs)}"


def points(share: float, *, signs: bool = False) -> str:
    """Return a share in points: `62.9`; with `signs` also `+1.0`, always with a true minus sign."""
    if share != share:
        return NOTHING
    rounded = round(100 * share, 1)
    return f"{rounded:{'+' if signs and rounded else ''}.1f}".replace("-0.0", "0.0").replace("-", "−")


def _score_cells(row: ModelScore) -> dict[str, str]:
    if row.detection is not None:
        return {
            "AP": points(row.score.value),
            "95 %": describe_range(row.score),
            "AP50": points(row.detection.ap50.value),
        }
    top5 = NOTHING if row.top5 is None else percent(row.top5.value)
    interval = f"{100 * row.score.low:.0f} to {percent(row.score.high)}"
    return {"Accuracy": percent(row.score.value), "95 %": interval, "Top 5": top5}


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
