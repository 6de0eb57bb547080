"""Draw all decks as cards, and make a new one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import history_store, page, state
from sightglass.components.session.markdown import escape, sentence
from sightglass.deck import archive
from sightglass.deck.archive import READY
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.deck.scene import Deck, Slide


COLUMNS = 3


@dataclass
class Talk:
    """What the page has to say after a callback."""

    problem: str = ""


def problem() -> None:
    """Show what went wrong in the last callback, once."""
    talk = state.of(Talk)
    words, talk.problem = talk.problem, ""
    if words:
        st.error(sentence(words), icon=":material/error:")


@contextmanager
def noting_problems() -> Iterator[None]:
    """Keep a Problem of a callback, for the page to show it."""
    try:
        yield
    except Problem as found:
        state.of(Talk).problem = str(found)


def go(id: str) -> None:
    """Open a deck, in a callback."""
    st.query_params["deck"] = id


def new() -> None:
    """Draw the button that makes an empty deck and opens it."""

    def make() -> None:
        with noting_problems():
            go(history_store.store().decks.create("My deck").id)

    help = "Make an empty deck; slides come from Add to deck on the other pages."
    st.button("New deck", icon=":material/add:", key="deck-new", on_click=make, help=help)


def draw_open_button() -> None:
    """Draw the button that opens the dialog."""
    help = f"Open a deck that somebody exported: one file that ends in {archive.SUFFIX}."
    if not st.button("Open a file", icon=":material/folder_open:", key="deck-file", help=help):
        return

    @st.dialog("Open a deck", icon=":material/folder_open:")
    def show() -> None:
        given = st.file_uploader(
            "A deck's file",
            type=[archive.SUFFIX.removeprefix(".")],
            key="deck-upload",
            max_upload_size=archive.MAX_BYTES >> 20,
            help="Its slides are added as a new deck. Nothing in it is run, and it needs no model.",
        )
        if given is None:
            return
        try:
            made = archive.put(history_store.store().decks, given.getvalue())
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")
            return
        go(made.id)
        st.rerun()

    show()


def draw(cards: Sequence[Callable[[], None]]) -> None:
    """Draw cards in rows."""
    for start in range(0, len(cards), COLUMNS):
        for column, card in zip(st.columns(COLUMNS), cards[start : start + COLUMNS], strict=False):
            with column, st.container(border=True, gap="xsmall"):
                card()


def card(deck: Deck) -> None:
    """Draw a deck with the button that opens it."""
    if picture := _picture(deck):
        st.image(picture, width="stretch", alt=f"A slide of {deck.title}")
    if deck.ready:
        page.draw_example_badge()
    st.markdown(f"**{escape(deck.title)}**")
    made = "comes with Sightglass" if deck.ready else f"changed {history_store.when(deck.changed)}"
    st.caption(f"{plural(len(deck.slides), 'slide')}, {made}")
    help = "See its slides, present it, edit it and export it."
    st.button("Open", icon=":material/slideshow:", key=f"deck-open-{deck.id}", on_click=go, args=(deck.id,), help=help)


def ready_card(name: str) -> None:
    """Draw a packaged deck that nobody opened here yet, with the button that adds it to the decks."""
    title, about = READY[name]

    def open_deck() -> None:
        with noting_problems():
            go(archive.put_ready(history_store.store().decks, name).id)

    page.draw_example_badge()
    st.markdown(f"**{title}**")
    st.caption(about)
    help = "Add it to your decks and open it: it can be presented, edited and exported."
    st.button("Open", icon=":material/slideshow:", key=f"deck-open-{name}", on_click=open_deck, help=help)


def _picture(deck: Deck) -> bytes:
    """Return the first slide's small picture that there is."""
    return next(filter(None, map(small, deck.slides[:3])), b"")


def small(slide: Slide) -> bytes:
    """Return a slide's small picture; empty where it cannot be read."""
    try:
        return history_store.store().decks.thumbnail(slide)
    except Problem:
        return b""
