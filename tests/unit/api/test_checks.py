"""`seal` of a request, and `POST /api/prove`: what the library answers, and a stop when the client leaves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from sightglass.api import service
from sightglass.api.schemas import ExplainRequest, ProveRequest
from sightglass.common.errors import Cancelled
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer
from sightglass.explain.recipe import Recipe
from sightglass.explain.trust.checks import CACHE, QUESTIONS, Checks
from sightglass.models.adapters.classifier import Classifier
from sightglass.report import proof_files

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

MODEL = "demo-cls-s"


def ask(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """Send a form; return the answer."""
    answer = client.post(f"/api/{route}", files={"image": (path.name, path.read_bytes())}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_seals_are_the_librarys(client: TestClient, scene: Path) -> None:
    CACHE.clear()
    seals = ask(client, "explain", scene, model=MODEL, top_k=2, seal="true")["seals"]
    CACHE.clear()
    made = Explainer(MODEL)(scene, top_k=2)
    expected = [made.seal(index) for index in range(2)]
    assert seals == TypeAdapter(list[Checks]).dump_python(expected, mode="json", by_alias=True)
    assert [mark["question"] for mark in seals[0]["marks"]] == list(QUESTIONS)


def test_boxes_and_models_are_sealed(client: TestClient, scene: Path, sealed: list[str]) -> None:
    boxes = ask(client, "detect", scene, model="demo-s", top_k=2, seal="true")
    assert [one["target"] for one in boxes["seals"]] == sealed and len(sealed) == len(boxes["heatmaps"]) == 2
    # The headline is made after the test, and no number is infinite in JSON.
    assert "This map shows the box, not what the model learnt." in boxes["headline"]
    assert [mark["value"] for mark in boxes["seals"][0]["marks"]] == [0.9, None, None]
    sealed.clear()
    compared = ask(client, "compare", scene, models=[MODEL, "demo-cls-m"], seal="true")["models"]
    for one, label in zip(compared, sealed, strict=True):
        # Only the first map of each is compared.
        assert one["seals"][0]["target"] == label == one["heatmaps"][0]["label"]
        assert one["seals"][1:] == [None] * (len(one["heatmaps"]) - 1)
    files, fields = {"image": scene.read_bytes()}, {"seal": "true", "model": MODEL}
    answer = client.post("/api/explain?format=png", files=files, data=fields)
    assert answer.status_code == 400 and "leave seal out" in answer.json()["detail"]


def test_the_curves_of_a_proof_are_the_librarys(client: TestClient, bus: Path) -> None:
    explained = Explainer(MODEL)(bus, targets=("star",))
    made = proof_files.summary(explained, 0, explained.prove(steps=3, fillings=("mean",)))
    fields: dict[str, Any] = {"model": MODEL, "targets": ["star"], "steps": 3, "fillings": ["mean"]}
    found = ask(client, "prove", bus, **fields)
    assert {name: made[name] for name in made.keys() - {"picture", "recipe"}}.items() <= found.items()
    recipe = Recipe.model_validate(found["recipe"] | {"examples": ()}, strict=False)
    assert recipe.prove is not None and recipe.prove.steps == 3


@pytest.mark.parametrize("route", ["explain", "prove"])
def test_it_stops_within_a_batch(scene: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    cancel, passes, run = threading.Event(), [], Classifier.run

    def counted(self: Any, tensor: Any) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    Explainer(MODEL)(scene, top_k=1)
    request = ExplainRequest(image=scene.read_bytes(), model=MODEL, top_k=1, seal=True)
    service.explain(request)
    monkeypatch.setattr(Classifier, "run", counted)
    with pytest.raises(Cancelled), stopped_by(cancel):
        if route == "prove":
            service.prove_map(ProveRequest(image=scene.read_bytes(), model=MODEL), "json")
        else:
            service.answer_explanation(request, "json")
    assert len(passes) == 3
