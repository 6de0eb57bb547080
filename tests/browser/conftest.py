"""A real Chromium and a real server, one of each for all tests of a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import provide
import pytest
from screen import ARTEFACTS, EXCEPTION, LIMIT, ROOT, SERVED, close, leaves, new_page

from benchmarks.viewer.browser import FLAGS
from tests.servers import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

LOG = ARTEFACTS / f"server-{os.getpid()}.log"
"""What the servers of this process say of what went wrong."""


@contextmanager
def serving(script: Path, folder: Path, *, below: str = "", **settings: str) -> Iterator[str]:
    """`streamlit run script` in a folder, with these variables in its environment; yields its address, and ends it.

    `below`: the path of its pages, if these variables name one.
    """
    ARTEFACTS.mkdir(exist_ok=True)
    with socket.socket() as held:
        # Who holds a port without listening keeps it from all that ask for any, and lets in who asks for this one.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        # Where Rich is installed, Streamlit prints what went wrong to standard output, in colours.
        command += ["--logger.enableRich=false"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1"]
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": paths} | settings
        address = f"http://127.0.0.1:{port}"
        options: Any = {"cwd": folder, "env": environment, "stderr": LOG.open("ab", buffering=0)}
        with running(command, f"{address}{below}/_stcore/health", stdout=subprocess.DEVNULL, **options):
            SERVED.append(address)
            yield address


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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard, as every test of this process finds it: its models stay loaded, its pages are each test's own.

    Its history, log and photographs are in the folders that tests/conftest.py names in the environment. It checks no
    maps: that takes seconds of a processor for each page.
    """
    home = str(tmp_path_factory.mktemp("data"))
    folders = {"XDG_DATA_HOME": home, "SIGHTGLASS_BATCHES": home}
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_CHECKS="0", **folders) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    """Open a page of the dashboard; at the end nothing may have gone wrong in it, nor left this machine."""
    opened: list[Page] = []
    wrong: list[str] = []

    def go(path: str = "/", **context: Any) -> Page:
        page = new_page(browser, **context)
        opened.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if leaves(request.url) else None)
        page.goto(server + path)
        return page

    yield go
    try:
        assert not any(page.locator(EXCEPTION).count() for page in opened if not page.is_closed())
    finally:
        close(browser)
    assert wrong == []


@pytest.fixture(autouse=True)
def _closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page of a test works on beside the next one, and none of the test's own broke the server."""
    browser = request.getfixturevalue("browser") if "browser" in request.fixturenames else None
    before = LOG.stat().st_size if LOG.exists() else 0
    yield
    if browser is not None:
        close(browser)
    if LOG.exists():
        log = LOG.read_bytes()[before:].decode(errors="replace")
        # Two threads that parse source at the same time may fail in CPython 3.11 (gh-106905): no fault of a page.
        assert "Traceback" not in log or "AST constructor recursion depth mismatch" in log, log
