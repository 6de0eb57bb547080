"""`batch --monitor` and `watch`: what was watched, told in words and as JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sightglass.cli import main
from sightglass.cli.records.watch import _time
from sightglass.common.errors import Problem
from sightglass.monitor import Monitor, default
from tests.unit.monitor.test_drift import drawn


@pytest.fixture
def photos(pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in pictures:
        shutil.copy(path, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def filled(folder: Path, **more: float) -> Monitor:
    """A log that has a reference, and pictures after it."""
    monitor = Monitor(folder)
    for one in drawn(1, 100):
        monitor._trend.append(one.line())
    monitor.set_reference()
    for one in drawn(2, 60, **more):
        monitor._trend.append({**one.line(), "time": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()})
    return monitor


def test_a_run_that_is_watched_leaves_what_watching_it_would(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["batch", "photos", "--model", "demo-cls-s", "--workers", "2", "--out", "run", "--monitor", "watched"]
    assert main([*call, "--monitor-threshold", "0.99"]) == 0
    said = capsys.readouterr().out
    assert f"Monitored {len([*photos.iterdir()])}: " in said and "logged in watched." in said
    monitor = Monitor("watched", threshold=0.99)
    seen = monitor.observations(source="batch")
    assert len(seen) == len([*photos.iterdir()])
    looked = monitor.look_through("run")
    assert sorted((one.confidence or 0) for one in looked) == pytest.approx(
        sorted((one.confidence or 0) for one in seen), abs=1e-5
    )
    # Of a thousand of a folder none is left out.
    assert len(monitor.entries(limit=100)) == sum(bool(one.odd) for one in looked) > 0
    # What was done before is not watched again.
    assert main(call) == 0
    assert "Monitored 0: 0 odd" in capsys.readouterr().out


def test_a_log_among_the_pictures_is_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "photos", "--monitor", "photos/watched", "--out", "run"]) == 2
    assert "choose another folder" in capsys.readouterr().err and not Path("run").exists()


def test_without_being_asked_nothing_is_watched(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MONITOR", str(tmp_path / "none"))
    assert main(["batch", "photos", "--model", "demo-cls-s", "--out", "run"]) == 0
    assert default().seen()["time"] == [] and not (tmp_path / "none").exists()


def test_what_was_watched_is_told(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["batch", "photos", "--model", "demo-cls-s", "--out", "run", "--monitor", "watched"])
    capsys.readouterr()
    assert main(["watch", "watched", "--worst", "2"]) == 0
    out = capsys.readouterr().out
    monitor = Monitor("watched")
    for entry in monitor.entries(order="worst", limit=2):
        assert entry.picture in out and ", ".join(entry.why) in out
    code, said = answer(capsys, "watch", "watched", "--reference", "run")
    seen = monitor.observations()
    assert (code, said["watched"], said["odd"]) == (0, len(seen), sum(bool(one.odd) for one in seen))
    (drift,) = said["drift"]  # type: ignore[misc]
    assert not drift["enough"] and "too few" in drift["words"][0]
    assert answer(capsys, "watch", "watched", "--since", "2030-01-01")[1]["watched"] == 0
    assert answer(capsys, "watch", "watched", "--model", "another")[1]["worst"] == []


def test_a_change_is_told_and_rings_where_it_shall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "same")
    code, said = answer(capsys, "watch", str(tmp_path / "same"), "--alarm")
    assert code == 0 and said["drift"][0]["enough"] and not said["drift"][0]["changed"]  # type: ignore[index]
    filled(tmp_path / "other", lower=0.3)
    assert main(["watch", str(tmp_path / "other")]) == 0
    assert "m: Confidence is lower than in the reference: median" in capsys.readouterr().out
    code, said = answer(capsys, "watch", str(tmp_path / "other"), "--alarm")
    assert code == 1
    found = said["drift"][0]  # type: ignore[index]
    assert found["numbers"][0]["name"] == "confidence" and found["numbers"][0]["changed"] and found["count"] == 60


def test_a_folder_that_is_no_log_is_named_for_what_it_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("journal.jsonl", "results.parquet"):
        (run / name).write_text("{}\n")
    assert main(["watch", "run"]) == main(["watch", "photos"]) == 2
    results, pictures = capsys.readouterr().err.splitlines()
    assert results.startswith("run holds a batch's results, not a log: ") and "--monitor FOLDER" in results
    assert pictures.startswith("photos holds no log: ")
    # A folder may hold both, and one that is empty is a log that begins.
    Monitor(run)._trend.append(next(iter(drawn(1, 1))).line())
    (tmp_path / "new").mkdir()
    assert main(["watch", "run"]) == main(["watch", "new"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == ["1 picture; none was odd.", "No picture yet."] and said.err == ""


def test_a_report_judges_by_the_log_s_first_pictures_as_the_page_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = Monitor(tmp_path / "log")
    for number, one in enumerate(drawn(1, 60)):
        numbers = {"confidence": 0.1 if number == 50 else 0.4}
        monitor._trend.append(replace(one, numbers=numbers, odd=("low confidence",)).line())
    assert main(["watch", str(tmp_path / "log")]) == 0
    out = capsys.readouterr().out.replace("\N{NO-BREAK SPACE}", " ")
    assert "60 pictures; 1 was odd: unsure." in out
    assert "m: unsure below 40 % (lowest 5 % of the first 60)." in out
    code, said = answer(capsys, "watch", str(tmp_path / "log"))
    assert (code, said["odd"], said["unsure_below"]) == (0, 1, {"m": 0.4})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "There is no folder nowhere"),
        (["--since", "yesterday"], "'yesterday' is not a time"),
        (["--reference", "now"], "There is nothing to take"),
        (["--reference", "missing.csv"], "cannot be read as results"),
        (["--worst", "-1"], "--worst"),
    ],
)
def test_wrong_use_is_a_sentence(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIGHTGLASS_MONITOR", str(tmp_path))
    assert main(["watch", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_switched_off_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIGHTGLASS_MONITOR", "off")
    assert main(["watch"]) == 2
    assert "switched off" in capsys.readouterr().err


def test_times_are_read_as_people_write_them() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert _time("90m", now) == now - timedelta(minutes=90)
    assert _time("2w", now) == now - timedelta(days=14)
    assert _time("2026-11-20T09:00", now) == now.replace(hour=9)
    assert _time("2026-11-20T10:00+01:00", now) == now.replace(hour=9)
    for text in ("7 days", "999999w"):
        with pytest.raises(Problem, match="is not a time"):
            _time(text, now)
