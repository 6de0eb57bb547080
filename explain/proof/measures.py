"""Summary numbers of a proof: which are shown, sentences, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.phrases import percent
from sightglass.explain.proof.proof import CONTROLS, SUFFICIENT

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain.proof.proof import Proof

SHOWN = frozenset(
    {
        *("deletion-random", "deletion-blobs", "insertion-random", "insertion-blobs", "advantage"),
        *("random", "blobs", "centre", "edges", "sufficiency", "necessity", "stability"),
    }
)
"""The measures that screens, the API and the command line show unless all are asked for. On drawn scenes their rank
correlation with whether a map's hottest pixel is on the known cause is clear of zero, as the mean over families of
models (benchmarks/results/2026-11-24-proof-measures.md). This is the only such list."""

FIELDS: dict[str, tuple[str, ...]] = {
    "sufficiency": ("sufficiency",),
    "necessity": ("necessity",),
    "similarity": ("runner_up_ssim", "runner_up_rank_correlation"),
}
"""Where a proof's summary has a measure that is no difference to a control."""
COLUMNS = ("map", "hidden", "kept", "this map is better by", "95 % interval")
"""Of `rows`: areas under the curves, and the difference with its interval."""


def is_shown(name: str, *, every: bool = False) -> bool:
    """Return whether a measure is shown: one that agrees with known causes, or `every` one."""
    return every or name in SHOWN


def without_hidden(summary: Json) -> Json:
    """Return a proof's `summary` without the measures that are not shown: None each, and named under `left_out`."""
    made = summary | {"differences": {name: one for name, one in summary["differences"].items() if is_shown(name)}}
    hidden = [name for name in FIELDS if not is_shown(name)]
    made |= dict.fromkeys(field for name in hidden for field in FIELDS[name])
    return made | {"left_out": [*(name for name in summary["differences"] if not is_shown(name)), *hidden]}


def rows(proof: Proof, *, every: bool = False) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for the map and for each control, areas of the proof's first filling.

    Controls whose difference does not agree with known causes (`SHOWN`) are left out unless `every` one is
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

    What does not agree with known causes (`SHOWN`) is left out unless `every` measure is asked for.
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
