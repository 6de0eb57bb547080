"""A server's settings at its start, and its health: alive is whoever answers, ready is who can work."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from sightglass.api import serving
from sightglass.api.app import create
from sightglass.common import settings as environment_settings
from sightglass.common.errors import SettingProblem
from sightglass.common.work import progress as process
from sightglass.models.catalog import available, catalog
from tests.servers import settings_of, until
from tests.unit.api.test_errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.setattr(process, "_STOPPING", threading.Event())
    with TestClient(create()) as made:
        yield made


def _ready(client: TestClient) -> Any:
    return client.get("/api/health/ready")


def test_ready_is_who_has_its_model_and_its_history(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert client.get("/api/health/alive").json() == client.get("/api/health").json()
    assert _ready(client).json() == {"status": "ready"}
    lacking = next(spec.id for spec in catalog().values() if not available(spec))
    with settings_of(api_model=lacking):
        answer = _ready(client)
    assert "not on this machine" in told(answer, 503, "unready") and answer.headers["retry-after"] == "2"
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "file/history"))
    assert "cannot be written" in told(_ready(client), 503, "unready")


def test_while_it_stops_it_is_alive_but_takes_no_work(client: TestClient) -> None:
    process._STOPPING.set()
    assert client.get("/api/health/alive").status_code == 200
    assert "stopping" in told(_ready(client), 503, "unready")
    refused = client.post("/api/explain", json={"image": ""})
    assert "stopping" in told(refused, 503, "busy")
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_closes_once_its_requests_are_answered(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = threading.Event()
    working.set()
    monkeypatch.setattr(serving, "Timer", lambda *_: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(process, "_STOPPING", threading.Event())
    monkeypatch.setattr(process, "_STOPS", [])
    monkeypatch.setattr(process, "_BUSY", [working.is_set])
    first, second = (uvicorn.Server(uvicorn.Config("none:none")) for _ in range(2))
    first.started = second.started = True
    before = signal.signal(number, first.handle_exit)
    try:
        serving.stop_gracefully()
        signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert process._STOPPING.wait(10) and not first.should_exit
    working.clear()
    until(lambda: first.should_exit)
    # A second signal does not wait.
    serving._handle_signal(second, 15, None)
    assert second.should_exit


def test_all_are_named_at_once_and_so_is_a_model_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "nothing")
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_API_MODEL: There is no model 'nothing'"):
        serving.prepare()
    monkeypatch.setenv("SIGHTGLASS_MEMORY_MB", "abc")
    monkeypatch.setenv("SIGHTGLASS_API_MB", "abc")
    with pytest.raises(SettingProblem, match=r"MEMORY_MB is 'abc': give .*\. SIGHTGLASS_API_MB is 'abc'"):
        serving.prepare()


def test_what_a_cluster_says_of_a_service_called_sightglass_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGHTGLASS_SERVICE_HOST": "10.0.0.11",
        "SIGHTGLASS_PORT": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_PORT_8501_TCP": "tcp://10.0.0.11:8501",
    }.items():
        monkeypatch.setenv(name, value)
    environment_settings.check()
    monkeypatch.setenv("SIGHTGLASS_PORT", "8501")
    with pytest.raises(SettingProblem, match="There is no setting SIGHTGLASS_PORT:"):
        environment_settings.check()


def test_a_missing_folder_or_table_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.toml").write_text("x = [")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-cls-s")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "broken.toml"))
    serving.prepare()
    assert {record.getMessage() for record in caplog.records} == {
        f"SIGHTGLASS_WEIGHTS names {tmp_path}/nowhere, which is no folder here: correct it.",
        "broken.toml cannot be read (Invalid value (at end of document)).",
    }
