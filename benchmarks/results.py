"""What was measured in the browser as Markdown: a table of goals, then each line's numbers; a miss is a miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import grid

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
FAILED = "could not be measured"


def row(what: str, values: Sequence[float], unit: str = "ms", *, least: bool = False) -> Row:
    """Median, what nine of ten samples keep to, the worst, and how many there are; `least`: more is better."""
    if not values:
        raise ValueError(f"There is no sample of {what}.")
    median, p90 = np.percentile(values, (50, 10 if least else 90)).tolist()
    worst = float(min(values) if least else max(values))
    return {"what": what, "unit": unit, "median": median, "p90": p90, "worst": worst, "n": len(values)}


def goal(text: str, result: float, limit: float, unit: str = "ms", *, least: bool = False) -> Row:
    """`least`: the limit is to be reached, else not to be passed."""
    met = result >= limit if least else result <= limit
    return {"goal": text, "result": result, "limit": limit, "unit": unit, "least": least, "met": bool(met)}


def markdown(result: dict[str, Any]) -> str:
    """The whole file."""
    parts = [
        "# The dashboard in a browser",
        "Written by `python -m benchmarks viewer`; do not edit by hand. Where a detector's maps lie, and what they "
        "cost: [DETECTORS.md](DETECTORS.md); folders: [THROUGHPUT.md](THROUGHPUT.md).",
        where(result["machine"]),
        "Chromium without a GPU and the server share those cores. Every time is taken inside the page, from an event "
        "to what it changes on the screen, so nothing that drives the browser is in it. Contenders take turns.",
        "## Goals",
        goals(result["lines"]),
    ]
    for line in result["lines"]:
        parts += _line(line)
    return "\n\n".join(parts) + "\n"


def where(at: Row) -> str:
    """The machine, what ran on it, and how busy it was."""
    versions = ", ".join(f"{name} {number}" for name, number in at["versions"].items() if number)
    return (
        f"{at['date']}, {at['processor']}, {at['cores']} cores, {at['system']}; {versions}. Load average of the "
        f"machine before: {at['load']:.2f}, after: {at['load_after']:.2f}."
    )


def goals(lines: Sequence[Row]) -> str:
    """The goals of all lines in one table."""
    return grid(("what", "result", "goal", ""), [cells for line in lines for cells in _goals(line)])


def _goals(line: Row) -> list[tuple[str, ...]]:
    if "failed" in line:
        return [(line["title"], f"{FAILED}: {line['failed'].replace('|', '/')}", "", "**miss**")]
    return [
        (
            made["goal"],
            number(made["result"], made["unit"]),
            f"{'at least' if made['least'] else 'at most'} {number(made['limit'], made['unit'])}",
            "pass" if made["met"] else "**miss**",
        )
        for made in line["goals"]
    ]


def _line(line: Row) -> list[str]:
    parts = [f"## {line['title']}"]
    if "failed" in line:
        return [*parts, f"This {FAILED}: {line['failed']}"]
    rows = [
        (made["what"], *(number(made[key], made["unit"]) for key in ("median", "p90", "worst")), str(made["n"]))
        for made in line["rows"]
    ]
    parts += [line["how"], grid(("what", "median", "nine of ten within", "worst", "samples"), rows)]
    if line["facts"]:
        parts.append("\n".join(f"- {fact}" for fact in line["facts"]))
    return parts


def number(value: float, unit: str) -> str:
    if unit == "x":
        return f"{value:.2f}x"
    if unit == "s":
        return f"{value:.2f} s"
    if unit == "ms":
        return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"
    return f"{value:.0f} {unit}".strip()
