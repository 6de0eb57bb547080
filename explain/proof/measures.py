"""Summary numbers of a proof, and which are shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.common.files import Json
    from sightglass.explain.proof.proof import Proof

SHOWN = frozenset(
    {
        *("deletion-random", "deletion-blobs", "insertion-random", "insertion-blobs", "advantage"),
        *("random", "blobs", "centre", "edges", "sufficiency", "necessity", "stability"),
    }
)
"""The measures that screens, the API and the command line show unless all are asked for: those of `MEASURES`, and the
spread under small changes (`stability.Stability`). On drawn scenes their rank correlation with whether a map's hottest
pixel is on the known cause is clear of zero, as the mean over families of models (`python -m benchmarks truth
--measures`, benchmarks/TRUTH.md). This is the only such list."""

FIELDS: dict[str, tuple[str, ...]] = {
    "sufficiency": ("sufficiency",),
    "necessity": ("necessity",),
    "similarity": ("runner_up_ssim", "runner_up_rank_correlation"),
}
"""Where a proof's summary has a measure that is no difference to a control."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a proof."""

    words: str
    of: Callable[[Proof], float | None]
    """Of a proof whose curves are all there; None where it has none."""
    higher: bool = True
    """Whether a good map has a high one."""


def is_shown(name: str, *, every: bool = False) -> bool:
    """Return whether a measure is shown: one that agrees with known causes, or `every` one."""
    return every or name in SHOWN


def without_hidden(summary: Json) -> Json:
    """Return a proof's `summary` without the measures that are not shown: None each, and named under `left_out`."""
    made = summary | {"differences": {name: one for name, one in summary["differences"].items() if is_shown(name)}}
    hidden = [name for name in FIELDS if not is_shown(name)]
    made |= dict.fromkeys(field for name in hidden for field in FIELDS[name])
    return made | {"left_out": [*(name for name in summary["differences"] if not is_shown(name)), *hidden]}


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
