"""What hiding the hottest place of a map does to an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.explain.whatif import edits, strongest
from sightglass.explain.whatif.edits import Edit

if TYPE_CHECKING:
    from threading import Event

    from sightglass.evaluation.errors.unit import ErrorUnit
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe


@dataclass(frozen=True, eq=False)
class HiddenPlace:
    """An error before and after the hottest tenth of its map was covered."""

    before: Explanation = field(repr=False)
    """Of what was answered, or of the best candidate for what was missed."""
    after: Explanation = field(repr=False)
    sentence: str
    """What covering it changes, and what covering as much elsewhere does."""
    mended: bool
    """Whether the error is gone."""
    verdict: str
    """The same in a sentence."""


def explain_unit(
    explainer: Explainer, image: Image, unit: ErrorUnit, recipe: Recipe, *, cancel: Event | None = None
) -> Explanation:
    """Explain what was answered in an error, or the best candidate for an object that was missed.

    `recipe`: of the run. Raises Problem where the model has no candidate at all.
    """
    options: dict[str, Any] = {"method": recipe.method, "layers": recipe.layers, "preprocessing": recipe.preprocessing}
    if explainer.model.task != "detect":
        if unit.answer is None:
            raise Problem("The model gave no answer here, so that there is nothing to hide.")
        return explainer(image, targets=(unit.answer.index,), cancel=cancel, **options)
    options |= {"confidence": recipe.confidence, "iou": recipe.iou}
    pair = find_candidate(explainer(image, maps=False, cancel=cancel, **options), unit)
    return explainer(image, targets=(pair,), per="detection", cancel=cancel, **options)


def find_candidate(found: Explanation, unit: ErrorUnit) -> tuple[int, int]:
    """Return the candidate and the class of an error's box, or of the best candidate for a missed object."""
    one = unit.answer
    if one is not None and one.anchor is not None and one.anchor >= 0:
        return one.anchor, one.index
    missing = None
    if unit.truth is not None and unit.truth.label in found.evidence.resident.adapter.labels:
        missing = found.missing(unit.truth.box, unit.truth.label)
    if missing is None or missing.candidate.anchor is None:
        raise Problem("The model proposed no box of this class here, so that there is nothing to hide.")
    return missing.candidate.anchor, missing.candidate.index


def hide_hottest(
    explainer: Explainer, image: Image, unit: ErrorUnit, recipe: Recipe, *, cancel: Event | None = None
) -> HiddenPlace:
    """Cover the hottest tenth of an error's map, and as much at random places; return what changed.

    `image`: the unit's picture; `recipe`: of the run. Raises Problem where there is no map.
    """
    before = explain_unit(explainer, image, unit, recipe, cancel=cancel)
    mark = strongest.strongest_tenth(before)
    if mark is None:
        raise Problem("This answer has an empty map, so that there is no hottest place to hide.")
    options = {name: getattr(before.options, name) for name in ("preprocessing", "confidence", "iou")}

    def answer(hidden: edits.Edited) -> Explanation:
        return explainer(hidden.image, maps=False, cancel=cancel, **options)

    covered = edits.edited(image, Edit((mark,), fill="grey"))
    after = answer(covered)
    others = [
        strongest.score_of_map(before, answer(edits.edited(image, Edit((other,), fill="grey"))))
        for other in strongest.elsewhere(before)
    ]
    said = strongest.covered_sentence(before, after, float(covered.hidden.mean()), others)
    mended = _is_mended(unit, before, after)
    if before.model.task != "detect":
        verdict = "The right class is answered now." if mended else "The answer is still wrong."
    elif unit.answer is None:
        verdict = "The object is found now." if mended else "The object is still missed."
    else:
        verdict = "The wrong box is gone." if mended else "The wrong box stays."
    return HiddenPlace(before, after, said, mended, verdict)


def _is_mended(unit: ErrorUnit, before: Explanation, after: Explanation) -> bool:
    """Return whether the error is gone: a missed object is found, a wrong answer is not given any more."""
    if before.model.task != "detect":
        return bool(after.predictions) and after.predictions[0].label == unit.label
    if unit.answer is None:
        return strongest.score_of_map(before, after) >= before.options.confidence
    return strongest.score_of_map(before, after) < before.options.confidence
