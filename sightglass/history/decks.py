"""Decks of slides: stored in the history, each as one file, and exported."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from sightglass import examples
from sightglass.common.errors import Problem, typed_line, typed_text
from sightglass.common.files import Json, write_folder
from sightglass.common.files.keeping import reading
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.explain.phrases import NBSP
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.rendering.style import Field
from sightglass.history.records import EPOCH
from sightglass.report import deck_html, deck_pptx, pdf
from sightglass.report.layouts import DARK, THEMES
from sightglass.report.view import MAX_BOXES, MAX_PICTURES, MAX_SENTENCE, MAX_TITLE, PICTURE_SIDE, Picture, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sightglass.history.history import History

SUFFIX = ".sightglass"
VERSION = 1
MAX_NAME = 120
"""Letters of a deck's title."""
READY = ("cheat", "lies", "sizes")
"""The ids of the packaged decks."""
GONE = "There is no such deck: it was deleted, or never made here."
NO_SLIDE = "There is no such slide: it was deleted."
PUT_BACK = "put a copy of it back, or delete the deck"
UNREADABLE = "This slide cannot be read: it is damaged, or was saved by another version."
LEVELS = {"heat": (0, 255), "signed": (128, 127), "difference": (128, 127)}
"""Level of 0 in a stored map, and the number of levels from there to 1, by its kind."""
MOST = {"pictures": MAX_PICTURES, "charts": MAX_PICTURES, "facts": 50, "sides": 50, "scores": 50}
"""Parts of a view by their fields."""
LONGEST = 1000
"""Letters of any text of a view."""
UNUSABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What no XML holds, as a PowerPoint file is."""
LARGEST = 1e6
"""Of any number of a view, without its sign."""
_VIEW = TypeAdapter(View)


@dataclass(frozen=True)
class Slide:
    """An entry of a deck."""

    id: str
    """That of its deck, a hyphen and its own."""
    packed: bytes
    """`pack` of its view."""

    @cached_property
    def view(self) -> View:
        """What it shows. Raises Problem for a damaged one."""
        return unpack(self.packed)


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
    damaged: str = ""
    """One sentence if it cannot be read."""

    def file(self, kind: str) -> bytes:
        """Return the deck as a file for others; `kind` is .html, .pptx or .pdf, KeyError for another.

        Empty slides are left out. Raises Problem where no other slide is left, and for a slide that cannot be read.
        """
        views = [view for number in range(len(self.slides)) if not (view := self._view(number)).empty]
        makers = {".html": deck_html.deck_html, ".pptx": deck_pptx.deck_pptx, ".pdf": pdf.deck_pdf}
        return makers[kind](views, self.title, THEMES[self.theme])

    def _view(self, index: int) -> View:
        try:
            return self.slides[index].view
        except Problem as problem:
            raise Problem(f"Slide {index + 1} of {self.title} cannot be read: remove it.") from problem


class Decks:
    """The decks of a history: `History().decks`.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used or a deck is gone.

    >>> deck = history.decks.create("For Monday")
    >>> history.decks.add(deck.id, view)
    """

    def __init__(self, history: History, folder: Path) -> None:
        self._history, self._folder = history, folder

    def all(self) -> tuple[Deck, ...]:
        """Return all decks, last changed first; one that cannot be read is empty."""
        decks = []
        with self._history.reading():
            for path in self._paths():
                try:
                    decks.append(read(path))
                except Problem as problem:
                    decks.append(Deck(path.stem, "A damaged deck", damaged=str(problem)))
        return tuple(sorted(decks, key=lambda deck: deck.changed, reverse=True))

    def _paths(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return [path for path in self._folder.iterdir() if path.suffix == SUFFIX]
        return []

    def ready(self) -> tuple[Deck, ...]:
        """Return the packaged decks that were not changed here."""
        return tuple(map(read, (path for path in map(self._find, READY) if path.parent != self._folder)))

    def get(self, id: str) -> Deck:
        """Return a deck, or the packaged one of an id of `READY`."""
        with self._history.reading():
            return read(self._find(id))

    def create(self, title: str, views: Iterable[View] = ()) -> Deck:
        """Save a new deck of views, which are taken one at a time; raise Problem where there is no room."""
        id = secrets.token_hex(8)
        # A loop's variable would hold each view, with all its maps, while the next one is read.
        slides = tuple(map(_new_slide(id), views))
        with self._history.writing():
            self._history.check_room(sum(len(slide.packed) for slide in slides))
            save(self._folder, Deck(id, _name(title), slides))
        return self.get(id)

    def change(
        self, id: str, *, title: str | None = None, theme: str | None = None, slides: Sequence[Slide] = ()
    ) -> Deck:
        """Change a deck's title, its theme (`dark` or `light`, KeyError for another) or the order of its slides, of
        which those that are not in `slides` are last."""
        new: Any = {} if title is None else {"title": _name(title)}
        new |= {} if theme is None else {"theme": THEMES[theme].name}

        def change(deck: Deck) -> Deck:
            order = [slide.id for slide in (*slides, *deck.slides)]
            return replace(deck, slides=tuple(sorted(deck.slides, key=lambda slide: order.index(slide.id))), **new)

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
        """Replace a slide's title, its sentence, or both; None leaves it."""
        new: Any = {name: text for name, text in (("title", title), ("sentence", sentence)) if text is not None}

        def change(slide: Slide) -> Slide:
            return Slide(id, pack(_typed(replace(slide.view, **new)))) if slide.id == id else slide

        self._change(id, lambda deck: replace(deck, slides=tuple(map(change, deck.slides))))

    def remove(self, id: str) -> None:
        """Remove a slide from its deck."""
        self._change(id, lambda deck: replace(deck, slides=tuple(slide for slide in deck.slides if slide.id != id)))

    def _change(self, id: str, change: Callable[[Deck], Deck], more: int = 0) -> Deck:
        """Save what `change` makes of a deck, named by its id or that of one of its slides.

        `more`: by how many bytes it grows. Raises Problem.
        """
        with self._history.writing():
            deck = read(self._find(id.partition("-")[0]))
            if id not in (deck.id, *(slide.id for slide in deck.slides)):
                raise Problem(NO_SLIDE)
            self._history.check_room(more)
            save(self._folder, change(deck))
        return self.get(deck.id)

    def _find(self, id: str) -> Path:
        path = self._folder / f"{id}{SUFFIX}"
        if id in READY and not path.exists():
            return examples.find(examples.DECKS) / path.name
        if path.parent != self._folder or not path.is_file():
            raise Problem(GONE)
        return path


def _name(text: str) -> str:
    """Return a deck's title as one line, `Untitled deck` for a blank one. Raises Problem."""
    return typed_line(text, MAX_NAME, "A deck's title") or "Untitled deck"


def _new_slide(deck: str) -> Callable[[View], Slide]:
    return lambda view: Slide(f"{deck}-{secrets.token_hex(4)}", pack(_typed(view)))


def _typed(view: View) -> View:
    """Return a view with legible texts; raise Problem for long ones."""
    sentences = view.sentence.splitlines() if view.kind == "text" else [view.sentence]
    texts = typed_text(sentences, MAX_SENTENCE, "A slide's text"), typed_line(view.title, MAX_TITLE, "A slide's title")
    # A number and its percent sign stay on one line.
    text, title = (re.sub(r"(?<=\d) (?=%)", NBSP, words) for words in texts)
    return replace(view, title=title, sentence=text)


def pack(view: View) -> bytes:
    """Pack what a slide needs of a view by `pack_data`.

    The JSON has the view's fields by name; a picture's `jpeg`, a map's `values` and a `clip` are indices of blobs: a
    JPEG, a PNG of `LEVELS` and an MP4. A blob that occurs twice is packed once.
    """
    blobs: dict[bytes, int] = {}

    def index(data: bytes) -> int:
        return blobs.setdefault(data, len(blobs))

    plain: Json = _VIEW.dump_python(view)
    for picture, item in zip(view.pictures, plain["pictures"], strict=True):
        item["jpeg"] = index(picture.jpeg)
        if picture.map is not None:
            field = picture.map.field
            zero, count = LEVELS[field.kind]
            levels = np.rint(zero + count * field.values).clip(0, 255).astype(np.uint8)
            item["map"]["field"] = vars(field) | {"values": index(to_png(levels))}
    return pack_data(plain | {"clip": None if view.clip is None else index(view.clip)}, list(blobs))


def unpack(data: bytes) -> View:
    """Return the view of `pack`. Raises Problem for what is damaged."""
    try:
        plain, blobs = unpack_data(data)
        _check_values(plain)
        for picture in plain["pictures"]:
            picture["jpeg"] = blobs[picture["jpeg"]]
            if (item := picture["map"]) is not None:
                field = item["field"]
                zero, count = LEVELS[field["kind"]]
                levels = Image.open(blobs[field["values"]]).pixels[..., 0].astype(np.float32)
                item["field"] = Field(**field | {"values": ((levels - zero) / count).clip(-1, 1)})
        view: View = _VIEW.validate_python(plain | {"clip": None if plain["clip"] is None else blobs[plain["clip"]]})
        if any(len(getattr(view, name)) > most for name, most in MOST.items()):
            raise ValueError("too many parts")
        if not all(0 <= chart.picture < max(1, len(view.pictures)) for chart in view.charts):
            raise ValueError("a chart without its picture")
        for picture in view.pictures:
            _check_places(picture)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Problem(UNREADABLE) from error
    return view


def _check_values(plain: Json) -> None:
    """Raise ValueError for texts and numbers that no view has: they cannot be laid out, or in minutes alone."""
    for value in _find_values(plain):
        if isinstance(value, str) and (len(value) > LONGEST or UNUSABLE.search(value)):
            raise ValueError("a text that is too long, or holds what is no letter")
        # Nor is NaN below it.
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError("too large a number")


def _find_values(part: Any) -> Iterator[Any]:
    """Yield all texts and numbers within a slide's header."""
    if isinstance(part, dict):
        part = list(part.values())
    if not isinstance(part, list):
        yield part
        return
    for inner in part:
        yield from _find_values(inner)


def _check_places(picture: Picture) -> None:
    """Raise ValueError for boxes, places and scores that cannot be drawn, which files of others may hold."""
    if len(picture.boxes) > MAX_BOXES:
        raise ValueError("too many boxes")
    width, height = picture.size
    if not 0 < min(picture.size) <= max(picture.size) <= PICTURE_SIDE:
        raise ValueError("a picture without a size")
    if not all(0 <= score <= 1 for _, score in picture.answers):
        raise ValueError("a score outside 0..1")
    if picture.map is None:
        return
    x0, y0, x1, y1 = picture.map.field.seen
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError("a map outside its picture")


def read(path: Path) -> Deck:
    """Return a saved deck, whose theme is dark where it is unknown. Raises Unreadable."""
    with reading(path, PUT_BACK):
        about, packed = unpack_data(path.read_bytes())
        if about["version"] != VERSION:
            raise ValueError("another version")
        slides = tuple(Slide(id, view) for id, view in zip(about["ids"], packed, strict=True))
        theme, changed = THEMES.get(str(about["theme"]), DARK), datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Deck(path.stem, _name(str(about["title"])), slides, theme.name, changed)


def save(folder: Path, deck: Deck) -> None:
    """Save a deck to the disk: its packed views with a header, by `pack_data`."""
    ids, packed = [slide.id for slide in deck.slides], [slide.packed for slide in deck.slides]
    head = {"version": VERSION, "title": deck.title, "theme": deck.theme, "ids": ids}
    write_folder(folder, {f"{deck.id}{SUFFIX}": pack_data(head, packed)})
