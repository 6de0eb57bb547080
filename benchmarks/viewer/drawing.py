"""Measure browser-only work: sliders, drags, long tasks, memory."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.photographs import SIZE, large, written
from benchmarks.processes import megabytes as resident
from benchmarks.report import goal, row
from benchmarks.viewer.browser import (
    DASHBOARD,
    PAGES,
    RATE,
    BrowserProblem,
    Chromium,
    chromium,
    explained,
    from_event,
    serving,
    settled,
    sized,
    upload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

STEP_MS, FRAMES, CLASS_MS = 16.0, 50.0, 50.0
BLOCKS = 5
TURN = 50
"""Moves from one end of a drag to the other: each is at least one step of a slider."""
NATIVE = '[data-testid="stSlider"] input[type=range]'
WHOLE = "/?fit=squash"
"""The model sees the whole picture, so that every pixel is blended and none is only copied."""
WAYS = ("as opened", "all under the map")
SEALED_MS = 2000
"""How long a page is quiet whose seal is made."""
LONG_MS = 50
BY_HAND = ("zooming", "panning", "slider dragged")
"""Phases that only the viewer handles."""


def slider(rounds: int) -> dict[str, Any]:
    """Step the opacity in the viewer, and beside it Streamlit's own slider and picture."""
    ours: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    theirs: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving(DASHBOARD) as server,
        serving(PAGES / "native.py", str(path := written(Path(folder), "china"))) as native,
        browser.visiting(native.address, 1440, 1257) as other,
        browser.visiting(server.address) as page,
        browser.visiting(server.address + WHOLE) as squeezed,
    ):
        pages = dict(zip(WAYS, (page, squeezed), strict=True))
        window, _ = (_full_size(each, path) for each in pages.values())
        other.locator(NATIVE).wait_for()
        counts = np.zeros(2, int)
        values = [0.1 + 0.08 * (7 * i % 11) for i in range(rounds)]
        for block in range(BLOCKS):
            for name, each in pages.items():
                each.bring_to_front()
                with _counting(each) as more:
                    ours[name] += each.evaluate("values => bench.steps('.alpha', values)", values[block::BLOCKS])
                counts += more
            other.bring_to_front()
            theirs += _pressed(other, max(2, rounds // 2 // BLOCKS), block)
        facts = [
            f"Messages to the server while the viewer's slider stepped {len(WAYS) * rounds} times: {counts[0]}, runs "
            f"of the script: {counts[1]}. That a run is noticed: a click on another class afterwards was counted as "
            f"{_noticed(page)}.",
            _dragged(browser, page, other),
        ]
    steps = {name: [step["ms"] for step in found] for name, found in ours.items()}
    return {
        "how": f"A canvas of {SIZE[0]}x{SIZE[1]} pixels in a window of {window[0]}x{window[1]}: `input` on the opacity "
        "slider at any moment between two frames, until other pixels are read back from the canvas; as a picture is "
        "opened, with the map over its middle square, and squeezed into the model's input, with every pixel under the "
        "map. Streamlit's own way is st.slider, the same blend in numpy and OpenCV, and st.image as JPEG: from the key "
        "press until the new picture is decoded.",
        "rows": [
            *(row(f"viewer: slider to pixels, {name}", found) for name, found in steps.items()),
            *(
                row(f"of it after the frame's start, {name}", [s["draw"] for s in found])
                for name, found in ours.items()
            ),
            row("Streamlit's own slider and picture", theirs),
        ],
        "facts": facts,
        "goals": [
            *(goal(f"slider to pixels, 1280x853, {name}, median", median(s), STEP_MS) for name, s in steps.items()),
            goal("messages and runs of the script meanwhile", int(counts.sum()), 0, ""),
        ],
    }


def _noticed(page: Page) -> int:
    """Return the runs of the script that a click on another class causes; raise BrowserProblem if none is counted."""
    page.bring_to_front()
    with _counting(page) as counts:
        page.locator(".rows button").nth(1).click()
    if not counts[1]:
        raise BrowserProblem("the counter of script runs did not notice the run that another class causes")
    return counts[1]


def _dragged(browser: Chromium, page: Page, other: Page) -> str:
    page.bring_to_front()
    # The class that was clicked gets its seal behind the map, and each of its tests runs the script.
    settled(page, SEALED_MS)
    with _counting(page) as ours:
        viewer = drag(browser, page, ".alpha", 1.0)
    other.bring_to_front()
    with _counting(other) as theirs:
        streamlit = drag(browser, other, NATIVE, 1.0)
    return (
        f"Mouse held and moved for a second: the viewer drew {min(map(len, viewer['draws']), default=0)} times, sent "
        f"{viewer['sent']} messages to the server and ran the script {ours[1]} times at the release. Streamlit's own "
        f"showed {len(streamlit['images'])} new pictures while it was held, and ran {theirs[1]} times at the release."
    )


def _full_size(page: Page, path: Path) -> tuple[int, int]:
    page.bring_to_front()
    explained(page)
    upload(page, path)
    page.keyboard.press("Escape")
    window = sized(page, *SIZE)
    settled(page)
    return window


def frames(rounds: int) -> dict[str, Any]:
    """Count redraws a second while the mouse is held, with four panels."""
    found: dict[str, list[dict[str, float]]] = {".alpha": [], ".threshold": []}
    with chromium() as browser, serving(DASHBOARD) as server, browser.visiting(server.address) as page:
        explained(page)
        page.goto(f"{server.address}/topk?example=china&fit=squash")
        explained(page)
        panels = page.evaluate("() => bench.canvases().length")
        if panels != 4:
            raise BrowserProblem(f"there are {panels} panels, not 4")
        window = sized(page, 640, 427)
        for _ in range(rounds):
            for selector, speeds in found.items():
                settled(page)
                speeds.append(_speed(drag(browser, page, selector, 3.0)))
    names = {".alpha": "opacity", ".threshold": "threshold"}
    rows = [
        row(f"{names[selector]}: {what} a second", [speed[key] for speed in speeds], "", least=True)
        for selector, speeds in found.items()
        for what, key in (("redraws", "draws"), ("frames", "frames"), ("slider's events", "inputs"))
    ]
    return {
        "how": f"Top-k, four canvases of 640x427 pixels in a window of {window[0]}x{window[1]}, the mouse held on a "
        "slider and moved to and fro for 3 s. A redraw is a frame in which a canvas reads back other pixels than in "
        "the one before; of the four panels the one with the fewest counts. No event, no redraw.",
        "rows": rows,
        "goals": [
            goal(
                f"redraws a second, 4 panels, {name} dragged",
                median(s["draws"] for s in speeds),
                FRAMES,
                "",
                least=True,
            )
            for name, speeds in zip(names.values(), found.values(), strict=True)
        ],
    }


def classes(rounds: int) -> dict[str, Any]:
    """Click in the list of answers."""
    times = []
    with chromium() as browser, serving(DASHBOARD) as server, browser.visiting(server.address) as page:
        explained(page)
        rows = page.locator(".rows button")
        for i in range(1, rounds + 1):
            settled(page)
            times.append(from_event(page, "click", "canvas", rows.nth(i % rows.count()).click)["ms"])
    return {
        "how": "Explore, a click on another answer with a loaded map, until the map's canvas reads back other pixels.",
        "rows": [row("another class", times)],
        "goals": [goal("another class of loaded maps, median", median(times), CLASS_MS)],
    }


@contextmanager
def _counting(page: Page) -> Iterator[list[int]]:
    """Count the messages to the server and the runs of the script until the page is idle again."""
    counts = [0, 0]
    before = page.evaluate("() => [bench.sent.length, bench.runs.length]")
    yield counts
    settled(page)
    after = page.evaluate("() => [bench.sent.length, bench.runs.length]")
    counts[:] = [int(now - then) for now, then in zip(after, before, strict=True)]


def _pressed(page: Page, times: int, block: int) -> list[float]:
    page.locator(NATIVE).focus()
    found = []
    for _ in range(times):
        page.evaluate("() => bench.settled(100)")
        key = "ArrowLeft" if block % 2 == 0 else "ArrowRight"
        found.append(from_event(page, "keydown", "image", partial(page.keyboard.press, key))["ms"])
    return found


def drag(browser: Chromium, page: Page, selector: str, seconds: float) -> dict[str, Any]:
    """Hold a slider's thumb and move it back and forth; return what the probe saw before the release."""
    box = page.locator(selector).first.bounding_box()
    if box is None:
        raise BrowserProblem(f"{selector} is not on the page")
    y, share = box["y"] + box["height"] / 2, cycle((*range(TURN), *range(TURN, 0, -1)))
    moves = [(box["x"] + box["width"] * (0.15 + 0.65 * next(share) / TURN), y) for _ in range(int(seconds * RATE))]
    page.mouse.move(*moves[0])
    page.mouse.down()
    page.wait_for_timeout(100)
    page.evaluate("() => void bench.watch()")
    browser.move(page, moves)
    page.wait_for_timeout(300)
    seen: dict[str, Any] = page.evaluate("() => bench.stop()")
    page.mouse.up()
    return seen


def _speed(seen: dict[str, Any]) -> dict[str, float]:
    """Return rates per second between the first and the last event of the slider."""
    if not seen["inputs"]:
        raise BrowserProblem("the slider did not move with the mouse")
    start, end = seen["inputs"][0], seen["inputs"][-1]

    def within(times: list[float]) -> float:
        # A redraw is seen up to two frames after its event.
        return sum(start <= at <= end + 35 for at in times) / max((end - start) / 1e3, 1e-3)

    return {
        "draws": min(within(times) for times in seen["draws"]),
        "frames": within(seen["frames"]),
        "inputs": within(seen["inputs"]),
    }


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
            *(row(f"renderer, {name}", [renderer for _, renderer in sizes], "MB") for name, sizes in memory.items()),
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
    page.keyboard.down("Control")
    for turn in [-1] * 12 + [1] * 8:
        page.mouse.wheel(0, 120 * turn)
        page.wait_for_timeout(40)
    page.keyboard.up("Control")


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
