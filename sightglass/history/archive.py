"""Write and read a deck as one file."""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem, typed_line
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import directory_bytes
from sightglass.report.layouts import DARK, THEMES
from sightglass.report.stored import MAX_VIEWS, pack, unpack
from sightglass.report.view import PICTURE_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sightglass.common.files import Json
    from sightglass.report.layouts import ThemeName
    from sightglass.report.view import View

SUFFIX = ".sightglass"
FORMAT, VERSION = "sightglass deck", 1
MAX_NAME = 120
"""Letters of a deck's title."""
MAX_BYTES = 512 * 2**20
"""Of the file, and of everything in it."""
MAX_DIRECTORY, MAX_ABOUT = 2**20, 2**15
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


def name(text: str) -> str:
    """Return a deck's title as one line, by default words. Raises Problem."""
    return typed_line(text, MAX_NAME, "A deck's title") or "Untitled deck"


def write(title: str, slides: Iterable[View], theme: ThemeName = "dark") -> bytes:
    """Return views as a deck's file."""
    return join([pack([view]) for view in slides], title, theme)


def join(slides: Sequence[bytes], title: str, theme: str, **more: Any) -> bytes:
    """Return packed views as one file: a zip with `deck.json`, which has `more` too, and a file for each slide."""
    out = io.BytesIO()
    # Pictures and maps are packed already.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, data in enumerate(slides, 1):
            # Without the time: the same deck is the same file.
            archive.writestr(zipfile.ZipInfo(f"slides/{number:03}.scene"), data)
        about = {"format": FORMAT, "version": VERSION, "title": title, "slides": len(slides), "theme": theme, **more}
        archive.writestr(zipfile.ZipInfo(_ABOUT), json.dumps(about, indent=1))
    return out.getvalue()


def open_deck(data: bytes) -> tuple[str, Iterator[View], ThemeName]:
    """Return the title of a deck's file, its views one after another, and its theme: dark where it names none.

    Strangers' bytes are safe: nothing is written or run, names are looked up and never used as paths, and sizes are
    checked before anything is unpacked. Raises Problem, one sentence, for any other file and for one that is too large;
    so does taking a view.
    """
    about, slides = split(data)
    return about["title"], map(_read_view, slides), about["theme"]


def split(data: bytes) -> tuple[Json, list[bytes]]:
    """Return the `deck.json` of a deck's file, and its packed views. Raises as `open_deck` does."""
    if len(data) > MAX_BYTES:
        raise Problem(f"This deck is larger than {MAX_BYTES >> 20} MB: export it in two.")
    with _only_decks():
        if directory_bytes(io.BytesIO(data)) > MAX_DIRECTORY:
            raise ValueError("too many files")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_VIEWS + 1 or sum(info.file_size for info in infos) > MAX_BYTES:
                raise ValueError("too much")
            # As `join` packs them: deflated, a few bytes can be gigabytes.
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise ValueError("packed in an unusual way")
            about: Any = json.loads(archive.read(_ABOUT)) if archive.getinfo(_ABOUT).file_size < MAX_ABOUT else None
            if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
                raise ValueError("another format")
            slides = sorted(info.filename for info in infos if info.filename != _ABOUT)
            if not all(map(_SLIDE.fullmatch, slides)) or len(slides) != about["slides"]:
                raise ValueError("other files")
            theme = THEMES.get(str(about.get("theme", DARK.name)), DARK).name
            return about | {"title": name(str(about["title"])), "theme": theme}, list(map(archive.read, slides))


def _read_view(data: bytes) -> View:
    """Return a packed view of a stranger."""
    with _only_decks():
        (view,) = unpack(data)
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
