"""Every benchmark can be called, its report says what was measured, and the product reads what it writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import gpu, insertion, report, timing
from benchmarks.__main__ import main
from benchmarks.known import menus
from benchmarks.truth import report as truth_report
from benchmarks.truth.columns import BASELINE, Column, holm
from benchmarks.truth.measures import EMPTY, MEASURES, box_of, measured
from benchmarks.truth.ranking import table
from sightglass.explain.trust import diagnosis

pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchcam")
LINES = {
    "bare", "bare_channels_last", "grad_cam", "grad_cam_batched", "torch_cam",
    "maps", "methods", "caller", "explanation", "method", "class", "grow", "file",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_speed_report_and_reference_maps(bus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "WARM_UP", 0)
    written, into = tmp_path / "out.json", tmp_path / "out.md"
    arguments = ["speed", "--models", "shufflenet_v2_x0_5", "--rounds", "1", "--threads", "1", "--picture", str(bus)]
    assert main([*arguments, "--json", str(written), "--markdown", str(into)]) == 0
    (table,) = json.loads(written.read_text())["speed"]
    assert {line["id"] for line in table["lines"]} >= LINES
    assert all(line["ms"] > 0 for line in table["lines"])
    assert table["difference"] < 1e-4 and table["empty"] < 5
    assert into.read_text() == capsys.readouterr().out.removesuffix("\n")
    assert len(table["goals"]) == 9
    assert {line["id"] for line in table["again"]} == {"bare", "sharp", "tested", "drise", "score_cam"}
    assert main(["speed", "--models", "yolo11n", "--picture", str(bus)]) == 2
    assert "no classifier" in capsys.readouterr().err


def test_what_a_gpu_is_asked_works_on_a_cpu(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM_UP", 0)
    sizes = gpu.Sizes("shufflenet_v2_x0_5", classes=2, rounds=1, batch=2, calls=2)
    lines = gpu.figures(["demo-detr", "demo-cls-s"], bus, torch.device("cpu"), sizes)
    assert not [line["failed"] for line in lines if "failed" in line]
    same = lines[-1]
    assert max(same["differences"].values()) == same["again"] == same["threads"] == 0
    assert lines[0]["lines"][0]["id"] == "bare" and all(line["ms"] > 0 for line in lines[3]["lines"])
    lines[0] = {"title": "Maps", "failed": "out of | memory"}
    text = gpu.markdown({"machine": report.machine(1, "cpu", ()), "lines": lines})
    assert text.count(report.FAILED) == 2 and "out of / memory" in text


def test_run_without_weights_replaces_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGHTGLASS_WEIGHTS", raising=False)
    monkeypatch.setattr("benchmarks.__main__.RESULTS", tmp_path)
    main(["detect"])
    assert not any(tmp_path.iterdir())


MASK = np.zeros((20, 30), bool)
MASK[4:8, 10:15] = True
BOX = (slice(3, 9), slice(10, 16))
DEFAULT = ("hirescam", "all neck outputs", "class")
OTHER = ("gradcam", "all neck outputs", "class")


def test_measures_of_perfect_and_empty_map() -> None:
    assert measured(MASK.astype(np.float32), MASK) == [1, 1, 1, 1]
    assert measured(None, MASK) == measured(np.zeros(MASK.shape, np.float32), MASK) == list(EMPTY)


def test_auc_equals_sklearn_in_region() -> None:
    from sklearn.metrics import roc_auc_score

    values = np.random.default_rng(0).integers(0, 6, MASK.shape).astype(np.float32)
    everywhere, boxed = measured(values, MASK), measured(values, MASK, BOX)
    for row, where in ((everywhere, np.s_[:]), (boxed, BOX)):
        assert row[3] == pytest.approx(roc_auc_score(MASK[where].ravel(), values[where].ravel()))
    assert everywhere[:3] == boxed[:3] and box_of((9.6, 3.4, 16.2, 9.0), MASK.shape) == BOX


def _painted(better: float) -> Column:
    """Return a column of 60 objects of which every second is hit, `better` where the default looks."""
    rng, column = np.random.default_rng(0), Column()
    for hit in (rng.random((60, len(MEASURES))) < 0.5) / 2:
        column.add({DEFAULT: [*(hit + better)], OTHER: [*hit], (BASELINE, "edges"): [*hit]}, "demo-s")
    return column


def test_default_is_ranked_beside_baselines() -> None:
    ranking = table(_painted(0.3), "where")
    assert (ranking["default"]["place"], ranking["of"], ranking["objects"]) == (1, 2, {"demo-s": 60})
    assert ranking["over"] == pytest.approx((0.3, 0.3, 0.3))
    assert "HiResCAM on all neck outputs, class | 0." in truth_report.scenes_section([ranking], 60)[3]


def test_method_fails_that_beats_no_baseline() -> None:
    baseline, line = (BASELINE, "edges"), ("Sightglass", "gradcam")
    for better in (0.3, 0.0):
        rows = [{line: row[DEFAULT], baseline: row[baseline]} for row in _painted(better).values]
        found = menus.finding(("detect", "where", "gradcam"), Column(rows, kinds=[""] * 60))
        assert found["fails"] == (better == 0) and found["objects"] == 60


def test_findings_are_written_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (menus, diagnosis):
        monkeypatch.setattr(module, "FILE", tmp_path / "reliability.json")
    monkeypatch.setattr(menus, "chosen", lambda model, question, method, scene: method.id in ("layercam", "eigencam"))
    findings = menus.findings_of([menus.menu("demo-cls-s", 8)])
    menus.FILE.write_text('{"findings": []}')
    menus.write(findings, "2026-01-01")
    monkeypatch.setattr(diagnosis, "_load_published", diagnosis._load_published.__wrapped__)
    for row in findings:
        read = diagnosis._load_published()[row["task"], row["question"], row["method"]]
        assert (list(read.hit), read.fails) == (row["hit"], row["fails"])
    assert "| classify | where | LayerCAM |" in "\n".join(menus.section(findings))


@pytest.mark.parametrize(("row", "whole", "first"), [(3, 9 / 11, 1 / 3), (13, -9 / 11, -1)])
def test_insertion_less_deletion_by_hand(row: int, whole: float, first: float) -> None:
    """The answer is certain with the square in row 3, and without it the other one is."""

    def answer(pictures: torch.Tensor) -> torch.Tensor:
        return torch.stack([pictures[:, 0, 3, 5], 1 - pictures[:, 0, 3, 5]], 1) * 100

    picture = torch.zeros(1, 1, insertion.CELLS, insertion.CELLS)
    picture[..., 3, 5] = 1
    loaded = SimpleNamespace(adapter=SimpleNamespace(module=answer))
    evidence = SimpleNamespace(tensor=picture, loaded=loaded)
    explanation: Any = SimpleNamespace(evidence=evidence, predictions=[SimpleNamespace(index=0)])
    values = np.tile(-np.abs(np.arange(insertion.CELLS, dtype=np.float32) - row)[:, None], (1, insertion.CELLS))
    values[3, 5] += 0.5 if row == 3 else -20
    rng = np.random.default_rng(0)
    assert insertion.score(explanation, values, 1 - picture, rng) == pytest.approx([whole, first], abs=1e-6)


def test_comparisons_are_corrected_together() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    first, second = ("library", "method"), (BASELINE, "edges")
    rows = [{first: [1.0] * 4, second: [0.0] * 4}] * 7 + [{first: [0.0] * 4, second: [1.0] * 4}]
    assert Column(rows, kinds=[""] * 8).chance(first) == pytest.approx(9 / 256)
