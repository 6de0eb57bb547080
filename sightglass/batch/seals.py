"""Checks and light proofs of a run's maps, as columns of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence, PassPart
from sightglass.explain.explanation import explain
from sightglass.explain.trust.checks import check_maps
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    import pandas as pd

    from sightglass.batch.journal import Outcome
    from sightglass.batch.records import Row
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.trust.checks import Checks


MEANING = {
    "seal": "How many of the three quick tests the map passes: 3 is all.",
    "seal_model": "Whether the map depends on the model: yes, no, or cannot be told.",
    "seal_answer": "Whether the map matters to the answer: yes, no, or cannot be told.",
    "seal_still": "Whether the map holds still under small changes: yes, no, or cannot be told.",
}
COLUMNS = tuple(MEANING)
FAILED = {
    "seal_model": "does not depend on the model",
    "seal_answer": "does not matter to the answer",
    "seal_still": "does not hold still",
}
MARKS = tuple(FAILED)
"""The columns of the three answers."""


def make(explanation: Explanation, cancel: threading.Event | None = None) -> tuple[Checks | None, ...]:
    """Return the checks of each map, None without evidence. Raises Cancelled.

    Of the maps as they are made alone: those of a pass over several pictures differ from them in the last digits, and a
    recipe's replay must find the same seal.
    """
    if isinstance(explanation.evidence, PassPart):
        part = explanation.evidence
        alone = Evidence(part.resident, ModelInput(part.tensor, part.geometry), part.layers)
        explanation = explain(explanation.image, alone, explanation.options, milliseconds={})
    return check_maps(explanation, cancel=cancel)


def columns(seals: Iterable[Checks | None]) -> list[Row]:
    """Return the columns of each map; None each for an empty map."""
    rows: list[Row] = []
    for checks in seals:
        if checks is None:
            rows.append(dict.fromkeys(COLUMNS))
            continue
        marks = {f"seal_{check.id}": check.state for check in checks.checks}
        rows.append({"seal": sum(answer == "yes" for answer in marks.values()), **marks})
    return rows


def lacking(outcomes: Iterable[Outcome]) -> set[str]:
    """Return the keys of pictures explained without checks."""
    return {outcome["key"] for outcome in outcomes if any("seal" not in row for row in outcome.get("rows", ()))}


def add_up(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return the numbers of passing and of checked maps, or None."""
    return _count(frame, "seal", len(MARKS))


def _count(frame: pd.DataFrame, column: str, value: int | str) -> tuple[int, int] | None:
    if column not in frame:
        return None
    answers = frame[column].dropna()
    return int(answers.eq(value).sum()), len(answers)


PROOF_MEANING = {
    "advantage": "The area under the curve of keeping the hottest parts minus that of hiding them, of the score.",
    "over_random": "How much larger that is than for random maps as smooth as this one.",
    "verdict": "Whether the map matters to the answer: supported, not supported, or cannot be told.",
    "proof": "The verdict in a sentence, with the strongest control.",
}
PROOF_COLUMNS = tuple(PROOF_MEANING)


def prove(explanation: Explanation, index: int, cancel: threading.Event | None = None) -> Row:
    """Return insertion's area minus deletion's, how much more that is than of random maps, the verdict and its
    sentence; None each where there is nothing to prove. Raises Cancelled."""
    try:
        proof = explanation.prove(index, steps=10, fillings=("blur",), cancel=cancel)
    except ModelProblem:
        return dict.fromkeys(PROOF_COLUMNS)
    assert proof.support is not None
    gain = proof.difference("random").mean
    values: tuple[Any, ...] = (proof.map.advantage, gain, proof.support.verdict, proof.sentence)
    return dict(zip(PROOF_COLUMNS, values, strict=True))


def add_up_proofs(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return the numbers of supported and of tested maps, or None."""
    return _count(frame, "verdict", "supported")


def describe_proofs(frame: pd.DataFrame) -> str:
    """Return `12 of 15 maps are supported`; empty without a proof."""
    counts = add_up_proofs(frame)
    return "" if counts is None else f"{counts[0]:,} of {counts[1]:,} maps are supported"
