"""A note that is saved while it is typed.

Streamlit's own text area sends its text when the field is left, which closing a popover by Escape or following a link
does not wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.components.declare import declare

if TYPE_CHECKING:
    from collections.abc import Callable

_component = declare("note", __file__)


@dataclass(frozen=True)
class Typed:
    """What the browser sent. `id`: of the note it belongs to. `step`: new each time."""

    id: str
    step: str
    text: str


@dataclass(frozen=True)
class NoteStatus:
    """What came of it. `step`: the last one that was saved. `problem`: why one was not."""

    step: str = ""
    problem: str = ""


def note(text: str, *, id: str, status: NoteStatus, most: int, key: str, on_change: Callable[[], None]) -> None:
    """Draw the field; `text` is what it begins with, and again whenever `id` changes. `most`: letters that fit.

    `on_change` runs when something was typed, also where the field is not drawn any more; it reads `typed(value)` of
    `st.session_state[key]`.
    """
    data = {"id": id, "text": text, "most": most, "saved": status.step, "problem": status.problem}
    _component(key=key, data=data, on_typed_change=on_change)


def typed(value: Any) -> Typed | None:
    """Return what a browser sent, from the component's value; None where there is nothing, or it makes no sense."""
    sent = value.get("typed") if hasattr(value, "get") else None
    if not isinstance(sent, dict) or not all(isinstance(sent.get(name), str) for name in ("id", "step", "text")):
        return None
    return Typed(sent["id"], sent["step"], sent["text"])
