"""What maps of regions, queries and Integrated Gradients cost: each has its row and goal, or says what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.__main__ import main
from benchmarks.tasks import speed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_region_is_timed_beside_a_bare_pass_and_a_few_rounds_are_not_published(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_rounds: int) -> dict[str, object]:
        raise OSError("no such network here")

    monkeypatch.setattr(speed, "OUT", tmp_path / "TASKS.md")
    monkeypatch.setattr(speed, "_queries", fail)
    monkeypatch.setattr(speed, "_integrated", fail)
    assert main(["tasks", "--rounds", "1"]) == 0
    report = capsys.readouterr().out
    assert "| bare forward, eager, no_grad |" in report
    assert "| same pass: another region |" in report
    assert "| another region's map, to a bare forward |" in report
    assert report.count("could not be measured: no such network here") == 4
    assert not list(tmp_path.iterdir())
