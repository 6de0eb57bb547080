"""`POST /api/prove` answers what the library answers, and stops when the client leaves."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.prove import prove_map
from sightglass.api.schemas import ApiRules, ProveRequest
from sightglass.common.errors import Cancelled
from sightglass.explain import Explainer
from sightglass.explain.proof.measures import without_hidden
from sightglass.explain.recipe import Recipe
from sightglass.models.adapters.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create(ApiRules())) as made:
        yield made


def test_its_curves_are_the_librarys_by_json_and_by_form(client: TestClient, bus: Path) -> None:
    made = Explainer()(bus, targets=("trolleybus",)).prove(steps=3, fillings=("mean",)).summary()
    fields: dict[str, Any] = {"targets": ["trolleybus"], "steps": 3, "fillings": ["mean"]}
    body = {"image": base64.b64encode(bus.read_bytes()).decode(), "name": bus.name, **fields}
    answer = client.post("/api/prove", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    expected = without_hidden(made)
    assert "runner-up" in found["left_out"] and {name: found[name] for name in expected} == expected
    assert "runner-up" not in found["differences"] and "random" in found["differences"]
    form = client.post(
        "/api/prove", files={"image": (bus.name, bus.read_bytes())}, data=fields | {"all_measures": "true"}
    ).json()
    assert {name: form[name] for name in made} == made and form["left_out"] == []
    assert form["curves"] == found["curves"]
    recipe = Recipe.model_validate(found["recipe"] | {"examples": ()}, strict=False)
    assert recipe.prove is not None and recipe.prove.steps == 3


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"targets": ["minibus", "goldfish"]}, 422, "targets"),
        ({"steps": 1}, 422, "steps"),
        ({"fillings": ["grey"]}, 422, "fillings"),
        ({"confidence": 0.5}, 400, "draws no boxes"),
        ({"model": "no-such-model"}, 404, "no-such-model"),
    ],
)
def test_what_cannot_be_proved_is_one_sentence(
    fields: dict[str, Any], status: int, sentence: str, client: TestClient, bus: Path
) -> None:
    answer = client.post("/api/prove", files={"image": (bus.name, bus.read_bytes())}, data=fields)
    assert answer.status_code == status
    assert sentence.lower() in answer.json()["detail"].lower() and answer.json()["detail"].endswith((".", "?"))


def test_it_stops_within_a_batch(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cancel, passes = threading.Event(), []
    run = Classifier.run

    def counted(self: Any, tensor: Any) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    Explainer()(bus, top_k=1)  # not counted
    monkeypatch.setattr(Classifier, "run", counted)
    request = ProveRequest(image=bus.read_bytes())
    with pytest.raises(Cancelled):
        prove_map(request, ApiRules(), cancel)
    assert len(passes) == 3
