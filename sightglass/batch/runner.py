"""Explain many pictures in one resumable run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.batch import kept, table
from sightglass.batch import labels as run_labels
from sightglass.batch.engines import RayEngine, ThreadEngine, Work
from sightglass.batch.journal import Journal, writing
from sightglass.common.errors import ModelProblem
from sightglass.common.files import remove_drafts
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import find, local_path
from sightglass.explain.rendering.style import VIEWER_STYLE, Style

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.common.work.progress import Progress
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.explanation import Explanation

MAX_PICTURES = 5_000_000
"""Maximum number of pictures in a run, whose names are held in this process."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    pictures: int
    done: int
    """Number explained, in this run or before."""
    resumed: int
    """Number that an earlier run had explained, or found unusable."""
    failed: tuple[tuple[str, str], ...] = field(repr=False)
    """(picture, one sentence) of the unusable ones."""
    seconds: float
    cancelled: bool
    """Stopped before the last picture; the table holds what was done."""

    @property
    def nothing_new(self) -> bool:
        """Whether an earlier run with the same settings had done every picture."""
        return self.resumed == self.pictures

    @property
    def words(self) -> str:
        """`4,998 of 5,000 pictures explained; 2 could not be used`."""
        if self.nothing_new:
            text = f"Nothing new: {self.done:,} explained earlier"
            return f"{text}, {len(self.failed):,} unreadable" if self.failed else text
        text = f"{self.done:,} of {plural(self.pictures, 'picture')} explained"
        details = [f"{self.resumed:,} were done before"] if self.resumed else []
        details += [f"{len(self.failed):,} could not be used"] if self.failed else []
        return "; ".join([text, *details, *(["stopped"] if self.cancelled else [])])


def run(
    source: Any,
    model: str | Explainer,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    device: str = "auto",
    maps: int = 1,
    workers: int | None = None,
    batch_size: int | None = None,
    side: int | None = table.SIDE,
    style: Style = VIEWER_STYLE,
    labels: GroundTruth | Path | str | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    cancel: Event | None = None,
    engine: str = "plain",
    address: str | None = None,
    gpus: float = 1.0,
    on_explained: Callable[[Explanation], object] | None = None,
    facts: kept.RunFacts | None = None,
) -> Summary:
    """Explain a source's pictures into files and a table in the folder `out`.

    `source`: see `sightglass.explain.picture.source.find`. `options`: as for an Explainer's call, including `question`.
    `maps`: number of a classifier's best classes to explain if no targets are given. `workers`: by default one per
    core, in a cluster one per GPU if it has any. `batch_size`: pictures in one pass, by default 4 on a CPU, 32 on a
    GPU. `side`: see `Work`. `labels`: what is in the pictures, or a file or folder of
    it (`ground_truth.read`, `masks.read`); the answers are compared with them, also those of an earlier run. A run
    without labels takes those of the earlier one; `batch.labels.correct` says before a run which classes they mean,
    where their names do not. `resume`: continue an earlier run into `out`; False: start over. `progress` receives the
    share that is done; `on_explained` every explanation made in this process, in any thread. `engine`: `plain`, this
    process; or `ray`, the cluster at `address`, by default the one of this machine. There `device` is each worker's,
    and `gpus` its share of a GPU. `facts`: what the page Pictures lists the run by, and goes on with; by default the
    source itself, if the next process can find it.
    Raises ModelProblem if the source, the model or an option is not valid, or if `out` holds results of other settings;
    unusable pictures are only listed in problems.csv.

    >>> run("pictures/", "efficientnet-lite0", "out/").words  # 160 of 160 pictures explained
    """
    if engine not in ("plain", "ray"):
        raise ModelProblem(f"There is no engine called {engine}: use plain or ray.")
    if (folder := local_path(os.fspath(out))) is None:
        raise ModelProblem(f"Results are written to a folder, not to {out}: give one, and copy it there afterwards.")
    items = find(source, skip=folder, most=MAX_PICTURES)
    # In a cluster the workers run the model; this process only reads its properties.
    explainer = model if isinstance(model, Explainer) else Explainer(model, device="cpu" if engine == "ray" else device)
    work = Work(explainer, options or {}, maps, folder.absolute(), style=style, side=side)
    work.on_explained = on_explained
    work.stop = cancel or work.stop
    if facts := facts or kept.describe_run(source, model, work.call_options, folder):
        facts = replace(facts, pictures=len(items))
    with writing(folder), contextlib.ExitStack() as stack:
        truth = work.kind.read(labels) if isinstance(labels, str | Path) else labels
        if truth is not None:
            work.kind.check(truth, [item.key for item in items])
            run_labels.write_labels(work.folder, truth)
        elif resume:
            truth = run_labels.read_labels(work.folder)
        if truth is not None:
            # Of a model that gives numbers labels are true numbers, and no names.
            classes = work.classes if work.kind.names_classes else ()
            work.labels = run_labels.match_names(truth, classes, run_labels.corrections(work.folder))
        chosen: ThreadEngine | RayEngine = ThreadEngine(work, workers)
        if engine == "ray":
            chosen = RayEngine(stack, work, items[0], device, workers, gpus, address)
        # A batch gains nothing where pictures are explained one by one, and a stop loses less.
        size = batch_size or (1 if not work.batched else 4 if chosen.device == "cpu" else 32)
        settings = json.loads(json.dumps(work.settings)) | {"batch_size": size}
        settings["recipe"]["device"] = chosen.device
        folder.mkdir(parents=True, exist_ok=True)
        journal = stack.enter_context(contextlib.closing(Journal(folder, settings, resume=resume)))
        # Nobody else writes here: the journal is locked.
        if facts is not None:
            kept.write_facts(folder, facts)
        remove_drafts(folder, age=0)
        for draft in (folder / table.FOLDER).rglob(".*.part"):
            draft.unlink()
        start, keys = time.monotonic(), [item.key for item in items]
        lacking = run_labels.find_lacking(work, journal, items)
        pending = {item.key for item in items if journal.done.get(item.key, ("",))[0] != item.stamp} | lacking
        finished = resumed = len(items) - len(pending)
        # By position in the source, not among what is left: an interrupted batch is repeated with the same pictures,
        # and so gives the same results to the last bit.
        chunks = (items[i : i + size] for i in range(0, len(items), size))
        batches = [batch for chunk in chunks if (batch := [item for item in chunk if item.key in pending])]
        # A run that is stopped has then seen pictures of all folders.
        random.Random(0).shuffle(batches)
        report = progress or (lambda share, words: None)
        report(finished / len(items), "Starting")
        with contextlib.closing(chosen.run(batches)) as results:
            for outcomes in results:
                journal.add(outcomes)
                finished += len(outcomes)
                report(finished / len(items), f"{finished:,} of {plural(len(items), 'picture')}")
        report(1.0, "Writing the table")
        failed = table.write(folder, journal, keys, work.scores)
        run_labels.write_evaluation(work, journal, items)
        stamps = [journal.done[key][0] for key in keys if key in journal.done]
        if facts is not None:
            # What has no stamp is tried again by the next run.
            kept.write_facts(folder, replace(facts, done=sum(map(bool, stamps))))
        done, seconds = len(stamps) - len(failed), time.monotonic() - start
        return Summary(folder, len(items), done, resumed, failed, seconds, len(stamps) < len(items))
