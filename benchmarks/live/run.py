"""Measure the Live page end to end, from camera to screen."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.case import picture
from benchmarks.processes import megabytes
from benchmarks.report import FOLDER, Row, attempt, goal, goals, grid, machine, page
from benchmarks.viewer.browser import DASHBOARD, BrowserProblem, chromium, serving
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from playwright.sync_api import BrowserContext, Page

    from benchmarks.viewer.browser import Server

OUT = FOLDER / "LIVE.md"
SECONDS, MEMORY_SECONDS = 20.0, 600.0
WARM_SECONDS = 5.0
SIZE, RATE = (640, 480), 30
"""Of the fake camera: width and height, and frames a second."""
MODELS = {"efficientnet-lite0": 25.0, "yolo11n": 10.0}
"""Frames a second that are the goal; the detector takes frames at half its size, 320 px."""
MEDIAN_MS, P95_MS, SHARE, GROWTH_MB = 200.0, 350.0, 0.45, 40.0
STEPS = ("grab", "encode", "wait", "decode", "prepare", "model", "maps", "draw")
ABOUT = {
    "grab": "frame from the camera's video to pixels",
    "encode": "JPEG, in the browser",
    "wait": "at the server, for the frame before",
    "decode": "JPEG, at the server",
    "prepare": "resized to the model's input",
    "model": "forward pass",
    "maps": "boxes, gradient and raw map",
    "draw": "map grown, coloured and drawn, in the browser",
}
# Notes each frame once the screen shows it: the frame of the screen after the one it was drawn for.
PROBE = """(() => {
    window.frames_ = [];
    window.addEventListener("sightglass:frame", ({ detail }) => requestAnimationFrame(() => {
        requestAnimationFrame((at) => window.frames_.push({ at, ms: { ...detail.ms, glass: at - detail.taken } }));
    }));
})()"""
HOW = (
    "Chromium on the same two cores as the server, with a fake camera of 640x480 pixels and 30 frames/s that pans over "
    "a photograph of a street. From the camera's time stamp of a frame until the screen shows it with its map, boxes "
    "and labels. The fake camera and the drawing of the page without a GPU take their share of the cores."
)


def live(seconds: float, memory_seconds: float, models: tuple[str, ...]) -> Row:
    """Measure each model for so many seconds, two viewers of the first one, and memory over a longer time."""
    chosen = models or tuple(MODELS)
    lines = []
    with tempfile.TemporaryDirectory() as folder, serving(DASHBOARD) as server:
        flags = camera_flags(Path(folder))
        at = machine(0, "cpu", ("streamlit", "torch", "timm", "ultralytics", "playwright"))
        for model in chosen:
            lines.append(attempt(model, partial(_single, server, flags, model, seconds)))
            alone = lines[-1].get("rate", 0.0)
            lines.append(attempt(f"{model}, two viewers", partial(_two, server, flags, model, seconds, alone)))
        if memory_seconds:
            title = f"{chosen[0]}, memory"
            lines.append(attempt(title, partial(_memory, server, flags, chosen[0], memory_seconds)))
    return {"machine": at, "lines": lines}


def camera_flags(folder: Path) -> tuple[str, ...]:
    """Write the fake camera's film into a folder, and return Chromium's flags for it."""
    film = folder / "camera.y4m"
    photograph = Image.open(picture()).pixels
    width, height = SIZE
    with film.open("wb") as out:
        out.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for moment in range(3 * RATE):
            out.write(b"FRAME\n")
            out.write(cv2.cvtColor(_window(photograph, moment / (3 * RATE)), cv2.COLOR_RGB2YUV_I420).tobytes())
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


def _window(photograph: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Return what the camera sees at a share of its round over the photograph."""
    height, width = photograph.shape[:2]
    wide = 0.9 * width
    high = wide * SIZE[1] / SIZE[0]
    x = (width - wide) * (0.5 + 0.5 * np.sin(2 * np.pi * share))
    y = (height - high) * (0.35 + 0.15 * np.cos(2 * np.pi * share))
    part = photograph[round(y) : round(y + high), round(x) : round(x + wide)]
    return np.asarray(cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


@contextmanager
def watching(server: Server, flags: tuple[str, ...], model: str, count: int = 1) -> Iterator[list[Page]]:
    """Open the page in a browser of its own, so many times, each with the camera and its map on the screen."""
    with chromium(flags) as started:
        contexts: list[BrowserContext] = [
            started.browser.new_context(viewport={"width": 1440, "height": 900}, permissions=["camera"])
            for _ in range(count)
        ]
        pages = []
        for context in contexts:
            context.add_init_script(PROBE)
            one = context.new_page()
            one.set_default_timeout(120_000)
            one.goto(f"{server.address}/live?model={model}")
            one.locator(f'.live[data-model="{model}"]').wait_for()
            one.locator(".live").get_by_role("radio", name="Camera").check(force=True)
            pages.append(one)
        for one in pages:
            one.wait_for_function("() => window.frames_.length > 10")
        time.sleep(WARM_SECONDS)
        yield pages
        for one in pages:
            if notice := one.locator(".notice .words").text_content():
                raise BrowserProblem(f"The page says: {notice}")


def frames(pages: list[Page], seconds: float) -> list[list[Row]]:
    """Return what each page's frames cost that were shown within some seconds."""
    for one in pages:
        one.evaluate("() => { window.frames_ = []; }")
    pages[0].wait_for_timeout(1e3 * seconds)
    found: list[list[Row]] = [one.evaluate("() => window.frames_") for one in pages]
    if not all(len(one) > 5 for one in found):
        raise BrowserProblem("A page shows hardly any frames.")
    return found


def _rate(shown: list[Row]) -> float:
    return (len(shown) - 1) / (shown[-1]["at"] - shown[0]["at"]) * 1e3


def _single(server: Server, flags: tuple[str, ...], model: str, seconds: float) -> Row:
    with watching(server, flags, model) as pages:
        (shown,) = frames(pages, seconds)
        boxes = pages[0].locator(".rows button").count()
    costs = {name: [one["ms"].get(name, 0.0) for one in shown] for name in (*STEPS, "glass")}
    rate, (median, p95) = _rate(shown), np.percentile(costs["glass"], (50, 95)).tolist()
    reached = [
        goal(f"{model}: frames/s", rate, MODELS.get(model, 10.0), "fps", least=True),
        goal(f"{model}: camera to screen, median", median, MEDIAN_MS),
        goal(f"{model}: camera to screen, 95th percentile", p95, P95_MS),
    ]
    steps = {name: np.percentile(costs[name], (50, 95)).tolist() for name in STEPS}
    return {"rate": rate, "median": median, "p95": p95, "steps": steps, "rows": boxes, "goals": reached}


def _two(server: Server, flags: tuple[str, ...], model: str, seconds: float, alone: float) -> Row:
    with watching(server, flags, model, 2) as pages:
        rates = [_rate(shown) for shown in frames(pages, seconds)]
    share = min(rates) / alone if alone else 0.0
    reached = [goal(f"{model}: the slower of two viewers, by one alone", share, SHARE, "x", least=True)]
    return {"rates": rates, "share": share, "goals": reached}


def _memory(server: Server, flags: tuple[str, ...], model: str, seconds: float) -> Row:
    """Compare what server and page hold in the last quarter of the time with the second."""
    taken: list[tuple[float, float]] = []
    with watching(server, flags, model) as pages:
        wire = pages[0].context.new_cdp_session(pages[0])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # What waits to be collected is not held.
            wire.send("HeapProfiler.collectGarbage")
            heap = wire.send("Runtime.getHeapUsage")
            held = heap["usedSize"] + heap.get("backingStorageSize", 0)
            taken.append((megabytes(process=server.pid), held / 2**20))
            pages[0].wait_for_timeout(min(1e4, 1e3 * seconds / 20))
            pages[0].evaluate("() => { window.frames_ = []; }")
    quarter = max(1, len(taken) // 4)
    before, after = (np.mean(part, 0) for part in (taken[quarter : 2 * quarter], taken[-quarter:]))
    growth = (after - before).tolist()
    reached = [
        goal(f"server: growth from the second to the last quarter of {seconds:.0f} s", growth[0], GROWTH_MB, "MB"),
        goal("page: the same", growth[1], GROWTH_MB, "MB"),
    ]
    return {"seconds": seconds, "server": after[0].item(), "page": after[1].item(), "goals": reached}


def markdown(result: Row) -> str:
    """Return the report: goals, then what each step costs."""
    lines: list[Row] = result["lines"]
    single = [line for line in lines if "steps" in line]
    parts = [HOW, goals(lines)]
    if single:
        head = ("median .. 95th percentile, ms", *(line["title"] for line in single))
        rows = [
            (
                f"{name}: {ABOUT[name]}",
                *(f"{line['steps'][name][0]:.1f} .. {line['steps'][name][1]:.1f}" for line in single),
            )
            for name in STEPS
        ]
        parts.append(grid(head, rows))
    return page("Live", "live", result["machine"], *parts)
