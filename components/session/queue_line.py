"""Wait for a turn at the models, and say meanwhile how many pictures are before this one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.proto.Element_pb2 import Element
from streamlit.runtime.scriptrunner_utils.script_run_context import enqueue_message

from common.turns import QUICK
from components.session import presence
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.turns import Turn

PATIENCE = 0.4
"""Seconds of waiting before it is worth a sentence."""
EVERY = 0.25
"""Seconds between two looks: at the queue, and at whether this session still waits."""
ICON = ":material/hourglass_top:"
"""By which `components/page_title/layout.css` knows this line, and keeps it in sight however the page is scrolled."""


def words(ahead: int) -> str:
    """Return the sentence that tells a session its place in the queue."""
    if not ahead:
        return "Your picture is next."
    return f"{plural(ahead, 'picture')} {'is' if ahead == 1 else 'are'} ahead of yours."


@contextmanager
def turn() -> Iterator[None]:
    """Take a turn at the models, in the thread of a page: where nobody waits, at once; none once the browser left."""
    with QUICK.turn() as own:
        stand(own)
        with presence.visit():
            yield


def stand(turn: Turn) -> None:
    """Wait for a turn, in the thread of a page; a session that leaves, or wants something else, gives its place up."""
    if turn.wait(PATIENCE):
        return
    # As a spinner it takes no place among the page's elements; but the text of Streamlit's own cannot change.
    line = Element()
    line.spinner.text = ICON
    show, clear = st._main._transient(line)
    try:
        while True:
            line.spinner.text = f"{ICON} {words(turn.ahead)}"
            # Raises where the browser has left or asked for another run.
            enqueue_message(show())
            if turn.wait(EVERY):
                return
    finally:
        enqueue_message(clear())
