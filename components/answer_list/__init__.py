"""The list of answers: a name, a number and a bar a row; one is chosen, and the viewer beside it follows at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """`share` 0..1 is the bar's length, `text` the number beside the name."""

    label: str
    share: float
    text: str


def rows(items: Sequence[Row], *, key: str, chosen: int = 0) -> int:
    """Show the list and return the index of the chosen row.

    `chosen` is where it starts; after that `st.session_state[key]["chosen"]` holds, which a page may set before.
    """
    if not items:
        raise ValueError("A list of answers needs at least one row.")
    held = st.session_state.get(key, {}).get("chosen")
    index = _within(chosen if held is None else held, items)
    listed = [{"label": item.label, "share": min(1.0, max(0.0, item.share)), "text": item.text} for item in items]
    result = _component(key=key, data={"name": key, "rows": listed, "chosen": index}, on_chosen_change=_nothing)
    return index if result.chosen is None else _within(result.chosen, items)


def _within(index: int, items: Sequence[Row]) -> int:
    return min(max(0, int(index)), len(items) - 1)


def _nothing() -> None:
    """Streamlit returns only what has a callback."""


_component = st.components.v2.component(
    "sightglass_rows",
    html=(_HERE / "answer_list.html").read_text("utf-8"),
    css=(_HERE / "answer_list.css").read_text("utf-8"),
    js=(_HERE / "answer_list.js").read_text("utf-8"),
)
