"""The clicked number of the scorecard, and the objects that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightglass.components.session import state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.pages.scorecard.job import ScoreJob

PAGE = 6
"""Pictures that are drawn at first, and with each click more."""


@dataclass(frozen=True)
class ChosenNumber:
    """Objects whose pictures are shown."""

    title: str
    units: tuple[int, ...]
    """Their indices."""


@dataclass
class ScorecardPage:
    """What this session does on the page."""

    job: ScoreJob | None = None
    number: ChosenNumber | None = None
    """None: what the smaller model loses."""
    shown: int = PAGE
    problem: str = ""
    """Why a picture could not be opened elsewhere."""


def choose(title: str, units: Iterable[int]) -> None:
    """Show the pictures of a number, in a widget's callback."""
    page = state.of(ScorecardPage)
    page.number, page.shown = ChosenNumber(title, tuple(int(one) for one in units)), PAGE


def choose_cell(card: Scorecard, row: int, column: str) -> None:
    """Show the pictures of a cell of the table of models; of a cell that counts no objects, nothing changes."""
    model = card.rows[row]
    pair = next((one for one in card.pairs if one.first is model), None)
    if column in ("AP", "AP50", "Accuracy", "95 %", "Top 5", "Right"):
        choose(f"Wrong by {model.model}", np.flatnonzero(~model.right))
    elif pair is not None and column == "Same answers":
        choose(
            f"Right by one of {model.model} and {card.largest.model}", np.flatnonzero(model.right != card.largest.right)
        )
    elif pair is not None and column == "Same place" and (place := pair.same_place) is not None:
        elsewhere = [unit for unit, one in place.overlaps.items() if place.floor is not None and one < place.floor]
        # The least alike come first.
        elsewhere.sort(key=lambda unit: place.overlaps[unit])
        choose(f"Right by both, {model.model} looks elsewhere", elsewhere)
