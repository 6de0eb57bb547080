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


class CountedErrors(Answer):
    count: int
    cost: float = Field(description="By how much AP50 would rise if all of the type were mended, 0 to 1.")


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
    errors: dict[str, CountedErrors] = Field(description="By type; none of a classifier.")
    missed: dict[str, int] = Field(description="Objects without a right box, by the reason.")
    consequence: str = Field(description="What a lower threshold would change; may be empty.")
    unknown: list[str] = Field(description="Labels for which the model has no class.")
    problems: list[tuple[str, str]] = Field(description="Pictures whose mask is missing or cannot be used, and why.")


class ErrorKind(Answer):
    id: str
    name: str
    meaning: str
    count: int
    cost: Number = Field(description="By how much AP50 would rise without these, 0 to 1; null if not measured.")


class ErrorSlice(Answer):
    attribute: str
    group: str
    sentence: str
    count: int = Field(description="Labelled objects or pictures in it.")
    wrong: int
    rate: ScoreInterval = Field(description="Share that is wrong.")
    rest: ScoreInterval = Field(description="The same of all others.")
    difference: ScoreInterval
    p: Number = Field(description="Of so large a difference by chance, corrected for all groups.")
    same_as: str | None = Field(description="A sentence, where most of its errors are those of a stronger group.")


class ErrorSlices(Answer):
    sentence: str
    found: list[ErrorSlice] = Field(description="Groups with more errors than the rest, the strongest first.")


class SimilarMaps(Answer):
    sentence: str
    answers: int


class SuspectedLabel(Answer):
    picture: str
    kind: str
    words: str


class LabelDoubts(Answer):
    sentence: str = Field(description="How the headline number changes without the suspects.")
    suspects: list[SuspectedLabel] = Field(description="Labels that are likely wrong, the likeliest first.")


class RunErrors(Answer):
    id: str
    headline: str
    counts: str
    types: list[ErrorKind]
    reasons: list[ErrorKind] = Field(description="Why objects have no right box; none of a classifier.")
    slices: ErrorSlices
    maps: list[SimilarMaps] = Field(description="Wrong answers whose maps are alike.")
    labels: LabelDoubts
    total: int = Field(description="Of all errors.")
    errors: list[dict[str, bool | int | float | str | None]] = Field(
        description="At most `limit` of them, those to look at first before the others."
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
    calibration_error: ScoreInterval
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
    errors: dict[str, CountedErrors] | None = None


class SharedPlace(Answer):
    objects: int = Field(description="Objects that both find and that have a map of each.")
    median_overlap: Number
    floor: Number = Field(description="Overlap from which two maps show the same place.")
    share: ScoreInterval | None = Field(description="Of objects where both look at the same place.")
    itself: Number = Field(description="The same share of the larger model beside itself, pictures moved.")


class LostSlice(Answer):
    kind: str
    name: str
    objects: int
    right: int
    right_beside: int
    negative_flips: int = Field(description="Right by the larger model and wrong by the other.")
    gap: ScoreInterval
    real: bool = Field(description="Whether it is no chance, all parts taken together.")


class ComparedModels(Answer):
    kind: Literal["ship", "ship where", "do not ship", "cannot be told"]
    sentences: list[str]
    more_pictures: int | None = Field(description="How many more would settle it; null if settled or too many.")
    model: str
    beside: str
    gap: ScoreInterval = Field(description="The larger model's score less the other's.")
    sets: dict[str, int] = Field(description="Objects that are right by both, only one, or neither.")
    same_answers: Number
    same_place: SharedPlace | None
    slices: list[LostSlice]


class ComparedRuns(Answer):
    verdict: str = Field(description="Empty for a single run.")
    against: str = Field(description="The model that the others are to replace.")
    tolerance: float = Field(description="AP or accuracy that may be lost, 0 to 1.")
    models: list[ScoredModel]
    pairs: list[ComparedModels]
    problems: list[str]
    left_out: list[str] = Field(description="Sentences on pictures that do not count.")
