"""`--seal`: each map is tested before its numbers are printed and its summary is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import scramble
from sightglass.explain.proof.seal import forget

if TYPE_CHECKING:
    from collections.abc import Callable


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


LINE = "✗ depends on the model: no · ✓ matters to the answer: yes · ? holds still: cannot be told"


def test_every_map_of_every_picture_is_sealed_and_none_without_it(
    call: Callable[..., tuple[int, str]], sealed: list[str], scene: Path
) -> None:
    assert "holds still" not in call("image", "scene.png", "--model", "demo-cls-s")[1] and sealed == []
    out = call("image", "scene.png", "./scene.png", "--model", "demo-cls-s", "--top-k", "2", "--seal")[1]
    labels = [heatmap.target.label for heatmap in Explainer("demo-cls-s")(scene, top_k=2).heatmaps]
    assert sealed == labels * 2
    assert out.count(LINE) == 4
    assert out.count("It shows the box.") >= 4 and out.count("Nobody knows.") == 4 and "It matters." not in out


def test_each_class_has_its_seal_in_its_own_file(
    call: Callable[..., tuple[int, str]], sealed: list[str], tmp_path: Path
) -> None:
    how = ("class", "scene.png", "--model", "demo-cls-s", "--class", "1", "--class", "2", "--seal")
    assert call(*how)[1].count(LINE) == 2
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


def test_a_batch_adds_the_tests_to_its_table_also_after_a_run_without(
    call: Callable[..., tuple[int, str]], sealed: list[str], tmp_path: Path
) -> None:
    how = ("batch", "scene.png", "--model", "demo-cls-s", "--workers", "1")
    assert "pass all three" not in call(*how)[1]
    assert "0 of 1 maps pass all three tests." in call(*how, "--seal")[1]
    said = json.loads(call(*how, "--seal", "--json")[1])
    assert (said["sealed"], said["all_three"], said["resumed"], len(sealed)) == (1, 0, 1, 1)
    header, row = (tmp_path / "explained/scene/results.csv").read_text().splitlines()
    found = dict(zip(header.split(",")[-4:], row.split(",")[-4:], strict=True))
    assert found == {"seal": "1", "seal_model": "no", "seal_answer": "yes", "seal_still": "cannot be told"}
    assert "Maps that fail a test" in (tmp_path / "explained/scene/report.html").read_text("utf-8")


def test_replay_says_whether_a_seal_is_the_same_bit_for_bit(
    call: Callable[..., tuple[int, str]], scene: Path, tmp_path: Path
) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=2)
    first = made.seal(1)
    made.save(tmp_path / "saved")
    # Nothing of the first time is left to take it from.
    forget()
    scramble._CACHE.clear()
    code, said = call("replay", "saved/gradcam_prediction.png", "--picture", str(scene))
    assert code == 0 and f"{first.label}: {first.line}" in said
    assert "The seal matches the saved one bit for bit." in said
    assert "The maps match the saved ones bit for bit." in said
    changed = json.loads(Path("saved/recipe.json").read_text("utf-8"))
    changed["seals"][0]["marks"][0]["value"] += 1e-12
    Path("recipe.json").write_text(json.dumps(changed), "utf-8")
    code, said = call("replay", "recipe.json", "--picture", str(scene))
    assert code == 1 and "The seal differs from the saved one." in said
