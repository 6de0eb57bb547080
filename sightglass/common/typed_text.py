"""Check texts that people type."""

from __future__ import annotations

import unicodedata

from sightglass.common.errors import Problem


def line(text: str, most: int, what: str) -> str:
    """Return one line without invisible characters; raise Problem if it is too long."""
    text = " ".join("".join(" " if unseen(letter) else letter for letter in text).split())
    if len(text) > most:
        raise Problem(f"{what} has {len(text):,} letters: {most:,} at most, please.")
    return text


def unseen(letter: str) -> bool:
    """Return whether a character is invisible or reverses the line."""
    # Control characters, and what no XML can hold.
    return (
        unicodedata.category(letter) in ("Cc", "Cs")
        or letter in "\ufffe\uffff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
