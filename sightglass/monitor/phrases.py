"""Format counts and times."""

from __future__ import annotations

from datetime import datetime, tzinfo

from sightglass.explain.phrases import plural


def many(number: int, noun: str) -> str:
    """`1 picture`, `3,750 pictures`."""
    return plural(number, noun).replace(str(number), f"{number:,}", 1)


def clock(time: datetime, zone: tzinfo) -> str:
    """`20 Nov 2026, 23:51 UTC`."""
    there = time.astimezone(zone)
    return f"{there.day} {there:%b %Y, %H:%M} {name_zone(there)}"


def name_zone(time: datetime) -> str:
    """Return the zone of a time: `UTC`, `CET`, `UTC-03`."""
    name = time.tzname() or "UTC"
    return f"UTC{name}" if name[:1] in "+-" else name
