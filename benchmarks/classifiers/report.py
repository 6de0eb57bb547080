"""The report of `speed` and `memory`: what was measured beside the goals."""

from __future__ import annotations

from benchmarks import report
from benchmarks.report import Row, grid, number, page, times

MEGABYTES = 80


def goals(result: Row) -> list[Row]:
    """Return every goal of every measured model, and whether it was met."""
    found: list[Row] = []
    for table in result.get("speed", ()):
        lines = {line["id"]: line for line in table["lines"]}
        bare, ours = lines["bare"]["ms"], lines["maps"]
        limit = max(0.05 * bare, 5.0)
        made = [report.goal("class maps, to a bare forward", ours["ratio"], 1.05, "x")]
        if "torch_cam" in lines:
            made.append(report.goal("class maps, to torch-cam's raw ones", ours["ms"], lines["torch_cam"]["ms"]))
        made += [
            report.goal("all methods x classes, to a bare forward", lines["methods"]["ratio"], 2.0, "x"),
            report.goal("another method on the same evidence", lines["method"]["ms"], limit),
            report.goal("a new class on the same evidence", lines["class"]["ms"], limit),
        ]
        if table["difference"] is not None:
            made.append(report.goal("maps equal pytorch-grad-cam's", table["difference"], 1e-4, ""))
        found += [{"model": table["model"], **one} for one in made]
    for row in (row for row in result.get("memory", ()) if row["id"] == "maps"):
        calls = f"{row['calls']} calls"
        made = [
            report.goal(f"memory over the bare model, {calls}", row["over"], MEGABYTES, "MB"),
            report.goal(f"hooks left after {calls}", row["hooks"], 0, ""),
        ]
        found += [{"model": row["model"], **one} for one in made]
    return found


def markdown(result: Row) -> str:
    """Return the whole report."""
    parts = [
        "What a detector's maps cost and where they point is in [DETECTORS.md](../benchmarks/DETECTORS.md). "
        "`python -m benchmarks detect` and `python -m benchmarks pointing` write it, each its own section. "
        "What a GPU does to maps, and what nobody has measured on one yet, is in [GPU.md](../benchmarks/GPU.md).",
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
    return page("Benchmarks", "all --markdown docs/benchmarks.md", result["machine"], *parts)


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
