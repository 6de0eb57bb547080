"""Load-test the real server and report waits, throughput and memory."""

from __future__ import annotations

import os
import statistics
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from benchmarks.load.crowd import LEAVING, TWICE, Crowd, Tally
from benchmarks.load.pictures import MODEL, SIZE, expect
from benchmarks.pictures import numbered
from benchmarks.processes import spawned
from benchmarks.report import Row, goal, goals, grid, machine, page
from benchmarks.viewer.browser import DASHBOARD, Server, serving

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

SESSIONS, CLIENTS, SECONDS = 20, 8, 600.0
PARTS = 10
"""Parts of the load, before each of which one caller of each kind is measured alone; memory is read after each."""
WARM = 3
"""Parts after which memory should be flat."""
WARM_SECONDS = 400.0
"""Length of a load of which those parts take two minutes: so long Streamlit keeps the first sessions that left."""
THROUGHPUT, GROWTH = 0.9, 1.05
COUNTS = 1.25
"""Threads of a pool end when they were idle, and Streamlit keeps a session that left for two minutes, each with three
file descriptors: their numbers vary by a few."""
PACKAGES = ("torch", "streamlit", "fastapi", "starlette", "uvicorn", "numpy")


def run(options: argparse.Namespace) -> Row:
    """Return all answers in `seconds` of load, in `PARTS` parts."""
    seconds, sessions, clients = options.seconds, options.sessions, options.clients
    # One core is left to the loop and the pages, in the server and in the library that it is compared with.
    threads = max(1, (os.cpu_count() or 2) - 1)
    alone = max(1.0, seconds / PARTS / 10)
    with tempfile.TemporaryDirectory() as scratch, patch.dict(os.environ, OMP_NUM_THREADS=str(threads)):
        # More than the caches of a session's answers and of evidence hold together: nearly every answer is a new pass.
        paths = list(islice(numbered(Path(scratch), SIZE), int(min(640, max(160, 8 * seconds)))))
        with spawned() as pool:
            expected = pool.submit(expect, paths).result()
        result: Row = {
            "machine": machine(threads, "cpu", PACKAGES),
            "seconds": seconds,
            "sessions": sessions,
            "clients": clients,
            "pictures": len(paths),
        }
        with serving(DASHBOARD) as server:
            crowd = Crowd(server.address, paths, expected, sessions, clients)
            try:
                result |= _measured(crowd, server, seconds / PARTS, alone)
            finally:
                crowd.leave()
        complete = seconds >= SECONDS and sessions >= SESSIONS and clients >= CLIENTS
        return result | {"goals": _goals(result), "failed": failures(result), "complete": complete}


def _measured(crowd: Crowd, server: Server, seconds: float, alone: float) -> Row:
    tallies = {name: Tally() for name in ("sessions", "clients", "session alone", "client alone")}
    rows: list[Row] = [state(server.pid)]
    shares: list[float] = []
    for part in range(PARTS):
        before = dict(zip(("session alone", "client alone"), crowd.alone(alone, part), strict=True))
        many = dict(zip(("sessions", "clients"), crowd.together(seconds), strict=True))
        shares.append(throughput(many["sessions"], many["clients"], before["session alone"], before["client alone"]))
        for name, tally in (before | many).items():
            tallies[name].add(tally)
        rows.append(state(server.pid))
    share = throughput(*(tallies[name] for name in ("sessions", "clients", "session alone", "client alone")))
    answers = {name: figures(tally) for name, tally in tallies.items()}
    return {"answers": answers, "states": rows, "share": share, "shares": shares}


def throughput(sessions: Tally, clients: Tally, session: Tally, client: Tally) -> float:
    """Return the joint throughput as a share of single callers'.

    An answer to a session is a whole page and takes longer than one to a client: each kind counts by its own rate.
    """
    each = ((sessions, session), (clients, client))
    return sum(many.rate / single.rate for many, single in each if single.rate)


def state(pid: int) -> Row:
    """Return the memory (MB), threads and file descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    kilobytes, threads = (int(next(x for x in status if x.startswith(key)).split()[1]) for key in ("VmRSS", "Threads"))
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"mb": kilobytes / 1024, "threads": threads, "files": files}


def figures(tally: Tally) -> Row:
    return {
        "right": len(tally.finished),
        "wrong": len(tally.wrong),
        "errors": len(tally.errors),
        "complaints": sorted({*tally.wrong, *tally.errors})[:5],
        "hangs": tally.hangs,
        "refused": tally.refused,
        "left": tally.left,
        "twice": tally.twice,
        "rate": tally.rate,
        "shown": _waits(tally.shown),
        "finished": _waits(tally.finished),
    }


def _waits(seconds: Sequence[float]) -> Row:
    times = sorted(1e3 * second for second in seconds) or [float("nan")]
    at = min(len(times) - 1, int(0.95 * len(times)))
    return {"p50": statistics.median(times), "p95": times[at], "longest": times[-1]}


def failures(result: Row) -> int:
    """Return the number of wrong, failed or refused answers."""
    return sum(row[name] for row in result["answers"].values() for name in ("wrong", "errors", "refused"))


def growth(states: Sequence[Row], name: str) -> float:
    """Return a final value as a share of the warm one."""
    return float(states[-1][name] / states[min(WARM, len(states) - 1)][name])


def _goals(result: Row) -> list[Row]:
    states, total = result["states"], result["answers"].values()
    checked = [
        goal("maps that were not the picture's own", sum(row["wrong"] for row in total), 0, ""),
        goal("errors and refusals", sum(row["errors"] + row["refused"] for row in total), 0, ""),
        goal("answers that never came", sum(row["hangs"] for row in total), 0, ""),
        goal("throughput of all together, of one caller at a time", result["share"], THROUGHPUT, "x", least=True),
    ]
    if result["seconds"] >= WARM_SECONDS:
        checked += [
            goal(f"memory at the end, of that after {WARM} of {PARTS} parts", growth(states, "mb"), GROWTH, "x"),
            goal("threads at the end, of those then", growth(states, "threads"), COUNTS, "x"),
            goal("file descriptors at the end, of those then", growth(states, "files"), COUNTS, "x"),
        ]
    return checked


HEAD = ("", "right", "wrong", "errors", "hung", "refused", "left", "second uploads", "answers/s")
COUNTED = ("right", "wrong", "errors", "hangs", "refused", "left", "twice")
WAITS = ("", "map: median ms", "95 % within", "longest", "all of it: median ms", "95 % within", "longest")
NAMES = {
    "sessions": "{sessions} sessions",
    "clients": "{clients} API clients",
    "session alone": "one session alone",
    "client alone": "one client alone",
}


def markdown(result: Row) -> str:
    answers = {NAMES[name].format(**result): row for name, row in result["answers"].items()}
    counts = [(name, *(str(row[key]) for key in COUNTED), f"{row['rate']:.1f}") for name, row in answers.items()]
    waits = [
        (name, *(f"{row[what][key]:.0f}" for what in ("shown", "finished") for key in ("p50", "p95", "longest")))
        for name, row in answers.items()
    ]
    states = [
        (
            "at the start" if part == 0 else f"{part} of {PARTS}",
            f"{usage['mb']:.0f}",
            str(usage["threads"]),
            str(usage["files"]),
        )
        for part, usage in enumerate(result["states"])
    ]
    complaints = sorted({text for row in result["answers"].values() for text in row["complaints"]})
    parts = [
        f"`streamlit run dashboard.py` as `make run` starts it, with {result['sessions']} sessions of the dashboard "
        f"and {result['clients']} clients of the API for {result['seconds']:g} s, each with its next picture as soon "
        f"as it has the answer to the last: {result['pictures']} JPEG files in turn, {MODEL}, the default map.",
        "- **A session** is a real one to the server: it opens the page, uploads files and gets every message through "
        "Streamlit's own protocol (WebSocket and HTTP), spoken by a light client. Nothing is drawn: twenty browsers "
        "would leave two cores no time for the server. All callers are on the same machine and take their share of "
        "it.\n"
        "- **A client** calls `POST /api/explain` and gets the first class's map on the picture's own grid.\n"
        "- **Right**: each picture carries a plate with its number, at a place of its own. What a session is shown "
        "must be the uploaded file, its classes and their maps, and what a client gets this picture's map: every "
        "value equal to what the library made of the picture alone, in another process. No two pictures have the "
        "same maps.\n"
        f"- **Leaving**: in each part one session of {LEAVING} leaves in the middle of its run, with its picture in "
        "the queue, and another comes.\n"
        f"- **Second uploads**: one picture of {TWICE} is given to its session in the middle of the run of another, "
        "whose answer must not be shown any more.\n"
        f"- **Alone**: before each of {PARTS} parts of the load one session, then one client calls on the same "
        "pictures while all others wait.",
        "## What it promises",
        goals([{"goals": result["goals"]}]),
        "## Answers",
        grid(HEAD, counts),
        *(["Complaints: " + "; ".join(complaints) + "."] if complaints else []),
        f"All together get {result['share']:.2f} times as much done as one caller at a time (by part: "
        + ", ".join(f"{share:.2f}" for share in result["shares"])
        + "). An answer to a session is a whole page; each kind counts by the rate of its own single caller.",
        "## Waits",
        "From the first byte sent to the map, and to the end of all that the page says about it:",
        grid(WAITS, waits),
        "## What the server's process holds",
        "After each part of the load; Streamlit keeps what a session that left had for two minutes, in case it comes "
        "back"
        + (":" if result["seconds"] >= WARM_SECONDS else ". This run was too short to show that all of it is flat:"),
        grid(("load", "MB", "threads", "file descriptors"), states),
    ]
    return page("Many at once", "load", result["machine"], *parts)
