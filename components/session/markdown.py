"""Show text from outside, such as a file's name, in Markdown exactly as it is."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Return Markdown that shows the text as it is, on one line."""
    for mark in r"\*_[]`$:#<>~":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")


def shortened(name: str, most: int, tail: int = 7) -> str:
    """Return a name of at most `most` characters, cut before its last `tail`."""
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"
