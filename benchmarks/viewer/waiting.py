"""Measure how long a user waits: maps, proofs, pages, Stop."""

from __future__ import annotations

import random
import tempfile
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.photographs import never_seen
from benchmarks.processes import spawned
from benchmarks.report import goal, row
from benchmarks.viewer.browser import (
    DASHBOARD,
    PAGES,
    BrowserProblem,
    Chromium,
    Server,
    chromium,
    explained,
    from_event,
    serving,
    settled,
    upload,
    uploader,
)

if TYPE_CHECKING:
    from sightglass.explain import Explainer

RATIO, MORE_MS, START_RATIO, STOP_MS = 1.25, 150.0, 1.3, 500.0
PAYLOAD = 50_000
"""Bytes: the one message that is larger carries the picture and its maps."""
WARM_UP = 3
PARTS = {
    "file": "1. the file to the server",
    "ask": "2. the page asks for a run",
    "run": "3. the run, until picture and maps are in the page",
    "decode": "4. unpacked and decoded",
    "draw": "5. drawn",
}
"""Of an upload, in order."""


def uploads(rounds: int) -> dict[str, Any]:
    """Time a file from its choice in the uploader to its map, and the engine alone on such a file."""
    seen: list[dict[str, Any]] = []
    engine_times: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving(DASHBOARD) as server,
        spawned() as engine,
    ):
        paths, others = never_seen(Path(folder), 0), never_seen(Path(folder), 1)
        with browser.visiting(server.address) as page:
            explained(page)
            for number in range(-WARM_UP, rounds):
                uploader(page)
                settled(page)
                found = upload(page, next(paths))
                # The first only takes away what idling left in the processor's caches.
                engine.submit(engine_ms, next(others)).result()
                took = engine.submit(engine_ms, next(others)).result()
                if number >= 0:
                    seen.append(_parts(found))
                    engine_times.append(took)
    times, engines = [found["all"] for found in seen], median(engine_times)
    limit = RATIO * engines + MORE_MS
    return {
        "how": "Three photographs of 1280x853 in turn, each time with other pixels, as JPEG: from the `change` of the "
        "uploader's input to the new map on the canvas. The engine alone, in a process of its own with as many "
        "threads: such a file decoded and explained, warm. The parts follow each other.",
        "rows": [
            row("upload to map", times),
            *(row(name, [found[part] for found in seen]) for part, name in PARTS.items()),
            row("the engine alone", engine_times),
        ],
        "facts": [f"Picture and maps: {median(found['bytes'] for found in seen) / 1e3:.0f} kB."],
        "goals": [goal(f"upload to map, median, to {RATIO} x engine + {MORE_MS:.0f} ms", median(times), limit)],
    }


@cache
def _explainer() -> Explainer:
    # Before torch: it sets the threads.
    from sightglass.components.session import page

    assert page
    from sightglass.explain import Explainer

    return Explainer()


def engine_ms(path: Path) -> float:
    """Return the milliseconds that the engine alone takes for a file, with the dashboard's number of threads."""
    explainer, data = _explainer(), path.read_bytes()
    from sightglass.explain.picture.image import Image

    start = time.perf_counter()
    explanation = explainer(Image.open(data))
    assert all(heatmap.at_input.size for heatmap in explanation.heatmaps)
    return (time.perf_counter() - start) * 1e3


def _parts(found: dict[str, Any]) -> dict[str, float]:
    uploaded = found["uploaded"]
    requested = next((at for at, _ in found["sent"] if uploaded is not None and at >= uploaded - 1), None)
    payload = next(((at, size) for at, size in found["received"] if size > PAYLOAD), None)
    if uploaded is None or requested is None or payload is None:
        raise BrowserProblem("an upload, its run or its picture was not seen on the wire")
    came, size = payload
    return {
        "all": found["ms"],
        "file": uploaded,
        "ask": requested - uploaded,
        "run": came - requested,
        "decode": found["switched"] - came,
        "draw": found["ms"] - found["switched"],
        "bytes": size,
    }


def first_curves(rounds: int) -> list[float]:
    """Return the seconds from a click on *Can I trust this?* to a new picture's first curve on the screen."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, serving(DASHBOARD) as server:
        paths, seen = never_seen(Path(folder)), []
        with browser.visiting(server.address) as page:
            explained(page)
            for _ in range(WARM_UP + rounds):
                upload(page, next(paths))
                settled(page)
                button = page.get_by_role("button", name="Can I trust this?")
                seen.append(from_event(page, "click", "curve", button.click)["ms"] / 1e3)
                page.get_by_role("button", name="Stop").wait_for(state="detached")
                page.get_by_role("button", name="Close the tests").click()
                page.locator(".proof").wait_for(state="detached")
                settled(page)
    return seen[WARM_UP:]


def starts(rounds: int) -> dict[str, Any]:
    """Time `streamlit run` until the page can be used, and until the first map."""
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    with chromium() as browser:
        for number in range(-1, rounds):
            bare = _started(browser, PAGES / "bare.py", ["uploader"])["uploader"]
            full = _started(browser, DASHBOARD, ["upload", "headline", "shown"], twice=True)
            if number >= 0:
                theirs.append(bare)
                ours.append(full)
    usable = [full["upload"] for full in ours]
    return {
        "how": "From the start of `streamlit run` in a browser that runs already, nothing cached. The dashboard is "
        "usable when another picture can be chosen (the button to upload one is there), the bare page when its title "
        "and uploader are.",
        "rows": [
            row("dashboard: usable", usable, "s"),
            row("bare Streamlit page: usable", theirs, "s"),
            *(
                row(f"dashboard: {name}", [full[place] for full in ours], "s")
                for place, name in (
                    ("headline", "headline, cold"),
                    ("shown", "first explained picture, cold"),
                    ("again_upload", "usable, second session"),
                    ("again_shown", "first explained picture, second session"),
                )
            ),
        ],
        "goals": [goal("usable, to a bare Streamlit page", median(usable) / median(theirs), START_RATIO, "x")],
    }


def _started(browser: Chromium, script: Path, names: list[str], *, twice: bool = False) -> dict[str, float]:
    """Seconds from the start of the server to each place; with `again_`, of a second session from its opening."""
    found: dict[str, float] = {}
    server = Server(script)
    try:
        server.wait()
        for prefix in ("", "again_") if twice else ("",):
            with browser.session() as page:
                page.goto(server.address, wait_until="commit")
                seen = page.evaluate("names => bench.places(names)", names)
                start = page.evaluate("() => performance.timeOrigin") / 1e3 if prefix else server.started
            found |= {prefix + name: at / 1e3 - start for name, at in seen.items()}
    finally:
        server.end()
    return found


def stops(rounds: int) -> dict[str, Any]:
    """Time Stop, pressed at any moment of a slow method, until the page says that it was stopped."""
    times, sent, answered = [], [], []
    pause = random.Random(0).uniform
    with (
        chromium() as browser,
        serving(DASHBOARD) as server,
        browser.visiting(f"{server.address}/?method=scorecam") as page,
    ):
        stop = page.get_by_role("button", name="Stop")
        for number in range(rounds):
            if number:
                page.get_by_role("button", name="Start again").click()
            stop.wait_for()
            page.wait_for_timeout(pause(800, 2000))
            found = from_event(page, "click", "stopped", stop.click)
            times.append(found["ms"])
            sent.append(min(at for at, _ in found["sent"]))
            answered.append(min(at for at, _ in found["received"] if at >= sent[-1]))
    return {
        "how": "ScoreCAM on Explore, Stop pressed 0.8 to 2 s after it appeared, until the headline says that it was "
        "stopped.",
        "rows": [
            row("stop to stopped", times),
            row("of it: until the server gets the request", sent),
            row("of it: until its first answer", answered),
        ],
        "goals": [goal("stop of a slow method, worst", max(times), STOP_MS)],
    }
