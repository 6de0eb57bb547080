"""Write the part of GPU.md that needs a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.case import FAST
from benchmarks.gpu.figures import GOAL, TITLES
from benchmarks.report import FAILED, Row, grid, times, where
from sightglass.explain.evidence.batched_pass import MAX_DECODED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEADING = "## On the device"
NO_DEVICE = "this machine has no CUDA device"
NOT_MEASURED = f"not measured: {NO_DEVICE}"
MIB = 2**20
WANTED = {
    "maps": ("five ResNet-50 maps, device to device", f"at most {GOAL:g} ms on an H100"),
    "upload": ("bytes of a JPEG to a ResNet-50 map on the picture's grid", ""),
    "batch": ("ResNet-50, a batch of 32 to one map of each, and its bare forward", ""),
    "prove": ("20 steps x 5 curves of a proof, to the bare forward of the same pictures", ""),
    "residency": ("models that are evicted, and the memory of all afterwards", "none kept, as before"),
    "autocast": ("maps under autocast, to those in whole float32", ""),
    "same": ("maps to the CPU's, to a second run's, and to those of four threads", ""),
}
"""What is to be measured, with its goal."""


def on_the_device(result: Row, before: str = "") -> list[str]:
    """Return the part's paragraphs; without a GPU those in `before`, the text of the last report, if they measured."""
    if result["here"] is None:
        return [kept] if (kept := measured(before)) else _not_measured()
    found = result["figures"] | {"same": {"rows": result["here"]}}
    rows = [(what, goal, _result(name, found[name])) for name, (what, goal) in WANTED.items()]
    parts = [HEADING, where(_at(result)), grid(("what", "goal", "result"), rows)]
    if result["without"]:
        parts.append(f"Left out, since their weights are not on this machine: {', '.join(result['without'])}.")
    parts += _same(result["here"])
    parts += _launched(result["launches"])
    for name, title in TITLES.items():
        one = found[name]
        parts += [f"### {title}", *([f"This {FAILED}: {one['failed']}"] if "failed" in one else SECTIONS[name](one))]
    return parts


def measured(text: str) -> str:
    """Return the part of a report that was measured on a GPU, without its last line's end; empty where it was not."""
    _, found, after = text.partition(f"{HEADING}\n")
    return "" if not found or NO_DEVICE in after else (found + after).rstrip("\n")


def _at(result: Row) -> Row:
    at: Row = result["machine"]
    return at | {"processor": f"{result['name']} beside {at['processor']}"}


def _not_measured() -> list[str]:
    rows = [(what, goal, NOT_MEASURED) for what, goal in WANTED.values()]
    return [
        HEADING,
        f"**Not measured: {NO_DEVICE}.** Whether maps equal the CPU's there, to the same bits twice "
        "and from several threads, whether memory stays flat and comes back, and how fast it is, nobody has seen yet. "
        "`python -m benchmarks gpu --device cuda` measures it all on a machine that has one; a unit test runs the same "
        "functions on a CPU, so that the command is known to work. What could be seen without one is above and in "
        "`tests/unit/test_elsewhere.py`, where a device made of the CPU's memory stands in.",
        grid(("what", "goal", "result"), rows),
    ]


def _result(name: str, one: Row) -> str:
    return f"{FAILED}: {one['failed'].replace('|', '/')}" if "failed" in one else RESULTS[name](one)


def _line(one: Row, name: str) -> Row:
    return next(line for line in one["lines"] if line["id"] == name)


def _maps_result(one: Row) -> str:
    (goal,) = one["goals"]
    graph = [f", as a CUDA graph {line['ms']:.2f} ms" for line in one["lines"] if line["id"] == "sightglass_graph"]
    return f"{goal['result']:.2f} ms ({'met' if goal['met'] else 'not met'}){''.join(graph)}"


def _batch_result(one: Row) -> str:
    return f"{_line(one, 'maps')['images']:,.0f} images/s, bare {_line(one, 'bare')['images']:,.0f}"


def _residency_result(one: Row) -> str:
    return f"{one['kept']} of {one['evicted']} kept, {one['after'] / MIB:+.1f} MB"


def _autocast_result(one: Row) -> str:
    pairs = [pair for line in one["lines"] for pair in line["methods"].values()]
    there = [pair for pair in pairs if not np.isnan(pair).any()]
    broken = f", {len(pairs) - len(there)} of {len(pairs)} not numbers" if len(there) < len(pairs) else ""
    if not there:
        return "not numbers"
    apart, rank = max(pair[0] for pair in there), min(pair[1] for pair in there)
    return f"difference at most {apart:.0e}, rank correlation at least {rank:.3f}{broken}"


def _same_result(one: Row) -> str:
    rows = [row for row in one["rows"] if "failed" not in row]
    if not rows:
        return FAILED
    apart = max(value for row in rows for value in row["differences"].values())
    return ", ".join(f"{value:.0e}" if value else "0" for value in (apart, *_largest(rows)))


def _largest(rows: Sequence[Row]) -> tuple[float, float]:
    return max(row["again"] for row in rows), max(row["threads"] for row in rows)


def _weights(one: Row) -> str:
    return {"real": "Trained weights", "random": "Random weights (trained ones are not there)"}[one["weights"]]


def _maps(one: Row) -> list[str]:
    height, width = one["input"]
    return [
        f"{_weights(one)}, on which the time does not depend; {one['model']}, input {width}x{height}. Input and maps "
        "stay on the device; CUDA events, from the first launch to the last kernel. Sightglass computes in whole "
        "float32, the bare forward as PyTorch's switches are by default, with TF32.",
        times(one["lines"], 2),
    ]


def _upload(one: Row) -> list[str]:
    return [
        f"{_weights(one)}; {one['kilobytes']:.0f} KB of JPEG are decoded and prepared on the CPU, copied to the "
        "device, explained there, and the maps copied back and enlarged to the picture. No evidence is kept from "
        "before.",
        times(one["lines"], 2),
    ]


def _batch(one: Row) -> list[str]:
    rows = [
        (line["name"], f"{line['ms']:.1f}", f"{line['images']:,.0f}", f"{line['ratio']:.2f}x") for line in one["lines"]
    ]
    return [
        f"{_weights(one)}; {one['batch']} different pictures, one class of each. Of large pictures `Explainer` "
        f"takes only as many in one pass as are {MAX_DECODED_BYTES // MIB} MB decoded.",
        grid(("what", "median ms", "images/s", "ratio"), rows),
    ]


def _prove(one: Row) -> list[str]:
    rows = [(line["name"], f"{line['ms']:,.1f}", f"{line['p10']:,.1f} .. {line['p90']:,.1f}") for line in one["lines"]]
    return [
        f"{_weights(one)}; {one['steps']} steps, 2 directions, {one['pictures']} pictures, blurred where they are "
        f"hidden, all in whole float32: {one['wall']:.2f} times the bare forward by the clock.",
        grid(("what", "median ms", "p10 .. p90"), rows),
    ]


def _residency(one: Row) -> list[str]:
    needed, budget, most, over, after = (one[key] / MIB for key in ("needed", "budget", "most", "most_over", "after"))
    return [
        f"{', '.join(one['models'])} explain a picture in turns, twice, each from a budget of {budget:.0f} of the "
        f"{needed:.0f} MB that they take together: {one['loads']} loads, {one['evicted']} evictions, of which "
        f"{one['kept']} left a model in memory. `torch.cuda.memory_allocated` was at most {most:.1f} MB above that "
        f"before, {over:+.1f} MB beside the models in the budget; with all unloaded {after:+.1f} MB and "
        f"{one['alive']} models were left."
    ]


def _autocast(one: Row) -> list[str]:
    def cells(line: Row) -> tuple[str, ...]:
        found = (
            "not numbers" if np.isnan(pair).any() else f"{pair[0]:.0e}, {pair[1]:.3f}"
            for pair in line["methods"].values()
        )
        weights = "trained" if line["weights"] == "real" else "random"
        return f"{line['model']} ({weights})", line["kind"], *found, f"{line['off']:.1f}", f"{line['on']:.1f}"

    return [
        "Off is the default, and no setting turns it on: every pass is in whole float32. Here the forward pass runs "
        "under `torch.autocast`, and its gradients too. Largest difference to the maps without it, on their scale of 0 "
        "to 1, and lowest rank correlation of any map; and the median milliseconds of all these methods together. "
        "Random weights say little of trained ones here.",
        grid(
            ("model", "computed in", *(method.name for method in FAST), "ms off", "ms on"),
            list(map(cells, one["lines"])),
        ),
    ]


def _same(found: Sequence[Row]) -> list[str]:
    def cells(row: Row) -> tuple[str, ...]:
        if "failed" in row:
            return row["title"], f"{FAILED}: {row['failed'].replace('|', '/')}", *[""] * (len(FAST) + 2)
        values = (*row["differences"].values(), row["again"], row["threads"])
        growth = f"{row['growth'] / MIB:+.1f} MB over {row['calls']} calls"
        return row["model"], *(f"{v:.0e}" if v else "0" for v in values), growth

    return [
        "### The same maps",
        "The largest difference to the CPU's maps by method; between two runs on the device; between one thread and "
        "four; and what the device's memory grew by.",
        grid(("model", *(method.name for method in FAST), "again", "threads", "memory"), list(map(cells, found))),
    ]


def _launched(found: Sequence[Row]) -> list[str]:
    rows = [(row["model"], str(row["targets"]), row["what"], f"{row['ms']:.2f}") for row in found if "ms" in row]
    if not rows:
        return []
    return [
        "### What is launched",
        "Milliseconds of what is counted above, medians. Which way back is quicker on a GPU, and from which size of "
        "model on, only they can say.",
        grid(("model", "targets", "what", "ms"), rows),
    ]


SECTIONS: dict[str, Callable[[Row], list[str]]] = {
    "maps": _maps,
    "upload": _upload,
    "batch": _batch,
    "prove": _prove,
    "residency": _residency,
    "autocast": _autocast,
}
RESULTS: dict[str, Callable[[Row], str]] = {
    "maps": _maps_result,
    "upload": lambda one: f"{_line(one, 'one')['ms']:.1f} ms",
    "batch": _batch_result,
    "prove": lambda one: f"{one['wall']:.2f}x",
    "residency": _residency_result,
    "autocast": _autocast_result,
    "same": _same_result,
}
