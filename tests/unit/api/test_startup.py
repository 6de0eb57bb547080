"""A server that is set wrongly does not start; one that runs does not wait forever for headers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from uvicorn.server import ServerState

from sightglass.api.server import startup, uvicorn_internals
from sightglass.api.server.uvicorn_internals import HeaderDeadline
from sightglass.common import environment
from sightglass.common.environment import variable
from sightglass.common.errors import SettingProblem
from tests import loops
from tests.unit.common.test_settings import MALFORMED
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[3]
WHOLE = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def uvicorn_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_internals.auto, "AutoHTTPProtocol", uvicorn_internals.auto.AutoHTTPProtocol)
    monkeypatch.setattr(uvicorn.Server, "handle_exit", uvicorn.Server.handle_exit)


@pytest.mark.parametrize(("field", "text"), [(field, texts[0]) for field, texts in MALFORMED.items()])
def test_a_malformed_setting_is_found_before_the_start(field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(field), text)
    with pytest.raises(SettingProblem, match=rf"^{variable(field)} is '{text}': give [^:]+\.$"):
        startup.prepare()


def test_all_are_named_at_once_and_so_is_a_model_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "nothing")
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_API_MODEL: There is no model 'nothing'"):
        startup.prepare()
    monkeypatch.setenv("SIGHTGLASS_MODELS_MB", "abc")
    monkeypatch.setenv("SIGHTGLASS_API_MB", "abc")
    with pytest.raises(SettingProblem, match=r"MODELS_MB is 'abc': give .*\. SIGHTGLASS_API_MB is 'abc'"):
        startup.prepare()


def test_a_mistyped_variable_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_TOKKEN", "secret")
    with pytest.raises(
        SettingProblem, match=r"^There is no setting SIGHTGLASS_TOKKEN: did you mean SIGHTGLASS_TOKEN\?$"
    ):
        startup.prepare()


def test_what_a_cluster_says_of_a_service_called_sightglass_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGHTGLASS_SERVICE_HOST": "10.0.0.11",
        "SIGHTGLASS_SERVICE_PORT_HTTP": "8501",
        "SIGHTGLASS_PORT": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_PORT_8501_TCP": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_API_PORT_8502_TCP_ADDR": "10.0.0.12",
    }.items():
        monkeypatch.setenv(name, value)
    environment.check()
    monkeypatch.setenv("SIGHTGLASS_PORT", "8501")
    with pytest.raises(SettingProblem, match="There is no setting SIGHTGLASS_PORT:"):
        environment.check()


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("weights", "{0}/nowhere", "SIGHTGLASS_WEIGHTS names {0}/nowhere, which is no folder here: correct it."),
        ("models", "{0}/nowhere.toml", "nowhere.toml cannot be read (No such file or directory): check {0} for it."),
        ("models", "{0}/broken.toml", "broken.toml cannot be read (Invalid value (at end of document))."),
    ],
)
def test_a_missing_folder_or_table_is_a_warning(
    field: str,
    text: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "broken.toml").write_text("x = [")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-cls-s")
    monkeypatch.setenv(variable(field), text.format(tmp_path))
    startup.prepare()
    assert [record.getMessage() for record in caplog.records] == [said.format(tmp_path)]


STREAMLIT = ("streamlit", "run", "dashboard.py", "--server.headless=true", "--server.port=0")


@pytest.mark.parametrize("command", [STREAMLIT, ("explain", "serve", "--port=0")], ids=["dashboard", "API alone"])
@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("SIGHTGLASS_MODELS_MB", "SIGHTGLASS_MODELS_MB is '1 GB': give a number of MiB, such as 2048."),
        ("SIGHTGLASS_WIEGHTS", "There is no setting SIGHTGLASS_WIEGHTS: did you mean SIGHTGLASS_WEIGHTS?"),
    ],
)
def test_both_servers_refuse_to_start(command: tuple[str, ...], variable: str, sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {variable: "1 GB"},
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert done.returncode
    assert f"{sentence}\n" in done.stderr
    assert "Traceback" not in done.stderr


def served(visit: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    """Serve an application that answers /slow late, and visit it."""

    async def app(scope: dict[str, object], receive: object, send: Callable[..., Awaitable[None]]) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * uvicorn_internals.HEADER_SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def run() -> None:
        config = uvicorn.Config(app, log_level="critical", ws="none")  # type: ignore[arg-type]
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: HeaderDeadline(config, state, {}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(10):
            await visit(reader, writer)
        writer.close()
        server.close()

    loops.run(run())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_internals, "HEADER_SECONDS", 0.1)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_headers_that_never_end_end_the_connection(sent: bytes, impatient: None) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await reader.read() == b""

    served(visit)


def test_a_further_request_has_the_same_deadline_and_a_slow_answer_none(impatient: None) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE % b"slow")
        assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HT")
        assert await reader.read() == b""

    served(visit)
