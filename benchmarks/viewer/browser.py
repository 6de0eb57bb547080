"""Start Chromium and real servers, and act as a user."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import ROOT, free_port
from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

BARE = Path(__file__).with_name("bare.py")
"""The smallest Streamlit page: a title and a file uploader."""
DASHBOARD = ROOT / "dashboard.py"
PROBE = Path(__file__).with_name("probe.js")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LIMIT_MS = 60_000


class BrowserProblem(Problem):
    """There is no browser, or a page did not respond as expected."""


@dataclass(frozen=True)
class Chromium:
    """A running browser."""

    browser: Browser

    @contextmanager
    def session(self) -> Iterator[Page]:
        """Open an empty page with nothing cached and the probe injected."""
        context = self.browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=1)
        try:
            context.add_init_script(path=PROBE)
            context.set_default_timeout(LIMIT_MS)
            yield context.new_page()
        finally:
            context.close()

    @contextmanager
    def visiting(self, address: str) -> Iterator[Page]:
        with self.session() as page:
            page.goto(address)
            yield page


def find_chromium() -> str | None:
    return next((executable for name in NAMES if (executable := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Chromium]:
    path = find_chromium()
    if path is None:
        raise BrowserProblem("There is no Chromium here: install one.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=[*FLAGS])
        try:
            yield Chromium(started)
        finally:
            started.close()


class Server:
    """`streamlit run script`, in the repository's root for its configuration."""

    def __init__(self, script: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1", "--"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "SIGHTGLASS_OFFLINE": "1"}
        self.address, self._at = f"http://127.0.0.1:{port}", ("127.0.0.1", port)
        self.started = time.time()
        """Seconds since 1970."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)

    def wait(self) -> None:
        while time.time() - self.started < LIMIT_MS / 1e3 and self._process.poll() is None:
            try:
                socket.create_connection(self._at, timeout=1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise BrowserProblem("The server did not start.")

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(script: Path) -> Iterator[Server]:
    server = Server(script)
    try:
        server.wait()
        yield server
    finally:
        server.end()


def settled(page: Page) -> None:
    """Wait until the script has finished for a moment."""
    page.evaluate("() => bench.settled()")


def explained(page: Page) -> None:
    """Wait for a map on screen and the script's end."""
    page.evaluate("() => bench.places(['shown'])")
    settled(page)


def from_event(page: Page, event: str, seen: str, act: Callable[[], object]) -> dict[str, Any]:
    """Act and return the probe's times from the event until `seen`."""
    page.evaluate("([event, seen]) => bench.arm(event, seen)", [event, seen])
    act()
    times: dict[str, Any] = page.evaluate("() => bench.armed")
    return times
