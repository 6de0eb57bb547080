"""`sightglass serve`: the API alone, as a user starts and ends it."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.cli import main
from sightglass.cli.server.serve import bound
from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from tests.servers import form, got, until
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SECRET = "a-secret-of-thirty-two-characters"


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str], str]]:
    """Its address once it listens, its process, and the line that it printed; ended where it still runs."""
    command = [sys.executable, "-m", "explain", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", said)
        assert found, said + (process.stderr.read() if process.stderr and process.poll() is not None else "")
        yield found[0], process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, subprocess.Popen[str], str]]:
    with served() as started:
        yield started


def test_it_answers_the_librarys_very_map(server, bus: Path) -> None:
    body, kind = form(bus)
    status, headers, data = got(f"{server[0]}/api/explain", body, Content_Type=kind, Accept="application/x-npy")
    assert (status, headers["Content-Type"]) == (200, "application/x-npy")
    wanted = Explainer()(bus).heatmaps[0].values
    assert np.array_equal(np.load(io.BytesIO(data)), wanted)


def test_what_is_not_there_is_a_problem_and_not_a_page(server) -> None:
    for path, status in (
        ("/api/nothing", 404),
        ("/nothing", 404),
        ("/predict_with_gradcam", 405),
        ("/api/explain", 405),
    ):
        code, headers, data = got(server[0] + path)
        assert (code, headers["Content-Type"]) == (status, "application/problem+json"), path
        assert json.loads(data)["status"] == status
    assert got(f"{server[0]}/predict_with_gradcam")[1]["Allow"] == "POST"


def test_it_was_warm_before_it_listened(server) -> None:
    _, _, data = got(f"{server[0]}/api/metrics")
    assert b'sightglass_resident_bytes{device="cpu",model="efficientnet-lite0"}' in data


def test_a_name_that_another_site_lets_lead_here_is_no_way_in(server) -> None:
    code, _, data = got(f"{server[0]}/api/models", Host="evil.example", Origin="http://evil.example")
    assert code == 403
    assert "SIGHTGLASS_API_HOSTS" in json.loads(data)["detail"]
    assert got(f"{server[0]}/api/models", Host="localhost:80")[0] == 200


def test_who_hangs_up_while_sending_leaves_no_trace() -> None:
    with served() as (address, process, _):
        host, port = address.removeprefix("http://").split(":")
        for kind in ("application/json", "multipart/form-data; boundary=x"):
            head = (
                f"POST /api/explain HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
            )
            with socket.create_connection((host, int(port))) as line:
                line.sendall(head.encode() + b"--x\r\n")
                time.sleep(0.2)
        until(lambda: b'route="/api/explain",status="499"} 2.0' in got(f"{address}/api/metrics")[2])
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=patience(60))[1] == ""


def test_the_key_is_asked_for_and_never_shown_and_ctrl_c_ends_it_with_work_under_way(bus: Path) -> None:
    with served("--limit-mb", "1", SIGHTGLASS_API_KEY=SECRET, SIGHTGLASS_STOP_SECONDS="1") as (address, process, _):
        assert got(f"{address}/api/models")[0] == 401
        assert got(f"{address}/api/health")[0] == 200
        assert got(f"{address}/api/models", Authorization=f"Bearer {SECRET}")[0] == 200
        longer = b"x" * 3 * 2**20
        assert got(f"{address}/api/explain", longer, Content_Type="application/json", X_API_Key=SECRET)[0] == 413

        host, port = address.removeprefix("http://").split(":")
        line = http.client.HTTPConnection(host, int(port), timeout=patience(60))
        body, kind = form(bus, method="occlusion", masks="4000")
        line.request("POST", "/api/explain", body, {"Content-Type": kind, "X-API-Key": SECRET})
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, complaints = process.communicate(timeout=patience(60))
        line.close()
        assert (process.returncode, complaints) == (0, "")
        assert "Stopped." in out
        assert SECRET not in out


def test_opened_to_the_network_it_prints_the_token_that_it_asks_for_and_an_order_to_end_is_followed() -> None:
    with served("--host", "0.0.0.0") as (address, process, said):
        address = address.replace("0.0.0.0", "127.0.0.1")
        assert got(f"{address}/api/models")[0] == 401
        token = re.search(r"the token is ([\w-]{43})\.", said)
        assert token is not None
        assert got(f"{address}/api/models", X_API_Key=token[1])[0] == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=patience(60))
        assert process.returncode == 0


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert f"port {port}" in said.err
    assert said.out == ""


def test_an_address_that_is_not_here_is_one_sentence() -> None:
    with pytest.raises(Problem, match="not an address of this machine"):
        bound("no such host", 0)
    with pytest.raises(Problem, match="cannot be listened on"):
        bound("192.0.2.1", 0)


def test_a_model_that_is_not_there_is_one_sentence_before_it_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--model", "efficientnet-lite"]) == 2
    assert "did you mean" in capsys.readouterr().err
