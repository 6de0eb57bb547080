"""List of answers with bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.declare import declare, no_callback

if TYPE_CHECKING:
    from collections.abc import Sequence

_component = declare("answer_list", __file__)


ROW, GAP, MOST = 46, 2, 390
"""CSS pixels: of a row with the gap below it, of the gap, and of the longest list, which scrolls."""


@dataclass(frozen=True)
class Row:
    """`share` 0..1 is the bar's length, None where there is none; `text` the number beside the name."""

    label: str
    share: float | None
    text: str


def rows(items: Sequence[Row], *, key: str, chosen: int = 0) -> int:
    """Show the list and return the index of the chosen row.

    `chosen` is the initial choice; from then on `st.session_state[key]["chosen"]` counts, which a page may set.
    """
    if not items:
        raise ValueError("A list of answers needs at least one row.")
    current = st.session_state.get(key, {}).get("chosen")
    index = _within(chosen if current is None else current, items)
    listed = [{"label": item.label, "share": _clip(item.share), "text": item.text} for item in items]
    data = {"name": key, "rows": listed, "chosen": index}
    # Known before the browser has drawn it: what is below a list that replaces another one does not jump.
    height = min(ROW * len(items) - GAP, MOST)
    result = _component(key=key, data=data, height=height, on_chosen_change=no_callback)
    return index if result.chosen is None else _within(result.chosen, items)


def _clip(share: float | None) -> float | None:
    return None if share is None else min(1.0, max(0.0, share))


def _within(index: int, items: Sequence[Row]) -> int:
    return min(max(0, int(index)), len(items) - 1)
