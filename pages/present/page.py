"""Present: edit, arrange, present and export decks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import history_store, page, state
from sightglass.components.session.markdown import sentence
from sightglass.deck.archive import READY
from sightglass.explain.phrases import plural
from sightglass.pages.present import slides

if TYPE_CHECKING:
    from sightglass.deck.scene import Deck


@page.guard
def present() -> None:
    if history_store.off():
        st.markdown("## Decks are kept in History, which is switched off")
        st.markdown(
            "This dashboard was started with SIGHTGLASS_HISTORY set to `off`. Start it without that variable, or set "
            "it to a folder: **Add to deck** is then below every map."
        )
        return
    store = history_store.store()
    try:
        found = store.decks.all()
    except Problem as problem:
        st.markdown("## Decks cannot be used here")
        st.error(sentence(problem), icon=":material/error:")
        return
    chosen = st.query_params.get("deck")
    deck = next((one for one in found if one.id == chosen), None)
    if deck is not None:
        slides.draw(deck)
        return
    if chosen:
        st.query_params.pop("deck", None)
        st.info("That deck was deleted.", icon=":material/delete:")
    _all(found)


def _all(found: tuple[Deck, ...]) -> None:
    own = sum(not deck.ready for deck in found)
    st.markdown(f"## {plural(own, 'deck')} of yours" if own else "## Show it to a room")
    if not own:
        st.markdown(
            "A deck is a row of slides, each one of your views with its picture, answer, map and seal. Press **Add "
            "to deck** below a map on any page, or begin with a ready one."
        )
    page.say_problem(state.of(slides.Talk))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        slides.new()
        slides.draw_open_button()
    cards = [partial(slides.card, deck) for deck in sorted(found, key=lambda deck: bool(deck.ready))]
    there = {deck.ready for deck in found}
    offers = [name for name in READY if name not in there]
    slides.draw_cards([*cards, *(partial(slides.ready_card, name) for name in offers)])


present()
