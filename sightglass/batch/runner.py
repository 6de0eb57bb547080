"""Explain many pictures in one resumable run.

Two engines process the same batches in the same way (`worker.Work`): threads of this process (`worker.ThreadEngine`),
and workers of a Ray cluster (`cluster.RayEngine`).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.batch import earlier, output, records, seals, table
from sightglass.batch import labels as run_labels
from sightglass.batch.cluster import RayEngine, library
from sightglass.batch.journal import Journal
from sightglass.batch.worker import ThreadEngine, Work
from sightglass.common.errors import ModelProblem
from sightglass.common.files import remove_drafts
from sightglass.evaluation import masks, stored
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import MAX_PICTURES, find
from sightglass.explain.rendering.style import VIEWER_STYLE, Style

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.batch.earlier import RunOrigin
    from sightglass.batch.journal import Outcome
    from sightglass.batch.labels import Matches
    from sightglass.common.work.progress import Progress
    from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.item import Item

MAX_RAY_PICTURES = 5_000_000
"""Maximum number of pictures in a run on a cluster; their names are held in this process."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path | str
    """An address if the results are in a storage."""
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
        of = f"{self.pictures:,} picture" if self.pictures == 1 else f"{self.pictures:,} pictures"
        if self.nothing_new:
            text = f"Nothing new: {self.done:,} explained earlier"
            return f"{text}, {len(self.failed):,} unreadable" if self.failed else text
        text = f"{self.done:,} of {of} explained"
        more = [f"{self.resumed:,} were done before"] if self.resumed else []
        more += [f"{len(self.failed):,} could not be used"] if self.failed else []
        return "; ".join([text, *more, *(["stopped"] if self.cancelled else [])])


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
    side: int | None = records.SIDE,
    colormap: str = VIEWER_STYLE.colormap,
    alpha: float = VIEWER_STYLE.alpha,
    seal: bool = False,
    labels: GroundTruth | Path | str | None = None,
    match: Matches | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    within: Path | None = None,
    engine: str = "plain",
    address: str | None = None,
    gpus: float = 1.0,
    on_explained: Callable[[Explanation], object] | None = None,
    origin: RunOrigin | None = None,
) -> Summary:
    """Explain a source's pictures into files and a table in `out`.

    `source`, `within`: see `sightglass.explain.picture.source.find`. `out`: a folder, or an address such as `s3://bucket/out`.
    `options`: as for an Explainer's call, including `question`. `maps`: number of a classifier's best classes to
    explain if no targets are given. `workers`: by default one per core, in a cluster one per GPU if it has any.
    `batch_size`: pictures in one pass, by default 4 on a CPU, 32 on a GPU. `side`, `colormap`, `alpha`: see
    `Work` and `Style`. `seal`: also test every map
    (`seals`), some 60 passes each, and those of an earlier run that were not. `labels`: what is in the pictures, or a
    file or folder of it (`ground_truth.read`, `masks.read`); the answers are held against them, also those
    of an earlier run. A run without labels takes those of the earlier one. `match`: the classes that labels mean where
    their names do not say so, none for a label that is not to count; in a local folder it is kept with the run.
    `resume`: continue an earlier run into `out`; False: start over. `progress` receives the share that is done and the
    time left; `on_explained` every explanation made in this process, in any thread. `engine`: `plain`, this process; or
    `ray`, a cluster: a temporary one on this machine, or that at `address`. There `device` is each worker's, and
    `gpus` its share of a GPU. `origin`: what a person chose, where `source` is what was found of it; by default the
    source itself, if the next process can find it. It is kept with all else that the run needs to go on.
    Raises ModelProblem if the source, the model or an option is not valid, or if `out` holds results of other settings;
    unusable pictures are only listed in problems.csv.

    >>> run("pictures/", "efficientnet-lite0", "out/").words  # 160 of 160 pictures explained
    """
    if engine not in ("plain", "ray"):
        raise ModelProblem(f"There is no engine called {engine}: use plain or ray.")
    if any(number is not None and number < 1 for number in (workers, batch_size)):
        raise ModelProblem("batch_size and workers are whole numbers, one at least.")
    store = output.at(out)
    if engine == "ray":
        library()
    items = find(source, within=within, skip=store.name, most=MAX_RAY_PICTURES if engine == "ray" else MAX_PICTURES)
    # In a cluster the workers run the model; this process only reads its properties.
    explainer = model if isinstance(model, Explainer) else Explainer(model, device="cpu" if engine == "ray" else device)
    style = Style.parse(colormap, alpha)
    work = Work(explainer, options or {}, maps, store.put, style=style, side=side, seal=seal)
    work.on_explained = on_explained
    work.labels = _take_labels(labels, match, store, work, items, resume=resume)
    noted = None
    if (origin := origin or earlier.describe_source(source)) and (named := earlier.name_model(model, origin)):
        arguments = earlier.RunArguments(
            options=work.given,
            device=device,
            maps=maps,
            batch_size=batch_size,
            side=side,
            colormap=colormap,
            alpha=alpha,
            seal=seal,
        )
        noted = earlier.RunFacts(origin=origin, model=named, arguments=arguments, pictures=len(items))
    with contextlib.ExitStack() as stack:
        chosen: ThreadEngine | RayEngine = ThreadEngine(work, workers)
        if engine == "ray":
            chosen = RayEngine(stack, work, store, items[0], device, workers, gpus, address)
        try:
            return _run(items, chosen, work, store, batch_size, progress, cancel, noted, match=match, resume=resume)
        except OSError as error:
            raise output.unwritable(store.name, error) from error


def _take_labels(
    given: GroundTruth | Path | str | None,
    match: Matches | None,
    store: output.Local | output.RemoteFolder,
    work: Work,
    items: list[Item],
    *,
    resume: bool,
) -> RunLabels | None:
    """Return the run's labels, and write them beside its table."""
    truth = work.kind.read(given) if isinstance(given, str | Path) else given
    corrections: Matches = match or {}
    if isinstance(store, output.Local):
        corrections = run_labels.corrections(store.folder) | dict(corrections)
    # Of a model that gives numbers labels are true numbers, and no names.
    known = () if work.scores.numbers else work.classes
    if truth is None:
        earlier = run_labels.read_labels(store) if resume else None
        return None if earlier is None else run_labels.match_names(earlier, known, corrections)
    matched = run_labels.match_names(truth, known, corrections)
    work.kind.check(truth, [item.key for item in items])
    try:
        run_labels.write_labels(store, truth)
    except OSError as error:
        raise output.unwritable(store.name, error) from error
    return matched


def _run(
    items: list[Item],
    engine: ThreadEngine | RayEngine,
    work: Work,
    store: output.Local | output.RemoteFolder,
    batch_size: int | None,
    progress: Progress | None,
    cancel: threading.Event | None,
    noted: earlier.RunFacts | None,
    *,
    match: Matches | None,
    resume: bool,
) -> Summary:
    # A batch gains nothing where pictures are explained one by one, and a stop loses less.
    size = batch_size or (1 if not work.batched else 4 if engine.device == "cpu" else 32)
    settings = json.loads(json.dumps(work.settings)) | {"batch_size": size}
    settings["recipe"]["device"] = engine.device
    with (
        store.workspace(resume) as space,
        contextlib.closing(Journal(space.folder, settings, resume=resume)) as journal,
    ):
        # Nobody else writes here: the journal is locked.
        if noted is not None:
            earlier.write_facts(store, noted)
        remove_drafts(space.folder, age=0)
        for draft in (space.folder / records.FOLDER).rglob(".*.part"):
            draft.unlink()
        start, finished = time.monotonic(), 0
        lacking: set[str] = set()
        if work.seal:
            lacking |= seals.lacking(journal.outcomes([item.key for item in items]))
        if work.labels:
            lacking |= run_labels.find_lacking(work.kind, work.labels, items, journal)
        todo = {item.key for item in items if journal.done.get(item.key, ("",))[0] != item.stamp} | lacking
        resumed = len(items) - len(todo)
        # By position in the source, not among what is left: an interrupted batch is repeated with the same pictures,
        # and so gives the same results to the last bit.
        chunks = (items[i : i + size] for i in range(0, len(items), size))
        batches = [batch for chunk in chunks if (batch := [item for item in chunk if item.key in todo])]
        lock = threading.Lock()

        def take(outcomes: list[Outcome]) -> None:
            nonlocal finished
            journal.add(outcomes)
            with lock:
                finished += len(outcomes)

        def tick(words: str) -> bool:
            space.save(output.INTERVAL)
            if progress is not None:
                progress((resumed + finished) / len(items), words or _left(resumed, finished, len(items), start))
            return cancel is not None and cancel.is_set()

        if batches:
            engine.run(batches, take, tick)
        if progress is not None:
            progress(1.0, "Writing the table")
        keys = [item.key for item in items]
        space.save()
        table.write(space.folder, journal, keys, work.classes, work.scores)
        if match and isinstance(store, output.Local):
            run_labels.correct(space.folder, match)
        run_labels.write_evaluation(work.kind, space.folder, journal, items, work.labels, work.facts)
        space.finish((table.PARQUET, table.CSV, table.PROBLEMS, stored.FILE, masks.FILE))
        failed = tuple(
            (outcome["key"], outcome["problem"]) for outcome in journal.outcomes(keys) if "problem" in outcome
        )
        known = sum(key in journal.done for key in keys)
        if noted is not None:
            # What has no stamp is tried again by the next run.
            settled = sum(bool(journal.done[key][0]) for key in keys if key in journal.done)
            earlier.write_facts(store, replace(noted, done=settled))
        seconds = time.monotonic() - start
        return Summary(store.name, len(items), known - len(failed), resumed, failed, seconds, known < len(items))


def _left(resumed: int, finished: int, total: int, start: float) -> str:
    """`312 of 5,000 pictures, 2 min left`."""
    text = f"{resumed + finished:,} of {plural(total, 'picture')}"
    if not finished:
        return text
    seconds = (total - resumed - finished) * (time.monotonic() - start) / finished
    left = (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
    return f"{text}, {left} left"
