"""`seal` of a request, and `POST /api/prove`: what the library answers, and a stop when the client leaves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.api import service
from sightglass.api.endpoints.explain import prove_map
from sightglass.api.schemas import ApiRules, CompareRequest, ExplainRequest, ProveRequest
from sightglass.common.errors import Cancelled
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import seal
from sightglass.explain.proof.measures import without_hidden
from sightglass.explain.proof.seal import QUESTIONS, Seal, SealMark, forget
from sightglass.explain.recipe import Recipe
from sightglass.models.adapters.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

MODEL = "demo-cls-s"


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the maps that are sealed, of which none takes a pass."""
    labels: list[str] = []

    def mark(explanation: Any, index: int = 0, **_: Any) -> Seal:
        label = explanation.heatmaps[index].target.label
        labels.append(label)
        model = SealMark("model", "no", "It shows the box.", 0.9, 0.2, "the box")
        others = SealMark("answer", "yes", "It matters.", float("inf"), 1.0), SealMark("still", "cannot be told", "No.")
        made = Seal(label, (model, *others))
        seal.remember(explanation.seal_key(index), made)
        return made

    monkeypatch.setattr(seal, "seal", mark)
    return labels


def ask(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """Send a form; return the answer."""
    answer = client.post(f"/api/{route}", files={"image": (path.name, path.read_bytes())}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_seals_are_the_librarys(client: TestClient, scene: Path) -> None:
    seals = ask(client, "explain", scene, model=MODEL, top_k=2, maps="none", seal="true")["seals"]
    forget()
    made = Explainer(MODEL)(scene, top_k=2)
    assert seals == [made.seal(index).summary() for index in range(2)]
    assert [mark["question"] for mark in seals[0]["marks"]] == list(QUESTIONS)


def test_boxes_classes_and_models_are_sealed(client: TestClient, scene: Path, sealed: list[str]) -> None:
    boxes = ask(client, "detect", scene, model="demo-s", top_k=2, seal="true")
    assert [one["target"] for one in boxes["seals"]] == sealed and len(sealed) == len(boxes["heatmaps"]) == 2
    # The headline is made after the test.
    assert "This map shows the box, not what the model learnt." in boxes["headline"]
    # No number is infinite in JSON.
    assert [mark["value"] for mark in boxes["seals"][0]["marks"]] == [0.9, None, None]
    sealed.clear()
    classes = ask(client, "explain/class", scene, model=MODEL, classes=[1, 2], seal="true")["classes"]
    assert [one["seal"]["target"] for one in classes] == sealed == [one["label"] for one in classes]
    plain = ask(client, "explain/class", scene, model=MODEL, classes=[1, 2])["classes"]
    assert [one["seal"] for one in plain] == [None, None]
    sealed.clear()
    compared = ask(client, "compare", scene, models=[MODEL, "demo-cls-m"], seal="true")["models"]
    assert len(sealed) == 2
    for one, label in zip(compared, sealed, strict=True):
        assert one["seals"][0]["target"] == label == one["heatmaps"][0]["label"]
        # Only the first map of each is compared.
        assert one["seals"][1:] == [None] * (len(one["heatmaps"]) - 1)
    assert [one["seals"] for one in ask(client, "compare", scene, models=[MODEL])["models"]] == [None] * 3


def test_a_map_alone_has_no_place_for_it(client: TestClient, scene: Path) -> None:
    for kind in ("image/png", "application/x-npy"):
        fields = {"seal": "true", "model": MODEL}
        files = {"image": scene.read_bytes()}
        answer = client.post("/api/explain", files=files, data=fields, headers={"Accept": kind})
        assert answer.status_code == 400 and "leave seal out" in answer.json()["detail"]


def test_the_curves_of_a_proof_are_the_librarys(client: TestClient, bus: Path) -> None:
    made = Explainer()(bus, targets=("trolleybus",)).prove(steps=3, fillings=("mean",)).summary()
    fields: dict[str, Any] = {"targets": ["trolleybus"], "steps": 3, "fillings": ["mean"]}
    found = ask(client, "prove", bus, **fields)
    expected = without_hidden(made)
    assert "runner-up" in found["left_out"] and {name: found[name] for name in expected} == expected
    assert "runner-up" not in found["differences"] and "random" in found["differences"]
    every = ask(client, "prove", bus, **fields, all_measures="true")
    assert {name: every[name] for name in made} == made and every["left_out"] == []
    assert every["curves"] == found["curves"]
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
    assert sentence in answer.json()["detail"] and answer.json()["detail"].endswith((".", "?"))


@pytest.mark.parametrize("route", ["explain", "compare", "prove"])
def test_it_stops_within_a_batch(scene: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    cancel, passes, rules = threading.Event(), [], ApiRules()
    run, asked = Classifier.run, {"image": scene.read_bytes()}

    def counted(self: Any, tensor: Any) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    def prove() -> None:
        Explainer(MODEL)(scene, top_k=1)  # not counted
        monkeypatch.setattr(Classifier, "run", counted)
        prove_map(ProveRequest(**asked, model=MODEL), rules, cancel)

    def answer() -> None:
        if route == "compare":
            request: Any = CompareRequest(**asked, models=(MODEL, "demo-cls-m"), maps="none", seal=True)
            made: Any = service.compare(request, rules)
        else:
            request = ExplainRequest(**asked, model=MODEL, maps="none", top_k=1, seal=True)
            made = service.explain(request, rules)
        monkeypatch.setattr(Classifier, "run", counted)
        (service.comparison_answer if route == "compare" else service.full_answer)(made, request, rules, cancel)

    with pytest.raises(Cancelled):
        prove() if route == "prove" else answer()
    assert len(passes) == 3
