"""Describe boxes, and find the candidates of classes without a box."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sightglass.explain.phrases import kinds, listing
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.result import Result
    from sightglass.explain.tasks.detect import Missing

KINDS = 3
"""Kinds of objects named in a headline."""


def describe_boxes(explanation: Explanation) -> str:
    """Return `1 bus and 4 people.`, or the strongest candidate."""
    if not explanation.predictions:
        return explanation.task.wording.nothing(explanation)
    # A counter keeps insertion order: the surest kind first, as in the list of boxes.
    return f"{kinds(Counter(p.label for p in explanation.predictions).items(), KINDS)}."


def find_missed(explanation: Explanation, names: Sequence[int | str]) -> list[Missing]:
    """Return the strongest candidate of each named class without a box."""
    labels = explanation.evidence.resident.adapter.labels
    visible = {p.index for p in explanation.predictions}
    indices = dict.fromkeys(class_index(name, labels) for name in names)
    candidates = (explanation.missing(None, index) for index in indices if index not in visible)
    return [candidate for candidate in candidates if candidate is not None]


def box_sentence(explanation: Result, index: int, name: str) -> str | None:
    """Describe one map's evidence by boxes; None without any."""
    numbers = explanation.box_numbers(index)
    if numbers is None:
        return None
    several = len(explanation.own(index)) != 1
    phrase = "the boxes" if explanation.options.per == "picture" else f"its own box{'es' if several else ''}"
    return f"Evidence for **{name}**: {listing(numbers.describe(phrase))}."
