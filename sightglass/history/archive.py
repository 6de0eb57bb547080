"""Export and import a deck as one file."""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass import examples
from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import directory_bytes
from sightglass.history.decks import name
from sightglass.report.layouts import DARK, THEMES
from sightglass.report.stored import MAX_VIEWS, pack, unpack
from sightglass.report.view import PICTURE_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sightglass.history.decks import Deck, Decks
    from sightglass.report.layouts import ThemeName
    from sightglass.report.view import View

SUFFIX = ".sightglass"
FORMAT, VERSION = "sightglass deck", 1
MAX_BYTES = 512 * 2**20
"""Of the file, and of everything in it."""
MAX_DIRECTORY = 2**20
READY: dict[str, tuple[str, str]] = {
    "cheat": (
        "See a model cheat",
        "Two models that are right for the wrong reason.",
    ),
    "lies": (
        "What is a heat map, and when does it lie?",
        "Five minutes for newcomers: what the colours mean, a test of a map, a model that cheats.",
    ),
    "sizes": (
        "Small, medium or large?",
        "One model in three sizes: whether they agree, where they look, what the larger one costs, and what it finds.",
    ),
}
"""Titles and contents of the packaged decks, by their names."""
_ABOUT, _SLIDE = "deck.json", re.compile(r"slides/(\d{3})\.scene")
UNKNOWN = NotImplementedError, RuntimeError, EOFError
"""Raised by files that are encrypted, or packed in a way that this Python does not know."""
NO_DECK = "This is no deck, or a damaged one: give a file that the page Saved exported."


def file_name(title: str) -> str:
    """Return the name of a deck's file: `for-Monday.sightglass`."""
    return f"{file_stem(title)}{SUFFIX}"


def write(title: str, slides: Iterable[View], theme: ThemeName = "dark") -> bytes:
    """Return a deck as one file: a zip with `deck.json` and a file for each slide, which hold everything."""
    out = io.BytesIO()
    # Pictures and maps are packed already.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        count = 0
        for count, view in enumerate(slides, 1):
            # Without the time: the same deck is the same file.
            archive.writestr(zipfile.ZipInfo(f"slides/{count:03}.scene"), pack([view]))
        about = {"format": FORMAT, "version": VERSION, "title": title, "slides": count, "theme": theme}
        archive.writestr(zipfile.ZipInfo(_ABOUT), json.dumps(about, indent=1))
    return out.getvalue()


def open_deck(data: bytes) -> tuple[str, Iterator[View], ThemeName]:
    """Return the title of a deck's file, its views one after another, and its theme: dark where it names none.

    Strangers' bytes are safe: nothing is written or run, names are looked up and never used as paths, and sizes are
    checked before anything is unpacked. Raises Problem, one sentence, for any other file and for one that is too large;
    so does taking a view.
    """
    if len(data) > MAX_BYTES:
        raise Problem(f"This deck is larger than {MAX_BYTES >> 20} MB: export it in two.")
    with _only_decks():
        if directory_bytes(io.BytesIO(data)) > MAX_DIRECTORY:
            raise ValueError("too many files")
        archive = zipfile.ZipFile(io.BytesIO(data))
        title, files, theme = _list(archive)
    return title, (_read_view(archive, info) for info in files), theme


def _read_view(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> View:
    """Return the view of a slide's file."""
    with _only_decks():
        (view,) = unpack(archive.read(info))
        for file, size in {(picture.jpeg, picture.size) for picture in view.pictures}:
            # Decoded: a header that promises billions of pixels is refused before it is unpacked.
            image = Image.open(file, max_pixels=PICTURE_SIDE * PICTURE_SIDE)
            if (image.width, image.height) != size:
                raise ValueError("another size")
        return view


@contextlib.contextmanager
def _only_decks() -> Iterator[None]:
    """Raise one sentence for any error of a damaged archive."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, KeyError, TypeError, *UNKNOWN) as error:
        raise Problem(NO_DECK) from error


def _list(archive: zipfile.ZipFile) -> tuple[str, list[zipfile.ZipInfo], ThemeName]:
    """Return a deck's title, slide files and theme; raise ValueError."""
    infos = archive.infolist()
    if len(infos) > MAX_VIEWS + 1 or sum(info.file_size for info in infos) > MAX_BYTES:
        raise ValueError("too much")
    # As `write` packs them: deflated, a few bytes can be gigabytes.
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ValueError("packed in an unusual way")
    about: Any = json.loads(archive.read(_ABOUT)) if archive.getinfo(_ABOUT).file_size < 10_000 else None
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError("another format")
    slides = [info for info in infos if info.filename != _ABOUT]
    if not all(_SLIDE.fullmatch(info.filename) for info in slides) or len(slides) != about["slides"]:
        raise ValueError("other files")
    theme = THEMES.get(str(about.get("theme", DARK.name)), DARK).name
    return name(str(about["title"])), sorted(slides, key=lambda info: info.filename), theme


def of(decks: Decks, deck: Deck) -> bytes:
    """Return a deck of the history as one file."""
    return write(deck.title, (decks.view(slide) for slide in deck.slides), THEMES[deck.theme].name)


def put(decks: Decks, data: bytes, *, ready: str = "") -> Deck:
    """Add a deck's file to the history, without its commands; `ready`: its name in `READY`.

    Raises Problem where it is none, or where there is no room: then none of it is added.
    """
    title, slides, theme = open_deck(data)
    # A stranger's commands may do anything in a shell.
    safe = slides if ready else (replace(view, commands=()) for view in slides)
    return decks.create(title, safe, ready=ready, theme=theme)


def put_ready(decks: Decks, name: str) -> Deck:
    """Add one of `READY`, or return the existing one."""
    existing = next((deck for deck in decks.all() if deck.ready == name), None)
    return existing or put(decks, (examples.find(examples.DECKS) / f"{name}{SUFFIX}").read_bytes(), ready=name)
