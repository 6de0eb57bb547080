"""Measure a user's waits: start, upload, another class, a dragged slider."""

from __future__ import annotations

import tempfile
import time
from functools import cache, partial
from itertools import cycle
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.pictures import numbered
from benchmarks.processes import spawned
from benchmarks.report import goal, row
from benchmarks.viewer.browser import (
    BARE,
    DASHBOARD,
    RATE,
    BrowserProblem,
    Chromium,
    chromium,
    explained,
    from_event,
    serving,
    settled,
    sized,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from sightglass.explain import Explainer

FRAMES, CLASS_MS, RATIO, MORE_MS, START_RATIO = 50.0, 50.0, 1.25, 150.0, 1.25
SCREEN = (1280, 853)
"""Size of an uploaded picture."""
TURN = 50
"""Moves from one end of a drag to the other: each is at least one step of a slider."""
WARM_UP = 3
TOUCHED = {"efficientnet-lite0": 50.0, "yolo11n": 100.0}
"""Most milliseconds from the pointer to the bars, by model."""
PARTS = {
    "file": "1. the file to the server",
    "ask": "2. the page asks for a run",
    "run": "3. the run, until picture and maps are in the page",
    "decode": "4. unpacked and decoded",
    "draw": "5. drawn",
}
"""Of an upload, in order."""


def frames(rounds: int) -> dict[str, Any]:
    """Count redraws a second while the mouse is held, with four panels."""
    sliders = {"opacity": ".alpha", "threshold": ".threshold"}
    by_name = {name: list[float]() for name in sliders}
    with chromium() as browser, serving(DASHBOARD) as server, browser.visiting(server.address) as page:
        explained(page)
        page.goto(f"{server.address}/topk?example=china&fit=squash&scale=own")
        explained(page)
        panels = page.evaluate("() => bench.canvases().length")
        if panels != 4:
            raise BrowserProblem(f"there are {panels} panels, not 4")
        window = sized(page, 640, 427)
        for _ in range(rounds):
            for name, speeds in by_name.items():
                settled(page)
                speeds.append(_speed(drag(browser, page, sliders[name], 3.0)))
    rows = [row(f"{name}: redraws a second", speeds, "", least=True) for name, speeds in by_name.items()]
    return {
        "how": f"Top-k, four canvases of 640x427 pixels in a window of {window[0]}x{window[1]}, the mouse held on a "
        "slider and moved to and fro for 3 s. A redraw is a frame in which a canvas reads back other pixels than in "
        "the one before; of the four panels the one with the fewest counts. No event, no redraw.",
        "rows": rows,
        "goals": [
            goal(f"redraws a second, 4 panels, {name} dragged", median(speeds), FRAMES, "", least=True)
            for name, speeds in by_name.items()
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


def touches(rounds: int) -> dict[str, Any]:
    """Touch the picture and wait for the bars of the answers."""
    times: dict[str, list[float]] = {model: [] for model in TOUCHED}
    with chromium() as browser, serving(DASHBOARD) as server:
        for model, timings in times.items():
            with browser.visiting(f"{server.address}/?model={model}&example=bus") as page:
                explained(page)
                box = page.locator(".stage").first.bounding_box()
                assert box is not None
                page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.3 * box["height"])
                page.mouse.down()
                for step in range(-WARM_UP, rounds):
                    settled(page)
                    place = box["x"] + (0.15 + 0.7 * (step + WARM_UP) / (rounds + WARM_UP)) * box["width"]
                    move = partial(page.mouse.move, place, box["y"] + 0.55 * box["height"])
                    timing = from_event(page, "pointermove", "bars", move)
                    timings += [timing["ms"]] * (step >= 0)
                page.mouse.up()
    return {
        "how": "Explore, bus.jpg, the mouse held on the picture: from a move to the first frame with other bars.",
        "rows": [row(f"pointer to bar, {model}", timings) for model, timings in times.items()],
        "goals": [
            goal(f"pointer to bar, {model}, median", median(times[model]), limit) for model, limit in TOUCHED.items()
        ],
    }


def drag(browser: Chromium, page: Page, selector: str, seconds: float) -> dict[str, Any]:
    """Drag a slider back and forth; return the probe before release."""
    box = page.locator(selector).first.bounding_box()
    if box is None:
        raise BrowserProblem(f"{selector} is not on the page")
    x, y, wide, high = box["x"], box["y"], box["width"], box["height"]
    share = cycle((*range(TURN), *range(TURN, 0, -1)))
    at = [0.15 + 0.65 * next(share) / TURN for _ in range(int(seconds * RATE))]
    moves = [(x + wide * (a if wide > high else 0.5), y + high * (0.5 if wide > high else a)) for a in at]
    page.mouse.move(*moves[0])
    page.mouse.down()
    page.wait_for_timeout(100)
    page.evaluate("() => void bench.watch()")
    browser.move(page, moves)
    page.wait_for_timeout(300)
    seen: dict[str, Any] = page.evaluate("() => bench.stop()")
    page.mouse.up()
    return seen


def _speed(seen: dict[str, Any]) -> float:
    """Return the redraws a second during the slider's events, of the panel with the fewest."""
    if not seen["inputs"]:
        raise BrowserProblem("the slider did not move with the mouse")
    start, end = seen["inputs"][0], seen["inputs"][-1]
    # A redraw is seen up to two frames after its event.
    return min(sum(start <= at <= end + 35 for at in times) for times in seen["draws"]) / max((end - start) / 1e3, 1e-3)


def uploads(rounds: int) -> dict[str, Any]:
    """Time uploads from choice to map, and the engine alone."""
    seen: list[dict[str, Any]] = []
    engine_times: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving(DASHBOARD) as server,
        spawned() as engine,
    ):
        paths, others = (numbered(Path(folder), SCREEN, seed) for seed in range(2))
        with browser.visiting(server.address) as page:
            explained(page)
            for number in range(-WARM_UP, rounds):
                uploader = page.locator('[data-testid="stFileUploader"] input[type=file]').first
                choose = partial(uploader.set_input_files, next(paths))
                settled(page)
                timing = from_event(page, "change", "shown", choose)
                # The first only takes away what idling left in the processor's caches.
                engine.submit(engine_ms, next(others)).result()
                took = engine.submit(engine_ms, next(others)).result()
                if number >= 0:
                    seen.append(_parts(timing))
                    engine_times.append(took)
    times, engines = [timing["all"] for timing in seen], median(engine_times)
    limit = RATIO * engines + MORE_MS
    return {
        "how": "Crops of three photographs in turn, 1280x853, no two the same, as JPEG: from the `change` of the "
        "uploader's input to the new map on the canvas. The engine alone, in a process of its own with as many "
        "threads: such a file decoded and explained, warm. The parts follow each other.",
        "rows": [
            row("upload to map", times),
            *(row(name, [timing[part] for timing in seen]) for part, name in PARTS.items()),
            row("the engine alone", engine_times),
        ],
        "facts": [f"Picture and maps: {median(timing['bytes'] for timing in seen) / 1e3:.0f} kB."],
        "goals": [goal(f"upload to map, median, to {RATIO} x engine + {MORE_MS:.0f} ms", median(times), limit)],
    }


@cache
def _explainer() -> Explainer:
    # Before torch: it sets the threads.
    from sightglass.ui.session import page

    assert page
    from sightglass.explain import Explainer

    return Explainer()


def engine_ms(path: Path) -> float:
    """Return the engine's milliseconds for a file, with dashboard threads."""
    explainer, data = _explainer(), path.read_bytes()
    from sightglass.explain.picture.image import Image

    start = time.perf_counter()
    explanation = explainer(Image.open(data))
    assert all(heatmap.at_input.size for heatmap in explanation.heatmaps)
    return (time.perf_counter() - start) * 1e3


def _parts(event: dict[str, Any]) -> dict[str, float]:
    uploaded = event["uploaded"]
    requested = next((at for at, _ in event["sent"] if uploaded is not None and at >= uploaded - 1), None)
    # The largest message carries the picture and its maps.
    payload = max(event["received"], key=itemgetter(1), default=None)
    if uploaded is None or requested is None or payload is None:
        raise BrowserProblem("an upload, its run or its picture was not seen on the wire")
    came, size = payload
    return {
        "all": event["ms"],
        "file": uploaded,
        "ask": requested - uploaded,
        "run": came - requested,
        "decode": event["switched"] - came,
        "draw": event["ms"] - event["switched"],
        "bytes": size,
    }


def starts(rounds: int) -> dict[str, Any]:
    """Time `streamlit run` until usable and until the first map."""
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    with chromium() as browser:
        for number in range(-1, rounds):
            bare = _started(browser, BARE, ["uploader"])["uploader"]
            full = _started(browser, DASHBOARD, ["upload", "headline", "shown"])
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
            row("dashboard: headline, cold", [full["headline"] for full in ours], "s"),
            row("dashboard: first explained picture, cold", [full["shown"] for full in ours], "s"),
        ],
        "goals": [goal("usable, to a bare Streamlit page", median(usable) / median(theirs), START_RATIO, "x")],
    }


def _started(browser: Chromium, script: Path, names: list[str]) -> dict[str, float]:
    """Return each place's seconds from the start."""
    with serving(script) as server, browser.visiting(server.address, "commit") as page:
        seen = page.evaluate("names => bench.places(names)", names)
        return {name: at / 1e3 - server.started for name, at in seen.items()}
