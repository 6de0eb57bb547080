"""Trends: bins on the clock's marks, quartiles as numpy has them, and a headline made of the counts."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from sightglass.monitor import Monitor, Observation
from sightglass.monitor.trend import ago, forget_reference, headline, health, signature, trend

NOW = datetime(2026, 3, 4, 12, 34, 56, tzinfo=UTC)


def seen(minutes: float, confidence: float | None = 0.8, odd: tuple[str, ...] = (), **more) -> Observation:
    numbers = {} if confidence is None else {"confidence": confidence}
    return Observation("m", "classify", "bus", "ok", numbers, time=NOW - timedelta(minutes=minutes), odd=odd, **more)


def test_bins_begin_at_the_marks_of_the_readers_clock():
    found = trend([seen(5), seen(65)], "confidence", since=NOW - timedelta(days=1), until=NOW)
    assert found.step == timedelta(hours=1)
    assert {one.start.minute for one in found.bins} == {0}
    assert found.bins[0].start <= found.since < found.bins[0].end
    assert found.bins[-1].start <= NOW < found.bins[-1].end
    # A zone of half an hour has its hours elsewhere in the world's.
    there = timezone(timedelta(hours=5, minutes=30))
    found = trend([seen(5)], "confidence", since=NOW - timedelta(days=1), until=NOW.astimezone(there))
    assert {one.start.minute for one in found.bins} == {0}
    assert all(one.start.utcoffset() == timedelta(hours=5, minutes=30) for one in found.bins)


def test_weeks_begin_on_mondays_and_days_at_midnight():
    days = trend([seen(60 * 24 * 30), seen(1)], "confidence", since=None, until=NOW, most=40)
    assert days.step == timedelta(days=1) and {one.start.hour for one in days.bins} == {0}
    weeks = trend([seen(60 * 24 * 200), seen(1)], "confidence", since=None, until=NOW, most=40)
    assert weeks.step == timedelta(days=7)
    assert {one.start.weekday() for one in weeks.bins} == {0}


def test_each_picture_is_in_one_bin_and_the_quartiles_are_numpys():
    rng = np.random.default_rng(1)
    every = [seen(float(m), float(c)) for m, c in zip(rng.uniform(0, 1440, 300), rng.uniform(0, 1, 300), strict=True)]
    found = trend(every, "confidence", since=NOW - timedelta(days=1), until=NOW)
    assert sum(one.count for one in found.bins) == 300
    for one in found.bins:
        values = [each.numbers["confidence"] for each in every if one.start <= each.time < one.end]
        if values:
            assert one.quartiles == pytest.approx(np.quantile(values, (0.25, 0.5, 0.75)))
        assert one.count == len(values)
    assert all(a.end == b.start for a, b in zip(found.bins, found.bins[1:], strict=False))
    assert len(found.bins) <= 48


def test_one_picture_none_and_one_without_the_number():
    alone = trend([seen(10, 0.4)], "confidence", since=None, until=NOW)
    held = [one for one in alone.bins if one.count]
    assert len(held) == 1 and held[0].quartiles == (0.4, 0.4, 0.4)
    assert trend([], "confidence", since=None, until=NOW).bins == ()
    assert trend([], "confidence", since=NOW - timedelta(hours=1), until=NOW).bins == ()
    without = trend([seen(1, None, ("nothing found",))], "confidence", since=NOW - timedelta(hours=1), until=NOW)
    (only,) = [one for one in without.bins if one.count]
    assert only.quartiles is None and only.odd == 1
    with pytest.raises(ValueError, match="zone"):
        trend([], "confidence", since=None, until=NOW.replace(tzinfo=None))


def test_what_lies_outside_is_left_out():
    found = trend([seen(61), seen(59), seen(-5)], "confidence", since=NOW - timedelta(hours=1), until=NOW)
    assert sum(one.count for one in found.bins) == 1


def test_the_headline_counts():
    unsure, border = ("low confidence",), ("border",)
    every = [seen(1)] * 203 + [seen(1, 0.1, unsure)] * 6 + [seen(1, 0.9, border)] * 3
    assert headline(every, "in the last 24 hours") == (
        "212 pictures in the last 24 hours; 9 were odd: 6 unsure, 3 looked at the border."
    )
    assert headline([seen(1)], "") == "1 picture; none was odd."
    assert headline([], "in the last hour") == "No picture in the last hour."
    assert headline([seen(1, 0.1, unsure + border)], "") == "1 picture; 1 was odd: unsure and looked at the border."
    both = headline([seen(1, 0.1, unsure + border), seen(1, 0.1, unsure)], "")
    assert both == "2 pictures; 2 were odd, some in several ways: 2 unsure, 1 looked at the border."
    assert headline([seen(1, 0.1, unsure)] * 2, "") == "2 pictures; 2 were odd, all of them unsure."


def test_times_as_people_read_them():
    times = {10: "just now", 60: "1 minute ago", 240: "4 minutes ago", 7200: "2 hours ago", 90000: "1 day ago"}
    for seconds, words in times.items():
        assert ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_damaged_lines_are_counted(tmp_path: Path):
    assert health(tmp_path / "none").words == ()
    line = json.dumps({"model": "m", "time": NOW.isoformat()})
    (tmp_path / "trend-000001.jsonl").write_text(f'{line}\n{{"model": "m", "ti\n\0\0\n\n[1]\n{line}\n{{"being')
    found = health(tmp_path)
    assert found.damaged == 3
    # A line that says something else is none of ours: it is not shown, and it is counted.
    odd = json.dumps({"model": "m", "time": NOW.isoformat(), "confidence": float("nan")})
    (tmp_path / "trend-000002.jsonl").write_text(f"{json.dumps({'model': 5, 'time': NOW.isoformat()})}\n{odd}\n")
    assert health(tmp_path).damaged == 4
    (last,) = Monitor(tmp_path).observations(limit=1)
    assert last.model == "m" and last.confidence is None
    (tmp_path / "trend-000002.jsonl").unlink()
    assert found.words == ("3 lines of the log are damaged and were skipped; the rest is shown.",)
    assert len(Monitor(tmp_path).observations()) == 2


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="may read everything")
def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path):
    from sightglass.common.errors import Problem

    tmp_path.chmod(0)
    try:
        with pytest.raises(Problem, match="cannot be read"):
            health(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path):
    from sightglass.common.errors import Problem

    (tmp_path / "log").write_text("no folder")
    with pytest.raises(Problem, match="cannot be read"):
        health(tmp_path / "log")


def test_the_signature_changes_with_every_line(tmp_path: Path):
    assert signature(tmp_path) == () == signature(None) == signature(tmp_path / "none")
    path = tmp_path / "trend-000001.jsonl"
    path.write_text("{}\n")
    before = signature(tmp_path)
    with path.open("a") as file:
        file.write("{}\n")
    assert signature(tmp_path) != before


def test_a_reference_is_forgotten_for_its_model_alone(tmp_path: Path):
    monitor = Monitor(tmp_path)
    forget_reference(monitor, "a")
    lines = [seen(n) for n in range(3)]
    (tmp_path / "trend-000001.jsonl").write_text(
        "".join(json.dumps(one.line() | {"model": name}) + "\n" for name in ("a", "b") for one in lines)
    )
    monitor.set_reference()
    assert set(monitor.reference().models) == {"a", "b"}
    forget_reference(monitor, "a")
    assert set(monitor.reference().models) == {"b"}
    forget_reference(monitor, "b")
    assert monitor.reference() is None
