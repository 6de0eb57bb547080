"""`watch`: what a monitor's log says of a model in use: what is odd, and what has changed since the reference."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options as cli
from cli.console import Teller
from common.errors import Problem

if TYPE_CHECKING:
    from explain.monitor import Drift, Entry, Monitor

NOW = "now"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOST = 100_000
"""Short lines that a report is of."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "watch",
        """
        python -m explain watch watched
        python -m explain watch watched --since 24h --worst 10
        python -m explain watch watched --reference now
        python -m explain watch watched --reference run1/results.parquet --alarm --json
        """,
    )(watch)


def watch(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A monitor's folder \\[SIGHTGLASS_MONITOR].", show_default=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="ID", help="Only of this model.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Only from then on: 90m, 24h, 7d, or 2026-11-20T09:00 (UTC).", show_default=False
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Before that, take this as what is usual: now (what was watched so far), or a folder run's results.",
            show_default=False,
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many of the worst are named \\[5].", show_default=False)
    ] = 5,
    alarm: Annotated[bool, typer.Option("--alarm", help="Exit code 1 where something has changed.")] = False,
    json: cli.Json = False,
) -> int:
    """What was watched of models in use: how many were odd and why, the worst, and what has changed.

    Pictures are watched by `batch --monitor`, by the server, and by `explain.monitor` in Python.
    """
    from explain.monitor import Monitor, default, trend

    tell = Teller(json)
    if folder is not None and not folder.is_dir():
        raise Problem(f"There is no folder {folder}: name the one that a monitor writes to.")
    monitor = default() if folder is None else Monitor(folder)
    if monitor.folder is None:
        raise Problem("The monitor is switched off: name a folder, or set SIGHTGLASS_MONITOR.")
    begin = _time(since, datetime.now(UTC)) if since else None
    if reference is not None:
        made = monitor.set_reference(None if reference == NOW else Path(reference), model=model, since=begin)
        for one in made.models.values():
            tell.say(f"Reference of {one.model}: {one.name}, {one.count:,} pictures.")
    seen = monitor.observations(model=model, since=begin, limit=MOST)
    tell.say(trend.headline(seen, f"since {begin:%Y-%m-%d %H:%M} UTC" if begin else ""))
    left = monitor.left_out(since=begin)
    if left:
        tell.say(f"{left:,} odd ones are not in the log: there were too many a minute.")
    shown = monitor.entries(model=model, since=begin, order="worst", limit=worst) if worst else []
    tell.table(
        ("time", "picture", "model", "says", "why"),
        [(f"{e.time:%Y-%m-%d %H:%M}", e.picture, e.model, _says(e), ", ".join(e.why)) for e in shown],
    )
    drifts = _drifts(monitor, {one.model for one in seen}, begin)
    for drift in drifts:
        tell.say(*(f"{drift.model}: {sentence}" for sentence in drift.words))
    tell.result(
        {
            "folder": monitor.folder,
            "watched": len(seen),
            "odd": sum(bool(one.odd) for one in seen),
            "why": trend.kinds(seen),
            "left_out": left,
            "worst": [_plain(entry) for entry in shown],
            "drift": [_numbers(drift) for drift in drifts],
        }
    )
    return 1 if alarm and any(drift.changed for drift in drifts) else 0


def _drifts(monitor: Monitor, models: set[str], since: datetime | None) -> list[Drift]:
    """Of every model that was watched and has a reference."""
    known = monitor.reference()
    if known is None:
        return []
    found = []
    for model in sorted(models & set(known.models)):
        # What is in the reference is not held against it.
        until = known.models[model].until
        begin = max((time for time in (since, until) if time is not None), default=None)
        found.append(monitor.drift(model, since=begin, limit=MOST))
    return found


def _time(text: str, now: datetime) -> datetime:
    try:
        if found := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Problem(f"{text!r} is no time: give 90m, 24h, 7d or 2026-11-20T09:00.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _says(entry: Entry) -> str:
    from explain.phrases import percent

    if entry.label is None:
        return "nothing"
    return entry.label if entry.confidence is None else f"{entry.label} {percent(entry.confidence)}"


def _plain(entry: Entry) -> dict[str, Any]:
    said = entry.line({})
    files = {"heatmap": entry.heatmap, "raw": entry.raw, "picture": entry.kept}
    return said | {"files": {name: path for name, path in files.items() if path is not None}}


def _numbers(drift: Drift) -> dict[str, Any]:
    from dataclasses import asdict

    from explain.monitor.observation import stamp

    said = asdict(drift)
    return said | {
        "since": stamp(drift.since) if drift.since else None,
        "until": stamp(drift.until) if drift.until else None,
        "enough": drift.enough,
        "changed": drift.changed,
        "words": drift.words,
        "numbers": [asdict(one) | {"changed": one.changed} for one in drift.numbers],
        "labels": asdict(drift.labels) | {"changed": drift.labels.changed} if drift.labels else None,
    }
