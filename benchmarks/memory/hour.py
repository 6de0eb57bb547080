"""Use the dashboard for an hour and check its memory budget."""

from __future__ import annotations

import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import Image

from benchmarks.memory.long import MODELS
from benchmarks.processes import check_proc, environment, megabytes
from benchmarks.report import FOLDER, Row, goal, goals, grid, machine
from benchmarks.report import page as report
from benchmarks.viewer.browser import DASHBOARD, chromium, serving, settled, uploader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from benchmarks.viewer.browser import Server

OUT = FOLDER / "MEMORY.md"
SECONDS, BUDGET_MB, ABOVE = 3600.0, 2048, 1.15
PARTS = 10
"""After each of them the browser forgets all and comes as somebody new; memory is noted."""
PAGES = (
    *("explore", "topk", "detect", "compare", "similarity", "cheat", "trust", "whatif"),
    *("batch", "live", "video", "present", "history"),
)
CONTROLS = "button:visible, [role=tab]:visible, [role=radio]:visible, input[type=checkbox]:visible"
LEFT_ALONE = re.compile(r"stop|cancel|delete|remove|download|full screen|share|print", re.IGNORECASE)
"""Names of controls that end the work that was begun, or that open something which belongs to the browser."""
SIDES = (300, 4000)
"""The shortest and the longest side of uploaded pictures, in pixels."""
AT_ONCE_MS = 3000
"""How long a control may take to be pressed: it may have gone, or lie behind another."""
EVERY_S = 0.2
Samples = list[tuple[float, str]]


class Visitor:
    """Somebody who opens pages, uploads pictures and presses whatever is there, as chance has it."""

    def __init__(self, address: str, models: list[str], folder: Path, seed: int = 0) -> None:
        self._address, self._models, self._folder = address, models, folder
        self._random = random.Random(seed)
        self.done, self.pages = Counter[str](), Counter[str]()
        self.doing = ""
        """What is done now, and where."""
        self.broken: list[str] = []
        """What a page showed of an error of its own: with its address."""

    def explore(self, page: Page, seconds: float) -> None:
        """Act until the time is over."""
        from playwright.sync_api import Error

        end = time.monotonic() + seconds
        self._open(page)
        while time.monotonic() < end:
            act = self._random.choice((self._open, self._upload, self._press, self._press, self._press))
            self.doing = f"{act.__name__.strip('_')} on {urlsplit(page.url).path.strip('/') or 'explore'}"
            try:
                act(page)
                settled(page)
            except Error:
                # A control has gone meanwhile, or a run takes longer than the probe waits.
                self.done["acts that found nothing"] += 1
                self._open(page)
            if shown := page.locator('[data-testid="stException"]').all_inner_texts():
                self.broken.append(f"{page.url}: {shown[0][:200]}")
                self._open(page)

    def _open(self, page: Page) -> None:
        name, model = self._random.choice(PAGES), self._random.choice(self._models)
        self.doing = f"open {name} with {model}"
        page.goto(f"{self._address}/{name}?model={model}")
        page.locator("h1").first.wait_for()
        self.pages[name] += 1

    def _upload(self, page: Page) -> None:
        if not page.locator('[data-testid="stFileUploader"] input[type=file]').count():
            self._press(page)
            return
        size = (self._random.randint(*SIDES), self._random.randint(*SIDES))
        path = self._folder / f"{self._random.getrandbits(32)}.jpg"
        coarse = Image.frombytes("RGB", (8, 8), self._random.randbytes(8 * 8 * 3))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path)
        uploader(page).set_input_files(path)
        settled(page)
        path.unlink()
        self.done["pictures uploaded"] += 1

    def _press(self, page: Page) -> None:
        controls = page.locator(CONTROLS)
        control = controls.nth(self._random.randrange(max(1, controls.count())))
        name = control.get_attribute("aria-label", timeout=AT_ONCE_MS) or control.inner_text(timeout=AT_ONCE_MS)
        if not LEFT_ALONE.search(name):
            self.doing += f" {' '.join(name.split())[:30]!r}"
            control.click(timeout=AT_ONCE_MS)
            self.done["controls pressed"] += 1


def hour(seconds: float = SECONDS, models: tuple[str, ...] = ()) -> Row:
    """Explore for so many seconds with a server that has `BUDGET_MB`."""
    from sightglass.models import catalog

    check_proc()
    at = machine(1, "cpu", ("torch", "streamlit"))
    names = [name for name in models or MODELS if catalog.available(catalog.spec(name))]
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        folders = {f"SIGHTGLASS_{name}": str(folder / name.lower()) for name in ("HISTORY", "BATCHES")}
        folders |= {f"SIGHTGLASS_{name}": str(folder / name.lower()) for name in ("CLIPS", "HEATMAPS")}
        with (
            environment(SIGHTGLASS_MEMORY_MB=str(BUDGET_MB), **folders),
            chromium() as browser,
            serving(DASHBOARD) as server,
        ):
            visitor = Visitor(server.address, names, folder)
            with _watched(server, visitor) as samples:
                for number in range(PARTS):
                    samples.append([])
                    with browser.session() as page:
                        visitor.explore(page, seconds / PARTS)
                    print(f"{number + 1} of {PARTS}:", _part(samples[-1]), file=sys.stderr)
    parts = [_part(part) for part in samples]
    return {
        "machine": at,
        "seconds": seconds,
        "models": names,
        "parts": parts,
        "done": dict(visitor.done),
        "pages": dict(visitor.pages),
        "broken": visitor.broken,
    }


def _part(samples: Samples) -> Row:
    most, doing = max(samples)
    return {"median": statistics.median(mb for mb, _ in samples), "most": most, "doing": doing}


@contextmanager
def _watched(server: Server, visitor: Visitor) -> Iterator[list[Samples]]:
    """Yield a list to which parts are appended: the server's MB and what was done, every `EVERY_S`, go into the last of
    them."""
    samples: list[Samples] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(EVERY_S):
            if samples:
                samples[-1].append((megabytes(process=server.pid), visitor.doing))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()


def markdown(found: Row) -> str:
    parts = found["parts"]
    reached = [
        goal("most memory", max(part["most"] for part in parts), BUDGET_MB * ABOVE, "MB"),
        goal("errors that a page showed", len(found["broken"]), 0, ""),
    ]
    rows = [
        (f"{n} of {PARTS}", f"{part['median']:.0f}", f"{part['most']:.0f}", part["doing"])
        for n, part in enumerate(parts, 1)
    ]
    done = ", ".join(f"{count:,} {what}" for what, count in found["done"].items())
    return report(
        "Memory over an hour of the dashboard",
        "hour",
        found["machine"],
        f"For {found['seconds'] / 60:.0f} minutes a browser opened pages with any of {len(found['models'])} models "
        f"({', '.join(found['models'])}), uploaded pictures of up to {SIDES[1] ** 2 / 1e6:.0f} megapixels and pressed "
        f"whatever was there, as chance had it: {sum(found['pages'].values()):,} pages opened, {done}. The server has "
        f"`SIGHTGLASS_MEMORY_MB={BUDGET_MB}`; memory is its resident memory, {1 / EVERY_S:.0f} times a second, in MB "
        f"of 1,048,576 bytes. The goal is the budget and {ABOVE - 1:.0%}.",
        goals([{"goals": reached}]),
        *(f"- {one}" for one in found["broken"]),
        grid(("part", "median MB", "most MB", "while"), rows),
    )
