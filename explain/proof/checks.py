"""The checks of a map: the results of three tests, which `explain.faithfulness.checks` runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AliasChoices, Field

from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.proof.support import Mark

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sightglass.common.files import Json

CheckId = Literal["model", "answer", "still"]
QUESTIONS: dict[CheckId, str] = {
    "model": "changes with the model",
    "answer": "matters",
    "still": "holds still",
}
FIELDS = {"id": "question", "state": "answer"}
"""Names of fields in files and in the API, where they differ."""
SHAPES: dict[Mark, str] = {"yes": "✓", "no": "✗", "cannot be told": "?"}
_CACHE: ByteCache[Checks] = ByteCache(1 * MIB, lambda _: 1000)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one test."""

    id: Annotated[CheckId, Field(validation_alias=AliasChoices("id", "question"))]
    state: Annotated[Mark, Field(validation_alias=AliasChoices("state", "answer"))]
    sentence: str
    """The number, its control and its interval, or why there is none."""
    value: float | None = None
    """The similarity with random weights; the effect in log-odds; the least rank correlation after a change."""
    control: float | None = None
    """The same of unrelated maps; of the strongest control; of unrelated maps."""
    shows: str = ""
    """What a map that does not depend on the model shows instead: `the box`."""
    inside: float | None = None
    """The share of the heat that is in the target's boxes with random weights, 0..1; None without boxes."""

    @property
    def words(self) -> str:
        """The check with its state and a sign for it: `✓ holds still: yes`."""
        return f"{SHAPES[self.state]} {self.said}"

    @property
    def said(self) -> str:
        """The check with its state: `matters: unclear`."""
        return f"{QUESTIONS[self.id]}: {'unclear' if self.state == 'cannot be told' else self.state}"


@dataclass(frozen=True, slots=True)
class Checks:
    """The answers of up to three quick tests of one map."""

    label: str
    checks: Annotated[tuple[Check, ...], Field(validation_alias=AliasChoices("checks", "marks"))]

    def __getitem__(self, id: CheckId) -> Check | None:
        return next((check for check in self.checks if check.id == id), None)

    @property
    def whole(self) -> bool:
        return len(self.checks) == len(QUESTIONS)

    @property
    def shows(self) -> str:
        """The map's model-independent content, if any; else empty."""
        check = self["model"]
        return "" if check is None else check.shows

    @property
    def line(self) -> str:
        """The checks as one line, for files and slides."""
        return " · ".join(check.words for check in self.checks)

    @property
    def short(self) -> str:
        """The checks in short form: `✓ model · ? answer · ✓ still`."""
        return " · ".join(f"{SHAPES[check.state]} {check.id}" for check in self.checks)

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        return {
            "target": self.label,
            "marks": [
                {FIELDS.get(name, name): getattr(check, name) for name in Check.__slots__} for check in self.checks
            ],
        }


def untested(label: str, why: str) -> Checks:
    """Return checks that cannot be told, and why."""
    return Checks(label, tuple(Check(id, "cannot be told", why) for id in QUESTIONS))


def known(key: Hashable) -> Checks | None:
    """Return the checks of a map from earlier in this process, by `Result.checks_key`."""
    return _CACHE.get(key)


def remember(key: Hashable, checks: Checks) -> None:
    """Hold the checks of a map for the process."""
    _CACHE.put(key, checks)


def forget() -> None:
    """Drop all checks."""
    _CACHE.clear()
