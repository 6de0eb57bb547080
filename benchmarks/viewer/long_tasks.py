"""Count what blocks the page: long tasks, and memory, with a picture of 24 megapixels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.photographs import large
from benchmarks.processes import megabytes as resident
from benchmarks.report import goal, row
from benchmarks.viewer.browser import (
    DASHBOARD,
    RATE,
    BrowserProblem,
    Chromium,
    chromium,
    explained,
    serving,
    settled,
    upload,
)
from benchmarks.viewer.drawing import drag

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

LONG_MS = 50
BY_HAND = ("zooming", "panning", "slider dragged")
"""Phases that only the viewer handles."""


def long_tasks(rounds: int) -> dict[str, Any]:
    """Count long tasks in each phase, `rounds` times, and measure memory between the phases."""
    found: dict[str, list[list[float]]] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, serving(DASHBOARD) as server:
        path = large(Path(folder))
        megabytes = path.stat().st_size / 1e6
        for _ in range(rounds):
            with chromium() as browser, browser.visiting(server.address, 1920, 1080) as page:
                explained(page)

                def phase(name: str, act: Callable[[Page], Any], page: Page = page) -> None:
                    found.setdefault(name, []).append(_during(page, act))

                def weigh(name: str, page: Page = page, browser: Chromium = browser) -> None:
                    memory.setdefault(name, []).append(_memory(page, browser))

                weigh("before")
                phase("idle", lambda page: page.wait_for_timeout(2000))
                phase("uploaded to shown", lambda page: upload(page, path))
                page.keyboard.press("Escape")
                settled(page)
                weigh("shown")
                phase("zooming", _zoomed)
                phase("panning", lambda page: _panned(browser, page))
                phase("slider dragged", lambda page: drag(browser, page, ".alpha", 2.0))
                weigh("after 20 zooms, a pan and a drag")
    phases = {name: [ms for times in rounds for ms in times] for name, rounds in found.items()}
    worst = {name: max(times, default=0.0) for name, times in phases.items()}
    return {
        "how": f"Explore in a window of 1920x1080 with a JPEG of 6000x4000 pixels, {megabytes:.0f} MB; 20 steps of the "
        f"wheel, a pan and a drag by the mouse, {rounds} times over in a fresh browser. A long task is one of more "
        "than 50 ms in the page's main thread, as the browser reports it. Memory after a collection: the page's "
        "JavaScript heap, and the renderer's resident memory.",
        "rows": [
            *(row(f"heap, {name}", [heap for heap, _ in sizes], "MB") for name, sizes in memory.items()),
            *(row(f"renderer, {name}", [held for _, held in sizes], "MB") for name, sizes in memory.items()),
        ],
        "facts": [
            f"{name[0].upper()}{name[1:]}: {len(times)} long tasks"
            + (f", the longest {worst[name]:.0f} ms." if times else ".")
            for name, times in phases.items()
        ],
        "goals": [goal(f"long tasks, {name}", len(phases[name]), 0, "") for name in BY_HAND],
    }


def _during(page: Page, act: Callable[[Page], Any]) -> list[float]:
    """Return the long tasks in milliseconds from the start of an action until the page is idle again."""
    start = page.evaluate("() => bench.now()")
    act(page)
    settled(page)
    times: list[float] = page.evaluate(
        "start => bench.tasks.filter(({ at }) => at >= start).map(({ ms }) => ms)", start
    )
    return [ms for ms in times if ms > LONG_MS]


def _middle(page: Page) -> tuple[float, float]:
    x, y = page.evaluate(
        "() => { const r = bench.map().getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }"
    )
    return x, y


def _zoomed(page: Page) -> None:
    page.mouse.move(*_middle(page))
    for turn in [-1] * 12 + [1] * 8:
        page.mouse.wheel(0, 120 * turn)
        page.wait_for_timeout(40)


def _panned(browser: Chromium, page: Page) -> None:
    before = page.evaluate("() => bench.seen()")
    x, y = _middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    browser.move(page, [(x + 3 * abs(step % 80 - 40), y + step / 2) for step in range(2 * RATE)])
    page.mouse.up()
    page.wait_for_timeout(200)
    if page.evaluate("() => bench.seen()") == before:
        raise BrowserProblem("the picture did not move with the mouse")


def _memory(page: Page, browser: Chromium) -> tuple[float, float]:
    """Return the MB of the JavaScript heap and of the largest renderer, which is the page's own."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    processes = browser.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = [resident(process=process["id"]) for process in processes if process["type"] == "renderer"]
    return metrics["JSHeapUsedSize"] / 1e6, max(sizes, default=0.0)
