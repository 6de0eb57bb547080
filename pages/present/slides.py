"""Draw all decks as cards, and one deck with its slides and controls."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.common.settings import MIB
from sightglass.components.declare import declare, no_callback, packed_by_content
from sightglass.components.saving.slides import stage
from sightglass.components.session import history_store, page, state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.views import charts
from sightglass.deck import archive, making, rows
from sightglass.deck.archive import READY
from sightglass.deck.html_file import settings_payload
from sightglass.deck.items import THEMES
from sightglass.deck.scene import MAX_NAME, MAX_NOTES, MAX_SENTENCE, MAX_TITLE, Scene
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.common.files import Json
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
        return making.scene(images[0], (), title=images[0].name, sentence="")
    panels = [rows.picture(image, image.name) for image in images]
    return making.scene(images[0], panels, title="Side by side", sentence="", kind="row", question="What differs?")


KINDS = {
    "picture": "Picture",
    "models": "Models",
    "classes": "Classes",
    "story": "Story",
    "clip": "Clip",
    "row": "Row",
    **{kind: label for kind, (label, *_) in WORDS.items()},
}
FILES = (
    ("Web page, .html", "html", "One page that plays in any browser, from a disk, without a network."),
    ("PowerPoint, .pptx", "pptx", "Native text, the picture and each map as layers to switch, your notes."),
    ("PDF", "pdf", "For printing and sending: a page a slide."),
)
PLAY = "play"
"""Of the address: the stage is shown, from that slide."""
_stages: ByteCache[bytes] = ByteCache(16 * MIB, len)
"""Decks as they are presented."""
LIMITS = {"title": MAX_TITLE, "sentence": MAX_SENTENCE, "notes": MAX_NOTES}


@dataclass
class Editing:
    """What can be undone."""

    removed: Removed | None = None


def draw(deck: Deck) -> None:
    """Draw the deck, after what was done since the last run."""
    _follow(acts())
    deck = history_store.store().decks.get(deck.id)
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
    rows: list[Json] = [
        {"id": one.id, "kind": KINDS.get(one.kind, ""), "hidden": one.view.hidden}
        | {name: getattr(one, name) for name in LIMITS}
        for one in deck.slides
    ]
    board(deck.id, rows, list(map(small, deck.slides)), LIMITS)
    st.caption(
        "Click a title or a sentence to change it; it is saved while you type. Drag a slide by its handle, or use the "
        "arrows."
    )


def _follow(done: list[BoardAct]) -> None:
    """Do what a person did on the board."""
    store, chosen = history_store.store(), st.query_params.get("deck", "")
    for act in done:
        with noting_problems():
            if act.kind == "play":
                ids = [slide.id for slide in store.decks.get(chosen).shown]
                st.query_params[PLAY] = str(ids.index(str(act.value)) + 1 if act.value in ids else 1)
            elif act.kind == "arrange" and isinstance(act.value, list):
                store.decks.arrange(chosen, [str(id) for id in act.value])
            elif act.kind == "remove":
                state.of(Editing).removed = store.decks.remove(str(act.value))
            elif act.kind == "copy":
                store.decks.duplicate(str(act.value))
            elif act.kind == "hide":
                slide = next((one for one in store.decks.get(chosen).slides if one.id == act.value), None)
                if slide is not None:
                    store.decks.edit(slide.id, view=replace(slide.view, hidden=not slide.view.hidden))
            elif act.kind == "edit" and isinstance(act.value, dict):
                title, sentence, notes = (str(act.value.get(name, ""))[:most] for name, most in LIMITS.items())
                store.decks.edit(str(act.value.get("id")), title=title, sentence=sentence, notes=notes)


def _edit() -> None:
    st.query_params.pop(PLAY, None)


def _back() -> None:
    for name in ("deck", PLAY):
        st.query_params.pop(name, None)
    state.forget(Editing)


def _play(deck: Deck) -> None:
    """Draw the stage, from the slide that the address names."""
    first = st.query_params.get(PLAY, "")
    slide = int(first) - 1 if first.isdecimal() else 0
    key = (str(history_store.store().folder), deck.id, deck.changed)
    store = history_store.store()
    data = _stages.get_or_make(key, lambda: settings_payload([store.decks.scene(one) for one in deck.shown]))
    slide = max(0, min(slide, len(deck.shown) - 1))
    theme = THEMES[deck.theme].name
    stage(data, key=f"deck-stage-{deck.id}", title=deck.title, slide=slide, start=True, theme=theme)


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
        st.query_params[PLAY] = "1"

    if deck.shown:
        help = "Show the slides, here or on the whole screen."
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
        help="Dark letters on white, for a bright room. A PDF is always light, for paper.",
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
