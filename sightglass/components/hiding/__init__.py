"""Hover to hide: answer a disc that follows the pointer.

The viewer blurs the disc itself and tells this channel where it is; the scores go back to the viewer, which hands them
to the list of answers. Each step runs this fragment alone, and the viewer sends no other before it is answered, so
that of all places where the pointer was meanwhile only the newest one is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.files.packing import pack_data
from sightglass.components.declare import declare, no_callback
from sightglass.components.session import page
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.whatif import changes as hiding
from sightglass.export.proof import chart as proof_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.components.viewer import View
    from sightglass.explain import Explanation
    from sightglass.explain.tasks.task import Change

KEY = "hiding"
MOST = 1e9
"""Of a coordinate, in pixels."""
_SIDES = ("before", "after")
_channel = declare("hiding_channel", __file__)


def is_offered(explanation: Explanation) -> bool:
    """Return whether a hiding disc is offered: finished maps of classes."""
    maps = explanation.heatmaps
    return explanation.finished and bool(maps) and all(heatmap.target.index is not None for heatmap in maps)


def answer(view: View, explanation: Explanation) -> None:
    """Answer the viewer for each place of its hiding disc."""
    with view.place:
        _answer(explanation, hiding.DiscHider(explanation))


@st.fragment
def _answer(explanation: Explanation, hider: hiding.DiscHider) -> None:
    sent = (st.session_state.get(KEY) or {}).get("disc")
    image = explanation.image
    head: Json = {"picture": image.sha256, "turn": 0}
    blurred = b""
    if isinstance(sent, dict) and sent.get("picture") == image.sha256 and isinstance(sent.get("turn"), int):
        head["turn"] = sent["turn"]
        try:
            if (disc := _parse(sent)) is not None:
                head["rows"] = rows(explanation, hider.changes(disc))
            if sent.get("blurred") is True:
                head["seen"], blurred = _blurred(explanation)
        except Exception as failure:
            head["sorry"] = str(page.find_problem(failure, "hiding a disc failed") or page.SOMETHING_BROKE)
    _channel(key=KEY, data=pack_data(head, [blurred]), height=1, on_disc_change=no_callback)


def _parse(sent: dict[str, Any]) -> hiding.Disc | None:
    """Read a disc as the browser sends it; None for nonsense."""
    numbers = [sent.get(name) for name in ("x", "y", "radius")]
    if not all(isinstance(number, int | float) and abs(number) < MOST for number in numbers):
        return None
    return hiding.Disc(*map(float, numbers))  # type: ignore[arg-type]


def rows(explanation: Explanation, found: Sequence[Change]) -> list[Json]:
    """Return the changed scores of each class for both lists.

    Of a class with several boxes it is the best one's that is left, as in the list.
    """
    classes: dict[str, list[Change]] = {}
    for change in found:
        classes.setdefault(change.label, []).append(change)
    return [_row(label, changes, explanation) for label, changes in classes.items()]


def _row(label: str, changes: Sequence[Change], explanation: Explanation) -> Json:
    task, unit = explanation.task, explanation.model.unit_of(label)
    before, after = (task.row(label, [getattr(change, name) or 0.0 for change in changes], unit) for name in _SIDES)
    return {
        "name": label,
        "label": before.label,
        "share": after.bar,
        "text": f"{before.text} → {after.text}",
        "boxes": task.describe_left(sum(change.after is not None for change in changes), len(changes)),
    }


def _blurred(explanation: Explanation) -> tuple[list[int], bytes]:
    """Return the model's crop, xyxy, and a JPEG of it blurred."""
    geometry = explanation.evidence.geometry
    left, top, right, bottom = geometry.seen
    x0, y0, x1, y1 = geometry.content
    soft = proof_view.blur_seen(explanation.image.pixels[top:bottom, left:right], (y1 - y0, x1 - x0))
    return [left, top, right, bottom], to_jpeg(soft)
