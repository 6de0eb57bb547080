"""A real Chromium, a real server, and a last line that says so where there is no browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import provide
import pytest

from benchmarks.browser import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / ".test-artefacts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser on a machine that others share can be late: what fails is tried once more, and is listed as rerun."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@contextmanager
def serving(script: Path, folder: Path) -> Iterator[str]:
    """`streamlit run script` in a folder; yields its address, and ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = provide.find()
    if path is None:
        pytest.skip(provide.REASON)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def measured() -> Iterator[dict[str, float]]:
    """Seconds of what a person waits for, kept beside the screenshots; measured, never asserted."""
    times: dict[str, float] = {}
    ARTEFACTS.mkdir(exist_ok=True)
    yield times
    (ARTEFACTS / "seconds.json").write_text(json.dumps(times, indent=1))
