"""/api/runs: which runs have labels, and how right each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.batch import summary
from sightglass.evaluation import stored
from sightglass.evaluation.ground_truth import TrueBox
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
    return TestClient(create())


def test_runs_with_labels_are_listed_and_each_says_how_right_it_is(client: TestClient, runs: Path) -> None:
    assert [one["id"] for one in client.get("/api/runs").json()["runs"]] == ["labelled"]
    answer = client.get("/api/runs/labelled").json()
    assert answer == {"id": "labelled", **summary.load(runs / "labelled").to_json(), "unknown": ["owl"]}
    assert (answer["objects"], answer["right"], answer["errors"]["missed"]) == (3, 2, 1)


def test_what_there_is_not_is_one_sentence(client: TestClient, runs: Path) -> None:
    for name in ("plain", "nothing", "..", "%2e%2e%2flabelled"):
        assert client.get(f"/api/runs/{name}").status_code == 404
    for path, status, words in (
        ("/api/runs/plain", 404, "GET /api/runs lists yours"),
        ("/api/runs?page=1", 422, "page"),
        ("/api/scorecard?run=labelled", 410, "the page Pictures"),
    ):
        answer = client.get(path)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    (runs / "labelled" / stored.FILE).write_bytes(b"damaged")
    answer = client.get("/api/runs/labelled")
    assert answer.status_code == 400 and "is damaged" in answer.json()["detail"] and str(runs) not in answer.text
