"""Store decks in the history."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.typed_text import line
from sightglass.deck import drawing, html_file, pdf_file, pptx_file
from sightglass.deck.layouts import DARK, THEMES
from sightglass.deck.scene import (
    MAX_NOTES,
    MAX_SCENES,
    MAX_SENTENCE,
    MAX_TITLE,
    Deck,
    Removed,
    SceneView,
    Slide,
    name,
    payload,
    scenes,
)
from sightglass.explain.phrases import NBSP, megabytes
from sightglass.history.store import EPOCH, insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from sightglass.deck.scene import Kind, Scene
    from sightglass.history.store import Store

GONE = "There is no such deck: it was deleted, or never made here."
NO_SLIDE = "There is no such slide: it was deleted."
MAX_DECKS = 500
MAX_BYTES = 250_000_000
"""Of the slides of a deck, clips above all: it is presented, and leaves, in one piece."""
_COLUMNS = "id, kind, title, sentence, notes, view, records"
_VIEW, _RECORDS = TypeAdapter(SceneView), TypeAdapter(tuple[str, ...])


class Decks:
    """The decks of a history: `History().decks`.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used.

    >>> deck = history.decks.create("For Monday")
    >>> history.decks.add(deck.id, scene)
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

    def create(self, title: str, scenes: Iterable[Scene] = (), *, ready: str = "", theme: str = "dark") -> Deck:
        """Make a deck of scenes in one transaction: none of it where there is no room. `ready`: which of the ready
        decks it is. The scenes are taken one at a time. Raises KeyError for another theme than `dark` and `light`."""
        id, at = secrets.token_hex(8), _now()
        deck = {"id": id, "created": at, "changed": at, "title": name(title), "ready": ready}
        # A loop's variable would hold each scene, with all its maps, while the next one is read.
        slides = list(map(_prepare_scene, scenes))
        with self._store.writing() as database:
            (count,) = database.execute("SELECT count(*) FROM decks").fetchone()
            if count >= MAX_DECKS:
                raise Problem(f"There are {count} decks: delete one that you do not need any more.")
            room = sum(len(data) for _, data in slides)
            self._store.check_room(database, room, self._limit)
            insert(database, "decks", deck | {"theme": THEMES[theme].name})
            for slide in slides:
                _append(database, _number(database, id), slide)
        return self.get(id)

    def rename(self, id: str, title: str) -> Deck:
        """Give a deck another title."""
        with self._store.writing() as database:
            n = _number(database, id)
            database.execute("UPDATE decks SET title = ? WHERE n = ?", (name(title), n))
            _touch(database, n)
        return self.get(id)

    def set_theme(self, id: str, theme: str) -> Deck:
        """Set a deck's theme: `dark` or `light`; KeyError for another."""
        with self._store.writing() as database:
            n = _number(database, id)
            database.execute("UPDATE decks SET theme = ? WHERE n = ?", (THEMES[theme].name, n))
            _touch(database, n)
        return self.get(id)

    def delete(self, id: str) -> None:
        """Delete a deck and its slides; the history's records stay."""
        with self._store.writing() as database:
            n = _number(database, id)
            database.execute("DELETE FROM slides WHERE deck = ?", (n,))
            database.execute("DELETE FROM decks WHERE n = ?", (n,))

    def add(self, deck: str, scene: Scene, *, records: Sequence[str] = ()) -> Slide:
        """Add a slide at the end of a deck; synced to the disk when this returns. `records`: ids of what it shows."""
        slide = _slide_of(scene, records)
        self._insert(deck, slide, payload([scene]))
        return slide

    def put_back(self, removed: Removed) -> Slide:
        """Undo `remove`: the slide is at its place again."""
        self._insert(removed.deck, removed.slide, removed.data, removed.place)
        return removed.slide

    def _insert(self, deck: str, slide: Slide, data: bytes, place: int | None = None) -> None:
        with self._store.writing() as database:
            n = _number(database, deck)
            self._store.check_room(database, len(data), self._limit)
            ids = _append(database, n, (slide, data))
            if place is not None:
                ids.insert(place, ids.pop())
            _arrange(database, n, ids)

    def edit(
        self,
        id: str,
        *,
        title: str | None = None,
        sentence: str | None = None,
        notes: str | None = None,
        view: SceneView | None = None,
    ) -> Slide:
        """Replace a slide's texts or first view; None keeps a value."""
        with self._store.writing() as database:
            n, old = _slide_row(database, id)
            edited = (old.title if title is None else title, old.sentence if sentence is None else sentence)
            texts = _texts(*edited, old.notes if notes is None else notes, old.kind)
            new = replace(old, title=texts[0], sentence=texts[1], notes=texts[2], view=view or old.view)
            values = (*texts, json.dumps(asdict(new.view)), id)
            database.execute("UPDATE slides SET title = ?, sentence = ?, notes = ?, view = ? WHERE id = ?", values)
            _touch(database, n)
        return new

    def arrange(self, deck: str, ids: Sequence[str]) -> Deck:
        """Order slides; unknown ids are ignored, missing ones come last."""
        with self._store.writing() as database:
            n = _number(database, deck)
            current = _order(database, n)
            first = [id for id in dict.fromkeys(ids) if id in current]
            _arrange(database, n, [*first, *(id for id in current if id not in first)])
        return self.get(deck)

    def remove(self, id: str) -> Removed:
        """Remove a slide from its deck; return the input of `put_back`."""
        with self._store.writing() as database:
            n, slide = _slide_row(database, id)
            (deck,) = database.execute("SELECT id FROM decks WHERE n = ?", (n,)).fetchone()
            removed = Removed(deck, _order(database, n).index(id), slide, _read(database, id))
            database.execute("DELETE FROM slides WHERE id = ?", (id,))
            _arrange(database, n, _order(database, n))
        return removed

    def scene(self, slide: Slide) -> Scene:
        """Return a slide's scene with its current texts; raise Problem."""
        with self._store.reading() as database:
            (scene,) = scenes(_read(database, slide.id))
        return replace(scene, title=slide.title, sentence=slide.sentence, notes=slide.notes, view=slide.view)

    def file(self, deck: Deck, kind: str) -> bytes:
        """Return a deck as a file for others; `kind` is .html, .pptx or .pdf, KeyError for another.

        Raises Problem for a deck without slides.
        """
        makers = {".html": html_file.deck_html, ".pptx": pptx_file.deck_pptx, ".pdf": pdf_file.deck_pdf}
        slides = [self.scene(slide) for slide in deck.shown]
        return makers[kind](slides, deck.title, THEMES[deck.theme])

    def thumbnail(self, slide: Slide) -> bytes:
        """Return a slide's picture as a small JPEG; empty for a slide of words."""
        return drawing.thumbnail(self.scene(slide))


_Prepared = tuple[Slide, bytes]
"""A slide that is ready to be saved, with its packed scene."""


def _prepare_scene(scene: Scene) -> _Prepared:
    return _slide_of(scene), payload([scene])


def _slide_of(scene: Scene, records: Sequence[str] = ()) -> Slide:
    """Return a new slide of a scene; raise Problem for long texts."""
    texts = _texts(scene.title, scene.sentence, scene.notes, scene.kind)
    return Slide(secrets.token_hex(8), scene.kind, *texts, scene.view, tuple(records))


def _append(database: sqlite3.Connection, n: int, prepared: _Prepared) -> list[str]:
    """Insert a slide at a deck's end; return all ids. Raises Problem."""
    (slide, data), ids = prepared, _order(database, n)
    if len(ids) >= MAX_SCENES:
        raise Problem(f"This deck has {len(ids)} slides: {MAX_SCENES} at most, please.")
    sql = "SELECT coalesce(sum(length(scene)), 0) FROM slides WHERE deck = ?"
    (before,) = database.execute(sql, (n,)).fetchone()
    if (after := before + len(data)) > MAX_BYTES:
        raise Problem(
            f"With this slide the deck would have {megabytes(after)} of at most {megabytes(MAX_BYTES)}: put long "
            "clips into their own deck."
        )
    row = {field: getattr(slide, field) for field in ("id", "kind", "title", "sentence", "notes")}
    row |= {"view": json.dumps(asdict(slide.view)), "records": json.dumps(slide.records)}
    insert(database, "slides", row | {"deck": n, "place": len(ids), "scene": data, "thumbnail": b""})
    return [*ids, slide.id]


def _texts(title: str, sentence: str, notes: str, kind: Kind) -> tuple[str, str, str]:
    """Return visible texts of a slide; raise Problem for long ones."""
    paragraphs = [line(paragraph, MAX_NOTES, "A speaker's note") for paragraph in notes.splitlines()]
    if len(joined := "\n".join(paragraphs).strip()) > MAX_NOTES:
        raise Problem(f"The speaker's notes have {len(joined):,} letters: {MAX_NOTES:,} at most, please.")
    sentences = sentence.splitlines() if kind in ("text", "columns") else [sentence]
    text = "\n".join(_line(part, MAX_SENTENCE, "A slide's sentence") for part in sentences).strip()
    if len(text) > MAX_SENTENCE:
        raise Problem(f"The slide's text has {len(text)} letters: {MAX_SENTENCE} at most, please.")
    return _line(title, MAX_TITLE, "A slide's title"), text, joined


def _line(text: str, most: int, what: str) -> str:
    # A number and its percent sign stay on one line.
    return re.sub(r"(?<=\d) (?=%)", NBSP, line(text, most, what))


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
    row = database.execute("SELECT n, title, created, changed, ready, theme FROM decks WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(GONE)
    n, title, created, changed, ready, theme = row
    listed = database.execute(f"SELECT {_COLUMNS} FROM slides WHERE deck = ? ORDER BY place, n", (n,)).fetchall()
    created, changed = (EPOCH + timedelta(microseconds=at) for at in (created, changed))
    return Deck(id, title, tuple(map(_slide, listed)), created, changed, ready, theme if theme in THEMES else DARK.name)


def _slide_row(database: sqlite3.Connection, id: str) -> tuple[int, Slide]:
    row = database.execute(f"SELECT deck, {_COLUMNS} FROM slides WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise Problem(NO_SLIDE)
    return row[0], _slide(row[1:])


def _slide(row: Sequence[Any]) -> Slide:
    id, kind, title, sentence, notes, view, records = row
    try:
        first, records = _VIEW.validate_json(view), _RECORDS.validate_json(records)
    except ValueError:
        first, records = SceneView(), ()
    return Slide(id, kind, title, sentence, notes, first, records)
