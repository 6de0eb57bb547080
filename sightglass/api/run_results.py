"""Response schemas of runs with labels: evaluation, errors, scorecard."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from sightglass.api.results import Answer, Number


class ListedRun(Answer):
    id: str
    written: datetime = Field(description="When its evaluation was written, in UTC.")


class Runs(Answer):
    runs: list[ListedRun] = Field(description="The newest first.")


class ScoreInterval(Answer):
    value: Number
    low: Number = Field(description="Lower end of its 95 % interval.")
    high: Number = Field(description="Upper end of its 95 % interval.")


class RunEvaluation(Answer):
    id: str
    headline: str
    model: str
    task: Literal["detect", "classify", "segment"]
    pictures: int = Field(description="Pictures with labels.")
    objects: int = Field(description="Labelled objects; 0 of a classifier; of a segmentation the counted pixels.")
    right: int = Field(
        description="Objects with a right box at the threshold, pictures with a right answer, or pixels of the right "
        "class."
    )
    threshold: float
    scores: dict[str, ScoreInterval] = Field(
        description="`ap` and `ap50`, `accuracy` and `top5`, or `mean_iou` and `pixel_accuracy`; 0 to 1."
    )
    by_class: dict[str, ScoreInterval] = Field(
        description="AP, the share that is right, or IoU, of each labelled class."
    )
    by_size: dict[str, Number] = Field(description="AP of small, medium and large objects.")
    errors: dict[str, int] = Field(description="Number of each type; none of a classifier.")
    unknown: list[str] = Field(description="Labels for which the model has no class.")
    problems: list[tuple[str, str]] = Field(description="Pictures whose mask is missing or cannot be used, and why.")


class ErrorKind(Answer):
    id: str
    name: str
    meaning: str
    count: int


class RunErrors(Answer):
    id: str
    headline: str
    counts: str
    types: list[ErrorKind]
    total: int = Field(description="Of all errors.")
    errors: list[dict[str, bool | int | float | str | None]] = Field(
        description="At most `limit` of them, the surest wrong answers first."
    )


class BestThreshold(Answer):
    score: Number = Field(description="The one with the highest F1 on these pictures.")
    f1: Number
    precision: Number
    recall: Number


class MeasuredSpeed(Answer):
    """Milliseconds of one picture."""

    p25: Number
    p50: Number
    p75: Number
    p95: Number


class ScoredModel(Answer):
    model: str
    run: str | None = Field(description="The id of its run.")
    task: Literal["detect", "classify"]
    pictures: int
    objects: int = Field(description="Labelled objects, or pictures of a classifier.")
    found: int = Field(description="Objects with a right box at its threshold, or pictures with a right answer.")
    ap: ScoreInterval | None = Field(default=None, description="Of a detector, 0 to 1.")
    accuracy: ScoreInterval | None = Field(default=None, description="Of a classifier, 0 to 1.")
    efficient: bool = Field(description="Whether no other model is both faster and better.")
    speed_ms: MeasuredSpeed | None = Field(description="null if it was not measured.")
    parameters: int | None
    memory_bytes: int | None
    file_bytes: int | None
    unknown_labels: list[str] = Field(description="Labels for which the model has no class.")
    top5: ScoreInterval | None = Field(default=None, description="Of a classifier.")
    ap50: ScoreInterval | None = Field(default=None, description="This and what follows: of a detector.")
    ap_by_class: dict[str, ScoreInterval] | None = None
    ap_by_size: dict[str, Number] | None = None
    threshold: BestThreshold | None = None


class ComparedModels(Answer):
    kind: Literal["ship", "do not ship", "cannot be told"]
    sentences: list[str]
    more_pictures: int | None = Field(description="How many more would settle it; null if settled or too many.")
    model: str
    beside: str
    gap: ScoreInterval = Field(description="The larger model's score less the other's.")


class ComparedRuns(Answer):
    verdict: str = Field(description="Empty for a single run.")
    against: str = Field(description="The model that the others are to replace.")
    tolerance: float = Field(description="AP or accuracy that may be lost, 0 to 1.")
    models: list[ScoredModel]
    pairs: list[ComparedModels]
    problems: list[str]
    left_out: list[str] = Field(description="Sentences on pictures that do not count.")
