"""Summary numbers of a proof, and which are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightglass.common.files import Json

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


def is_shown(name: str, *, every: bool = False) -> bool:
    """Return whether a measure is shown: one that agrees with known causes, or `every` one."""
    return every or name in SHOWN


def without_hidden(summary: Json) -> Json:
    """Return a proof's `summary` without the measures that are not shown: None each, and named under `left_out`."""
    made = summary | {"differences": {name: one for name, one in summary["differences"].items() if is_shown(name)}}
    hidden = [name for name in FIELDS if not is_shown(name)]
    made |= dict.fromkeys(field for name in hidden for field in FIELDS[name])
    return made | {"left_out": [*(name for name in summary["differences"] if not is_shown(name)), *hidden]}
