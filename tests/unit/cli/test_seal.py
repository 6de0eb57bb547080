"""`--seal`: each map is tested before its numbers are printed and its summary is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import seal
from sightglass.explain.proof.seal import Seal, SealMark, forget

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


@pytest.fixture
def call(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command line beside scene.png; returns its exit code and stdout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene.png").write_bytes(scene.read_bytes())

    def called(*arguments: str) -> tuple[int, str]:
        return main([*arguments]), capsys.readouterr().out

    return called


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the maps that are sealed, of which none takes a pass."""
    labels: list[str] = []

    def mark(explanation: Any, index: int = 0, **_: Any) -> Seal:
        label = explanation.heatmaps[index].target.label
        labels.append(label)
        marks = (
            SealMark("model", "no", "It shows the box.", 0.9, 0.2, "the box"),
            SealMark("answer", "yes", "It matters.", 2.0, 1.0),
            SealMark("still", "cannot be told", "Nobody knows.", 0.7, 0.2),
        )
        made = Seal(label, marks)
        seal.remember(explanation.seal_key(index), made)
        return made

    monkeypatch.setattr(seal, "seal", mark)
    return labels


LINE = "✗ depends on the model: no · ✓ matters to the answer: yes · ? holds still: cannot be told"


def test_every_map_of_every_picture_is_sealed_and_none_without_it(
    call: Callable[..., tuple[int, str]], sealed: list[str], tmp_path: Path, scene: Path
) -> None:
    (tmp_path / "again.png").write_bytes(scene.read_bytes())
    assert "holds still" not in call("image", "scene.png", "--model", "demo-cls-s")[1] and sealed == []
    out = call("image", "scene.png", "again.png", "--model", "demo-cls-s", "--top-k", "2", "--seal")[1]
    labels = [heatmap.target.label for heatmap in Explainer("demo-cls-s")(scene, top_k=2).heatmaps]
    assert sealed == labels * 2
    assert out.count(LINE) == 4
    assert out.count("It shows the box.") >= 4 and out.count("Nobody knows.") == 4 and "It matters." not in out


def test_each_class_has_its_seal_in_its_own_file(
    call: Callable[..., tuple[int, str]], sealed: list[str], tmp_path: Path
) -> None:
    how = ("class", "scene.png", "--model", "demo-cls-s", "--class", "1", "--class", "2", "--seal")
    lines = call(*how)[1].splitlines()
    assert [lines[0].split(" is answer")[0].split(": ")[1], lines[1]] == [sealed[0], f"{sealed[0]}: {LINE}"]
    for one in json.loads(call(*how, "--json")[1])["results"][0]["classes"]:
        assert one["seal"]["target"] == one["label"]
        assert [mark["answer"] for mark in one["seal"]["marks"]] == ["no", "yes", "cannot be told"]
        file = tmp_path / f"explained/scene/class_analysis_{one['label']}.json"
        assert json.loads(file.read_text())["seal"] == one["seal"]


def test_a_comparison_seals_the_map_of_each_model_that_is_compared(
    call: Callable[..., tuple[int, str]], sealed: list[str]
) -> None:
    code, out = call("compare", "scene.png", "-m", "demo-cls-s", "-m", "demo-cls-m", "--seal")
    assert code == 0 and len(sealed) == 2 == out.count(LINE)
    for name, label in zip(("demo-cls-s", "demo-cls-m"), sealed, strict=True):
        assert f"{name}, {label}: {LINE}" in out.splitlines() or f"{name[-1]}, {label}: {LINE}" in out.splitlines()


def test_ctrl_c_within_a_seal_writes_nothing_of_the_picture(
    call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(seal, "stability", interrupt)
    assert call("image", "scene.png", "--model", "demo-cls-s", "--top-k", "1", "--seal")[0] == 130
    assert not (tmp_path / "explained").exists()


def test_a_batch_adds_the_tests_to_its_table_also_after_a_run_without(
    call: Callable[..., tuple[int, str]], sealed: list[str], tmp_path: Path
) -> None:
    how = ("batch", "scene.png", "--model", "demo-cls-s", "--workers", "1")
    assert "pass all three" not in call(*how)[1]
    out = call(*how, "--seal")[1]
    assert out.splitlines()[0].startswith("1 of 1 picture explained") and "0 of 1 maps pass all three tests." in out
    said = json.loads(call(*how, "--seal", "--json")[1])
    assert (said["sealed"], said["all_three"], said["resumed"], len(sealed)) == (1, 0, 1, 1)
    header, row = (tmp_path / "explained/scene/results.csv").read_text().splitlines()
    found = dict(zip(header.split(",")[-4:], row.split(",")[-4:], strict=True))
    assert found == {"seal": "1", "seal_model": "no", "seal_answer": "yes", "seal_still": "cannot be told"}
    page = (tmp_path / "explained/scene/report.html").read_text("utf-8")
    assert "Maps that fail a test" in page and "does not depend on the model" in page
