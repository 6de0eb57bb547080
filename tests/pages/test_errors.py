"""Errors: what is wrong on labelled pictures, by type and class; each opens elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass import batch, examples
from sightglass.components.session.state import Reopened
from sightglass.evaluation import ground_truth, stored
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import files
from sightglass.explain.picture import source
from sightglass.pages.errors import gallery
from sightglass.pages.errors.page import CLASS, TYPE
from sightglass.pages.scorecard import source as jobs
from sightglass.pages.scorecard.source import ScorecardPage, ScorePlan
from tests.labelled import draw_scenes
from tests.pages.conftest import press, rerun_until, session, texts
from tests.unit.evaluation.test_verdict import detectors, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

    from sightglass.evaluation.scorecard.card import Scorecard


SCREEN = "pages/errors/page.py"
MODEL = "demo-s"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled pictures, and a run over them in `batches`."""
    base = tmp_path_factory.mktemp("labelled")
    pictures, labels = draw_scenes(base / "scenes", 12)
    batch.run(str(pictures), MODEL, base / "batches" / "street", labels=labels)
    return base


@pytest.fixture
def report(finished: Path, monkeypatch: pytest.MonkeyPatch) -> ErrorReport:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(finished / "batches"))
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(finished / "scenes"))
    return ErrorReport(stored.load(finished / "batches" / "street"))


def opened(app) -> list[str]:
    return [str(one.key).removeprefix("errors-open-") for one in app.button if str(one.key).startswith("errors-open-")]


def ids(report: ErrorReport, kind: str = "all", label: str = "") -> list[str]:
    return [unit.id for unit in report.select(kind, label)[:28]]


def test_a_first_visit_opens_the_packaged_run(page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path))
    app = page(SCREEN)
    found = ErrorReport(stored.load(examples.find(examples.BOXES) / "run"))
    assert app.markdown[0].value.lower() == f"## {found.headline}.".lower() and found.counts in texts(app)
    assert "Example" in texts(app)
    assert opened(app) == ids(found) and not app.button(key=f"errors-open-{ids(found)[0]}").disabled
    app.button(key="deck-errors").click().run()
    assert any(one.label == "Add the slide" for one in app.button)


def test_a_run_is_shown_by_type_and_class_which_a_link_restores(page, report: ErrorReport) -> None:
    label = report.select("class")[0].about
    app = page(SCREEN, type="class", about=label)
    assert app.selectbox(key="errors-run").value == "street"
    assert opened(app) == ids(report, "class", label)
    app.selectbox(key=CLASS).set_value("").run()
    assert opened(app) == ids(report, "class")
    app.segmented_control(key=TYPE).set_value("all").run()
    assert opened(app) == ids(report)


def test_a_picture_opens_where_the_run_found_it(page, report: ErrorReport, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page(SCREEN)
    key = f"errors-open-{ids(report)[0]}"
    unit = report.errors[0]
    app.button(key=key).click().run()
    assert not app.error
    recipe = session(app, Reopened).recipe
    assert recipe.model == MODEL and recipe.picture_name == Path(unit.picture.key).name
    assert recipe.targets == ((unit.answer.anchor, unit.answer.index),)
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", "")
    app = page(SCREEN)
    assert app.button(key=key).disabled and "The operator has to name" in texts(app)


def test_a_damaged_evaluation_is_a_sentence_and_the_example_can_be_chosen(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / stored.FILE).write_bytes(b"nothing")
    app = page(SCREEN, fails=True)
    assert "is damaged" in app.error[0].value
    app.selectbox(key="errors-run").set_value(gallery.EXAMPLE).run()
    assert not app.error


SCORECARD = "pages/scorecard/page.py"


def scored(app: AppTest) -> tuple[AppTest, Scorecard]:
    rerun_until(app, lambda: "### Models" in texts(app), 120)
    card = (session(app, ScorecardPage).job or jobs.open_example()).status.card
    assert card is not None and not app.error
    return app, card


def test_the_example_opens_with_its_verdict_and_numbers_below_ones_own_choice(page) -> None:
    app, card = scored(page(SCORECARD, tolerance="20.0"))
    wider = scorecards.compare(card.rows, tolerance=0.2).verdict
    assert wider is not None and wider.advice in texts(app) and "Example" in texts(app)
    order = [one.value for one in app.markdown]
    assert order[0] == "## Which model can be shipped?" and f"### {wider.headline}" in texts(app).replace("\\", "")
    shown = app.dataframe[0].value
    for name in ("Model", "AP", "Right", "ms"):
        assert shown[name].tolist() == [row[name] for row in files.list_rows(card)]
    app.selectbox(key="scorecard-against-demo-l-demo-m-demo-s").set_value("demo-m").run()
    assert "demo-m" in texts(app)


def test_stored_runs_are_compared_without_running_a_model(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    card = detectors(0, 0.2, count=30)
    app = page(SCORECARD, answers="runs")
    assert "There is no run with labels yet" in texts(app)
    for row in card.rows:
        write_run(tmp_path / "batches" / f"run-{row.model}", row.evaluation)
    app = app.run()
    app = app.multiselect(key="scorecard-runs").set_value(["run-small", "run-large"]).run()
    app, found = scored(press(app, "Score the models"))
    assert found.verdict is not None and f"## {found.verdict.headline}" in texts(app).replace("\\", "")
    assert "from runs with labels" in texts(app)
    app, _ = scored(press(app, "Other pictures or models"))
    assert "Example" in texts(app)


def test_models_are_scored_in_the_background_and_can_be_stopped(page, tmp_path: Path) -> None:
    pictures, labels = draw_scenes(tmp_path / "scenes", 3)
    plan = ScorePlan(("demo-s", "demo-l"), tuple(source.find(str(pictures))), ground_truth.read(labels))
    app = page(SCORECARD)
    session(app, ScorecardPage).job = jobs.ScoreJob(plan)
    app, card = scored(app.run())
    assert [row.model for row in card.rows] == ["demo-s", "demo-l"] and "measured on this machine" in texts(app)
    job = session(app, ScorecardPage).job = jobs.ScoreJob(plan)
    job.cancel.set()
    rerun_until(app.run(), lambda: "Stopped before" in texts(app))
    scored(press(app, "Other pictures or models"))
