"""Write a scorecard as JSON, CSV and Parquet."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sightglass.common.files import jsonable
from sightglass.evaluation import tables
from sightglass.evaluation.scorecard.pairs import SETS, ModelPair, list_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.evaluation.average_precision import Estimate
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.evaluation.scorecard.rows import ModelScore


def to_json(card: Scorecard, *, problems: Sequence[str] = (), left_out: Sequence[str] = ()) -> Json:
    """Return all numbers of a scorecard as plain values; nan is None.

    `problems`: sentences on labels that could not be used; `left_out`: on pictures that do not count.
    """
    told: Json = jsonable(
        {
            "verdict": card.words,
            "against": card.largest.model,
            "tolerance": card.tolerance,
            "models": [_row(row, efficient=card.is_efficient(row)) for row in card.rows],
            "pairs": [
                {"kind": one.kind, "sentences": one.sentences, "more_pictures": one.more_pictures, **_pair(one.pair)}
                for one in card.verdicts
            ],
            "problems": [*problems],
            "left_out": [*left_out],
        }
    )
    return told


def list_objects(card: Scorecard) -> list[dict[str, Any]]:
    """Return a row for each labelled object, or picture of a classifier, with a column of right or wrong a model."""
    first = card.largest
    rows = []
    for i, unit in enumerate(list_units(first.evaluation)):
        picture = first.evaluation.pictures[unit.picture]
        box = unit.truth.box if unit.truth is not None else (None,) * 4
        rows.append(
            {
                "picture": picture.key,
                "label": unit.label,
                **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)),
                **{row.model: bool(row.right[i]) for row in card.rows},
            }
        )
    return rows


def write_csv(card: Scorecard) -> bytes:
    """Return `list_objects` as CSV."""
    return tables.write_csv(list_objects(card))


def to_parquet(card: Scorecard) -> bytes:
    """Return `list_objects` as a Parquet file."""
    return tables.write_parquet(list_objects(card))


def _row(row: ModelScore, *, efficient: bool) -> Json:
    evaluation, scores = row.evaluation, row.detection
    found: Json = {
        "model": row.model,
        "run": None if evaluation.source is None else evaluation.source.name,
        "task": evaluation.task,
        "pictures": len(evaluation.pictures),
        "objects": len(row.right),
        "found": row.found,
        row.measure.lower(): asdict(row.score),
        "efficient": efficient,
        "calibration_error": asdict(row.calibration.error),
        "speed_ms": None if row.speed is None else asdict(row.speed),
        **asdict(row.facts),
        "unknown_labels": list(evaluation.unknown),
    }
    if row.top5 is not None:
        found["top5"] = asdict(row.top5)
    if scores is not None and row.threshold is not None:
        found |= {
            "ap50": asdict(scores.ap50),
            "ap_by_class": {name: asdict(one) for name, one in scores.by_class.items()},
            "ap_by_size": dict(scores.by_size),
            "threshold": asdict(row.threshold),
            "errors": {kind: {"count": count, "cost": row.costs[kind]} for kind, count in row.counts.items()},
        }
    return found


def _pair(pair: ModelPair) -> Json:
    place = pair.same_place
    return {
        "model": pair.first.model,
        "beside": pair.second.model,
        "gap": asdict(pair.gap),
        "sets": {name: len(pair.sets[name]) for name in SETS},
        "same_answers": pair.same_answers,
        "same_place": None
        if place is None
        else {
            "objects": len(place.overlaps),
            "median_overlap": place.median,
            "floor": place.floor,
            "share": _estimate(place.share),
            "itself": place.itself,
        },
        "slices": [
            {
                "kind": one.kind,
                "name": one.name,
                "objects": len(one.units),
                "right": one.first,
                "right_beside": one.second,
                "negative_flips": one.negative,
                "gap": asdict(one.gap),
                "real": one.real,
            }
            for one in pair.slices
        ],
    }


def _estimate(one: Estimate | None) -> Json | None:
    return None if one is None else asdict(one)
