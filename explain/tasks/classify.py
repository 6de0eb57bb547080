"""One class of many, and several classes at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sightglass.explain.phrases import percent
from sightglass.explain.tasks.task import Task

if TYPE_CHECKING:
    from sightglass.explain.result import Result

UNDECIDED, MIN_CLASSES = 0.97, 3
"""Normalised entropy of the scores above which they decide nothing, and the minimum number of classes for the test."""
EVEN = 0.33
"""Share of the picture that half of the evidence is on, from which it counts as scattered: an even map has 50 %. None
of 20 photographs has as much (EfficientNet-Lite0, at most 31 %); four of five pictures of noise do (31 to 37 %)."""


class Classify(Task):
    """One class of many: scores are a softmax."""

    id = "classify"
    title = "Classify"
    competes = True
    meaning_of_row = "one class of many"

    def describe_answer(self, before: Result, after: Result) -> str:
        best = after.predictions[0].label
        return "" if best == before.predictions[0].label else f"Now it says {best}."

    def undecided(self, result: Result) -> str:
        """Return a sentence on nearly equal scores; else empty."""
        if result.model.untrained:
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
        return _describe_scatter(result, index)


def _describe_scatter(result: Result, index: int) -> str:
    spread = result.statistics[index].half_heat_area
    # Contrast maps also come from fine layers, where an even scatter is normal.
    if result.options.part == "contrast" or spread < EVEN:
        return ""
    return (
        f"Half of the evidence is scattered over {percent(spread)} of the picture (an even spread: "
        f"{percent(0.5)}): the map shows no place that {result.heatmaps[index].target.label} rests on."
    )


class Multilabel(Task):
    """Several classes at once: each has a sigmoid of its own."""

    id = "multilabel"
    gives = "names several classes"
    title = "Several classes"
    meaning_of_row = "several classes at once"

    def scattered(self, result: Result, index: int) -> str:
        """Return a sentence on evidence over much of the picture; else empty."""
        return _describe_scatter(result, index)
