"""Alive is whoever answers; ready is who can work: not starting or stopping, with a model and a history."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from sightglass.api import server as routes
from sightglass.api import service, serving
from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.api.server import Readiness
from sightglass.common.errors import WeightsProblem
from sightglass.common.work import progress as process
from sightglass.explain import Explainer
from tests.servers import until
from tests.unit.api.test_errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.setattr(process, "_STOPPING", threading.Event())
    with TestClient(create(ApiRules())) as made:
        yield made


def _ready(client: TestClient) -> Any:
    return client.get("/api/health/ready")


def test_ready_is_false_until_the_model_has_made_a_map(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, proceed = [], threading.Event()

    def load(*_: object) -> Explainer:
        loaded.append(1)
        proceed.wait()
        return Explainer()

    monkeypatch.setattr(service, "load_explainer", load)
    assert client.get("/api/health/alive").json() == {"status": "alive"}
    assert client.get("/api/health").json()["status"] == "ok" and not loaded
    for _ in range(2):
        assert "starting" in told(_ready(client), 503, "unready")
    assert _ready(client).headers["retry-after"] == "2"
    proceed.set()
    until(lambda: _ready(client).status_code == 200, 60)
    assert len(loaded) == 1


def test_a_model_that_cannot_be_used_is_named_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [WeightsProblem("The weights are not here."), RuntimeError("a bug")]

    def load(*_: object) -> Explainer:
        raise failures.pop(0)

    monkeypatch.setattr(service, "load_explainer", load)
    made, said = Readiness(ApiRules()), list[str | None]()
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    monkeypatch.setattr(process, "_STOPPING", threading.Event())
    for _ in range(2):
        assert made.problem() is not None and made._thread is not None
        made._thread.join()
        # Not tried again at once.
        said.append(made.problem())
        made._failed_at -= routes.AGAIN + 1
    of_a_bug = "The default model cannot be used (RuntimeError): see the server's log."
    assert said == ["The weights are not here.", of_a_bug]


def test_a_history_that_cannot_be_used_is_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client.app.state.readiness.warmed()  # type: ignore[attr-defined]
    (tmp_path / "history").mkdir()
    (tmp_path / "history/history.db").write_bytes(b"no database" * 1000)
    assert "cannot be read" in told(_ready(client), 503, "unready")
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    assert _ready(client).status_code == 200
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    monkeypatch.setattr(routes, "FREE_MB", 2**40)
    assert "full" in told(_ready(client), 503, "unready")


def test_while_it_stops_it_is_alive_but_takes_no_work(client: TestClient) -> None:
    client.app.state.readiness.warmed()  # type: ignore[attr-defined]
    process._STOPPING.set()
    assert client.get("/api/health/alive").status_code == 200
    assert "stopping" in told(_ready(client), 503, "unready")
    refused = client.post("/api/explain", json={"image": ""})
    assert "stopping" in told(refused, 503, "busy")
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, [signal.SIGTERM]), (signal.SIGINT, [])])
def test_a_server_that_is_told_to_end_closes_once_its_requests_are_answered(
    number: int, raised: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def server() -> Any:
        config = SimpleNamespace(timeout_graceful_shutdown=None)
        return SimpleNamespace(started=True, should_exit=False, force_exit=False, config=config, _captured_signals=[])

    working = threading.Event()
    working.set()
    monkeypatch.setattr(serving, "_exit_after", lambda seconds: None)
    monkeypatch.setattr(process, "_STOPPING", threading.Event())
    monkeypatch.setattr(process, "_STOPS", [])
    monkeypatch.setattr(process, "_BUSY", [working.is_set])
    first, second = server(), server()
    serving.handle_exit(first, number, None)
    assert process._STOPPING.wait(10) and not first.should_exit
    working.clear()
    until(lambda: first.should_exit)
    assert first.config.timeout_graceful_shutdown == serving.ANSWER_SECONDS
    # What uvicorn raises again: Ctrl-C would then be an error. A second signal does not wait.
    assert first._captured_signals == raised
    serving.handle_exit(second, 15, None)
    assert second.should_exit
