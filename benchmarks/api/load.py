"""Load the dashboard's API: clients without a pause, each map compared with the library's, pages opened meanwhile."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.api.clients import BOUNDARY, MODEL, Answers, ask, form
from benchmarks.batch.throughput import SIZE, written
from benchmarks.processes import ROOT, environment, free_port, megabytes, spawned
from benchmarks.report import FOLDER, load, machine, where
from benchmarks.viewer.browser import DASHBOARD, BrowserProblem, Chromium, chromium, explained, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENTS, SECONDS, PICTURES, PAGES = 8, 60.0, 96, 5
OUT = FOLDER / "API.md"
MAP = "application/x-npy"
PACKAGES = ("torch", "streamlit", "fastapi", "starlette", "uvicorn", "numpy")


def api(
    seconds: float = SECONDS, clients: int = CLIENTS, pictures: int = PICTURES, pages: int = PAGES
) -> dict[str, Any]:
    """Measure the API, the bare route and the pages."""
    # One core is left to the loop and the pages, in the server and in the library that it is compared with.
    threads = max(1, (os.cpu_count() or 2) - 1)
    with tempfile.TemporaryDirectory() as held, ExitStack() as stack:
        paths = sorted(written(Path(held), pictures).rglob("*.jpg"))
        stack.enter_context(environment(OMP_NUM_THREADS=str(threads), SIGHTGLASS_EVIDENCE_MB="1"))
        library(paths)
        result: dict[str, Any] = {
            "machine": machine(threads, "cpu", PACKAGES),
            "clients": clients,
            "seconds": seconds,
            "pictures": pictures,
        }
        pool, browser = stack.enter_context(spawned()), stack.enter_context(chromium())
        server, bare = stack.enter_context(serving(DASHBOARD)), stack.enter_context(peer())
        route = f"{server.address}/api/explain"
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
        result["machine"]["load_after"] = load()
    return result


def library(paths: Sequence[Path]) -> None:
    """Write each picture's first map, made by the library in another process, beside the picture."""
    code = "import sys; from benchmarks.api.load import _mapped; _mapped(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, cwd=ROOT)


def _mapped(paths: Sequence[str]) -> None:
    from explain import Explainer

    explainer = Explainer(MODEL)
    for path in paths:
        np.save(Path(path).with_suffix(".npy"), explainer(path).heatmaps[0].values)


@contextmanager
def peer() -> Iterator[str]:
    """Start the bare model's route in another process and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.api.bare:app", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    address = f"http://127.0.0.1:{port}/predict"
    try:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(address.replace("/predict", "/openapi.json"), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise BrowserProblem("The bare model's server did not start.")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _one(address: str, path: Path) -> bytes:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    with urllib.request.urlopen(urllib.request.Request(address, form(path), headers), timeout=120) as answer:
        return io.BytesIO(answer.read()).getvalue()


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


def figures(heard: Answers) -> dict[str, Any]:
    """Return milliseconds and counts of the answers."""
    times = sorted(1e3 * second for second in heard.seconds) or [float("nan")]
    return {
        "right": len(heard.seconds),
        "wrong": len(heard.wrong),
        "complaints": sorted(set(heard.wrong))[:5],
        "refused": heard.refused,
        "seconds": heard.lasted,
        "rate": len(heard.seconds) / heard.lasted if heard.lasted else 0.0,
        "p50": statistics.median(times),
        "p95": times[min(len(times) - 1, int(0.95 * len(times)))],
        "longest": times[-1],
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the report."""
    ours, bare, memory = result["ours"], result["bare"], result["memory"]
    width, height = SIZE
    quiet, busy = (result["page"][name] or [float("nan")] for name in ("quiet", "busy"))
    lines = [
        "# The API, beside the dashboard's pages",
        "",
        f"`streamlit run dashboard.py` as a user starts it; {result['clients']} clients for {result['seconds']:g} s, "
        f"each with its next picture as soon as it has the answer: {result['pictures']} JPEG files of {width} x "
        f"{height} pixels in turn, {MODEL}, the default map. Clients and browser are on the same machine. "
        + where(result["machine"]),
        "",
        "- **Sightglass**: `POST /api/explain`, answered with the first class's map on the picture's own grid "
        "(float32, `application/x-npy`). Five classes are explained, and every statistic is made. The cache of "
        "evidence is turned down, so that each answer takes a pass of the model.",
        "- **bare**: a FastAPI route without a dashboard, the same model and preprocessing, five classes and no map. "
        "Half of its time before, half after.",
        "",
        "| | answers | wrong | told to come back (429) | answers/s | median ms | 95 % within ms | longest ms |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {row['right']} | {row['wrong']} | {row['refused']} | {row['rate']:.1f} | {row['p50']:.0f} "
            f"| {row['p95']:.0f} | {row['longest']:.0f} |"
            for name, row in (("Sightglass", ours), ("bare", bare))
        ),
        "",
        f"With its map an answer takes {ours['p50'] / bare['p50']:.2f} times the bare model's (median), "
        f"{ours['p95'] / bare['p95']:.2f} times (95 %).",
        "",
        f"Each of the {ours['right']} maps was held against the library's, made before in another process: "
        + (
            "all are the same value for value."
            if not ours["wrong"]
            else f"**{ours['wrong']} answers were not right**: {'; '.join(ours['complaints'])}."
        ),
        "",
        "## The pages meanwhile",
        "",
        "Explore opened in a Chromium with nothing cached, until its picture is explained:",
        "",
        "| | times | median ms | longest ms |",
        "|---|---|---|---|",
        f"| nobody else asks | {len(quiet)} | {statistics.median(quiet):.0f} | {max(quiet):.0f} |",
        f"| while the clients ask | {len(busy)} | {statistics.median(busy):.0f} | {max(busy):.0f} |",
        "",
        "## Memory",
        "",
        f"The dashboard's process held {memory['before']:.0f} MB before the clients came and {memory['after']:.0f} MB "
        f"after {ours['right']} answers.",
    ]
    return "\n".join(lines) + "\n"
