"""The benchmarks run to their end and say the truth; how long anything takes is not tested."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import prove, timing
from benchmarks import report as results
from benchmarks.__main__ import main
from benchmarks.classifiers.speed import goals
from benchmarks.viewer import run as viewer
from tests.late import late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

late("pytorch_grad_cam")
late("torchcam")
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
    monkeypatch.setattr(timing, "WARM_UP", 0)
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


@pytest.mark.slow
def test_a_proof_is_timed_beside_the_same_pictures(
    bus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightglass.models.adapters.classifier import Classifier

    asked: list[int] = []
    run = Classifier.run

    def counted(self: Classifier, tensor: Any) -> Any:
        asked.append(len(tensor))
        return run(self, tensor)

    monkeypatch.setattr(Classifier, "run", counted)
    # The browser's part is driven in the tests of the panel.
    monkeypatch.setattr(prove, "first_curves", lambda rounds: [0.25] * rounds)
    written = tmp_path / "out.json"
    few = ["--rounds", "1", "--steps", "2", "--models", "efficientnet-lite0"]
    assert main(["prove", *few, "--picture", str(bus), "--json", str(written)]) == 0
    result = json.loads(written.read_text())
    # A warm-up and a round of both, with the same pictures.
    assert result["curves"]["pictures"] == 2 + 5 * 2
    batches = [2, 4, 4, 2] * 4
    assert any(asked[at : at + len(batches)] == batches for at in range(len(asked)))
    assert [line["id"] for line in result["curves"]["lines"]] == ["bare", "curves"]
    assert all(line["processor"] > 0 for line in result["curves"]["lines"])
    (proof,) = result["proofs"]
    assert 0 < proof["first"] < proof["whole"] and proof["curves"] > 5
    # Steps of two have one between the ends, both ways; the ends are asked once a filling.
    assert proof["pictures"] == 2 * proof["curves"] + 2 * 2
    assert result["others"]["alone"] > 0 and result["others"]["beside"] > 0
    assert result["stroke"]["stroke"] > result["stroke"]["bare"] > 0
    out = capsys.readouterr().out
    assert "# What a proof costs" in out and "## While others wait" in out and "## A stroke on What if" in out
    shared = tmp_path / "RESULTS.md"
    shared.write_text("<!-- truth -->\n# Where maps are right\n", "utf-8")
    monkeypatch.setattr(prove, "RESULTS", shared)
    prove.publish(result)
    text = shared.read_text("utf-8")
    assert text.index("first curve of efficientnet-lite0") < text.index("# Where maps are right")
    assert text.count("| at most ") == 6


def test_a_line_that_takes_threads_from_those_after_it_is_refused() -> None:
    import torch

    torch.set_num_threads(2)
    thief = timing.Contender("thief", "a thief", lambda _: torch.set_num_threads(1))
    with pytest.raises(RuntimeError, match="a thief leaves 1 threads of 2"):
        timing.measure([thief], 1, warm_up=0)


def test_a_miss_is_a_miss() -> None:
    row = {"model": "m", "id": "maps", "calls": 300, "over": 81.0, "hooks": 0}
    assert [goal["met"] for goal in goals({"memory": [row]})] == [False, True]


def test_what_is_not_there_is_one_sentence(bus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--models", "yolo11n", "--picture", str(bus)]) == 2
    assert "no classifier" in capsys.readouterr().err


def test_the_browsers_report_says_numbers_goals_and_what_could_not_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(rounds: int) -> dict[str, object]:
        return {
            "how": "From here to there.",
            "rows": [results.row("a step", [4.0, 6.0, 200.0]), results.row("redraws", [60, 40, 50], "", least=True)],
            "facts": [f"{rounds} rounds."],
            "goals": [
                results.goal("a step, median", 6.0, 16.0),
                results.goal("redraws a second", 49.4, 50.0, "", least=True),
                results.goal("to a bare page", 1.3, 1.3, "x"),
            ],
        }

    def broken(rounds: int) -> dict[str, object]:
        raise RuntimeError("no | slider\nand more")

    monkeypatch.setattr(viewer, "OUT", tmp_path / "RESULTS.md")
    monkeypatch.setitem(viewer.LINES, "slider", ("A slider", drawn, 7))
    monkeypatch.setitem(viewer.LINES, "frames", ("Frames", broken, 7))
    assert main(["viewer", "--only", "slider", "frames", "--json", str(tmp_path / "out.json")]) == 0
    assert not viewer.OUT.exists()
    said = capsys.readouterr().out.splitlines()
    for line in (
        "| a step, median | 6.0 ms | at most 16.0 ms | pass |",
        "| redraws a second | 49 | at least 50 | **miss** |",
        "| to a bare page | 1.30x | at most 1.30x | pass |",
        "| Frames | could not be measured: no / slider |  | **miss** |",
        "| a step | 6.0 ms | 161 ms | 200 ms | 3 |",
        "| redraws | 50 | 42 | 40 | 3 |",
        "- 7 rounds.",
    ):
        assert line in said
    assert [line["id"] for line in json.loads((tmp_path / "out.json").read_text())["lines"]] == ["slider", "frames"]


def test_the_whole_browsers_report_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "OUT", tmp_path / "RESULTS.md")
    monkeypatch.setattr(viewer, "LINES", {})
    assert main(["viewer"]) == 0
    assert "# The dashboard in a browser" in viewer.OUT.read_text()
