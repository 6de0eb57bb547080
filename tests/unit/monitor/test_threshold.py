"""The threshold of confidence: from the operator, the reference, or the log itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sightglass.monitor import Monitor, Observation
from sightglass.monitor.reference import make_reference
from sightglass.monitor.threshold import judge, learn, threshold


def seen(*confidences: float, model: str = "m", odd: tuple[str, ...] = ()) -> list[Observation]:
    now = datetime.now(UTC)
    return [Observation(model, "classify", "bus", "ok", {"confidence": c}, time=now, odd=odd) for c in confidences]


@pytest.mark.parametrize(
    ("confidences", "expected"),
    [
        ([0.9] * 29, None),
        ([0.9] * 30, 0.5),
        ([0.31] * 30, 0.31),
        ([0.1] * 10 + [0.9] * 90, 0.1),
        ([0.1] * 4 + [0.4] * 96, 0.4),
    ],
)
def test_one_in_twenty_is_unsure_and_never_an_answer_above_a_half(confidences: list[float], expected: float) -> None:
    assert learn(confidences) == expected


def test_the_operator_comes_first_then_the_reference_then_the_first_pictures() -> None:
    reference, log = make_reference(seen(*[0.4] * 40), "r"), seen(*[0.3] * 100, *[0.1] * 500)
    assert threshold("m", 0.7, reference, log).value == 0.7
    assert threshold("m", None, reference, log).value == 0.4
    assert threshold("m", None, None, log).value == 0.3, "not of what came later, which may be the change"
    assert threshold("m", None, None, seen(*[0.3] * 29)).value == 0.5
    assert threshold("other", None, None, log).value == 0.5


def test_only_the_confidence_is_judged_anew() -> None:
    log = seen(0.2, 0.6, odd=("low confidence", "border")) + seen(0.2, model="other", odd=("border",))
    assert [one.odd for one in judge(log, {"m": 0.5})] == [("low confidence", "border"), ("border",), ("border",)]
    assert [one.odd for one in judge(log, {})] == [one.odd for one in log]


def test_a_monitor_learns_from_its_reference_and_reads_it_again_when_it_changes(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    assert monitor.threshold_of("m") == 0.5
    for value in (0.25, 0.31):
        for one in seen(*[value] * 40):
            monitor._trend.append(one.line())
        monitor.set_reference(model="m")
        monitor.clear()
        assert monitor.threshold_of("m") == value
        assert monitor.threshold_of("other") == 0.5
    assert Monitor(tmp_path, threshold=0.6).threshold_of("m") == 0.6
    (tmp_path / "reference.json").write_text("{")
    assert monitor.threshold_of("m") == 0.5
