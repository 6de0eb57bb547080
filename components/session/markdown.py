"""Show text from outside, such as a file's name, in Markdown exactly as it is."""

from __future__ import annotations

import re


def escaped(text: str) -> str:
    """Return Markdown that shows the text as it is, on one line."""
    # Before a space a colon begins no icon and no colour, and < no tag.
    return re.sub(r"([\\*_\[\]`$#>~]|[:<](?=\S))", r"\\\1", text).replace("\n", " ")


def shortened(name: str, most: int, tail: int = 7) -> str:
    """Return a name of at most `most` characters, cut before its last `tail`."""
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"
