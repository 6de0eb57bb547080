"""/api/runs and /api/scorecard: which runs have labels, how right each is, where it goes wrong, which can ship."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.batch.labelled import summary
from sightglass.cli import main
from sightglass.evaluation import stored, tables
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.evaluation import EvaluatedPicture
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluationFacts
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
    found = summary.load(runs / "labelled")
    assert answer == {"id": "labelled", **found.to_json(), "unknown": ["owl"]}
    assert (answer["objects"], answer["right"]) == (3, 2)
    assert answer["errors"] == {"missed": 1, "class": 0, "misplaced": 0, "extra": 0}
    assert answer["by_size"]["large"] is None, "there is no such object"
    assert answer["scores"]["ap"]["value"] == pytest.approx(1)


def test_what_there_is_not_is_one_sentence(client: TestClient, runs: Path) -> None:
    for name in ("plain", "nothing", "..", "%2e%2e%2flabelled"):
        assert client.get(f"/api/runs/{name}").status_code == 404
    assert "GET /api/runs lists yours" in client.get("/api/runs/plain").json()["detail"]
    assert client.get("/api/runs?page=1").status_code == 422
    (runs / "labelled" / stored.FILE).write_bytes(b"damaged")
    answer = client.get("/api/runs/labelled")
    assert answer.status_code == 400 and "is damaged" in answer.json()["detail"]
    assert str(runs) not in answer.text


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


def test_a_scorecard_is_the_one_that_the_command_line_gives(
    client: TestClient, both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scorecard", str(both), "--tolerance", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    answer = client.get("/api/scorecard?run=labelled&run=worse&tolerance=3").json()
    models = [{name: one[name] for name in row} for one, row in zip(answer["models"], told["models"], strict=True)]
    assert answer | {"models": models} == told
    assert [row["run"] for row in models] == ["labelled", "worse"] and answer["against"] == "demo-s"
    assert answer["verdict"].startswith("demo-l ") and answer["tolerance"] == 0.03
    assert answer["pairs"][0]["model"] == "demo-l" and answer["pairs"][0]["beside"] == "demo-s"


@pytest.mark.parametrize("path", ["/api/scorecard?run=labelled&run=worse", "/api/runs/labelled/errors"])
def test_tables_come_as_csv_and_parquet(client: TestClient, both: Path, path: str) -> None:
    import pandas as pd

    csv = client.get(path, headers={"Accept": "text/csv"})
    parquet = client.get(path, headers={"Accept": "application/vnd.apache.parquet"})
    assert csv.headers["content-type"].startswith("text/csv") and csv.headers["vary"] == "Accept"
    first, second = pd.read_csv(io.StringIO(csv.text)), pd.read_parquet(io.BytesIO(parquet.content))
    assert first["picture"].tolist() == second["picture"].tolist() == ["a.jpg", "a.jpg", "b.jpg"]
    if "scorecard" in path:
        assert first["demo-l"].tolist() == second["demo-l"].tolist() == [True, False, True]
    else:
        assert list(first) == list(second) == [*tables.MEANINGS]
    refused = client.get(path, headers={"Accept": "image/png"})
    assert refused.status_code == 406 and "text/csv" in refused.json()["detail"]


def test_the_errors_of_a_run_are_what_its_page_says(client: TestClient, runs: Path) -> None:
    report = ErrorReport(stored.load(runs / "labelled"))
    answer = client.get("/api/runs/labelled/errors").json()
    assert (answer["headline"], answer["counts"]) == (report.headline, report.counts)
    assert {one["id"]: one["count"] for one in answer["types"]}["missed"] == 1
    assert answer["total"] == 1
    (error,) = answer["errors"]
    assert (error["picture"], error["label"], error["predicted"], error["type"]) == ("a.jpg", "dog", None, "missed")
    assert client.get("/api/runs/labelled/errors?limit=0").json()["errors"] == []


def test_runs_that_cannot_be_compared_are_one_sentence(client: TestClient, both: Path) -> None:
    ask = "/api/scorecard?run=labelled"
    for query, status, words in (
        ("&run=nobodys", 404, "GET /api/runs lists yours"),
        ("&run=..", 404, "GET /api/runs lists yours"),
        ("&run=labelled", 400, "Two of these have the same name"),
        ("&run=worse&against=demo-m", 400, "demo-m is none of the models of this scorecard"),
        ("&run=a" * 6, 422, "at most 6 items"),
        ("&tolerance=101", 422, "at most 100"),
        ("&tolerance=nan", 422, "'tolerance'"),
        ("&runs=worse", 422, "did you mean run?"),
    ):
        answer = client.get(ask + query)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert client.get("/api/scorecard").status_code == 422
    (both / "worse" / stored.FILE).write_bytes(b"damaged")
    answer = client.get(f"{ask}&run=worse")
    assert answer.status_code == 400 and "is damaged" in answer.json()["detail"] and str(both) not in answer.text
