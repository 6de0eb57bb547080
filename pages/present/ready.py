"""Offer the ready-made decks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components.session import history_store, page, state
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.streamlit_internals import is_serving
from sightglass.deck import ready
from sightglass.pages.present import decks

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.history import History

READY = {
    "lies": (
        "What is a heat map, and when does it lie?",
        "Five minutes for newcomers: what the colours mean, a test of a map, a model that cheats.",
    ),
    "sizes": (
        "Small, medium or large?",
        "One model in three sizes: whether they agree, where they look, what the larger one costs, and what it finds.",
    ),
}
"""Titles and contents; the slides are `sightglass.deck.ready`'s."""

_MAKING = threading.Lock()


@dataclass
class DeckMaking:
    """The session's ready deck while it is made."""

    name: str = ""
    task: Task[Status] | None = None
    begun: bool = False
    """Whether those that were missing were begun without a click."""


def begin(store: History) -> None:
    """Make those that were never made here, in the background, so that they open at once later."""
    making = state.of(DeckMaking)
    # A test of the page alone has no server, and nobody who comes back later.
    if making.begun or making.task is not None or not is_serving():
        return
    making.begun = True
    if names := ready.missing(store.decks):
        making.name, making.task = "", Task(_make_all, Status(words="Making the ready decks"), store, names)


def _make_all(status: Status, cancel: Event, store: History, names: list[str]) -> None:
    for i, name in enumerate(names):
        _make_once(store, name, lambda share, words, i=i: status.report((i + share) / len(names), words), cancel)  # type: ignore[misc]


def _make_once(store: History, name: str, progress: Callable[[float, str], None], cancel: Event) -> None:
    """Make a ready deck, unless another visitor's session has made it while this one waited."""
    while not _MAKING.acquire(timeout=0.1):
        if cancel.is_set():
            raise Cancelled
    try:
        if all(deck.ready != name for deck in store.decks.all()):
            ready.make(store.decks, name, progress=progress, cancel=cancel)
    finally:
        _MAKING.release()


def progress() -> None:
    """Draw the progress of what is being made; open a deck that was asked for once it is there."""
    making = state.of(DeckMaking)
    if making.task is None:
        return
    if not making.task.finished():
        help = "Stop making this deck; nothing of it is kept."
        background.progress(making.task, help=help, estimate=True)
        return
    task, making.task = making.task, None
    failure = task.status.failure
    if failure is None:
        if not making.name:
            st.rerun()
        made = next((one for one in history_store.store().decks.all() if one.ready == making.name), None)
        if made is not None:
            decks.go(made.id)
            st.rerun()
    elif not isinstance(failure, Cancelled):
        page.show_failure(failure, "a ready deck could not be made")


def card(name: str) -> None:
    """Draw a ready deck that is not made yet, with the button that makes it."""
    title, about = READY[name]
    making = state.of(DeckMaking)

    def make() -> None:
        making.name, making.task = name, Task(_make, Status(words="Loading a model"), history_store.store(), name)

    st.markdown(f"**{title}**")
    st.caption(about)
    st.button(
        "Make and open",
        icon=":material/slideshow:",
        key=f"deck-make-{name}",
        on_click=make,
        disabled=making.task is not None,
        help="It is made on this machine with its own models, and every number in it is measured. That takes about "
        "half a minute, once.",
    )


def _make(status: Status, cancel: Event, store: History, name: str) -> None:
    _make_once(store, name, status.report, cancel)
