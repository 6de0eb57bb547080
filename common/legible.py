"""Names that come from outside, as one line of text: of classes above all, which every screen, file and log shows."""

from __future__ import annotations

import re

MAX_NAME = 200
"""Letters, as many as recipes, decks and the API take."""
_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
"""Control characters: line breaks, colours of a terminal; and halves of characters, which no file can hold."""
_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
"""Reverse the direction of the text around them."""


def legible(name: str) -> str:
    """Return a name as one line of at most MAX_NAME letters, without what is not seen.

    >>> legible("cat\\n\\u202egnp.exe")
    'cat gnp.exe'
    """
    text = _MARKS.sub("", _BREAKS.sub(" ", name)).strip()
    if len(text) > MAX_NAME:
        text = f"{text[: MAX_NAME - 1]}…"
    return text or "(no name)"
