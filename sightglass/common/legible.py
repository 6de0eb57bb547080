"""Sanitise untrusted names and texts."""

from __future__ import annotations

import re

MAX_NAME = 200
"""Letters, as many as recipes, decks and the API take."""
MAX_WORD = 220
"""Letters without a space between: room for a name with quotation marks around it."""
_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
"""Control characters: line breaks, colours of a terminal; and what no file, or no XML, can hold: halves of characters,
and two that are none."""
_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
"""Reverse the direction of the text around them."""
_CODES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]+")
"""Control characters other than tabs and line breaks."""
_LONG = re.compile(rf"\S{{{MAX_WORD + 1},}}")


def visible(text: str) -> str:
    """Return a text as one line of visible characters."""
    return _MARKS.sub("", _BREAKS.sub(" ", text))


def legible(name: str, most: int = MAX_NAME) -> str:
    """Return a name as one line of at most `most` letters, without what is not seen.

    >>> legible("cat\\n\\u202egnp.exe")
    'cat gnp.exe'
    """
    text = visible(name).strip()
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text or "(no name)"


def without_codes(text: str) -> str:
    """Return a text without what a terminal would obey: colours, titles, moves of the cursor.

    >>> without_codes("a cat\\x1b[2J of two\\nlines")
    'a cat [2J of two\\nlines'
    """
    return _MARKS.sub("", _CODES.sub(" ", text))


def one_line(sentence: str) -> str:
    """Return a sentence as one line of visible characters.

    Whatever is too long to be a word, such as a path, has an ellipsis in its middle.

    >>> len(one_line(f"There is no model {'a' * 10_000!r}."))
    238
    """
    return _LONG.sub(lambda match: f"{match[0][: MAX_WORD // 2 - 1]}…{match[0][-MAX_WORD // 2 :]}", visible(sentence))
