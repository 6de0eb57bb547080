"""Measure Sightglass beside other libraries: speed, memory and correctness.

Each command prints a report. A whole run replaces the report of the same name in `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import FAILED, RESULTS, load
from sightglass.common.errors import Problem

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")


@dataclass(frozen=True)
class Command:
    """A benchmark: its module has `run(options)`, which measures, and `markdown(result)`, which reports."""

    module: str
    help: str
    options: tuple[str, ...]
    """Of `OPTIONS`, besides `SHARED`."""


COMMANDS = {
    "speed": Command(
        "speed",
        "maps of classifiers, beside pytorch-grad-cam, torch-cam and captum",
        ("models", "rounds", "picture", "classes", "device"),
    ),
    "viewer": Command("viewer.run", "the dashboard in a browser, beside a bare Streamlit page", ("lines", "rounds")),
    "detect": Command("detect", "maps of detectors, beside pytorch-grad-cam and Ultralytics", ("models", "rounds")),
    "truth": Command(
        "truth.run",
        "which methods' maps are right, on drawn scenes with a known cause",
        ("parts", "models", "full", "write"),
    ),
    "words": Command("truth.words", "which words of demo-vlm count as seen, and where their maps point", ()),
    "known": Command(
        "known.run",
        "which methods of several libraries find a cause that is known",
        ("short", "half", "dataset", "count"),
    ),
    "small": Command("small_inputs", "which layers and methods find a small cause in small pictures", ("sides",)),
    "insertion": Command(
        "insertion", "what answers lose and regain in the order of maps, on photographs", ("models", "dataset", "count")
    ),
    "coverage": Command("coverage", "how often 95 % intervals hold the true number", ()),
    "verdict": Command("verdict", "how often right and wrong maps are supported", ("models", "dataset", "count")),
    "load": Command("load.run", "dashboard sessions and API clients at once", ("seconds", "sessions", "clients")),
    "hostile": Command("load.hostile", "API clients beside pictures that harm a model", ("seconds", "clients")),
    "received": Command("received", "maps of received models, in processes of their own and in this one", ("rounds",)),
    "gpu": Command("gpu", "what a GPU does to time, memory and maps", ("models", "rounds", "picture", "device")),
}
SHARED = ("threads", "json", "markdown")
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "models": ("--models", {"nargs": "+", "default": (), "help": "ids in the catalogue"}),
    "rounds": ("--rounds", {"type": int, "help": "rounds of each line; default: what each needs"}),
    "picture": ("--picture", {"type": Path, "help": "a file; default: the bus in the Ultralytics package"}),
    "classes": ("--classes", {"type": int, "default": 5, "help": "number of classes to explain"}),
    "device": ("--device", {"default": "cpu", "help": "cpu or cuda"}),
    "lines": (
        "--only",
        {"nargs": "+", "choices": ("frames", "classes", "touch", "upload", "start"), "help": "these lines only"},
    ),
    "parts": (
        "--only",
        {
            "choices": ("scenes", "weights"),
            "default": "scenes",
            "help": "scenes: every quick method, layer and target; weights: which maps depend on the model",
        },
    ),
    "full": ("--full", {"action": "store_true", "help": "all scenes, half an hour instead of five minutes"}),
    "short": ("--short", {"action": "store_true", "help": "three pictures of each kind, in a few minutes"}),
    "half": (
        "--half",
        {
            "choices": ("development", "test", "both"),
            "default": "both",
            "help": "development: to tune a method by; test: to look at once, at the end; both: as published",
        },
    ),
    "write": (
        "--write",
        {
            "action": "store_true",
            "help": "write truth.md, and randomisation.json, which the product reads",
        },
    ),
    "dataset": ("--dataset", {"type": Path, "help": "a folder of photographs, for models that know them"}),
    "count": ("--count", {"type": int, "default": 40, "help": "pictures of each model"}),
    "sides": ("--sides", {"type": int, "nargs": "+", "choices": (32, 64, 96, 128, 160), "help": "pixels of a side"}),
    "seconds": ("--seconds", {"type": float, "default": 600.0, "help": "duration"}),
    "sessions": ("--sessions", {"type": int, "default": 20, "help": "sessions of the dashboard"}),
    "clients": ("--clients", {"type": int, "default": 8, "help": "clients of the API"}),
    "threads": ("--threads", {"type": int, "help": "number of threads; default: torch's own"}),
    "json": ("--json", {"type": Path, "help": "write the numbers here"}),
    "markdown": ("--markdown", {"type": Path, "help": "write the report here"}),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the report, and write it to its file."""
    options = parser().parse_args(arguments)
    command = COMMANDS[options.command]
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    module: Any = import_module(f"benchmarks.{command.module}")
    try:
        result = module.run(options)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    result["machine"]["load_after"] = load()
    report = module.markdown(result)
    print(report)
    # Without its weights or its browser a line replaces no figures.
    whole = result.get("complete") and FAILED not in report
    into = options.markdown or (RESULTS / f"{options.command}.md" if whole else None)
    for file, text in ((options.json, json.dumps(result, indent=1) + "\n"), (into, report)):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return int(bool(result.get("failed")))


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        part = commands.add_parser(name, help=command.help, description=f"Measure {command.help}.")
        for option in (*command.options, *SHARED):
            flag, more = OPTIONS[option]
            part.add_argument(flag, **more)
    return whole


if __name__ == "__main__":
    sys.exit(main())
