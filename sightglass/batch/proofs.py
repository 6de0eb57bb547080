"""Light proofs of a run's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    import threading

    import pandas as pd

    from sightglass.batch.records import Row
    from sightglass.explain.explanation import Explanation

STEPS = 10
FILLING = "blur"
"""One filling: a proof of both takes twice as long, and a run sums up many pictures."""
MEANING = {
    "advantage": "The area under the curve of keeping the hottest parts minus that of hiding them, of the score.",
    "over_random": "How much larger that is than for random maps as smooth as this one.",
    "better_than_random": "Whether it is larger than for each of those random maps.",
    "proof": "What hiding, or keeping, the hottest part does to the score.",
}
COLUMNS = tuple(MEANING)


@dataclass(frozen=True)
class Proving:
    """What of a run is proved: every map, and the quick methods at several layers for some pictures (`matrix`)."""

    matrix: int
    """Pictures of these at most."""
    sample: frozenset[str]
    """Their keys."""


def columns(explanation: Explanation, index: int, cancel: threading.Event | None = None) -> Row:
    """Return insertion's area minus deletion's, how much more that is than of random maps, whether clearly, and the
    sentence; None each where there is nothing to prove. Raises Cancelled."""
    try:
        proof = explanation.prove(index, steps=STEPS, fillings=(FILLING,), cancel=cancel)
    except ModelProblem:
        return dict.fromkeys(COLUMNS)
    difference = proof.difference("random")
    values: tuple[Any, ...] = (proof.map.advantage, difference.mean, difference.clear, proof.sentence)
    return dict(zip(COLUMNS, values, strict=True))


def add_up(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return how many maps are clearly better than random places, and how many were proved; None without a proof."""
    if "better_than_random" not in frame:
        return None
    found = frame["better_than_random"].dropna()
    return int(found.sum()), len(found)


def describe_proofs(frame: pd.DataFrame) -> str:
    """Return `12 of 15 maps show more than random places do`; empty without a proof."""
    found = add_up(frame)
    return "" if found is None else f"{found[0]:,} of {found[1]:,} maps show more than random places do"
