"""Edit a deck's slides as rows.

The browser reports what a person did as acts, each with a number: an act is followed once, in the order in which it was
done, whichever request brings it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.declare import declare, no_callback, packed_by_content
from sightglass.components.session import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json

KEY = "deck-board"
_component = declare("deck_board", __file__, script="board", html='<div class="component board"></div>')


@dataclass(frozen=True)
class BoardAct:
    """What a person did: `edit` with {id, title, sentence, notes}, `arrange` with the ids in order, `remove`, `copy`
    and `hide` with an id, `play` with the id to begin with."""

    kind: str
    value: Any


@dataclass
class FollowedAct:
    """The last act that was followed, by the board that reported it."""

    last: dict[str, int] = field(default_factory=dict)


def acts() -> list[BoardAct]:
    """Return what was done since the last run, in its order. Called before the page is drawn."""
    followed = state.of(FollowedAct).last
    sent = (st.session_state.get(KEY) or {}).get("acts")
    found = []
    for act in sent if isinstance(sent, list) else ():
        if not isinstance(act, dict):
            continue
        board, number, kind = act.get("board"), act.get("n"), act.get("kind")
        if not (isinstance(board, str) and isinstance(number, int) and isinstance(kind, str)):
            continue
        if number > followed.get(board, 0):
            followed[board] = number
            found.append(BoardAct(kind, act.get("value")))
    return found


def board(deck: str, rows: Sequence[Json], pictures: Sequence[bytes], limits: dict[str, int]) -> None:
    """Draw the rows of a deck: {id, kind in words, title, sentence, notes, hidden: left out where it is presented}.

    `pictures`: a JPEG each, or empty. `limits`: the most letters of each text.
    """
    head = {"deck": deck, "rows": rows, "limits": limits}
    _component(key=KEY, data=packed_by_content(head, pictures)[1], on_acts_change=no_callback)
