"""Bars of scores before and after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.components.declare import declare
from sightglass.explain.phrases import describe_score, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.whatif.changes import Change
    from sightglass.models.spec import ModelSpec

_component = declare("changes", __file__)


def changes(found: Sequence[Change], model: ModelSpec, *, key: str) -> None:
    """Draw the list; where something is not there before or after, it says so in words."""
    _component(key=key, data={"rows": [_row(change, model) for change in found], "bars": not model.measures})


def _row(change: Change, model: ModelSpec) -> dict[str, object]:
    before, after, points = change.before, change.after, change.points
    if model.measures and before is not None and after is not None:
        return _number(change.label, before, after, model)
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


def _number(label: str, before: float, after: float, model: ModelSpec) -> dict[str, object]:
    """Return the row of a number: both values and the difference with their unit, and both on the number's scale."""
    output = model.output_of(label)
    moved = float(f"{after - before:.3g}")
    row: dict[str, object] = {
        "label": label,
        "before": None,
        "after": None,
        "scores": " → ".join(describe_score(score, model, label) for score in (before, after)),
        # A plus in front, as the row shows by how much it moved.
        "difference": f"{'+' if moved > 0 else '' if moved else '±'}{quantity(moved, output.unit or '')}",
    }
    if output.range is None:
        return row
    low, high = output.range
    at = [min(1.0, max(0.0, (value - low) / (high - low))) for value in (0.0, before, after)]
    ends = [quantity(end, output.unit or "") for end in output.range]
    return row | {"scale": {"zero": at[0], "before": at[1], "after": at[2], "ends": ends}}
