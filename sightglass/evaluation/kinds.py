"""Kinds of evaluation: how the answers of a task are compared with labels, and with those of another model."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json
from sightglass.evaluation import boxes, classes, ground_truth, masks
from sightglass.evaluation.boxes import RIGHT, BoxMatch
from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
from sightglass.evaluation.intervals import Estimate, Metrics
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.label_files.values import to_number
from sightglass.evaluation.stored import LEAST_CONFIDENCE, EvaluatedPicture, Evaluation
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.heatmap import small_map
from sightglass.explain.phrases import percent, plural, plural_noun, quantity
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import match as match_boxes
from sightglass.models.adapter import Adapter, Prediction
from sightglass.models.spec import ModelSpec

Scores = Mapping[str, Estimate]
Lock = AbstractContextManager[Any]
Judge = Callable[[RunLabels, str, Explanation, Lock], EvaluatedPicture | None]

MOST_MAPS = 20
"""Boxes of a picture that get a map of their own, the surest first."""
MATCHED_TYPES = (RIGHT, "class", "misplaced")
"""Types of boxes that decide an object's type, the first of several."""
TYPE_NAMES = {"missed": "Missed", "class": "Wrong class", "misplaced": "Misplaced", "extra": "Extra"}
"""Names of types of errors. An object is found (`RIGHT`) or one of the first three: it has no box, a box of another
class, or one of its class that fits badly. Extra is a box where nothing is labelled, or a second box of an object."""
NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ar": "AR",
    "accuracy": "right",
    "top5": f"among the {classes.TOP} best",
    "balanced_accuracy": "balanced accuracy",
    "calibration_error": "expected calibration error",
    "mean_iou": "Mean IoU",
    "pixel_accuracy": "pixel accuracy",
}
"""Names of the headline numbers."""
MASKS_ONLY = "This model gives each pixel a class: give masks as its labels, or leave --labels out."


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
        return self.type != RIGHT

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
        """The answer's score; None without one."""
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
            return f"{label or 'nothing'}, missed"
        score = percent(answer.score)
        if label is None:
            return f"{answer.label} {score}, nothing labelled"
        if answer.label != label:
            return f"{label} {'also ' if self.type == 'extra' else ''}called {answer.label}, {score}"
        if not self.wrong:
            return f"{label} {score}"
        return f"second {label}, {score}" if self.type == "extra" else f"{label} {score}, fits badly"


Pairs = Mapping[str, "tuple[Json, Json]"]
"""The rows of a picture in the tables of two runs, by the picture."""
Agreement = tuple[str, "set[str] | None"]
"""How far two models agree, without labels, and the pictures with different answers. Where answers cannot be compared,
the text is empty; where none is the same as another, the pictures are None."""


def _refuse_evaluation(*_: Any) -> Any:
    raise Problem("Answers of this kind are not compared with labels in this way.")


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationKind:
    """What labels state of a task: facts in which kinds differ, and functions that read, judge and count them."""

    task: str = "classify"
    """As files of evaluations name it."""
    number: str = "right"
    """The metric of each class."""
    unit: str = "labelled picture"
    """What is counted."""
    by_folders: bool = False
    """Whether the folder of a picture can be its label."""
    counts_objects: bool = False
    """Whether objects with boxes are counted, and not whole pictures or pixels."""
    counts_pixels: bool = False
    """Whether pixels are counted, so that there is no list of errors."""
    names_classes: bool = True
    """Whether labels are names of classes, and no numbers."""
    errors: tuple[str, ...] = ()
    agreement: tuple[str, str] = ("Same class", "Pictures with the same best class as the other model.")
    """Title and meaning of `compare`."""
    compare: Callable[[Pairs, str], Agreement]
    """Compare the answers of two models; takes the unit of their numbers."""
    read: Callable[..., GroundTruth] = ground_truth.read
    """Read the labels at a path, with `LabelOptions` where a person states any; raises Problem for an empty file."""
    refuse: Callable[[GroundTruth], str]
    """Return why labels are none of this kind; empty for usable ones."""
    find: Callable[[GroundTruth, str], object] = GroundTruth.find_class
    """Return the labels of a picture; None without any."""
    judge: Judge | None = None
    """Put an explained picture beside its labels, holding the model's lock; None where the table of the run suffices
    (`judge_row`)."""
    list_units: Callable[[Evaluation], Iterator[ErrorUnit]] = _refuse_evaluation
    """List all right and wrong units, picture by picture."""
    describe_errors: Callable[[str, Sequence[ErrorUnit]], str] = _refuse_evaluation
    """Describe a model's errors, without a full stop."""
    compute: Callable[[Evaluation], Metrics] = _refuse_evaluation
    """Compute how well the answers fit the labels, with intervals."""
    headline: Callable[[Scores, Mapping[str, int]], str] = _refuse_evaluation
    """Return the headline numbers with their intervals; takes the numbers of `pictures`, `objects` and `classes`."""

    def check(self, truth: GroundTruth, keys: Sequence[str]) -> None:
        """Raise Problem for labels of other pictures or another kind."""
        if reason := self.refuse(truth):
            raise ModelProblem(reason)
        among = truth.among(keys)
        if not any(self.find(among, key) is not None for key in keys):
            named, first = (truth.files or ("no file",))[0], (keys or ("missing",))[0]
            first = f"{among.shown_folder}/{first}".removeprefix("/")
            raise Problem(f"None of the pictures has labels: those are of {named}, and the first picture is {first}.")

    def measure(self, evaluation: Evaluation) -> Metrics:
        """Return how well the answers fit the labels; of a stopped run without intervals."""
        metrics = self.compute(evaluation)
        return metrics.without_intervals if evaluation.stopped else metrics

    def find_right(self, evaluation: Evaluation) -> NDArray[np.bool_]:
        """Return which labelled objects, or pictures, are right, (objects,)."""
        return np.array([not unit.wrong for unit in self.list_units(evaluation) if unit.kind != "box"], bool)

    def describe_not_counted(self, n: int) -> str:
        """Return `Not counted: 119 labelled objects, nor answers on them`; empty if all count."""
        return f"Not counted: {plural(n, self.unit)}, nor answers on {'it' if n == 1 else 'them'}" if n else ""


# ---- classes of pictures


def judge_row(labels: RunLabels, key: str, row: Json, indices: Mapping[str, int]) -> EvaluatedPicture:
    """Put a row of a run's table beside its true class, None without a label; `indices`: of its model's classes."""
    size = row["width"], row["height"]
    answers = tuple(Prediction(name, indices.get(name, 0), score) for name, score in json.loads(row["scores"]))
    if (label := labels.truth.find_class(key)) is None:
        return EvaluatedPicture(key, size, predictions=answers)
    right = labels.classes_by_label.get(label) or ("",)
    # Of a label that means several classes each is right.
    truth = next((answer.label for answer in answers if answer.label in right), min(right))
    counted = tuple(box for box in labels.find(key) or () if box.counted)
    return EvaluatedPicture(key, size, place_boxes(counted, size), truth, answers)


def _refuse_masks(truth: GroundTruth) -> str:
    return "These labels are masks: only a segmentation network gives each pixel a class." if truth.masks else ""


def _agree(
    pairs: Pairs, _unit: str, equal: Callable[[Json, Json], bool] = lambda a, b: a["predicted"] == b["predicted"]
) -> Agreement:
    """Return the share of pictures with equal answers, and the other pictures."""
    differing = {key for key, pair in pairs.items() if not equal(*pair)}
    return percent(1 - len(differing) / len(pairs)) if pairs else "", differing


def _list_pictures(evaluation: Evaluation) -> Iterator[ErrorUnit]:
    for picture in evaluation.pictures:
        labels = [answer.label for answer in picture.predictions]
        truth = picture.truths[0] if len(picture.truths) == 1 else None
        kind = RIGHT if labels[:1] == [picture.truth] else "class"
        yield ErrorUnit(picture, "picture", 0, kind, 0 if labels else -1, truth)


def _describe_wrong_pictures(name: str, units: Sequence[ErrorUnit]) -> str:
    return f"{name} is wrong on {sum(unit.wrong for unit in units):,} of {plural(len(units), 'picture')}"


def _measure_classes(evaluation: Evaluation) -> Metrics:
    return classes.measure(evaluation, KINDS["classes"].find_right(evaluation))


def _describe_shares(scores: Scores, counts: Mapping[str, int]) -> str:
    described = [f"Right: {_describe_share(scores['accuracy'])} of {plural(counts['pictures'], 'labelled picture')}"]
    described += [f"{NAMES[name]}: {_describe_share(score)}" for name, score in scores.items() if name != "accuracy"]
    return "; ".join(described)


def _describe_share(share: Estimate) -> str:
    return share.describe(share.percent, share.percent_range)


# ---- boxes of objects


def _refuse_pictures(truth: GroundTruth) -> str:
    if truth.picture_labels:
        return "These labels name whole pictures: a detector needs boxes (file,x0,y0,x1,y1,label)."
    return _refuse_masks(truth)


def _have_same_boxes(first: Json, second: Json) -> bool:
    rows = [json.loads(row["boxes"] or "[]") for row in (first, second)]
    indices = {label: index for index, label in enumerate({label for row in rows for label, *_ in row})}
    answers = [[Prediction(label, indices[label], score, tuple(box)) for label, score, *box in row] for row in rows]
    return not any(None in (change.before, change.after) for change in match_boxes(*answers))


def place_boxes(truths: Sequence[TrueBox], size: tuple[int, int]) -> tuple[TrueBox, ...]:
    """Return labelled boxes in pixels, without those outside of the picture; `size`: its width and height."""
    placed = (box.in_pixels(size) for box in truths)
    return tuple(box for box in placed if box.box[2] > box.box[0] and box.box[3] > box.box[1])


def _judge_boxes(labels: RunLabels, key: str, explanation: Explanation, lock: Lock) -> EvaluatedPicture | None:
    size = explanation.image.width, explanation.image.height
    if (truths := labels.find(key)) is None:
        return None
    options = replace(explanation.options, confidence=min(LEAST_CONFIDENCE, explanation.options.confidence))
    with lock:
        maps = _map_boxes(explanation)
        answers = explanation.task.decoder.decode(explanation.evidence, options)
    # By what a box is: the same candidate decodes to the same box at any threshold.
    places = {(answer.anchor, answer.index): i for i, answer in enumerate(answers)}
    box_maps = {places[box]: values for box, values in maps.items() if box in places}
    outside = len(truths) - len(placed := place_boxes(truths, size))
    return EvaluatedPicture(key, size, placed, predictions=answers, maps=box_maps, not_counted=outside)


def _map_boxes(explanation: Explanation) -> dict[tuple[int | None, int], Any]:
    """Return each shown box's small map; empty for slow methods."""
    from sightglass.explain.explanation import explain, method_of

    options, evidence = explanation.options, explanation.evidence
    if not explanation.predictions or not method_of(evidence.loaded, options).quick:
        return {}
    box_options = replace(options, per="detection", targets=(), top_k=MOST_MAPS, within="picture")
    separate = explain(explanation.image, evidence, box_options, milliseconds={})
    return {
        (heatmap.target.anchors[0], heatmap.target.index): small_map(heatmap)
        for heatmap in separate.heatmaps
        if heatmap.state == "ok" and heatmap.target.index is not None
    }


def _list_objects(evaluation: Evaluation) -> Iterator[ErrorUnit]:
    for picture, matches in zip(evaluation.pictures, evaluation.matches, strict=True):
        judged: dict[int, BoxMatch] = {}
        on_objects = [match for match in matches if match.type in MATCHED_TYPES]
        # Of several boxes on one object that with another class says most, but for a right one.
        for match in sorted(on_objects, key=lambda match: (MATCHED_TYPES.index(match.type), match.box)):
            judged.setdefault(match.truth, match)
        for index, truth in enumerate(picture.truths):
            if truth.counted:
                match = judged.get(index, BoxMatch(-1, "missed", index))
                yield ErrorUnit(picture, "object", index, match.type, match.box, truth)
        of_objects = {match.box for match in judged.values()}
        for match in matches:
            if match.box not in of_objects:
                label = picture.truths[match.truth] if match.truth >= 0 else None
                yield ErrorUnit(picture, "box", match.box, "extra", match.box, label)


def _describe_not_found(name: str, units: Sequence[ErrorUnit]) -> str:
    objects = [unit for unit in units if unit.kind == "object"]
    not_found = Counter(unit.about for unit in objects if unit.wrong)
    if not objects:
        return f"{name} has nothing to find: no labelled object counts"
    if not not_found:
        found = f"{'all ' * (len(objects) > 1)}{plural(len(objects), 'object')}"
        return f"{name} finds {found}; extra boxes: {len(units) - len(objects):,}"
    label, most = max(sorted(not_found.items()), key=lambda item: item[1])
    total = sum(unit.about == label for unit in objects)
    return f"{name} does not find {most:,} of {total:,} {label if total == 1 else plural_noun(label)}"


def _measure_boxes(evaluation: Evaluation) -> Metrics:
    pictures = evaluation.pictures
    return boxes.measure([picture.truths for picture in pictures], [picture.predictions for picture in pictures])


def _describe_boxes(scores: Scores, counts: Mapping[str, int]) -> str:
    objects, pictures = plural(counts["objects"], "labelled object"), plural(counts["pictures"], "labelled picture")
    return f"{_describe_points(scores)} on {objects} in {pictures}"


def _describe_points(scores: Scores) -> str:
    return ", ".join(f"{NAMES[name]} {score.describe(score.points, score.range)}" for name, score in scores.items())


# ---- classes of pixels


def _judge_pixels(labels: RunLabels, key: str, explanation: Explanation, _lock: Lock) -> EvaluatedPicture | None:
    mask, answer = labels.truth.find_mask(key), explanation.segmentation
    if mask is None or answer is None:
        return None
    classes, names = explanation.evidence.loaded.adapter.labels, labels.truth.mask_labels
    places = {name: index for index, name in enumerate(classes)}
    indices = {label: places[min(named)] for label, named in labels.classes_by_label.items() if named}
    picture = EvaluatedPicture(key, (explanation.image.width, explanation.image.height))
    try:
        binary = labels.truth.read_as.binary
        truth = masks.decode(mask, answer.shape, names, indices, len(classes), binary=binary)
    except ValueError as problem:
        return replace(picture, problem=str(problem))
    # An answered class that no label means is wrong for the true class, and none of the judged ones.
    both_meant = not names or (binary and len(names) == 1)
    judged = [masks.VOID, *(range(len(classes)) if both_meant else indices.values())]
    pairs = masks.count_pairs(truth, np.where(np.isin(answer, judged), answer, masks.UNJUDGED))
    return replace(picture, pairs=tuple(pairs), not_counted=truth.size - sum(count for *_, count in pairs))


def _measure_pixels(evaluation: Evaluation) -> Metrics:
    metrics = masks.measure([picture.pairs for picture in evaluation.pictures])
    by_class = {evaluation.classes[int(index)]: score for index, score in metrics.by_class.items()}
    return replace(metrics, by_class=by_class)


def _describe_pixels(scores: Scores, counts: Mapping[str, int]) -> str:
    if not counts["pictures"]:
        return "No picture has a mask that can be used"
    classes, pictures = plural(counts["classes"], "class"), plural(counts["pictures"], "picture")
    return f"{_describe_points(scores)}: {classes} in {pictures}"


# ---- numbers, and nothing


def _refuse_words(truth: GroundTruth) -> str:
    if not truth.picture_labels:
        return "This model gives numbers: give file,label, where label is the true number, as labels."
    wrong = next((label for label in truth.picture_labels.values() if to_number(label) is None), None)
    if wrong is not None:
        return f"The label {wrong[:40]!r} is no number: this model's labels are true numbers."
    return _refuse_masks(truth)


def _compare_numbers(pairs: Pairs, unit: str) -> Agreement:
    numbers = [
        abs(first["predicted_score"] - second["predicted_score"])
        for first, second in pairs.values()
        if first["predicted"] == second["predicted"] is not None
    ]
    return quantity(sum(numbers) / len(numbers), unit) if numbers else "", None


KINDS = {
    "classes": EvaluationKind(
        by_folders=True,
        errors=("class",),
        compare=_agree,
        refuse=_refuse_masks,
        list_units=_list_pictures,
        describe_errors=_describe_wrong_pictures,
        compute=_measure_classes,
        headline=_describe_shares,
    ),
    "boxes": EvaluationKind(
        task="detect",
        number="AP",
        unit="labelled object",
        counts_objects=True,
        errors=tuple(TYPE_NAMES),
        agreement=(
            "Same boxes",
            "Pictures on which all boxes match those of the other model, by class and an IoU of .5.",
        ),
        compare=partial(_agree, equal=_have_same_boxes),
        refuse=_refuse_pictures,
        find=GroundTruth.find,
        judge=_judge_boxes,
        list_units=_list_objects,
        describe_errors=_describe_not_found,
        compute=_measure_boxes,
        headline=_describe_boxes,
    ),
    "areas": EvaluationKind(
        task="segment",
        number="IoU",
        unit="pixel",
        counts_pixels=True,
        agreement=("Same largest class", "Pictures of which the same class fills most; pixels are not compared."),
        compare=_agree,
        read=masks.read,
        refuse=lambda truth: "" if truth.masks else MASKS_ONLY,
        find=GroundTruth.find_mask,
        judge=_judge_pixels,
        compute=_measure_pixels,
        headline=_describe_pixels,
    ),
    "numbers": EvaluationKind(
        names_classes=False,
        agreement=("Mean difference", "Mean absolute difference from the number of the model whose cell is empty."),
        compare=_compare_numbers,
        refuse=_refuse_words,
    ),
    "": EvaluationKind(
        compare=lambda _pairs, _unit: ("", None),
        refuse=lambda _: "This model names nothing that labels could be compared with: leave --labels out.",
    ),
}
"""By what labelled pictures state of a task (`Task.evaluation`)."""


def kind_of(model: ModelSpec | Adapter | str) -> EvaluationKind:
    """Return the evaluation kind of a model or a task."""
    return KINDS[task_of(model).evaluation]
