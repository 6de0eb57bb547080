"""Sanitise untrusted names and texts."""

import re

MAX_NAME = 200
"""Characters of a name in recipes, decks and the API."""
MAX_WORD = 220
"""Characters of a word in a sentence: room for a name of `MAX_NAME` in quotation marks."""
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
"""A terminal's codes of colours and weights, as in the errors of libraries."""
_BREAKS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
"""Control characters, such as line breaks and the codes of a terminal, and what XML cannot hold: lone surrogates and
noncharacters."""
_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
"""Marks that change the direction of text."""
_OBJECT = re.compile(r"<[\w.<>]*?(\w+) object at 0x[0-9a-fA-F]+>")
"""An object that says nothing of itself but its class and its address."""
_LONG = re.compile(rf"\S{{{MAX_WORD + 1},}}")


def visible(text: str) -> str:
    """Return a text as one line of visible characters."""
    return _MARKS.sub("", _BREAKS.sub(" ", text))


def legible(name: str, most: int = MAX_NAME) -> str:
    """Return a name as one line of at most `most` visible characters.

    >>> legible("cat\\n\\u202egnp.exe")
    'cat gnp.exe'
    """
    text = visible(name).strip()
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text or "(no name)"


def one_line(sentence: str) -> str:
    """Return a sentence as one line of visible characters, in which objects are named by their class.

    Whatever is too long to be a word, such as a path, has an ellipsis in its middle.

    >>> len(one_line(f"There is no model {'a' * 10_000!r}."))
    238
    """
    text = _OBJECT.sub(r"\1", visible(_COLOURS.sub("", sentence)))
    return _LONG.sub(lambda match: f"{match[0][: MAX_WORD // 2 - 1]}…{match[0][-MAX_WORD // 2 :]}", text)
