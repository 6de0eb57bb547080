"""`watch`: report on a monitor's log."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass import monitor
from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.explain import phrases
from sightglass.monitor import observation, threshold, trend

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.monitor import Drift, Entry, Monitor
    from sightglass.monitor.threshold import Threshold

NOW = "now"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_LINES = 100_000
"""Short lines of the log that a report covers."""


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    model: str | None = cli.field("--model -m ID", "Only this model.")
    since: str | None = cli.field("--since WHEN", "Only since then: 90m, 24h, 7d, or 2026-11-20T09:00 (UTC).")
    reference: str | None = cli.field(
        "--reference SOURCE",
        "First set what counts as usual: now (everything monitored so far), or the results of a batch.",
    )
    worst: int = cli.field("--worst N", "How many of the worst to list \\[5].", min=0, default=5)
    alarm: bool = cli.field("--alarm", "Exit with code 1 if something has changed.", default=False)
    json: cli.Json = False


@cli.verb(
    cli.app,
    "watch",
    """
    sightglass watch watched
    sightglass watch watched --since 24h --worst 10
    sightglass watch watched --reference now
    sightglass watch watched --reference run1/results.parquet --alarm --json
    """,
)
def watch(
    options: WatchOptions,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A monitor's folder \\[SIGHTGLASS_MONITOR].", show_default=False),
    ] = None,
) -> int:
    """Report on models in use: how many pictures were odd and why, the worst, and what has changed.

    Pictures are monitored by `batch --monitor`, by the server, and by `sightglass.monitor` in Python.
    """
    console, model = Console(options.json), options.model
    monitor = _monitor(folder, console)
    begin = _time(options.since, datetime.now(UTC)) if options.since else None
    if options.reference is not None:
        source = None if options.reference == NOW else Path(options.reference)
        for one in monitor.set_reference(source, model=model, since=begin).models.values():
            console.say(f"Reference of {one.model}: {one.name}, {one.count:,} pictures.")
    logged = monitor.observations(model=model, since=begin, limit=MAX_LINES)
    limits = _thresholds(monitor, {one.model for one in logged})
    unsure = {name: limit.value for name, limit in limits.items()}
    seen = threshold.judge(logged, unsure)
    console.say(trend.headline(seen, f"since {begin:%Y-%m-%d %H:%M} UTC" if begin else ""))
    for name, limit in limits.items():
        console.say(f"{name}: unsure below {phrases.percent(limit.value)} ({limit.origin}).")
    left = monitor.left_out(since=begin)
    if left:
        console.say(f"{left:,} odd pictures are not in the log: there were too many per minute.")
    entries = monitor.entries(model=model, since=begin, order="worst", limit=MAX_LINES) if options.worst else []
    worst = [entry for entry in entries if threshold.still_odd(entry, unsure)][: options.worst]
    console.table(
        ("time", "picture", "model", "says", "why"),
        [(f"{e.time:%Y-%m-%d %H:%M}", e.picture, e.model, _prediction(e), ", ".join(e.why)) for e in worst],
    )
    drifts = _drifts(monitor, {one.model for one in seen}, begin)
    for drift in drifts:
        console.say(*(f"{drift.model}: {sentence}" for sentence in drift.words))
    console.result(
        {
            "folder": monitor.folder,
            "watched": len(seen),
            "odd": sum(bool(one.odd) for one in seen),
            "why": trend.kinds(seen),
            "unsure_below": unsure,
            "left_out": left,
            "worst": [_entry(entry) for entry in worst],
            "drift": [_drift(drift) for drift in drifts],
        }
    )
    return 1 if options.alarm and any(drift.changed for drift in drifts) else 0


def _monitor(folder: Path | None, console: Console) -> Monitor:
    if folder is not None and not folder.is_dir():
        raise Problem(f"There is no folder {folder}: name the one that a monitor writes to.")
    chosen = monitor.default() if folder is None else monitor.Monitor(folder, threshold=settings().monitor_threshold)
    if chosen.folder is None:
        raise Problem("The monitor is switched off: name a folder, or set SIGHTGLASS_MONITOR.")
    # Raises Problem for the results of a batch.
    for problem in trend.health(chosen.folder).words:
        console.warn(problem)
    if folder is not None and not trend.signature(folder) and any(folder.iterdir()):
        raise Problem(f"{folder} holds no log: name the folder that a monitor writes to, as given to batch --monitor.")
    return chosen


def _thresholds(monitor: Monitor, models: set[str]) -> dict[str, Threshold]:
    """Return below which confidence an answer of each model counts as unsure, as the Watch page judges it."""
    known = monitor.reference()
    log = monitor.observations(limit=MAX_LINES)
    return threshold.thresholds(sorted(models), monitor.threshold, known.models if known else {}, log)


def _drifts(monitor: Monitor, models: set[str], since: datetime | None) -> list[Drift]:
    """Return the drift of every monitored model that has a reference."""
    known = monitor.reference()
    if known is None:
        return []
    found = []
    for model in sorted(models & set(known.models)):
        found.append(monitor.drift(model, since=since, limit=MAX_LINES))
    return found


def _time(text: str, now: datetime) -> datetime:
    try:
        if found := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Problem(f"{text!r} is not a time: give 90m, 24h, 7d or 2026-11-20T09:00.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _prediction(entry: Entry) -> str:
    if entry.label is None:
        return "nothing"
    return entry.label if entry.confidence is None else f"{entry.label} {phrases.percent(entry.confidence)}"


def _entry(entry: Entry) -> Json:
    line = entry.line({})
    files = {"heatmap": entry.heatmap, "raw": entry.raw, "picture": entry.kept}
    return line | {"files": {name: path for name, path in files.items() if path is not None}}


def _drift(drift: Drift) -> Json:
    return asdict(drift) | {
        "since": observation.stamp(drift.since) if drift.since else None,
        "until": observation.stamp(drift.until) if drift.until else None,
        "enough": drift.enough,
        "changed": drift.changed,
        "words": drift.words,
        "numbers": [asdict(one) | {"changed": one.changed} for one in drift.numbers],
        "labels": asdict(drift.labels) | {"changed": drift.labels.changed} if drift.labels else None,
    }
