"""Every benchmark can be called, its report says what was measured, and the product reads what it writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import gpu, report, timing
from benchmarks.__main__ import main
from benchmarks.known import run as known
from benchmarks.truth import report as truth_report
from benchmarks.truth import run, weights
from benchmarks.truth.measures import BLIND, EMPTY, MEASURES, box_of, measured
from benchmarks.truth.ranking import Judged, table
from benchmarks.truth.scores import Scores, joined, score
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
    result = json.loads(written.read_text())
    (table,) = result["speed"]
    assert {line["id"] for line in table["lines"]} >= LINES
    assert all(line["ms"] > 0 for line in table["lines"])
    assert table["difference"] < 1e-4
    assert table["empty"] < 5
    assert into.read_text() == capsys.readouterr().out.removesuffix("\n")
    assert len(table["goals"]) == 7
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


MASK = np.zeros((20, 30), bool)
MASK[4:8, 10:15] = True
BOX = (slice(3, 9), slice(10, 16))
DEFAULT = ("hirescam", "all neck outputs", "class")
OTHER = ("gradcam", "all neck outputs", "class")


def test_measures_of_perfect_and_empty_map() -> None:
    assert measured(MASK.astype(np.float32), (MASK, None)) == [[1, 1, 1, 1]]
    nothing = np.zeros(MASK.shape, np.float32)
    assert measured(None, (MASK, None)) == measured(nothing, (MASK, None)) == [list(EMPTY)]


def test_auc_equals_sklearn_in_region() -> None:
    from sklearn.metrics import roc_auc_score

    values = np.random.default_rng(0).integers(0, 6, MASK.shape).astype(np.float32)
    everywhere, boxed = measured(values, (MASK, None), (MASK, BOX))
    for row, where in ((everywhere, np.s_[:]), (boxed, BOX)):
        assert row[3] == pytest.approx(roc_auc_score(MASK[where].ravel(), values[where].ravel()))
    assert everywhere[:3] == boxed[:3]
    assert box_of((9.6, 3.4, 16.2, 9.0), MASK.shape) == BOX


def _painted(better: float) -> Scores:
    """Return 60 objects of which every second is hit, `better` where the default looks."""
    rng = np.random.default_rng(0)
    lines = (DEFAULT, OTHER, (DEFAULT[0], DEFAULT[1], "wrong class"), *((name, "", "") for name in BLIND))
    values = np.repeat((rng.random((60, 1, len(MEASURES))) < 0.5).astype(np.float32) / 2, len(lines), 1)
    values[:, 0] += better
    labels = ["rod-ring", "star"] * 30
    by_question = {"where": values, "why": values}
    defaults = dict.fromkeys(by_question, DEFAULT)
    return Scores("demo-s", "detect", defaults, lines, list(range(60)), labels, [True] * 60, by_question)


def test_method_fails_below_every_baseline() -> None:
    ranking = table([_painted(0.3), _painted(0.3)], "where")
    assert {row["line"][0]: row["fails"] for row in ranking["methods"]} == {"hirescam": False, "gradcam": True}
    assert (ranking["default"]["place"], ranking["of"]) == (1, 2)
    assert ranking["over"]["hit"] == pytest.approx((0.3, 0.3, 0.3))
    assert ranking["wrong"]["to"]["auc"][2] < 0
    words = truth_report.words(ranking)
    assert "It is the default." in words
    assert "Fail on these layers: GradCAM." in words
    assert table([_painted(-0.2)], "where")["default"]["place"] == 2
    assert Judged([joined([_painted(0.1), _painted(0.1)])], "where").objects == [120]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with copies of what truth writes, so that nothing of the product changes."""
    for name in ("FILE", "RANDOMISATION"):
        path = getattr(diagnosis, name)
        (tmp_path / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(diagnosis, name, tmp_path / path.name)
    cached = (diagnosis._load_published, diagnosis._load_randomisation)
    for function in cached:
        function.cache_clear()
    monkeypatch.setattr(run, "FILE", tmp_path / "reliability.json")
    monkeypatch.setattr(weights, "FILE", tmp_path / "randomisation.json")
    monkeypatch.setattr(run, "TRUTH", tmp_path / "truth.md")
    yield tmp_path
    for function in cached:
        function.cache_clear()


def test_scenes_are_written_as_they_are_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "spread", lambda studies: [score(study, range(study.scenes)) for study in studies])
    monkeypatch.setattr(run, "SCENES", 8)
    before = json.loads((files / "reliability.json").read_text())
    options: Any = SimpleNamespace(only="scenes", models=["demo-cls-s"], full=False, write=True)
    result = run.run(options)
    after = json.loads((files / "reliability.json").read_text())
    assert after["size"] == {"scenes": 8}
    keys = [{(row["task"], row["question"], row["method"]) for row in part["findings"]} for part in (before, after)]
    assert keys[0] <= keys[1] and len(after["findings"]) == len(keys[1])
    for row in result["findings"]:
        read = diagnosis._load_published()[row["task"], row["question"], row["method"]]
        assert (list(read.hit), read.fails) == (row["hit"], row["fails"])
    assert '## Convolutional classifiers, "Why this class?"' in (files / "truth.md").read_text()


def test_known_causes_of_hand_set_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(known, "PROTOCOLS", {name: known.PROTOCOLS[name] for name in ("handmade", "tetrominoes")})
    monkeypatch.setattr(known, "SHORT", 1)
    assert main(["known", "--short", "--json", str(tmp_path / "out.json")]) == 0
    hits = json.loads((tmp_path / "out.json").read_text())["hits"]
    assert [*hits] == ["pattern", *(f"tetromino {rule}" for rule in ("linear", "multiplicative", "moved", "xor"))]
    # Where the slope is 0 and only a removal tells, no gradient of the layer finds the pattern.
    assert hits["pattern"]["pytorch-grad-cam LayerCAM"][0] == hits["pattern"]["Sightglass LayerCAM"][0] == 0.8
    assert "Nothing is better than the best baseline on: pattern, tetromino linear" in capsys.readouterr().out


def test_comparisons_are_corrected_together() -> None:
    assert known.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    first, second = ("library", "method"), (known.BASELINE, "edges")
    rows = [{first: [1.0] * 4, second: [0.0] * 4}] * 7 + [{first: [0.0] * 4, second: [1.0] * 4}]
    assert known.Column(rows).chance(first) == pytest.approx(9 / 256)
