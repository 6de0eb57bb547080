"""Light proofs of a run's maps."""

from __future__ import annotations

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
    "verdict": "Whether the map matters to the answer: supported, not supported, or cannot be told.",
    "proof": "The verdict in a sentence, with the strongest control.",
}
COLUMNS = tuple(MEANING)


def columns(explanation: Explanation, index: int, cancel: threading.Event | None = None) -> Row:
    """Return insertion's area minus deletion's, how much more that is than of random maps, the verdict and its
    sentence; None each where there is nothing to prove. Raises Cancelled."""
    try:
        proof = explanation.prove(index, steps=STEPS, fillings=(FILLING,), cancel=cancel)
    except ModelProblem:
        return dict.fromkeys(COLUMNS)
    assert proof.support is not None
    gain = proof.difference("random").mean
    values: tuple[Any, ...] = (proof.map.advantage, gain, proof.support.verdict, proof.sentence)
    return dict(zip(COLUMNS, values, strict=True))


def add_up(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return how many maps are supported, and how many were tested; None without a proof."""
    if "verdict" not in frame:
        return None
    found = frame["verdict"].dropna()
    return int(found.eq("supported").sum()), len(found)


def describe_proofs(frame: pd.DataFrame) -> str:
    """Return `12 of 15 maps are supported`; empty without a proof."""
    found = add_up(frame)
    return "" if found is None else f"{found[0]:,} of {found[1]:,} maps are supported"
