"""Show the place in the queue, and other lines, below the page."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sightglass.common.work.turns import QUICK
from sightglass.components.session.jobs import presence
from sightglass.components.streamlit_internals import changing_spinner
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sightglass.common.work.turns import Turn

PATIENCE = 0.4
"""Seconds of waiting before it is worth a sentence."""
EVERY = 0.25
"""Seconds between two looks: at the queue, and at whether this session still waits."""
ICON = ":material/hourglass_top:"
"""By which `components/page_title/layout.css` knows this line, and keeps it in sight however the page is scrolled."""


def describe_queue_place(ahead: int) -> str:
    """Return the sentence that tells a session its place in the queue."""
    if not ahead:
        return "Your picture is next."
    return f"{plural(ahead, 'picture')} {'is' if ahead == 1 else 'are'} ahead of yours."


@contextmanager
def line() -> Iterator[Callable[[str], None]]:
    """Yield what shows a line at the foot of the window: it takes no place among the page's elements."""
    show, clear = changing_spinner(ICON)
    try:
        yield show
    finally:
        clear()


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
    with line() as show:
        while True:
            # Raises where the browser has left or asked for another run.
            show(describe_queue_place(turn.ahead))
            if turn.wait(EVERY):
                return
