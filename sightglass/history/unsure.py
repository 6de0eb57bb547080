"""Save explanations whose best answer has a low score."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.history.history import History

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.history.records import Record

LOGGER = logging.getLogger(__name__)
TAG = "unsure"
MAX_WAITING = 16
"""Explanations that wait to be saved in the background; further ones are not saved."""
_waiting = threading.BoundedSemaphore(MAX_WAITING)
_pool = ThreadPoolExecutor(1, "unsure")


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
    history = history or History()
    return history.find(explanation) or history.keep(explanation, tags=[TAG])


class UnsureAnswers:
    """Saves the unsure explanations of one run; safe for threads."""

    def __init__(self, below: float, history: History | None = None) -> None:
        if not 0 <= below <= 1:
            raise Problem(f"save_below is {below}: it goes from 0 to 1.")
        self.below, self.history = below, history or History()
        self.ids: set[str] = set()
        """The records of the run's unsure explanations."""
        self.problem = ""
        """Why nothing is saved any more, as a sentence."""

    def save(self, explanation: Explanation) -> None:
        """Save an unsure explanation; the first failure ends the saving."""
        try:
            if not self.problem and (record := save_unsure(explanation, self.below, self.history)) is not None:
                self.ids.add(record.id)
        except Problem as problem:
            self.problem = str(problem)


def save_unsure_later(explanation: Explanation, below: float) -> None:
    """Save an explanation in the background; failures are logged."""

    def save() -> None:
        try:
            save_unsure(explanation, below)
        except Problem as problem:
            LOGGER.warning("An unsure answer could not be saved: %s", problem)
        except Exception:
            LOGGER.exception("an unsure answer could not be saved")
        finally:
            _waiting.release()

    if _waiting.acquire(blocking=False):
        _pool.submit(users.bind_person(save))
