"""Sentences, labels and cells of tables about answers and their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from sightglass.explain.phrases import capital, percent
from sightglass.explain.tasks.parts import Change
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result
    from sightglass.models.spec import ModelSpec

UNSURE = 0.2
"""Score below which the best class is no answer."""
NAMED = 3
"""Classes, or kinds of things, that a sentence names."""
COMPARED = 2
"""Kinds of things, or numbers, that a sentence names of each of several models."""
PARTS = {"class": "", "contrast": " against the other classes", "objectness": " (objectness)", "all": ", class and box"}
PARTS |= {side: f", its {side} side" for side in ("left", "top", "right", "bottom")}


@dataclass(frozen=True, slots=True)
class Mark:
    """A shape over a picture, in its pixels."""

    kind: Literal["polygon", "polyline", "point", "mask"]
    points: tuple[tuple[float, float], ...] = ()
    """(x, y); none of a mask."""
    mask: NDArray[np.bool_] | None = None
    """(H, W), of a mask alone."""
    fill: int | None = None
    """The class whose colour and hatching a mask has; without one its edge alone is drawn."""
    hollow: bool = False
    """A dashed line, or a ring in place of a dot."""
    chosen: bool = False
    """Whether a point has a second ring around it."""

    def to_json(self) -> Json:
        """Return the browser's form of the mark, without a mask."""
        points = [[float(x), float(y)] for x, y in self.points]
        flags = {name: True for name in ("hollow", "chosen") if getattr(self, name)}
        return {"kind": self.kind, "points": points, **flags}

    def moved(self, right: float, down: float, scale: tuple[float, float] = (1, 1)) -> Mark:
        """Return the mark moved by pixels, then scaled across and down."""
        right_scale, down_scale = scale
        return replace(self, points=tuple(((x + right) * right_scale, (y + down) * down_scale) for x, y in self.points))


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
    mood: Literal["", "said", "against"] | None = None
    """Of a word of a sentence: `said` and not seen, or `against` what the picture shows; None of other answers."""

    @property
    def line(self) -> str:
        """The label with its score: `minibus 62 %`."""
        return f"{self.label} {self.text}"


class Wording:
    """Classes of one row of scores."""

    measure = ""
    """What a map's score is, where answers are listed by another number."""

    # One answer

    def text(self, score: float, unit: str = "") -> str:
        """Format an answer's share in percent, or its number with unit."""
        return percent(score)

    def short_text(self, score: float, unit: str = "") -> str:
        """Format a score for a column headed by `Task.value`."""
        return self.text(score, unit)

    def caption(self, label: str, score: float) -> str:
        """Return an answer with its score, for a frame's caption."""
        return f"{label} {self.text(score)}"

    def bar(self, score: float) -> float | None:
        """Return the length of an answer's bar, 0..1; None for a number."""
        return min(1.0, max(0.0, score))

    def marks(self, result: Result, prediction: Prediction) -> tuple[Mark, ...]:
        """Return the marks of an answer's place in the picture."""
        return (Mark("polygon", prediction.outline),) if prediction.box else ()

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

    def answer(self, result: Result) -> str:
        """Return the best answer with its score, as captions show it."""
        return next((answer.line for answer in self.answers(result, result.predictions[:1])), result.task.no_answer)

    def whole_answer(self, result: Result) -> str:
        """Return a sentence of which `answer` is a summary; empty where there is none."""
        return ""

    def answer_name(self, result: Result, most: int) -> str | None:
        """Return the answer without its score, to compare models, or None; `most`: kinds of things that are named."""
        return result.predictions[0].label if result.predictions else None

    # Files, slides and records

    def number(self, result: Result, index: int) -> str:
        """Return a map's number, `312 px`; empty without a single place."""
        return ""

    def name_map(self, result: Result, index: int) -> str:
        """Return a map's label with its number or score: `minibus, 62 %`."""
        label = result.heatmaps[index].target.label
        text = self.number(result, index)
        if not text and (score := result.task.scorer.score(result, index)) is not None:
            text = self.text(score, result.model.unit_of(label))
        return f"{label}, {text}" if text else label

    def describe_part(self, result: Result) -> str:
        """Return the explained part of an answer, as a caption's end."""
        if result.quantity == "number":
            return f" (what {describe_direction(result)} it)"
        return PARTS.get(result.options.part, f", its {result.options.part}")

    def describe_saved(self, result: Result, index: int) -> tuple[str, float | None]:
        """Return a map's label and its class's best score, for records; of a number the label with it."""
        if result.task.quantity == "number":
            return self.name_map(result, index), None
        target, answers = result.heatmaps[index].target, result.task.decoder.all_answers(result)
        return target.label, max((p.score for p in answers if p.index == target.index), default=None)

    def saved_score(self, result: Result, index: int) -> float | None:
        """Return the score of a record for searching; None for a number."""
        if result.task.quantity == "number":
            return None
        if not result.heatmaps:
            return max((prediction.score for prediction in result.predictions), default=None)
        return None if result.heatmaps[index].target.index is None else result.task.scorer.score(result, index)

    def facts(self, prediction: Prediction, model: ModelSpec) -> Mapping[str, Any]:
        """Return an answer's fields in files besides label, score and box: the unit and range of a number."""
        output = model.output_of(prediction.label)
        fields = {"unit": output.unit, "range": output.range}
        return {name: value for name, value in fields.items() if value is not None}

    def map_columns(self, result: Result, index: int) -> Mapping[str, Any]:
        """Return a map's task-specific columns in a table."""
        return {}

    # A picture and its maps

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        """Return the answer's sentence, and whether the map's needs its label; None: nothing is to be said of it."""
        name, best = result.model.name, result.predictions[0]
        other = bool(result.heatmaps) and result.heatmaps[index].target.index != best.index
        if best.score < UNSURE:
            return f"{name} is unsure: its best answer is {best.label} ({percent(best.score)}).", other or None
        return f"{name} says {best.label} ({percent(best.score)}).", other

    def describe_answer(self, result: Result, index: int) -> str:
        """Return the answer as a sentence without subject and verb: `minibus, 62 %.`"""
        return f"{result.predictions[0].label}, {percent(result.predictions[0].score)}."

    def list_answers(self, result: Result) -> list[str]:
        """Return a line per answer with an area: `star: 12 % of the picture`."""
        return []

    def meaning(self, result: Result, hot: str, index: int, *, named: bool) -> str:
        """Describe the colours of one answer's map; `named`: with its label."""
        heatmap = result.heatmaps[index]
        label, numbers = heatmap.target.label, result.quantity == "number"
        if heatmap.signed:
            return describe_signs(heatmap, label, *(() if numbers else ("speaks for", "against")))
        if numbers:
            # Why one number and not another is asked of classes alone.
            return f"{hot.capitalize()} shows what {describe_direction(result, index)} {label}."
        if result.options.part == "contrast" and len(result.evidence.loaded.adapter.labels) != 1:
            return self.contrast(result, hot, index)
        return f"{hot.capitalize()} shows the evidence for {label if named else 'it'}."

    def contrast(self, result: Result, hot: str, index: int) -> str:
        """Describe the colours of a contrast map."""
        label = result.heatmaps[index].target.label
        return f"{hot.capitalize()} shows the evidence for {label} over the other classes."

    def rival(self, result: Result, index: int) -> str | None:
        """Return the strongest rival class of a contrast; None without one."""
        target_class = result.heatmaps[index].target.index
        if not result.task.competes or target_class is None:
            return None
        return next((p.label for p in result.predictions if p.index != target_class), None)

    def nothing(self, result: Result) -> str:
        """Say why there is nothing to explain."""
        return "There is nothing to explain."

    def describe_outside(self, result: Result, index: int) -> str:
        """Return a sentence on evidence outside the explained area; empty if meaningless."""
        return ""

    # Several models

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        """Compare several models' answers; None: no task-specific comparison."""
        return None

    # Changed pictures

    def describe_switch(self, before: str, label: str, score: float) -> str:
        """Describe a changed answer in a clip; `before`: the last sure class."""
        if score < UNSURE:
            return f"unsure: at best {label}, {percent(score)}"
        change = f"{before} becomes {label}" if before else f"sure again: {label}"
        return f"{change}, {percent(score)} sure"

    def describe_spread(self, label: str, scores: tuple[str, str], score: str, flips: str) -> str:
        """Complete the sentence `Under 6 small changes` for a score.

        `scores`: the least and the largest; `score`: the picture's own; `flips`: after what the answer changes.
        """
        spread = f"{label} {f'has a {self.measure} of' if self.measure else 'scores'} {' to '.join(scores)}"
        return f"{spread}. The answer changes after {flips}." if flips else f"{spread}; the answer stays."

    def invite(self, before: Result) -> str:
        """Return the sentence on a picture before any edit."""
        best = self.answers(before, before.predictions[:1])[0]
        return f"{capital(best.label)}, {best.text}. Paint over something to see what changes."

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        """Describe an edit's changes, as the rest of a sentence."""
        first = max(changes, key=lambda change: change.before or 0.0)
        best = max(changes, key=lambda change: change.after or 0.0)
        before, after = first.before or 0.0, first.after or 0.0
        old, new = percent(before), percent(after)
        if old == new:
            moved = f"{first.label} stays at {old}"
        else:
            moved = f"{first.label} {'falls' if after < before else 'rises'} from {old} to {new}"
        if best.label != first.label:
            return f"{moved}; now it says {best.label}, {percent(best.after or 0.0)}"
        return f"{moved} and is still the answer" if old != new else moved

    def moved(self, change: Change, unit: str = "") -> str:
        """Return a score's change: `−41`, `±0`, or a box's `vanished`, `new`."""
        if change.points is None:
            return "vanished" if change.after is None else "new"
        return f"{change.points:+d}".replace("-", "\N{MINUS SIGN}") if change.points else "±0"


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
