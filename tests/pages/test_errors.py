"""Errors: what is wrong on labelled pictures, by type, reason, group, map and label; each opens elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightglass import batch
from sightglass.components.session.state import Reopened
from sightglass.evaluation import known_cause, stored
from sightglass.evaluation.errors.report import ErrorReport
from sightglass.explain.picture.source import find
from sightglass.pages.errors import chart, files, lenses, runs, trial
from sightglass.pages.errors.runs import ErrorsView, LabelledRun
from tests.pages.conftest import rerun_until, session, texts

SCREEN = "pages/errors/page.py"
MODEL = "demo-s"
PICTURES = 24


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    known_cause.make(folder, pictures=PICTURES)
    return folder


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one in it."""
    base = tmp_path_factory.mktemp("batches")
    batch.run(str(scenes), MODEL, base / "street", labels=scenes / known_cause.LABELS["detect"])
    return base


@pytest.fixture(scope="module")
def report(finished: Path) -> ErrorReport:
    return ErrorReport(stored.load(finished / "street"))


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenes: Path) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    monkeypatch.setattr(known_cause, "open_set", lambda *_, **__: scenes)
    trial.example.clear()


@pytest.fixture
def stored_run(finished: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(finished))
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(scenes))


def keys(app, start: str) -> list[str]:
    return [str(one.key) for one in app.button if str(one.key).startswith(start)]


def press(app, key: str):
    return app.button(key=key).click().run()


def known(app, scenes: Path):
    """The page, told where the pictures of the run are."""
    return app.text_input(key="errors-folder").set_value(str(scenes)).run()


def test_the_first_visit_makes_an_example_and_says_where_it_goes_wrong(page, report: ErrorReport) -> None:
    app = page(SCREEN)
    job = trial.example()
    if not job.finished():
        assert app.markdown[0].value == "## Explaining 200 drawn scenes, as an example"
    app = rerun_until(app, lambda: app.markdown[0].value.startswith("## Demo-s misses"), 120)
    assert not app.exception and not app.error
    assert app.markdown[0].value.lower() == f"## {report.headline}.".lower()
    assert report.counts in texts(app) and "An example: drawn scenes with planted causes." in texts(app)
    assert len(keys(app, "errors-open-")) == min(28, len(report.errors))
    for widget in (*app.button, *app.selectbox, *app.toggle, *app.segmented_control, *app.slider):
        if str(widget.key or "").startswith("errors"):
            assert widget.help, widget.key


def test_an_example_that_was_stopped_can_be_made_again(page, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def run(status, cancel, job) -> None:
        started.append(job)
        cancel.wait()
        raise trial.Cancelled

    monkeypatch.setattr(trial, "_run", run)
    app = page(SCREEN)
    trial.example().cancel.set()
    app = rerun_until(app, lambda: "The example was stopped." in texts(app))
    assert not app.exception and not app.error
    press(app, "errors-again")
    rerun_until(app, lambda: len(started) == 2)
    assert "Explaining 200 drawn scenes" in texts(app)


def test_the_example_is_made_where_nothing_can_be_saved(page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    make = known_cause.make
    monkeypatch.setattr(known_cause, "open_set", refuse)
    monkeypatch.setattr(known_cause, "make", lambda folder: make(folder, pictures=2))
    app = page(SCREEN)
    rerun_until(app, lambda: "on 2 labelled pictures" in texts(app), 60)
    assert not app.exception and not app.error


@pytest.mark.usefixtures("stored_run")
def test_a_stored_run_is_shown_by_type(page, report: ErrorReport) -> None:
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert app.selectbox(key="errors-run").value == "street"
    bars = json.loads(app.get("plotly_chart")[0].proto.spec)["data"][0]
    counts = {one.name: one.count for one in report.types if one.count}
    assert dict(zip(bars["y"], bars["x"], strict=True)) == counts
    assert list(bars["x"]) == sorted(bars["x"])
    app.segmented_control(key=chart.TYPE).set_value("class").run()
    of = report.select_type("class")
    assert keys(app, "errors-open-") == [
        f"errors-open-type-class-{report.find_unit(row).id}" for row in of.head(28).to_dict("records")
    ]
    assert chart.describe_group(next(one for one in report.types if one.id == "class")) in texts(app)


def test_a_click_on_a_bar_is_its_type() -> None:
    assert chart.read_click({"selection": {"points": [{"customdata": ["missed"]}]}}) == "missed"
    assert chart.read_click({"selection": {"points": [{"customdata": "class"}]}}) == "class"
    assert chart.read_click({"selection": {"points": []}}) is None
    assert chart.read_click(None) is None


@pytest.mark.usefixtures("stored_run")
def test_each_reason_has_its_consequence(page, report: ErrorReport) -> None:
    app = page(SCREEN, lens="missed")
    assert not app.exception and not app.error
    slider = app.slider(key="errors-threshold-street")
    slider.set_value(10).run()
    assert report.thresholds.measure(0.1).sentence in texts(app)
    reason = report.reasons[0]
    app.segmented_control(key="errors-reason").set_value(reason.id).run()
    assert len(keys(app, f"errors-open-reason-{reason.id}-")) == min(28, reason.count)


@pytest.mark.usefixtures("stored_run")
def test_groups_stand_with_their_intervals_and_a_press_shows_one(page, report: ErrorReport) -> None:
    app = page(SCREEN, lens="slices")
    assert not app.exception and not app.error
    assert report.slices.sentence.replace("<", r"\<") in texts(app) or report.slices.sentence in texts(app)
    if report.slices.found:
        app.toggle(key="errors-all-slices").set_value(True).run()
    every = [*report.slices.found, *report.slices.others]
    assert keys(app, "errors-slice-") == [f"errors-slice-{one.attribute}:{one.group}" for one in every]
    last = next(one for one in reversed(every) if one.wrong)
    name = f"{last.attribute}:{last.group}"
    press(app, f"errors-slice-{name}")
    assert f"{last.wrong:,} of {last.count:,} missed" in texts(app)
    assert len(keys(app, f"errors-open-slice-{name}-")) == min(28, last.wrong)


@pytest.mark.usefixtures("stored_run")
def test_maps_of_wrong_answers_stand_in_groups(page, report: ErrorReport) -> None:
    app = page(SCREEN, lens="maps")
    assert not app.exception and not app.error
    assert len(keys(app, "errors-cluster-")) == len(report.clusters) > 0
    shown = report.clusters[-1]
    press(app, f"errors-cluster-{len(report.clusters)}")
    assert len(keys(app, "errors-open-cluster-")) == min(28, len(shown.answers))
    assert f"({shown.pair_count} of {len(shown.answers)})" in texts(app)


@pytest.mark.usefixtures("stored_run")
def test_labels_that_are_likely_wrong_change_the_headline(page, report: ErrorReport, scenes: Path) -> None:
    app = page(SCREEN, lens="labels")
    assert not app.exception and not app.error
    assert "Are these labels right?" in texts(app) and report.headline_change.sentence in texts(app)
    planted = {one.file for one in known_cause.read_key(scenes).wrong_labels}
    assert planted & {one.picture.key for one in report.suspects}
    assert keys(app, "errors-open-labels-") == [f"errors-open-labels-{one.id}" for one in report.suspects[:28]]


@pytest.mark.usefixtures("stored_run")
def test_a_picture_opens_once_it_is_known_where_the_pictures_are(page, report: ErrorReport, scenes: Path) -> None:
    app = page(SCREEN)
    key = keys(app, "errors-open-")[0]
    assert app.button(key=key).disabled
    app = known(app, scenes)
    assert not app.button(key=key).disabled
    unit = report.find_unit(report.errors.iloc[0].to_dict())
    press(app, key)
    assert not app.exception and not app.error
    recipe = session(app, Reopened).recipe
    assert recipe.model == MODEL and recipe.picture_name == Path(unit.picture.key).name
    assert recipe.targets == ((unit.answer.anchor, unit.answer.index),)


@pytest.mark.usefixtures("stored_run")
def test_a_folder_that_may_not_be_read_is_a_sentence(page, tmp_path: Path) -> None:
    app = known(page(SCREEN), tmp_path)
    assert not app.exception
    assert len(app.error) == 1 and app.button(key=keys(app, "errors-open-")[0]).disabled


@pytest.mark.usefixtures("stored_run")
def test_hiding_the_hottest_place_is_one_press(page, scenes: Path) -> None:
    app = known(page(SCREEN), scenes)
    press(app, keys(app, "errors-hide-")[0])
    assert not app.exception and not app.error
    assert "The wrong box is gone." in texts(app) or "The wrong box stays." in texts(app)
    press(app, "errors-hidden-open")
    assert not app.exception and session(app, ErrorsView).hiding is None


def test_a_damaged_evaluation_is_a_sentence_and_the_rest_can_be_chosen(
    page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "batches" / "broken"
    broken.mkdir(parents=True)
    (broken / stored.FILE).write_bytes(b"nothing")
    app = page(SCREEN)
    assert not app.exception
    assert "is damaged" in app.error[0].value
    assert runs.EXAMPLE in app.selectbox(key="errors-run").options or len(app.selectbox(key="errors-run").options) == 2


def make_run(report: ErrorReport, scenes: Path) -> LabelledRun:
    items = {one.key: one for one in find(str(scenes))}
    return LabelledRun(scenes, True, report, items, ("", 0))


def test_a_slide_shows_the_errors_and_the_table_has_them_all(
    report: ErrorReport, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lenses, "choose_type", lambda _: "all")
    run = make_run(report, scenes)
    scene = files.make_slide(run, None)
    assert report.headline in repr(scene.title if hasattr(scene, "title") else scene)
    rows = files._list_records(run)
    assert len(rows) == len(report.units)
    assert json.loads(json.dumps(rows))[0]["picture"] == report.units.iloc[0]["picture"]


def test_pictures_without_errors_have_nothing_to_list(page, report: ErrorReport, tmp_path: Path) -> None:
    folder = tmp_path / "batches" / "clean"
    folder.mkdir(parents=True)
    about = stored.EvaluationFacts(MODEL, MODEL, "detect", report.evaluation.classes, 0.25)
    whole = report.evaluation.pictures[:1]
    stored.write(
        folder / stored.FILE,
        [
            [
                stored.to_row(one)
                | {"truth_label": [], "truth_box": [], "truth_crowd": []}
                | {f"found_{name}": [] for name in ("label", "class", "score", "box", "anchor")}
                | {"map_of": [], "maps": b"", "look_of": [], "on_object": [], "on_others": [], "on_border": []}
                | {f"missed_{name}": [] for name in ("of", "reason", "score", "by")}
                for one in whole
            ]
        ],
        about,
    )
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert "There is no error in these pictures." in [one.value for one in app.success]
