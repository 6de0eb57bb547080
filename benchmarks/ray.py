"""Measure batch throughput: one process against a Ray cluster.

Each takes its turn at the same pictures in every round, in another order. The steady part is timed, from the first
finished batch to the last; how long a cluster and its workers take to start is reported apart.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.pictures import SIZE, link_many, write_cuts
from benchmarks.processes import ROOT
from benchmarks.report import Row, grid, machine, page
from benchmarks.timing import in_rounds
from sightglass.batch import BatchJob
from sightglass.batch import run as run_batch
from sightglass.batch.engines import RayEngine, Work, import_ray, send_code
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.picture.source import find

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sightglass.explain.picture.source import Item

MODEL = "efficientnet-lite0"
PICTURES = 256
CUTS = 96
"""Files that differ; the others are the same under another name."""
ROUNDS = 3
ENGINES = (("plain", 1), ("plain", 2), ("ray", 1), ("ray", 2))
HANDED = 1000
"""Batches of workers that do nothing, to find how many a second can be handed out."""
MANY = 1_000_000
WORKERS = (1, 2, 8, 32, 128)
DOCS = ROOT / "docs" / "past-one-machine.md"
Timing = dict[str, float]
"""One run: `rate`, pictures a second of the steady part, and `waking`, seconds until the first were done."""
MARKS = ("<!-- measured: written by `python -m benchmarks ray` -->\n", "<!-- measured: end -->\n")


def run(options: argparse.Namespace) -> Row:
    """Measure every engine; a whole run writes its rate into the docs."""
    rounds, pictures = options.rounds or ROUNDS, options.pictures
    explainer = Explainer(MODEL, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = link_many(write_cuts(Path(scratch, "pictures"), min(CUTS, pictures)), Path(scratch, "crowd"), pictures)
        about = machine(torch.get_num_threads(), "cpu", ("torch", "timm", "numpy", "ray", "fsspec"))

        def once(engine: str, workers: int) -> Timing:
            shutil.rmtree(Path(scratch, "out"), ignore_errors=True)
            return timed(folder, explainer, Path(scratch, "out"), engine, workers)

        begun = time.perf_counter()
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import_ray().init("local", num_cpus=2, include_dashboard=False, runtime_env=send_code(), log_to_driver=False)
        start = time.perf_counter() - begun
        took = in_rounds({engine: partial(once, *engine) for engine in ENGINES}, rounds, warm_up=1)
        handed = handed_out(explainer, find(folder)[0], Path(scratch))
        import_ray().shutdown()
    rows = []
    for (engine, workers), timings in took.items():
        rates = [timing["rate"] for timing in timings]
        spread = {"rate": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
        waking = statistics.median(timing["waking"] for timing in timings)
        rows.append({"engine": engine, "workers": workers, **spread, "waking": waking})
    result: Row = {
        "machine": about,
        "model": MODEL,
        "rounds": rounds,
        "pictures": pictures,
        "start": start,
        "handed": handed,
        "engines": rows,
        "complete": rounds >= ROUNDS and pictures >= PICTURES,
    }
    if result["complete"]:
        DOCS.write_text(with_part(DOCS.read_text(encoding="utf-8"), million(result)), encoding="utf-8")
    return result


def timed(folder: Path, explainer: Explainer, out: Path, engine: str, workers: int) -> Timing:
    seen: list[tuple[float, float]] = []

    def progress(share: float, words: str) -> None:
        if share > 0 and words not in ("Starting", "Writing the table") and (not seen or share > seen[-1][1]):
            seen.append((time.perf_counter(), share))

    begun = time.perf_counter()
    summary = run_batch(folder, explainer, out, engine=engine, workers=workers, device="cpu", progress=progress)
    assert summary.done == summary.pictures
    (first, low), (last, high) = seen[0], seen[-1]
    if last == first:
        raise ModelProblem("These are too few pictures to time: give more with --pictures.")
    return {"rate": (high - low) * summary.pictures / (last - first), "waking": first - begun}


class Idle:
    """A worker that does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def process(self, items: Sequence[Item]) -> list[Any]:
        return []


class IdleEngine(RayEngine):
    worker = Idle


def handed_out(explainer: Explainer, item: Item, out: Path) -> float:
    """Return one process's batches per second for idle workers."""
    batches: Sequence[Sequence[Item]] = [[item] * 8] * HANDED
    with contextlib.ExitStack() as stack:
        job = BatchJob((), explainer, out, device="cpu", workers=2)
        engine = IdleEngine(stack, Work(explainer, job, out), item)
        times = [time.perf_counter() for _ in engine.run(batches)]
    return (len(times) - 1) / (times[-1] - times[0])


def million(result: Row) -> str:
    """Return the time of a million pictures, from two workers' rate."""
    two = next(row for row in result["engines"] if (row["engine"], row["workers"]) == ("ray", 2))
    per_worker = two["rate"] / 2
    waking = result["start"] + two["waking"]
    most = int(result["handed"] * 8 / per_worker)
    rows = [(f"{count:,}", _time(waking + MANY / (count * per_worker))) for count in WORKERS if count <= most]
    about = result["machine"]
    return (
        f"Measured on {about['date']} on {about['cores']} cores ({about['processor']}), {result['model']}, JPEG files "
        f"of {SIZE[0]} x {SIZE[1]} pixels, a map each: **{per_worker:.1f} pictures a second for each worker** of one "
        f"core, where two work. A cluster started in {result['start']:.0f} s and its workers were ready "
        f"{two['waking']:.0f} s later. One process can hand out {result['handed']:,.0f} batches of 8 a second, enough "
        f"for {most:,} such workers.\n\n"
        f"seconds = {waking:.0f} + pictures / (workers × {per_worker:.1f}), so for a million pictures:\n\n"
        + grid(("workers of one core", "time"), rows)
        + "\n"
    )


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def markdown(result: Row) -> str:
    rates = {(row["engine"], row["workers"]): row["rate"] for row in result["engines"]}
    rows = [
        (
            f"{row['engine']}, {row['workers']} worker{'s' if row['workers'] > 1 else ''}",
            f"{row['rate']:.1f}",
            f"{row['lowest']:.1f} .. {row['highest']:.1f}",
            f"{row['rate'] / rates['plain', row['workers']]:.2f}",
            f"{row['rate'] / rates[row['engine'], 1]:.2f}",
            f"{row['waking']:.1f}",
        )
        for row in result["engines"]
    ]
    head = ("engine", "pictures/s", "lowest .. highest", "to plain, as many workers", "to one worker", "awake after s")
    parts = [
        f"{result['pictures']} JPEG files of {SIZE[0]} x {SIZE[1]} pixels, {result['model']}, one GradCAM map each; "
        f"{result['rounds']} rounds in turns, medians. The rate is that of the steady part, from the first finished "
        "batch to the last; *awake after* is the time before: with ray, new workers load the model. The cluster, on "
        f"this machine, started in {result['start']:.1f} s.",
        grid(head, rows),
        f"Handed out and returned, if workers do nothing: {result['handed']:,.0f} batches a second.",
        "## A million pictures",
        million(result).rstrip(),
        "Workers share nothing but the storage, so this holds as long as that keeps up; it was not tried on "
        "more than one machine.",
    ]
    return page("A folder by one process, and by the workers of a cluster", "ray", result["machine"], *parts)


def with_part(text: str, part: str) -> str:
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + MARKS[0] + part + MARKS[1] + after
