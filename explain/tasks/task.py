"""The base of all tasks: one row of scores for a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import capital, kinds, percent, plain_text
from sightglass.explain.rendering.mark import Mark
from sightglass.models.adapter import Adapter, FunctionTarget, Prediction, Target
from sightglass.models.labels import class_index, same_classes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.explain.trust.stability import Changed
    from sightglass.models.spec import ModelSpec

UNSURE = 0.2
"""Score below which the best class is no answer."""
KINDS = 3
"""Kinds of things that a sentence names."""
COMPARED = 2
"""Kinds of things, or numbers, that a sentence names of each of several models."""
PARTS = {"class": "", "contrast": " against the other classes", "objectness": " (objectness)", "all": ", class and box"}
PARTS |= {side: f", its {side} side" for side in ("left", "top", "right", "bottom")}
LISTED = 3
"""Classes of either picture whose scores are compared."""
UNDECIDED, MIN_CLASSES = 0.97, 3
"""Normalised entropy of the scores above which they decide nothing, and the minimum number of classes for the test."""
EVEN = 0.33
"""Share of the picture that half of the evidence is on, from which it counts as scattered: an even map has 50 %. None
of 20 photographs has as much (EfficientNet-Lite0, at most 31 %); four of five pictures of noise do (31 to 37 %)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of B pictures about one target."""

    score: Tensor
    """(B,) float64 on the CPU, as the pages show it: a probability, a box's score, or a cosine."""
    value: Tensor
    """(B,) what the map explains: the score, or for the contrast its margin over the best other class, in logits of a
    classifier and in score of a box."""
    stays: Tensor
    """(B,) bool: whether the target is still the answer, or the box is still shown."""


Scorer = Callable[[Any], Answers]


@dataclass(frozen=True, slots=True)
class Change:
    """A class's or box's score before and after an edit, 0..1."""

    label: str
    before: float | None
    after: float | None

    @property
    def points(self) -> int | None:
        """The change of the printed scores in whole percentage points."""
        if self.before is None or self.after is None:
            return None
        return round(self.after * 100) - round(self.before * 100)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model, as lists, captions and pictures show it."""

    label: str
    text: str
    """Its score in words: `62 %`, `12 % of the picture`, `−12.4°`."""
    bar: float | None
    """Length of its bar, 0..1; None where it has none."""
    value: float | None = None
    """Its score."""
    marks: tuple[Mark, ...] = ()
    """Where it is in the picture."""

    @property
    def line(self) -> str:
        """The label with its score: `minibus 62 %`."""
        return f"{self.label} {self.text}"


class Task:
    """Everything specific to a kind of answer.

    The base holds for one row of scores, a class each. A task overrides what differs.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    """In a list of models: `Classify`."""
    noun: ClassVar[str] = "class"
    """What one of its answers is called."""
    value: ClassVar[str] = "how sure"
    """What the number beside an answer is."""
    verb: ClassVar[str] = "image"
    """The command line's verb for its pictures."""
    competes: ClassVar[bool] = False
    """Whether its classes exclude each other, so that one class speaks against the others."""
    has_boxes: ClassVar[bool] = False
    """Whether its answers have places of their own."""
    names_classes: ClassVar[bool] = True
    measures: ClassVar[bool] = False
    """Whether its answers are numbers, and no probabilities."""
    gives_pixels: ClassVar[bool] = False
    """Whether each pixel has an answer."""
    drawn: ClassVar[str] = "classify"
    """The set of packaged pictures that its packaged models know."""
    masks: ClassVar[int] = 1000
    """Masks for one picture where none are asked for, where the papers take 5000: maps of 800 with two seeds correlate
    by 0.7 to 0.8 on a street scene, and their peaks lie in their boxes (benchmarks/results/by-hand.md)."""
    barred: ClassVar[Mapping[str, str]] = {}
    """Families of methods that cannot explain it."""
    sure: ClassVar[bool] = True
    """Whether its scores say how sure the model is."""
    truth: ClassVar[str] = "classes"
    """What labelled pictures state of it: `classes`, `boxes`, `areas`, `numbers`, or nothing."""
    ranked: ClassVar[bool] = True
    """Whether the best of its answers are explained where none is asked for."""
    followed: ClassVar[bool] = True
    """Whether its answers can be followed from frame to frame."""
    more: ClassVar[str] = ""
    """How more answers are shown."""
    gives: ClassVar[str] = "is a classifier"
    """What one of its models is or does, after its name."""
    independent: ClassVar[tuple[str, str]] = ("little of what was learnt", "is no evidence of what was learnt")
    """What a map shows that does not depend on the weights: as an object, and as a verb."""
    tools: ClassVar[frozenset[str]] = frozenset({"against"})
    """What the sidebar offers: `against`, `threshold` of boxes."""
    spans: ClassVar[tuple[str, ...]] = ()
    """What a click on a picture can ask about, besides a marked area: `region` and `pixel`."""
    meaning_of_row: ClassVar[str] = ""
    """What a row of numbers means; empty where the answer is none: `one class of many`."""
    blind: ClassVar[Mapping[str, Any]] = {"method": "occlusion", "masks": 49}
    """Options of a first map without layers, which comes within seconds."""
    heading: ClassVar[str] = "Score"
    """Heading of a curve of its scores."""
    no_answer: ClassVar[str] = "nothing found"
    unmapped: ClassVar[str] = ""
    """Why an edited picture has no map of `{label}`."""
    frame_note: ClassVar[str] = ""
    """What has to be said of the scores of a camera's frames."""

    # Answers

    def answers(self, result: Result, predictions: Sequence[Prediction] | None = None) -> list[Answer]:
        """Return the answers, best first, by default of all `predictions`."""
        return [
            Answer(
                prediction.label,
                self.text(prediction.score, result.model.unit_of(prediction.label)),
                self.bar(prediction.score),
                prediction.score,
                self.marks(result, prediction),
            )
            for prediction in (result.predictions if predictions is None else predictions)
        ]

    def marks(self, result: Result, prediction: Prediction) -> tuple[Mark, ...]:
        """Return the marks of an answer's place in the picture."""
        return (Mark("polygon", prediction.outline),) if prediction.box else ()

    def text(self, score: float, unit: str = "") -> str:
        """Format an answer's share in percent, or its number with unit."""
        return percent(score)

    def bar(self, score: float) -> float | None:
        """Return the length of an answer's bar, 0..1; None for a number."""
        return None if self.measures else min(1.0, max(0.0, score))

    # Files, slides and records

    def name_map(self, result: Result, index: int) -> str:
        """Return a map's label with its number or score: `minibus, 62 %`."""
        label = result.heatmaps[index].target.label
        text = self.number(result, index)
        if not text and (score := self.score(result, index)) is not None:
            text = self.text(score, result.model.unit_of(label))
        return f"{label}, {text}" if text else label

    def amount(self, result: Result) -> str:
        """Return the quantity raised or lowered by its maps' evidence."""
        return "number" if self.measures or result.options.joint is not None else "score"

    def describe_part(self, result: Result) -> str:
        """Return the explained part of an answer, as a caption's end."""
        if self.amount(result) == "number":
            return f" (what {describe_direction(result)} it)"
        return PARTS.get(result.options.part, f", its {result.options.part}")

    def describe_saved(self, result: Result, index: int) -> tuple[str, float | None]:
        """Return a map's label and its class's best score, for records; of a number the label with it."""
        if self.measures:
            return self.name_map(result, index), None
        target = result.heatmaps[index].target
        return target.label, max((p.score for p in self.all_answers(result) if p.index == target.index), default=None)

    def saved_score(self, result: Result, index: int) -> float | None:
        """Return the score of a record for searching; None for a number."""
        if self.measures:
            return None
        if not result.heatmaps:
            return max((prediction.score for prediction in result.predictions), default=None)
        return None if result.heatmaps[index].target.index is None else self.score(result, index)

    def facts(self, prediction: Prediction, model: ModelSpec) -> dict[str, Any]:
        """Return an answer's fields in files besides label, score and box."""
        return {}

    def map_columns(self, result: Result, index: int) -> dict[str, Any]:
        """Return a map's task-specific columns in a table."""
        return {}

    # Targets

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the options' targets, or the best `top_k` predictions.

        Raises ModelProblem for what a model of this task has not.
        """
        adapter = evidence.resident.adapter
        self.check_place(options, adapter)
        if options.per != "class":
            raise ModelProblem(f"{adapter.spec.id} is a classifier and has no boxes: explain a class.")
        return self._of_classes(options, predictions, adapter)

    def check_place(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for options of a joint or a pixel."""
        check_joint(options, adapter)
        if options.per in ("region", "pixel") or options.at or options.against is not None:
            place = "at" if options.at else "against" if options.against is not None else f"per={options.per}"
            raise ModelProblem(f"{adapter.spec.id} gives no class to a pixel: leave {place} to a segmentation network.")

    def _of_classes(self, options: Options, predictions: Sequence[Prediction], adapter: Adapter) -> list[Target]:
        indices = [class_index(target, adapter.labels) for target in options.targets]
        if not options.targets:
            indices = list(dict.fromkeys(prediction.index for prediction in predictions))[: options.top_k]
        return [
            Target(
                index,
                adapter.labels[index],
                tuple(p.anchor for p in predictions if p.index == index and p.anchor is not None),
                options.part,
            )
            for index in indices
        ]

    def listed(self, adapter: Adapter, options: Options) -> int:
        """Return the number of decoded answers; raise ModelProblem for wrong filters."""
        if options.classes and not self.has_boxes:
            raise ModelProblem(f"{adapter.spec.id} draws no boxes to leave out by class: name targets to explain.")
        return options.top_k

    def decode(self, evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
        """Return the predictions for these options, filtered by class."""
        adapter = evidence.resident.adapter
        listed = self.listed(adapter, options)
        settings: dict[str, Any] = {"top_k": listed, "confidence": options.confidence, "iou": options.iou}
        # Suppression takes longer than a map, and does not depend on method or target.
        if (cached := evidence.decoded) is None or cached[0] != settings:
            predictions = tuple(adapter.decode(evidence.answers, evidence.geometry, **settings))
            adapter.check_answer(evidence.answers)
            evidence.decoded = cached = settings, predictions
        only = {class_index(name, adapter.labels) for name in options.classes}
        return tuple(p for p in cached[1] if not only or p.index in only)

    def resolve(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return `targets`, signed if the options ask for it."""
        functions = [_of_function(wanted) for wanted in options.targets if callable(wanted)]
        alone = len(functions) == len(options.targets) > 0
        targets = functions if alone else self.targets(options, predictions, evidence)
        return [replace(target, both_ways=True) for target in targets] if options.evidence == "both" else targets

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        """Return notes on targets with a map but without an answer."""
        return ()

    # Sentences

    def says(self, result: Result, index: int) -> tuple[str, bool | None]:
        """Return the answer's sentence, and whether the map's needs its label.

        None: nothing is to be said of the map.
        """
        name, best = result.model.name, result.predictions[0]
        if best.score < UNSURE:
            return f"{name} is unsure: its best answer is {best.label} ({percent(best.score)}).", None
        other = bool(result.heatmaps) and result.heatmaps[index].target.index != best.index
        return f"{name} says {best.label} ({percent(best.score)}).", other

    def short(self, result: Result, index: int) -> str:
        """Return the answer without the model's name: `Minibus, 62 %.`"""
        if not result.predictions:
            return ""
        if self.truth != "classes":
            return capital(self.says(result, index)[0].removeprefix(f"{result.model.name} ").partition(" ")[2])
        best = result.predictions[0]
        words = f"{capital(best.label)}, {percent(best.score)}."
        if best.score < UNSURE:
            words = f"Unsure. {words}"
        if result.heatmaps and result.heatmaps[index].target.index != best.index:
            words += f" The map is of {result.heatmaps[index].target.label}."
        return words

    def meaning(self, result: Result, hot: str, index: int, *, named: bool) -> str:
        """Describe the colours of one answer's map; `named`: with its label."""
        heatmap = result.heatmaps[index]
        label = heatmap.target.label
        if heatmap.signed:
            return describe_signs(heatmap, label, *(() if result.measures else ("speaks for", "against")))
        if result.measures:
            # Why one number and not another is asked of classes alone.
            return f"{hot.capitalize()} shows what {describe_direction(result, index)} {label}."
        if result.options.part == "contrast":
            return self.contrast(result, hot, index)
        return f"{hot.capitalize()} shows the evidence for {label if named else 'it'}."

    def contrast(self, result: Result, hot: str, index: int) -> str:
        """Describe the colours of a contrast map."""
        return (
            f"{hot.capitalize()} shows the evidence for {result.heatmaps[index].target.label} over the other classes."
        )

    def rival(self, result: Result, index: int) -> str | None:
        """Return the strongest rival class of a contrast; None without one."""
        target_class = result.heatmaps[index].target.index
        if not self.competes or target_class is None:
            return None
        return next((p.label for p in result.predictions if p.index != target_class), None)

    def answer(self, result: Result) -> str:
        """Return the best answer with its score, as captions show it."""
        best = next(iter(result.predictions), None)
        return f"{best.label} {self.text(best.score, result.model.unit_of(best.label))}" if best else self.no_answer

    def list_answers(self, result: Result) -> list[str]:
        """Return a line per answer with an area: `star: 12 % of the picture`."""
        found = result.predictions if self.truth == "areas" else ()
        return [f"{prediction.label}: {plain_text(self.text(prediction.score))}" for prediction in found]

    def answer_name(self, result: Result, most: int) -> str | None:
        """Return the answer without its score, for comparing models, or None.

        `most`: kinds of things that are named.
        """
        return result.predictions[0].label if result.predictions else None

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        """Compare several models' answers; None: no task-specific comparison."""
        return None

    def explains(self, result: Result, index: int) -> bool:
        """Return whether a known class can be compared with other models' maps."""
        # Without a box or a pixel of the class there is nothing to explain.
        return not (self.has_boxes or self.gives_pixels) or any(p.index == index for p in result.predictions)

    def nothing(self, result: Result) -> str:
        """Say why there is nothing to explain."""
        return "There is nothing to explain."

    def undecided(self, result: Result) -> str:
        """Return a sentence on nearly equal scores of a softmax; else empty."""
        if not self.competes or result.model.untrained:
            return ""
        evidence = result.evidence
        scores = evidence.resident.adapter.class_logits(evidence.outputs)[0].detach().double().softmax(0)
        count = len(scores)
        if count < MIN_CLASSES:
            return ""
        spread = float(-(scores * scores.clamp_min(1e-12).log()).sum()) / math.log(count)
        if spread < UNDECIDED:
            return ""
        return (
            f"The scores are nearly the same for all {count} classes, at most {percent(float(scores.max()))}. The "
            f"preprocessing may be wrong ({result.model.where_stated('preprocessing')}), or the weights belong to "
            "another model."
        )

    def scattered(self, result: Result, index: int) -> str:
        """Return a sentence on evidence over much of the picture; else empty."""
        spread = result.statistics[index].half_heat_area
        # Contrast maps also come from fine layers, where an even scatter is normal.
        if self.truth != "classes" or result.options.part == "contrast" or spread < EVEN:
            return ""
        return (
            f"Half of the evidence is scattered over {percent(spread)} of the picture (an even spread: "
            f"{percent(0.5)}): the map shows no place that {result.heatmaps[index].target.label} rests on."
        )

    def number(self, result: Result, index: int) -> str:
        """Return a map's number, `312 px`; empty without a single place."""
        return ""

    def describe_outside(self, result: Result, index: int) -> str:
        """Return a sentence on evidence outside the explained area; empty if meaningless."""
        return ""

    # Pixels

    def classes_at(self, evidence: Evidence) -> NDArray[np.int64] | None:
        """Return the class of each pixel, (H, W); None for other tasks."""
        return None

    def numbers_at(self, evidence: Evidence) -> NDArray[np.float32] | None:
        """Return the number of each pixel, (H, W); None for other tasks."""
        return None

    def pixels_at(self, evidence: Evidence, target: Target) -> NDArray[np.bool_] | None:
        """Return a target's pixels in the picture, bool (H, W), or None."""
        if not self.gives_pixels:
            return None
        adapter: Any = evidence.resident.adapter
        pixels: NDArray[np.bool_] = adapter.pixels_at(evidence.outputs, evidence.geometry, target)
        return pixels

    # Scores of a target, on its picture and on changed ones

    def scorer(self, evidence: Evidence, target: Target, options: Options) -> Scorer:
        """Return a function from outputs to `Answers`; raise ModelProblem if impossible."""
        adapter, index = evidence.resident.adapter, check_score(target)
        contrast = target.part == "contrast"

        def of_class(outputs: Any) -> Answers:
            logits = adapter.class_logits(outputs).detach().double().cpu()
            score = adapter.class_scores(outputs)[:, index].detach().double().cpu()
            others = logits.clone()
            others[:, index] = float("-inf")
            if logits.shape[1] < 2:
                return Answers(score, score, score > options.confidence)
            margin = logits[:, index] - others.amax(1)
            return Answers(score, margin if contrast else score, margin > 0)

        return of_class

    def all_answers(self, result: Result) -> Sequence[Prediction]:
        """Return the answers for every class, best first; of boxes the shown ones."""
        count = len(result.evidence.resident.adapter.labels)
        if self.has_boxes or len(result.predictions) >= count:
            return result.predictions
        return self.decode(result.evidence, replace(result.options, top_k=count))

    def ranks(self, result: Result) -> tuple[int | None, ...]:
        """Return each map's place among all answers, from 1; None without an order or a place."""
        answers = () if self.measures else self.all_answers(result)

        def rank(target: Target) -> int | None:
            mine = (p.index == target.index and (not self.has_boxes or p.anchor in target.anchors) for p in answers)
            return next((place for place, right in enumerate(mine, 1) if right), None)

        return tuple(rank(heatmap.target) for heatmap in result.heatmaps)

    def score(self, result: Result, index: int) -> float | None:
        """Return the score of a map's target; None without one."""
        target = result.heatmaps[index].target.index
        predictions = result.own(index) or [p for p in result.predictions if p.index == target]
        predictions = predictions or [p for p in self.all_answers(result) if p.index == target]
        return max((p.score for p in predictions), default=None)

    def find_again(
        self, before: Result, evidence: Evidence, changed: Changed | None, target: Target
    ) -> tuple[float, str, Target | None]:
        """Return score, answer and any target in a changed picture."""
        adapter, index = evidence.resident.adapter, check_score(target)
        score = float(adapter.class_scores(evidence.outputs)[0].detach().double()[index])
        return score, adapter.labels[int(adapter.class_logits(evidence.outputs)[0].argmax())], target

    # Tables and runs

    def short_text(self, score: float, unit: str = "") -> str:
        """Format a score for a column headed by `value`."""
        return percent(score) if self.truth == "areas" else self.text(score, unit)

    def check_verb(self, verb: str, model: str) -> None:
        """Raise ModelProblem for a command line's verb of other models."""
        refusals = {
            "detect": f"{self.gives} and draws no boxes: use {self.verb}, or a detector",
            "segment": f"gives no class to a pixel: use {self.verb}, or a segmentation network",
        }
        if verb in refusals and verb != self.verb:
            raise ModelProblem(f"{model} {refusals[verb]}.")

    def check_idle(self, model: str, *options: str, them: str = "it") -> None:
        """Raise ModelProblem for options of boxes without any."""
        if options and not self.has_boxes:
            names = " and ".join(options)
            raise ModelProblem(f"{model} draws no boxes, so {names} would have no effect: leave {them} out.")

    def single(self) -> dict[str, Any]:
        """Return the options for the map of one answer."""
        return {"top_k": 1, **({"per": "detection"} if self.has_boxes else {})}

    def name_class(self, index: int, labels: Sequence[str]) -> int | str:
        """Return a class as an unambiguous target: of boxes its label, as a number means a box."""
        return labels[index] if self.has_boxes else index

    def pick(self, model: str, predictions: Sequence[Prediction], number: int) -> int:
        """Return the target of an answer by number, from 1."""
        if number > len(predictions):
            raise ModelProblem(f"There is no answer {number}: {model} gives {len(predictions)} here{self.more}.")
        return number - 1 if self.has_boxes else predictions[number - 1].index

    # Frames

    def class_score(self, evidence: Evidence, predictions: Sequence[Prediction], index: int) -> float | None:
        """Return the score of any class; None if it cannot be explained."""
        score = next((p.score for p in predictions if p.index == index), None)
        if score is None and not (self.has_boxes or self.gives_pixels):
            score = float(evidence.resident.adapter.class_scores(evidence.outputs)[0, index].detach())
        return score

    def caption(self, label: str, score: float) -> str:
        """Return an answer with its score, for a frame's caption."""
        return f"{label} {self.text(score)}"

    def is_sure(self, score: float) -> bool:
        """Return whether the best answer of a frame is one."""
        return not self.sure or score >= UNSURE

    def describe_switch(self, before: str, label: str, score: float) -> str:
        """Describe a changed answer in a clip; `before`: the last sure class."""
        if not self.is_sure(score):
            return f"unsure: at best {label}, {percent(score)}"
        change = f"{before} becomes {label}" if before else f"sure again: {label}"
        return f"{change}, {percent(score)} sure"

    # Changes

    def describe_spread(self, label: str, scores: tuple[str, str], score: str, flips: str) -> str:
        """Complete the sentence `Under 6 small changes` for a score.

        `scores`: the least and the largest; `score`: the picture's own; `flips`: after what the answer changes.
        """
        low, high = scores
        if flips:
            return f"{label} scores {low} to {high}. The answer changes after {flips}."
        return f"{label} scores {low} to {high}; the answer stays."

    def score_after(self, before: Result, after: Result) -> float:
        """Return the score of the first map's target after an edit, 0..1.

        Of boxes the mean, where a box that vanished counts with the candidate at its place.
        """
        index = before.heatmaps[0].target.index
        return next((p.score for p in self.all_answers(after) if p.index == index), 0.0)

    def describe_covered(self, before: Result, after: Result, start: str, elsewhere: float) -> str:
        """Describe the effect of covering a map's strongest part.

        `start`: the subject of the sentence; `elsewhere`: the mean score with as much covered at other places.
        """
        boxes, label = before.own(), before.heatmaps[0].target.label
        unit = before.model.unit_of(label)
        old, new, other = (
            self.text(score, unit)
            for score in (self.score_after(before, before), self.score_after(before, after), elsewhere)
        )
        if len(boxes) > 1:
            label = f"the mean of {kinds(Counter(box.label for box in boxes).most_common(), KINDS)}"
        return f"{start} takes {label} from {old} to {new}; as much elsewhere leaves {other}."

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return an edit's changes of the best classes, by their earlier score."""
        return union(self.all_answers(before), self.all_answers(after))

    def invite(self, before: Result) -> str:
        """Return the sentence on a picture before any edit."""
        best = before.predictions[0]
        words = self.text(best.score, before.model.unit_of(best.label))
        return f"{capital(best.label)}, {words}. Paint over something to see what changes."

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        """Describe an edit's changes, as the rest of a sentence."""
        first = max(changes, key=lambda change: change.before or 0.0)
        best = max(changes, key=lambda change: change.after or 0.0)
        old, new = percent(first.before or 0.0), percent(first.after or 0.0)
        if old == new:
            moved = f"{first.label} stays at {old}"
        else:
            moved = f"{first.label} {'falls' if (first.points or 0) <= 0 else 'rises'} from {old} to {new}"
        if best.label != first.label:
            return f"{moved}; now it says {best.label}, {percent(best.after or 0.0)}"
        return f"{moved} and is still the answer" if old != new else moved

    # Pages

    def row(self, label: str, scores: Sequence[float], unit: str = "") -> Answer:
        """Return a label's row with its scores, best first, or a dash."""
        best = max(scores, default=0.0)
        # Two classes of one name, as ImageNet has, are not one class found twice.
        name = f"{len(scores)} × {label}" if self.has_boxes and len(scores) > 1 else label
        return Answer(name, self.text(best, unit) if scores else "–", self.bar(best))

    def column(self, score: float | None, unit: str = "", of: str = "") -> tuple[str, float | str | None]:
        """Return a score's table column, and hundredths or a text.

        `of`: the label, in a table of models.
        """
        return f"Score of {of}" if of else "Score", None if score is None else score * 100

    def moved(self, change: Change, unit: str = "") -> str:
        """Return a score's change: `−41`, `±0`, or a box's `vanished`, `new`."""
        if change.points is None:
            return "vanished" if change.after is None else "new"
        return f"{change.points:+d}".replace("-", "\N{MINUS SIGN}") if change.points else "±0"

    def recipe_of(self, index: int | None, anchor: int | None) -> dict[str, Any]:
        """Return a recipe's options for one answer, or for the picture."""
        return {"targets": () if index is None else (index,)}


def find_class(result: Result, index: int, other: Result) -> int | None:
    """Return another model's class, or number in the same unit, of the same name; else None."""
    labels, names = (tuple(each.evidence.resident.adapter.labels) for each in (result, other))
    place = same_classes(labels, names).get(index)
    if place is None or result.measures != other.measures:
        return None
    return place if result.model.unit_of(labels[index]) == other.model.unit_of(names[place]) else None


def check_joint(options: Options, adapter: Adapter) -> None:
    """Raise ModelProblem if the options name a joint without a pose model."""
    if options.joint is not None and not adapter.joints:
        raise ModelProblem(f"{adapter.spec.id} finds no joints: leave joint to a pose network such as yolo11n-pose.")


def _of_function(function: Callable[[Any], Any]) -> Target:
    name = getattr(function, "__name__", type(function).__name__)
    return FunctionTarget(None, "your function" if name == "<lambda>" else name, function=function)


def check_score(target: Target) -> int:
    """Return a target's class; raise ModelProblem without a single score."""
    if target.index is None:
        raise ModelProblem("There is no single answer to test here: explain a class or one box.")
    return target.index


def describe_signs(heatmap: Heatmap, label: str, raises: str = "raises", lowers: str = "lowers") -> str:
    """Describe the colours in a signed map."""
    raising = 0.5 if heatmap.raising is None else heatmap.raising
    if round(raising, 2) == 1:
        return f"Red {raises} {label}."
    if round(raising, 2) == 0:
        return f"Blue, in dashed lines, {'speaks against' if lowers == 'against' else lowers} {label}."
    return f"Red {raises} {label}; blue, in dashed lines, {lowers} it."


def describe_direction(result: Result, index: int = 0) -> str:
    """Return the map's effect on its number: raises, lowers, or both."""
    if result.heatmaps and result.heatmaps[index].signed:
        return "raises or lowers"
    return "lowers" if result.options.part == "lowers" else "raises"


def union(before: Sequence[Prediction], after: Sequence[Prediction], listed: int = LISTED) -> tuple[Change, ...]:
    """Return the changes of either picture's `listed` best classes, best first."""
    # By number: two classes of ImageNet are called crane.
    old, new = ({p.index: p.score for p in predictions} for predictions in (before, after))
    best = {
        p.index: p.label
        for predictions in (before, after)
        for p in sorted(predictions, key=lambda p: -p.score)[:listed]
    }
    changes = [Change(label, old.get(index, 0.0), new.get(index, 0.0)) for index, label in best.items()]
    return tuple(sorted(changes, key=lambda change: (-(change.before or 0.0), -(change.after or 0.0), change.label)))
