"""Store decks in the history."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sightglass.common.errors import Problem, typed_line
from sightglass.explain.phrases import NBSP
from sightglass.history.store import EPOCH, insert
from sightglass.report import deck_html, deck_pptx, drawing, pdf
from sightglass.report.layouts import DARK, THEMES
from sightglass.report.stored import MAX_VIEWS, pack, unpack
from sightglass.report.view import MAX_NOTES, MAX_SENTENCE, MAX_TITLE, Display

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from sightglass.history.store import Store
    from sightglass.report.view import View, ViewKind

GONE = "There is no such deck: it was deleted, or never made here."
NO_SLIDE = "There is no such slide: it was deleted."
MAX_NAME = 120
"""Letters of a deck's title."""
_COLUMNS = "id, kind, title, sentence, notes, view"
_DISPLAY = TypeAdapter(Display)


@dataclass(frozen=True)
class Slide:
    """An entry of a deck. What is drawn of it is read on demand: `Decks.view`."""

    id: str
    kind: ViewKind
    title: str
    sentence: str
    notes: str
    display: Display


@dataclass(frozen=True)
class Deck:
    """Slides in their order."""

    id: str
    title: str
    slides: tuple[Slide, ...]
    changed: datetime
    """Aware, in UTC."""
    ready: str = ""
    """Which of the ready decks it is; empty for one of somebody's own."""
    theme: str = "dark"
    """Of `layouts.THEMES`: how it is presented and exported."""


def name(text: str) -> str:
    """Return a deck's title as one line, by default words. Raises Problem."""
    return typed_line(text, MAX_NAME, "A deck's title") or "Untitled deck"


class Decks:
    """The decks of a history: `History().decks`.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used.

    >>> deck = history.decks.create("For Monday")
    >>> history.decks.add(deck.id, view)
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store, self._limit = store, limit

    def all(self) -> tuple[Deck, ...]:
        """Return all decks with their slides, last changed first."""
        with self._store.reading() as database:
            ids = [id for (id,) in database.execute("SELECT id FROM decks ORDER BY changed DESC, n DESC")]
            return tuple(_deck(database, id) for id in ids)

    def get(self, id: str) -> Deck:
        """Return a deck; raise Problem if it is gone."""
        with self._store.reading() as database:
            return _deck(database, id)

    def create(self, title: str, views: Iterable[View] = (), *, ready: str = "", theme: str = "dark") -> Deck:
        """Make a deck of views in one transaction: none of it where there is no room. `ready`: which of the ready
        decks it is. The views are taken one at a time. Raises KeyError for another theme than `dark` and `light`."""
        id, at = secrets.token_hex(8), _now()
        deck = {"id": id, "created": at, "changed": at, "title": name(title), "ready": ready}
        # A loop's variable would hold each view, with all its maps, while the next one is read.
        slides = list(map(_prepare, views))
        with self._store.writing() as database:
            self._store.check_room(database, sum(len(data) for _, data in slides), self._limit)
            insert(database, "decks", deck | {"theme": THEMES[theme].name})
            for slide in slides:
                _append(database, _number(database, id), slide)
        return self.get(id)

    def change(self, id: str, *, title: str | None = None, theme: str | None = None) -> Deck:
        """Change a deck's title, or its theme: `dark` or `light`; KeyError for another."""
        with self._store.writing() as database:
            n = _number(database, id)
            if title is not None:
                database.execute("UPDATE decks SET title = ? WHERE n = ?", (name(title), n))
            if theme is not None:
                database.execute("UPDATE decks SET theme = ? WHERE n = ?", (THEMES[theme].name, n))
            _touch(database, n)
        return self.get(id)

    def delete(self, id: str) -> None:
        """Delete a deck and its slides; the history's records stay."""
        with self._store.writing() as database:
            n = _number(database, id)
            database.execute("DELETE FROM slides WHERE deck = ?", (n,))
            database.execute("DELETE FROM decks WHERE n = ?", (n,))

    def add(self, deck: str, view: View) -> Slide:
        """Add a slide at the end of a deck; synced to the disk when this returns."""
        slide, data = _prepare(view)
        with self._store.writing() as database:
            n = _number(database, deck)
            self._store.check_room(database, len(data), self._limit)
            _arrange(database, n, _append(database, n, (slide, data)))
        return slide

    def edit(
        self, id: str, *, title: str | None = None, sentence: str | None = None, notes: str | None = None
    ) -> Slide:
        """Replace a slide's texts; None keeps one."""
        with self._store.writing() as database:
            n, old = _slide_row(database, id)
            edited = (old.title if title is None else title, old.sentence if sentence is None else sentence)
            texts = _texts(*edited, old.notes if notes is None else notes, old.kind)
            database.execute("UPDATE slides SET title = ?, sentence = ?, notes = ? WHERE id = ?", (*texts, id))
            _touch(database, n)
        return replace(old, title=texts[0], sentence=texts[1], notes=texts[2])

    def arrange(self, deck: str, ids: Sequence[str]) -> Deck:
        """Order slides; unknown ids are ignored, missing ones come last."""
        with self._store.writing() as database:
            n = _number(database, deck)
            current = _order(database, n)
            first = [id for id in dict.fromkeys(ids) if id in current]
            _arrange(database, n, [*first, *(id for id in current if id not in first)])
        return self.get(deck)

    def remove(self, id: str) -> None:
        """Remove a slide from its deck."""
        with self._store.writing() as database:
            n, _ = _slide_row(database, id)
            database.execute("DELETE FROM slides WHERE id = ?", (id,))
            _arrange(database, n, _order(database, n))

    def view(self, slide: Slide) -> View:
        """Return a slide's view with its current texts; raise Problem."""
        with self._store.reading() as database:
            (view,) = unpack(_read(database, slide.id))
        statements = (slide.sentence,) if slide.sentence else ()
        return replace(view, title=slide.title, statements=statements, notes=slide.notes, display=slide.display)

    def file(self, deck: Deck, kind: str) -> bytes:
        """Return a deck as a file for others; `kind` is .html, .pptx or .pdf, KeyError for another.

        Raises Problem for a deck without slides.
        """
        makers = {".html": deck_html.deck_html, ".pptx": deck_pptx.deck_pptx, ".pdf": pdf.deck_pdf}
        slides = [self.view(slide) for slide in deck.slides]
        return makers[kind](slides, deck.title, THEMES[deck.theme])

    def thumbnail(self, slide: Slide) -> bytes:
        """Return a slide's picture as a small JPEG; empty for a slide of words."""
        return drawing.thumbnail(self.view(slide))


_Prepared = tuple[Slide, bytes]
"""A slide that is ready to be saved, with its packed view."""


def _prepare(view: View) -> _Prepared:
    """Return a new slide of a view; raise Problem for long texts."""
    texts = _texts(view.title, view.sentence, view.notes, view.kind)
    return Slide(secrets.token_hex(8), view.kind, *texts, view.display), pack([view])


def _append(database: sqlite3.Connection, n: int, prepared: _Prepared) -> list[str]:
    """Insert a slide at a deck's end; return all ids. Raises Problem."""
    (slide, data), ids = prepared, _order(database, n)
    if len(ids) >= MAX_VIEWS:
        raise Problem(f"This deck has {len(ids)} slides: {MAX_VIEWS} at most, please.")
    row = {field: getattr(slide, field) for field in ("id", "kind", "title", "sentence", "notes")}
    row |= {"view": json.dumps(asdict(slide.display)), "records": "[]"}
    insert(database, "slides", row | {"deck": n, "place": len(ids), "scene": data, "thumbnail": b""})
    return [*ids, slide.id]


def _texts(title: str, sentence: str, notes: str, kind: ViewKind) -> tuple[str, str, str]:
    """Return visible texts of a slide; raise Problem for long ones."""
    paragraphs = [typed_line(paragraph, MAX_NOTES, "A speaker's note") for paragraph in notes.splitlines()]
    if len(joined := "\n".join(paragraphs).strip()) > MAX_NOTES:
        raise Problem(f"The speaker's notes have {len(joined):,} letters: {MAX_NOTES:,} at most, please.")
    sentences = sentence.splitlines() if kind == "text" else [sentence]
    text = "\n".join(_line(part, MAX_SENTENCE, "A slide's sentence") for part in sentences).strip()
    if len(text) > MAX_SENTENCE:
        raise Problem(f"The slide's text has {len(text)} letters: {MAX_SENTENCE} at most, please.")
    return _line(title, MAX_TITLE, "A slide's title"), text, joined


def _line(text: str, most: int, what: str) -> str:
    # A number and its percent sign stay on one line.
    return re.sub(r"(?<=\d) (?=%)", NBSP, typed_line(text, most, what))


def _now() -> int:
    """Return the current time in microseconds since 1970."""
    return time.time_ns() // 1000


def _read(database: sqlite3.Connection, id: str) -> bytes:
    """Return a slide's packed scene. Raises Problem."""
    row = database.execute("SELECT scene FROM slides WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(NO_SLIDE)
    return bytes(row[0])


def _number(database: sqlite3.Connection, id: str) -> int:
    row = database.execute("SELECT n FROM decks WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(GONE)
    return int(row[0])


def _order(database: sqlite3.Connection, n: int) -> list[str]:
    return [id for (id,) in database.execute("SELECT id FROM slides WHERE deck = ? ORDER BY place, n", (n,))]


def _arrange(database: sqlite3.Connection, n: int, ids: Sequence[str]) -> None:
    places = [(place, id, n) for place, id in enumerate(ids)]
    database.executemany("UPDATE slides SET place = ? WHERE id = ? AND deck = ?", places)
    _touch(database, n)


def _touch(database: sqlite3.Connection, n: int) -> None:
    database.execute("UPDATE decks SET changed = ? WHERE n = ?", (_now(), n))


def _deck(database: sqlite3.Connection, id: str) -> Deck:
    row = database.execute("SELECT n, title, changed, ready, theme FROM decks WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(GONE)
    n, title, changed, ready, theme = row
    listed = database.execute(f"SELECT {_COLUMNS} FROM slides WHERE deck = ? ORDER BY place, n", (n,)).fetchall()
    changed, theme = EPOCH + timedelta(microseconds=changed), theme if theme in THEMES else DARK.name
    return Deck(id, title, tuple(map(_slide, listed)), changed, ready, theme)


def _slide_row(database: sqlite3.Connection, id: str) -> tuple[int, Slide]:
    row = database.execute(f"SELECT deck, {_COLUMNS} FROM slides WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(NO_SLIDE)
    return row[0], _slide(row[1:])


def _slide(row: Sequence[Any]) -> Slide:
    id, kind, title, sentence, notes, stored = row
    try:
        display = _DISPLAY.validate_json(stored)
    except ValueError:
        display = Display()
    return Slide(id, kind, title, sentence, notes, display)
