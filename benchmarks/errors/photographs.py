"""Analyse real detectors on labelled photographs: YOLO11n, YOLO26n, YOLOX nano."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors.sets import evaluate_pictures
from benchmarks.report import Row, grid
from sightglass.evaluation import average_precision, calibration, clusters, label_errors, stored
from sightglass.evaluation.errors.report import ErrorReport
from sightglass.evaluation.ground_truth import GroundTruth, TrueBox
from sightglass.explain import Explainer
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.evaluation.average_precision import Estimate

MODELS = ("yolo11n", "yolo26n", "yolox_nano")
LABELS = "images/labels.json"
"""Below a folder of SIGHTGLASS_WEIGHTS: by file, `objects` with `label` and `box_xyxy` in pixels."""


def find_labels() -> Path | None:
    """Return the file with the labels; None where it is not there."""
    return next((path for folder in weights.folders() if (path := folder / LABELS).is_file()), None)


def measure() -> list[Row]:
    """Return what is found of each model; nothing without the photographs."""
    if (path := find_labels()) is None:
        return []
    given = json.loads(path.read_text(encoding="utf-8"))
    truth = GroundTruth(
        {
            file: tuple(TrueBox(each["label"], tuple(each["box_xyxy"])) for each in one["objects"])
            for file, one in given.items()
            if one.get("objects") and all("box_xyxy" in each for each in one["objects"])
        }
    )
    return [_measure_model(model, path.parent, truth) for model in MODELS]


def _measure_model(model: str, folder: Path, truth: GroundTruth) -> Row:
    with tempfile.TemporaryDirectory() as into:
        evaluate_pictures(Explainer(model, device="cpu"), folder, {Path(into): truth})
        evaluation = stored.load(Path(into))
    scores = average_precision.measure(evaluation.truths, evaluation.found)
    check = label_errors.check_labels(evaluation)
    report = ErrorReport(evaluation)
    return {
        "model": evaluation.name or model,
        "pictures": scores.pictures,
        "objects": scores.objects,
        "ap": vars(scores.ap),
        "ap50": vars(scores.ap50),
        "found": scores.objects - len(report.misses),
        "errors": {one.id: one.count for one in report.types},
        "reasons": {one.id: one.count for one in report.reasons},
        "calibration": calibration.measure(evaluation).sentence,
        "likely": [
            f"{one.kind}: {one.predicted.label if one.predicted else '?'} ({one.score:.0%}) in "
            f"{evaluation.pictures[one.picture].key}"
            for one in check.likely
        ],
        "change": label_errors.compare_headline(evaluation, check.likely, scores.ap50).sentence,
        "slices": report.slices.sentence,
        "groups": len(report.slices.found) + len(report.slices.others),
        "maps": sum(1 for _ in clusters.list_wrong_answers(evaluation)),
        "clusters": len(report.clusters),
    }


def markdown(rows: list[Row]) -> list[str]:
    """Return the part of the report."""
    if not rows:
        return ["The photographs and weights are not here: SIGHTGLASS_WEIGHTS names no folder with them."]
    first = rows[0]
    table = [
        (
            row["model"],
            _range(row["ap"]),
            _range(row["ap50"]),
            f"{row['found']} of {row['objects']}",
            ", ".join(f"{kind} {count}" for kind, count in row["errors"].items() if count) or "none",
            ", ".join(f"{kind} {count}" for kind, count in row["reasons"].items()) or "–",
            "; ".join(row["likely"]) or "none",
        )
        for row in rows
    ]
    head = ("model", "AP", "AP50", "found at 25 %", "wrong boxes and misses", "why missed", "likely label errors")
    return [
        f"{first['pictures']} photographs of COCO's training set with {first['objects']} labelled objects; the models "
        "were trained on that set, so accuracy is optimistic.",
        grid(head, table),
        "\n".join(f"- {line}" for row in rows for line in _tell(row)),
        f"Of {first['pictures']} pictures, which model is better cannot be told where the intervals of AP overlap. Nor "
        "can calibration, where errors are more frequent, or groups of maps of wrong answers: each needs more answers "
        "than there are, and says so.",
    ]


def _tell(row: Row) -> Iterator[str]:
    yield f"{row['model']}: {row['calibration']} {row['slices']} {row['change']}"
    if not row["clusters"]:
        yield f"{row['model']}: {row['maps']} wrong boxes have a map, too few to group."


def _range(of: dict[str, float] | Estimate) -> str:
    values = of if isinstance(of, dict) else vars(of)
    return f"{values['value']:.2f} [{values['low']:.2f}, {values['high']:.2f}]"
