"""Explain a batch's pictures in threads."""

from __future__ import annotations

import copy
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from sightglass.batch import table
from sightglass.common.errors import Cancelled, ImageProblem, MachineProblem, ModelProblem, Problem, from_machine
from sightglass.common.work.threads import torch_pool
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.evidence.determinism import PassLock
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.explanation import Explanation, explain_together, takes_several
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import RECIPE_OPTIONS
from sightglass.explain.picture.source import Item, Unreachable
from sightglass.explain.recipe import Recipe, versions
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.explain.tasks import task_of
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sightglass.batch.journal import Outcome
    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.explain.evidence.resident import LoadedModel
    from sightglass.explain.picture.image import Image
    from sightglass.explain.rendering.style import Style
    from sightglass.models.layers import Layer

NO_MEMORY = (torch.OutOfMemoryError, MemoryError)
MAX_DECODED_BYTES = 64 * 2**20
"""Maximum bytes of decoded pictures per worker; a batch of larger ones goes through the model in parts."""


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
        self._model_lock: AbstractContextManager[Any] = nullcontext() if self.parallel else threading.Lock()
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
        threshold = self.kind.threshold(self.options.confidence)
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
            with suppress(Problem, *NO_MEMORY):
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


def processor_cores() -> int:
    """Return the number of usable processor cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
