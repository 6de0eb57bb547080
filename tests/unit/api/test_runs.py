"""/api/runs: which runs have labels, and how right each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.batch.labelled import summary
from sightglass.evaluation import stored
from sightglass.evaluation.evaluation import EvaluatedPicture, Missed
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.phrases import plain_text
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
        EvaluatedPicture("a.jpg", (200, 100), (CAT, DOG), None, found, missed={1: Missed("below", 0.2)}),
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
    assert (answer["objects"], answer["right"], answer["missed"]) == (3, 2, {"below": 1})
    words = "Lower the threshold to 20 % and 1 of 1 missed comes back, with 0 more false alarms."
    assert plain_text(answer["consequence"]) == words
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
