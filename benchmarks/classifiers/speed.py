"""Compare speed and maps with other libraries on one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.classifiers.case import Case
from benchmarks.classifiers.peers import peers
from benchmarks.classifiers.sightglass import GRADCAM, sightglass
from benchmarks.gpu.graphs import graphs, transfers
from benchmarks.report import Row, goal, grid, number, page, times
from benchmarks.timing import measure, row
from sightglass.explain.evidence.determinism import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.timing import Contender


MEGABYTES = 80


def table(case: Case, rounds: int) -> Row:
    """Measure one model: milliseconds, their spread, the ratio to the bare forward pass, and the maps' difference."""
    lines = [*peers(case), *sightglass(case)]
    if case.device.type == "cuda":
        lines += graphs(case)
    spec = case.resident.adapter.spec
    return {
        "model": spec.id,
        "weights": case.weights,
        "layer": case.layer.path,
        "input": case.given.geometry.input,
        "channels_last": case.resident.memory_format == torch.channels_last,
        **compared(case, lines, rounds),
        **(transfers(case) if case.device.type == "cuda" else {}),
    }


def compared(case: Case, lines: Sequence[Contender], rounds: int, *, warm_up: int | None = None) -> Row:
    """Return a row for each line, and the largest absolute difference of our maps to pytorch-grad-cam's.

    The difference is None without that library. `empty` counts our empty maps: untrained weights can give them, and
    they agree with anything.
    """
    taken = measure(lines, rounds, case.device, warm_up=warm_up)
    bare = float(np.median(taken["bare"]))
    ours, difference = case.maps([GRADCAM])[0].cpu().numpy(), None
    for peer in (line for line in lines if line.id == "grad_cam"):
        # Both in full float32: a peer's pass on a GPU rounds to 10 bits by default.
        with exact(case.device):
            difference = float(np.abs(ours - np.stack(peer.call(None))).max())
    return {
        "difference": difference,
        "empty": sum(not values.any() for values in ours),
        "lines": [row(line, taken[line.id], bare) for line in lines],
    }


def goals(result: Row) -> list[Row]:
    """Return every goal of every measured model, and whether it was met."""
    found: list[Row] = []
    for table in result.get("speed", ()):
        lines = {line["id"]: line for line in table["lines"]}
        bare, ours = lines["bare"]["ms"], lines["maps"]
        limit = max(0.05 * bare, 5.0)
        made = [goal("class maps, to a bare forward", ours["ratio"], 1.05, "x")]
        if "torch_cam" in lines:
            made.append(goal("class maps, to torch-cam's raw ones", ours["ms"], lines["torch_cam"]["ms"]))
        made += [
            goal("all methods x classes, to a bare forward", lines["methods"]["ratio"], 2.0, "x"),
            goal("another method on the same evidence", lines["method"]["ms"], limit),
            goal("a new class on the same evidence", lines["class"]["ms"], limit),
        ]
        if table["difference"] is not None:
            made.append(goal("maps equal pytorch-grad-cam's", table["difference"], 1e-4, ""))
        found += [{"model": table["model"], **one} for one in made]
    for line in (line for line in result.get("memory", ()) if line["id"] == "maps"):
        calls = f"{line['calls']} calls"
        made = [
            goal(f"memory over the bare model, {calls}", line["over"], MEGABYTES, "MB"),
            goal(f"hooks left after {calls}", line["hooks"], 0, ""),
        ]
        found += [{"model": line["model"], **one} for one in made]
    return found


def markdown(result: Row) -> str:
    parts = [
        "What a detector's maps cost and where they point is in [DETECTORS.md](DETECTORS.md). "
        "`python -m benchmarks detect` and `python -m benchmarks pointing` write it, each its own section. "
        "What a GPU does to maps, and what nobody has measured on one yet, is in [GPU.md](GPU.md): on a "
        "machine with one, `python -m benchmarks gpu --device cuda` measures all of it, and "
        "[the engine's tests](../CONTRIBUTING.md#on-a-gpu) run there too. "
        "What holds when many use one server at once is in [LOAD.md](LOAD.md), which "
        "`python -m benchmarks load` writes.",
    ]
    if made := result["goals"]:
        parts += ["## Goals", grid(("model", "goal", "result", "at most", ""), [_goal(row) for row in made])]
    if result.get("speed"):
        how = (
            "All contenders run in one process on the same picture, weights, layer and classes, once a round each, "
            f"in another order every round; {result['rounds']} rounds are counted and the warm-up is not. Every "
            "contender has a model of its own. The ratio is to the median bare eager forward pass of the model as its "
            "library makes it."
        )
        parts += ["## Speed", how, *(part for table in result["speed"] for part in _speed(table))]
    if result.get("memory"):
        parts += ["## Memory", *_memory(result["memory"])]
    return page("Benchmarks", "all --markdown benchmarks/SPEED.md", result["machine"], *parts)


def _goal(row: Row) -> tuple[str, ...]:
    met = "pass" if row["met"] else "**miss**"
    return row["model"], row["goal"], number(row["result"], row["unit"]), number(row["limit"], row["unit"]), met


def _speed(table: Row) -> list[str]:
    height, width = table["input"]
    layout = "channels_last" if table["channels_last"] else "contiguous"
    weights = {"real": "trained weights", "random": "random weights (trained ones are not on this machine)"}
    about = (
        f"{weights[table['weights']]}, layer `{table['layer']}`, input {width}x{height}; Sightglass runs it {layout}."
    )
    if table["difference"] is not None:
        about += f" Largest difference between its maps and pytorch-grad-cam's: {table['difference']:.1e}."
    if table["empty"]:
        about += f" {table['empty']} of its maps are empty: no evidence for that class at this layer."
    if "gpu" in table:
        about += " The input is on the device already; Sightglass's and torch-cam's maps stay there."
    parts = [f"### {table['model']}", about[0].upper() + about[1:], times(table["lines"], 2)]
    if "bytes_to_host" in table:
        parts.append(
            f"{table['gpu']}: while raw maps become heatmaps {table['bytes_to_host']:,} bytes go from device to host; "
            f"the maps have {table['bytes_of_maps']:,}, the activations that stay {table['bytes_of_activations']:,}."
        )
    return parts


def _memory(rows: list[Row]) -> list[str]:
    made = [
        (row["model"], row["name"], *(f"{row[key]:+.1f}" for key in ("over", "peak", "growth")), str(row["hooks"]))
        for row in rows
    ]
    return [
        "Resident memory in MB over the same process with the bare model only, a fresh process each; importing the "
        "library counts. Growth is from call 20 to the last. Hooks are counted while the library's object is alive.",
        grid(("model", f"after {rows[0]['calls']} calls", "over", "peak", "growth", "hooks"), made),
    ]
