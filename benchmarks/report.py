"""Shared parts of reports: the machine, tables, goals."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LOGGER = logging.getLogger(__name__)
Row = dict[str, Any]
Interval = tuple[float, float, float]
"""A mean and the ends of its 95 % interval."""
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "torchcam", "captum", "numpy")
FAILED = "could not be measured"


def machine(threads: int, device: str, packages: Sequence[str] = PACKAGES) -> Row:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": device,
        "threads": threads,
        "load": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def load() -> float:
    """Return the last minute's load average, the benchmark included."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def _processor() -> str:
    """Return the processor's name, with its family and model: one name has many."""
    cpus = Path("/proc/cpuinfo")
    pairs = (line.partition(":") for line in (cpus.read_text().splitlines() if cpus.exists() else []))
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"


def _commit() -> str:
    try:
        command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def page(title: str, command: str, at: Row, *parts: str) -> str:
    """Return a report of `python -m benchmarks <command>`; `at`: the machine."""
    first = f"Made by `python -m benchmarks {command}` at commit `{at['commit']}`."
    return "\n\n".join((first, f"# {title}", where(at), *parts)) + "\n"


def section(line: Row, table: Callable[[Row], Iterable[str]]) -> list[str]:
    """Return a line's section: method, tables and facts, or failure."""
    title = f"## {line['title']}"
    if "failed" in line:
        return [title, f"This {FAILED}: {line['failed']}"]
    facts = "\n".join(f"- {fact}" for fact in line["facts"])
    return [title, line["how"], *table(line), *([facts] if facts else [])]


def where(at: Row) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in at["versions"].items() if number)
    device = f"{at['threads']} threads, device {at['device']}, " if at["threads"] else ""
    return (
        f"{at['date']}, {at['processor']}, {at['cores']} cores, {device}{at['system']}; {versions}. Load average of "
        f"the machine before: {at['load']:.2f}" + (f", after: {at['load_after']:.2f}." if "load_after" in at else ".")
    )


def attempt(title: str, measure: Callable[[], Row]) -> Row:
    """Measure one line; store a failure in it."""
    print(title, file=sys.stderr, flush=True)
    try:
        return {"title": title, "facts": [], "goals": [], **measure()}
    except Exception as error:
        LOGGER.exception("%s", title)
        return {"title": title, "failed": str(error).strip().partition("\n")[0] or type(error).__name__}


def row(what: str, values: Sequence[float], unit: str = "ms", *, least: bool = False) -> Row:
    """Return median, 90th percentile, worst and count; `least`: more is better."""
    if not values:
        raise ValueError(f"There is no sample of {what}.")
    median, p90 = np.percentile(values, (50, 10 if least else 90)).tolist()
    worst = float(min(values) if least else max(values))
    return {"what": what, "unit": unit, "median": median, "p90": p90, "worst": worst, "n": len(values)}


def goal(text: str, result: float, limit: float, unit: str = "ms", *, least: bool = False) -> Row:
    """Return a goal and its result; `least`: a minimum."""
    met = result >= limit if least else result <= limit
    return {"goal": text, "result": result, "limit": limit, "unit": unit, "least": least, "met": bool(met)}


def goals(lines: Sequence[Row]) -> str:
    return grid(("what", "result", "goal", ""), [cells for line in lines for cells in _goals(line)])


def _goals(line: Row) -> list[tuple[str, ...]]:
    if "failed" in line:
        return [(line["title"], f"{FAILED}: {line['failed'].replace('|', '/')}", "", "**miss**")]
    return [
        (
            goal["goal"],
            number(goal["result"], goal["unit"]),
            f"{'at least' if goal['least'] else 'at most'} {number(goal['limit'], goal['unit'])}",
            "pass" if goal["met"] else "**miss**",
        )
        for goal in line["goals"]
    ]


def number(value: float, unit: str) -> str:
    if unit in ("x", "s"):
        return f"{value:.2f}{unit}" if unit == "x" else f"{value:.2f} s"
    if not unit:
        return f"{value:.0e}" if 0 < value < 1 else f"{value:.0f}"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def ends(interval: Interval) -> str:
    return f"{interval[0]:.2f} [{interval[1]:.2f}, {interval[2]:.2f}]"


def times(lines: Sequence[Row], digits: int = 1) -> str:
    """Return a table of contenders: median, spread, ratio."""
    rows = [
        (
            line["name"],
            f"{line['ms']:.{digits}f}",
            f"{line['p10']:.{digits}f} .. {line['p90']:.{digits}f}",
            f"{line['ratio']:.2f}x",
        )
        for line in lines
    ]
    return grid(("what", "median ms", "p10 .. p90", "ratio"), rows)


def grid(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def with_part(text: str, part: str, marks: tuple[str, str]) -> str:
    """Return a page with what is between two marks replaced, or added with them at its end."""
    before, _, rest = text.partition(marks[0])
    _, _, after = rest.partition(marks[1])
    return before + marks[0] + part + marks[1] + after
