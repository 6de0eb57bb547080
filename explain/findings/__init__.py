"""Say what a map cannot be trusted for, from measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from collections.abc import Iterable

defer_imports(__name__)

LEVELS = ("serious", "caution", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """A limitation of a map: `serious` (meaningless), `caution`, or `note`."""

    kind: str
    level: Literal["serious", "caution", "note"]
    text: str


def most_serious_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by their level; those of one level stay in order."""
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))
