"""Start Chromium and real servers, and act as a user."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from websockets.sync.client import connect

from benchmarks.processes import ROOT, free_port
from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
RATE = 120
"""Moves of a mouse a second."""


class BrowserProblem(Problem):
    """There is no browser, or a page did not respond as expected."""


@dataclass(frozen=True)
class Chromium:
    """A running browser, and the port through which its mouse is moved without Playwright."""

    browser: Browser
    port: int

    @contextmanager
    def visiting(self, address: str, until: Literal["load", "commit"] = "load") -> Iterator[Page]:
        """Open a page with nothing cached and the probe injected, and wait until it has come so far."""
        context = self.browser.new_context(viewport={"width": 1440, "height": 900}, device_scale_factor=1)
        try:
            context.add_init_script(path=PROBE)
            # The ghost that covers the picture on a first visit would be measured, too.
            context.add_init_script("try { localStorage.setItem('sightglass.covered', '1') } catch {}")
            context.set_default_timeout(LIMIT_MS)
            page = context.new_page()
            page.goto(address, wait_until=until)
            yield page
        finally:
            context.close()

    def move(self, page: Page, points: Iterable[tuple[float, float]]) -> None:
        """Drag the mouse through the points, `RATE` of them a second.

        Playwright would wait for the page after each move; a hand does not.
        """
        cdp = page.context.new_cdp_session(page)
        target = cdp.send("Target.getTargetInfo")["targetInfo"]["targetId"]
        cdp.detach()
        with connect(f"ws://127.0.0.1:{self.port}/devtools/page/{target}", max_queue=None) as wire:
            start = time.perf_counter()
            for number, (x, y) in enumerate(points):
                time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
                place = {"type": "mouseMoved", "x": x, "y": y, "button": "left", "buttons": 1}
                wire.send(json.dumps({"id": number, "method": "Input.dispatchMouseEvent", "params": place}))


def find_chromium() -> str | None:
    return next((executable for name in NAMES if (executable := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Chromium]:
    path = find_chromium()
    if path is None:
        raise BrowserProblem("There is no Chromium here: install one.")
    from playwright.sync_api import sync_playwright

    port = free_port()
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=[*FLAGS, f"--remote-debugging-port={port}"])
        try:
            yield Chromium(started, port)
        finally:
            started.close()


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    pid: int
    started: float
    """Seconds since 1970."""


@contextmanager
def serving(script: Path) -> Iterator[Server]:
    """`streamlit run script`, in the repository's root for its configuration, until it answers."""
    port, quiet = free_port(), subprocess.DEVNULL
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SIGHTGLASS_OFFLINE": "1"}
    started = time.time()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.time() - started > LIMIT_MS / 1e3 or process.poll() is not None:
                    raise BrowserProblem("The server did not start.") from None
                time.sleep(0.01)
        yield Server(f"http://127.0.0.1:{port}", process.pid, started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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


def sized(page: Page, width: int, height: int) -> tuple[int, int]:
    """Return the window's width and height in which each map's canvas has this size; raise BrowserProblem if none."""
    for tall in (1300, 1500, 1800):
        low, high = 700, 3200
        while low <= high:
            wide = (low + high) // 2
            page.set_viewport_size({"width": wide, "height": tall})
            measured: list[int] = page.evaluate("() => bench.size()")
            if measured[0] == width and abs(measured[1] - height) <= 1 and abs(measured[2] - width) < 1:
                return wide, tall
            low, high = (wide + 1, high) if measured[2] < width else (low, wide - 1)
    raise BrowserProblem(f"no window makes a canvas of {width}x{height}")
