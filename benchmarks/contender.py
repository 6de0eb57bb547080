"""What is timed or weighed: something to do, and what must be there before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Contender:
    """One line of the table."""

    id: str
    name: str
    call: Callable[[Any], Any]
    """It gets what `prepare` returned."""
    prepare: Callable[[], Any] = _nothing
    """Made anew for every round and not timed."""
