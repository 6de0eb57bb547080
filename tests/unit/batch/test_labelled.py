"""Runs with labels: answers held against them, resumed like any other run, loaded as an evaluation."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.batch import journal, labels, run
from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation.stored import LEAST_CONFIDENCE
from sightglass.explain import Explainer
from sightglass.explain.explainer import EVIDENCE
from tests.labelled import draw_scenes

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.evaluation.stored import Evaluation

MODEL = "demo-s"
SCENES = 12


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_scenes(tmp_path_factory.mktemp("drawn"), SCENES)


@pytest.fixture(scope="module")
def whole(drawn: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with labels that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    # What another module left there takes no time.
    EVIDENCE.discard(lambda _: True)
    assert run(drawn[0], MODEL, out, labels=drawn[1]).done == SCENES
    return out


@pytest.fixture(scope="module")
def found(whole: Path) -> Evaluation:
    return stored.load(whole)


def same(one: Evaluation, other: Evaluation) -> bool:
    """Whether everything that depends on pictures, model and labels alone is the same."""
    assert len(one.pictures) == len(other.pictures)
    for a, b in zip(one.pictures, other.pictures, strict=True):
        assert (a.key, a.size, a.truths, a.truth, a.predictions) == (b.key, b.size, b.truths, b.truth, b.predictions)
        assert [*a.maps] == [*b.maps] and all(np.array_equal(a.maps[i], b.maps[i]) for i in a.maps)
    return True


def test_a_run_stores_what_the_explainer_answers_and_where_it_looked(
    drawn: tuple[Path, Path], found: Evaluation
) -> None:
    assert (found.model, found.task, found.threshold, found.unknown) == (MODEL, "detect", 0.25, ())
    truth, explainer = ground_truth.read(drawn[1]), Explainer(MODEL)
    for picture in found.pictures[:3]:
        assert picture.truths == truth.find(picture.key)
        every = explainer(drawn[0] / picture.key, maps=False, confidence=LEAST_CONFIDENCE).predictions
        assert picture.predictions == every
        shown = explainer(drawn[0] / picture.key, per="detection", top_k=20)
        assert [*picture.maps] == list(range(len(shown.predictions)))
        for i, heatmap in enumerate(shown.heatmaps):
            assert heatmap.target.anchors == (every[i].anchor,)


def test_labels_that_come_later_give_the_same_as_those_of_the_first_run(
    drawn: tuple[Path, Path], whole: Path, found: Evaluation, tmp_path: Path
) -> None:
    run(drawn[0], MODEL, tmp_path)
    with pytest.raises(Problem, match="has no evaluation"):
        stored.load(tmp_path)
    added = run(drawn[0], MODEL, tmp_path, labels=drawn[1])
    assert (added.done, added.resumed) == (SCENES, 0)
    assert same(stored.load(tmp_path), found)
    again = run(drawn[0], MODEL, tmp_path, labels=drawn[1])
    assert again.nothing_new
    # A run without labels keeps those that there are, also for what it explains anew.
    lines = (tmp_path / journal.NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / journal.NAME).write_bytes(b"".join(lines[:-2]))
    assert not run(drawn[0], MODEL, tmp_path).nothing_new
    assert same(stored.load(tmp_path), found)


def test_only_pictures_whose_labels_changed_are_explained_again(
    drawn: tuple[Path, Path], found: Evaluation, tmp_path: Path
) -> None:
    run(drawn[0], MODEL, tmp_path, labels=drawn[1])
    lines = drawn[1].read_text("utf-8").splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(line for line in lines if not line.startswith("03.png")), "utf-8")
    fewer = run(drawn[0], MODEL, tmp_path, labels=tmp_path / "fewer.csv")
    assert fewer.nothing_new
    assert [one.key for one in stored.load(tmp_path).pictures] == [
        one.key for one in found.pictures if one.key != "03.png"
    ]
    moved = [line.replace("04.png", "03.png") for line in lines]
    (tmp_path / "moved.csv").write_text("\n".join(moved), "utf-8")
    again = run(drawn[0], MODEL, tmp_path, labels=tmp_path / "moved.csv")
    assert again.pictures - again.resumed == 1


@pytest.fixture
def foldered(drawn: tuple[Path, Path], tmp_path: Path) -> Path:
    """Pictures in two class folders, of which one has a name of its own."""
    for number, picture in enumerate(sorted(drawn[0].iterdir())[:4]):
        place = tmp_path / "photos" / ("gear", "Stern")[number % 2] / picture.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    return tmp_path / "photos"


def test_the_evaluation_follows_what_a_person_says_a_folder_counts_as(foldered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(foldered, "demo-cls-s", out)
    assert {one.truth for one in stored.load(out).pictures} == {"gear"}
    before = labels.load_summary(out)
    assert before.headline.startswith("Right: ")
    labels.correct(out, {"Stern": ["star"]})
    assert run(foldered, "demo-cls-s", out).nothing_new
    followed = stored.load(out)
    assert {one.truth for one in followed.pictures} == {"gear", "star"} and followed.unknown == ()
    assert labels.load_summary(out).pictures > before.pictures
    # Where no folder counts there is no evaluation, until one counts again.
    labels.correct(out, {"Stern": [], "gear": []})
    run(foldered, "demo-cls-s", out)
    assert not (out / stored.FILE).exists()
    labels.correct(out, {"Stern": ["star"]})
    run(foldered, "demo-cls-s", out)
    assert {one.truth for one in stored.load(out).pictures} == {"star"}
