"""One error: its picture, the labelled object, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation, Missed
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.evaluation.label_errors import LabelSuspect
    from sightglass.models.adapter import Prediction


@dataclass(frozen=True, eq=False)
class ErrorUnit:
    """A labelled object, a wrong box, or a classified picture: a row of `tables.tabulate` with what it is about."""

    picture: EvaluatedPicture
    id: str
    """Unique in its evaluation, the same in every session."""
    type: str
    """`right`, a type of error, or what a label is suspected of (`label_errors.MEANINGS`)."""
    truth: TrueBox | None
    """The labelled object; None of a box that is on none, and of a picture without boxes."""
    answer: Prediction | None
    """The box or the class that was answered; None of an object without any box."""
    missed: Missed | None = None
    """Why the object has no right box."""

    @property
    def map(self) -> NDArray[np.uint8] | None:
        """Where the model looked for its answer, (32, 32), 0 to 255; None without a map."""
        if self.answer is None:
            return None
        of = (self.answer.anchor, self.answer.index)
        return next((one for i, one in self.picture.maps.items() if _identify(self.picture.found[i]) == of), None)

    @property
    def label(self) -> str | None:
        """The class by the labels; None of a box where nothing is labelled."""
        return self.truth.label if self.truth is not None else self.picture.truth

    @property
    def words(self) -> str:
        """What is wrong, in a few words: `star called gear, 95 %`."""
        label, answer = self.label or "nothing", self.answer
        if answer is None:
            return f"{label}, not found"
        score = percent(answer.score)
        if self.missed is not None and self.missed.by is answer:
            what = f"called {answer.label}" if answer.label != label else "taken by another box"
            return f"{label} {what}, {score}"
        if self.type in ("background", "overlooked"):
            return f"{answer.label} {score}, nothing labelled"
        if self.type == "duplicate":
            return f"second {answer.label}, {score}"
        if answer.label != label:
            return f"{label} called {answer.label}, {score}{', fits badly' if self.type == 'both' else ''}"
        return f"{label} {score}{', fits badly' if self.type in ('location', 'both', 'misplaced') else ''}"


def _identify(one: Prediction) -> tuple[int | None, int]:
    return one.anchor, one.index


def find_unit(picture: EvaluatedPicture, row: Mapping[str, Any], truths: Mapping[int, TrueBox]) -> ErrorUnit:
    """Return the unit of a row of `tables.tabulate`.

    `truths`: the labelled object of each of the picture's answers (`looks.find_objects`). Raises Problem for a row of
    another evaluation.
    """
    kind, index, place = row["kind"], int(row["index"]), int(row["found"])
    try:
        answer = picture.found[place] if place >= 0 else None
        id = f"{picture.key}#{kind}-{index}"
        if kind == "picture":
            truth = picture.truths[0] if len(picture.truths) == 1 else None
            return ErrorUnit(picture, id, row["type"], truth, answer)
        if kind == "box":
            return ErrorUnit(picture, id, row["type"], truths.get(place), answer)
        missed = picture.missed.get(index) if row["wrong"] else None
        if answer is None and missed is not None:
            answer = missed.by
        return ErrorUnit(picture, id, row["type"], picture.truths[index], answer, missed)
    except IndexError:
        raise Problem("These errors belong to another run: open it again.") from None


def of_suspect(evaluation: Evaluation, suspect: LabelSuspect) -> ErrorUnit:
    """Return a label that is likely wrong as a unit of its own, with the answer that speaks against it."""
    picture = evaluation.pictures[suspect.picture]
    truth, answer = suspect.truth, suspect.predicted
    index = next((i for i, one in enumerate(picture.truths) if one is truth), -1)
    if index < 0:
        index = next((i for i, one in enumerate(picture.found) if one is answer), -1)
    if truth is None and len(picture.truths) == 1 and evaluation.task == "classify":
        truth = picture.truths[0]
    return ErrorUnit(picture, f"{picture.key}#{suspect.kind}-{index}", suspect.kind, truth, answer)
