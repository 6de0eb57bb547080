"""Store decks in the history, a file of `archive` each."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sightglass import examples
from sightglass.common.errors import Problem, typed_line
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import NBSP
from sightglass.history import archive
from sightglass.history.store import EPOCH, write_folder
from sightglass.report import deck_html, deck_pptx, pdf
from sightglass.report.layouts import THEMES
from sightglass.report.stored import pack, unpack
from sightglass.report.view import MAX_NOTES, MAX_SENTENCE, MAX_TITLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sightglass.history.store import Store
    from sightglass.report.view import View

GONE = "There is no such deck: it was deleted, or never made here."
NO_SLIDE = "There is no such slide: it was deleted."


@dataclass(frozen=True)
class Slide:
    """An entry of a deck."""

    id: str
    """That of its deck, a hyphen and its own."""
    packed: bytes
    """`report.stored.pack` of its view."""

    @cached_property
    def view(self) -> View:
        """What it shows. Raises Problem for a damaged one."""
        (view,) = unpack(self.packed)
        return view


@dataclass(frozen=True)
class Deck:
    """Slides in their order."""

    id: str
    title: str
    slides: tuple[Slide, ...] = ()
    theme: str = "dark"
    """Of `layouts.THEMES`: how it is presented and exported."""
    ready: str = ""
    """Which of the ready decks it is; empty for one of somebody's own."""
    changed: datetime = EPOCH
    """Aware, in UTC."""

    def file(self, kind: str) -> bytes:
        """Return the deck as a file for others; `kind` is .html, .pptx, .pdf or .sightglass, KeyError for another.

        Raises Problem for a deck without slides, except for .sightglass, which `Decks.open` takes.
        """
        if kind == archive.SUFFIX:
            return archive.join([slide.packed for slide in self.slides], self.title, self.theme)
        makers = {".html": deck_html.deck_html, ".pptx": deck_pptx.deck_pptx, ".pdf": pdf.deck_pdf}
        return makers[kind]([slide.view for slide in self.slides], self.title, THEMES[self.theme])


_DECKS: ByteCache[Deck] = ByteCache(64 * MIB, lambda deck: sum(len(slide.packed) for slide in deck.slides))
"""The latest ones by path and time of change."""


class Decks:
    """The decks of a history: `History().decks`.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used or a deck is gone.

    >>> deck = history.decks.create("For Monday")
    >>> history.decks.add(deck.id, view)
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> tuple[Deck, ...]:
        """Return all decks, last changed first; a damaged one is empty, and can be deleted."""
        decks = []
        with self._store.reading():
            for path in self._store.decks.glob(f"*{archive.SUFFIX}"):
                try:
                    decks.append(_read_cached(path))
                except Problem:
                    decks.append(Deck(path.stem, "A damaged deck"))
        return tuple(sorted(decks, key=lambda deck: deck.changed, reverse=True))

    def get(self, id: str) -> Deck:
        with self._store.reading():
            return _read_cached(self._find(id))

    def create(self, title: str, views: Iterable[View] = (), *, ready: str = "", theme: str = "dark") -> Deck:
        """Make a deck of views: none of it where there is no room. `ready`: which of the ready decks it is. The views
        are taken one at a time. Raises KeyError for another theme than `dark` and `light`."""
        id = secrets.token_hex(8)
        # A loop's variable would hold each view, with all its maps, while the next one is read.
        slides = tuple(map(_new_slide(id), views))
        deck = Deck(id, archive.name(title), slides, THEMES[theme].name, ready)
        with self._store.writing() as database:
            self._store.check_room(database, sum(len(slide.packed) for slide in slides))
            save(self._store.decks, deck)
        return self.get(id)

    def open(self, data: bytes, *, ready: str = "") -> Deck:
        """Add a deck's file, without its commands; `ready`: its name in `archive.READY`.

        Raises Problem where it is none, or where there is no room: then none of it is added.
        """
        title, slides, theme = archive.open_deck(data)
        # A stranger's commands may do anything in a shell.
        safe = slides if ready else (replace(view, commands=()) for view in slides)
        return self.create(title, safe, ready=ready, theme=theme)

    def open_ready(self, name: str) -> Deck:
        """Add one of `archive.READY`, or return the existing one."""
        existing = next((deck for deck in self.all() if deck.ready == name), None)
        file = examples.find(examples.DECKS) / f"{name}{archive.SUFFIX}"
        return existing or self.open(file.read_bytes(), ready=name)

    def change(self, id: str, *, title: str | None = None, theme: str | None = None) -> Deck:
        """Change a deck's title, or its theme: `dark` or `light`; KeyError for another."""
        new: Any = {} if title is None else {"title": archive.name(title)}
        new |= {} if theme is None else {"theme": THEMES[theme].name}
        return self._change(id, lambda deck: replace(deck, **new))

    def delete(self, id: str) -> None:
        """Delete a deck and its slides; the history's records stay."""
        with self._store.writing():
            self._find(id).unlink()

    def add(self, deck: str, view: View) -> Slide:
        """Add a slide at the end of a deck; synced to the disk when this returns."""
        slide = _new_slide(deck)(view)
        self._change(deck, lambda old: replace(old, slides=(*old.slides, slide)), len(slide.packed))
        return slide

    def edit(self, id: str, *, title: str | None = None, sentence: str | None = None, notes: str | None = None) -> None:
        """Replace a slide's texts; None keeps one."""
        texts = {"title": title, "statements": None if sentence is None else (sentence,), "notes": notes}
        new: Any = {name: text for name, text in texts.items() if text is not None}

        def change(slide: Slide) -> Slide:
            return Slide(id, _pack(replace(slide.view, **new))) if slide.id == id else slide

        self._change(id, lambda deck: replace(deck, slides=tuple(map(change, deck.slides))))

    def arrange(self, deck: str, slides: Sequence[Slide]) -> Deck:
        """Order slides; removed ones come back, and others are last."""

        def change(old: Deck) -> Deck:
            return replace(old, slides=tuple({slide.id: slide for slide in (*slides, *old.slides)}.values()))

        return self._change(deck, change)

    def remove(self, id: str) -> None:
        """Remove a slide from its deck."""
        self._change(id, lambda deck: replace(deck, slides=tuple(slide for slide in deck.slides if slide.id != id)))

    def _change(self, id: str, change: Callable[[Deck], Deck], more: int = 0) -> Deck:
        """Save what `change` makes of the deck of an id, or of its slide; it takes `more` bytes."""
        with self._store.writing() as database:
            deck = read(self._find(id.partition("-")[0]))
            if id not in (deck.id, *(slide.id for slide in deck.slides)):
                raise Problem(NO_SLIDE)
            self._store.check_room(database, more)
            save(self._store.decks, change(deck))
        return self.get(deck.id)

    def _find(self, id: str) -> Path:
        path = self._store.decks / f"{id}{archive.SUFFIX}"
        if path.parent != self._store.decks or not path.is_file():
            raise Problem(GONE)
        return path


def read(path: Path) -> Deck:
    """Return a saved deck. Raises Problem for a damaged one."""
    about, packed = archive.split(path.read_bytes())
    if len(ids := about.get("ids", ())) != len(packed):
        # An exported file has none: `Decks.open` takes it.
        raise Problem(archive.NO_DECK)
    slides = tuple(map(Slide, ids, packed))
    changed = EPOCH + timedelta(microseconds=path.stat().st_mtime_ns // 1000)
    return Deck(path.stem, about["title"], slides, about["theme"], about["ready"], changed)


def _read_cached(path: Path) -> Deck:
    """Return the same, for all but changes: two files of one moment may be taken for each other."""
    status = path.stat()
    return _DECKS.get_or_make((path, status.st_mtime_ns, status.st_ino, status.st_size), lambda: read(path))


def save(folder: Path, deck: Deck) -> None:
    """Save a deck to the disk."""
    name, ids = f"{deck.id}{archive.SUFFIX}", [slide.id for slide in deck.slides]
    packed = [slide.packed for slide in deck.slides]
    write_folder(folder, {name: archive.join(packed, deck.title, deck.theme, ready=deck.ready, ids=ids)})


def _new_slide(deck: str) -> Callable[[View], Slide]:
    return lambda view: Slide(f"{deck}-{secrets.token_hex(4)}", _pack(view))


def _pack(view: View) -> bytes:
    """Pack a view with legible texts; raise Problem for long ones."""
    paragraphs = [typed_line(paragraph, MAX_NOTES, "A speaker's note") for paragraph in view.notes.splitlines()]
    if len(notes := "\n".join(paragraphs).strip()) > MAX_NOTES:
        raise Problem(f"The speaker's notes have {len(notes):,} letters: {MAX_NOTES:,} at most, please.")
    sentences = view.sentence.splitlines() if view.kind == "text" else [view.sentence]
    text = "\n".join(_line(part, MAX_SENTENCE, "A slide's sentence") for part in sentences).strip()
    if len(text) > MAX_SENTENCE:
        raise Problem(f"The slide's text has {len(text)} letters: {MAX_SENTENCE} at most, please.")
    title = _line(view.title, MAX_TITLE, "A slide's title")
    return pack([replace(view, title=title, statements=(text,) if text else (), notes=notes)])


def _line(text: str, most: int, what: str) -> str:
    # A number and its percent sign stay on one line.
    return re.sub(r"(?<=\d) (?=%)", NBSP, typed_line(text, most, what))
