"""Edit, arrange, present and export decks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.names import file_stem
from sightglass.explain.phrases import plural
from sightglass.history.decks import MAX_NAME, READY, Deck, Slide
from sightglass.pages.saved.views import draw_tile
from sightglass.report import drawing
from sightglass.report.deck_html import deck_html
from sightglass.report.layouts import THEMES
from sightglass.report.view import MAX_SENTENCE, MAX_TITLE, View
from sightglass.ui import saving
from sightglass.ui.session import page, state
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.views import charts

WORDS = (
    ("Title", View("", kind="words"), "A large title, to begin a part."),
    ("Text", View("", kind="text"), "A headline above a text, of a point a line."),
)
"""Slides of words that can be added, with labels and helps."""
TEXTS = {
    "title": ("Title", MAX_TITLE, "What the slide says, in at most nine words."),
    "sentence": ("Sentence", MAX_SENTENCE, "What a room should take home, in one sentence or two."),
}
"""Labels, most letters and helps of a slide's texts."""
FILES = {
    ".html": ("Web page, .html", "One page that plays in any browser, from a disk, without a network."),
    ".pptx": ("PowerPoint, .pptx", "Text in placeholders, the picture and its map as two layers."),
    ".pdf": ("PDF", "For printing and sending: a page a slide."),
}
"""Labels and helps of a deck's files, by their endings."""


@dataclass
class Editing(state.Kept):
    """Which slide is edited."""

    slide: str = ""


def _button(label: str, icon: str, key: str, act: Callable[[], Any], help: str, **more: Any) -> None:
    st.button(
        label, icon=f":material/{icon}:", key=f"deck-{key}", on_click=page.keeping_problem()(act), help=help, **more
    )


def draw() -> None:
    """Draw all decks, or the one that the address names."""
    decks = (*saving.store().decks.all(), *saving.store().decks.ready())
    chosen = st.query_params.get("deck")
    if (deck := next((deck for deck in decks if deck.id == chosen), None)) is not None:
        _draw_deck(deck)
        return
    if chosen:
        st.query_params.pop("deck", None)
        st.info("That deck was deleted.", icon=":material/delete:")
    _draw_all(decks)


def _draw_all(decks: tuple[Deck, ...]) -> None:
    count = sum(deck.id not in READY for deck in decks)
    st.markdown(f"## {plural(count, 'deck')} of yours" if count else "## Slides to present")
    if not count:
        st.markdown("Press **Add to deck** below a map on any page, or begin with a ready one.")
    page.say_problem()
    help = "Make an empty deck; slides come from Add to deck on the other pages."
    create = lambda: st.query_params.update(deck=saving.store().decks.create("My deck").id)  # noqa: E731
    _button("New deck", "add", "new", create, help)
    draw_tiles(sorted(decks, key=lambda deck: deck.id in READY))


def draw_tiles(decks: Sequence[Deck]) -> None:
    """Draw a tile for each deck."""
    with st.container(horizontal=True, key="saved-tiles"):
        for deck in decks:
            picture = next(filter(None, map(_thumbnail, deck.slides[:3])), b"")
            about = f"{plural(len(deck.slides), 'slide')}, changed {saving.format_day(deck.changed)}"
            about = "It cannot be read: open it to see why." if deck.damaged else about
            if deck.id in READY and deck.slides:
                about = f"Example: {escape(deck.slides[0].view.sentence)}"
            alt, help = f"A slide of {deck.title}", "See, present, edit or export it."
            draw_tile({"deck": deck.id}, picture, deck.title, about, alt=alt, help=help)


@st.cache_data(show_spinner=False, max_entries=500)
def _thumbnail(slide: Slide) -> bytes:
    """Return a slide's thumbnail; empty if unreadable."""
    try:
        return drawing.thumbnail(slide.view)
    except Problem:
        return b""


def _draw_unreadable(deck: Deck) -> Deck:
    """Say what of a deck cannot be read; return the deck without that."""
    if deck.damaged:
        st.error(sentence(deck.damaged), icon=":material/error:")
    readable = []
    for number, slide in enumerate(deck.slides, 1):
        try:
            assert slide.view
        except Problem as problem:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.warning(f"Slide {number} is left out. {sentence(problem)}", icon=":material/warning:")
                remove = partial(saving.store().decks.remove, slide.id)
                _button(f"Delete slide {number}", "delete", f"drop-{slide.id}", remove, "There is no way back.")
            continue
        readable.append(slide)
    return replace(deck, slides=tuple(readable))


def _draw_deck(deck: Deck) -> None:
    deck = _draw_unreadable(deck)
    if deck.slides and saving.PLAY in st.query_params:
        help = "Back to the slides, to change and arrange them: Esc."
        _button("Edit the slides", "edit", "edit", lambda: st.query_params.pop(saving.PLAY, None), help)
        first = st.query_params.get(saving.PLAY, "")
        start = max(0, min(int(first) - 1 if first.isdecimal() else 0, len(deck.slides) - 1))
        _draw_stage(deck, deck.slides, "play", start=start)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _button("All decks", "arrow_back", "back", _leave, "Back to all decks.", type="tertiary")
        st.markdown(f"## {escape(deck.title)}", width="content")
    page.say_problem()
    with st.container(horizontal=True, vertical_alignment="center"):
        _draw_actions(deck)
    if deck.damaged:
        return
    if not deck.slides:
        st.markdown("No slides yet: press **Add to deck** below a map on any page.")
        st.page_link(page.script("explore"), label="Go to Explore", icon=":material/visibility:")
        return
    chosen = next((slide for slide in deck.slides if slide.id == state.of(Editing).slide), deck.slides[0])
    strip, large = st.columns([1, 4], gap="medium")
    with strip:
        _draw_strip(deck, chosen)
    with large:
        _draw_slide(deck, chosen)


def _draw_strip(deck: Deck, chosen: Slide) -> None:
    """Draw the deck's slides small, and their buttons."""
    with st.container(height=640, border=False, gap="xsmall", key="saved-strip"):
        for number, slide in enumerate(deck.slides, 1):
            if picture := _thumbnail(slide):
                st.image(picture, width="stretch", alt=f"Slide {number}")
            label = f"{number} · {slide.view.title or 'Without a title'}"
            look: dict[str, Any] = {"type": "primary" if slide.id == chosen.id else "tertiary", "width": "stretch"}
            choose = partial(setattr, state.of(Editing), "slide", slide.id)
            _button(escape(label), "slideshow", f"slide-{slide.id}", choose, "Show and edit this slide.", **look)


def _leave() -> None:
    for name in ("deck", saving.PLAY):
        st.query_params.pop(name, None)
    state.forget(Editing)


def _draw_stage(deck: Deck, slides: Sequence[Slide], key: str, **more: int) -> None:
    """Draw slides of a deck as they are presented; `more`: of `deck_html`."""

    def make() -> bytes:
        return deck_html([slide.view for slide in slides], deck.title, THEMES[deck.theme], **more)

    depends_on = (deck.id, deck.changed, [slide.id for slide in slides], more)
    saving.stage(state.latest(f"deck-{key}", depends_on, make), key=key)


def _draw_actions(deck: Deck) -> None:
    """Draw the deck's actions: present, export, extend, change, delete."""
    if deck.slides:
        ids = [slide.id for slide in deck.slides]
        chosen = state.of(Editing).slide
        start = str(ids.index(chosen) + 1 if chosen in ids else 1)
        help = "Show the deck from this slide on the whole screen: Esc leaves it, ? lists all keys."
        play = lambda: st.query_params.update({saving.PLAY: start})  # noqa: E731
        _button("Present", "play_arrow", "play", play, help, type="primary")
        with st.popover("Export", icon=":material/download:", key="deck-export", help="Take the deck with you."):
            for number, view in enumerate((slide.view for slide in deck.slides), 1):
                if words := "Left out of the files: nothing stands on it." if view.empty else view.left_out:
                    st.caption(f":material/warning: Slide {number}: {escape(words)}")
            for suffix, (label, help) in FILES.items():
                name = f"{file_stem(deck.title)}{suffix}"
                charts.download(label, partial(deck.file, suffix), name, key=f"deck{suffix}-{deck.id}", help=help)
    for label, view, help in WORDS:
        _button(label, "add", f"add-{view.kind}", partial(saving.store().decks.add, deck.id, view), help)
    light, title = f"deck-light-{deck.id}", f"deck-title-{deck.id}"

    @page.keeping_problem()
    def change() -> None:
        theme = "light" if st.session_state[light] else "dark"
        saving.store().decks.change(deck.id, title=st.session_state[title], theme=theme)

    with st.popover("Deck", icon=":material/edit:", key="deck-change", help="Its title and theme, or delete it."):
        st.text_input("Title of the deck", deck.title, key=title, max_chars=MAX_NAME, on_change=change)
        help = "Dark letters on white, for a bright room and for paper; files and small pictures follow."
        st.toggle("Light", deck.theme == "light", key=light, on_change=change, help=help)
        help = "There is no way back, unless you exported it. Saved views stay."
        label = f"Delete the deck with {plural(len(deck.slides), 'slide')}"
        label = "Undo all changes" if deck.id in READY else label
        _button(label, "delete", "delete", partial(_delete, deck.id), help)


def _delete(id: str) -> None:
    saving.store().decks.delete(id)
    _leave()


def _draw_slide(deck: Deck, slide: Slide) -> None:
    """Draw one slide large, with its texts and actions."""
    decks, index = saving.store().decks, deck.slides.index(slide)
    _draw_stage(deck, [slide], "edit", number=index + 1)

    @page.keeping_problem()
    def edit() -> None:
        decks.edit(slide.id, **{name: st.session_state.get(f"deck-{name}-{slide.id}") or "" for name in TEXTS})

    for name, (label, most, help) in TEXTS.items():
        field: Any = st.text_input if name == "title" else st.text_area
        key = f"deck-{name}-{slide.id}"
        field(label, getattr(slide.view, name), key=key, max_chars=most, on_change=edit, help=help)
    with st.container(horizontal=True):
        for label, icon, at in (("Earlier", "arrow_upward", index - 1), ("Later", "arrow_downward", index + 1)):
            order = [*deck.slides]
            order.insert(max(0, at), order.pop(index))
            move, disabled = partial(decks.change, deck.id, slides=order), not 0 <= at < len(order)
            _button(label, icon, f"do-{icon}", move, "Move the slide.", disabled=disabled)
        # Of another slide it is another popover, which is closed.
        key = f"deck-ask-{slide.id}"
        with st.popover("Delete", icon=":material/delete:", key=key, help="Delete the slide."):
            help = "There is no way back."
            _button("Delete the slide", "delete", "do-delete", partial(decks.remove, slide.id), help)
