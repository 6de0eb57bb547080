"""Measure where maps are right, beside baselines, on drawn scenes.

By method, layers, target and model; the cause in each scene is known.

Each map is measured at two questions. "Where is it?": is it on the object. "Why this class?": is it on the pixels that
make it this class and not its rival. Nothing is timed, so as many processes of one thread run as there are cores.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch

from benchmarks.report import FOLDER, RESULTS, load, machine, with_section
from benchmarks.truth import agreement, causes, segmentation, warned
from benchmarks.truth import peers as compared
from benchmarks.truth.maps import QUESTIONS
from benchmarks.truth.newer.run import merge
from benchmarks.truth.proved import proved
from benchmarks.truth.report import GROUPS, PLOT, Measured, Size, markdown, plot, summary
from benchmarks.truth.scores import Scores, joined, scored
from benchmarks.truth.verdict import PARTLY, labels_of, published, table
from sightglass.common.errors import ModelProblem
from sightglass.explain.findings.reliability import FILE
from sightglass.models.catalog import available, spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

MODELS = tuple(model for models in GROUPS.values() for model in models)
TRUTH = FOLDER / "TRUTH.md"
PACKAGES = ("torch", "ultralytics", "timm", "grad-cam", "numpy")
CHUNK = 25
"""Scenes that one process does at a time."""
PROVED: dict[str, tuple[int, ...]] = {
    "demo-s": (*range(10), *range(36, 46)),
    "demo-m": (*range(10, 24),),
    "demo-l": (*range(30, 36),),
    "demo-cls-s": (*range(18), *range(46, 66)),
    "demo-cls-m": (*range(18, 34),),
    "demo-cls-l": (*range(34, 36),),
    "demo-vit": (*range(40),),
}
"""Scenes of which each model's maps are proved: others than its siblings', so that intervals are over more scenes."""
FEW = 5
"""How many of them one process does at a time."""


QUICK = Size(scenes=100, seeds=50, changed=40, shortcut=40, peers=2, slow=0)
FULL = Size(scenes=325, seeds=150, changed=150, shortcut=100, peers=12, slow=40)
SLOW = ("demo-m", "demo-cls-m")
"""Models that are also explained by methods which take seconds a map."""


def measure(size: Size, models: Sequence[str] = (), seeds: Sequence[Path] = ()) -> Measured:
    """Measure everything; `seeds`: folders with other trainings of the same models, under the same names."""
    wanted = [model for model in models or MODELS if models or available(spec(model))]
    if not wanted:
        raise ModelProblem("No demo model is here: python -m training.train demo-s makes one.")
    cheats = () if models else tuple(one for one in causes.CHEATS if available(spec(one)))
    honest = [causes.HONEST] if available(spec(causes.HONEST)) else []
    others = [(model, folder) for folder in seeds for model in wanted if (folder / f"{model}.safetensors").is_file()]
    at = machine(1, "cpu", PACKAGES)
    # Spawned: a forked child of a process that has used torch may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _single_thread) as pool:

        def spread(work: Any, model: str, folder: Path | None, count: int) -> list[Any]:
            return [pool.submit(work, model, folder, part) for part in _lots(count)]

        scores = [spread(scored, model, None, size.scenes) for model in wanted]
        again = [spread(scored, model, folder, size.seeds) for model, folder in others]
        changed = [spread(causes.changes, model, None, size.changed) for model in wanted]
        short = [
            [pool.submit(causes.shortcut, model, causes.CHEATS[cheat], None, size.shortcut)]
            for cheat in cheats
            for model in (cheat, *honest)
        ]
        peers = [spread(compared.agreement, model, None, size.peers) for model in wanted]
        slow = [spread(compared.slow, model, None, size.slow) for model in wanted if size.slow and model in SLOW]
        found = _results([scores, again, changed, short, peers, slow])
    return Measured(
        size,
        [joined(lots) for lots in found[0]],
        [joined(lots) for lots in found[1]],
        {model: [one for lot in lots for one in lot] for model, lots in zip(wanted, found[2], strict=True)},
        [lot for (lot,) in found[3]],
        [joined(lots) for lots in found[4]],
        [joined(lots) for lots in found[5]],
        at | {"load_after": load()},
    )


def measures(models: Sequence[str] = ()) -> dict[str, str]:
    """Return the sections of TRUTH.md on proofs, which rest on few scenes: a proof asks its model hundreds of times."""
    wanted = [model for model in models or MODELS if model in PROVED and available(spec(model))]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _single_thread) as pool:
        lots = [
            [pool.submit(proved, model, PROVED[model][at : at + FEW]) for at in range(0, len(PROVED[model]), FEW)]
            for model in wanted
        ]
        (found,) = _results([lots])
    maps = {model: [one for lot in lots for one in lot] for model, lots in zip(wanted, found, strict=True)}
    families = {name: [one for model in of for one in maps.get(model, ())] for name, of in GROUPS.items()}
    return {"measures": agreement.section(families)}


def warnings() -> dict[str, str]:
    """Return the section of TRUTH.md on findings that rest on a proof."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _single_thread) as pool:
        lots = [[pool.submit(warned.warned, *pair)] for pair in warned.PAIRS if available(spec(pair[0]))]
        (found,) = _results([lots])
    return {"findings": warned.section([one for (lot,) in found for one in lot])}


def regions(scenes: int | None = None) -> dict[str, str]:
    """Return the section of TRUTH.md on regions of a segmentation."""
    at, count = machine(1, "cpu", PACKAGES), scenes or segmentation.SCENES
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _single_thread) as pool:
        lots = [[pool.submit(segmentation.score, numbers) for numbers in _lots(count)]]
        (found,) = _results([lots])
    made = segmentation.join([lot for lots in found for lot in lots])
    return {"segmentation": segmentation.section(made, at | {"load_after": load()}, count)}


def report(found: Measured) -> tuple[dict[str, Any], str]:
    tables, findings = [], []
    for name, models in GROUPS.items():
        if not (of := _among(found.scores, models)):
            continue
        tables += [table(of, question) for question in QUESTIONS]
        if name != "Transformer":
            findings += published(of, _among(found.slow, models))
    result = {"date": found.machine["date"], "size": asdict(found.size), "findings": findings, "tables": tables}
    return result, markdown(tables, found)


def _among(scores: Sequence[Scores], models: Sequence[str]) -> list[Scores]:
    """Return those that found enough for both questions."""
    labels = labels_of(*PARTLY)
    return [
        of
        for of in scores
        if of.model in models and any(map(lambda label, cause: cause and label in labels, of.labels, of.caused))
    ]


def publish(result: dict[str, Any], text: str, found: Measured) -> None:
    """Write the report, its picture, its half of the page of all results, and the findings that the pages show."""
    TRUTH.write_text(with_section(TRUTH, "scenes", text), encoding="utf-8")
    plot(result["tables"], TRUTH.with_name(PLOT))
    RESULTS.write_text(with_section(RESULTS, "truth", summary(result["tables"]) + "\n"), encoding="utf-8")
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"findings": ()}
    kept = {key: result[key] for key in ("date", "size")} | {"findings": merge(result["findings"], before["findings"])}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def publish_sections(sections: Mapping[str, str]) -> None:
    """Write the sections on proofs, and leave the rest of the report."""
    for name, text in sections.items():
        TRUTH.write_text(with_section(TRUTH, name, text), encoding="utf-8")


def _lots(count: int) -> list[range]:
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _results(groups: Sequence[Sequence[Sequence[Future[Any]]]]) -> list[list[list[Any]]]:
    """Return the results of all lots in the same order, and print how many are done."""
    done, count = itertools.count(1), sum(len(lots) for group in groups for lots in group)

    def result(job: Future[Any]) -> Any:
        found = job.result()
        print(f"\r{next(done)} of {count} lots of scenes", end="", file=sys.stderr, flush=True)
        return found

    found = [[[result(job) for job in lots] for lots in group] for group in groups]
    print(file=sys.stderr)
    return found
