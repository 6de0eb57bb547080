"""Runs with labels: answers compared with them, resumed like any other run, loaded as an evaluation."""

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.batch import journal, labels, run
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation.stored import LEAST_CONFIDENCE, Evaluation
from sightglass.explain import Explainer
from sightglass.explain.explainer import EVIDENCE
from tests.labelled import draw_scenes

MODEL = "demo-s"
SCENES = 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_scenes(tmp_path_factory.mktemp("drawn"), SCENES)


@pytest.fixture(scope="module")
def results(dataset: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with labels that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    # Evidence cached by another module would take no time.
    EVIDENCE.discard(lambda _: True)
    assert run(dataset[0], MODEL, out, labels=dataset[1]).done == SCENES
    return out


@pytest.fixture(scope="module")
def evaluation(results: Path) -> Evaluation:
    return stored.load(results)


def same(first: Evaluation, second: Evaluation) -> bool:
    """Compare everything that depends only on pictures, model and labels."""
    assert len(first.pictures) == len(second.pictures)
    for a, b in zip(first.pictures, second.pictures, strict=True):
        assert (a.key, a.size, a.truths, a.truth, a.predictions) == (b.key, b.size, b.truths, b.truth, b.predictions)
        assert [*a.maps] == [*b.maps] and all(np.array_equal(a.maps[i], b.maps[i]) for i in a.maps)
    return True


def test_a_run_stores_the_answers_and_maps_of_the_explainer(dataset: tuple[Path, Path], evaluation: Evaluation) -> None:
    assert (evaluation.model, evaluation.task, evaluation.threshold, evaluation.unknown) == (MODEL, "detect", 0.25, ())
    truth, explainer = ground_truth.read(dataset[1]), Explainer(MODEL)
    for picture in evaluation.pictures[:3]:
        assert picture.truths == truth.find(picture.key)
        predictions = explainer(dataset[0] / picture.key, maps=False, confidence=LEAST_CONFIDENCE).predictions
        assert picture.predictions == predictions
        result = explainer(dataset[0] / picture.key, per="detection", top_k=20)
        assert [*picture.maps] == list(range(len(result.predictions)))
        for i, heatmap in enumerate(result.heatmaps):
            assert heatmap.target.anchors == (predictions[i].anchor,)


def test_the_evaluation_of_a_stopped_run_says_so(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop(share: float, _words: str) -> None:
        if share > 0:
            cancel.set()

    settings: dict[str, Any] = {"labels": dataset[1], "batch_size": 2, "workers": 1}
    assert run(dataset[0], MODEL, tmp_path, **settings, progress=stop, cancel=cancel).cancelled
    assert stored.load(tmp_path).stopped
    assert not run(dataset[0], MODEL, tmp_path, **settings).cancelled
    assert not stored.load(tmp_path).stopped


def test_later_labels_give_the_same(dataset, results, evaluation, tmp_path):
    run(dataset[0], MODEL, tmp_path)
    with pytest.raises(Problem, match="has no evaluation"):
        stored.load(tmp_path)
    added = run(dataset[0], MODEL, tmp_path, labels=dataset[1])
    assert (added.done, added.resumed) == (SCENES, 0)
    assert same(stored.load(tmp_path), evaluation)
    assert run(dataset[0], MODEL, tmp_path, labels=dataset[1]).nothing_new
    # A run without labels keeps the existing ones, also for pictures that it explains again.
    lines = (tmp_path / journal.NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / journal.NAME).write_bytes(b"".join(lines[:-2]))
    assert not run(dataset[0], MODEL, tmp_path).nothing_new
    assert same(stored.load(tmp_path), evaluation)


def test_changed_labels_rerun_their_pictures_only(dataset, evaluation, tmp_path):
    run(dataset[0], MODEL, tmp_path, labels=dataset[1])
    lines = dataset[1].read_text("utf-8").splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(line for line in lines if not line.startswith("03.png")), "utf-8")
    assert run(dataset[0], MODEL, tmp_path, labels=tmp_path / "fewer.csv").nothing_new
    assert [picture.key for picture in stored.load(tmp_path).pictures] == [
        picture.key for picture in evaluation.pictures if picture.key != "03.png"
    ]
    (tmp_path / "moved.csv").write_text("\n".join([line.replace("04.png", "03.png") for line in lines]), "utf-8")
    again = run(dataset[0], MODEL, tmp_path, labels=tmp_path / "moved.csv")
    assert again.pictures - again.resumed == 1


@pytest.fixture
def foldered(dataset: tuple[Path, Path], tmp_path: Path) -> Path:
    """Return pictures in two class folders; no class of the model is called like the second."""
    for number, picture in enumerate(sorted(dataset[0].iterdir())[:4]):
        target = tmp_path / "photos" / ("gear", "Stern")[number % 2] / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    return tmp_path / "photos"


def test_evaluation_follows_corrections(foldered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(foldered, "demo-cls-s", out)
    assert {picture.truth for picture in stored.load(out).pictures} == {"gear"}
    before = labels.load_summary(out)
    assert before.headline.startswith("Right: ")
    labels.correct(out, {"Stern": ["star"]})
    assert run(foldered, "demo-cls-s", out).nothing_new
    followed = stored.load(out)
    assert {picture.truth for picture in followed.pictures} == {"gear", "star"} and followed.unknown == ()
    assert labels.load_summary(out).pictures > before.pictures
    # Without a folder that counts there is no evaluation.
    labels.correct(out, {"Stern": [], "gear": []})
    run(foldered, "demo-cls-s", out)
    assert not (out / stored.FILE).exists()
    labels.correct(out, {"Stern": ["star"]})
    run(foldered, "demo-cls-s", out)
    assert {picture.truth for picture in stored.load(out).pictures} == {"star"}


def test_labels_of_half_the_size_mean_the_same(dataset, results, evaluation, tmp_path):
    shutil.copytree(results, tmp_path / "out")
    rows = [line.split(",") for line in dataset[1].read_text("utf-8").splitlines()]
    wide, high = evaluation.pictures[0].size
    halves = [[file, *(str(float(side) / 2) for side in box), label] for file, *box, label in rows[1:]]
    lines = [",".join([*row, str(wide // 2), str(high // 2)]) for row in halves]
    (tmp_path / "half.csv").write_text("\n".join([",".join([*rows[0], "width", "height"]), *lines]), "utf-8")
    assert run(dataset[0], MODEL, tmp_path / "out", labels=tmp_path / "half.csv").nothing_new
    assert same(stored.load(tmp_path / "out"), evaluation)
    kept = labels.read_labels(tmp_path / "out")
    assert kept is not None
    assert kept.read_as.sizes[0].startswith(f"Boxes of {SCENES} pictures were scaled from the stated size")
    # Of another shape they are refused before the run.
    lines = [",".join([*row, "64", "32"]) for row in halves]
    (tmp_path / "flat.csv").write_text("\n".join([",".join([*rows[0], "width", "height"]), *lines]), "utf-8")
    with pytest.raises(Problem, match=f"state 64 x 32 pixels, and it has {wide} x {high}"):
        run(dataset[0], MODEL, tmp_path / "out", labels=tmp_path / "flat.csv")
