"""`python -m benchmarks speed | memory | all`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the report, and write it where it was asked for."""
    asked = _parser().parse_args(arguments)
    import torch

    from benchmarks.case import MODELS, WEIGHED, picture
    from benchmarks.memory import memory
    from benchmarks.report import goals, load, machine, markdown
    from benchmarks.speed import speed
    from explain.residency import device
    from models.errors import Problem

    try:
        on, path = device(asked.device), asked.picture or picture()
        if asked.threads:
            torch.set_num_threads(asked.threads)
        threads = torch.get_num_threads()
        result: dict[str, Any] = {"machine": machine(threads, str(on)), "rounds": asked.rounds}
        if asked.what in ("speed", "all"):
            result["speed"] = speed(asked.models or MODELS, path, on, rounds=asked.rounds, classes=asked.classes)
        if asked.what in ("memory", "all"):
            result["memory"] = memory(
                asked.models or WEIGHED, path, calls=asked.calls, classes=asked.classes, threads=threads
            )
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    result["machine"]["load_after"] = load()
    result["goals"] = goals(result)
    report = markdown(result)
    print(report)
    for file, text in ((asked.json, json.dumps(result, indent=1) + "\n"), (asked.markdown, report)):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=("speed", "memory", "all"))
    parser.add_argument("--models", nargs="+", help="ids of classifiers in the catalogue")
    parser.add_argument("--picture", type=Path, help="a file; the bus that the Ultralytics package carries")
    parser.add_argument("--classes", type=int, default=5, help="how many classes are explained")
    parser.add_argument("--rounds", type=int, default=21, help="how often each line is timed")
    parser.add_argument("--calls", type=int, default=300, help="how often each contender is called for memory")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="as many as torch takes")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--markdown", type=Path, help="write the report here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
