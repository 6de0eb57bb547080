"""Log explanations; odd ones in full."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
import weakref
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB, settings
from sightglass.monitor import files, reference
from sightglass.monitor.entry import Entry
from sightglass.monitor.log import Log
from sightglass.monitor.observation import Observation, box_numbers, from_rows, observe, stamp, statistics_of
from sightglass.monitor.reader import REFERENCE, Reading
from sightglass.monitor.rules import Rules, check
from sightglass.monitor.threshold import threshold as threshold_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.statistics import Statistics
    from sightglass.monitor.reference import Reference
    from sightglass.monitor.rules import Reason

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
    most_bytes: int
    """Approximate maximum of that size."""


class Rate:
    """A token bucket; not thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._tokens, self._at = float(per_minute), clock()

    def take(self) -> bool:
        if not self.free:
            return False
        self._tokens -= 1
        return True

    @property
    def free(self) -> bool:
        now = self._clock()
        self._tokens = min(float(self._most), self._tokens + (now - self._at) * self._most / 60)
        self._at = now
        return self._tokens >= 1


@dataclass
class LeftOut:
    """Counts odd explanations left out of the log, until a line reports them; not thread-safe."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    since: datetime | None = None
    until: datetime | None = None

    def add(self, kinds: tuple[str, ...], at: datetime) -> None:
        self.since, self.until = self.since or at, at
        self.count += 1
        self.kinds.update(kinds)

    def take(self) -> LeftOut | None:
        """Return the count, None if it is 0, and start again from 0."""
        taken = replace(self)
        self.count, self.kinds, self.since, self.until = 0, Counter(), None, None
        return taken if taken.count else None

    def join(self, earlier: LeftOut | None) -> None:
        if earlier is not None:
            self.since, self.until = earlier.since, self.until or earlier.until
            self.count += earlier.count
            self.kinds.update(earlier.kinds)

    def line(self) -> Json:
        assert self.since is not None and self.until is not None
        return {"left_out": self.count, "from": stamp(self.since), "to": stamp(self.until), "why": dict(self.kinds)}


class Monitor(Reading):
    """Watches explanations; safe for threads, and for several processes with one folder."""

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        threshold: float | None = None,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        per_minute: int = 30,
        rotate_bytes: int = 16 * 2**20,
        keep: int = 8,
        pictures: bool = False,
    ) -> None:
        """`folder`: SIGHTGLASS_MONITOR, else a folder of the user's own; "off" monitors nothing.

        `threshold`: 0..1, the confidence below which an explanation is odd; 0: never; None: learned from the model's
        reference (`sightglass.monitor.threshold`), and 0.5 without one. `per_minute`: odd ones that each
        process logs in full; 0: none. `rotate_bytes`, `keep`: maximum size of a log file with its maps, and number of
        log files. `pictures`: whether an entry includes the picture.

        Raises Problem for a number out of range. The folder is created by the first write.
        """
        if threshold is not None and not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
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
        self._read: tuple[tuple[int, int], Reference | None] | None = None
        self._counts: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        # The last count of left out explanations is logged at the end of the process.
        weakref.finalize(self, _log_left_out, self._log, self._left)

    def watch(self, explanation: Explanation, *, source: str = "library") -> Entry | None:
        """Observe an explanation; return its entry if it is odd and was logged in full, else None.

        Never raises: failures are counted and listed in `problems`. An unfinished map is ignored, and so is what a
        viewer explains.
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
        reasons = check(seen, self.threshold_of(seen.model), self.rules)
        seen = replace(seen, odd=tuple(reason.kind for reason in reasons))
        with self._lock:
            self._counts["watched"] += 1
            self._counts["odd"] += bool(reasons)
            in_full = bool(reasons) and self._rate.take()
            if reasons and not in_full:
                self._counts["left_out"] += 1
                self._left.add(seen.odd, now)
            left = self._left.take() if in_full or (not reasons and self._rate.free) else None
        self._append_left_out(left)
        self._trend.append(seen.line())
        return self._write(explanation, statistics, seen, reasons) if in_full else None

    def _write(
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

    def threshold_of(self, model: str) -> float:
        """Return the confidence, 0..1, below which an explanation of this model is odd."""
        known = None
        # A reference that is damaged teaches nothing; setting it again is offered where it is shown.
        with contextlib.suppress(Problem):
            known = self._latest_reference()
        return threshold_for(model, self.threshold, known.models.get(model) if known else None).value

    def _latest_reference(self) -> Reference | None:
        """Return the reference, read again only when its file has changed."""
        if self.threshold is not None or self.folder is None:
            return None
        try:
            status = (self.folder / REFERENCE).stat()
        except OSError:
            return None
        signature = (status.st_mtime_ns, status.st_size)
        if self._read is None or self._read[0] != signature:
            self._read = (signature, self.reference())
        return self._read[1]

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
        size = self._trend.size() + self._log.size() if self.folder else 0
        return State(folder=self.folder, problems=problems, bytes=size, most_bytes=most, **counts)

    def flush(self) -> None:
        """Log now how many were left out; otherwise that happens in the next quiet moment, or at the end."""
        with self._lock:
            left = self._left.take()
        try:
            self._append_left_out(left)
        except OSError as error:
            self._fail(_unwritten(self.folder, error))

    def _append_left_out(self, left: LeftOut | None) -> None:
        """Log how many were left out; add them to the current count if that fails."""
        try:
            if left is not None:
                self._log.append(left.line())
        except OSError:
            with self._lock:
                self._left.join(left)
            raise

    def clear(self) -> int:
        """Delete every line, map and picture, but not the reference; return the number of bytes."""
        if self.folder is None:
            return 0
        return self._trend.clear() + self._log.clear()

    def look_through(self, results: Path | str, *, add: bool = False) -> list[Observation]:
        """Return a batch run's results as observations, each with why it is odd; `add`: also append them to the trend.

        Raises Problem if there are no results, or with `add` if nothing can be written.
        """
        now = datetime.now(UTC)
        found = []
        for one in from_rows(reference.rows(Path(results))):
            odd = tuple(reason.kind for reason in check(one, self.threshold_of(one.model), self.rules))
            found.append(replace(one, odd=odd, time=now))
        if add:
            folder = self._require_folder()
            try:
                for one in found:
                    self._trend.append(one.line())
            except OSError as error:
                raise Problem(_unwritten(folder, error)) from error
            with self._lock:
                self._counts["watched"] += len(found)
                self._counts["odd"] += sum(bool(one.odd) for one in found)
        return found

    def _fail(self, text: str) -> None:
        with self._lock:
            self._counts["failed"] += 1
            # Each sentence is stored once; beyond a limit new ones are dropped.
            if text in self._problems or len(self._problems) < 20:
                self._problems[text] += 1


def _log_left_out(log: Log, left: LeftOut) -> None:
    if left.count:
        with contextlib.suppress(OSError):
            log.append(left.line())


def _unwritten(folder: Path | None, error: OSError) -> str:
    return f"Nothing can be written to {folder} ({error.strerror or error}): make room, or choose another folder."


def default() -> Monitor:
    """Return the current person's monitor in this process, set by the environment (docs/monitoring.md); raise Problem
    for a malformed variable."""
    found = settings()
    return _monitor(
        users.folder(found.monitor) if found.monitor else OFF,
        threshold=found.monitor_threshold,
        per_minute=found.monitor_per_minute,
        rotate_bytes=int(found.monitor_mb * MIB),
        keep=found.monitor_keep,
        pictures=found.monitor_pictures,
    )


_monitor = lru_cache(maxsize=64)(Monitor)
