"""Draw all decks as cards, and one deck with its slides and controls."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.common.settings import MIB
from sightglass.components.saving.slides import slide_page, stage
from sightglass.components.session import history_store, page, state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.views import charts
from sightglass.deck import archive, making, rows
from sightglass.deck.archive import READY
from sightglass.deck.layouts import THEMES
from sightglass.deck.scene import MAX_NAME, MAX_NOTES, MAX_SENTENCE, MAX_TITLE, Scene
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.deck.scene import Deck, Kind, Removed, Slide


COLUMNS = 3


@dataclass
class Talk:
    """What the page has to say after a callback."""

    problem: str = ""


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

    help = f"Open a deck that somebody exported: one file that ends in {archive.SUFFIX}."
    icon = ":material/folder_open:"
    page.button_for_window("Open a file", show, icon=icon, key="deck-file", help=help, title="Open a deck")


def draw_cards(cards: Sequence[Callable[[], None]]) -> None:
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


MAX_PICTURES = 4
"""Pictures side by side."""
WORDS: dict[Kind, tuple[str, str, str, str]] = {
    "words": ("Title", "A title", "What the next slides are about.", "A large title, to begin a part."),
    "text": ("Text", "A headline", "Write here.", "A headline above a text. A new line begins a new point."),
    "columns": (
        "Two columns",
        "A headline",
        "The left column\n\nThe right column",
        "A headline above two texts. An empty line begins the second.",
    ),
}
"""Labels, titles and texts to begin with, and helps of the slides of words."""


def _add_button(deck: Deck) -> None:
    """Draw the menu that adds a slide at the end."""
    with st.popover("Add a slide", icon=":material/add:", key="deck-add", help="A slide of words or of your pictures."):
        with st.container(horizontal=True):
            for kind, (label, _, _, help) in WORDS.items():
                st.button(label, key=f"deck-add-{kind}", on_click=_add_words, args=(deck.id, kind), help=help)
        given = st.file_uploader(
            "Your pictures",
            type=["png", "jpg", "jpeg", "webp"],
            accept_multiple_files=True,
            key=f"deck-pictures-{deck.id}-{len(deck.slides)}",
            help=f"One picture fills the slide; two to {MAX_PICTURES} stand side by side.",
        )
        if given and st.button("Add the pictures", key="deck-add-pictures", help="Make one slide of them."):
            try:
                history_store.store().decks.add(deck.id, _of_pictures([(one.name, one.getvalue()) for one in given]))
            except Problem as problem:
                st.error(sentence(problem), icon=":material/error:")
                return
            st.rerun()
        st.caption("Slides of maps come from **Add to deck** on the other pages.")


def _add_words(deck: str, kind: Kind) -> None:
    _, title, text, _ = WORDS[kind]
    with noting_problems():
        history_store.store().decks.add(deck, Scene(kind, title, text))


def _of_pictures(files: Sequence[tuple[str, bytes]]) -> Scene:
    """Return a slide of a picture, or of several side by side; raise a Problem for a file that is none."""
    images = [Image.open(data, name=name) for name, data in files[:MAX_PICTURES]]
    if len(images) == 1:
        return making.scene(images[0], (), title="", sentence="")
    panels = [rows.picture(image, image.name) for image in images]
    return making.scene(images[0], panels, title="Side by side", sentence="", kind="row")


FILES = (
    ("Web page, .html", "html", "One page that plays in any browser, from a disk, without a network."),
    ("PowerPoint, .pptx", "pptx", "Text in placeholders, the picture and its map as two layers, your notes."),
    ("PDF", "pdf", "For printing and sending: a page a slide."),
)
PLAY = "play"
"""Of the address: the whole deck is shown, from that slide."""
_stages: ByteCache[str] = ByteCache(64 * MIB, len)
"""Decks and slides as they are shown."""


@dataclass
class Editing:
    """Which slide is edited, and what can be undone."""

    slide: str = ""
    removed: Removed | None = None


def draw(deck: Deck) -> None:
    """Draw the deck."""
    playing = bool(deck.shown) and PLAY in st.query_params
    # In one row above the stage, so that all of it is seen.
    with st.container(horizontal=playing, vertical_alignment="center", gap="small" if playing else None):
        st.button(
            "All decks",
            icon=":material/arrow_back:",
            type="tertiary",
            key="deck-back",
            on_click=_back,
            help="Back to all decks.",
        )
        st.markdown(f"## {escape(deck.title)}", width="content" if playing else "stretch")
        if playing:
            help = "Back to the slides, to change and arrange them."
            st.button("Edit the slides", icon=":material/edit:", key="deck-edit", on_click=_edit, help=help)
    page.say_problem(state.of(Talk))
    if playing:
        _play(deck)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        _actions(deck)
    _undo(deck)
    if not deck.slides:
        _empty()
        return
    chosen = state.of(Editing).slide
    slide = next((one for one in deck.slides if one.id == chosen), deck.slides[0])
    strip, large = st.columns([1, 4], gap="medium")
    with strip, st.container(height=640, border=False, gap="xsmall"):
        _strip(deck, slide)
    with large:
        _slide(deck, slide)


def _strip(deck: Deck, chosen: Slide) -> None:
    """Draw the slides small, each with the button that opens it."""

    def choose(id: str) -> None:
        state.of(Editing).slide = id

    for number, slide in enumerate(deck.slides, 1):
        if picture := small(slide):
            st.image(picture, width="stretch", alt=f"Slide {number}")
        st.button(
            f"{number} · {slide.title or 'Without a title'}{' (hidden)' if slide.view.hidden else ''}",
            key=f"deck-slide-{slide.id}",
            type="primary" if slide.id == chosen.id else "tertiary",
            on_click=choose,
            args=(slide.id,),
            width="stretch",
            help="Show and edit this slide.",
        )


def _slide(deck: Deck, slide: Slide) -> None:
    """Draw one slide large, with its texts and what can be done with it."""
    store, number = history_store.store(), deck.slides.index(slide) + 1
    scene, theme = store.decks.scene(slide), THEMES[deck.theme].name
    key = (str(store.folder), deck.id, deck.theme, slide.id, slide.title, slide.sentence, str(slide.view), number)
    stage(_stages.get_or_make(key, lambda: slide_page([scene], theme=theme, number=number)), key="edit")

    def edit() -> None:
        texts = {name: str(st.session_state.get(f"deck-{name}-{slide.id}") or "") for name in TEXTS}
        with noting_problems():
            store.decks.edit(slide.id, **texts)

    for name, (label, most, help) in TEXTS.items():
        draw_field = st.text_input if name == "title" else st.text_area
        draw_field(
            label, getattr(slide, name), key=f"deck-{name}-{slide.id}", max_chars=most, on_change=edit, help=help
        )
    with st.container(horizontal=True):
        ids = [one.id for one in deck.slides]
        for label, icon, by in (("Earlier", "arrow_upward", -1), ("Later", "arrow_downward", 1)):
            at = number - 1 + by
            order = [one for one in ids if one != slide.id]
            order.insert(max(0, at), slide.id)
            _slide_button(label, icon, partial(store.decks.arrange, deck.id, order), off=not 0 <= at < len(ids))
        _slide_button("Duplicate", "content_copy", partial(store.decks.duplicate, slide.id))
        hidden = replace(slide.view, hidden=not slide.view.hidden)
        label, icon = ("Hide", "visibility_off") if hidden.hidden else ("Show again", "visibility")
        _slide_button(label, icon, partial(store.decks.edit, slide.id, view=hidden))
        _slide_button("Delete the slide", "delete", partial(_remove, slide.id))


TEXTS = {
    "title": ("Title", MAX_TITLE, "What the slide says, in at most nine words."),
    "sentence": (
        "Sentence",
        MAX_SENTENCE,
        "What a room should take home; what does not fit is in the notes.",
    ),
    "notes": ("Speaker's notes", MAX_NOTES, "For you alone, in the second window and in PowerPoint."),
}
"""Labels, most letters and helps of a slide's texts."""


def _slide_button(label: str, icon: str, act: Callable[[], object], *, off: bool = False) -> None:
    def do() -> None:
        with noting_problems():
            act()

    key = f"deck-do-{icon.removesuffix('_off')}"
    st.button(label, icon=f":material/{icon}:", key=key, on_click=do, disabled=off, help=f"{label}.")


def _remove(id: str) -> None:
    state.of(Editing).removed = history_store.store().decks.remove(id)


def _edit() -> None:
    st.query_params.pop(PLAY, None)


def _back() -> None:
    for name in ("deck", PLAY):
        st.query_params.pop(name, None)
    state.forget(Editing)


def _play(deck: Deck) -> None:
    """Draw the whole deck, from the slide that the address names."""
    first = st.query_params.get(PLAY, "")
    start = max(0, min(int(first) - 1 if first.isdecimal() else 0, len(deck.shown) - 1))
    store = history_store.store()
    key = (str(store.folder), deck.id, deck.changed, start)

    def make() -> str:
        scenes = [store.decks.scene(one) for one in deck.shown]
        return slide_page(scenes, title=deck.title, theme=THEMES[deck.theme].name, start=start)

    stage(_stages.get_or_make(key, make), key="play")


def _undo(deck: Deck) -> None:
    """Offer to bring back the slide that was deleted last."""
    removed = state.of(Editing).removed
    if removed is None or removed.deck != deck.id:
        return

    def undo() -> None:
        state.of(Editing).removed = None
        with noting_problems():
            history_store.store().decks.put_back(removed)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/delete: Slide {removed.place + 1} deleted.", width="content")
        help = "Put the slide back at its place."
        st.button("Undo", icon=":material/undo:", key="deck-undo", on_click=undo, help=help)


def _actions(deck: Deck) -> None:
    def play() -> None:
        ids = [slide.id for slide in deck.shown]
        chosen = state.of(Editing).slide
        st.query_params[PLAY] = str(ids.index(chosen) + 1 if chosen in ids else 1)

    if deck.shown:
        help = "Show the deck from this slide: F for the whole screen, S for your notes, ? for all keys."
        st.button("Present", icon=":material/play_arrow:", key="deck-play", on_click=play, help=help)
        _export(deck)
    _changes(deck)
    st.caption(f"{plural(len(deck.slides), 'slide')}, changed {history_store.when(deck.changed)}", width="content")


def _changes(deck: Deck) -> None:
    """Draw what renames the deck, and what deletes it."""
    _add_button(deck)
    st.toggle(
        "Light",
        deck.theme == "light",
        key=f"deck-light-{deck.id}",
        on_change=_change,
        args=("set_theme", deck.id, lambda: "light" if st.session_state[f"deck-light-{deck.id}"] else "dark"),
        help="Dark letters on white, for a bright room and for paper; files and small pictures follow.",
    )
    with st.popover("Rename", icon=":material/edit:", key="deck-rename", help="Give the deck another title."):
        st.text_input(
            "Title of the deck",
            deck.title,
            key=f"deck-title-{deck.id}",
            max_chars=MAX_NAME,
            on_change=_change,
            args=("rename", deck.id, lambda: st.session_state[f"deck-title-{deck.id}"]),
            help="Press Enter to save it.",
        )
    with st.popover("Delete", icon=":material/delete:", key="deck-delete", help="Delete this deck; asks first."):
        st.markdown(f"Delete this deck with its {plural(len(deck.slides), 'slide')}? What is in History stays there.")
        help = "There is no way back, unless you exported it."
        st.button("Delete the deck", key="deck-delete-yes", on_click=_delete, args=(deck.id,), help=help)


def _change(method: str, id: str, value: Callable[[], str]) -> None:
    """Change a deck by a method of `Decks`, in a callback."""
    with noting_problems():
        getattr(history_store.store().decks, method)(id, value())


def _delete(id: str) -> None:
    with noting_problems():
        history_store.store().decks.delete(id)
        _back()


def _export(deck: Deck) -> None:
    """Draw the files of a deck, each made when its button is pressed."""
    with st.popover("Export", icon=":material/download:", key="deck-export", help="Take the deck with you."):
        store = history_store.store()
        charts.download(
            f"Deck, {archive.SUFFIX}",
            partial(archive.of, store.decks, deck),
            archive.file_name(deck.title),
            key=f"deck-file-{deck.id}",
            help="One file that Present opens on another machine, with everything that is drawn.",
        )
        for label, suffix, help in FILES:
            make = partial(store.decks.file, deck, f".{suffix}")
            name = f"{file_stem(deck.title)}.{suffix}"
            charts.download(label, make, name, key=f"deck-{suffix}-{deck.id}", help=help)


def _empty() -> None:
    st.markdown(
        "No slides yet. Go to a page with a map and press **Add to deck** below it. The view becomes a slide, with a "
        "title and a sentence that you can change here."
    )
    help = "Explain a picture there."
    st.page_link(page.script("explore"), label="Go to Explore", icon=":material/visibility:", help=help)
