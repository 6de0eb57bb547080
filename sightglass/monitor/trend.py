"""Bin observations over time."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain.phrases import listing, plural
from sightglass.monitor.phrases import many
from sightglass.monitor.reader import REFERENCE
from sightglass.monitor.reference import RESULTS, Reference, save

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sightglass.monitor.monitor import Monitor
    from sightglass.monitor.observation import Observation

_LINES = re.compile(r"(trend|odd)-\d+\.jsonl")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91, 364, 3640, 36400)),
)
"""Possible lengths of a bin in seconds: those at which clocks and calendars have marks."""
MOST = 48
"""Maximum number of bins in a trend."""
FILLED = 1 / 3
"""Share of a span of time from which on a chart shows all of it."""
OUTCOMES = {
    "low confidence": "unsure",
    "nothing found": "found nothing",
    "border": "looked at the border",
    "even": "looked nowhere in particular",
    "off the box": "looked beside the box",
    "flat": "had a flat map",
    "no evidence": "had no evidence",
    "not a number": "had a broken map",
}
"""What the model did with a picture, by kind of reason: the end of a sentence."""


@dataclass(frozen=True)
class Bin:
    """The observations from `start` until before `end`."""

    start: datetime
    end: datetime
    count: int
    """Number of pictures, also those without the number."""
    odd: int
    quartiles: tuple[float, float, float] | None
    """Lower quartile, median and upper quartile of the number; None if no picture has it."""

    @property
    def middle(self) -> datetime:
        return self.start + (self.end - self.start) / 2


@dataclass(frozen=True)
class Trend:
    """One number over time."""

    number: str
    """One of `sightglass.monitor.NUMBERS`."""
    bins: tuple[Bin, ...]
    """Consecutive, including empty ones; none without observations."""
    step: timedelta
    """Length of each bin."""
    since: datetime
    until: datetime


def trend(
    seen: Sequence[Observation], number: str, *, since: datetime | None, until: datetime, most: int = MOST
) -> Trend:
    """Return a number in bins from `since`, by default the first picture, to `until`.

    Bins begin at marks of the clock in `until`'s zone. Raises ValueError for times without a zone.
    """
    if until.tzinfo is None or (since is not None and since.tzinfo is None):
        raise ValueError("Give times with a zone.")
    zone = until.tzinfo
    timed = sorted(((one.time, one) for one in seen if one.time is not None and one.time <= until), key=itemgetter(0))
    if since is None:
        first, last = (timed[0][0], timed[-1][0]) if timed else (until, until)
        # At least a second: a single picture has no extent.
        since, until = first, max(last, first + timedelta(seconds=1))
    since, until = since.astimezone(zone), until.astimezone(zone)
    timed = [each for each in timed if each[0] >= since]
    step = _step((until - since).total_seconds(), most)
    if not timed:
        return Trend(number, (), timedelta(seconds=step), since, until)
    shift = (since.utcoffset() or timedelta()).total_seconds()
    # Weeks begin on a Monday, which the first of January 1970 was not.
    if step % (7 * _DAY) == 0:
        shift += 3 * _DAY
    places = [int((time.timestamp() + shift) // step) for time, _ in timed]
    start = int((since.timestamp() + shift) // step)
    end = max(int(-(-(until.timestamp() + shift) // step)), places[-1] + 1)

    def at(place: int) -> datetime:
        return datetime.fromtimestamp(place * step - shift, UTC).astimezone(zone)

    by_place: dict[int, list[Observation]] = {}
    for place, (_, one) in zip(places, timed, strict=True):
        by_place.setdefault(place, []).append(one)
    bins = tuple(_bin(at(place), at(place + 1), by_place.get(place, ()), number) for place in range(start, end))
    return Trend(number, bins, timedelta(seconds=step), since, until)


def fit(seen: Sequence[Observation], since: datetime | None, until: datetime) -> datetime | None:
    """Return where a trend begins: `since`, or None, which fits it to the pictures where they fill little of the time.

    Two hundred pictures of one morning would be a single bar of a day.
    """
    times = [one.time for one in seen if one.time is not None]
    if since is None or not times or max(times) - min(times) >= FILLED * (until - since):
        return since
    return None


def _step(seconds: float, most: int) -> int:
    # One bin more than the extent may be needed, as it seldom begins at a mark.
    return next((step for step in _STEPS if seconds / step <= most - 1), _STEPS[-1])


def _bin(start: datetime, end: datetime, seen: Sequence[Observation], number: str) -> Bin:
    values = [one.numbers[number] for one in seen if number in one.numbers]
    quartiles = None
    if values:
        low, median, high = np.quantile(np.asarray(values, np.float64), (0.25, 0.5, 0.75))
        quartiles = (float(low), float(median), float(high))
    return Bin(start, end, len(seen), sum(bool(one.odd) for one in seen), quartiles)


def kinds(seen: Iterable[Observation]) -> dict[str, int]:
    """Return the number of pictures by kind of oddness, the most frequent first; a picture may count in several."""
    return dict(Counter(kind for one in seen for kind in one.odd).most_common())


def headline(seen: Sequence[Observation], when: str) -> str:
    """`212 pictures in the last 24 hours; 9 were odd: 6 unsure, 3 looked at the border.`

    `when`: such as `in the last 24 hours`, or empty.
    """
    if not seen:
        return f"No picture {when}." if when else "No picture yet."
    pictures = f"{many(len(seen), 'picture')} {when}".strip()
    odd = [one for one in seen if one.odd]
    if not odd:
        return f"{pictures}; none was odd."
    counts = kinds(odd)
    if len(odd) == 1:
        return f"{pictures}; 1 was odd: {listing([OUTCOMES.get(kind, kind) for kind in odd[0].odd])}."
    if len(counts) == 1:
        (kind,) = counts
        return f"{pictures}; {len(odd):,} were odd, all of them {OUTCOMES.get(kind, kind)}."
    parts = [f"{count:,} {OUTCOMES.get(kind, kind)}" for kind, count in counts.items()]
    if len(parts) > 3:
        parts = [*parts[:2], plural(len(parts) - 2, "other reason")]
    both = ", some in several ways" if sum(counts.values()) > len(odd) else ""
    return f"{pictures}; {len(odd):,} were odd{both}: {', '.join(parts)}."


def ago(time: datetime, now: datetime) -> str:
    """`just now`, `4 minutes ago`, `3 days ago`."""
    seconds = (now - time).total_seconds()
    if seconds < 45:
        return "just now"
    for unit, size in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        if seconds >= size or unit == "minute":
            return f"{plural(max(1, round(seconds / size)), unit)} ago"
    raise AssertionError


@dataclass(frozen=True)
class LogHealth:
    """Unusable parts of a log's folder."""

    damaged: int
    """Number of damaged lines."""
    unreadable: tuple[str, ...]
    """Names of files that could not be read."""

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence for each problem."""
        sentences = []
        if self.damaged:
            verbs = ("is", "was") if self.damaged == 1 else ("are", "were")
            lines = f"{many(self.damaged, 'line')} of the log {verbs[0]} damaged and {verbs[1]} skipped"
            sentences.append(f"{lines}; the rest is shown.")
        if self.unreadable:
            names = listing(list(self.unreadable))
            sentences.append(f"{names} cannot be read: give whoever runs this server the right to read it.")
        return tuple(sentences)


def health(folder: Path) -> LogHealth:
    """Check every line of a log's files; files that have not changed since the last check are not read again.

    Raises Problem if the folder itself cannot be read, or holds the results of a batch and no log; a folder that does
    not exist is an empty log.
    """
    try:
        files = _files(folder, ".jsonl", *RESULTS)
    except FileNotFoundError:
        return LogHealth(0, ())
    except OSError as error:
        raise Problem(
            f"The log in {folder} cannot be read ({error.strerror or error}): choose another folder, or let whoever "
            "runs this server read it."
        ) from error
    lines = [file for file in files if _LINES.fullmatch(file[0])]
    if not lines and any(name in RESULTS for name, *_ in files):
        raise Problem(
            f"{folder} holds a batch's results, not a log: to log its odd pictures, run it again with --restart "
            "--monitor FOLDER."
        )
    damaged, unreadable = 0, []
    for name, size, changed in lines:
        try:
            damaged += _count_damaged(folder / name, size, changed)
        except FileNotFoundError:
            continue  # rotated away since it was listed
        except OSError:
            unreadable.append(name)
    return LogHealth(damaged, tuple(unreadable))


@lru_cache(maxsize=256)
def _count_damaged(path: Path, _size: int, _changed: int) -> int:
    *lines, last = path.read_bytes().split(b"\n")
    # The last line may be incomplete because it is being written; a line that was cut off has others after it.
    return sum(bool(line.strip()) and not _valid(line) for line in lines) + (last.startswith(b"\0"))


def _valid(line: bytes) -> bool:
    """Return whether a line is one of the trend, of the log of odd explanations, or a count of those left out."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (
        "left_out" in found or all(isinstance(found.get(name), str) for name in ("model", "time"))
    )


def signature(folder: Path | None) -> tuple[tuple[str, int, int], ...]:
    """Return a value that changes with a log's files; empty if the folder cannot be read."""
    try:
        return () if folder is None else tuple(_files(folder, ".jsonl", ".json"))
    except OSError:
        return ()


def _files(folder: Path, *suffixes: str) -> list[tuple[str, int, int]]:
    """Return the name, size and time of change of each file."""
    with os.scandir(folder) as entries:
        named = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(suffixes)]
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in named)


def forget_reference(monitor: Monitor, model: str) -> None:
    """Delete a model's reference and leave the others; raise Problem if that cannot be written, or may not."""
    reference = monitor.reference()
    if reference is None or monitor.folder is None or model not in reference.models:
        return
    rest = {name: known for name, known in reference.models.items() if name != model}
    path = monitor.folder / REFERENCE
    if rest:
        save(Reference(rest), path)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Problem(f"The reference in {monitor.folder} cannot be deleted ({error.strerror or error}).") from error
