"""Bars of scores before and after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.components.declare import declare
from sightglass.explain.phrases import describe_score, percent, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.whatif.changes import Change
    from sightglass.models.spec import ModelSpec

_component = declare("changes", __file__)


def changes(found: Sequence[Change], model: ModelSpec, *, key: str) -> None:
    """Draw the list; where something is not there before or after, it says so in words."""
    # A number is no share of anything, which a bar would show.
    _component(key=key, data={"rows": [_row(change, model) for change in found], "bars": not model.measures})


def _row(change: Change, model: ModelSpec) -> dict[str, object]:
    before, after, points = change.before, change.after, change.points
    if model.measures and before is not None and after is not None:
        scores = " → ".join(describe_score(score, model) for score in (before, after))
        difference = signed(after - before, "+.3g")
        return {"label": change.label, "before": None, "after": None, "scores": scores, "difference": difference}
    if points is None:
        difference = "vanished" if after is None else "new"
    else:
        difference = f"{points:+d}".replace("-", "\N{MINUS SIGN}") if points else "±0"
    return {
        "label": change.label,
        "before": None if before is None else min(1.0, max(0.0, before)),
        "after": None if after is None else min(1.0, max(0.0, after)),
        "scores": " → ".join("–" if score is None else percent(score) for score in (before, after)),
        "difference": difference,
    }
