"""Measure the dashboard's start and memory with `SIGHTGLASS_PROFILE=small`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.processes import check_proc, environment, megabytes, reset_peak
from benchmarks.report import FOLDER, Row, goal, goals, grid, machine
from benchmarks.report import page as report
from benchmarks.viewer.browser import DASHBOARD, BrowserProblem, chromium, explained, serving, settled, upload
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from benchmarks.viewer.browser import Server

OUT = FOLDER / "MEMORY.md"
FIRST_S, MOST_MB = 10.0, 0.9e9 / 2**20
MODEL = "efficientnet-lite0"
ERRORS = '[data-testid="stException"], [data-testid="stAlertContentError"]'
UPLOADS, SIZE = 6, (3024, 4032)
"""Photographs as a telephone takes them: height and width."""
WITH_THE_MODEL = {
    "Top-k": "topk",
    "Grad-CAM": "explore?method=gradcam",
    "LayerCAM": "explore?method=layercam",
    "What if": "whatif",
    "Eigen-CAM": "explore?method=eigencam",
}
OTHERS = {
    "Detect": "detect?model=demo-s",
    "Compare": "compare",
    "Similarity": "similarity",
    "Cheat": "cheat",
    "Batch": "batch",
    "Live": "live",
    "Video": "video",
    "History": "history",
}


def small(models: tuple[str, ...] = ()) -> Row:
    """Measure a server that was just started, then one model's pages and pictures, and then every other page."""
    check_proc()
    model = models[0] if models else MODEL
    with (
        tempfile.TemporaryDirectory() as folder,
        environment(SIGHTGLASS_PROFILE="small"),
        chromium() as browser,
        serving(DASHBOARD) as server,
        browser.session() as page,
    ):
        page.goto(f"{server.address}/?model={model}")
        explained(page)
        seconds = time.time() - server.started
        steps = [_step("the first map", server)]
        _upload_many(page, Path(folder))
        steps.append(_step(f"{UPLOADS} photographs of {SIZE[0] * SIZE[1] / 1e6:.0f} megapixels", server))
        for title, address in WITH_THE_MODEL.items():
            _visit(page, server, f"{address}{'&' if '?' in address else '?'}model={model}")
            steps.append(_step(title, server))
        for title, address in OTHERS.items():
            _visit(page, server, address)
            steps.append(_step(title, server, own=False))
    return {"machine": machine(1, "cpu", ("torch", "streamlit")), "model": model, "seconds": seconds, "steps": steps}


def _step(title: str, server: Server, *, own: bool = True) -> Row:
    """Return what a step took, at its end and at most; `own`: it is one of the model's."""
    now, most = (megabytes(name, server.pid) for name in ("VmRSS", "VmHWM"))
    reset_peak(server.pid)
    return {"title": title, "now": now, "most": most, "own": own}


def _upload_many(page: Page, folder: Path) -> None:
    height, width = SIZE
    for number in range(UPLOADS):
        # Smooth, so that its file is as large as a photograph's.
        small = np.random.default_rng(number).integers(0, 255, (height // 63, width // 63, 3), np.uint8)
        path = folder / f"{number}.jpg"
        path.write_bytes(to_jpeg(np.kron(small, np.ones((63, 63, 1), np.uint8))))
        upload(page, path)


def _visit(page: Page, server: Server, address: str) -> None:
    page.goto(f"{server.address}/{address}")
    page.locator("h1").first.wait_for()
    settled(page)
    if words := page.locator(ERRORS).all_inner_texts():
        raise BrowserProblem(f"/{address} says: {words[0][:200]}")


def markdown(found: Row) -> str:
    rows = [(one["title"], f"{one['now']:.0f}", f"{one['most']:.0f}") for one in found["steps"]]
    reached = [goal("seconds from the start of the server to the first map", found["seconds"], FIRST_S, "s")]
    first, *rest = found["steps"]
    reached.append(goal("most memory: the first map", first["most"], MOST_MB, "MB"))
    most = max(one["most"] for one in rest if one["own"])
    reached.append(goal("most memory: large photographs, and every page of the same model", most, MOST_MB, "MB"))
    return report(
        "Memory in a small place",
        "small",
        found["machine"],
        f"The dashboard with `SIGHTGLASS_PROFILE=small` and {found['model']}: the server is started, and a browser "
        "that has nothing cached opens it; then pictures are uploaded and pages opened, one after another. Memory is "
        "the resident memory of the server's process, and its peak in that step, in MB of 1,048,576 bytes; 0.9 GB are "
        f"{MOST_MB:.0f} of these.",
        goals([{"goals": reached}]),
        grid(("after", "MB", "peak"), rows),
    )
