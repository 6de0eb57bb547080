"""The benchmark of the analyses: what it counts is what was planted, and its report says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.errors import planted, sets, speed
from sightglass.evaluation import known_cause, stored

if TYPE_CHECKING:
    from pathlib import Path


def test_a_set_is_evaluated_once_by_right_and_by_wrong_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_cause.make, "__kwdefaults__", {"task": "detect", "pictures": 12})
    sets.evaluate(tmp_path, "detect", [3], [sets.WRONG])
    wrong, clean = (sets.place_of(tmp_path, "detect", cause, 3) for cause in (sets.WRONG, sets.CLEAN))
    key = known_cause.read_key(wrong)
    labels = [sum(map(len, stored.load(folder).truths)) for folder in (wrong, clean)]
    assert labels == [sum(one.given is not None for one in key.objects), len(key.objects)]
    before = (wrong / stored.FILE).stat().st_mtime_ns
    sets.evaluate(tmp_path, "detect", [3], [sets.WRONG])
    assert (wrong / stored.FILE).stat().st_mtime_ns == before
    found = planted.analyse(tmp_path, "detect", sets.WRONG, 3)
    assert (found["wrong"], found["labels"]) == (len(key.wrong_labels), labels[0]) and found["wrong"] > 0
    assert planted.analyse(tmp_path, "detect", sets.CLEAN, 3)["slices"] == []


def test_the_report_counts_seeds_and_says_when_a_difference_on_clean_data_is_real() -> None:
    def row(cause: str, seed: int, found: list[list[str]]) -> dict[str, object]:
        counts = [["label", "rod", 30, 100], ["all", "", 40, 1000]] if cause == sets.CLEAN else []
        labels = (
            {"labels": 100, "wrong": 10, "tenth": 9, "likely": 12, "likely_wrong": 9} if cause == sets.WRONG else {}
        )
        return {
            "task": "detect",
            "cause": cause,
            "seed": seed,
            "slices": found,
            "unknown": [],
            "counts": counts,
            "by_chance": 0,
        } | (labels if cause == sets.WRONG else {})

    tiny = [row("tiny", seed, [["size", "small"]] if seed else [["place", "border"]]) for seed in range(20)]
    clean = [row(sets.CLEAN, seed, [["label", "rod"]] if seed < 2 else []) for seed in range(20)]
    text = "\n".join(planted.markdown([*tiny, *clean, row(sets.WRONG, 0, [])]))
    assert "| size/small | **19 of 20** | 19 of 20 | place/border (1) |" in text
    assert "Of the detector (demo-s) only 20 were measured." in text
    assert "| its own | 18 of 20 |" in text and "| by lot | **20 of 20** |" in text
    assert "label/rod: over all sets 30.0% are wrong" in text and "of the others 1.1%. The difference is real" in text
    assert "10 of 100 in 1 sets | **90.0%** | 1 of 1 | 90% | 12 | 75% |" in text


def test_every_step_is_timed_on_what_a_run_stores() -> None:
    timed = speed.measure(30)
    assert len(timed["steps"]) == 10 and timed["pictures"] == 30
    assert timed["labels"] > 100 and timed["wrong"] > 12
