"""Read a monitor's folder."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.errors import Problem
from sightglass.common.style import DEFAULTS, OPACITY
from sightglass.explain.phrases import plural
from sightglass.monitor import drift, files, reference
from sightglass.monitor.entry import Entry
from sightglass.monitor.observation import NUMBERS, Observation, from_rows, observe
from sightglass.monitor.phrases import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation
    from sightglass.monitor.drift import Drift
    from sightglass.monitor.log import Log
    from sightglass.monitor.reference import Reference

REFERENCE = "reference.json"
LIMIT = 5000
"""Default maximum number of lines of the trend."""
LATE = timedelta(minutes=5)
"""Lines of several processes are not strictly ordered by time."""
EARLY = 500
"""Lines in a row from before a time after which no later one is expected: fewer are of a clock that was wrong."""


class Reading:
    """The reading half of a monitor."""

    folder: Path | None
    _trend: Log
    _log: Log

    def seen(
        self,
        *,
        model: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
    ) -> dict[str, list[Any]]:
        """Return the newest `limit` lines of the trend as columns, oldest first, ready for a DataFrame.

        `time` (aware, UTC), `model`, `task`, `source`, `label`, `state`, `way`, `odd` (a tuple of kinds), and each of
        `sightglass.monitor.NUMBERS`, None where it does not apply. `since` is inclusive, `until` exclusive.
        """
        found = self.observations(model=model, source=source, since=since, until=until, limit=limit)
        columns: dict[str, list[Any]] = {
            name: [getattr(one, name) for one in found]
            for name in ("time", "model", "task", "source", "label", "state", "way", "odd")
        }
        return columns | {name: [one.numbers.get(name) for one in found] for name in NUMBERS}

    def observations(
        self,
        *,
        model: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
    ) -> list[Observation]:
        """Return the observations that `seen` gives as columns, oldest first."""
        since, until = aware(since), aware(until)
        found: list[Observation] = []
        early = 0
        for _, line in self._trend.read() if self.folder else ():
            if len(found) >= limit:
                break
            try:
                one = Observation.read(line)
            except (KeyError, TypeError, ValueError):
                continue
            assert one.time is not None
            early = early + 1 if since is not None and one.time < since - LATE else 0
            if early > EARLY:
                break
            inside = (since is None or one.time >= since) and (until is None or one.time < until)
            if inside and model in (None, one.model) and source in (None, one.source):
                found.append(one)
        return sorted(found, key=lambda one: one.time or datetime.min.replace(tzinfo=UTC))

    def models(self) -> dict[str, int]:
        """Return the models of the trend and the number of lines of each, most first."""
        lines = self._trend.read() if self.folder else ()
        return dict(Counter(line["model"] for _, line in lines if isinstance(line.get("model"), str)).most_common())

    def entries(
        self,
        *,
        model: str | None = None,
        why: str | None = None,
        source: str | None = None,
        since: datetime | None = None,
        order: Literal["worst", "newest"] = "newest",
        limit: int = 60,
        offset: int = 0,
    ) -> list[Entry]:
        """Return odd explanations that were logged in full; `why`: one of `sightglass.monitor.KINDS`.

        `worst` sorts by how far they are beyond their limits, over all reasons.
        """
        if order not in ("worst", "newest"):
            raise Problem(f"There is no order {order!r}: use worst or newest.")
        since = aware(since)
        found = [
            entry
            for entry in self._entries()
            if model in (None, entry.model)
            and source in (None, entry.source)
            and (why is None or why in entry.why)
            and (since is None or entry.time >= since)
        ]
        found.sort(key=lambda entry: entry.time, reverse=True)
        if order == "worst":
            found.sort(key=lambda entry: -entry.severity)
        return found[offset : offset + limit]

    def _entries(self) -> Iterator[Entry]:
        for number, line in self._log.read() if self.folder else ():
            if "id" in line:
                try:
                    yield Entry.read(line, self._log.beside(number))
                except (KeyError, TypeError, ValueError, AttributeError):
                    # From another version, or not ours.
                    continue

    def entry(self, id: str) -> Entry:
        """Return one entry by its id; raise Problem if it is gone."""
        for found in self._entries():
            if found.id == id:
                return found
        raise Problem(f"There is no entry {id[:40]}: it was rotated out of the log, or is in another one.")

    def heatmap(self, entry: Entry) -> NDArray[np.float32]:
        """Return an entry's map, float32 (h, w) in 0..1 on its own scale, at the model's input, where the model saw.

        Exact, from the raw map. Raises Problem if the entry has no map, or its files are gone.
        """
        return files.heatmap(entry)

    def overlay(
        self,
        entry: Entry,
        *,
        colormap: str = DEFAULTS["colormap"],
        alpha: float = OPACITY["even"],
        side: int = 480,
    ) -> bytes:
        """Return a JPEG of an entry's map over its picture (if that was saved), at most `side` pixels long.

        What the model did not see is faded, or hatched. Raises Problem as `heatmap` does.
        """
        return files.overlay(entry, colormap, alpha, side)

    def left_out(self, *, since: datetime | None = None) -> int:
        """Return the number of odd explanations that were not logged in full because of the limit per minute."""
        since = aware(since)
        lines = (line for _, line in self._log.read() if self.folder and isinstance(line.get("left_out"), int))
        return sum(line["left_out"] for line in lines if since is None or line.get("to", "") >= since.isoformat())

    def set_reference(
        self,
        source: Path | str | Iterable[Explanation] | None = None,
        *,
        model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        name: str = "",
    ) -> Reference:
        """Set and save the reference for `drift`; models that are not in the new one keep theirs.

        `source`: None for the trend (`since`, `until`, `model`); a path for a run's results (results.parquet,
        results.csv, or their folder); or explanations. Raises Problem if it is empty.
        """
        until = aware(until)
        if source is None:
            until = until or datetime.now(UTC)
            found = self.observations(model=model, since=since, until=until)
            origin = f"{reference.WATCHED} {clock(until, UTC)}"
        elif isinstance(source, str | Path):
            until, found = None, from_rows(reference.rows(Path(source)))
            origin = f"the results in {Path(source).name or source}"
        else:
            until, found = None, [observe(explanation, source="reference") for explanation in source]
            origin = plural(len(found), "explanation")
        made = reference.gather(found, name or origin, model=model, until=until)
        try:
            before = self.reference()
        except Problem:
            # Damaged: setting it again is the remedy.
            before = None
        made = reference.Reference({**(before.models if before else {}), **made.models})
        reference.save(made, self._require_folder() / REFERENCE)
        return made

    def reference(self) -> Reference | None:
        """Return the reference for `drift`, None if none was set; raise Problem if its file is damaged."""
        return reference.load(self.folder / REFERENCE) if self.folder is not None else None

    def drift(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: str | None = None,
        limit: int = LIMIT,
    ) -> Drift:
        """Compare a model's newest observations, without those of the reference, with its reference.

        The newest `drift.NEWEST`: among many older ones a change would be lost. Raises Problem if it has none.
        """
        known = self.reference()
        if known is None or model not in known.models:
            raise Problem(f"There is no reference of {model}: set one, from what was watched or from a folder run.")
        own = known.models[model]
        seen = self.observations(model=model, source=source, since=since, until=until, limit=limit)
        return drift.compare_newest(own, own.leave_out(seen))

    def _require_folder(self) -> Path:
        if self.folder is None:
            raise Problem("The monitor is switched off: set SIGHTGLASS_MONITOR to a folder.")
        return self.folder


def aware(time: datetime | None) -> datetime | None:
    """Return a time with a zone; a time without one is read as UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
