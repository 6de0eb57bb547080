"""Compare explanations of one picture by several models."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.work.progress import check
from sightglass.explain.maps.statistics import Agreement, agreement_matrix, coarse
from sightglass.explain.phrases import NBSP, listing, percent
from sightglass.explain.tasks.task import COMPARED, UNSURE
from sightglass.explain.trust.diagnosis import NUMBERS, SAME_PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.explanation import Explanation
    from sightglass.models.adapter import Prediction


ROUNDS = 5
STEADY = 1.3
"""Median over fastest pass up to which a time says something about the model and not about the machine."""
NOTHING = "nothing"
"""The answer of a detector that finds no box."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one forward pass on a picture."""

    median: float
    fastest: float
    slowest: float

    @property
    def steady(self) -> bool:
        """Whether the passes took about as long; else the machine was busy."""
        return self.median <= STEADY * self.fastest


def measure_in_turns(evidences: Sequence[Evidence], rounds: int = ROUNDS) -> tuple[Timing, ...]:
    """Time several models in alternating passes, after one warm-up round.

    What slows the machine for a while then slows all of them alike.
    """
    import torch

    times: list[list[float]] = [[] for _ in evidences]
    for _ in range(rounds + 1):
        for evidence, passes in zip(evidences, times, strict=True):
            resident = evidence.resident
            with resident.lock, torch.no_grad():
                check()
                start = time.perf_counter()
                resident.adapter.run(evidence.tensor)
                if resident.device.type == "cuda":
                    torch.cuda.synchronize(resident.device)
                passes.append((time.perf_counter() - start) * 1e3)
    return tuple(Timing(statistics.median(passes), min(passes), max(passes)) for passes in (run[1:] for run in times))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Explanations of one picture; each's first map is compared."""

    explanations: tuple[Explanation, ...]
    names: tuple[str, ...]
    """Short, for panels and sentences: `s`, `m`, `l`."""
    timings: tuple[Timing, ...]

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

    def agreement(self, first: int, second: int) -> Agreement | None:
        """Return the similarity of two models' maps, cached; None without both."""
        return self._agreements[first][second] if self.has_map(first) and self.has_map(second) else None

    def overlap(self, first: int, second: int) -> str:
        """Return the overlap of two maps' hottest fifths, or a dash."""
        agreement = self.agreement(first, second)
        return "–" if agreement is None else f"{agreement.iou_top20:.2f}"

    @property
    def overlaps(self) -> str:
        """Return the pairs of similar maps with their overlap; else empty."""
        pairs = {
            pair: agreement.iou_top20
            for pair in combinations(range(len(self.names)), 2)
            if (agreement := self.agreement(*pair)) is not None
        }
        nearest = {place: max(value for pair, value in pairs.items() if place in pair) for place in chain(*pairs)}
        together = [place for place, value in nearest.items() if value >= SAME_PLACE]
        apart = [place for place in nearest if place not in together]
        within = [value for pair, value in pairs.items() if not set(pair) & set(apart)]
        if not pairs:
            return ""
        if not together:
            most = f"{'at most ' if len(pairs) > 1 else ''}{percent(max(pairs.values()))} overlap"
            return f"{self._list_maps(apart)} highlight different places ({most})."
        if min(within) < SAME_PLACE:
            overlaps = [f"{self.names[a]} and {self.names[b]} {percent(value)}" for (a, b), value in pairs.items()]
            return f"Overlap of the strongest evidence: {listing(overlaps)}."
        least = f"{'at least ' if len(within) > 1 else ''}{percent(min(within))} overlap"
        same = f"{self._list_maps(together)} highlight the same place ({least})"
        if not apart:
            return f"{same}."
        most = percent(max(nearest[place] for place in apart))
        verb = "highlights another" if len(apart) == 1 else "highlight other places"
        return f"{same}; {listing([self.names[place] for place in apart])} {verb} (at most {most})."

    def _list_maps(self, places: Sequence[int]) -> str:
        return f"The maps of {listing([self.names[place] for place in places])}"

    def best(self, index: int) -> Prediction | None:
        """Return a model's first prediction; None without one."""
        return next(iter(self.explanations[index].predictions), None)

    @property
    def label(self) -> str:
        """The common class of all maps; empty if they differ."""
        labels = {e.heatmaps[0].target.label for e in self.explanations if e.heatmaps and e.task.names_classes}
        return labels.pop() if len(labels) == 1 else ""

    @property
    def verdict(self) -> str:
        """Summarise the answers, their certainty, and clear differences in speed."""
        for task in dict.fromkeys(explanation.task for explanation in self.explanations):
            if (verdict := task.verdict(self.names, self.explanations)) is not None:
                return verdict
        answers = [
            NOTHING if (answer := explanation.task.answer_name(explanation, COMPARED)) is None else answer
            for explanation in self.explanations
        ]
        number = NUMBERS.get(len(answers), len(answers))
        if set(answers) == {NOTHING}:
            return f"{'Neither' if len(answers) == 2 else f'None of the {number}'} finds anything."
        if len(set(answers)) == 1:
            sure = [best.score if (best := self.best(i)) else 0.0 for i in range(len(self.names))]
            agreed, compared = ("Both", "more") if len(answers) == 2 else (f"All {number}", "most")
            unsure = self._unsure
            if unsure or not self._sure:
                return f"{agreed} say {answers[0]}{unsure}."
            return f"{agreed} say {answers[0]}; {self.names[int(np.argmax(sure))]} is {compared} confident."
        groups: dict[str, list[str]] = {}
        for name, answer in zip(self.names, answers, strict=True):
            groups.setdefault(answer, []).append(name)
        return f"{'; '.join(_says(names, answer) for answer, names in groups.items())}{self._unsure}."

    @property
    def _sure(self) -> bool:
        """Whether the scores of all models say how sure they are."""
        return all(explanation.task.sure for explanation in self.explanations)

    @property
    def _unsure(self) -> str:
        """Return `, neither with more than 13 %` of unsure classifiers; else empty."""
        best = [self.best(index) for index in range(len(self.names))]
        scores = [prediction.score for prediction in best if prediction is not None and prediction.box is None]
        if len(scores) < len(best) or max(scores) >= UNSURE or not self._sure:
            return ""
        # Rounded up, as an upper bound.
        most = math.ceil(100 * max(scores))
        return f", {'neither' if len(scores) == 2 else 'none'} with more than {most}{NBSP}%"

    @property
    def mixed(self) -> str | None:
        """One sentence if the maps are of different classes; else empty."""
        labels = dict.fromkeys(e.heatmaps[0].target.label for e in self.explanations if e.heatmaps)
        if len(labels) < 2:
            return None
        if self.shares_none:
            return "These models share no class: each map is of its model's own first answer."
        return f"These are maps of different classes: {listing(list(labels))}."

    @cached_property
    def shares_none(self) -> bool:
        """Whether no two models share a class name."""
        classifiers = [explanation for explanation in self.explanations if class_names(explanation)]
        return len(classifiers) > 1 and not any(share_classes(*pair) for pair in combinations(classifiers, 2))

    @property
    def fastest(self) -> str | None:
        """The name of the clearly fastest model, or None."""
        order = sorted(range(len(self.timings)), key=lambda i: self.timings[i].median)
        # Clearly: the ranges of times do not overlap.
        clear = len(order) > 1 and self.timings[order[0]].slowest < self.timings[order[1]].fastest
        return self.names[order[0]] if clear else None


def class_names(explanation: Explanation) -> frozenset[str]:
    """Return a model's class or number names; none for embedders."""
    return frozenset(explanation.evidence.resident.adapter.labels)


def share_classes(first: Explanation, second: Explanation) -> bool:
    """Return whether two models have a class of the same name."""
    return not class_names(first).isdisjoint(class_names(second))


def _says(names: Sequence[str], answer: str) -> str:
    verb = "find" if answer == NOTHING else "say" if answer else "predict"
    return f"{listing(list(names))} {verb}{'' if len(names) > 1 else 's'} {answer or 'no class'}"


def score_of_map(explanation: Explanation, index: int = 0) -> float | None:
    """Return the score of a map's target, 0..1; None without one."""
    return explanation.task.score(explanation, index) if index < len(explanation.heatmaps) else None
