"""Kinds of evaluation: by classes, boxes, masks or numbers."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sightglass.common.errors import ModelProblem, Problem
from sightglass.evaluation import boxes as true_boxes
from sightglass.evaluation import ground_truth, masks, stored
from sightglass.evaluation.boxes import RIGHT
from sightglass.evaluation.intervals import Estimate, Metrics, estimate_share, redraw
from sightglass.evaluation.stored import LEAST_CONFIDENCE, EvaluatedPicture, Evaluation
from sightglass.explain.maps.heatmap import cells
from sightglass.explain.phrases import percent, plural, plural_noun, quantity
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import match as match_boxes
from sightglass.models.adapter import Adapter, Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import GroundTruth, RunLabels, TrueBox
    from sightglass.explain.explanation import Explanation
    from sightglass.models.spec import ModelSpec

    Lock = AbstractContextManager[Any]
    Size = tuple[int, int]

MOST_MAPS = 20
"""Boxes of a picture that get a map of their own, the surest first."""
TOP = 5
MATCHED_TYPES = (RIGHT, "class", "misplaced")
"""Types of boxes that decide an object's type, the first of several."""
TYPE_NAMES = {"missed": "Missed", "class": "Wrong class", "misplaced": "Misplaced", "extra": "Extra"}
"""Names of types of errors: a labelled object without a box; a box of the wrong class on an object; one of the right
class that fits badly; a box where nothing is labelled, or a second box of an object."""
NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ar": "AR",
    "accuracy": "right",
    "top5": f"among the {TOP} best",
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "pixel accuracy",
}
"""Names of the headline numbers."""


@dataclass(frozen=True, eq=False, slots=True)
class ErrorUnit:
    """A labelled object, a wrong box, or a classified picture."""

    picture: EvaluatedPicture
    kind: str
    """object, box, or picture."""
    index: int
    """Index of an object among the labels of its picture, or of a box among the answers; 0 for a picture."""
    type: str
    """`right`, or a type of error (`TYPE_NAMES`)."""
    found: int
    """Which of the picture's answers it is about, from 0; -1 for none."""
    truth: TrueBox | None
    """The labelled object; None of a box that is on none, and of a picture without boxes."""

    @property
    def id(self) -> str:
        """Unique in its evaluation, the same in every session."""
        return f"{self.picture.key}#{self.kind}-{self.index}"

    @property
    def wrong(self) -> bool:
        """Whether it is not right."""
        return self.type != "right"

    @property
    def answer(self) -> Prediction | None:
        """The answered box or class; None of a missed object."""
        return self.picture.predictions[self.found] if self.found >= 0 else None

    @property
    def label(self) -> str | None:
        """The labelled class; None of an unlabelled box."""
        return self.picture.truth if self.kind == "picture" else self.truth.label if self.truth else None

    @property
    def predicted(self) -> str | None:
        """The class by the model; None of an object without any box."""
        return self.answer.label if self.answer else None

    @property
    def score(self) -> float | None:
        """Return the answer's score; None without one."""
        return self.answer.score if self.answer else None

    @property
    def about(self) -> str:
        """The class of an error: by its label, else by the model."""
        return self.label or self.predicted or ""

    @property
    def size(self) -> float | None:
        """Square root of the object's or wrong box's area, in pixels."""
        target = self.truth if self.kind == "object" else self.answer
        box = None if target is None else target.box
        if self.kind == "picture" or box is None:
            return None
        return math.sqrt(max(0.0, (box[2] - box[0]) * (box[3] - box[1])))

    @property
    def words(self) -> str:
        """What is wrong, in a few words: `star called gear, 95 %`."""
        label, answer = self.label, self.answer
        if answer is None:
            return f"{label or 'nothing'}, not found"
        score = percent(answer.score)
        if label is None:
            return f"{answer.label} {score}, nothing labelled"
        if answer.label != label:
            return f"{label} called {answer.label}, {score}"
        return f"second {label}, {score}" if self.type == "extra" else f"{label} {score}, fits badly"


Pairs = Mapping[str, "tuple[Json, Json]"]
"""The rows of a picture in the tables of two runs, by the picture."""


class ClassEvaluation:
    """Evaluate one class a picture."""

    task: ClassVar[str] = "classify"
    """As files of evaluations name it."""
    number: ClassVar[str] = "right"
    """What each class has."""
    unit: ClassVar[str] = "labelled picture"
    """What is counted."""
    outcome: ClassVar[str] = ""
    """Under which name the outcome of a picture has what is stored of its labels; empty for nothing."""
    file: ClassVar[str] = stored.FILE
    """File of the evaluation, beside the table of a run."""
    by_folders: ClassVar[bool] = True
    """Whether the folder of a picture can be its label."""
    counts_objects: ClassVar[bool] = False
    """Whether objects with boxes are counted, and not whole pictures or pixels."""
    names_classes: ClassVar[bool] = True
    """Whether labels are names of classes, and no numbers."""
    errors: ClassVar[tuple[str, ...]] = ("class",)
    """Types of errors."""
    extremes: ClassVar[tuple[str, ...]] = ("unsure",)
    """Orders of a report's sections (`batch.finished.ORDERS`)."""
    agreement: ClassVar[tuple[str, str]] = "Same class", "Pictures with the same best class as the other model."
    """What is compared of two models' answers: title and meaning."""

    def describe_not_counted(self, count: int) -> str:
        """Return `Not counted: 119 labelled objects, nor answers on them`; empty if all count."""
        return f"Not counted: {plural(count, self.unit)}, nor answers on them" if count else ""

    def answers_equal(self, first: Json, second: Json) -> bool:
        """Return whether two rows of a picture have the same answer."""
        return bool(first["predicted"] == second["predicted"])

    def compare_answers(self, pairs: Pairs, unit: str = "") -> tuple[str, set[str] | None]:
        """Return how far two models agree, without labels, and the pictures with different answers.

        Where answers cannot be compared, the text is empty; where none is the same as another, the pictures are None.
        """
        differing = {key for key, pair in pairs.items() if not self.answers_equal(*pair)}
        return percent(1 - len(differing) / len(pairs)) if pairs else "", differing

    def read(self, path: Path | str) -> GroundTruth:
        """Read labels; raise Problem for an empty file."""
        return ground_truth.read(path)

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        """Raise Problem for labels of other pictures or another kind."""
        if truth.masks:
            raise ModelProblem("These labels are masks: only a segmentation network gives each pixel a class.")
        if not any(self.has(truth, key) for key in keys):
            raise Problem("None of the pictures has labels: the file names in them are those of other pictures.")

    def has(self, truth: GroundTruth, key: str) -> bool:
        """Return whether a picture is labelled."""
        return bool(truth.find_class(key))

    def list_labels(self, picture: EvaluatedPicture) -> list[tuple[str, tuple[float, ...] | tuple[None, ...]]]:
        """Return the judged labels of a picture, each with its box."""
        return [(picture.truth or "", (None,) * 4)]

    def place(self, labels: RunLabels, key: str, size: Size, answers: Sequence[Prediction]) -> Json | None:
        """Return a picture's labels for an `EvaluatedPicture`, or None."""
        if not self.has(labels.truth, key):
            return None
        right = labels.classes_by_label.get(labels.truth.find_class(key) or "") or ("",)
        # Of a label that means several classes each is right.
        truth = answers[0].label if answers and answers[0].label in right else min(right)
        boxes = tuple(box for box in labels.find(key) or () if box.counted)
        return {"truths": place_boxes(boxes, size), "truth": truth}

    def digest(self, labels: RunLabels, key: str) -> str | None:
        """Return a digest of a picture's labels, or None."""
        return None

    def judge(self, labels: RunLabels, key: str, explanation: Explanation, lock: Lock | None = None) -> Json:
        """Return an outcome's evaluation fields, empty without labels; `lock`: of the model."""
        return {}

    def columns(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the table's columns for the fields of `judge`."""
        return {}

    def rows(self, labels: RunLabels, key: str, outcome: Json, indices: Mapping[str, int]) -> Iterator[Json]:
        """Yield a picture's evaluation row, if it has labels."""
        first = outcome["rows"][0]
        size = first["width"], first["height"]
        answers = tuple(Prediction(label, indices.get(label, 0), score) for label, score in json.loads(first["scores"]))
        if (placed := self.place(labels, key, size, answers)) is None:
            return
        yield stored.to_row(EvaluatedPicture(key, size, predictions=answers, **placed))

    def list_units(self, evaluation: Evaluation) -> Iterator[ErrorUnit]:
        """Yield all right and wrong units, picture by picture."""
        for picture in evaluation.pictures:
            labels = [answer.label for answer in picture.predictions]
            truth = picture.truths[0] if len(picture.truths) == 1 else None
            kind = "right" if labels[:1] == [picture.truth] else "class"
            yield ErrorUnit(picture, "picture", 0, kind, 0 if labels else -1, truth)

    def describe_errors(self, name: str, units: Sequence[ErrorUnit]) -> str:
        """Describe a model's errors, without a full stop."""
        wrong = sum(unit.wrong for unit in units)
        return f"{name} is wrong on {wrong:,} of {plural(len(units), 'picture')}"

    def measure_fit(self, evaluation: Evaluation) -> Metrics:
        """Return how well the answers fit the labels."""
        pictures = evaluation.pictures
        right = self.find_right(evaluation)
        top5 = sum(picture.truth in [answer.label for answer in picture.predictions[:TOP]] for picture in pictures)
        counts = Counter(picture.truth for picture, good in zip(pictures, right, strict=True) if good)
        totals = Counter(str(picture.truth) for picture in pictures)
        return Metrics(
            {"accuracy": estimate_share(int(right.sum()), len(right)), "top5": estimate_share(top5, len(right))},
            redraw(len(right)) @ right / max(len(right), 1),
            {name: estimate_share(counts[name], totals[name]) for name in sorted(totals)},
        )

    def find_right(self, evaluation: Evaluation) -> NDArray[np.bool_]:
        """Return which objects or pictures are right, as bools."""
        return np.array([not unit.wrong for unit in self.list_units(evaluation) if unit.kind != "box"], bool)

    def headline(self, scores: Mapping[str, Estimate], *, pictures: int, objects: int, classes: int) -> str:
        """Return the headline numbers with their intervals."""
        right, top = (
            "–" if math.isnan(share.value) else f"{share.percent} (95 % interval: {share.percent_range})"
            for share in (scores["accuracy"], scores["top5"])
        )
        return f"Right: {right} of {plural(pictures, 'labelled picture')}; {NAMES['top5']}: {top}"


class BoxEvaluation(ClassEvaluation):
    """Evaluate boxes of objects."""

    task = "detect"
    number = "AP"
    unit = "labelled object"
    outcome = "evaluated"
    by_folders = False
    counts_objects = True
    errors = tuple(TYPE_NAMES)
    agreement = "Same boxes", "Pictures on which all boxes match those of the other model, by class and an IoU of .5."

    def answers_equal(self, first: Json, second: Json) -> bool:
        rows = [json.loads(row["boxes"] or "[]") for row in (first, second)]
        indices = {label: index for index, label in enumerate({label for row in rows for label, *_ in row})}
        boxes = [[Prediction(label, indices[label], score, tuple(box)) for label, score, *box in row] for row in rows]
        return not any(None in (change.before, change.after) for change in match_boxes(*boxes))

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        if truth.picture_labels:
            raise ModelProblem("These labels name whole pictures: a detector needs boxes (file,x0,y0,x1,y1,label).")
        super().check(truth, keys)

    def has(self, truth: GroundTruth, key: str) -> bool:
        return truth.find(key) is not None

    def list_labels(self, picture: EvaluatedPicture) -> list[tuple[str, tuple[float, ...] | tuple[None, ...]]]:
        return [(truth.label, truth.box) for truth in picture.truths if truth.counted]

    def place(self, labels: RunLabels, key: str, size: Size, answers: Sequence[Prediction]) -> Json | None:
        boxes = labels.find(key)
        return None if boxes is None else {"truths": place_boxes(boxes, size)}

    def digest(self, labels: RunLabels, key: str) -> str | None:
        if (boxes := labels.find(key)) is None:
            return None
        return _digest(json.dumps([astuple(box) for box in boxes]).encode())

    def judge(self, labels: RunLabels, key: str, explanation: Explanation, lock: Lock | None = None) -> Json:
        size = explanation.image.width, explanation.image.height
        if (placed := self.place(labels, key, size, ())) is None:
            return {}
        options = replace(explanation.options, confidence=min(LEAST_CONFIDENCE, explanation.options.confidence))
        with lock or nullcontext():
            maps = _map_boxes(explanation)
            answers = explanation.task.decoder.decode(explanation.evidence, options)
        # By what a box is: the same candidate decodes to the same box at any threshold.
        places = {(answer.anchor, answer.index): i for i, answer in enumerate(answers)}
        box_maps = {places[box]: values for box, values in maps.items() if box in places}
        row = stored.to_row(EvaluatedPicture(key, size, predictions=answers, maps=box_maps, **placed))
        return {self.outcome: row | {"digest": self.digest(labels, key)}}

    def rows(self, labels: RunLabels, key: str, outcome: Json, indices: Mapping[str, int]) -> Iterator[Json]:
        if (row := outcome.get(self.outcome)) and labels.find(key) is not None:
            yield row

    def list_units(self, evaluation: Evaluation) -> Iterator[ErrorUnit]:
        for picture, matches in zip(evaluation.pictures, evaluation.matches, strict=True):
            for index, truth in enumerate(picture.truths):
                # Of several boxes on one object that with another class says most, but for a right one.
                about = [match for match in matches if match.truth == index and match.type in MATCHED_TYPES]
                best = min(about, key=lambda match: (MATCHED_TYPES.index(match.type), match.box), default=None)
                kind, box_index = (best.type, best.box) if best is not None else ("missed", -1)
                if truth.counted:
                    yield ErrorUnit(picture, "object", index, kind, box_index, truth)
            for match in matches:
                if match.type != RIGHT:
                    label = picture.truths[match.truth] if match.truth >= 0 else None
                    yield ErrorUnit(picture, "box", match.box, match.type, match.box, label)

    def describe_errors(self, name: str, units: Sequence[ErrorUnit]) -> str:
        objects = [unit for unit in units if unit.kind == "object"]
        missed = Counter(unit.about for unit in objects if unit.wrong)
        if not objects:
            return f"{name} has nothing to find: no object is labelled"
        if not missed:
            return f"{name} finds all {plural(len(objects), 'object')}; wrong boxes: {len(units) - len(objects):,}"
        label, most = max(sorted(missed.items()), key=lambda item: item[1])
        total = sum(unit.about == label for unit in objects)
        return f"{name} misses {most:,} of {total:,} {label if total == 1 else plural_noun(label)}"

    def measure_fit(self, evaluation: Evaluation) -> Metrics:
        pictures = evaluation.pictures
        return true_boxes.measure([p.truths for p in pictures], [p.predictions for p in pictures])

    def headline(self, scores: Mapping[str, Estimate], *, pictures: int, objects: int, classes: int) -> str:
        sample = f"{plural(objects, 'labelled object')} in {plural(pictures, 'labelled picture')}"
        return f"{_describe_points(scores)} on {sample}"


class PixelEvaluation(ClassEvaluation):
    """Evaluate a class for each pixel, by masks."""

    task = "segment"
    number = "IoU"
    unit = "pixel"
    outcome = "masked"
    file = masks.FILE
    by_folders = False
    extremes = ("iou",)
    agreement = ("Same largest class", "Pictures of which the same class fills most; pixels are not compared.")

    def read(self, path: Path | str) -> GroundTruth:
        return masks.read(path)

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        if not truth.masks:
            raise ModelProblem("This model gives each pixel a class: give masks as its labels, or leave --labels out.")
        if not any(truth.find_mask(key) is not None for key in keys):
            raise Problem("None of the pictures has a mask: a mask needs the name of its picture.")

    def digest(self, labels: RunLabels, key: str) -> str | None:
        if not (mask := labels.truth.find_mask(key)):
            return None
        meanings = sorted((name, *names) for name, names in labels.classes_by_label.items())
        named = json.dumps([labels.truth.mask_labels, meanings])
        return _digest(named.encode() + mask)

    def judge(self, labels: RunLabels, key: str, explanation: Explanation, lock: Lock | None = None) -> Json:
        mask, answer = labels.truth.find_mask(key), explanation.segmentation
        if mask is None or answer is None:
            return {}
        adapter: Any = explanation.evidence.loaded.adapter
        classes = adapter.labels
        indices = {label: classes.index(min(named)) for label, named in labels.classes_by_label.items() if named}
        result: dict[str, Any] = {"digest": self.digest(labels, key)}
        try:
            truth = masks.decode(mask, answer.shape, labels.truth.mask_labels, indices, len(classes))
            # An answered class that no label means is wrong for the true class, and none of the judged ones.
            judged = [masks.VOID, *(indices.values() if labels.truth.mask_labels else range(len(classes)))]
            result["pairs"] = masks.count_pairs(truth, np.where(np.isin(answer, judged), answer, masks.UNJUDGED))
            result["not_counted"] = truth.size - sum(count for *_, count in result["pairs"])
        except ValueError as problem:
            result["problem"] = str(problem)
        return {self.outcome: result}

    def columns(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if self.outcome not in fields:
            return {}
        pairs = fields[self.outcome].get("pairs")
        numbers = [score.value for score in masks.measure([pairs]).scores.values()] if pairs else (None, None)
        return dict(zip(("mean_iou", "pixel_accuracy"), numbers, strict=True))

    def rows(self, labels: RunLabels, key: str, outcome: Json, indices: Mapping[str, int]) -> Iterator[Json]:
        result = outcome.get(self.outcome, {"problem": "no mask is named as this picture"})
        yield result | {"picture": key}

    def headline(self, scores: Mapping[str, Estimate], *, pictures: int, objects: int, classes: int) -> str:
        if not pictures:
            return "No picture has a mask that can be used"
        return f"{_describe_points(scores)}: {plural(classes, 'class')} in {plural(pictures, 'picture')}"


class NumberEvaluation(ClassEvaluation):
    """Evaluate numbers; their errors follow from the table."""

    file = ""
    by_folders = names_classes = False
    extremes = "error", "smallest", "largest"
    agreement = ("Mean difference", "Mean absolute difference from the number of the model whose cell is empty.")

    def compare_answers(self, pairs: Pairs, unit: str = "") -> tuple[str, set[str] | None]:
        numbers = [
            abs(first["predicted_score"] - second["predicted_score"])
            for first, second in pairs.values()
            if first["predicted"] == second["predicted"] is not None
        ]
        return quantity(sum(numbers) / len(numbers), unit) if numbers else "", None

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        if not truth.picture_labels:
            raise ModelProblem("This model gives numbers: give file,label, where label is the true number, as labels.")
        wrong = next((label for label in truth.picture_labels.values() if to_number(label) is None), None)
        if wrong is not None:
            raise ModelProblem(f"The label {wrong[:40]!r} is no number: this model's labels are true numbers.")
        super().check(truth, keys)


class NoEvaluation(ClassEvaluation):
    """Refuse labels: the task states nothing to compare them with."""

    by_folders = False

    def compare_answers(self, pairs: Pairs, unit: str = "") -> tuple[str, set[str] | None]:
        return "", None

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        raise ModelProblem("This model names nothing that labels could be compared with: leave --labels out.")


KINDS = {
    "classes": ClassEvaluation(),
    "boxes": BoxEvaluation(),
    "areas": PixelEvaluation(),
    "numbers": NumberEvaluation(),
    "": NoEvaluation(),
}
"""By what labelled pictures state of a task (`Task.evaluation`)."""


def kind_of(model: ModelSpec | Adapter | str) -> ClassEvaluation:
    """Return the evaluation kind of a model or a task."""
    return KINDS[task_of(model).evaluation]


def place_boxes(boxes: Sequence[TrueBox], size: tuple[int, int]) -> tuple[TrueBox, ...]:
    """Return boxes in pixels, without those outside of the picture."""
    placed = (box.in_pixels(size) for box in boxes)
    return tuple(box for box in placed if box.box[2] > box.box[0] and box.box[3] > box.box[1])


def to_number(label: str | None) -> float | None:
    """Return a label as a finite number, else None."""
    with suppress(ValueError):
        if math.isfinite(number := float(label or "")):
            return number
    return None


def _map_boxes(explanation: Explanation) -> dict[tuple[int | None, int], Any]:
    """Return each shown box's small map; empty for slow methods."""
    from sightglass.explain.explanation import explain, method_of

    options, evidence = explanation.options, explanation.evidence
    if not explanation.predictions or not method_of(evidence.loaded, options).quick:
        return {}
    box_options = replace(options, per="detection", targets=(), top_k=MOST_MAPS, within="picture")
    separate = explain(explanation.image, evidence, box_options, milliseconds={})
    return {
        (heatmap.target.anchors[0], heatmap.target.index): cells(heatmap)
        for heatmap in separate.heatmaps
        if heatmap.state == "ok" and heatmap.target.index is not None
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _describe_points(scores: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{NAMES[name]} {score.points} (95 % interval: {score.range})" for name, score in scores.items())
