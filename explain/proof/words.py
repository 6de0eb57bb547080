"""Describe a proof in sentences and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.phrases import percent
from sightglass.explain.proof.measures import is_shown
from sightglass.explain.proof.proof import CONTROLS, SUFFICIENT

if TYPE_CHECKING:
    from sightglass.explain.proof.proof import Proof

COLUMNS = ("map", "hidden", "kept", "this map is better by", "95 % interval")
"""Of `rows`: areas under the curves, and the difference with its interval."""


def rows(proof: Proof, *, every: bool = False) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for the map and for each control, areas of the proof's first filling.

    Controls whose difference does not agree with known causes (`measures.SHOWN`) are left out unless `every` one is
    asked for.
    """
    made: list[tuple[str, ...]] = [("this map", *_areas(proof, "map"), "", "")]
    for name in (one for one in proof.controls if is_shown(one, every=every)):
        found = proof.difference(name)
        # One map with one filling has no spread.
        interval = f"{found.low:+.2f} to {found.high:+.2f}" if found.high > found.low else "–"
        made.append((CONTROLS[name], *_areas(proof, name), f"{found.mean:+.2f}", interval))
    return made


def lines(proof: Proof, *, every: bool = False) -> list[str]:
    """Return a sentence each on sufficiency, necessity, and likeness to the runner-up's map.

    What does not agree with known causes (`measures.SHOWN`) is left out unless `every` measure is asked for.
    """
    found = {"sufficiency": _sufficiency(proof), "necessity": _necessity(proof), "similarity": similarity(proof)}
    return [line for name, line in found.items() if line and is_shown(name, every=every)]


def _sufficiency(proof: Proof) -> str:
    kept, most = proof.sufficiency, percent(SUFFICIENT)
    if kept is None or kept >= 1:
        return f"No part of the picture alone keeps {most} of the score."
    if not kept:
        return f"Even with nothing kept, {most} of the score is there."
    return f"The hottest {percent(kept)} alone keeps {most} of the score."


def _necessity(proof: Proof) -> str:
    if proof.necessity is None:
        return "No share that was hidden changes the answer."
    return f"Hiding the hottest {percent(proof.necessity)} changes the answer."


def similarity(proof: Proof) -> str:
    """Return how far the map is that of the next best class, in a sentence; empty where that has none."""
    if proof.similarity is None:
        return ""
    return (
        f"The map's rank correlation with that of {proof.runner_up}, the next best class, is "
        f"{proof.similarity.rank_correlation:.2f}; 1 would be the same map."
    )


def _areas(proof: Proof, name: str) -> tuple[str, str]:
    curves = proof.of(name)
    deletion, insertion = (
        float(np.mean([getattr(curve, way).area for curve in curves])) for way in ("deletion", "insertion")
    )
    return f"{deletion:.2f}", f"{insertion:.2f}"
