"""`seal` of a request, and `POST /api/prove`: what the library answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from sightglass.explain import Explainer
from sightglass.explain.recipe import Recipe
from sightglass.explain.trust.checks import QUESTIONS, Checks, forget
from tests.unit.api.conftest import send_form

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

MODEL = "demo-cls-s"


def test_the_seals_are_the_librarys(client: TestClient, scene: Path) -> None:
    forget()
    seals = send_form(client, "explain", scene, model=MODEL, top_k=2, seal="true").json()["seals"]
    forget()
    made = Explainer(MODEL)(scene, top_k=2)
    expected = [made.seal(index) for index in range(2)]
    assert seals == TypeAdapter(list[Checks]).dump_python(expected, mode="json", by_alias=True)
    assert [mark["question"] for mark in seals[0]["marks"]] == list(QUESTIONS)


def test_boxes_and_models_are_sealed(client: TestClient, scene: Path, sealed: list[str]) -> None:
    boxes = send_form(client, "detect", scene, model="demo-s", top_k=2, seal="true").json()
    assert [one["target"] for one in boxes["seals"]] == sealed and len(sealed) == len(boxes["heatmaps"]) == 2
    # The headline is made after the test, and no number is infinite in JSON.
    assert "This map shows the box, not what the model learnt." in boxes["headline"]
    assert [mark["value"] for mark in boxes["seals"][0]["marks"]] == [0.9, None, None]
    sealed.clear()
    compared = send_form(client, "compare", scene, models=[MODEL, "demo-cls-m"], seal="true").json()["models"]
    for one, label in zip(compared, sealed, strict=True):
        # Only the first map of each is compared.
        assert one["seals"][0]["target"] == label == one["heatmaps"][0]["label"]
        assert one["seals"][1:] == [None] * (len(one["heatmaps"]) - 1)
    files, fields = {"image": scene.read_bytes()}, {"seal": "true", "model": MODEL}
    answer = client.post("/api/explain?format=png", files=files, data=fields)
    assert answer.status_code == 400 and "leave seal out" in answer.json()["detail"]


def test_the_curves_of_a_proof_are_the_librarys(client: TestClient, bus: Path) -> None:
    made = Explainer(MODEL)(bus, targets=("star",)).prove(steps=3, fillings=("mean",)).summary()
    fields: dict[str, Any] = {"model": MODEL, "targets": ["star"], "steps": 3, "fillings": ["mean"]}
    found = send_form(client, "prove", bus, **fields).json()
    assert made.items() <= found.items()
    recipe = Recipe.model_validate(found["recipe"] | {"examples": ()}, strict=False)
    assert recipe.prove is not None and recipe.prove.steps == 3
