"""A server that is set wrongly does not start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn

from sightglass.api.server import startup
from sightglass.common import environment
from sightglass.common.environment import variable
from sightglass.common.errors import SettingProblem
from tests.waits import patience

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def uvicorn_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "handle_exit", uvicorn.Server.handle_exit)


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
    with pytest.raises(SettingProblem, match=r"^There is no setting SIGHTGLASS_TOKKEN: did you mean SIGHTGLASS_TOKEN"):
        startup.prepare()


def test_what_a_cluster_says_of_a_service_called_sightglass_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGHTGLASS_SERVICE_HOST": "10.0.0.11",
        "SIGHTGLASS_PORT": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_PORT_8501_TCP": "tcp://10.0.0.11:8501",
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
def test_both_servers_refuse_to_start(command: tuple[str, ...]) -> None:
    settings = {"SIGHTGLASS_MODELS_MB": "1 GB"}
    command_line, timeout = [sys.executable, "-m", *command], patience(60)
    done = subprocess.run(
        command_line, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode
    assert "SIGHTGLASS_MODELS_MB is '1 GB': give a number of MiB, such as 2048.\n" in done.stderr
    assert "Traceback" not in done.stderr
