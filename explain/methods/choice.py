"""What the maps behind a tested map cost by hiding and keeping: as a table, and in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sightglass.explain.phrases import capital, listing, percent, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.methods.method import Candidate
    from sightglass.explain.tasks import Task

SHARES = (0.02, 0.12)
"""Shares of the picture that are hidden, and then alone kept."""
COLUMNS = (
    "map",
    *(f"{percent(share)} hidden" for share in SHARES),
    *(f"{percent(share)} kept" for share in SHARES),
    "score",
    "taken",
)
"""Heads of the table that `rows` fills."""
NAMED = 3
"""Maps that the sentence names, at most."""
ALIKE = 0.005
"""Difference of two shares of the mix below which the maps are taken alike."""
NOTHING = "no map of this picture shows evidence, so none was tested."
UNTOLD = (
    "what decides cannot be told, as covering the whole picture with its mean colour changes nothing; all maps are "
    "taken alike"
)
"""What is said where no test shows anything, as of a picture of one colour."""
BLANK = "–"
"""A number that cannot be told, in the table."""


def name_quantity(task: Task) -> str:
    """Return what hiding takes from an answer: its lead over the others, its score, or its number."""
    return "lead" if task.competes else task.quantity


def is_told(candidates: Sequence[Candidate]) -> bool:
    """Return whether hiding and keeping changes the answer at all."""
    return not any(math.isnan(candidate.score) for candidate in candidates)


def rank(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the maps that were tested, the one taken most first."""
    return sorted(candidates, key=lambda candidate: -candidate.weight)


def rows(candidates: Sequence[Candidate]) -> list[tuple[str, ...]]:
    """Return a row of the table for each map, the one taken most first."""
    return [
        (
            candidate.name,
            *map(_format_share, candidate.covered),
            *map(_format_share, candidate.kept),
            BLANK if math.isnan(candidate.score) else signed(candidate.score),
            percent(candidate.weight),
        )
        for candidate in rank(candidates)
    ]


def _format_share(share: float) -> str:
    return BLANK if math.isnan(share) else percent(share)


def describe_cost(candidate: Candidate) -> str:
    """Return what a map cost and what was taken of it."""
    if not is_told([candidate]):
        return f"{percent(candidate.weight)} taken. What hiding and keeping it costs cannot be told."
    hidden, kept = (listing([*map(percent, shares)]) for shares in (candidate.covered, candidate.kept))
    taken = f"{percent(candidate.weight)} taken, score {signed(candidate.score)}"
    return f"{taken}. Hidden: {hidden} left; kept: {kept}."


def describe_columns(task: Task) -> str:
    """Return what the table's numbers mean."""
    shares = listing([percent(share) for share in SHARES])
    return (
        f"Hidden: how much of the answer's {name_quantity(task)} is left once a map's hottest {shares} of the picture "
        "are filled with the mean colour; kept: once all else is; 0 % is the mean colour alone. Score: the mean of "
        "kept less that of hidden, from −1 to 1. Taken: the map's share of the mix from which Tested starts."
    )


def describe_choice(candidates: Sequence[Candidate]) -> str:
    """Return which maps were taken most."""
    ranked = rank(candidates)
    if not ranked:
        return capital(NOTHING)
    if not is_told(ranked):
        return f"{capital(UNTOLD)}."
    first, *others = ranked
    if not others:
        return f"{first.name} is the only map with evidence, so it is taken whole."
    if first.weight - others[-1].weight < ALIKE:
        return f"All {len(ranked)} maps are taken alike: hiding and keeping shows no difference between them."
    then = listing([f"{each.name} ({percent(each.weight)})" for each in others[: NAMED - 1]])
    most = f"{first.name} is taken most ({percent(first.weight)} of the mix), then {then}"
    return f"{most}: the higher a map's score, the more of it."
