"""Decks of slides: stored in the history, exported and opened, each as one file."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from sightglass import examples
from sightglass.common.errors import Problem, typed_line, typed_text
from sightglass.common.files import Json, write_folder
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.explain.phrases import NBSP
from sightglass.explain.picture.image import Image
from sightglass.history.records import EPOCH
from sightglass.report import deck_html, deck_pptx, pdf
from sightglass.report.layouts import DARK, THEMES
from sightglass.report.stored import MAX_VIEWS, MAX_WORK, count_work, pack, unpack
from sightglass.report.view import MAX_SENTENCE, MAX_TITLE, PICTURE_SIDE, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sightglass.history.history import History

SUFFIX = ".sightglass"
FORMAT, VERSION = "sightglass deck", 1
MAX_NAME = 120
"""Letters of a deck's title."""
MAX_BYTES = 512 * 2**20
"""Maximum bytes of the file."""
READY = ("cheat", "lies", "sizes")
"""The ids of the packaged decks."""
GONE = "There is no such deck: it was deleted, or never made here."
NO_SLIDE = "There is no such slide: it was deleted."
NO_DECK = "This is no deck, or a damaged one: give a file that the page Saved exported."


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
    """Name in `layouts.THEMES`: how it is presented and exported."""
    changed: datetime = EPOCH
    """Aware, in UTC."""

    def file(self, kind: str) -> bytes:
        """Return the deck as a file for others; `kind` is .html, .pptx, .pdf or .sightglass, KeyError for another.

        Slides on which nothing stands are in .sightglass alone, which `Decks.open` takes. Raises Problem for any other
        kind of a deck without slides.
        """
        if kind == SUFFIX:
            return join([slide.packed for slide in self.slides], self.title, self.theme)
        views = [view for slide in self.slides if not (view := slide.view).empty]
        makers = {".html": deck_html.deck_html, ".pptx": deck_pptx.deck_pptx, ".pdf": pdf.deck_pdf}
        return makers[kind](views, self.title, THEMES[self.theme])


class Decks:
    """The decks of a history: `History().decks`.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used or a deck is gone.

    >>> deck = history.decks.create("For Monday")
    >>> history.decks.add(deck.id, view)
    """

    def __init__(self, history: History, folder: Path) -> None:
        self._history, self._folder = history, folder

    def all(self) -> tuple[Deck, ...]:
        """Return all decks, last changed first; a damaged one is empty, and can be deleted."""
        decks = []
        with self._history.reading():
            for path in self._folder.glob(f"*{SUFFIX}"):
                try:
                    decks.append(read(path))
                except Problem:
                    decks.append(Deck(path.stem, "A damaged deck"))
        return tuple(sorted(decks, key=lambda deck: deck.changed, reverse=True))

    def ready(self) -> tuple[Deck, ...]:
        """Return the packaged decks that were not changed here."""
        return tuple(map(read, (path for path in map(self._find, READY) if path.parent != self._folder)))

    def get(self, id: str) -> Deck:
        """Return a deck, or the packaged one of an id of `READY`."""
        with self._history.reading():
            return read(self._find(id))

    def create(self, title: str, views: Iterable[View] = (), *, theme: str = "dark") -> Deck:
        """Make a deck of views: none of it where there is no room. The views are taken one at a time. Raises KeyError
        for another theme than `dark` and `light`."""
        id = secrets.token_hex(8)
        # A loop's variable would hold each view, with all its maps, while the next one is read.
        slides = tuple(map(_new_slide(id), views))
        check_work(slides)
        deck = Deck(id, _name(title), slides, THEMES[theme].name)
        with self._history.writing():
            self._history.check_room(sum(len(slide.packed) for slide in slides))
            save(self._folder, deck)
        return self.get(id)

    def open(self, data: bytes) -> Deck:
        """Add a deck's file; raise Problem, and add nothing, for another or without room."""
        about, packed = split(data)
        check_work(map(partial(Slide, ""), packed))
        return self.create(about["title"], map(read_view, packed), theme=about["theme"])

    def change(
        self, id: str, *, title: str | None = None, theme: str | None = None, slides: Sequence[Slide] = ()
    ) -> Deck:
        """Change a deck's title, its theme (`dark` or `light`, KeyError for another) or the order of its slides.

        Removed ones of `slides` come back, and others are last.
        """
        new: Any = {} if title is None else {"title": _name(title)}
        new |= {} if theme is None else {"theme": THEMES[theme].name}

        def change(deck: Deck) -> Deck:
            return replace(deck, slides=tuple({slide.id: slide for slide in (*slides, *deck.slides)}.values()), **new)

        return self._change(id, change)

    def delete(self, id: str) -> None:
        """Delete a deck and its slides, or the changes of a packaged one; the history's records stay."""
        with self._history.writing():
            (self._folder / self._find(id).name).unlink(missing_ok=True)

    def add(self, deck: str, view: View) -> Slide:
        """Add a slide at the end of a deck; synced to the disk when this returns."""
        slide = _new_slide(deck)(view)
        self._change(deck, lambda old: replace(old, slides=(*old.slides, slide)), len(slide.packed))
        return slide

    def edit(self, id: str, *, title: str | None = None, sentence: str | None = None) -> None:
        """Replace a slide's texts; None keeps one."""
        texts = {"title": title, "sentence": sentence}
        new: Any = {name: text for name, text in texts.items() if text is not None}

        def change(slide: Slide) -> Slide:
            return Slide(id, _pack(replace(slide.view, **new))) if slide.id == id else slide

        self._change(id, lambda deck: replace(deck, slides=tuple(map(change, deck.slides))))

    def remove(self, id: str) -> None:
        """Remove a slide from its deck."""
        self._change(id, lambda deck: replace(deck, slides=tuple(slide for slide in deck.slides if slide.id != id)))

    def _change(self, id: str, change: Callable[[Deck], Deck], more: int = 0) -> Deck:
        """Save what `change` makes of the deck of an id, or of its slide; it takes `more` bytes."""
        with self._history.writing():
            deck = read(self._find(id.partition("-")[0]))
            if id not in (deck.id, *(slide.id for slide in deck.slides)):
                raise Problem(NO_SLIDE)
            self._history.check_room(more)
            changed = change(deck)
            if more:
                check_work(changed.slides)
            save(self._folder, changed)
        return self.get(deck.id)

    def _find(self, id: str) -> Path:
        path = self._folder / f"{id}{SUFFIX}"
        if id in READY and not path.exists():
            return examples.find(examples.DECKS) / path.name
        if path.parent != self._folder or not path.is_file():
            raise Problem(GONE)
        return path


def read(path: Path) -> Deck:
    """Return a saved deck. Raises Problem for a damaged one."""
    about, packed = split(path.read_bytes())
    # An exported file has none: `Decks.open` adds it.
    if len(ids := about.get("ids", ())) != len(packed):
        raise Problem(NO_DECK)
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Deck(path.stem, about["title"], tuple(map(Slide, ids, packed)), about["theme"], changed)


def save(folder: Path, deck: Deck) -> None:
    """Save a deck to the disk."""
    ids, packed = [slide.id for slide in deck.slides], [slide.packed for slide in deck.slides]
    write_folder(folder, {f"{deck.id}{SUFFIX}": join(packed, deck.title, deck.theme, ids=ids)})


def _name(text: str) -> str:
    """Return a deck's title as one line, by default words. Raises Problem."""
    return typed_line(text, MAX_NAME, "A deck's title") or "Untitled deck"


def _new_slide(deck: str) -> Callable[[View], Slide]:
    return lambda view: Slide(f"{deck}-{secrets.token_hex(4)}", _pack(view))


def _pack(view: View) -> bytes:
    """Pack a view with legible texts; raise Problem for long ones."""
    sentences = view.sentence.splitlines() if view.kind == "text" else [view.sentence]
    texts = typed_text(sentences, MAX_SENTENCE, "A slide's text"), typed_line(view.title, MAX_TITLE, "A slide's title")
    # A number and its percent sign stay on one line.
    text, title = (re.sub(r"(?<=\d) (?=%)", NBSP, words) for words in texts)
    return pack([replace(view, title=title, sentence=text)])


def join(slides: Sequence[bytes], title: str, theme: str = DARK.name, **more: Any) -> bytes:
    """Return packed views as one file by `pack_data`, whose header has `more` too."""
    return pack_data({"format": FORMAT, "version": VERSION, "title": title, "theme": theme, **more}, slides)


def split(data: bytes) -> tuple[Json, list[bytes]]:
    """Return the header of a deck's file, whose theme is dark where it is unknown, and its packed views.

    Raises Problem, one sentence, for any other file and for one that is too large.
    """
    if len(data) > MAX_BYTES:
        raise Problem(f"This deck is larger than {MAX_BYTES >> 20} MB: export it in two.")
    try:
        about, slides = unpack_data(data)
        if about["format"] != FORMAT or about["version"] != VERSION or len(slides) > MAX_VIEWS:
            raise ValueError("another format, or too many slides")
        theme = THEMES.get(str(about["theme"]), DARK).name
        return about | {"title": _name(str(about["title"])), "theme": theme}, slides
    except (ValueError, KeyError) as error:
        raise Problem(NO_DECK) from error


def check_work(slides: Iterable[Slide]) -> None:
    """Raise Problem for slides that together take long to unpack, or much memory."""
    if sum(count_work(slide.packed) for slide in slides) > MAX_WORK:
        raise Problem("These slides have more pictures and maps than one deck may have: make two decks of them.")


def read_view(data: bytes) -> View:
    """Return a packed view of a stranger. Raises Problem."""
    try:
        (view,) = unpack(data)
        for file, size in {(picture.jpeg, picture.size) for picture in view.pictures}:
            # Decoded: a header that promises billions of pixels is refused before it is unpacked.
            image = Image.open(file, max_pixels=PICTURE_SIDE * PICTURE_SIDE)
            if (image.width, image.height) != size:
                raise ValueError("another size")
    except ValueError as error:
        raise Problem(NO_DECK) from error
    return view
