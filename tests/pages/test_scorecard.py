"""Scorecard: what the page says is what the engine says of the same models and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.common.errors import Problem
from sightglass.evaluation import ground_truth
from sightglass.evaluation.scorecard import tables
from sightglass.explain.picture import source
from sightglass.pages.scorecard import chosen
from sightglass.pages.scorecard import job as jobs
from sightglass.pages.scorecard.chosen import ScorecardPage
from sightglass.pages.scorecard.job import ScorePlan
from tests.labelled import draw_scenes
from tests.pages.conftest import rerun_until, session, texts
from tests.unit.evaluation.test_verdict import detectors, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

    from sightglass.evaluation.scorecard.card import Scorecard

SCREEN = "pages/scorecard/page.py"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ScorePlan:
    """Five drawn scenes and two models, in place of the 200 scenes of the example."""
    pictures, labels = draw_scenes(tmp_path_factory.mktemp("scorecard") / "scenes", 5)
    return ScorePlan(("demo-s", "demo-l"), tuple(source.find(str(pictures))), ground_truth.read(labels), "5 scenes")


@pytest.fixture(autouse=True)
def example(plan: ScorePlan, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(jobs, "_plan_example", lambda: plan)
    jobs.example.clear()
    yield
    jobs.example.clear()


def finished(app: AppTest) -> tuple[AppTest, Scorecard]:
    rerun_until(app, lambda: "### Models" in texts(app), 120)
    card = (session(app, ScorecardPage).job or jobs.example()).status.card
    assert card is not None and not app.exception and not app.error
    return app, card


def click(app: AppTest, label: str) -> AppTest:
    return next(one for one in app.button if one.label == label).click().run()


def test_the_example_opens_with_its_verdict_numbers_and_pictures(page) -> None:
    app, card = finished(page(SCREEN))
    assert card.verdict is not None
    assert app.markdown[0].value.startswith("## demo-s ")
    assert card.verdict.advice in texts(app)
    shown = app.dataframe[0].value
    for name, cells in ((name, [row[name] for row in tables.list_rows(card)]) for name in ("Model", "AP", "Right")):
        assert shown[name].tolist() == cells
    (pair,) = card.pairs
    assert f"### Only demo-l: {len(pair.sets['only_second'])} objects" in texts(app)
    assert "✗" in texts(app) and "✓" in texts(app) and "An example" in texts(app)
    # Another part's pictures, then another tolerance: nothing is scored again.
    sets = next(one for one in app.button_group if one.key == "scorecard-set-demo-s-demo-l")
    app = sets.set_value("both").run()
    assert f"### Both: {len(pair.sets['both'])} objects" in texts(app)
    app = app.number_input(key="scorecard-tolerance").set_value(20.0).run()
    wider = card.tolerate(0.2).verdict
    assert wider is not None and wider.advice in texts(app)


def test_a_number_that_is_clicked_has_the_pictures_that_it_counts(page, monkeypatch: pytest.MonkeyPatch) -> None:
    _, card = finished(page(SCREEN))
    clicks: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(chosen, "choose", lambda title, units: clicks.append((title, [int(one) for one in units])))
    for column in ("Right", "Same answers", "ms"):
        chosen.choose_cell(card, 0, column)
    small, large = card.rows
    (wrong, units), (apart, others) = clicks
    assert wrong == "Wrong by demo-s" and len(units) == len(small.right) - small.found
    assert apart.startswith("Right by one") and all(small.right[i] != large.right[i] for i in others)


def test_stored_runs_are_compared_without_running_a_model(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    card = detectors(0, 0.2, count=30)
    app, _ = finished(page(SCREEN))
    ways = next(one for one in app.button_group if one.key == "scorecard-way")
    app = ways.set_value("runs").run()
    assert "There is no run with labels yet" in texts(app)
    for row in card.rows:
        write_run(tmp_path / "batches" / f"run-{row.model}", row.evaluation)
    app = app.run()
    app = app.multiselect(key="scorecard-runs").set_value(["run-small", "run-large"]).run()
    app, found = finished(click(app, "Score the models"))
    assert found.verdict is not None and found.verdict.headline in texts(app).replace("\\", "")
    assert "from runs with labels" in texts(app) and "only the numbers are" in texts(app)
    app, _ = finished(click(app, "Other pictures or models"))
    assert "An example" in texts(app)


def test_what_fails_is_one_sentence(page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> ScorePlan:
        raise Problem("The disk is full: free some space.")

    monkeypatch.setattr(jobs, "_plan_example", fail)
    app = page(SCREEN)
    rerun_until(app, lambda: app.error)
    assert "The disk is full" in app.error[0].value
    assert "Which model can be shipped?" in texts(app)


def test_a_scorecard_that_is_stopped_says_so_and_can_be_left(page, plan: ScorePlan) -> None:
    app, _ = finished(page(SCREEN))
    job = jobs.ScoreJob(plan)
    job.cancel.set()
    session(app, ScorecardPage).job = job
    rerun_until(app, lambda: "Stopped before" in texts(app))
    finished(click(app, "Other pictures or models"))
