"""Escape Markdown."""

from __future__ import annotations

import re


def escape(text: str) -> str:
    """Return Markdown that shows the text as it is, on one line."""
    # Before a space a colon begins no icon and no colour, and < no tag; within a word _ is a letter.
    return re.sub(r"([\\*\[\]`$#>~]|(?<![^\W_])_|_(?![^\W_])|[:<](?=\S))", r"\\\1", text).replace("\n", " ")


def sentence(said: object) -> str:
    """Return a problem's sentence as Markdown: literal text, and code where it has single backticks.

    They contain names from outside, which can at most become code.
    """
    text = str(said)
    parts = text.split("`")
    if "``" in text or len(parts) % 2 == 0:
        return escape(text)
    return "`".join(part if place % 2 else escape(part) for place, part in enumerate(parts))


def shorten(name: str, most: int, tail: int = 7) -> str:
    """Return a name of at most `most` characters, cut before its last `tail`."""
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"
