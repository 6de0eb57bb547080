"""`python -m benchmarks speed | memory | all`: the engine against its peers; `viewer`: the dashboard in a browser;
`detect`: what a detector's maps cost; `pointing`: where they lie, by method and layers; `truth`: where maps are right,
on drawn scenes whose cause is known; `throughput`: pictures per second, from a folder to files; `gpu`: what a GPU does
to maps, and what can be seen of that without one; `transformers`: what their maps cost, and at which layer they are
right; `api`: the API under load, beside the dashboard's pages; `ray`: a folder by one process, and by a cluster's
workers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.viewer import LINES

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")
ROUNDS = 21


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the report, and write it where it was asked for."""
    asked = _parser().parse_args(arguments)
    if asked.what == "viewer":
        return _viewer(asked)
    if asked.what in ("detect", "pointing"):
        return _detectors(asked)
    if asked.what == "truth":
        return _truth(asked)
    if asked.what == "throughput":
        return _throughput(asked)
    if asked.what == "gpu":
        return _gpu(asked)
    if asked.what == "transformers":
        return _transformers(asked)
    if asked.what == "api":
        return _api(asked)
    if asked.what == "ray":
        return _ray(asked)
    import torch

    from benchmarks.case import MODELS, WEIGHED, picture
    from benchmarks.memory import memory
    from benchmarks.report import goals, load, machine, markdown
    from benchmarks.speed import speed
    from common.errors import Problem
    from explain.evidence.resident import device

    rounds = asked.rounds or ROUNDS
    try:
        on, path = device(asked.device), asked.picture or picture()
        if asked.threads:
            torch.set_num_threads(asked.threads)
        threads = torch.get_num_threads()
        result: dict[str, Any] = {"machine": machine(threads, str(on)), "rounds": rounds}
        if asked.what in ("speed", "all"):
            result["speed"] = speed(asked.models or MODELS, path, on, rounds=rounds, classes=asked.classes)
        if asked.what in ("memory", "all"):
            result["memory"] = memory(
                asked.models or WEIGHED, path, calls=asked.calls, classes=asked.classes, threads=threads
            )
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    result["machine"]["load_after"] = load()
    result["goals"] = goals(result)
    _report(result, markdown(result), asked.json, asked.markdown)
    return 0


def _viewer(asked: argparse.Namespace) -> int:
    from benchmarks.halves import with_half
    from benchmarks.results import markdown
    from benchmarks.viewer import RESULTS, viewer

    # Part of the lines must not overwrite the whole.
    result, into = viewer(asked.only, asked.rounds), asked.markdown or (None if asked.only else RESULTS)
    report = markdown(result)
    _report(result, report, asked.json, None)
    if into:
        into.write_text(with_half(into, "viewer", report), encoding="utf-8")
    return 0


def _truth(asked: argparse.Namespace) -> int:
    from benchmarks.truth import run
    from common.errors import Problem

    try:
        found = run.measure(run.FULL if asked.full else run.QUICK, asked.models or (), asked.seeds)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    result, report = run.report(found)
    _report(result, report, asked.json, asked.markdown)
    # A quick look must not overwrite what is published.
    if asked.publish:
        run.publish(result, report, found)
    return 0


def _gpu(asked: argparse.Namespace) -> int:
    from benchmarks import gpu
    from common.errors import Problem
    from explain.evidence.resident import device

    try:
        result = gpu.gpu(asked.models or (), asked.picture, device(asked.device), asked.rounds)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    # Some of the models must not overwrite all.
    _report(result, gpu.markdown(result), asked.json, asked.markdown or (None if asked.models else gpu.OUT))
    return 0


def _transformers(asked: argparse.Namespace) -> int:
    import torch

    from benchmarks import transformers
    from benchmarks.case import picture
    from common.errors import Problem
    from explain.evidence.resident import device

    try:
        on, path = device(asked.device), asked.picture or picture()
        if asked.threads:
            torch.set_num_threads(asked.threads)
        rounds = asked.rounds or transformers.ROUNDS
        result = transformers.transformers(asked.models or (), path, on, rounds, asked.classes)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    # Some of the models must not overwrite all.
    into = asked.markdown or (None if asked.models else transformers.OUT)
    _report(result, transformers.markdown(result), asked.json, into)
    return 0


def _api(asked: argparse.Namespace) -> int:
    from benchmarks import api
    from common.errors import Problem

    try:
        result = api.api(asked.seconds, asked.clients)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    # A quick look must not overwrite what is published.
    whole = asked.seconds >= api.SECONDS and asked.clients == api.CLIENTS
    _report(result, api.markdown(result), asked.json, asked.markdown or (api.OUT if whole else None))
    return 0 if not result["ours"]["wrong"] else 1


def _ray(asked: argparse.Namespace) -> int:
    from benchmarks import ray
    from common.errors import Problem

    try:
        result = ray.ray(asked.rounds or ray.ROUNDS, asked.pictures)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    # A quick look must not overwrite what is published.
    whole = (asked.rounds or ray.ROUNDS) >= ray.ROUNDS and asked.pictures >= ray.PICTURES
    _report(result, ray.markdown(result), asked.json, asked.markdown or (ray.OUT if whole else None))
    if whole:
        ray.publish(result)
    return 0


def _throughput(asked: argparse.Namespace) -> int:
    from benchmarks import throughput as folder

    if asked.threads:
        import torch

        torch.set_num_threads(asked.threads)
    result = folder.throughput(asked.models or folder.MODELS, asked.rounds or folder.ROUNDS, asked.many)
    # Some of the models, or none of the memory, must not overwrite all.
    into = asked.markdown or (None if asked.models or not asked.many else folder.OUT)
    _report(result, folder.markdown(result), asked.json, into)
    return 0


def _detectors(asked: argparse.Namespace) -> int:
    """Each of the two writes its own part of one file."""
    from benchmarks.halves import DETECTORS, with_half
    from common.errors import Problem

    if asked.threads:
        import torch

        torch.set_num_threads(asked.threads)
    try:
        if asked.what == "detect":
            from benchmarks import detect

            result = detect.detect(asked.models or (), asked.rounds)
            report = detect.markdown(result)
        else:
            from benchmarks import pointing

            result = pointing.pointing(asked.models or (), asked.dataset, asked.photographs)
            report = pointing.markdown(result)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    # Some of the models must not overwrite all.
    into = asked.markdown or (None if asked.models else DETECTORS)
    _report(result, report, asked.json, None)
    if into:
        into.write_text(with_half(into, asked.what, report), encoding="utf-8")
    return 0


def _report(result: dict[str, Any], report: str, *files: Path | None) -> None:
    print(report)
    for file, text in zip(files, (json.dumps(result, indent=1) + "\n", report), strict=True):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = ("speed", "memory", "all", "viewer", "detect", "pointing", "truth", "throughput", "gpu", "transformers")
    verbs += ("api", "ray")
    parser.add_argument("what", choices=verbs)
    parser.add_argument("--models", nargs="+", help="ids in the catalogue")
    parser.add_argument("--picture", type=Path, help="a file; the bus that the Ultralytics package carries")
    parser.add_argument("--classes", type=int, default=5, help="how many classes are explained")
    parser.add_argument(
        "--rounds", type=int, help=f"how often each line is timed: {ROUNDS}, the viewer's as each needs"
    )
    parser.add_argument("--only", nargs="+", choices=LINES, default=(), help="of the viewer, these lines")
    parser.add_argument(
        "--dataset",
        type=Path,
        help="for pointing, more photographs: images/ and labels/ as YOLO has them",
    )
    parser.add_argument("--photographs", type=int, help="of that dataset, at most so many")
    parser.add_argument("--full", action="store_true", help="for truth, all scenes: half an hour and not five minutes")
    parser.add_argument(
        "--seeds", type=Path, nargs="+", default=(), help="for truth, folders with other trainings of the models"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write what truth found to TRUTH.md, RESULTS.md and explain/findings/reliability.json",
    )
    parser.add_argument("--calls", type=int, default=300, help="how often each contender is called for memory")
    parser.add_argument("--many", type=int, default=5000, help="of throughput, pictures that memory is watched over")
    parser.add_argument("--pictures", type=int, default=256, help="of ray, how many are explained a round")
    parser.add_argument("--seconds", type=float, default=60.0, help="of api, how long its clients ask")
    parser.add_argument("--clients", type=int, default=8, help="of api, how many ask at once")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="as many as torch takes")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--markdown", type=Path, help="write the report here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
