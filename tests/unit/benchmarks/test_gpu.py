"""What is said of a GPU was seen, or said not to be; the emulated rounding is TF32's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmarks import timing
from benchmarks.gpu import figures, sections
from benchmarks.gpu import report as gpu
from benchmarks.report import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CPU = torch.device("cpu")
MODEL = "demo-cls-s"
TINY = figures.Sizes(
    model="shufflenet_v2_x0_5",
    classes=2,
    rounds=1,
    batch=2,
    steps=2,
    loaded=(MODEL, "demo-cls-m", "shufflenet_v2_x0_5"),
    compared=(MODEL,),
)


@pytest.fixture(scope="module")
def whole(bus: Path) -> dict[str, Any]:
    """What the command measures, with all that it would measure on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "WARM_UP", 0)
        found = gpu.gpu([MODEL], bus, CPU, 1)
        return found | gpu.measured_on([MODEL], bus, CPU, TINY, calls=2) | {"name": "A GPU"}


def test_tf32_keeps_ten_bits_and_rounds_ties_to_even() -> None:
    given = torch.tensor([1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, -3.14159265, 0.0])
    assert gpu.tf32(given).tolist() == [1 + 2**-10, 1.0, 1 + 2**-9, 1 + 2**-10, -3.140625, 0.0]


@pytest.mark.slow
def test_without_a_gpu_the_report_says_of_each_figure_that_it_was_not_measured(whole: Mapping[str, Any]) -> None:
    tf32, noise = whole["rounding"]
    assert all(tf32["differences"][name] > 10 * noise["differences"][name] for name in tf32["differences"])
    assert max(noise["differences"].values()) < 1e-4
    assert {row["what"] for row in whole["launches"]} >= {"a bare pass", "PyTorch's own way, one by one"}
    report = gpu.markdown({**whole, "here": None, "figures": None})
    assert "Not measured: this machine has no CUDA device." in report
    rows = [line for line in report.splitlines() if line.endswith("| not measured: this machine has no CUDA device |")]
    assert len(rows) == len(sections.WANTED)


def test_on_this_device_nothing_is_measured_as_if_it_were_a_gpu(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "rounding", lambda *_: [])
    monkeypatch.setattr(gpu, "launches", lambda *_: [])
    found = gpu.gpu([MODEL], bus, CPU, 1)
    assert found["here"] is found["figures"] is None


@pytest.mark.slow
def test_every_figure_can_be_measured(whole: Mapping[str, Any]) -> None:
    (row,) = whole["here"]
    assert max(row["differences"].values()) == row["again"] == row["threads"] == 0
    found = whole["figures"]
    assert list(found) == list(figures.TITLES)
    assert not [one["failed"] for one in found.values() if "failed" in one]
    ids = {name: [line["id"] for line in found[name]["lines"]] for name in ("maps", "upload", "batch", "prove")}
    assert ids["maps"] == ["bare", "maps"]
    assert ids["upload"] == ["bare", "input", "one", "all"]
    assert ids["batch"] == ["bare", "maps", "pictures"]
    assert ids["prove"] == ["bare", "curves"]
    assert all(line["ms"] > 0 for name in ids for line in found[name]["lines"])
    assert all(line["images"] == pytest.approx(2000 / line["ms"]) for line in found["batch"]["lines"])
    # The whole picture, the hidden one, and one in between for each of five maps, hidden and kept.
    assert found["prove"]["pictures"] == 2 + 5 * 2
    (half,) = found["autocast"]["lines"]
    assert all(0 < apart < 0.5 and 0.8 < rank <= 1 for apart, rank in half["methods"].values())


@pytest.mark.slow
def test_models_beyond_the_budget_are_unloaded_and_freed(whole: Mapping[str, Any]) -> None:
    found = whole["figures"]["residency"]
    assert found["budget"] < found["needed"]
    # Each was unloaded before its second turn.
    assert found["loads"] == 2 * len(TINY.loaded)
    assert found["evicted"] >= len(TINY.loaded)
    assert found["kept"] == found["alive"] == 0


def test_a_model_that_is_not_freed_is_counted(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []

    class Holding(figures.Explainer):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            held.append(self.resident.adapter.module)

    monkeypatch.setattr(figures, "Explainer", Holding)
    found = figures.residency(bus, CPU, replace(TINY, loaded=(MODEL, "demo-cls-m")))
    assert found["kept"] == found["evicted"] > 0
    assert found["alive"] == found["loads"]


@pytest.mark.slow
def test_what_a_gpu_measured_stays_where_there_is_none(whole: Mapping[str, Any]) -> None:
    there = gpu.markdown({**whole, "without": ["yolo11n"]})
    assert "A GPU beside " in there
    assert "yolo11n" in there
    assert FAILED not in there
    assert sections.NOT_MEASURED not in there
    assert all(f"### {title}" in there for title in figures.TITLES.values())
    part = there[there.index(sections.HEADING) :]
    here = gpu.markdown({**whole, "here": None, "figures": None, "rounding": []}, there)
    assert here.endswith(part)
    assert here != there
    # What was not measured gives way, also in the words of before there were figures.
    assert sections.measured(gpu.markdown({**whole, "here": None})) == ""
    assert sections.measured(f"{sections.HEADING}\n\n**Not measured: this machine has no CUDA device.**") == ""


@pytest.mark.slow
def test_models_that_were_left_out_keep_their_rows(whole: Mapping[str, Any]) -> None:
    before = gpu.markdown({**whole, "here": None, "figures": None})
    fewer = gpu.markdown({**whole, "rounding": [], "launches": [], "without": [MODEL]}, before)
    assert fewer.startswith(before.partition(sections.HEADING)[0])
    assert "A GPU beside " in fewer


@pytest.mark.slow
def test_a_figure_that_fails_says_so_and_the_others_stand(whole: Mapping[str, Any]) -> None:
    found = whole["figures"] | {"maps": {"title": "maps", "failed": "out of | memory"}}
    report = gpu.markdown({**whole, "figures": found})
    assert report.count(FAILED) == 2
    assert f"| {FAILED}: out of / memory |" in report
