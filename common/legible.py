"""Names that come from outside, as one line of text: of classes above all, which every screen, file and log shows;
and those in a recipe or a deck that somebody else made. And any text, for a terminal."""

from __future__ import annotations

import re

MAX_NAME = 200
"""Letters, as many as recipes, decks and the API take."""
_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
"""Control characters: line breaks, colours of a terminal; and what no file, or no XML, can hold: halves of characters,
and two that are none."""
_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
"""Reverse the direction of the text around them."""
_CODES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]+")
"""Control characters other than tabs and line breaks."""


def legible(name: str, most: int = MAX_NAME) -> str:
    """Return a name as one line of at most `most` letters, without what is not seen.

    >>> legible("cat\\n\\u202egnp.exe")
    'cat gnp.exe'
    """
    text = _MARKS.sub("", _BREAKS.sub(" ", name)).strip()
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text or "(no name)"


def without_codes(text: str) -> str:
    """Return a text without what a terminal would obey: colours, titles, moves of the cursor.

    >>> without_codes("a cat\\x1b[2J of two\\nlines")
    'a cat [2J of two\\nlines'
    """
    return _MARKS.sub("", _CODES.sub(" ", text))
