"""/api/runs and /api/scorecard: which runs have labels, how right each is, where it goes wrong, which can ship."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.batch import summary
from sightglass.evaluation import stored
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.scorecard import compare, score_runs
from sightglass.evaluation.stored import EvaluatedPicture, EvaluationFacts
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

BOX = (10.0, 10.0, 60.0, 60.0)
CAT, DOG = TrueBox("cat", BOX), TrueBox("dog", (100.0, 10.0, 160.0, 60.0))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs: one has an evaluation of two pictures, the other none."""
    base = tmp_path / "batches"
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(base))
    for name in ("labelled", "plain"):
        (base / name).mkdir(parents=True)
    found = (Prediction("cat", 0, 0.9, BOX, 3), Prediction("dog", 1, 0.2, DOG.box, 4))
    pictures = (
        EvaluatedPicture("a.jpg", (200, 100), (CAT, DOG), None, found),
        EvaluatedPicture("b.jpg", (200, 100), (CAT,), None, found[:1]),
    )
    rows = [stored.to_row(one) for one in pictures]
    facts = EvaluationFacts("demo-s", "", "detect", ("cat", "dog"), 0.25, ("owl",))
    stored.write(base / "labelled" / stored.FILE, [rows], facts)
    return base


@pytest.fixture
def client(runs: Path) -> TestClient:
    return TestClient(create(ApiRules()))


def test_runs_with_labels_are_listed_and_each_says_how_right_it_is(client: TestClient, runs: Path) -> None:
    assert [one["id"] for one in client.get("/api/runs").json()["runs"]] == ["labelled"]
    answer = client.get("/api/runs/labelled").json()
    assert answer == {"id": "labelled", **summary.load(runs / "labelled").to_json(), "unknown": ["owl"]}
    assert (answer["objects"], answer["right"], answer["errors"]["missed"]) == (3, 2, 1)
    report = ErrorReport(stored.load(runs / "labelled"))
    answer = client.get("/api/runs/labelled/errors").json()
    assert (answer["headline"], answer["total"]) == (report.headline, 1)
    (error,) = answer["errors"]
    assert (error["picture"], error["label"], error["predicted"], error["type"]) == ("a.jpg", "dog", None, "missed")
    assert client.get("/api/runs/labelled/errors?limit=0").json()["errors"] == []


def test_what_there_is_not_is_one_sentence(client: TestClient, both: Path) -> None:
    for name in ("plain", "nothing", "..", "%2e%2e%2flabelled"):
        assert client.get(f"/api/runs/{name}").status_code == 404
    ask = "/api/scorecard?run=labelled"
    for path, status, words in (
        ("/api/runs/plain", 404, "GET /api/runs lists yours"),
        (f"{ask}&run=..", 404, "GET /api/runs lists yours"),
        (f"{ask}&run=labelled", 400, "Two of these have the same name"),
        (f"{ask}&run=worse&against=demo-m", 400, "demo-m is none of the models of this scorecard"),
        (ask + "&run=a" * 6, 422, "at most 6 items"),
        (f"{ask}&tolerance=nan", 422, "'tolerance'"),
        (f"{ask}&runs=worse", 422, "did you mean run?"),
        ("/api/runs?page=1", 422, "page"),
    ):
        answer = client.get(path)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    (both / "worse" / stored.FILE).write_bytes(b"damaged")
    for path in ("/api/runs/worse", f"{ask}&run=worse"):
        answer = client.get(path)
        assert answer.status_code == 400 and "is damaged" in answer.json()["detail"] and str(both) not in answer.text


@pytest.fixture
def both(runs: Path) -> Path:
    """The labelled run, and one of a worse model over the same pictures."""
    first = stored.load(runs / "labelled")
    pictures = [replace(one, found=one.found[:1]) for one in first.pictures]
    facts = EvaluationFacts("demo-l", "", "detect", first.classes, first.threshold)
    (runs / "worse").mkdir()
    stored.write(runs / "worse" / stored.FILE, [[stored.to_row(one) for one in pictures]], facts)
    (runs / "plain").rmdir()
    return runs


def test_a_scorecard_is_the_one_that_the_library_gives(client: TestClient, both: Path) -> None:
    rows, left = score_runs([both / "labelled", both / "worse"])
    told = compare(rows, tolerance=0.03).to_json(left)
    answer = client.get("/api/scorecard?run=labelled&run=worse&tolerance=3").json()
    models = [{name: one[name] for name in row} for one, row in zip(answer["models"], told["models"], strict=True)]
    assert answer | {"models": models} == told
    assert [row["run"] for row in models] == ["labelled", "worse"] and answer["against"] == "demo-s"


@pytest.mark.parametrize("path", ["/api/scorecard?run=labelled&run=worse", "/api/runs/labelled/errors"])
def test_tables_come_as_csv(client: TestClient, both: Path, path: str) -> None:
    import pandas as pd

    csv = client.get(f"{path}{'&' if '?' in path else '?'}format=csv")
    accepted = client.get(path, headers={"Accept": "text/csv"})
    assert csv.headers["content-type"].startswith("text/csv") and csv.headers["vary"] == "Accept"
    assert accepted.text == csv.text
    assert pd.read_csv(io.StringIO(csv.text))["picture"].tolist() == ["a.jpg", "a.jpg", "b.jpg"]
