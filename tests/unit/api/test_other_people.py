"""Every route of the API as another person: what somebody left is in no answer, and their ids are unknown."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api import routes
from sightglass.api.app import create
from sightglass.api.endpoints import live
from sightglass.api.schemas import ApiRules
from sightglass.common import users
from sightglass.common.access import people, policy, rates
from sightglass.common.settings import settings
from sightglass.evaluation import stored
from sightglass.evaluation.evaluation import EvaluatedPicture
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.models import catalog
from sightglass.models.adapter import Prediction
from tests.unit.test_whose import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from httpx import Response

    from sightglass.api.app import Api
    from sightglass.common.users import Role

ANNAS, NEVER = "zqxw-model", "zqxv-model"
"""A model of Anna's own, and one that never was."""
ROLES: dict[str, Role] = {"anna": "user", "ben": "admin", "cleo": "viewer"}


def picture() -> str:
    out = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(24).integers(0, 256, (40, 60, 3), np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


Ask = tuple[str, str, dict[str, Any] | None]
"""A method, a path, and the body."""


def asked(path: str, **fields: Any) -> Callable[[str], list[Ask]]:
    return lambda model: [("POST", path, {"image": picture(), "model": model} | fields)]


def nothing_of(*paths: str) -> Callable[[str], list[Ask]]:
    """Routes that take no id: they are asked as they are, and with the id where they might look at it."""
    return lambda model: [("GET", path, None) for path in paths]


TRIES: dict[str, Callable[[str], list[Ask]]] = {
    "/api/explain": asked("/api/explain"),
    "/api/explain/class": asked("/api/explain/class", classes=[0]),
    "/api/detect": asked("/api/detect"),
    "/api/prove": asked("/api/prove"),
    "/api/similarity": asked("/api/similarity", other=picture()),
    "/api/compare": lambda model: [
        ("POST", "/api/compare", {"image": picture(), "models": models})
        for models in ([model], [model, "demo-cls-m"], ["demo-cls-m", model])
    ],
    "/predict_with_gradcam": asked("/predict_with_gradcam"),
    "/analyze_class": asked("/analyze_class", class_index=0),
    "/api/layers/{model:path}": lambda model: [
        ("GET", f"/api/layers/{model}", None),
        ("GET", f"/api/layers/{model}?every=true", None),
    ],
    "/api/runs": nothing_of("/api/runs"),
    "/api/runs/{run}": lambda model: [("GET", f"/api/runs/{model}", None)],
    "/api/runs/{run}/errors": lambda model: [("GET", f"/api/runs/{model}/errors", None)],
    "/api/scorecard": lambda model: [
        ("GET", f"/api/scorecard?run={model}", None),
        ("GET", f"/api/scorecard?run={model}&run=another", None),
    ],
    "/api/models": nothing_of("/api/models", "/api/models?here=true", "/api/models?task=classify"),
    "/api/problems/{kind}": lambda model: [("GET", f"/api/problems/{model}", None)],
    "/api/docs/{name}": lambda model: [("GET", f"/api/docs/{model}", None)],
    "/api/live": nothing_of(),
    **{
        path: nothing_of(path)
        for path in (
            *("/api/health", "/api/health/alive", "/api/health/ready", "/api/metrics", "/api/problems"),
            *("/api/docs", "/api/openapi.json", "/api/docs/openapi.json"),
        )
    },
}
"""What is asked of each route, given the id of a model. The socket has a test of its own."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    base = tmp_path_factory.mktemp("server")
    (base / "models.toml").touch()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (
            ("ACCESS", "password"),
            ("PEOPLE", base / "people.db"),
            ("BATCHES", base / "batches"),
        ):
            patched.setenv(f"SIGHTGLASS_{name}", str(value))
        patched.setenv("SIGHTGLASS_MODELS", str(base / "models.toml"))
        patched.setattr(rates, "of_person", lambda name: 0)
        policy.install(policy.of("0.0.0.0"))
        try:
            for id_, role in ROLES.items():
                people.add(id_, role)
            yield create(ApiRules())
        finally:
            policy.install(policy.Policy())


@pytest.fixture(scope="module")
def clients(app: Api) -> dict[str, TestClient]:
    def client(id_: str) -> TestClient:
        headers = {"Authorization": f"Bearer {people.issue_token(id_, 'test')}"}
        return TestClient(app, base_url="http://localhost", headers=headers)

    return {id_: client(id_) for id_ in ROLES}


@pytest.fixture(scope="module", autouse=True)
def left(clients: dict[str, TestClient]) -> None:
    """What Anna leaves: a model of her own, loaded, counted, and a labelled run."""
    with users.acting(policy_user("anna")):
        (*_, table) = catalog._tables()
        run = users.folder(settings().batches) / ANNAS
    run.mkdir(parents=True)
    seen = EvaluatedPicture("zqxw.jpg", (9, 9), (), "zqxw cat", (Prediction("zqxw cat", 0, 0.9),))
    stored.write(
        run / stored.FILE, [[stored.to_row(seen)]], EvaluationFacts(ANNAS, "", "classify", ("zqxw cat",), 0.25)
    )
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(OWN.format(id=ANNAS), "utf-8")
    fields = {"image": picture(), "model": ANNAS, "name": "zqxw cat.png", "top_k": 1}
    answer = clients["anna"].post("/api/explain", json=fields)
    assert answer.status_code == 200, answer.text


def policy_user(id_: str) -> users.User:
    found = people.find(id_)
    assert found is not None
    return found.user


def sent(client: TestClient, ask: Ask) -> Response:
    method, path, body = ask
    return client.request(method, path, json=body)


def paths(found: Iterable[Any]) -> set[str]:
    """The paths of all routes, of routers in routers too."""
    every: set[str] = set()
    for route in found:
        router = getattr(route, "original_router", None)
        every |= paths(router.routes) if router is not None else {route.path}
    return every


def test_every_route_is_tried(app: Api) -> None:
    """Whoever adds a route says here what of somebody's might be asked of it."""
    assert paths(app.routes) == set(TRIES)
    # The documentation, where it was built, is the same for everybody.
    documents = {"/docs", "/docs/{path:path}"}
    assert {route.path for route in routes()} - documents == {"/api", "/predict_with_gradcam", "/analyze_class"}


def test_whoever_left_it_finds_it(clients: dict[str, TestClient]) -> None:
    anna = clients["anna"]
    assert ANNAS in anna.get("/api/models").text
    assert [one["id"] for one in anna.get("/api/runs").json()["runs"]] == [ANNAS]
    assert anna.get(f"/api/runs/{ANNAS}").json()["model"] == ANNAS
    assert anna.get(f"/api/runs/{ANNAS}/errors").json()["id"] == ANNAS
    assert anna.get(f"/api/scorecard?run={ANNAS}").json()["models"][0]["run"] == ANNAS
    for path in ("/api/layers/{model:path}", "/api/explain", "/api/explain/class", "/predict_with_gradcam"):
        assert all(sent(anna, ask).status_code == 200 for ask in TRIES[path](ANNAS)), path


@pytest.mark.parametrize("who", ["ben", "cleo"])
@pytest.mark.parametrize("path", sorted(TRIES))
def test_nobody_else_finds_it_and_its_id_is_as_unknown_as_any(
    clients: dict[str, TestClient], path: str, who: str
) -> None:
    for annas, never in zip(TRIES[path](ANNAS), TRIES[path](NEVER), strict=True):
        first, second = sent(clients[who], annas), sent(clients[who], never)
        # An answer may repeat what was asked for.
        told = first.text if annas == never else first.text.replace(ANNAS, "…")
        assert "zqxw" not in told
        if path not in ("/api/metrics", "/api/health", "/api/health/alive", "/api/health/ready"):
            assert (first.status_code, told) == (second.status_code, second.text.replace(NEVER, "…"))
        if annas[0] == "POST":
            assert first.status_code == 404


@pytest.mark.parametrize("who", list(ROLES))
def test_the_socket_knows_only_ones_own_models(clients: dict[str, TestClient], who: str) -> None:
    said = []
    for model in (ANNAS, NEVER):
        with clients[who].websocket_connect("/api/live", subprotocols=[live.PROTOCOL]) as socket:
            socket.send_json({"type": "choose", "model": model})
            said.append({name: str(value).replace(model, "…") for name, value in socket.receive_json().items()})
    assert [one["type"] for one in said] == ["ready" if who == "anna" else "problem", "problem"]
    assert who == "anna" or said[0] == said[1]
