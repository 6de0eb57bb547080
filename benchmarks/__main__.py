"""Run the benchmarks: speed, memory and correctness against other libraries.

`speed | memory | all`: the engine beside other libraries; `viewer`: the dashboard in a browser; `detect`: the cost of
a detector's maps; `pointing`: where they point, by method and layers; `why`: which map of a photograph explains its
class; `parts` and `regions`: whether a detector's, or a classifier's, map shows the part of the object that matters;
`default`: which map of a box depends on the weights and shows the part that matters; `prove`: what a proof of a map
costs; `verdict`: how often it calls right and wrong maps supported; `live`: the camera's frames, end to end; `video`:
a clip's frames, from file to file; `truth`: where maps are right, on drawn scenes with a known cause; `alignment`:
where a layer's cells look, beside where its map is drawn; `regression`: which maps of a number are on what it measures;
`throughput`: pictures per second, from a folder to files;
`gpu`: what a GPU does to maps, and what can be seen of that without one; `transformers`: what their maps cost, and at
which layer they are right; `api`: the API under load, beside the dashboard's pages; `load`: twenty sessions and eight
API clients at once; `long`: thousands of explanations in one process, and what stays behind; `hour`: the dashboard's
memory while somebody explores everything; `small`: the dashboard in a small place; `ray`: a folder explained by one
process, and by a cluster's workers; `drift`: how often planted drift is found;
`watching`: what watching adds to a training;
`tasks`: what a region, a query and Integrated Gradients cost.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import DETECTORS, Row, load, machine, with_section
from benchmarks.viewer.run import LINES
from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

os.environ.setdefault("SIGHTGLASS_OFFLINE", "1")
ROUNDS = 21


@dataclass(frozen=True)
class Outcome:
    """What a command measured, and where its report goes."""

    result: Row
    markdown: Callable[[Row], str]
    file: Path | None = None
    """None if only a part was measured, which must not overwrite the whole."""
    shared: bool = False
    """Whether the report is a section of `file`."""
    code: int = 0


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the report, and write it to its file."""
    options = _parser().parse_args(arguments)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    try:
        outcome = COMMANDS[options.what](options)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    if "machine" in outcome.result:
        outcome.result["machine"]["load_after"] = load()
    report = outcome.markdown(outcome.result)
    print(report)
    into: Path | None = options.markdown or outcome.file
    report = with_section(into, options.what, report) if into and outcome.shared else report
    for file, text in ((options.json, json.dumps(outcome.result, indent=1) + "\n"), (into, report)):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return outcome.code


def _device(options: argparse.Namespace) -> tuple[torch.device, Path]:
    from benchmarks.case import picture
    from sightglass.explain.evidence.resident import device

    return device(options.device), options.picture or picture()


def _classifiers(options: argparse.Namespace) -> Outcome:
    import torch

    from benchmarks.classifiers import speed
    from benchmarks.classifiers.case import MODELS, WEIGHED, Case
    from benchmarks.classifiers.memory import memory

    (device, path), rounds = _device(options), options.rounds or ROUNDS
    threads = torch.get_num_threads()
    result: Row = {"machine": machine(threads, str(device)), "rounds": rounds}
    if options.what in ("speed", "all"):
        cases = (Case.build(model, path, device, options.classes) for model in options.models or MODELS)
        result["speed"] = [speed.table(case, rounds) for case in cases]
    if options.what in ("memory", "all"):
        result["memory"] = memory(
            options.models or WEIGHED, path, calls=options.calls, classes=options.classes, threads=threads
        )
    result["goals"] = speed.goals(result)
    return Outcome(result, speed.markdown)


def _viewer(options: argparse.Namespace) -> Outcome:
    from benchmarks.viewer import run

    return Outcome(
        run.viewer(options.only, options.rounds), run.markdown, None if options.only else run.OUT, shared=True
    )


def _truth(options: argparse.Namespace) -> Outcome:
    from benchmarks.truth import run

    if options.scrambled:
        from benchmarks.truth import scrambled

        models, pictures = options.models or (), options.photographs or scrambled.PICTURES
        counts = scrambled.scrambled(models, pictures)
        text = scrambled.section(counts, models, pictures)
        if options.publish:
            scrambled.publish(counts)
            run.publish_sections({"scrambled": text})
        return Outcome({}, lambda _: text)
    if options.newer:
        from benchmarks.truth.newer import run as newer

        made = newer.measure()
        if options.publish:
            newer.publish(made)
        return Outcome({}, lambda _: "\n\n".join(newer.sections(made).values()))
    if options.segmentation:
        sections = run.regions(options.photographs)
        if options.publish:
            run.publish_sections(sections)
        return Outcome({}, lambda _: "\n\n".join(sections.values()))
    if options.measures or options.findings:
        sections = run.measures(options.models or ()) if options.measures else {}
        sections |= run.warnings() if options.findings else {}
        if options.publish:
            run.publish_sections(sections)
        return Outcome({}, lambda _: "\n\n".join(sections.values()))
    found = run.measure(run.FULL if options.full else run.QUICK, options.models or (), options.seeds)
    result, report = run.report(found)
    if options.publish:
        run.publish(result, report, found)
    return Outcome(result, lambda _: report)


def _regression(options: argparse.Namespace) -> Outcome:
    from benchmarks.regression import run

    result = run.regression(options.count or run.COUNT)
    public = {key: value for key, value in result.items() if key != "values"}
    return Outcome(public, lambda _: run.markdown(result), None if options.count else run.OUT, shared=True)


def _alignment(options: argparse.Namespace) -> Outcome:
    from benchmarks.alignment import run
    from benchmarks.truth.run import TRUTH

    result = run.alignment(options.models or (), options.dataset, options.photographs)
    complete = options.dataset and not options.models and not options.photographs
    return Outcome(result, run.markdown, TRUTH if complete else None, shared=True)


def _gpu(options: argparse.Namespace) -> Outcome:
    from benchmarks.gpu import report

    device, path = _device(options)
    result = report.gpu(options.models or (), path, device, options.rounds)
    if options.models:
        return Outcome(result, report.markdown)
    before = report.OUT.read_text(encoding="utf-8") if report.OUT.is_file() else ""
    return Outcome(result, partial(report.markdown, before=before), report.OUT)


def _transformers(options: argparse.Namespace) -> Outcome:
    from benchmarks.classifiers import transformers

    (device, path), rounds = _device(options), options.rounds or transformers.ROUNDS
    result = transformers.transformers(options.models or (), path, device, rounds, options.classes)
    return Outcome(result, transformers.markdown, None if options.models else transformers.OUT)


def _api(options: argparse.Namespace) -> Outcome:
    from benchmarks.api import load

    seconds = options.seconds or load.SECONDS
    result = load.api(seconds, options.clients)
    complete = seconds >= load.SECONDS and options.clients == load.CLIENTS
    return Outcome(result, load.markdown, load.OUT if complete else None, code=int(bool(result["ours"]["wrong"])))


def _load(options: argparse.Namespace) -> Outcome:
    from benchmarks.load import run

    seconds = options.seconds or run.SECONDS
    result = run.load(seconds, options.sessions, options.clients)
    complete = seconds >= run.SECONDS and options.sessions >= run.SESSIONS and options.clients >= run.CLIENTS
    if complete:
        run.publish(result)
    return Outcome(
        result, run.markdown, run.OUT if complete else None, shared=True, code=int(bool(run.failures(result)))
    )


def _ray(options: argparse.Namespace) -> Outcome:
    from benchmarks.batch import ray

    rounds = options.rounds or ray.ROUNDS
    result = ray.ray(rounds, options.pictures)
    complete = rounds >= ray.ROUNDS and options.pictures >= ray.PICTURES
    if complete:
        ray.publish(result)
    return Outcome(result, ray.markdown, ray.OUT if complete else None)


def _throughput(options: argparse.Namespace) -> Outcome:
    from benchmarks.batch import throughput as bench

    result = bench.throughput(options.models or bench.MODELS, options.rounds or bench.ROUNDS, options.many)
    return Outcome(result, bench.markdown, bench.OUT if options.many and not options.models else None)


def _detect(options: argparse.Namespace) -> Outcome:
    from benchmarks.detectors import speed

    result = speed.detect(options.models or (), options.rounds)
    return Outcome(result, speed.markdown, None if options.models else DETECTORS, shared=True)


def _of_photographs(options: argparse.Namespace) -> Outcome:
    from benchmarks.classifiers import regions, why
    from benchmarks.detectors import default, parts, pointing

    module, measure, out = {
        "why": (why, why.why, why.OUT),
        "regions": (regions, regions.regions, regions.OUT),
        "parts": (parts, parts.parts, DETECTORS),
        "default": (default, default.default, DETECTORS),
        "pointing": (pointing, pointing.pointing, DETECTORS),
    }[options.what]
    result = measure(options.models or (), options.dataset, options.photographs)
    return Outcome(result, module.markdown, None if options.models else out, shared=True)


def _prove(options: argparse.Namespace) -> Outcome:
    from benchmarks import prove

    result = prove.prove(options.picture, options.rounds, options.steps, tuple(options.models or ()))
    complete = options.steps == prove.STEPS and not options.models
    if complete:
        prove.publish(result)
    return Outcome(result, prove.markdown, prove.OUT if complete else None)


def _verdict(options: argparse.Namespace) -> Outcome:
    from benchmarks import verdict

    result = verdict.verdict(options.models or (), options.dataset, options.photographs)
    return Outcome(result, verdict.markdown, None if options.models else verdict.OUT)


def _live(options: argparse.Namespace) -> Outcome:
    from benchmarks.live import run

    result = run.live(options.seconds or run.SECONDS, options.memory_seconds, tuple(options.models or ()))
    complete = options.memory_seconds >= run.MEMORY_SECONDS and not options.models
    return Outcome(result, run.markdown, run.OUT if complete else None, shared=True)


def _video(options: argparse.Namespace) -> Outcome:
    from benchmarks.video import speed

    result = speed.video(options.models or (), options.rounds or speed.ROUNDS)
    return Outcome(result, speed.markdown, None if options.models else speed.OUT, shared=True)


def _long(options: argparse.Namespace) -> Outcome:
    from benchmarks.memory import long

    count = options.count or long.COUNT
    complete = count >= long.COUNT and not options.models
    return Outcome(long.long(count, options.models or ()), long.markdown, long.OUT if complete else None, shared=True)


def _hour(options: argparse.Namespace) -> Outcome:
    from benchmarks.memory import hour

    seconds = options.seconds or hour.SECONDS
    complete = seconds >= hour.SECONDS and not options.models
    result = hour.hour(seconds, tuple(options.models or ()))
    return Outcome(result, hour.markdown, hour.OUT if complete else None, shared=True, code=int(bool(result["broken"])))


def _small(options: argparse.Namespace) -> Outcome:
    from benchmarks.memory import small

    result = small.small(tuple(options.models or ()))
    return Outcome(result, small.markdown, None if options.models else small.OUT, shared=True)


def _drift(options: argparse.Namespace) -> Outcome:
    from benchmarks import drift

    return Outcome(drift.measure(options.rounds or drift.SEEDS), drift.markdown, None if options.rounds else drift.OUT)


def _watching(_: argparse.Namespace) -> Outcome:
    from benchmarks import watching

    return Outcome(watching.measure(), watching.markdown, watching.OUT)


def _tasks(options: argparse.Namespace) -> Outcome:
    from benchmarks.tasks import speed

    result = speed.tasks(options.rounds or speed.ROUNDS)
    return Outcome(result, speed.markdown, None if options.rounds else speed.OUT)


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "speed": _classifiers,
    "memory": _classifiers,
    "all": _classifiers,
    "viewer": _viewer,
    "detect": _detect,
    "pointing": _of_photographs,
    "why": _of_photographs,
    "regions": _of_photographs,
    "parts": _of_photographs,
    "default": _of_photographs,
    "prove": _prove,
    "verdict": _verdict,
    "live": _live,
    "video": _video,
    "long": _long,
    "hour": _hour,
    "small": _small,
    "truth": _truth,
    "alignment": _alignment,
    "regression": _regression,
    "throughput": _throughput,
    "gpu": _gpu,
    "transformers": _transformers,
    "api": _api,
    "load": _load,
    "ray": _ray,
    "drift": _drift,
    "watching": _watching,
    "tasks": _tasks,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("what", choices=tuple(COMMANDS))
    add("--models", nargs="+", help="ids in the catalogue")
    add("--picture", type=Path, help="a file; default: the bus in the Ultralytics package")
    add("--classes", type=int, default=5, help="number of classes to explain")
    add("--rounds", type=int, help=f"rounds per line; default {ROUNDS}, or what each line of the viewer needs")
    add("--only", nargs="+", choices=tuple(LINES), default=(), help="viewer: these lines only")
    add(
        "--dataset",
        type=Path,
        help="pointing, parts, alignment, default: photographs, images/ and labels/ in YOLO's layout; "
        "why, regions: any",
    )
    add(
        "--photographs",
        type=int,
        help="pointing, why, regions, parts, verdict, alignment, default: at most so many photographs, or boxes; "
        "truth --scrambled: pictures of each model; truth --segmentation: scenes",
    )
    add("--steps", type=int, default=20, help="prove: shares that are hidden and kept")
    add("--full", action="store_true", help="truth: all scenes, half an hour instead of five minutes")
    add("--seeds", type=Path, nargs="+", default=(), help="truth: folders with other trainings of the models")
    add("--measures", action="store_true", help="truth: only which measures of a proof agree with the known cause")
    add("--findings", action="store_true", help="truth: only how often findings that rest on a proof are right")
    add("--scrambled", action="store_true", help="truth: only which methods' maps depend on the model")
    add(
        "--newer", action="store_true", help="truth: only methods that name their own layer, and boxes that are queries"
    )
    add("--segmentation", action="store_true", help="truth: only where maps of a segmentation's regions are right")
    add("--publish", action="store_true", help="truth: write TRUTH.md, RESULTS.md and what findings read")
    add("--calls", type=int, default=300, help="memory: calls of each contender")
    add("--count", type=int, help="long: number of explanations, default 2000")
    add("--many", type=int, default=5000, help="throughput: number of pictures over which memory is watched")
    add("--pictures", type=int, default=256, help="ray: number of pictures in a round")
    add(
        "--seconds",
        type=float,
        help="api, load, hour: duration, default 60, 600 and 3600; live: of each measurement, default 20",
    )
    add("--memory-seconds", type=float, default=600.0, help="live: how long memory is watched; 0: not at all")
    add("--clients", type=int, default=8, help="api, load: number of concurrent clients")
    add("--sessions", type=int, default=20, help="load: number of concurrent sessions of the dashboard")
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, help="number of threads; default: torch's own")
    add("--json", type=Path, help="write the numbers here")
    add("--markdown", type=Path, help="write the report here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
