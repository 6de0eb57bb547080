"""Every door ends, whatever a thread of it is at: here one that does not come back from a library."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sightglass.models import isolated
from tests.packages import ROOT
from tests.servers import until, until_it_answers
from tests.waits import patience

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
HANG = """
import ctypes, pkgutil, runpy, sys

def hang(*_):
    print("hanging", file=sys.stderr, flush=True)
    ctypes.CDLL(None).sleep(600)

holder, name, sys.argv = sys.argv[1], sys.argv[2], sys.argv[3:]
setattr(pkgutil.resolve_name(holder), name, hang)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module in which a function never returns."""
OPEN_PICTURE = ("sightglass.api.service", "open_picture")


@contextlib.contextmanager
def hanging(where: tuple[str, str], *command: str, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in which a function hangs; its stderr goes to a file."""
    arguments = [sys.executable, "-c", HANG, *where, *command]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            arguments, env=os.environ | env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as line:
        return int(line.getsockname()[1])


@contextlib.contextmanager
def server(door: str, log: Path, picture: Path, seconds: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that hangs in a request, and its address."""
    port = free_port()
    commands = {
        "serve": ("sightglass", "serve", "--model", "demo-s", "--port", str(port)),
        "dashboard": ("streamlit", "run", "dashboard.py", "--server.headless=true", f"--server.port={port}"),
    }
    address = f"http://127.0.0.1:{port}/api"
    limits = {"SIGHTGLASS_STOP_SECONDS": str(seconds)}
    with hanging(OPEN_PICTURE, *commands[door], log=log, **limits) as process, ThreadPoolExecutor(1) as pool:
        until_it_answers(f"{address}/health", process, log=log)
        files = {"image": picture.read_bytes()}
        asked = pool.submit(httpx.post, f"{address}/explain", files=files, timeout=patience(120))
        until(lambda: b"hanging" in log.read_bytes(), describe=log.read_text)
        yield process, address
        process.kill()
        asked.exception()


@pytest.mark.parametrize("door", ["serve", "dashboard"])
def test_a_hung_server_ends_by_force(door: str, bus: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with server(door, log, bus, 0) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(60)) == 1
        assert "in hang\n" in log.read_text("utf-8"), "what hung is said"


@pytest.mark.parametrize("door", ["serve", "dashboard"])
def test_a_second_signal_ends_at_once(door: str, bus: Path, tmp_path: Path) -> None:
    with server(door, tmp_path / "log", bus, 3000) as (process, address):
        process.send_signal(signal.SIGTERM)

        def stops() -> bool:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{address}/health")
                return False
            return True

        until(stops)
        process.send_signal(signal.SIGINT)
        assert process.wait(patience(60)) == -signal.SIGINT


def test_a_hung_tool_ends_with_its_client(bus: Path, tmp_path: Path) -> None:
    log, hello = tmp_path / "log", {"protocolVersion": "2025-03-26", "capabilities": {}}
    call = {"name": "explain", "arguments": {"picture": "data:image/jpeg;base64,/9g=", "model": "demo-s"}}
    messages = [
        {"id": 1, "method": "initialize", "params": hello | {"clientInfo": {"name": "a test", "version": "1"}}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    with hanging(OPEN_PICTURE, "sightglass", "mcp", "--model", "demo-s", log=log) as process:
        assert process.stdin is not None
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
            process.stdin.flush()
        until(lambda: b"hanging" in log.read_bytes(), 60, log.read_text)
        process.stdin.close()
        process.stdin = None
        assert process.wait(patience(60)) == 1


def test_ctrl_c_ends_tools_that_wait(tmp_path: Path) -> None:
    with hanging(OPEN_PICTURE, "sightglass", "mcp", log=tmp_path / "log") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(patience(60)) == -signal.SIGINT


def test_ctrl_c_twice_ends_a_hung_batch(bus: Path, tmp_path: Path) -> None:
    log, command = tmp_path / "log", ("sightglass", "batch", str(bus.parent), "-m", "demo-s", "--out", str(tmp_path))
    with hanging(("sightglass.batch.engines:Work", "process"), *command, log=log) as process:
        until(lambda: b"hanging" in log.read_bytes(), 60, log.read_text)
        process.send_signal(signal.SIGINT)
        until(lambda: b"Press Ctrl-C again" in log.read_bytes(), describe=log.read_text)
        process.send_signal(signal.SIGINT)
        assert process.wait(patience(60)) == -signal.SIGINT


def sleeper(sign: str) -> tuple[isolated.Answer, dict[str, object]]:
    """Start what writes a file at its first question, and then sleeps in a library that lets nothing else run."""
    import ctypes

    def answer(*_: object) -> tuple[dict[str, object], list[isolated.Array]]:
        Path(sign).touch()
        ctypes.PyDLL(None).sleep(600)
        return {}, []

    return answer, {}


ASK = """
import sys
from sightglass.models.isolated import Process
from tests.unit.cli.test_ending import sleeper
process = Process(sleeper, sys.argv[1], seconds=60, memory=0)
print(process.id, flush=True)
process.ask({}, [], 600)
"""


@pytest.mark.skipif(not isolated.FORKS, reason="no forked process")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    sign = tmp_path / "asleep"
    parent = subprocess.Popen([sys.executable, "-c", ASK, str(sign)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        ended = os.pidfd_open(child)
        until(sign.exists, 60)
    finally:
        parent.kill()
        parent.communicate()
    try:
        with open(ended, "rb", buffering=0) as end:
            assert isolated.wait([end], patience(20))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
