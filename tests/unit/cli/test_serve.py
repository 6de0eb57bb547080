"""`sightglass serve`: the API alone, as a user starts and ends it."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from sightglass.cli import main, serve
from sightglass.cli.serve import bound
from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from tests.packages import ROOT
from tests.servers import until
from tests.waits import patience

SECRET = "a-secret-of-thirty-two-characters"


@contextlib.contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str], str]]:
    """Its address once it listens, its process, and the line that it printed; ended where it still runs."""
    command = [sys.executable, "-m", "sightglass", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://[\d.]+:\d+", line)
        assert address, line + (process.stderr.read() if process.stderr and process.poll() is not None else "")
        yield address[0], process, line
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def asking(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=patience(60))


def test_serve_requires_key_and_stops_at_work(bus: Path) -> None:
    limits = {"SIGHTGLASS_STOP_SECONDS": "1"}
    with served(SIGHTGLASS_TOKEN=SECRET, **limits) as (address, process, _), asking(address) as client:
        assert client.get("/api/models").status_code == 401
        assert client.get("/api/health").status_code == 200
        client.headers["authorization"] = f"Bearer {SECRET}"
        assert client.get("/api/models").status_code == 200
        files, slow = {"image": bus.read_bytes()}, {"method": "occlusion", "masks": "4000"}
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, "/api/explain", files=files, data=slow)
            until(lambda: "sightglass_workers_running 1.0" in client.get("/api/metrics").text)
            process.send_signal(signal.SIGINT)
            out, complaints = process.communicate(timeout=patience(60))
            assert "server is stopping" in asked.result().text and asked.result().status_code == 503
        assert (process.returncode, complaints) == (0, "")
        assert "Stopped." in out and SECRET not in out


def test_network_serve_requires_token(bus):
    with (
        served("--host", "0.0.0.0") as (address, process, line),
        asking(address.replace("0.0.0.0", "127.0.0.1")) as client,
    ):
        assert client.get("/api/models").status_code == 401
        client.headers["x-api-key"] = re.search(r"the token is ([\w-]{43})\.", line)[1]
        cold = 'sightglass_memory_bytes{part="models"} 0.0'
        assert cold not in client.get("/api/metrics").text, "it was warm before it listened"
        answer = client.post("/api/explain?format=npy", files={"image": (bus.name, bus.read_bytes())})
        assert np.array_equal(np.load(io.BytesIO(answer.content)), Explainer()(bus).heatmaps[0].values)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=patience(60))[1] == "" and process.returncode == 0


def test_unusable_address_port_or_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem, match="no such host cannot be listened on"):
        bound("no such host", 0)
    with pytest.raises(Problem, match="cannot be listened on"):
        bound("192.0.2.1", 0)
    assert main(["serve", "--port", "0", "--model", "efficientnet-lite"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_the_dashboard_s_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "name", "posix")
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    process = SimpleNamespace(wait=lambda: 0)
    monkeypatch.setattr(subprocess, "Popen", lambda _: contextlib.nullcontext(process))
    assert main([]) == main(["dashboard"]) == 0
    start = [sys.executable, "-P", "-m", "streamlit", "run", str(ROOT / "dashboard.py"), "--server.address=localhost"]
    assert commands == [start, start]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["dashboard", "--host", "127.0.0.1", "--port", str(port)]) == 2
        assert "127.0.0.1 cannot be listened on at port" in capsys.readouterr().err
    assert main(["dashboard", "--host", "127.0.0.1", "--port", str(port), "--no-browser"]) == 0
    assert commands[-1][-2:] == [f"--server.port={port}", "--server.headless=true"]
    monkeypatch.setattr(serve, "SCRIPT", ROOT / "nowhere.py")
    assert main(["dashboard"]) == 2
    assert "not part of this installation" in capsys.readouterr().err
