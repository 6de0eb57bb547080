"""Explain many pictures in one resumable run.

Two engines process the same batches in the same way (`Work`): threads of this process (`ThreadEngine`), and workers of
a Ray cluster (`cluster.RayEngine`).
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sightglass.batch import kept, table
from sightglass.batch import labels as run_labels
from sightglass.batch.journal import Journal, unwritable_problem
from sightglass.common.errors import Cancelled, ImageProblem, MachineProblem, ModelProblem, Problem, from_machine
from sightglass.common.files import remove_drafts
from sightglass.common.work.threads import processor_cores, torch_pool
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.evidence.determinism import PassLock
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.explanation import Explanation, explain_together, takes_several
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import RECIPE_OPTIONS
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import Item, Unreachable, find, local_path
from sightglass.explain.recipe import Recipe, versions
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.tasks import task_of
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sightglass.batch.cluster import RayEngine
    from sightglass.batch.journal import Outcome
    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
    from sightglass.explain.evidence.resident import LoadedModel
    from sightglass.explain.picture.image import Image
    from sightglass.models.layers import Layer

NO_MEMORY = (torch.OutOfMemoryError, MemoryError)
MAX_DECODED_BYTES = 64 * 2**20
"""Maximum bytes of decoded pictures per worker; a batch of larger ones goes through the model in parts."""
MAX_PICTURES = 5_000_000
"""Maximum number of pictures in a run, whose names are held in this process."""


class Work:
    """Processes batches; `for_worker` returns each worker's own instance."""

    def __init__(
        self,
        explainer: Explainer,
        call_options: dict[str, Any],
        maps: int,
        folder: Path,
        *,
        style: Style = VIEWER_STYLE,
        side: int | None = table.SIDE,
    ) -> None:
        """`call_options`: as for an Explainer's call, including `question`. `folder`: of the results. `side`: pixels
        of the longer side of the written pictures at most; None: the picture's own.

        Raises ModelProblem if the model or an option is not valid.
        """
        self.task, self.kind = task_of(explainer.model), kind_of(explainer.model)
        self.call_options, by_name = dict(call_options), dict(call_options)
        self.options = options = explainer.options(by_name, by_name.pop("question", None))
        self.explainer, self.maps, self.folder = explainer, maps, folder
        self.style, self.side = style, side
        # Words apply to all pictures; examples are boxes of one.
        words = replace(options, examples=())
        resident: LoadedModel = explainer.with_vocabulary(explainer.resident, words, None)
        self.batched = takes_several(resident, options)
        self.parallel = self.batched and resident.device.type == "cpu"
        """Whether workers run the model at the same time."""
        self.stop = threading.Event()
        """Set to stop the run."""
        self.on_explained: Callable[[Explanation], object] | None = None
        """Receives every explanation, in any worker's thread."""
        self.labels: RunLabels | None = None
        """What is in the pictures, under the names of the model's classes."""
        self.device = str(resident.device)
        self._resident = resident
        self._model_lock: AbstractContextManager[Any] = contextlib.nullcontext() if self.parallel else threading.Lock()
        self._layers: tuple[Layer, ...] = chosen_layers(resident, options.layers)
        # Made once for all workers.
        resident.fastest_adapter(self._layers)
        if options.preprocessing not in resident.adapter.preprocessings:
            raise ModelProblem(f"{explainer.model.id} cannot take a picture as {options.preprocessing!r}.")
        # Checked once, not for every picture.
        for label in (*options.targets, *options.classes):
            if isinstance(label, str):
                class_index(label, resident.adapter.labels)

    @property
    def arguments(self) -> dict[str, Any]:
        """What another machine needs to make the same, beside the model and the folder."""
        return {name: getattr(self, name) for name in ("call_options", "maps", "style", "side")}

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that the model knows, with the words it was given."""
        return self._resident.adapter.labels

    @property
    def scores(self) -> table.Scores:
        """What the scores of its answers are."""
        spec = self.explainer.model
        units = {label: spec.unit_of(label) for label in self.classes} if self.task.measures else {}
        return table.Scores(spec.task, units, self.classes)

    @property
    def facts(self) -> EvaluationFacts:
        """What holds for all pictures of an evaluation."""
        spec = self.explainer.model
        threshold = self.options.confidence if self.task.has_boxes else 0.0
        return EvaluationFacts(spec.id, spec.name, self.kind.task, self.classes, threshold)

    @property
    def settings(self) -> Json:
        """Everything that results depend on; an earlier run with other settings cannot be resumed.

        Labels are none of them: a run with them adds what an earlier one lacks.
        """
        resident, options = self._resident, self.options
        spec = resident.adapter.spec
        recipe = Recipe(
            picture_sha256="",
            picture_name="",
            model=spec.id,
            weights_sha256=resident.origin.adapter.weights_sha256,
            method=find_method(options.method or (spec.method if resident.gradients else "drise")).id,
            layers=tuple(layer.path for layer in self._layers),
            targets=(),
            masks=options.masks,
            prepared=resident.adapter.preprocessing,
            **{name: getattr(options, name) for name in RECIPE_OPTIONS},
            device=str(resident.device),
            versions=versions(),
        )
        return {
            "recipe": recipe.model_dump(mode="json"),
            "targets": options.targets,
            "maps": self.maps,
            "side": self.side,
            # Only what is unusual, so that runs from before these could be chosen still resume.
            **table.changed_colours(self.style),
        }

    def for_worker(self) -> Work:
        """Return a copy for another worker, with its own lock."""
        if not self.parallel:
            return self
        # Recordings of a pass are kept by thread (explain/evidence/evidence.py), so that all can share one module.
        worker_copy = copy.copy(self)
        worker_copy._resident = self._resident.copy()
        worker_copy._resident.lock = PassLock(worker_copy._resident.device)
        return worker_copy

    def process(self, batch: Sequence[Item]) -> list[Outcome]:
        """Explain a batch, write its files, return outcomes. Raises Cancelled."""
        if self.stop.is_set():
            raise Cancelled
        outcomes: dict[str, Outcome] = {}
        for part in self._open(batch, outcomes):
            for item, explanation in zip(part, self._explain(list(part.values())), strict=True):
                if isinstance(explanation, Problem):
                    # What there was no memory for is tried again by the next run: no picture has an empty stamp.
                    stamp = "" if isinstance(explanation, MachineProblem) else item.stamp
                    outcomes[item.key] = {"key": item.key, "stamp": stamp, "problem": str(explanation)}
                    continue
                stem = table.stem(item)
                if self.on_explained is not None:
                    self.on_explained(explanation)
                table.write_files(self.folder / stem, explanation, self.style, self.side)
                evaluated: Outcome = {}
                if self.labels is not None:
                    evaluated = self.kind.judge(self.labels, item.key, explanation, self._model_lock)
                rows = [row | self.kind.columns(evaluated) for row in table.rows(item, explanation, stem)]
                outcomes[item.key] = {"key": item.key, "stamp": item.stamp, "rows": rows} | evaluated
        return [outcomes[item.key] for item in batch]

    def _open(self, batch: Sequence[Item], outcomes: dict[str, Outcome]) -> Iterator[dict[Item, Image]]:
        """Yield decoded pictures in parts; report unreadable ones in `outcomes`."""
        part: dict[Item, Image] = {}
        for item in batch:
            try:
                part[item] = item.open()
            except ImageProblem as problem:
                # What could not be fetched is tried again by the next run: no picture has an empty stamp.
                stamp = "" if isinstance(problem, Unreachable) else item.stamp
                outcomes[item.key] = {"key": item.key, "stamp": stamp, "problem": str(problem)}
            if sum(image.pixels.nbytes for image in part.values()) > MAX_DECODED_BYTES:
                yield part
                part = {}
        if part:
            yield part

    def _explain(self, images: list[Image]) -> list[Explanation | Problem]:
        if self.batched:
            adapter = self._resident.adapter
            channels, way = adapter.channels, self.options.preprocessing
            # Else one by one, so that each unsuitable picture gets its own message, and all others an explanation.
            with contextlib.suppress(Problem, *NO_MEMORY):
                inputs = [adapter.prepare(image.taken(channels, adapter.spec.id), way) for image in images]
                with self._model_lock:
                    return [*explain_together(self._resident, images, inputs, self._layers, self.options, self.maps)]
        return [self._explain_one(image) for image in images]

    def _explain_one(self, image: Image) -> Explanation | Problem:
        """Explain one picture by itself."""
        options = self.call_options
        if self.stop.is_set():
            raise Cancelled
        with self._model_lock:
            try:
                if self.task.ranked and not self.options.targets:
                    answer = self.explainer(image, maps=False, **options)
                    options = options | {"targets": tuple(p.index for p in answer.predictions[: self.maps])}
                explanation = self.explainer(image, cancel=self.stop, **options)
            except Problem as problem:
                return problem
            except NO_MEMORY as error:
                return from_machine(error) or MachineProblem(str(error))
        # Thousands of pictures that are not viewed again would evict those that are.
        EVIDENCE.discard(lambda evidence: evidence is explanation.evidence)
        return explanation


class ThreadEngine:
    """Workers in threads of this process, one per core by default.

    Each processes whole batches, from files to lines in the journal. On a CPU every worker runs the model with a single
    thread, which was measured to be faster than all threads in one pass; if the model is on a GPU, or explains one
    picture at a time, one worker runs it while the others decode ahead and write.
    """

    def __init__(self, work: Work, workers: int | None) -> None:
        self._work, self._workers = work, workers or processor_cores()
        self.device = work.device

    def run(self, batches: Iterable[Sequence[Item]]) -> Generator[list[Outcome], None, None]:
        """Yield the outcomes of each batch as soon as it is done; no more once `Work.stop` is set."""
        work, remaining, local = self._work, iter(batches), threading.local()

        def process(batch: Sequence[Item]) -> list[Outcome]:
            if not hasattr(local, "work"):
                local.work = work.for_worker()
            outcomes: list[Outcome] = local.work.process(batch)
            return outcomes

        running: set[Future[list[Outcome]]] = set()
        with torch_pool(self._workers, "folder", 1 if work.parallel else torch.get_num_threads()) as pool:
            try:
                while True:
                    # One batch waits, so that no worker does.
                    free = 0 if work.stop.is_set() else self._workers + 1 - len(running)
                    running.update(pool.submit(process, batch) for batch in islice(remaining, free))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        if not isinstance(future.exception(), Cancelled):
                            yield future.result()
            except BaseException:
                work.stop.set()
                raise


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
        total = f"{self.pictures:,} picture" if self.pictures == 1 else f"{self.pictures:,} pictures"
        if self.nothing_new:
            text = f"Nothing new: {self.done:,} explained earlier"
            return f"{text}, {len(self.failed):,} unreadable" if self.failed else text
        text = f"{self.done:,} of {total} explained"
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
    colormap: str = VIEWER_STYLE.colormap,
    alpha: float = VIEWER_STYLE.alpha,
    labels: GroundTruth | Path | str | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
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
    GPU. `side`, `colormap`, `alpha`: see `Work` and `Style`. `labels`: what is in the pictures, or a file or folder of
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
    work = Work(explainer, options or {}, maps, folder.absolute(), style=Style.parse(colormap, alpha), side=side)
    work.on_explained = on_explained
    work.stop = cancel or work.stop
    if facts := facts or kept.describe_run(source, model, work.call_options, folder):
        facts = replace(facts, pictures=len(items))
    with contextlib.ExitStack() as stack:
        try:
            work.labels = _take_labels(labels, work, items, resume=resume)
            chosen: ThreadEngine | RayEngine = ThreadEngine(work, workers)
            if engine == "ray":
                from sightglass.batch.cluster import RayEngine

                chosen = RayEngine(stack, work, items[0], device, workers, gpus, address)
            return _run(items, chosen, work, folder, batch_size, progress, facts, resume=resume)
        except OSError as error:
            raise unwritable_problem(folder, error) from error


def _take_labels(
    labels: GroundTruth | Path | str | None, work: Work, items: list[Item], *, resume: bool
) -> RunLabels | None:
    """Return the run's labels, and write them beside its table."""
    truth = work.kind.read(labels) if isinstance(labels, str | Path) else labels
    if truth is not None:
        work.kind.check(truth, [item.key for item in items])
        run_labels.write_labels(work.folder, truth)
    elif not resume or (truth := run_labels.read_labels(work.folder)) is None:
        return None
    # Of a model that gives numbers labels are true numbers, and no names.
    known = () if work.scores.numbers else work.classes
    return run_labels.match_names(truth, known, run_labels.corrections(work.folder))


def _run(
    items: list[Item],
    engine: ThreadEngine | RayEngine,
    work: Work,
    folder: Path,
    batch_size: int | None,
    progress: Progress | None,
    facts: kept.RunFacts | None,
    *,
    resume: bool,
) -> Summary:
    # A batch gains nothing where pictures are explained one by one, and a stop loses less.
    size = batch_size or (1 if not work.batched else 4 if engine.device == "cpu" else 32)
    settings = json.loads(json.dumps(work.settings)) | {"batch_size": size}
    settings["recipe"]["device"] = engine.device
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Journal(folder, settings, resume=resume)) as journal:
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
        report = progress or (lambda share, words: None)
        report(finished / len(items), "Starting")
        with contextlib.closing(engine.run(batches)) as results:
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
