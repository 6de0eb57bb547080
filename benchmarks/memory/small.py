"""Start the dashboard with `SIGHTGLASS_PROFILE=small`: seconds to the first map, and the memory of its process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.processes import HAS_PROC, environment, megabytes
from benchmarks.report import FOLDER, Row, goal, goals, grid, machine
from benchmarks.report import page as report
from benchmarks.viewer.browser import DASHBOARD, chromium, explained, serving, settled, upload
from common.errors import ModelProblem
from explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from benchmarks.viewer.browser import Server

OUT = FOLDER / "MEMORY.md"
FIRST_S, MOST_MB = 10.0, 0.9e9 / 2**20
MODEL = "efficientnet-lite0"
UPLOADS, SIZE = 6, (3024, 4032)
"""Photographs as a telephone takes them: height and width."""
WITH_THE_MODEL = ("topk", "explore?method=gradcam", "explore?method=layercam", "whatif", "explore?method=eigencam")
OTHERS = ("detect?model=demo-s", "compare", "similarity", "cheat", "batch", "watch", "live", "video", "history")


def small(models: tuple[str, ...] = ()) -> Row:
    """Measure a server that was just started, then one model's pages and pictures, and then every other page."""
    if not HAS_PROC:
        raise ModelProblem("Memory is measured on Linux only: there is no /proc here.")
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
        _visit(page, server, [f"{one}{'&' if '?' in one else '?'}model={model}" for one in WITH_THE_MODEL])
        steps.append(_step("Top-k, What if, and other methods", server))
        _visit(page, server, OTHERS)
        steps.append(_step("every other page, with its own models", server))
    return {"machine": machine(1, "cpu", ("torch", "streamlit")), "model": model, "seconds": seconds, "steps": steps}


def _step(title: str, server: Server) -> Row:
    now, most = (megabytes(name, server.pid) for name in ("VmRSS", "VmHWM"))
    return {"title": title, "now": now, "most": most}


def _upload_many(page: Page, folder: Path) -> None:

    height, width = SIZE
    for number in range(UPLOADS):
        # Smooth, so that its file is as large as a photograph's.
        small = np.random.default_rng(number).integers(0, 255, (height // 63, width // 63, 3), np.uint8)
        path = folder / f"{number}.jpg"
        path.write_bytes(to_jpeg(np.kron(small, np.ones((63, 63, 1), np.uint8))))
        upload(page, path)


def _visit(page: Page, server: Server, addresses: list[str] | tuple[str, ...]) -> None:
    for one in addresses:
        page.goto(f"{server.address}/{one}")
        page.locator("h1").first.wait_for()
        settled(page)


def markdown(found: Row) -> str:
    rows = [(one["title"], f"{one['now']:.0f}", f"{one['most']:.0f}") for one in found["steps"]]
    reached = [goal("seconds from the start of the server to the first map", found["seconds"], FIRST_S, "s")]
    reached += [goal(f"most memory: {one['title']}", one["most"], MOST_MB, "MB") for one in found["steps"][:1]]
    return report(
        "Memory in a small place",
        "small",
        found["machine"],
        f"The dashboard with `SIGHTGLASS_PROFILE=small` and {found['model']}: the server is started, and a browser "
        "that has nothing cached opens it; then pictures are uploaded and pages opened, one after another. Memory is "
        "the resident memory of the server's process, and its peak, in MB of 1,048,576 bytes; 0.9 GB are "
        f"{MOST_MB:.0f} of these.",
        goals([{"goals": reached}]),
        grid(("after", "MB", "peak"), rows),
    )
