"""Seal of a map: the answers of three tests.

`explain.faithfulness.seal` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.proof.support import Mark

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sightglass.common.files import Json

Question = Literal["model", "answer", "still"]
QUESTIONS: dict[Question, str] = {
    "model": "changes with the model",
    "answer": "matters",
    "still": "holds still",
}
SHAPES: dict[Mark, str] = {"yes": "✓", "no": "✗", "cannot be told": "?"}
_CACHE: ByteCache[Seal] = ByteCache(1 * MIB, lambda _: 1000)


@dataclass(frozen=True, slots=True)
class SealMark:
    """The answer to one of the questions."""

    question: Question
    answer: Mark
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
        """The question with its answer, and a shape for it: `✓ holds still: yes`."""
        return f"{SHAPES[self.answer]} {self.said}"

    @property
    def said(self) -> str:
        """The question with its answer: `matters: unclear`."""
        return f"{QUESTIONS[self.question]}: {'unclear' if self.answer == 'cannot be told' else self.answer}"


@dataclass(frozen=True, slots=True)
class Seal:
    """The answers of up to three quick tests of one map."""

    label: str
    marks: tuple[SealMark, ...]

    def __getitem__(self, question: Question) -> SealMark | None:
        return next((mark for mark in self.marks if mark.question == question), None)

    @property
    def whole(self) -> bool:
        return len(self.marks) == len(QUESTIONS)

    @property
    def shows(self) -> str:
        """The map's model-independent content, if any; else empty."""
        mark = self["model"]
        return "" if mark is None else mark.shows

    @property
    def line(self) -> str:
        """The marks as one line, for files and slides."""
        return " · ".join(mark.words for mark in self.marks)

    @property
    def short(self) -> str:
        """The marks in short form: `✓ model · ? answer · ✓ still`."""
        return " · ".join(f"{SHAPES[mark.answer]} {mark.question}" for mark in self.marks)

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        return {
            "target": self.label,
            "marks": [{name: getattr(mark, name) for name in SealMark.__slots__} for mark in self.marks],
        }


def untested(label: str, why: str) -> Seal:
    """Return a seal that tells nothing, and why."""
    return Seal(label, tuple(SealMark(question, "cannot be told", why) for question in QUESTIONS))


def known(key: Hashable) -> Seal | None:
    """Return the seal of a map that was made before in this process, by `Result.seal_key`."""
    return _CACHE.get(key)


def remember(key: Hashable, seal: Seal) -> None:
    """Hold the seal of a map for the process."""
    _CACHE.put(key, seal)


def forget() -> None:
    """Drop all seals."""
    _CACHE.clear()
