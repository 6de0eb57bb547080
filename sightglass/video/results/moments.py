"""Find the moments of a clip.

A change counts after `LASTING` seconds, from its beginning; one odd frame is no moment. Answers below `UNSURE` are one
state, whatever they name: what an unsure model names next is chance.
The heat has moved where its centre is further than `MOVED` of the picture's diagonal from where it was at the last
moment of the same object or class; it is then measured from the new place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sightglass.explain.findings.diagnosis import UNSURE
from sightglass.explain.phrases import describe_share, percent, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["answer", "object", "gone", "place"]
LASTING = 0.3
"""Seconds."""
MOVED = 0.2
"""Of the picture's diagonal."""
MAX_MOMENTS = 1000
"""Kept for one clip."""
Row = dict[str, Any]


def clock(seconds: float) -> str:
    """Format a time in a clip: `0:07.4`, `1:02:03.0`."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


@dataclass(frozen=True)
class Moment:
    """Where something changed; `words` are one short sentence."""

    seconds: float
    frame: int
    kind: Kind
    words: str
    object: int | None = None
    label: str = ""


@dataclass
class _Series:
    """One class or object, as far as it was read."""

    label: str
    centre: tuple[float, float] | None = None
    last: tuple[float, int] = (0.0, 0)
    begun: tuple[float, int] | None = None
    """When the heat came here, if far from `centre`."""
    said: bool = False
    """Whether its coming was a moment."""
    first: tuple[float, int] = (0.0, 0)


@dataclass
class Finder:
    """Reads the rows of a timeline frame by frame."""

    diagonal: float
    areas: bool = False
    """Whether an answer is the largest class of a segmentation, and its score a share of the frame."""
    answer: str | None = None
    """The answer; empty while the model is unsure."""
    waiting: tuple[str, float, int, float, str] | None = None
    """An answer that has not lasted yet: as `answer`, seconds, frame, score, label."""
    series: dict[Any, _Series] = field(default_factory=dict)

    def read(self, rows: Iterable[Row]) -> Iterator[Moment]:
        """Yield the moments as they are certain; `rows` in the order of their frames."""
        frame: list[Row] = []
        for row in rows:
            if frame and row["frame"] != frame[0]["frame"]:
                yield from self._frame(frame)
                frame = []
            frame.append(row)
        if frame:
            yield from self._frame(frame)

    def _frame(self, rows: list[Row]) -> Iterator[Moment]:
        now = rows[0]["seconds"], rows[0]["frame"]
        if rows[0]["best"] is not None:
            yield from self._answer(rows[0], now)
        for row in rows:
            if row["answer"] is not None:
                yield from self._find_moves(row, now)
        yield from self._find_gone(now)

    def _answer(self, row: Row, now: tuple[float, int]) -> Iterator[Moment]:
        best = row["best"] if self.areas or row["best_score"] >= UNSURE else ""
        if self.answer is None:
            self.answer = best
        if best == self.answer:
            self.waiting = None
            return
        if self.waiting is None or self.waiting[0] != best:
            self.waiting = (best, *now, row["best_score"], row["best"])
        answer, seconds, frame, score, label = self.waiting
        if now[0] - seconds >= LASTING:
            before, self.answer, self.waiting = self.answer, answer, None
            change = f"{before} becomes {label}" if before else f"sure again: {label}"
            words = f"{change}, {percent(score)} sure" if answer else f"unsure: at best {label}, {percent(score)}"
            if self.areas:
                words = f"{label} is now the largest: {describe_share(score)}"
            yield Moment(seconds, frame, "answer", plain_text(words), label=answer)

    def _find_moves(self, row: Row, now: tuple[float, int]) -> Iterator[Moment]:
        key = row["object"] if row["object"] is not None else row["answer"]
        one = self.series.get(key)
        if one is None:
            one = self.series[key] = _Series(row["answer"], first=now)
        one.last = now
        name = row["answer"] if row["object"] is None else f"{row['answer']} {row['object']}"
        if row["object"] is not None and not one.said and now[0] - one.first[0] >= LASTING:
            one.said = True
            if one.first[1] > 0:
                yield Moment(*one.first, "object", f"{name} comes", row["object"], row["answer"])
        if row["map"] != "ok":
            return
        at = row["centre_x"], row["centre_y"]
        if one.centre is None:
            one.centre = at
        if math.dist(at, one.centre) <= MOVED * self.diagonal:
            one.begun = None
            return
        one.begun = one.begun or now
        if now[0] - one.begun[0] >= LASTING:
            share = math.dist(at, one.centre) / self.diagonal
            began, one.begun, one.centre = one.begun, None, at
            words = plain_text(f"the evidence for {name} moves by {percent(share)} of the diagonal")
            yield Moment(*began, "place", words, row["object"], row["answer"])

    def _find_gone(self, now: tuple[float, int]) -> Iterator[Moment]:
        """Yield the objects that have not been seen for a while, and forget them and classes long past."""
        for key, one in list(self.series.items()):
            if now[0] - one.last[0] < LASTING:
                continue
            if isinstance(key, int):
                if one.said:
                    yield Moment(*one.last, "gone", f"{one.label} {key} goes", key, one.label)
                del self.series[key]
            elif now[0] - one.last[0] > 30:
                del self.series[key]


def moments(rows: Iterable[Row], width: int, height: int, *, areas: bool = False) -> list[Moment]:
    """Return the moments of a timeline, in the order of time, at most `MAX_MOMENTS`; sizes in pixels of its frames.

    `areas`: of a segmentation.
    """
    found: list[Moment] = []
    for one in Finder(math.hypot(width, height), areas).read(rows):
        found.append(one)
        if len(found) >= MAX_MOMENTS:
            break
    return sorted(found, key=lambda one: (one.seconds, one.kind))
