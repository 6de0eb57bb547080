"""Write a scorecard as JSON, CSV and Parquet, and its models as cells of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sightglass.common.files import jsonable
from sightglass.explain.phrases import count, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.evaluation.scorecard.card import ModelScore, Scorecard

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
    "ms": "Milliseconds of one picture, from its pixels to the answers: the median, measured one at a time.",
    "ms, 95 %": "19 of 20 pictures take no longer.",
    "Parameters": "Numbers that were trained.",
    "Memory": "Of the loaded model, without the picture.",
    "File": "Size of the weights on the disk.",
}
"""What each column of `list_rows` means."""


def to_json(card: Scorecard, *, problems: Sequence[str] = (), left_out: Sequence[str] = ()) -> Json:
    """Return all numbers of a scorecard as plain values; nan is None.

    `problems`: sentences on labels that could not be used; `left_out`: on pictures that do not count.
    """
    values: Json = jsonable(
        {
            "verdict": card.words,
            "against": card.largest.model,
            "tolerance": card.tolerance,
            "models": [_describe_row(row, efficient=card.is_efficient(row)) for row in card.rows],
            "pairs": [
                {
                    "kind": verdict.kind,
                    "sentences": verdict.sentences,
                    "more_pictures": verdict.more_pictures,
                    "model": verdict.first.model,
                    "beside": verdict.second.model,
                    "gap": asdict(verdict.gap),
                }
                for verdict in card.verdicts
            ],
            "problems": [*problems],
            "left_out": [*left_out],
        }
    )
    return values


def list_objects(card: Scorecard) -> list[dict[str, Any]]:
    """Return a row per labelled object or picture, right or wrong."""
    rows: list[dict[str, Any]] = []
    for picture in card.largest.evaluation.pictures:
        for label, box in card.largest.kind.list_labels(picture):
            judged = {row.model: bool(row.right[len(rows)]) for row in card.rows}
            corners = dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
            rows.append({"picture": picture.key, "label": label, **corners, **judged})
    return rows


def list_rows(card: Scorecard) -> list[dict[str, str]]:
    """Return a row of texts per model, without empty columns."""
    rows: list[dict[str, Any]] = []
    for row in card.rows:
        star = " ★" if card.is_efficient(row) and len(card.rows) > 1 else ""
        speed, facts = row.speed, row.facts
        rows.append(
            {
                "Model": f"{row.model}{star}",
                **_score_cells(row),
                "Right": f"{row.found:,} of {len(row.right):,}",
                "Threshold": NOTHING if row.threshold is None else percent(row.threshold.score),
                "ms": NOTHING if speed is None else _milliseconds(speed.p50),
                "ms, 95 %": NOTHING if speed is None else _milliseconds(speed.p95),
                "Parameters": NOTHING if facts.parameters is None else count(facts.parameters),
                "Memory": NOTHING if facts.memory_bytes is None else quantity(facts.memory_bytes / 1e6, "MB"),
                "File": NOTHING if facts.file_bytes is None else quantity(facts.file_bytes / 1e6, "MB"),
            }
        )
    filled = [name for name in rows[0] if any(row[name] != NOTHING for row in rows)]
    return [{name: row[name] for name in filled} for row in rows]


def _score_cells(row: ModelScore) -> dict[str, str]:
    scores = row.metrics.scores
    if "ap" in scores:
        return {"AP": row.score.points, "95 %": row.score.range, "AP50": scores["ap50"].points}
    return {"Accuracy": row.score.percent, "95 %": row.score.percent_range, "Top 5": scores["top5"].percent}


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _describe_row(row: ModelScore, *, efficient: bool) -> Json:
    evaluation, scores = row.evaluation, row.metrics.scores
    values: Json = {
        "model": row.model,
        "run": None if evaluation.source is None else evaluation.source.name,
        "task": evaluation.task,
        "pictures": len(evaluation.pictures),
        "objects": len(row.right),
        "found": row.found,
        row.measure.lower(): asdict(row.score),
        "efficient": efficient,
        "speed_ms": None if row.speed is None else asdict(row.speed),
        **asdict(row.facts),
        "unknown_labels": list(evaluation.unknown),
    }
    values |= {name: asdict(estimate) for name, estimate in [*scores.items()][1:]}
    if row.threshold is not None:
        values |= {
            "ap_by_class": {name: asdict(estimate) for name, estimate in row.metrics.by_class.items()},
            "threshold": asdict(row.threshold),
        }
    return values
