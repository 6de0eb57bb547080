"""Small components: title, answers."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from sightglass.browser import join
from sightglass.explain.tasks.wording import Answer
from sightglass.ui.declare import declare

_HERE = Path(__file__).parent
_SCRIPT = f"<script>{{{join(_HERE / 'page.js')}}}</script>"
"""What every page listens to."""
HIGHLIGHT_HELP = "The highlighted part"
"""Whatever looks hot in the viewer, whose colours change without a run of the page."""
ROW, GAP, MOST = 46, 2, 390
"""CSS pixels: of a row with the gap below it, of the gap, and of the longest list of answers, which scrolls."""

_LIST = '<div class="component column rows" role="group" aria-label="Answers">\n</div>'
_answers = declare("answer_list", __file__, states=("chosen", "ticked"), html=_LIST)


def page_title(text: str) -> None:
    """Set the page's title and shared script."""
    st.html(f'<h1 class="page-title">{html.escape(text)}</h1>{_SCRIPT}', unsafe_allow_javascript=True)


def rows(
    items: Sequence[Answer],
    *,
    key: str,
    chosen: int = 0,
    ticks: int = 0,
    ticked: tuple[int, int] | None = None,
    before: Sequence[float | None] = (),
    keys: Sequence[str] = (),
    maps: Sequence[int] | None = None,
    plain: bool = False,
) -> int:
    """Show the list and return the index of the chosen row.

    `chosen` is the initial choice; from then on `st.session_state[key]["chosen"]` counts, which a page may set.
    `ticks`: how many rows, the first, can be ticked; `ticked`: those that are at first, see `ticked_pair`. `before`:
    lengths of bars above the answers' own, as they were before an edit; such rows cannot be pressed. `keys`: of
    each row the key beside its number that chooses it, or "", for its tooltip. `maps`: of the words of a sentence, the
    place of each one's map, and last that of the chosen phrase; two that are ticked are its ends.
    """
    current = st.session_state.get(key, {}).get("chosen")
    index = _within(chosen if current is None else current, items)
    listed = [_describe(item) for item in items]
    for row, length in zip(listed, before, strict=False):
        row["before"] = _share(length)
    data = {"name": key, "rows": listed, "chosen": index, "ticked": ticked_pair(key, ticks, ticked) or ()}
    data |= {"ticks": 0 if maps else ticks, "plain": plain or bool(before), "keys": keys}
    data |= {} if maps is None else {"maps": maps}
    # Known before the browser has drawn it: what is below a list that replaces another one does not jump.
    height: Any = min(ROW * len(items) - GAP, MOST) if maps is None else "content"
    result = _answers(key=key, data=data, height=height)
    return index if result.chosen is None else _within(result.chosen, items)


def ticked_pair(key: str, ticks: int, first: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Return a list's two ticked rows, the first ticked first; None without two. `first`: before anybody ticks."""
    current = st.session_state.get(key, {}).get("ticked")
    ticked: Sequence[int] = (first or ()) if current is None else current
    return (ticked[0], ticked[1]) if len(ticked) == 2 and set(ticked) <= set(range(ticks)) else None


def _describe(item: Answer) -> dict[str, Any]:
    described = {"label": item.label, "text": item.text, "share": _share(item.bar)}
    return described if item.mood is None else described | {"mood": item.mood}


def _share(bar: float | None) -> float | None:
    return None if bar is None else min(1.0, max(0.0, bar))


def _within(index: int, items: Sequence[Answer]) -> int:
    return min(max(0, int(index)), len(items) - 1)
