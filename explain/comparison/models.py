"""Compare explanations of one picture by several models."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, combinations, starmap
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.comparison.times import Timing, all_steady, describe_times, find_fastest, measure_in_turns
from sightglass.explain.maps.statistics import Agreement, agreement_matrix, coarse
from sightglass.explain.phrases import NBSP, listing, percent
from sightglass.explain.tasks.detect import SAME, assign, measure_overlap
from sightglass.explain.tasks.parts import find_class
from sightglass.explain.tasks.wording import COMPARED, UNSURE
from sightglass.explain.trust.diagnosis import NUMBERS, SAME_PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.models.adapter import Prediction


NOTHING = "nothing"
"""The answer of a detector that finds no box."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A class or an object that several models can be asked about."""

    model: int
    """Place of the model that answers it."""
    prediction: Prediction
    places: tuple[int | None, ...]
    """For each model its class, or the place of its box; None where it has none."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Explanations of one picture; first maps of one class or object are compared."""

    explanations: tuple[Explanation, ...]
    names: tuple[str, ...]
    """Short, for panels and sentences: `s`, `m`, `l`."""
    timings: tuple[Timing, ...] = ()
    """Of one pass of each model, where they were measured."""
    subject: Subject | None = None
    """What all models were asked about, by `aligned`."""

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """The first model's answers, then the others'; of classes their best."""
        subjects: list[Subject] = []
        for model, explanation in enumerate(self.explanations):
            matches = [self._match(explanation, other) for other in self.explanations]
            compared = explanation.task.decoder.list_compared(explanation.predictions)
            for place, prediction in enumerate(compared[: None if self._boxes or not subjects else 1]):
                key = place if self._boxes else prediction.index
                if all(subject.places[model] != key for subject in subjects):
                    matched = [key if i == model else match.get(key) for i, match in enumerate(matches)]
                    # A box that overlaps those of two other models is one object's alone.
                    earlier = [{subject.places[i] for subject in subjects} for i in range(len(matched))]
                    places = (None if at in before else at for at, before in zip(matched, earlier, strict=True))
                    subjects.append(Subject(model, prediction, tuple(places)))
        return tuple(subjects)

    @property
    def objects(self) -> tuple[Subject, ...]:
        """The objects that are compared, each box in one; none where classes are."""
        return self.subjects if self._boxes else ()

    def describe(self, subject: Subject) -> str:
        """Return an object's row, in the order of the models: `bus 94 / 90 %, same place 44 %`.

        A dash stands for a model that misses it, which is named. The object's maps are computed.
        """
        rows = list(zip(self.names, self.explanations, subject.places, strict=True))
        scores = " / ".join("–" if at is None else percent(e.predictions[at].score) for _, e, at in rows)
        # The unit once, after the last of them.
        row = f"{subject.prediction.label} {scores.replace(f'{NBSP}%', '', scores.count('%') - 1)}"
        pairs = starmap(self.aligned(subject).agreement, combinations(range(len(rows)), 2))
        overlaps = sorted(pair.iou_top20 for pair in pairs if pair is not None)
        if overlaps:
            row += f", same place {' to '.join(dict.fromkeys(map(percent, overlaps[:1] + overlaps[-1:])))}"
        lacking = [name for name, _, at in rows if at is None]
        return row + (f", {listing(lacking)} miss{'es' if len(lacking) == 1 else ''} it" if lacking else "")

    @cached_property
    def shared(self) -> Subject | None:
        """The first subject that most models have; None if no two have one."""
        best = min(self.subjects, key=lambda subject: subject.places.count(None), default=None)
        return best if best is not None and best.places.count(None) < len(self.names) - 1 else None

    @cached_property
    def _boxes(self) -> bool:
        """Whether objects are compared, as all models draw boxes; else classes."""
        return all(e.task.explains("detection") for e in self.explanations if e.task.names_classes)

    def _match(self, explanation: Explanation, other: Explanation) -> Mapping[int, int]:
        """Return another model's boxes, or answered classes, by those of one."""
        if self._boxes:
            # A class that the first model lacks matches none of its boxes.
            indices = [find_class(other, p.index, explanation) for p in other.predictions]
            boxes = [replace(p, index=-1 if i is None else i) for p, i in zip(other.predictions, indices, strict=True)]
            return assign(explanation.predictions, boxes)
        pairs = {p.index: find_class(explanation, p.index, other) for p in explanation.predictions}
        return {i: j for i, j in pairs.items() if j is not None and other.task.decoder.has_answer(other, j)}

    def aligned(self, subject: Subject | None = None) -> Comparison:
        """Return the comparison of one subject in all models, by default `shared`.

        A model that misses the object has the map of its candidate there, if any, which is not compared.
        """
        if (subject := subject or self.shared) is None:
            return self
        explanations = tuple(self._explain(model, subject) for model in range(len(self.names)))
        return replace(self, explanations=explanations, subject=subject)

    def _explain(self, model: int, subject: Subject) -> Explanation:
        explanation, place = self.explanations[model], subject.places[model]
        if place is not None:
            asked = [(explanation.options.per, heatmap.target.index) for heatmap in explanation.heatmaps[:1]]
            if not self._boxes and asked == [("class", place)]:
                return explanation
            return explanation.with_options(per="detection" if self._boxes else "class", targets=(place,))
        index = find_class(self.explanations[subject.model], subject.prediction.index, explanation)
        missing = explanation.missing(subject.prediction.box, index) if self._boxes and index is not None else None
        if missing is None or measure_overlap(missing.candidate, subject.prediction) < SAME:
            return replace(explanation, heatmaps=())
        return explanation.with_options(per="detection", targets=((missing.candidate.anchor, missing.candidate.index),))

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Models whose first maps are of one class or object, by their places."""
        groups: dict[Hashable, list[int]] = {}
        for model in (i for i, explanation in enumerate(self.explanations) if explanation.heatmaps):
            options = self.explanations[model].options
            groups.setdefault((options.per, options.at, options.joint, self._key(model)), []).append(model)
        return tuple(map(tuple, groups.values()))

    def _key(self, model: int) -> Hashable:
        """Return the class or object of a model's first map, or the model's number where no other is compared."""
        explanation = self.explanations[model]
        target, options = explanation.heatmaps[0].target, explanation.options
        if target.index is None:
            return target.label
        whole = options.per == "class" and options.joint is None
        if not self._boxes:
            return self._name(model, target.index) if whole or options.at else model
        boxes = [(p.anchor, p.index) for p in explanation.predictions]
        places = [boxes.index(pair) for anchor in target.anchors if (pair := (anchor, target.index)) in boxes]
        objects = [s for s in (self.subject, *self.subjects) if s is not None and s.places[model] in places]
        # Maps of a class are compared where at least one object of it is matched.
        if all(subject.places.count(None) >= len(self.names) - 1 for subject in objects):
            return model
        return self._name(model, target.index) if whole else objects[0]

    @property
    def ends(self) -> tuple[int, int] | None:
        """The first and the last model of the largest group, for a difference; or None."""
        group = max((list(filter(self.has_map, group)) for group in self.groups), key=len, default=[])
        return (group[0], group[-1]) if len(group) > 1 else None

    @cached_property
    def common(self) -> tuple[int, int, int, int]:
        """The common part of all models' views, xyxy in original pixels."""
        extents = np.array([e.evidence.geometry.seen for e in self.explanations])
        left, top = extents[:, :2].max(0)
        right, bottom = extents[:, 2:].min(0)
        return int(left), int(top), int(right), int(bottom)

    @cached_property
    def maps(self) -> tuple[NDArray[np.float32], ...]:
        """Each model's first map over `common`, float32; 0 for missing maps.

        All are (h, w) on one grid of up to 320 cells a side. Signs stay, but only places are compared.
        """
        left, top, right, bottom = self.common
        empty = np.zeros((bottom - top, right - left), np.float32)
        maps = (e.heatmaps[0].upsampled()[top:bottom, left:right] if e.heatmaps else empty for e in self.explanations)
        return tuple(map(coarse, maps))

    @cached_property
    def _agreements(self) -> tuple[tuple[Agreement, ...], ...]:
        return agreement_matrix([np.abs(heatmap) for heatmap in self.maps])

    def has_map(self, index: int) -> bool:
        """Return whether a model has a map that shows anything."""
        heatmaps = self.explanations[index].heatmaps
        return bool(heatmaps) and heatmaps[0].state == "ok"

    def why_no_map(self, index: int) -> str:
        """Return why a model has no map, as a sentence."""
        if not self.explanations[index].predictions:
            return "No map: it finds nothing."
        if self._boxes:
            return "No map: it has no box of this object."
        return f"No map: {self.label} is none of its answers."

    def agreement(self, first: int, second: int) -> Agreement | None:
        """Return the similarity of two models' maps, cached; None unless they are of the same."""
        alike = any(first in group and second in group for group in self.groups)
        return self._agreements[first][second] if alike and self.has_map(first) and self.has_map(second) else None

    @property
    def overlaps(self) -> str:
        """Return a sentence on the overlap of the compared maps; else empty."""
        return " ".join(filter(None, map(self._describe_overlap, self.groups)))

    def _describe_overlap(self, group: Sequence[int]) -> str:
        pairs = {
            pair: agreement.iou_top20
            for pair in combinations(group, 2)
            if (agreement := self.agreement(*pair)) is not None
        }
        if not pairs:
            return ""
        least, most = min(pairs.values()), max(pairs.values())
        if least < SAME_PLACE <= most:
            overlaps = [f"{self.names[a]} and {self.names[b]} {percent(value)}" for (a, b), value in pairs.items()]
            return f"Overlap of the strongest evidence: {listing(overlaps)}."
        same = least >= SAME_PLACE
        bound, value, where = ("least", least, "the same place") if same else ("most", most, "different places")
        # `> 99 %` says so itself.
        bound = f"at {bound} " if len(pairs) > 1 and percent(value)[0].isdigit() else ""
        overlap = f"{bound}{percent(value)} overlap"
        models = listing([self.names[place] for place in dict.fromkeys(chain(*pairs))])
        return f"The maps of {models} highlight {where} ({overlap})."

    @property
    def label(self) -> str:
        """The class that all models were asked about; empty if they differ."""
        if self.subject is not None:
            return self.subject.prediction.label
        mapped = [e for e in self.explanations if e.heatmaps]
        return mapped[0].heatmaps[0].target.label if len(self.groups) == 1 and mapped[0].task.names_classes else ""

    def _name(self, model: int, index: int) -> str:
        """Return a name that a class has in every model, and no other class has."""
        explanation, earlier = self.explanations[model], self.explanations[:model]
        for place, other in enumerate(earlier):
            if (same := find_class(explanation, index, other)) is not None:
                return self._name(place, same)
        names, *known = (tuple(each.evidence.loaded.adapter.labels) for each in (explanation, *earlier))
        label = names[index]
        unique = names.count(label) == 1 and not any(label in labels for labels in known)
        return label if unique else f"{label} ({index} in {self.names[model]})"

    def _answers(self, most: int) -> list[str]:
        answers = []
        for model, e in enumerate(self.explanations):
            named = (replace(p, label=self._name(model, p.index)) for p in e.predictions)
            answers.append(e.task.wording.answer_name(replace(e, predictions=tuple(named)), most))
        return [NOTHING if answer is None else answer for answer in answers]

    @property
    def verdict(self) -> str:
        """Summarise the answers, and which model is surer of what is compared."""
        for task in dict.fromkeys(explanation.task for explanation in self.explanations):
            verdict = task.wording.verdict(self.names, self.explanations)
            if verdict is not None:
                return verdict
        answers = self._answers(COMPARED)
        complete = self._answers(sys.maxsize)
        if len(set(answers)) < len(set(complete)):
            # They differ in kinds that the short list leaves out.
            answers = complete
        number = NUMBERS.get(len(answers), len(answers))
        if set(answers) == {NOTHING}:
            none = "Neither" if len(answers) == 2 else f"None of the {number}"
            return f"{none} finds anything."
        if len(set(answers)) == 1:
            agreed = "Both" if len(answers) == 2 else f"All {number}"
            return f"{agreed} say {answers[0]}{self._unsure or self._describe_scores(answers[0])}."
        together = self.label and len(self.groups) == 1 < len(self.groups[0])
        maps = f": the maps are of {self.label}" if together else ""
        return f"{self._describe_answers(answers)}{self._unsure}{maps}."

    def _describe_answers(self, answers: Sequence[str]) -> str:
        verbs = {NOTHING: "find", "": "predict"}
        parts: list[str] = []
        for answer in dict.fromkeys(answers):
            names = [name for name, other in zip(self.names, answers, strict=True) if other == answer]
            verb = verbs.get(answer, "say")
            if len(names) == 1:
                verb += "s"
            parts.append(f"{listing(names)} {verb} {answer or 'no class'}")
        return "; ".join(parts)

    def _describe_scores(self, answer: str) -> str:
        """Return which of agreeing classifiers is surest; empty if none is."""
        if self._boxes or not all(e.task.sure for e in self.explanations) or answer != self.label:
            return ""
        scores = [e.task.scorer.score(e, 0) or 0.0 for e in self.explanations]
        best, second = sorted(scores, reverse=True)[:2]
        more = "more" if len(scores) == 2 else "most"
        return "" if percent(best) == percent(second) else f"; {self.names[scores.index(best)]} is {more} confident"

    @property
    def _unsure(self) -> str:
        """Return `, neither with more than 13 %` of unsure classifiers; else empty."""
        best = [p for explanation in self.explanations for p in explanation.predictions[:1] if p.box is None]
        sure = len(best) == len(self.names) and all(e.task.sure for e in self.explanations)
        if not sure or (most := max(p.score for p in best)) >= UNSURE:
            return ""
        # Rounded up, as an upper bound.
        return f", {'neither' if len(best) == 2 else 'none'} with more than {math.ceil(100 * most)}{NBSP}%"

    @property
    def mixed(self) -> str | None:
        """One sentence if not all maps are compared, as they are of different things; else None."""
        if len(self.groups) < 2:
            return None
        if self.subject is None and self.shared is None:
            return "The models have no class or object in common: each map is of its model's own first answer."
        labels = list(dict.fromkeys(e.heatmaps[0].target.label for e in self.explanations if e.heatmaps))
        if len(labels) > 1:
            return f"Maps of different answers are not compared: {listing(labels)}."
        return f"Not all maps are of the same {labels[0]}, so not all are compared."

    @property
    def fastest(self) -> str | None:
        """The name of the clearly fastest model, or None."""
        place = find_fastest(self.timings)
        return None if place is None else self.names[place]

    @property
    def steady(self) -> bool:
        """Whether the machine did little else while the models were timed."""
        return all_steady(self.timings)

    @property
    def times(self) -> list[str]:
        """The time of each model in words, or that it cannot be told now; empty where nobody measured."""
        return describe_times(self.timings)


def compare(
    ids: Sequence[str], names: tuple[str, ...], explain: Callable[[str], Explanation], *, aligned: bool
) -> Comparison:
    """Return the explanations of models, with times measured in turns.

    `aligned`: all maps are of one answer, which most models share.
    """
    explanations = tuple(explain(name) for name in ids)
    timings = measure_in_turns([explanation.evidence for explanation in explanations])
    comparison = Comparison(explanations, names, timings)
    return comparison.aligned() if aligned else comparison
