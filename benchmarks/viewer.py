"""The dashboard as a person meets it: real servers, a real browser, one line for each thing that has to be quick."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.browser import NAMES
from benchmarks.drawing import classes, frames, slider
from benchmarks.report import load, machine
from benchmarks.tasks import tasks
from benchmarks.waiting import starts, stops, uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOGGER = logging.getLogger(__name__)
RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("streamlit", "torch", "timm", "numpy", "playwright")
LINES: dict[str, tuple[str, Callable[[int], dict[str, Any]], int]] = {
    "slider": ("Slider to pixels", slider, 44),
    "frames": ("Redraws while a slider is dragged", frames, 2),
    "classes": ("Another class", classes, 16),
    "upload": ("Upload to map", uploads, 12),
    "start": ("From `streamlit run` to a page", starts, 5),
    "tasks": ("A picture of 24 megapixels", tasks, 2),
    "stop": ("Stop of a slow method", stops, 10),
}
"""Title, what measures it, and how often."""


def viewer(only: Sequence[str] = (), rounds: int | None = None) -> dict[str, Any]:
    """Every line, or `only` some, each by itself: what fails is reported and the others go on."""
    result: dict[str, Any] = {"machine": machine(0, "browser", PACKAGES), "lines": []}
    result["machine"]["versions"]["chromium"] = _chromium()
    for name in only or LINES:
        title, measure, often = LINES[name]
        print(title, file=sys.stderr, flush=True)
        try:
            line = measure(rounds or often)
        except Exception as error:
            LOGGER.exception("%s", title)
            line = {"failed": str(error).strip().partition("\n")[0] or type(error).__name__}
        result["lines"].append({"id": name, "title": title, **line})
    result["machine"]["load_after"] = load()
    return result


def _chromium() -> str | None:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in said if word[0].isdigit()), None)
