"""What is said of a map beside its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A limitation of a map. `serious`: the map means nothing; `caution`: read it with care; `note`: good to know."""

    kind: str
    level: Literal["serious", "caution", "note"]
    text: str
