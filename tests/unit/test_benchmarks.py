"""The benchmarks run to their end and say the truth; how long anything takes is not tested."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")

from benchmarks import speed
from benchmarks.__main__ import main
from benchmarks.report import goals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = {
    "bare", "bare_channels_last", "grad_cam", "grad_cam_batched", "torch_cam", "torch_cam_grown",
    "maps", "methods", "explanation", "method", "class", "scale", "grow", "file",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_speed_writes_every_line_and_the_maps_are_the_references(
    bus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "WARM_UP", 0)
    written, report = tmp_path / "out.json", tmp_path / "out.md"
    asked = ["speed", "--models", "shufflenet_v2_x0_5", "--rounds", "1", "--threads", "1", "--picture", str(bus)]
    assert main([*asked, "--json", str(written), "--markdown", str(report)]) == 0
    result = json.loads(written.read_text())
    (table,) = result["speed"]
    assert {line["id"] for line in table["lines"]} >= LINES
    assert all(line["ms"] > 0 for line in table["lines"])
    assert table["difference"] < 1e-4
    assert table["empty"] < 5
    assert report.read_text() == capsys.readouterr().out.removesuffix("\n")
    assert len(result["goals"]) == 6


def test_a_miss_is_a_miss() -> None:
    row = {"model": "m", "id": "maps", "calls": 300, "over": 81.0, "hooks": 0}
    assert [goal["met"] for goal in goals({"memory": [row]})] == [False, True]


def test_what_is_not_there_is_one_sentence(bus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--models", "yolo11n", "--picture", str(bus)]) == 2
    assert "no classifier" in capsys.readouterr().err
