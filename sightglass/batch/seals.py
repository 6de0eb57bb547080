"""Checks of a run's maps, as columns of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


FAILED = {
    "seal_model": "does not depend on the model",
    "seal_answer": "does not matter to the answer",
    "seal_still": "does not hold still",
}
"""The columns of the three answers, and what a no says."""
COLUMNS = ("seal", *FAILED)
"""How many of the three tests a map passes, and the answer of each: yes, no, or cannot be told."""


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
        row: Row = dict.fromkeys(COLUMNS)
        if checks is not None:
            row |= {f"seal_{check.id}": check.state for check in checks.checks}
            row["seal"] = sum(row[name] == "yes" for name in FAILED)
        rows.append(row)
    return rows


def lacking(outcomes: Iterable[Outcome]) -> set[str]:
    """Return the keys of pictures explained without checks."""
    return {outcome["key"] for outcome in outcomes if any("seal" not in row for row in outcome.get("rows", ()))}


def add_up(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return the numbers of passing and of checked maps, or None."""
    if "seal" not in frame:
        return None
    passed = frame["seal"].dropna()
    return int(passed.eq(len(FAILED)).sum()), len(passed)
