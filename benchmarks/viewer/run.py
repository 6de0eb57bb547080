"""Measure the dashboard's interactions with real servers and a browser."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row, attempt, goals, grid, machine, number, page, section
from benchmarks.viewer.browser import find_chromium
from benchmarks.viewer.lines import classes, starts, touches, uploads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

PACKAGES = ("streamlit", "torch", "timm", "numpy", "playwright")
LINES: dict[str, tuple[str, Callable[[int], dict[str, Any]], int]] = {
    "classes": ("Another class", classes, 16),
    "touch": ("Touch the picture", touches, 30),
    "upload": ("Upload to map", uploads, 12),
    "start": ("From `streamlit run` to a page", starts, 5),
}
"""Title, function and number of rounds."""


def run(options: argparse.Namespace) -> Row:
    """Measure all or some lines and report failures."""
    result: Row = {"machine": machine(0, "browser", PACKAGES), "lines": []}
    result["machine"]["versions"]["chromium"] = _chromium()
    for name in options.only or LINES:
        title, measure, often = LINES[name]
        line = attempt(title, lambda measure=measure, often=often: measure(options.rounds or often))  # type: ignore[misc]
        result["lines"].append({"id": name, **line})
    return result | {"complete": not options.only and not options.rounds}


def markdown(result: Row) -> str:
    parts = [
        "Chromium without a GPU and the server share those cores. Every time is taken inside the page, from an event "
        "to what it changes on the screen, so nothing that drives the browser is in it. Contenders take turns.",
        "## Goals",
        goals(result["lines"]),
        *(part for line in result["lines"] for part in section(line, _table)),
    ]
    return page("The dashboard in a browser", "viewer", result["machine"], *parts)


def _table(line: Row) -> list[str]:
    rows = [
        (row["what"], *(number(row[key], row["unit"]) for key in ("median", "p90", "worst")), str(row["n"]))
        for row in line["rows"]
    ]
    return [grid(("what", "median", "nine of ten within", "worst", "samples"), rows)]


def _chromium() -> str | None:
    path = find_chromium()
    if path is None:
        return None
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in version if word[0].isdigit()), None)
