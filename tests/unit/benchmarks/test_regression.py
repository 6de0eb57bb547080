"""The section on numbers says what was measured, and leaves the other sections of TRUTH.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import main
from benchmarks.regression import run
from benchmarks.report import with_section

if TYPE_CHECKING:
    from pathlib import Path


def test_a_map_on_the_rod_is_better_than_noise_and_the_rod_is_the_cause() -> None:
    result = run.regression(12)
    assert 4 <= len(result["numbers"]) <= 12
    judged = run.Judged(result)
    mean = judged.samples.mean
    assert mean(judged.ranked[0], "hit") > mean(("random map", "", ""), "hit")
    assert mean(judged.default, "auc") > mean((*judged.default[:2], run.RANDOM), "auc")
    assert sum(result["rod"]) / len(result["rod"]) > 2 * sum(result["others"]) / len(result["others"])
    assert "| baseline | random map |" in run.markdown(result)


def test_the_section_replaces_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "TRUTH.md"
    file.write_text("<!-- scenes -->\n# Scenes\n\n<!-- regression -->\nold\n")
    assert with_section(file, "regression", "new\n") == "<!-- scenes -->\n# Scenes\n\n<!-- regression -->\nnew\n"


def test_fewer_scenes_are_printed_and_not_published(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "OUT", tmp_path / "TRUTH.md")
    assert main(["regression", "--count", "6"]) == 0
    assert "## A number: the angle of a rod" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
