"""Watch: the numbers on the screen are the engine's, from an empty log to drift, with every error as a sentence."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.cli import main
from sightglass.components.session.jobs import monitoring
from sightglass.components.session.pictures.bundled_pictures import AS_THEY_ARE, WORSE, change
from sightglass.components.session.pictures.image_source import Pictures
from sightglass.components.session.state import Navigation
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.history import History
from sightglass.models import catalog
from sightglass.monitor import Drift, Monitor, Observation, Shift
from sightglass.monitor.phrases import clock
from sightglass.monitor.trend import headline
from sightglass.pages.watch import charts, drift
from sightglass.pages.watch.log import Watching
from sightglass.pages.watch.trial import Trial, example, list_pictures
from tests.pages.conftest import ROOT, session, texts
from tests.waits import patience

SCREEN = "pages/watch/page.py"
MODEL = "efficientnet-lite0"


def button(app, label: str):
    return next(one for one in app.button if one.label == label)


def table(app) -> list[dict[str, str]]:
    return app.table[0].value.to_dict("records")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's log, of this test alone."""
    folder = tmp_path / "watched"
    monkeypatch.setenv("SIGHTGLASS_MONITOR", str(folder))
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return folder


@pytest.fixture(scope="module")
def explained(pictures: list[Path]):
    """A picture that the model knows, and one that it is unsure of."""
    explainer = Explainer(MODEL)
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    return explainer(pictures[0]), explainer(Image(noise, "*noise*.png"))


@pytest.fixture
def watched(log: Path, explained) -> Monitor:
    """Five that are sure and three that are not, of real explanations."""
    monitor = Monitor(log)
    for _ in range(5):
        assert monitor.watch(explained[0], source="api") is None
    for _ in range(3):
        assert monitor.watch(explained[1], source="batch") is not None
    return monitor


def lines(log: Path, confidences: np.ndarray, *, hours: float, label: str = "bus", odd: tuple[str, ...] = ()) -> None:
    """Short lines of so many hours ago, as another process leaves them."""
    then = datetime.now(UTC) - timedelta(hours=hours)
    log.mkdir(exist_ok=True)
    path = log / "trend-000001.jsonl"
    every = path.read_text().splitlines() if path.exists() else []
    for number, value in enumerate(confidences):
        one = Observation("m", "classify", label, "ok", {"confidence": float(value)}, source="api", odd=odd)
        at = {"time": (then + timedelta(seconds=number)).isoformat(timespec="microseconds")}
        every.append(json.dumps(one.line() | at))
    path.write_text("\n".join(sorted(every, key=lambda line: json.loads(line)["time"])) + "\n")


def ended(app, trial: Trial):
    until = time.monotonic() + patience(300)
    while not trial.finished(0.2) and time.monotonic() < until:
        pass
    assert trial.status.failure is None
    return app.run()


def test_an_empty_log_shows_an_example_that_every_session_shares(page, log, explained):
    app = page(SCREEN)
    shared = session(app, Watching).trial
    app = ended(app, shared)
    assert not app.exception and not app.error
    assert shared.shared and shared.model.id == MODEL
    assert app.markdown[0].value == f"## {shared.monitor.drift(MODEL).headline}"
    assert headline(shared.monitor.observations(), "") in texts(app)
    assert "**An example**" in texts(app) and "Nothing of yours is monitored yet." in texts(app)
    assert f"**The answers of {MODEL} changed**: confidence is lower" in texts(app)
    assert [one for one in app.button if str(one.key).startswith("watch-open-")]
    # It belongs to all: nobody changes what it is compared with, and nobody stops it.
    assert not [one for one in app.button if one.key == "watch-reference" or one.label == "Stop"]
    other = type(app).from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120)).run()
    other.switch_page(SCREEN).run()
    assert session(other, Watching).trial is shared
    # What was really watched takes its place.
    assert not log.exists()
    Monitor(log).watch(explained[0])
    app.run()
    assert app.markdown[0].value == "## 1 picture in the last 24 hours; none was odd."


def doors(page, **parameters: str):
    """The page of an empty log, without the example."""
    app = page(SCREEN, **parameters)
    button(app, "Monitor your own model").click().run()
    return app


def test_it_leads_to_three_doors_and_a_trial(page, log):
    ended(page(SCREEN), example(MODEL, ""))
    app = doors(page)
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## Nothing monitored yet"
    code = "\n".join(one.value for one in app.code)
    assert f'Monitor("{log}")' in code and "monitor=true" in code and f"--monitor {log}" in code
    assert button(app, "Try it on the bundled pictures").help
    assert app.toggle(key="watch-session").value is False
    assert not log.exists()
    for widget in (*app.button, *app.selectbox, *app.toggle, *app.segmented_control):
        if str(widget.key or "").startswith("watch"):
            assert widget.help, widget.label


def test_the_numbers_are_the_engines(page, watched):
    app = page(SCREEN)
    assert not app.exception and not app.error
    seen = watched.observations()
    assert app.markdown[0].value == f"## {headline(seen, 'in the last 24 hours')}"
    assert app.markdown[0].value.startswith("## 8 pictures in the last 24 hours; 3 were odd")
    figures = [json.loads(one.proto.spec) for one in app.get("plotly_chart")]
    medians = next(trace for trace in figures[0]["data"] if trace["name"] == "median")
    band = next(trace for trace in figures[0]["data"] if trace["name"] == "middle half")
    assert len(band["base"]) >= 1
    assert medians["x"]
    assert [one.label for one in app.button if str(one.key).startswith("watch-open-")] == [r"\*noise\*.png"] * 3
    assert "3 odd ones logged." in texts(app)
    for widget in (*app.button, *app.selectbox, *app.toggle, *app.segmented_control):
        if str(widget.key or "").startswith("watch"):
            assert widget.help, widget.label


def test_model_source_and_span_choose(page, watched, log):
    lines(log, np.full(4, 0.9), hours=40)
    app = page(SCREEN)
    assert "## 8 pictures" in app.markdown[0].value
    app.segmented_control(key="watch-span-server").set_value("all").run()
    assert app.markdown[0].value.startswith("## 12 pictures; 3 were odd")
    app.selectbox(key="watch-model").set_value("m").run()
    assert app.markdown[0].value == "## 4 pictures; none was odd."
    assert ":material/check: Nothing odd in this time." in texts(app)
    app.segmented_control(key="watch-span-server").set_value("hour").run()
    assert app.markdown[0].value == "## No picture in the last hour."
    assert "choose a longer one" in texts(app)
    app.selectbox(key="watch-model").set_value("").run()
    app.selectbox(key="watch-source").set_value("batch").run()
    assert app.markdown[0].value.startswith("## 3 pictures in the last hour; 3 were odd")


def test_odd_ones_that_were_not_logged_whole_are_said_without_a_tick(page, log, explained, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_MONITOR_THRESHOLD", "0.5")
    lines(log, np.full(1200, 0.3), hours=2, odd=("low confidence",))
    app = page(SCREEN)
    assert "1,200 were odd" in app.markdown[0].value
    assert "1,200 were odd; none of them was logged in full" in texts(app)
    assert ":material/check: Nothing odd" not in texts(app)
    # So many are not all drawn, and that is said.
    assert "600 of the 1,200 odd pictures are drawn" in texts(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert len(next(trace for trace in figure["data"] if trace["name"] == "unsure")["x"]) == 600
    Monitor(log).watch(explained[1])
    app.run()
    assert "1 of 1,201 odd ones logged in full" in texts(app)


def test_the_threshold_is_learned_and_a_slider_changes_what_counts_as_unsure(page, log):
    # Half of this model's answers are below 50 %, which is nothing unusual for it.
    lines(log, np.linspace(0.2, 0.8, 200), hours=2)
    app = page(SCREEN)
    assert app.markdown[0].value.startswith("## 200 pictures in the last 24 hours; ")
    (slider,) = [one for one in app.slider if str(one.key).startswith("watch-unsure")]
    # One in twenty of the first hundred.
    assert slider.value == 21 and slider.help
    assert "Unsure: below 21\N{NO-BREAK SPACE}% (lowest 5\N{NO-BREAK SPACE}% of the first 100)." in texts(app)
    assert "; 4 were odd" in app.markdown[0].value
    slider.set_value(35).run()
    assert "; 50 were odd, all of them unsure." in app.markdown[0].value
    assert app.query_params["unsure"] in ("35", ["35"])
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    line = next(trace for trace in figure["data"] if trace["name"].startswith("threshold"))
    assert line["y"] == [0.35, 0.35]
    # A reference is better to learn from.
    slider.set_value(21).run()
    Monitor(log).set_reference(model="m")
    assert "of the reference)." in texts(page(SCREEN))


def test_what_the_threshold_no_longer_calls_odd_is_no_worst_case(page, watched):
    app = page(SCREEN, unsure="0")
    kinds = [entry.why for entry in watched.entries()]
    still = [why for why in kinds if why != ("low confidence",)]
    assert len([one for one in app.button if str(one.key).startswith("watch-open-")]) == len(still)


def test_the_charts_of_a_day_fit_the_time_in_which_pictures_came(page, log):
    lines(log, np.linspace(0.6, 0.9, 200), hours=2)
    app = page(SCREEN)
    assert "The charts show only the time in which pictures came." in texts(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    medians = next(trace for trace in figure["data"] if trace["name"] == "median")
    assert len([one for one in medians["y"] if one is not None]) > 20


def test_a_change_of_the_maps_alone_is_called_one():
    shift = Shift("border_share", 99, 99, 0.4, 0.2, 0.9, 0.0, 1.0, corrected=0.0)
    found = Drift("m", "r", 99, 99, None, None, (shift,), None)
    assert drift.verdict(found).startswith(
        ":material/change_circle: **The maps of m changed**: evidence near the edges is"
    )


def test_an_entry_is_saved_to_history(page, log, explained, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    entry = Monitor(log, threshold=1.0).watch(explained[0])
    app = page(SCREEN, entry=entry.id)
    button(app, "Save to history").click().run()
    assert not app.exception and not app.error
    (record,) = History().search().records
    assert (record.picture_sha256, record.recipe.layers) == (entry.sha256, entry.recipe.layers)


def test_what_is_drawn_is_thinned_evenly_and_keeps_what_is_rare():
    now = datetime.now(UTC)
    every = [
        Observation("m", "classify", "bus", "ok", time=now + timedelta(seconds=n), odd=("low confidence",))
        for n in range(3000)
    ]
    rare = [Observation("m", "classify", "bus", "ok", time=now + timedelta(seconds=n), odd=("border",)) for n in (5, 9)]
    found = charts.thin([*every, *rare], 600)
    assert len(found) == 600 and [one for one in found if one.odd == ("border",)] == rare
    times = [one.time for one in found]
    assert times == sorted(times)
    gaps = {round((b - a).total_seconds()) for a, b in pairwise(times)}
    assert max(gaps) <= 6
    assert charts.thin(every[:7], 600) == every[:7]
    assert charts.thin([], 600) == []


def test_every_line_to_copy_runs_as_it_stands(page, log, pictures, tmp_path, monkeypatch, capsys):
    app = doors(page)
    # A shell joins the lines of one command.
    library, api, folder = (one.value.replace("\\\n", "") for one in app.code)
    here = tmp_path / "here"
    (here / "pictures").mkdir(parents=True)
    shutil.copy(pictures[0], here / "a.jpg")
    shutil.copy(pictures[0], here / "pictures")
    monkeypatch.chdir(here)
    exec(compile(library, "library", "exec"), {})
    assert [one.source for one in Monitor(log).observations()] == ["library"]
    # The same request as curl would send.
    words = shlex.split(api)
    assert words[0] == "curl" and words[-1].endswith("/api/explain")
    fields = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-F")
    assert fields.pop("image") == "@a.jpg" and len(words) == 2 + 2 * (1 + len(fields))
    with TestClient(create(ApiRules())) as client:
        answer = client.post("/api/explain", data=fields, files={"image": Path("a.jpg").read_bytes()})
    assert answer.status_code == 200, answer.text
    assert [one.source for one in Monitor(log).observations()] == ["library", "api"]
    words = shlex.split(folder)
    assert words[0] == "sightglass"
    assert main(words[1:]) == 0, capsys.readouterr().err
    assert [one.source for one in Monitor(log).observations()] == ["library", "api", "batch"]


def test_times_are_told_with_their_zone(page, log):
    lines(log, np.linspace(0.5, 0.9, 40), hours=2)
    monitor = Monitor(log)
    monitor.set_reference(model="m")
    app = page(SCREEN)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["tickformat"] == "%H:%M:%S\n%d %b, UTC"
    until = monitor.reference().models["m"].until
    assert f"what was watched until {clock(until, UTC)}" in texts(app)
    assert clock(datetime(2026, 11, 20, 23, 51, tzinfo=UTC), ZoneInfo("Europe/Berlin")) == "21 Nov 2026, 00:51 CET"


def test_the_choices_are_in_the_address(page, watched):
    app = page(SCREEN, span="week", watched=MODEL, order="newest")
    assert app.segmented_control(key="watch-span-server").value == "week"
    assert app.selectbox(key="watch-model").value == MODEL
    assert app.selectbox(key="watch-order").value == "newest"


def test_the_gallery_is_filtered_by_reason(page, watched, explained):
    kinds = {kind for entry in watched.entries() for kind in entry.why}
    assert "low confidence" in kinds
    app = page(SCREEN)
    app.selectbox(key="watch-why").set_value("low confidence").run()
    assert "3 of 3 odd ones logged. The model's best answer is below the threshold." in texts(app)
    assert app.selectbox(key="watch-why").options[0] == "All reasons"
    assert len(app.selectbox(key="watch-why").options) == 1 + len(kinds)


def test_an_entry_opens_with_its_numbers_and_its_files(page, watched):
    entry = watched.entries(order="worst")[0]
    app = page(SCREEN, entry=entry.id)
    assert not app.exception and not app.error
    said = texts(app)
    # What came from outside is shown as it is.
    assert r"\*noise\*.png" in said
    for text in entry.words:
        assert text.split("\N{NO-BREAK SPACE}")[0][:12] in said
    labels = {one.proto.label for one in app.get("download_button")}
    assert {"Map, .png", "Raw map, .npy", "Log line, .json", "Recipe, .json"} <= labels
    # The picture was not kept, and is none of ours.
    assert "The picture was not saved" in said


def test_a_link_to_an_entry_that_is_gone_is_one_sentence(page, watched):
    app = page(SCREEN, entry="20200101T000000000000-00000000")
    assert not app.exception
    assert [one.value for one in app.error if "There is no entry" in one.value]
    assert app.markdown[0].value.startswith("## 8 pictures")


def test_a_bundled_picture_opens_in_explore(page, log, explained):
    monitor = Monitor(log, threshold=1.0)
    entry = monitor.watch(explained[0])
    assert entry is not None
    app = page(SCREEN, entry=entry.id)
    button(app, "Open in Explore").click().run()
    assert not app.exception and not app.error
    assert session(app, Pictures).chosen == "bus"
    assert session(app, Navigation).page == "explore"


def test_drift_is_told_as_the_engine_tells_it(page, log):
    rng = np.random.default_rng(0)
    lines(log, rng.uniform(0.7, 0.9, 60), hours=3)
    monitor = Monitor(log)
    monitor.set_reference(model="m", until=datetime.now(UTC) - timedelta(hours=2))
    app = page(SCREEN)
    assert "too few pictures" in texts(app)
    lines(log, rng.uniform(0.2, 0.4, 60), hours=1, label="fox")
    app.run()
    found = monitor.drift("m")
    assert found.changed
    rows = table(app)
    assert rows == drift.rows(found)
    assert rows[0] == {
        "What": "**Confidence**",
        "Then": f"**{round(100 * found.numbers[0].reference_median)}\N{NO-BREAK SPACE}%**",
        "Now": f"**{round(100 * found.numbers[0].median)}\N{NO-BREAK SPACE}%**",
        "Distance": "**1.00**",
        "By chance?": "**very unlikely**",
    }
    assert "**The answers of m changed**: confidence is lower" in texts(app)
    assert "fox 100" in texts(app)


def test_a_span_of_time_that_was_dragged_over_is_compared_by_itself(page, log):
    rng = np.random.default_rng(0)
    lines(log, rng.uniform(0.7, 0.9, 60), hours=5)
    monitor = Monitor(log)
    monitor.set_reference(model="m", until=datetime.now(UTC) - timedelta(hours=4))
    lines(log, rng.uniform(0.2, 0.4, 60), hours=3)
    lines(log, rng.uniform(0.7, 0.9, 120), hours=1)
    app = page(SCREEN)
    assert app.markdown[0].value == "## None of 2 measures changed", "the newest are as before"
    now = datetime.now(UTC)
    session(app, Watching).brush = (now - timedelta(hours=3.5), now - timedelta(hours=2))
    app.run()
    assert app.markdown[0].value == "## 1 of 2 measures changed, most: confidence"
    assert "60 pictures in the time chosen" in texts(app)
    app.button(key="watch-brush-end").click().run()
    assert app.markdown[0].value == "## None of 2 measures changed"


def test_a_drag_over_the_chart_is_a_span_of_time():
    dragged = {"selection": {"box": [{"x": ["2026-01-02 10:30:00.5", "2026-01-02 09:00"], "y": [0, 1]}]}}
    first, last = charts.read_brush(dragged, UTC)
    assert (first, last) == (datetime(2026, 1, 2, 9, tzinfo=UTC), datetime(2026, 1, 2, 10, 30, 0, 500_000, tzinfo=UTC))
    for nothing in ({}, {"selection": {"box": []}}, {"selection": {"box": [{"x": ["a", "b"]}]}}, None):
        assert charts.read_brush(nothing, UTC) is None


def test_what_is_shown_becomes_the_reference_and_is_forgotten(page, log):
    lines(log, np.linspace(0.5, 0.9, 40), hours=2)
    app = page(SCREEN)
    assert "There is no reference for m yet" in texts(app)
    app.button(key="watch-reference").click().run()
    assert Monitor(log).reference().models["m"].count == 40
    assert "too few pictures" in texts(app)
    lines(log, np.linspace(0.5, 0.9, 40), hours=-0.001)
    time.sleep(0.01)
    app.button(key="watch-forget").click().run()
    assert Monitor(log).reference() is None
    assert "There is no reference for m yet" in texts(app)


def test_a_finished_folder_run_becomes_the_reference(page, log, tmp_path):
    lines(log, np.linspace(0.5, 0.9, 40), hours=2)
    run = tmp_path / "batches" / "mine-m-0123456789"
    run.mkdir(parents=True)
    import pandas as pd

    rows = [
        {"picture": f"{n}.jpg", "model": "m", "predicted": "bus", "predicted_score": 0.5 + n / 100, "state": "ok"}
        for n in range(40)
    ]
    pd.DataFrame(rows).to_parquet(run / "results.parquet")
    app = page(SCREEN)
    app.selectbox(key="watch-run").set_value(str(run)).run()
    app.button(key="watch-take-run").click().run()
    assert not app.error
    assert Monitor(log).reference().models["m"].count == 40
    assert "the batch run mine-m-0123456789" in texts(app)
    assert table(app)


def test_a_damaged_log_is_shown_and_said(page, watched, log):
    with (log / "trend-000001.jsonl").open("a") as file:
        file.write("{broken\n")
    (log / "reference.json").write_text("{")
    app = page(SCREEN)
    assert not app.exception
    assert [one.value for one in app.warning] == ["1 line of the log is damaged and was skipped; the rest is shown."]
    assert any("is damaged" in one.value for one in app.error)
    assert app.markdown[0].value.startswith("## 8 pictures")
    assert [one for one in app.button if str(one.key).startswith("watch-open-")]


def test_a_log_that_is_no_folder_is_one_sentence(page, log):
    log.write_text("no folder")
    app = page(SCREEN)
    assert not app.exception
    assert len(app.error) == 1 and "cannot be read" in app.error[0].value
    assert app.sidebar.selectbox


def test_results_of_a_batch_are_no_log(page, log):
    log.mkdir()
    for name in ("journal.jsonl", "results.parquet"):
        (log / name).write_text("{}\n")
    app = page(SCREEN)
    assert not app.exception and not app.warning
    assert [one.value.partition(":")[0] for one in app.error] == [f"{log} holds a batch's results, not a log"]


def test_a_monitor_that_is_off_is_said(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_MONITOR", "off")
    ended(page(SCREEN), example(MODEL, ""))
    app = doors(page)
    assert not app.exception and not app.error
    assert "monitor is off" in texts(app)
    assert button(app, "Try it on the bundled pictures")


def test_another_folder_is_read_where_the_operator_allows_it(page, log, tmp_path, monkeypatch, explained):
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(tmp_path / "open"))
    other = tmp_path / "open" / "log"
    Monitor(other).watch(explained[1])
    app = page(SCREEN, **{"log": "folder", "log-folder": str(other)})
    assert not app.exception and not app.error
    assert app.markdown[0].value.startswith("## 1 picture in the last 24 hours; 1 was odd")
    # It is only read.
    assert not [one for one in app.button if one.key == "watch-reference"]
    app.text_input(key="watch-folder").set_value(str(tmp_path)).run()
    assert any("only these folders may be read" in one.value for one in app.error)


def test_a_trial_fills_the_screen(page, log):
    app = page(SCREEN, span="all")
    button(app, "Try it on the bundled pictures").click().run()
    held: Trial = session(app, Watching).trial
    assert held.model.id == MODEL
    assert not held.shared
    app = ended(app, held)
    assert not app.exception and not app.error
    seen = held.monitor.observations()
    assert len(seen) == held.status.done == len(list(list_pictures(held.model))) == 64
    assert app.markdown[0].value == f"## {held.monitor.drift(MODEL).headline}" and headline(seen, "") in texts(app)
    assert "**A trial**" in texts(app)
    # What is usual is what the first half was, and of that nothing is called unsure.
    first = [one.confidence for one in seen[:32]]
    assert held.monitor.threshold == round(float(np.quantile(first, 0.25)), 2)
    assert f"below {percent(held.monitor.threshold)}" in texts(app)
    unsure = ["low confidence" in one.odd for one in seen]
    assert not any(unsure[:32]) and sum(unsure[32:]) >= 24
    assert "changed**: confidence is lower" in texts(app)
    assert len(table(app)) > 5
    # The threshold is drawn from where it was set.
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    line = next(trace for trace in figure["data"] if trace["name"].startswith("threshold"))
    assert datetime.fromisoformat(line["x"][0]).replace(tzinfo=UTC) == held.status.since
    assert not log.exists()
    button(app, "Leave the trial").click().run()
    assert app.markdown[0].value == "## Nothing monitored yet"
    assert session(app, Watching).trial is None


def test_no_threshold_is_named_before_the_first_half_of_a_trial_has_set_it(page, log, monkeypatch):
    app = page(SCREEN, model=MODEL)
    held = ended(app, example(MODEL, ""))
    assert "Unsure: below" in texts(app)
    monkeypatch.setattr(example(MODEL, "").status, "since", None)
    app.run()
    assert not app.exception and "Unsure: below" not in texts(app)
    assert "Unsure: known when the first half is done." in texts(app), held


def test_a_trial_shows_a_model_what_it_knows():
    photographs = {name for name, _, _ in list_pictures(catalog.spec(MODEL))}
    scenes = {name for name, _, _ in list_pictures(catalog.spec("demo-m"))}
    assert "bus.jpg" in photographs and "scene 1.png" in scenes
    assert not photographs & scenes


def test_a_picture_is_made_worse_the_same_way_each_time(pictures):
    image = Image.open(pictures[0])
    for way in filter(None, (*AS_THEY_ARE, *WORSE)):
        one, two = change(image, way, "x"), change(image, way, "x")
        assert one.sha256 == two.sha256 != image.sha256
        assert min(one.width, one.height) <= 480


def test_the_session_is_watched_once_it_was_asked_for(page, log):
    app = page()
    assert not log.exists()
    app.switch_page(SCREEN).run()
    ended(app, example(MODEL, ""))
    button(app, "Monitor your own model").click().run()
    app.toggle(key="watch-session").set_value(True).run()
    app.switch_page("pages/explore.py").run()
    until = time.monotonic() + patience(120)
    while not (seen := Monitor(log).observations()) and time.monotonic() < until:
        time.sleep(0.1)
    assert [one.source for one in seen] == ["dashboard"]
    # Another run of the same screen is no other picture.
    app.run()
    time.sleep(2 * monitoring.AFTER)
    assert len(Monitor(log).observations()) == 1
