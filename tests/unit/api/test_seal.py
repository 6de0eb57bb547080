"""`seal` of a request: the library's seals in the answer, and a stop when the client leaves."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from sightglass.api import service
from sightglass.api.app import create
from sightglass.api.schemas import ApiRules, CompareRequest, ExplainRequest
from sightglass.common.errors import Cancelled
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import seal
from sightglass.explain.proof.seal import QUESTIONS, Seal, SealMark, forget
from sightglass.models.adapters.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create(ApiRules())) as made:
        yield made


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
    """Send JSON; return the answer."""
    body = {"image": base64.b64encode(path.read_bytes()).decode(), "maps": "none", **fields}
    answer = client.post(f"/api/{route}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_seals_are_the_librarys_by_json_and_by_form(client: TestClient, scene: Path) -> None:
    fields = {"model": "demo-cls-s", "top_k": 2}
    found = ask(client, "explain", scene, seal=True, **fields)
    form = client.post(
        "/api/explain", files={"image": scene.read_bytes()}, data=fields | {"seal": "true", "maps": "none"}
    ).json()
    forget()
    made = Explainer("demo-cls-s")(scene, top_k=2)
    assert found["seals"] == form["seals"] == [made.seal(index).summary() for index in range(2)]
    assert [mark["question"] for mark in found["seals"][0]["marks"]] == list(QUESTIONS)


def test_boxes_classes_and_models_are_sealed(client: TestClient, scene: Path, sealed: list[str]) -> None:
    boxes = ask(client, "detect", scene, model="demo-s", top_k=2, seal=True)
    assert [one["target"] for one in boxes["seals"]] == sealed and len(sealed) == len(boxes["heatmaps"]) == 2
    # The headline is made after the test.
    assert "This map shows the box, not what the model learnt." in boxes["headline"]
    # No number is infinite in JSON.
    assert [mark["value"] for mark in boxes["seals"][0]["marks"]] == [0.9, None, None]
    sealed.clear()
    classes = ask(client, "explain/class", scene, model="demo-cls-s", classes=[1, 2], seal=True)["classes"]
    assert [one["seal"]["target"] for one in classes] == sealed == [one["label"] for one in classes]
    plain = ask(client, "explain/class", scene, model="demo-cls-s", classes=[1, 2])["classes"]
    assert [one["seal"] for one in plain] == [None, None]
    sealed.clear()
    compared = ask(client, "compare", scene, models=["demo-cls-s", "demo-cls-m"], seal=True)["models"]
    assert len(sealed) == 2
    for one, label in zip(compared, sealed, strict=True):
        assert one["seals"][0]["target"] == label == one["heatmaps"][0]["label"]
        # Only the first map of each is compared.
        assert one["seals"][1:] == [None] * (len(one["heatmaps"]) - 1)
    assert [one["seals"] for one in ask(client, "compare", scene, models=["demo-cls-s"])["models"]] == [None] * 3


def test_a_map_alone_has_no_place_for_it(client: TestClient, scene: Path) -> None:
    for kind in ("image/png", "application/x-npy"):
        answer = client.post(
            "/api/explain",
            files={"image": scene.read_bytes()},
            data={"seal": "true", "model": "demo-cls-s"},
            headers={"Accept": kind},
        )
        assert answer.status_code == 400 and "leave seal out" in answer.json()["detail"]


@pytest.mark.parametrize("compares", [False, True])
def test_it_stops_within_a_batch(scene: Path, monkeypatch: pytest.MonkeyPatch, compares: bool) -> None:
    cancel, passes = threading.Event(), []
    run = Classifier.run
    data, rules = scene.read_bytes(), ApiRules()
    if compares:
        request: Any = CompareRequest(image=data, models=("demo-cls-s", "demo-cls-m"), maps="none", seal=True)
        made: Any = service.compare(request, rules)
    else:
        request = ExplainRequest(image=data, model="demo-cls-s", maps="none", top_k=1, seal=True)
        made = service.explain(request, rules)

    def counted(self: Any, tensor: Any) -> Any:
        passes.append(len(tensor))
        if len(passes) == 3:
            cancel.set()
        return run(self, tensor)

    monkeypatch.setattr(Classifier, "run", counted)
    answer = service.comparison_answer if compares else service.full_answer
    with pytest.raises(Cancelled):
        answer(made, request, rules, cancel)
    assert len(passes) == 3
