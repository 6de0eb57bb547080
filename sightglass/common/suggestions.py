"""Suggest the names that were probably meant by one that is unknown."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(wanted: str, among: Iterable[str], *, n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return at most `n` of these names that are spelled like the wanted one, in any case; the likeliest first."""
    lowered = {name.lower(): name for name in among}
    return [lowered[near] for near in difflib.get_close_matches(wanted.lower(), lowered, n, cutoff)]


def did_you_mean(wanted: str, among: Iterable[str], otherwise: str = "", *, n: int = 1) -> str:
    """Return `did you mean a or b?`, the end of a sentence, or `otherwise` where no name is near."""
    near = nearest(wanted, among, n=n)
    return f"did you mean {' or '.join(near)}?" if near else otherwise
