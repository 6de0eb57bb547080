"""Proof numbers that are compared with known causes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.explain.proof.proof import Proof


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a proof."""

    words: str
    of: Callable[[Proof], float | None]
    """Of a proof whose curves are all there; None where it has none."""
    higher: bool = True
    """Whether a good map has a high one."""


def gain(proof: Proof, control: str, way: Literal["deletion", "insertion"]) -> float | None:
    """Return how much better a map's area is than a control's, the mean over seeds and fillings; None without it.

    Deletion: how much more of the score goes. Insertion: how much more is kept.
    """
    sign = -1 if way == "deletion" else 1
    gains = [
        sign * (getattr(proof.of("map", filling)[0], way).area - getattr(curve, way).area)
        for filling in proof.fillings
        for curve in proof.of(control, filling)
    ]
    return float(np.mean(gains)) if gains else None


def _advantage(proof: Proof, control: str) -> float | None:
    return proof.difference(control).mean if control in proof.controls else None


def _similarity(proof: Proof) -> float | None:
    return None if proof.similarity is None else proof.similarity.rank_correlation


def _reached(share: float | None) -> float:
    """Return the share at which something holds, and more than all for what never does."""
    return 1.05 if share is None else share


MEASURES: dict[str, Measure] = {
    "deletion-random": Measure("deletion, beside random places", partial(gain, control="random", way="deletion")),
    "deletion-blobs": Measure(
        "deletion, beside random places in the object", partial(gain, control="blobs", way="deletion")
    ),
    "insertion-random": Measure("insertion, beside random places", partial(gain, control="random", way="insertion")),
    "insertion-blobs": Measure(
        "insertion, beside random places in the object", partial(gain, control="blobs", way="insertion")
    ),
    "random": Measure("advantage over random places", partial(_advantage, control="random")),
    "blobs": Measure("advantage over random places in the object", partial(_advantage, control="blobs")),
    "centre": Measure("advantage over the middle of the picture", partial(_advantage, control="centre")),
    "edges": Measure("advantage over the picture's edges", partial(_advantage, control="edges")),
    "runner-up": Measure("advantage over the next best class's map", partial(_advantage, control="runner-up")),
    "advantage": Measure("insertion minus deletion, beside nothing", lambda proof: proof.map.advantage),
    "sufficiency": Measure("sufficiency", lambda proof: _reached(proof.sufficiency), higher=False),
    "necessity": Measure("necessity", lambda proof: _reached(proof.necessity), higher=False),
    "similarity": Measure("rank correlation with the next best class's map", _similarity, higher=False),
}
"""By name; that of an advantage over a control is the control's own in `proof.CONTROLS`."""
