"""Every benchmark can be called, and its report says what was measured; how long anything takes is not tested."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks import gpu, report, timing, verdict
from benchmarks.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")
LINES = {
    "bare", "bare_channels_last", "grad_cam", "grad_cam_batched", "torch_cam", "torch_cam_grown",
    "maps", "methods", "explanation", "method", "class", "scale", "grow", "file",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_speed_writes_every_line_and_the_maps_are_the_references(
    bus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "WARM_UP", 0)
    written, into = tmp_path / "out.json", tmp_path / "out.md"
    asked = ["speed", "--models", "shufflenet_v2_x0_5", "--rounds", "1", "--threads", "1", "--picture", str(bus)]
    assert main([*asked, "--json", str(written), "--markdown", str(into)]) == 0
    result = json.loads(written.read_text())
    (table,) = result["speed"]
    assert {line["id"] for line in table["lines"]} >= LINES
    assert all(line["ms"] > 0 for line in table["lines"])
    assert table["difference"] < 1e-4
    assert table["empty"] < 5
    assert into.read_text() == capsys.readouterr().out.removesuffix("\n")
    assert len(result["goals"]) == 6
    assert main(["speed", "--models", "yolo11n", "--picture", str(bus)]) == 2
    assert "no classifier" in capsys.readouterr().err


def test_what_a_gpu_is_asked_works_on_a_cpu(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM_UP", 0)
    sizes = gpu.Sizes("shufflenet_v2_x0_5", classes=2, rounds=1, batch=2, calls=2)
    lines = gpu.figures(["demo-cls-s"], bus, torch.device("cpu"), sizes)
    assert not [line["failed"] for line in lines if "failed" in line]
    same = lines[-1]
    assert max(same["differences"].values()) == same["again"] == same["threads"] == 0
    assert lines[0]["lines"][0]["id"] == "bare" and all(line["ms"] > 0 for line in lines[2]["lines"])
    lines[0] = {"title": "Maps", "failed": "out of | memory"}
    text = gpu.markdown({"machine": report.machine(1, "cpu", ()), "lines": lines})
    assert text.count(report.FAILED) == 2 and "out of / memory" in text


def test_no_contender_may_take_threads_from_the_others() -> None:
    torch.set_num_threads(2)
    thief = timing.Contender("thief", "a thief", lambda _: torch.set_num_threads(1))
    with pytest.raises(RuntimeError, match="a thief leaves 1 threads of 2"):
        timing.measure([thief], 1, warm_up=0)


def test_verdict_tests_every_kind_of_map() -> None:
    result = verdict.run(SimpleNamespace(models=["demo-cls-s"], dataset=None, count=2))  # type: ignore[arg-type]
    (model,) = result["models"]
    tests = {kind["kind"]: sum(kind["verdicts"].values()) for kind in model["kinds"]}
    # There is no picture before the first.
    assert tests == {verdict.OWN: 2, verdict.WRONG[0]: 1} | dict.fromkeys(verdict.WRONG[1:], 2)
