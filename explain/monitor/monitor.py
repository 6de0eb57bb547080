"""Log a short line for every explanation and odd ones in full; the caller never fails because of it."""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import Problem
from common.settings import settings
from explain.monitor import files
from explain.monitor.entry import Entry
from explain.monitor.log import Log
from explain.monitor.observation import Observation, box_numbers, from_rows, observe, statistics_of
from explain.monitor.rate import LeftOut, Rate
from explain.monitor.reader import Reading
from explain.monitor.rules import Rules, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.explanation import Explanation
    from explain.maps.statistics import Statistics
    from explain.monitor.rules import Reason

OFF = "off"
TREND, ODD = "trend", "odd"
TREND_SHARE = 4
"""Ratio of the size of a full log file to one of short lines, which holds some 10,000."""
SHOWN = 5
"""Number of predictions in an entry."""


@dataclass(frozen=True)
class State:
    """Counters of this process's monitor, and the size of its folder."""

    folder: Path | None
    """None: switched off."""
    watched: int
    odd: int
    logged: int
    left_out: int
    """Number of odd explanations not logged in full because of the limit per minute."""
    failed: int
    """Number that could not be written or examined."""
    problems: tuple[str, ...]
    bytes: int
    """Size of all rotating files."""
    most_bytes: int
    """Approximate maximum of that size."""


class Monitor(Reading):
    """Watches explanations; safe for threads, and for several processes with one folder."""

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        threshold: float = 0.5,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        per_minute: int = 30,
        rotate_bytes: int = 16 * 2**20,
        keep: int = 8,
        pictures: bool = False,
    ) -> None:
        """`folder`: SIGHTGLASS_MONITOR, else a folder of the user's own; "off" watches nothing.

        `threshold`: 0..1, the confidence below which an explanation is odd; 0: never. `per_minute`: odd ones that are
        logged whole, by each process; 0: none. `rotate_bytes`, `keep`: how large a file of the log becomes, its maps
        counted, and how many of them are kept. `pictures`: whether an entry keeps the picture, too.

        Raises Problem where a number is none that makes sense. The folder is made when something is written.
        """
        if not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
            raise Problem(f"threshold is {threshold!r}: it goes from 0 to 1.")
        if per_minute < 0 or rotate_bytes < 1 or keep < 1:
            raise Problem("per_minute is 0 at least, rotate_bytes and keep are 1 at least.")
        given = settings().monitor if folder is None else folder
        self.folder = None if given is None or str(given) == OFF else Path(given).expanduser()
        self.threshold, self.rules, self.pictures = threshold, rules, pictures
        at = self.folder or Path(os.devnull)
        self._trend = Log(at, TREND, rotate=max(1, rotate_bytes // TREND_SHARE), keep=keep)
        self._log = Log(at, ODD, rotate=rotate_bytes, keep=keep)
        self._rate, self._left = Rate(per_minute), LeftOut()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        # The last count of left out explanations is logged at the end of the process.
        weakref.finalize(self, _say_left, self._log, left := [self._left])
        self._held = left

    def watch(self, explanation: Explanation, *, source: str = "library") -> Entry | None:
        """Look at an explanation; returns the entry where it is odd and was logged whole, else None.

        Never raises: what could not be written is counted, and told by `problems`. A map that is not finished is not
        looked at.
        """
        if self.folder is None or not explanation.finished:
            return None
        try:
            return self._watch(explanation, source)
        except OSError as error:
            self._fail(_unwritten(self.folder, error))
        except Exception as error:
            # Monitoring must not make the caller fail; the sentence says what to report.
            self._fail(f"An explanation could not be looked at ({type(error).__name__}: {error}).")
        return None

    def _watch(self, explanation: Explanation, source: str) -> Entry | None:
        now = datetime.now(UTC)
        statistics = statistics_of(explanation)
        seen = observe(explanation, source=source, time=now, statistics=statistics)
        reasons = check(seen, self.threshold, self.rules)
        seen = replace(seen, odd=tuple(reason.kind for reason in reasons))
        with self._lock:
            self._counts["watched"] += 1
            self._counts["odd"] += bool(reasons)
            whole = bool(reasons) and self._rate.take()
            if reasons and not whole:
                self._counts["left_out"] += 1
                self._left.add(seen.odd, now)
            due = self._take_left() if self._left.count and (whole or (not reasons and self._rate.free)) else None
        if due is not None:
            self._say(due)
        self._trend.append(seen.line())
        return self._logged(explanation, statistics, seen, reasons) if whole else None

    def _logged(
        self,
        explanation: Explanation,
        statistics: Statistics | None,
        seen: Observation,
        reasons: tuple[Reason, ...],
    ) -> Entry:
        assert seen.time is not None
        shown = explanation.heatmaps[0] if explanation.heatmaps else None
        boxes = box_numbers(explanation, statistics) if statistics else None
        name = f"{seen.time:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        entry = Entry(
            id=name,
            time=seen.time,
            model=seen.model,
            task=seen.task,
            source=seen.source,
            picture=explanation.image.name,
            sha256=explanation.image.sha256,
            width=explanation.image.width,
            height=explanation.image.height,
            label=seen.label,
            confidence=seen.confidence,
            reasons=reasons,
            predictions=tuple((p.label, float(p.score)) for p in explanation.predictions[:SHOWN]),
            statistics=asdict(statistics) if statistics else {},
            boxes=asdict(boxes) if boxes else None,
            method=shown.method if shown else None,
            layers=shown.layers if shown else (),
            of=shown.target.label if shown else None,
            state=seen.state,
            geometry=explanation.evidence.geometry,
            recipe=explanation.recipe,
            notes=explanation.notes,
        )
        made = files.of(explanation, pictures=self.pictures)
        named = {kind: f"{name}-{file}" for kind, (file, _) in made.items()}
        line = entry.line(named)
        number = self._log.append(line, {named[kind]: data for kind, (_, data) in made.items()})
        with self._lock:
            self._counts["logged"] += 1
        return Entry.read(line, self._log.beside(number))

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems of this process, a sentence each, with their number."""
        with self._lock:
            return tuple(
                f"{text} {f'{count} times.' if count > 1 else ''}".strip() for text, count in self._problems.items()
            )

    def state(self) -> State:
        """Return the counters of this process's monitor, and the size of its folder."""
        problems = self.problems
        with self._lock:
            counts = {name: self._counts[name] for name in ("watched", "odd", "logged", "left_out", "failed")}
        most = sum(log.rotate * log.keep for log in (self._trend, self._log))
        held = self._trend.size() + self._log.size() if self.folder else 0
        return State(folder=self.folder, problems=problems, bytes=held, most_bytes=most, **counts)

    def flush(self) -> None:
        """Log now how many were left out; otherwise that happens in the next quiet moment, or at the end."""
        with self._lock:
            due = self._take_left() if self._left.count else None
        if due is not None:
            try:
                self._say(due)
            except OSError as error:
                self._fail(_unwritten(self.folder, error))

    def _say(self, due: LeftOut) -> None:
        """The line of how many were left out; where it cannot be written they are counted on."""
        try:
            self._log.append(due.line())
        except OSError:
            with self._lock:
                self._left.join(due)
            raise

    def clear(self) -> int:
        """Delete every line, map and picture, but not the reference; return the number of bytes."""
        if self.folder is None:
            return 0
        return self._trend.clear() + self._log.clear()

    def look_through(self, results: Path | str, *, add: bool = False) -> list[Observation]:
        """A folder run's results as observations, each with why it is odd; `add` puts them into the trend, too.

        Raises Problem where there are no results, or with `add` nothing can be written.
        """
        from explain.monitor import reference

        now = datetime.now(UTC)
        found = []
        for one in from_rows(reference.rows(Path(results))):
            odd = tuple(reason.kind for reason in check(one, self.threshold, self.rules))
            found.append(replace(one, odd=odd, time=now))
        if add:
            folder = self._place()
            try:
                for one in found:
                    self._trend.append(one.line())
            except OSError as error:
                raise Problem(_unwritten(folder, error)) from error
            with self._lock:
                self._counts["watched"] += len(found)
                self._counts["odd"] += sum(bool(one.odd) for one in found)
        return found

    def _take_left(self) -> LeftOut:
        """What is to be said now; the count begins anew."""
        due, self._left = self._left, LeftOut()
        self._held[0] = self._left
        return due

    def _fail(self, text: str) -> None:
        with self._lock:
            self._counts["failed"] += 1
            # Each sentence is stored once; beyond a limit new ones are dropped.
            if text in self._problems or len(self._problems) < 20:
                self._problems[text] += 1


def _say_left(log: Log, held: Sequence[LeftOut]) -> None:
    if held[0].count:
        try:
            log.append(held[0].line())
        except OSError:
            return


def _unwritten(folder: Path | None, error: OSError) -> str:
    return f"Nothing can be written to {folder} ({error.strerror or error}): make room, or choose another folder."
