"""What is whose: every store, cache and id is one person's, and nobody else reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.api import metrics
from sightglass.api.app import create
from sightglass.api.security import USER
from sightglass.batch.run_store import Source
from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.image import load_bundled, to_png
from sightglass.history import History
from sightglass.models import catalog
from sightglass.pages.pictures.job import folder_for
from sightglass.ui.session.pictures import image_source
from sightglass.video import plans

ANNA, BEN = "anna@example.org", "ben@example.org"
EVERYBODY = (users.LOCAL, ANNA, BEN)
OWN = """[model."{id}"]
loader = "demo"
arch = "demo-cls-s"
task = "classify"
method = "layercam"
channels_last = false
weights = {{ package = "sightglass.models.demo", file = "weights/demo-cls-s.safetensors" }}
"""
STORES = ("history", "heatmaps", "batches", "clips")


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in STORES:
        monkeypatch.setenv(f"SIGHTGLASS_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "tables" / "models.toml"))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "models.toml").write_text(OWN.format(id="everybodys"), "utf-8")
    return tmp_path


def add_model(of: str, id_: str, arch: str = "demo-cls-s") -> Path:
    with users.acting(of):
        _, path, _ = catalog._tables()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OWN.format(id=id_).replace("demo-cls-s", arch), "utf-8")
    return path


def each(ask: Callable[[], Any]) -> list[Any]:
    """What the local operator, Anna and Ben are told."""
    results = []
    for user in EVERYBODY:
        with users.acting(user):
            results.append(ask())
    return results


def said(ask: Callable[..., object], *given: object) -> str:
    with pytest.raises(Problem) as raised:
        ask(*given)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("history", lambda: History().folder),
        ("batches", lambda: folder_for(Source((), "", "/pictures"), "demo-s", {}).parent),
        ("clips", plans.base),
    ],
)
def test_stores_have_folder_per_person(stores, name, place):
    local, *signed_in = each(place)
    assert local == stores / name
    assert signed_in == [users.folder(stores / name, user) for user in (ANNA, BEN)]


def test_an_address_finds_an_upload_only_where_it_was_given(stores: Path) -> None:
    held, image = image_source.Uploads(), load_bundled("scene 3")
    key = image_source.token(image)
    with users.acting(ANNA):
        held.put(image)
    assert [value is not None for value in each(lambda: held.get(key))] == [False, True, False]
    with users.acting(BEN):
        held.drop(key)
    with users.acting(ANNA):
        assert held.get(key) is not None
        held.drop(key)
        assert held.get(key) is None


def test_a_mistake_in_ones_own_table_is_told_to_nobody_else(stores: Path) -> None:
    path = add_model(ANNA, "annas")
    path.write_text('[model."annas"]\nloader = "nothing"\n[model."other"]\n', "utf-8")
    assert [bool(found) for found in each(catalog.faults)] == [False, True, False]
    path.write_text("[", "utf-8")
    (stores / "tables" / "models.toml").write_text("]", "utf-8")
    local, annas, bens = each(lambda: catalog.faults()[""])
    assert local == bens and annas.startswith(local) and len(annas) > len(local)


def test_metrics_name_no_model_that_is_somebodys_own(stores: Path) -> None:
    add_model(ANNA, "annas")
    with users.acting(ANNA):
        metrics.count_explained(catalog.spec("annas"), "layercam")
    text = generate_latest(metrics.REGISTRY).decode()
    assert "annas" not in text
    assert 'sightglass_explanations_total{method="layercam",model="own model"}' in text


def test_api_hides_models_of_others(stores: Path) -> None:
    add_model(ANNA, "annas")
    png = to_png(load_bundled("scene 3").pixels)
    for user in EVERYBODY:
        client, answers = TestClient(as_visitor(create(), user), base_url="http://localhost"), {}
        for model in ("annas", "never"):
            sent: dict[str, Any] = {"data": {"model": model}, "files": {"image": ("a.png", png)}}
            with client.websocket_connect("ws://localhost/api/live") as socket:
                socket.send_json({"type": "choose", "model": model})
                ready = socket.receive_json()["type"] == "ready"
            assert ready == (model in client.get("/api/models").text) == (model == "annas" and user == ANNA)
            replies = [client.post(f"/api/{verb}", **sent) for verb in ("explain", "prove")]
            assert {reply.status_code for reply in replies} == {200 if ready else 404}
            answers[model] = [reply.text.replace(model, "…") for reply in replies]
        assert user == ANNA or answers["annas"] == answers["never"]


def as_visitor(app: ASGIApp, user: str) -> ASGIApp:
    """Return the application behind a middleware that admits everybody as one visitor."""

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        with users.acting(user):
            await app({**scope, USER: user}, receive, send)

    return admitted


@pytest.mark.usefixtures("stores")
def test_same_weights_by_own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.explain.explainer.EVIDENCE", ByteCache(2**28, lambda evidence: evidence.nbytes))
    explainers = {}
    for user, licence in ((ANNA, "Anna's own"), (BEN, "Ben's own")):
        with add_model(user, "mine").open("a", encoding="utf-8") as table:
            table.write(f'licence = "{licence}"\n')
        with users.acting(user):
            explainers[licence] = Explainer("mine")
    first, second = (explainer.loaded.adapter for explainer in explainers.values())
    assert first.weights_sha256 == second.weights_sha256
    for licence, explainer in [*explainers.items(), *explainers.items()]:
        result = explainer(load_bundled("bus"), top_k=1)
        assert result.evidence.loaded.adapter.spec.licence == licence


def test_own_models_are_private(stores: Path) -> None:
    add_model(ANNA, "annas")
    known = each(lambda: {"everybodys", "annas"} & catalog.catalog().keys())
    assert known == [{"everybodys"}, {"everybodys", "annas"}, {"everybodys"}]
    with users.acting(ANNA):
        spec = catalog.spec("annas")
    assert catalog.everybodys(catalog.spec("timm/resnet10t"))
    for user in (users.LOCAL, BEN):
        with users.acting(user):
            assert not catalog.everybodys(spec)
            assert said(catalog.spec, "annas").replace("annas", "anxxs") == said(catalog.spec, "anxxs")
    add_model(BEN, "annas", "demo-cls-m")
    local, annas, bens = each(lambda: catalog.catalog().get("annas"))
    assert (local, annas.arch, bens.arch) == (None, "demo-cls-s", "demo-cls-m")
