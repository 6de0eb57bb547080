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

from benchmarks.viewer.browser import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / ".test-artefacts"
LIMIT = 120_000
"""Milliseconds that anything may take on a slow machine."""
QUIET_MS = 500


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A browser on a machine that others share can be late: what fails is tried once more, and is listed as rerun.

    `-p no:rerunfailures` tries nothing twice, to find the tests that fail by chance.
    """
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@contextmanager
def serving(script: Path, folder: Path) -> Iterator[str]:
    """`streamlit run script` in a folder; yields its address, and ends it."""
    with socket.socket() as held:
        # Who holds a port without listening keeps it from all that ask for any, and lets in who asks for this one.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{port}"
        try:
            _answers(process, address)
            yield address
        finally:
            _ended(process)


def _answers(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the server does."""
    end = time.monotonic() + LIMIT / 1e3
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.1)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def settled(page: Page) -> None:
    """Until no script has run for a while: the one that an act asks for starts a moment after it.

    For that act's result wait by itself: on a slow machine the moment is longer.
    """
    page.wait_for_function(
        """(quiet) => {
            const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
            const now = performance.now();
            if (state !== "notRunning" || window.restsSince === undefined) window.restsSince = now;
            if (now - window.restsSince < quiet) return false;
            window.restsSince = undefined;
            return true;
        }""",
        arg=QUIET_MS,
        timeout=LIMIT,
    )


def takes_files(page: Page) -> None:
    """Until what is dropped on the page or pasted into it is heard: that comes a moment after the page itself."""
    page.wait_for_function(
        """() => {
            const carried = new DataTransfer();
            carried.items.add(new File(["."], "probe.jpg", {type: "image/jpeg"}));
            const given = {dataTransfer: carried, bubbles: true, cancelable: true};
            const heard = new DragEvent("dragover", given), main = document.querySelector('[data-testid="stMain"]');
            main.dispatchEvent(heard);
            main.dispatchEvent(new DragEvent("dragleave", given));
            return heard.defaultPrevented;
        }""",
        polling=200,
    )


def until(page: Page, test: Callable[[], object], what: str, *, pause: float = 50) -> None:
    """Try again, every `pause` milliseconds, until it is so; `what` says what is wrong where it never is."""
    end = time.monotonic() + LIMIT / 1e3
    while not test():
        assert time.monotonic() < end, what
        page.wait_for_timeout(pause)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = provide.find()
    if path is None:
        pytest.skip(provide.REASON)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LIMIT)
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
