"""Write a model's errors as JSON, CSV and Parquet."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sightglass.common.files import jsonable
from sightglass.evaluation import tables

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.evaluation.errors.report import ErrorReport
    from sightglass.evaluation.errors.unit import ErrorUnit
    from sightglass.evaluation.slices import Slice


def to_json(report: ErrorReport, *, most: int) -> Json:
    """Return what is said of a model's errors, and at most so many of them, as plain values; nan is None."""
    told: Json = jsonable(
        {
            "headline": report.headline,
            "counts": report.counts,
            "types": [asdict(one) for one in report.types],
            "reasons": [asdict(one) for one in report.reasons] if report.evaluation.task == "detect" else [],
            "slices": {"sentence": report.slices.sentence, "found": [_slice(one) for one in report.slices.found]},
            "maps": [{"sentence": one.sentence, "answers": len(one.answers)} for one in report.clusters],
            "labels": {
                "sentence": report.headline_change.sentence,
                "suspects": [_suspect(one) for one in report.suspects],
            },
            "total": len(report.errors),
            "errors": tables.list_rows(report.errors[[*tables.MEANINGS]].head(most)),
        }
    )
    return told


def write_csv(report: ErrorReport) -> bytes:
    """Return all units, right ones too, as CSV; the columns are `tables.MEANINGS`."""
    return tables.write_csv(tables.list_rows(report.units))


def to_parquet(report: ErrorReport) -> bytes:
    """Return all units, right ones too, as a Parquet file."""
    return tables.write_parquet(tables.list_rows(report.units))


def _slice(one: Slice) -> Json:
    return {
        "attribute": one.attribute,
        "group": one.group,
        "sentence": one.sentence,
        "count": one.count,
        "wrong": one.wrong,
        "rate": asdict(one.rate),
        "rest": asdict(one.rest),
        "difference": asdict(one.difference),
        "p": one.corrected,
        "same_as": one.same_as,
    }


def _suspect(one: ErrorUnit) -> Json:
    return {"picture": one.picture.key, "kind": one.type, "words": one.words}
