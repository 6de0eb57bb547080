"""Errors: what is wrong on labelled pictures, by type and class; each opens elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightglass import batch, examples
from sightglass.components.session.state import Reopened
from sightglass.evaluation import stored
from sightglass.evaluation.errors import ErrorReport
from sightglass.pages.errors import runs
from sightglass.pages.errors.page import CLASS, TYPE
from tests.labelled import draw_scenes
from tests.pages.conftest import session, texts

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
    return [report.find_unit(row).id for row in report.select(kind, label).head(28).to_dict("records")]


def test_a_first_visit_opens_the_packaged_run(page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path))
    app = page(SCREEN)
    assert not app.exception and not app.error
    found = ErrorReport(stored.load(examples.find(examples.BOXES) / "run"))
    assert app.markdown[0].value.lower() == f"## {found.headline}.".lower() and found.counts in texts(app)
    assert "Example" in texts(app)
    assert opened(app) == ids(found) and not app.button(key=f"errors-open-{ids(found)[0]}").disabled
    app.button(key="deck-errors").click().run()
    assert not app.exception and any(one.label == "Add the slide" for one in app.button)


def test_a_run_is_shown_by_type_and_class_which_a_link_restores(page, report: ErrorReport) -> None:
    label = report.select("class").iloc[0]["label"]
    app = page(SCREEN, type="class", about=label)
    assert not app.exception and not app.error
    assert app.selectbox(key="errors-run").value == "street"
    assert opened(app) == ids(report, "class", label)
    app.selectbox(key=CLASS).set_value("").run()
    assert opened(app) == ids(report, "class")
    app.segmented_control(key=TYPE).set_value("all").run()
    assert opened(app) == ids(report)


def test_a_picture_opens_once_it_is_known_where_the_pictures_are(page, report: ErrorReport, finished: Path) -> None:
    app = page(SCREEN)
    key = f"errors-open-{ids(report)[0]}"
    assert app.button(key=key).disabled
    app.text_input(key="errors-folder").set_value("/elsewhere").run()
    assert len(app.error) == 1 and app.button(key=key).disabled
    app.text_input(key="errors-folder").set_value(str(finished / "scenes" / "pictures")).run()
    unit = report.find_unit(report.errors.iloc[0].to_dict())
    app.button(key=key).click().run()
    assert not app.exception and not app.error
    recipe = session(app, Reopened).recipe
    assert recipe.model == MODEL and recipe.picture_name == Path(unit.picture.key).name
    assert recipe.targets == ((unit.answer.anchor, unit.answer.index),)


def test_a_damaged_evaluation_is_a_sentence_and_the_example_can_be_chosen(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / stored.FILE).write_bytes(b"nothing")
    app = page(SCREEN)
    assert not app.exception and "is damaged" in app.error[0].value
    app.selectbox(key="errors-run").set_value(runs.EXAMPLE).run()
    assert not app.exception and not app.error
