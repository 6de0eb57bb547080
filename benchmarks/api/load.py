"""Load-test the API while pages of the dashboard are opened.

Clients do not pause, and each map is compared with the library's.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.api.clients import BOUNDARY, MODEL, Answers, ask, form
from benchmarks.batch.throughput import SIZE, written
from benchmarks.processes import environment, fresh, megabytes, spawned
from benchmarks.report import FOLDER, Row, grid, machine, page
from benchmarks.viewer.browser import DASHBOARD, Chromium, chromium, explained, serving

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS, SECONDS, PICTURES, PAGES = 8, 60.0, 96, 5
OUT = FOLDER / "API.md"
MAP = "application/x-npy"
PACKAGES = ("torch", "streamlit", "fastapi", "starlette", "uvicorn", "numpy")


def api(seconds: float = SECONDS, clients: int = CLIENTS, pictures: int = PICTURES, pages: int = PAGES) -> Row:
    # One core is left to the loop and the pages, in the server and in the library that it is compared with.
    threads = max(1, (os.cpu_count() or 2) - 1)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        paths = sorted(written(Path(scratch), pictures).rglob("*.jpg"))
        stack.enter_context(environment(OMP_NUM_THREADS=str(threads), SIGHTGLASS_EVIDENCE_MB="1"))
        fresh(write_maps, paths)
        result: Row = {
            "machine": machine(threads, "cpu", PACKAGES),
            "clients": clients,
            "seconds": seconds,
            "pictures": pictures,
        }
        pool, browser = stack.enter_context(spawned()), stack.enter_context(chromium())
        server, peer = (stack.enter_context(serving(app)) for app in (DASHBOARD, "benchmarks.api.bare:app"))
        route, bare = f"{server.address}/api/explain", f"{peer.address}/predict"
        # The first request loads the model, the first page everything else.
        for path in paths[:3]:
            _one(route, path)
            _one(bare, path)
        quiet = opened(browser, server.address, pages + 1)[1:]
        # Half of it before and half after, so that what else the machine does falls on both.
        other = pool.submit(ask, bare, "application/json", paths, clients, seconds / 2).result()
        before = megabytes(process=server._process.pid)
        ours = pool.submit(ask, route, MAP, paths, clients, seconds)
        busy: list[float] = []
        while not ours.done():
            busy += opened(browser, server.address, 1)
        result["memory"] = {"before": before, "after": megabytes(process=server._process.pid)}
        other = other.with_more(pool.submit(ask, bare, "application/json", paths, clients, seconds / 2).result())
        result["ours"], result["bare"] = figures(ours.result()), figures(other)
        result["page"] = {"quiet": quiet, "busy": busy}
        return result


def write_maps(paths: Sequence[Path]) -> None:
    """Write each picture's first map, made by the library, beside the picture."""
    from sightglass.explain import Explainer

    explainer = Explainer(MODEL)
    for path in paths:
        np.save(path.with_suffix(".npy"), explainer(path).heatmaps[0].values)


def _one(address: str, path: Path) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    urllib.request.urlopen(urllib.request.Request(address, form(path), headers), timeout=120).close()


def opened(browser: Chromium, address: str, times: int) -> list[float]:
    """Return the milliseconds from opening Explore, with nothing cached, to the first explained picture."""
    took = []
    for _ in range(times):
        with browser.session() as page:
            start = time.perf_counter()
            page.goto(address)
            explained(page)
            took.append((time.perf_counter() - start) * 1e3)
    return took


def figures(found: Answers) -> Row:
    times = sorted(1e3 * second for second in found.seconds) or [float("nan")]
    return {
        "right": len(found.seconds),
        "wrong": len(found.wrong),
        "complaints": sorted(set(found.wrong))[:5],
        "refused": found.refused,
        "seconds": found.lasted,
        "rate": len(found.seconds) / found.lasted if found.lasted else 0.0,
        "p50": statistics.median(times),
        "p95": times[min(len(times) - 1, int(0.95 * len(times)))],
        "longest": times[-1],
    }


FORMS = {"right": "d", "wrong": "d", "refused": "d", "rate": ".1f", "p50": ".0f", "p95": ".0f", "longest": ".0f"}
HEAD = ("", "answers", "wrong", "refused (429)", "answers/s", "median ms", "95 % within ms", "longest ms")


def markdown(result: Row) -> str:
    ours, bare, memory = result["ours"], result["bare"], result["memory"]
    waits = [
        (name, str(len(times)), f"{statistics.median(times):.0f}", f"{max(times):.0f}")
        for name, times in (("no other requests", result["page"]["quiet"]), ("under load", result["page"]["busy"]))
        if times
    ]
    answers = [
        (name, *(f"{row[key]:{form}}" for key, form in FORMS.items()))
        for name, row in (("Sightglass", ours), ("bare", bare))
    ]
    equal = (
        "all are equal, value for value."
        if not ours["wrong"]
        else f"**{ours['wrong']} answers were not right**: {'; '.join(ours['complaints'])}."
    )
    parts = [
        f"`streamlit run dashboard.py` as a user starts it; {result['clients']} clients for {result['seconds']:g} s, "
        f"each with its next picture as soon as it has the answer: {result['pictures']} JPEG files of {SIZE[0]} x "
        f"{SIZE[1]} pixels in turn, {MODEL}, the default map. Clients and browser are on the same machine.",
        "- **Sightglass**: `POST /api/explain`, answered with the first class's map on the picture's own grid "
        "(float32, `application/x-npy`). Five classes are explained, and every statistic is made. The cache of "
        "evidence is turned down, so that each answer takes a pass of the model.\n"
        "- **bare**: a FastAPI route without a dashboard, the same model and preprocessing, five classes and no map. "
        "Half of its time before, half after.",
        grid(HEAD, answers),
        f"With its map an answer takes {ours['p50'] / bare['p50']:.2f} times the bare model's (median), "
        f"{ours['p95'] / bare['p95']:.2f} times (95 %).",
        f"Each of the {ours['right']} maps was compared with the library's, made before in another process: {equal}",
        "## The pages meanwhile",
        "Explore opened in a Chromium with nothing cached, until its picture is explained:",
        grid(("", "times", "median ms", "longest ms"), waits),
        "## Memory",
        f"The dashboard's process held {memory['before']:.0f} MB before the clients came and {memory['after']:.0f} MB "
        f"after {ours['right']} answers.",
    ]
    return page("The API, beside the dashboard's pages", "api", result["machine"], *parts)
