"""Save explanations whose best answer has a low score."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.history import history as saved

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.history.history import History
    from sightglass.history.records import Record

LOGGER = logging.getLogger(__name__)
TAG = "unsure"


def best_score(explanation: Explanation) -> float | None:
    """Return the highest confidence, or None."""
    scores = (prediction.score for prediction in explanation.predictions) if explanation.task.sure else ()
    return max(scores, default=None)


def save_unsure(explanation: Explanation, below: float, history: History | None = None) -> Record | None:
    """Save an explanation with a score below `below`, tagged `unsure`.

    Returns None for any other, and the earlier record of the same picture and recipe where there is one. `history`: by
    default the current person's. Raises Problem if the history is switched off or full.
    """
    score = best_score(explanation)
    if score is None or score >= below or not explanation.finished:
        return None
    history = history or saved.History()
    return history.find(explanation) or history.keep(explanation, tags=[TAG])


def save_as_set(explanation: Explanation) -> str | None:
    """Save an explanation below SIGHTGLASS_SAVE_BELOW; return its record's id. A failure is logged."""
    try:
        below = settings().save_below
        record = save_unsure(explanation, below) if below else None
    except Problem as problem:
        _warn(str(problem))
        return None
    return None if record is None else record.id


@cache
def _warn(problem: str) -> None:
    """Log a problem once, however many answers have it."""
    LOGGER.warning("an unsure answer could not be saved: %s", problem)
