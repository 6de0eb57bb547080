"""Scorecard: what the page says is what the engine says of the same models and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.evaluation import ground_truth
from sightglass.evaluation.scorecard import files
from sightglass.explain.picture import source
from sightglass.pages.scorecard import source as jobs
from sightglass.pages.scorecard.source import ScorecardPage, ScorePlan
from tests.labelled import draw_scenes
from tests.pages.conftest import rerun_until, session, texts
from tests.unit.evaluation.test_verdict import detectors, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

    from sightglass.evaluation.scorecard.card import Scorecard

SCREEN = "pages/scorecard/page.py"


def finished(app: AppTest) -> tuple[AppTest, Scorecard]:
    rerun_until(app, lambda: "### Models" in texts(app), 120)
    card = (session(app, ScorecardPage).job or jobs.open_example()).status.card
    assert card is not None and not app.exception and not app.error
    return app, card


def click(app: AppTest, label: str) -> AppTest:
    return next(one for one in app.button if one.label == label).click().run()


def test_the_example_opens_with_its_verdict_and_numbers_below_ones_own_choice(page) -> None:
    app, card = finished(page(SCREEN, tolerance="20.0"))
    wider = card.tolerate(0.2).verdict
    assert wider is not None and wider.advice in texts(app) and "Example" in texts(app)
    order = [one.value for one in app.markdown]
    assert order[0] == "## Which model can be shipped?" and f"### {wider.headline}" in texts(app).replace("\\", "")
    shown = app.dataframe[0].value
    for name in ("Model", "AP", "Right", "ms"):
        assert shown[name].tolist() == [row[name] for row in files.list_rows(card)]
    app.selectbox(key="scorecard-against-demo-l-demo-m-demo-s").set_value("demo-m").run()
    assert not app.exception and "demo-m" in texts(app)


def test_stored_runs_are_compared_without_running_a_model(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    card = detectors(0, 0.2, count=30)
    app = page(SCREEN, answers="runs")
    assert "There is no run with labels yet" in texts(app)
    for row in card.rows:
        write_run(tmp_path / "batches" / f"run-{row.model}", row.evaluation)
    app = app.run()
    app = app.multiselect(key="scorecard-runs").set_value(["run-small", "run-large"]).run()
    app, found = finished(click(app, "Score the models"))
    assert found.verdict is not None and f"## {found.verdict.headline}" in texts(app).replace("\\", "")
    assert "from runs with labels" in texts(app)
    app, _ = finished(click(app, "Other pictures or models"))
    assert "Example" in texts(app)


def test_models_are_scored_in_the_background_and_can_be_stopped(page, tmp_path: Path) -> None:
    pictures, labels = draw_scenes(tmp_path / "scenes", 3)
    plan = ScorePlan(("demo-s", "demo-l"), tuple(source.find(str(pictures))), ground_truth.read(labels))
    app = page(SCREEN)
    session(app, ScorecardPage).job = jobs.ScoreJob(plan)
    app, card = finished(app.run())
    assert [row.model for row in card.rows] == ["demo-s", "demo-l"] and "measured on this machine" in texts(app)
    job = session(app, ScorecardPage).job = jobs.ScoreJob(plan)
    job.cancel.set()
    rerun_until(app.run(), lambda: "Stopped before" in texts(app))
    finished(click(app, "Other pictures or models"))
