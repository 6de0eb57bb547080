"""Say what a proof found beside its sentence, and set it out as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explain.faithfulness.proof import CONTROLS, SUFFICIENT
from explain.phrases import percent

if TYPE_CHECKING:
    from explain.faithfulness.proof import Proof

COLUMNS = ("map", "hidden", "kept", "this map is better by", "95 % interval")
"""Of `rows`: areas under the curves, and the difference with its interval."""


def rows(proof: Proof) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for the map and for each control, areas of the proof's first filling."""
    made: list[tuple[str, ...]] = [("this map", *_areas(proof, "map"), "", "")]
    for name in proof.controls:
        found = proof.difference(name)
        # One map with one filling has no spread.
        interval = f"{found.low:+.2f} to {found.high:+.2f}" if found.high > found.low else "–"
        made.append((CONTROLS[name], *_areas(proof, name), f"{found.mean:+.2f}", interval))
    return made


def lines(proof: Proof) -> list[str]:
    """Return what suffices, what is necessary, and how far the map is that of the runner-up, one sentence each."""
    kept, hidden = proof.sufficiency, proof.necessity
    made = [
        f"No part of the picture alone keeps {percent(SUFFICIENT)} of the score."
        if kept is None or kept >= 1
        else f"The hottest {percent(kept)} alone keeps {percent(SUFFICIENT)} of the score."
        if kept
        else f"Even with nothing kept, {percent(SUFFICIENT)} of the score is there.",
        f"Hiding the hottest {percent(hidden)} changes the answer."
        if hidden is not None
        else "No share that was hidden changes the answer.",
    ]
    if proof.similarity is not None:
        made.append(
            f"The rank correlation with the map of {proof.runner_up}, the next best class, is "
            f"{proof.similarity.rank_correlation:.2f}; at 1 the map would not tell the two apart."
        )
    return made


def _areas(proof: Proof, name: str) -> tuple[str, str]:
    curves = proof.of(name)
    deletion, insertion = (
        float(np.mean([getattr(curve, way).area for curve in curves])) for way in ("deletion", "insertion")
    )
    return f"{deletion:.2f}", f"{insertion:.2f}"
