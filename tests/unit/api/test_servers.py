"""A server as it is started: its settings, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.processes import free_port
from sightglass.api import serving
from sightglass.api.serving import EXIT_SECONDS
from sightglass.common import settings as environment_settings
from sightglass.common.errors import SettingProblem
from tests.servers import form, got, until, until_it_answers

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[3]
DASHBOARD = ("streamlit", "run", "dashboard.py", "--server.headless=true")
STOP = 0.7


@contextmanager
def started(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """The address of a dashboard that is ready, its process, and the file of its log."""
    port, log = free_port(), folder / "log"
    environment = os.environ | {"SIGHTGLASS_STOP_SECONDS": str(STOP)}
    with log.open("wb") as out:
        command = [sys.executable, "-m", *DASHBOARD, f"--server.port={port}"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=out, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until_it_answers(f"{address}/api/health/ready", process, log=log)
        yield address, process, log
    finally:
        process.kill()
        process.wait(10)


def test_an_order_to_end_is_followed(bus: Path, tmp_path: Path) -> None:
    with started(tmp_path) as (address, process, log):
        body, kind = form(bus)
        assert got(f"{address}/api/explain", body, Content_Type=kind)[0] == 200
        got(f"{address}/?class=trolleybus-of-somebody", Accept="text/html")
        answers: list[tuple[int, Any, bytes]] = []

        def ask() -> None:
            long, kind = form(bus, method="occlusion", masks="4000")
            answers.append(got(f"{address}/api/explain", long, Content_Type=kind))

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: json.loads(got(f"{address}/api/health")[2])["queue"]["running"] == 1)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        until(lambda: got(f"{address}/api/health/ready")[0] != 200)
        # What is new is refused, what runs is given back in the end, each with the time to come again.
        answers.append(got(f"{address}/api/explain", body, Content_Type=kind))
        asking.join(30)
        assert [(status, headers["Retry-After"]) for status, headers, _ in answers] == [(503, "5")] * 2
        assert process.wait(10) in (0, -signal.SIGTERM)
        # The limit, the time to answer, and the end of threads.
        assert time.monotonic() - begun < STOP + EXIT_SECONDS + 1
    assert "trolleybus-of-somebody" not in log.read_text("utf-8")


def test_all_are_named_at_once_and_so_is_a_model_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "nothing")
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_API_MODEL: There is no model 'nothing'"):
        serving.prepare()
    monkeypatch.setenv("SIGHTGLASS_MEMORY_MB", "abc")
    monkeypatch.setenv("SIGHTGLASS_API_MB", "abc")
    with pytest.raises(SettingProblem, match=r"MEMORY_MB is 'abc': give .*\. SIGHTGLASS_API_MB is 'abc'"):
        serving.prepare()
    monkeypatch.setenv("SIGHTGLASS_TOKKEN", "secret")
    with pytest.raises(SettingProblem, match=r"There is no setting SIGHTGLASS_TOKKEN: did you mean SIGHTGLASS_TOKEN"):
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


def test_a_dashboard_refuses_to_start() -> None:
    command, settings = [sys.executable, "-m", *DASHBOARD, "--server.port=0"], {"SIGHTGLASS_MEMORY_MB": "1 GB"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode
    assert "SIGHTGLASS_MEMORY_MB is '1 GB': give a number of MiB, such as 4096.\n" in done.stderr
    assert "Traceback" not in done.stderr
