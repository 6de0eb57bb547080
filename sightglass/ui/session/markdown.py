"""Escape Markdown."""

import re

_KEY = (
    r"(?:\bweights\.[a-z_.]*\w|\blabels in its table\b|\bpart=\"\w+\"|"
    r"\btask (?:states|classify|multilabel|regress|embed)\b)"
)
"""What a note may name of a table or of Python."""


def escape(text: str) -> str:
    """Return literal Markdown of a text, on one line."""
    # Before a space a colon begins no icon and no colour, and < no tag; within a word _ is a letter.
    return re.sub(r"([\\*\[\]`$#>~]|(?<![^\W_])_|_(?![^\W_])|[:<](?=\S))", r"\\\1", text).replace("\n", " ")


def sentence(problem: object) -> str:
    """Return a problem's sentence as literal Markdown; names from outside can at most become code in backticks."""
    text = str(problem)
    parts = text.split("`")
    if "``" in text or len(parts) % 2 == 0:
        return escape(text)
    return "`".join(part if place % 2 else escape(part) for place, part in enumerate(parts))


def without_keys(note: str) -> str:
    """Return a note without keys of models.toml or Python's arguments.

    >>> without_keys("Its 5 classes have no names here: say weights.labels in its table.")
    'Its 5 classes have no names here.'
    """
    note = re.sub(rf" \({_KEY}\)", "", note)
    clauses = []
    for part in re.split(r"(?<=\.) (?=[A-Z])", note):
        clause = re.sub(rf"[;:] [^;:]*{_KEY}[^;]*$", ".", part)
        if not re.search(_KEY, clause):
            clauses.append(clause)
    return " ".join(clauses)


def shorten(name: str, most: int, tail: int = 7) -> str:
    """Cut a name to `most` characters, keeping its last `tail`."""
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"
