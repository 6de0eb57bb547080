"""Measure whether analyses of labelled pictures find what is there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import photographs, planted, speed, tide
from benchmarks.processes import fresh
from benchmarks.report import FOLDER, Row, grid, machine, page
from sightglass.evaluation.known_cause import PICTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT = FOLDER / "ERRORS.md"
SEEDS = planted.SEEDS
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "pycocotools")


def errors(seeds: int = SEEDS, sets: Path | None = None, pictures: int = speed.PICTURES) -> Row:
    """Return what was measured. `sets`: a folder that keeps the evaluations, so that they need not be made again."""
    at = machine(1, "cpu", _PACKAGES)
    timed = fresh(speed.measure, pictures)
    found = {"machine": at, "speed": timed, "photographs": photographs.measure(), "tide": tide.measure()}
    if sets is not None:
        return found | {"planted": planted.measure(sets, seeds)}
    with tempfile.TemporaryDirectory() as into:
        return found | {"planted": planted.measure(Path(into), seeds)}


def markdown(result: Row) -> str:
    """Return ERRORS.md."""
    return page(
        "Errors: are the analyses right, and how fast",
        "errors",
        result["machine"],
        f"Each set has {PICTURES} drawn scenes with one planted cause, labels and all, and is really evaluated by a "
        "small demo model, with a map of each box. Sets of a cause differ by their seed and share nothing. Bold: the "
        "goal is reached.",
        *planted.markdown(result["planted"]),
        *tide.markdown(result["tide"]),
        *describe_speed(result["speed"]),
        "## Real detectors on labelled photographs",
        *photographs.markdown(result["photographs"]),
    )


def describe_speed(timed: Row) -> Sequence[str]:
    """Return the part of the report on time."""
    met = timed["seconds"] <= speed.GOAL
    total = f"{timed['seconds']:.1f}"
    return (
        f"## {timed['pictures']:,} pictures",
        f"Simulated answers: {timed['labels']:,} labels of {len(speed.CLASSES)} classes, {timed['boxes']:,} boxes, "
        f"{timed['maps']:,} maps, {timed['wrong']:,} wrong boxes with one. In a new process, imports included; a page "
        f"computes each part when it is first shown. Goal: {speed.GOAL:.0f} s for all. What page Errors "
        f"needs to show its first errors takes {timed['page'][0]:.1f} s, {timed['page'][1]:.1f} s of the processor "
        "(goal: 1 s).",
        grid(
            ("step", "seconds", "of the processor"),
            [
                *((name, f"{seconds:.1f}", f"{used:.1f}") for name, seconds, used in timed["steps"]),
                ("**all**", f"**{total}**" if met else total, f"{timed['processor']:.1f}"),
            ],
        ),
    )
