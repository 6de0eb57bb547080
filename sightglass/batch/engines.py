"""Engines of a run: threads of this process, or workers of a Ray cluster.

Both process the same batches in the same way (`Work`), so that results are the same. Workers write the files and return
rows; the process of the run hands out the batches, and writes the journal and the table. Ray is imported on demand.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import os
import socket
import threading
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import torch

from sightglass.batch import journal, table
from sightglass.batch.journal import Outcome
from sightglass.common.errors import (
    Cancelled,
    ImageProblem,
    MachineProblem,
    ModelProblem,
    Problem,
    describe_missing,
    from_machine,
)
from sightglass.common.files import Json
from sightglass.common.packaged import CHECKOUT, PACKAGE
from sightglass.common.work.threads import in_order, processor_cores, torch_pool
from sightglass.evaluation import masks, stored
from sightglass.evaluation.ground_truth import RunLabels
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.evidence.determinism import PassLock
from sightglass.explain.evidence.evidence import MAX_DECODED_BYTES
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.explanation import (
    Explanation,
    check_options,
    chosen_method,
    explain_together,
    pass_size,
)
from sightglass.explain.options import RECIPE_OPTIONS, Options
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item, Unreachable
from sightglass.explain.recipe import Recipe, versions
from sightglass.explain.tasks import task_of
from sightglass.models.checkpoints import weights
from sightglass.models.labels import class_index
from sightglass.models.layers import Layer

if TYPE_CHECKING:
    from sightglass.batch.runner import BatchJob

NO_MEMORY = (torch.OutOfMemoryError, MemoryError)
CONNECT_TIMEOUT = 10.0
"""Seconds after which an address counts as unreachable."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A late call from another thread must not start a new cluster.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""Variables by which Ray sends no statistics, logs little, and starts no cluster by itself."""


def list_settings(loaded: LoadedModel, options: Options, layers: Sequence[Layer]) -> Json:
    """Return everything but the picture that results depend on: a recipe, targets, and hashes of names and code."""
    spec, (_, files) = loaded.adapter.spec, loaded.origin.source or (None, {})
    recipe = Recipe(
        picture_sha256="",
        picture_name="",
        model=spec.id,
        weights_sha256=loaded.origin.digest(),
        method=chosen_method(loaded, options).id,
        layers=tuple(layer.path for layer in layers),
        targets=(),
        masks=options.masks,
        prepared=loaded.adapter.preprocessing,
        **{name: getattr(options, name) for name in RECIPE_OPTIONS},
        device=str(loaded.device),
        versions=versions(),
    )
    code = [weights.sha256_of(file) for file in sorted(files) if file.suffix == ".py" and file.is_file()]
    names = hashlib.sha256("\n".join(loaded.adapter.labels).encode()).hexdigest()
    return {"recipe": recipe.model_dump(mode="json"), "targets": options.targets, "labels": names, "code": code}


class Work:
    """Processes batches; `for_worker` returns each worker's own instance."""

    def __init__(self, explainer: Explainer, job: BatchJob, folder: Path) -> None:
        """`folder`: of the results, absolute. Raises ModelProblem if the model or an option is not valid."""
        self.explainer, self.job, self.folder = explainer, job, folder
        self.task, self.kind = task_of(explainer.model), kind_of(explainer.model)
        self.call_options, by_name = dict(job.options or {}), dict(job.options or {})
        self.options = options = explainer.options(by_name, by_name.pop("question", None))
        if "top_k" in by_name and self.task.ranked:
            raise ModelProblem("top_k is said by maps in a run, which counts the best classes: leave it out.")
        loaded = _add_words(explainer, options)
        check_options(loaded, options)
        self._together = pass_size(loaded, options) > 1
        self.parallel = self._together and loaded.device.type == "cpu"
        """Whether workers run the model at the same time."""
        self.stop = job.cancel or threading.Event()
        self.labels: RunLabels | None = None
        """What is in the pictures, under the names of the model's classes."""
        self.device = str(loaded.device)
        self.loaded = loaded
        self._model_lock: AbstractContextManager[Any] = contextlib.nullcontext() if self.parallel else threading.Lock()
        self._layers: tuple[Layer, ...] = chosen_layers(loaded, options.layers, options.method)
        # Made once for all workers.
        loaded.fastest_adapter(self._layers)
        loaded.adapter.check_preprocessing(options.preprocessing)
        # Checked once, not for every picture; examples name classes of their own.
        names = [name for _, name in options.examples] or loaded.adapter.labels
        for label in (*options.targets, *options.classes):
            if isinstance(label, str):
                class_index(label, names)

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that the model knows, with the words it was given."""
        return self.loaded.adapter.labels

    @property
    def scores(self) -> table.Scores:
        """What the scores of its answers are."""
        spec = self.explainer.model
        units = {label: spec.unit_of(label) for label in self.classes} if self.task.quantity == "number" else {}
        return table.Scores(spec.task, units, self.classes)

    @property
    def facts(self) -> EvaluationFacts:
        """What holds for all pictures of an evaluation."""
        spec = self.explainer.model
        threshold = self.options.confidence if self.task.explains("detection") else 0.0
        return EvaluationFacts(spec.id, spec.name, self.kind.task, self.classes, threshold)

    @property
    def settings(self) -> Json:
        """Everything that results depend on, as read from JSON; an earlier run with other settings cannot be resumed.

        Labels are none of them: a run with them adds what an earlier one lacks.
        """
        settings = list_settings(self.loaded, self.options, self._layers)
        settings |= {"maps": self.job.maps, "side": self.job.side}
        # Only values that differ from the defaults.
        plain: Json = json.loads(json.dumps(settings | table.changed_look(self.job.style)))
        return plain

    def for_worker(self) -> Work:
        """Return a copy for another worker, with its own lock."""
        if not self.parallel:
            return self
        # Recordings of a pass are kept by thread (explain/evidence/evidence.py), so that all can share one module.
        worker_copy = copy.copy(self)
        worker_copy.loaded = self.loaded.copy()
        worker_copy.loaded.lock = PassLock(worker_copy.loaded.device)
        return worker_copy

    def process(self, batch: Sequence[Item]) -> list[Outcome]:
        """Explain a batch, write its files, return outcomes. Raises Cancelled."""
        if self.stop.is_set():
            raise Cancelled
        outcomes: dict[str, Outcome] = {}
        for part in self._open(batch, outcomes):
            for item, explanation in zip(part, self._explain(list(part.values())), strict=True):
                if isinstance(explanation, Problem):
                    # After a lack of memory the next run tries again: no picture has an empty stamp.
                    stamp = "" if isinstance(explanation, MachineProblem) else item.stamp
                    outcomes[item.key] = {"key": item.key, "stamp": stamp, "problem": str(explanation)}
                    continue
                stem = table.stem(item)
                if self.job.on_explained is not None:
                    self.job.on_explained(explanation)
                table.write_files(self.folder / stem, explanation, self.job.style, self.job.side)
                evaluated, scores = self._judge(item.key, explanation)
                rows = [row | scores for row in table.rows(item, explanation, stem)]
                outcomes[item.key] = {"key": item.key, "stamp": item.stamp, "rows": rows} | evaluated
        return [outcomes[item.key] for item in batch]

    def _judge(self, key: str, explanation: Explanation) -> tuple[Outcome, dict[str, float]]:
        """Return what an outcome stores of its picture's labels, and its scores for the table; empty without labels."""
        if self.labels is None or self.kind.judge is None:
            return {}, {}
        if (picture := self.kind.judge(self.labels, key, explanation, self._model_lock)) is None:
            return {}, {}
        row = stored.to_row(picture) | {"digest": self.labels.digest(key)}
        scores = masks.measure([picture.pairs]).scores if picture.pairs else {}
        return {"evaluated": row}, {name: score.value for name, score in scores.items()}

    def _open(self, batch: Sequence[Item], outcomes: dict[str, Outcome]) -> Iterator[dict[Item, Image]]:
        """Yield decoded pictures in parts of at most MAX_DECODED_BYTES; add unreadable ones to `outcomes`."""
        part: dict[Item, Image] = {}
        for item in batch:
            try:
                part[item] = item.open()
            except ImageProblem as problem:
                # The next run fetches it again: no picture has an empty stamp.
                stamp = "" if isinstance(problem, Unreachable) else item.stamp
                outcomes[item.key] = {"key": item.key, "stamp": stamp, "problem": str(problem)}
            if sum(image.pixels.nbytes for image in part.values()) > MAX_DECODED_BYTES:
                yield part
                part = {}
        if part:
            yield part

    def _explain(self, images: list[Image]) -> list[Explanation | Problem]:
        """Explain pictures in one pass where that is possible, else one by one."""
        if self._together:
            # On an error, one by one: each unsuitable picture gets its own message, all others an explanation.
            with contextlib.suppress(Problem, *NO_MEMORY):
                return [*self._explain_together(images)]
        return [self._explain_one(image) for image in images]

    def _explain_together(self, images: list[Image]) -> Sequence[Explanation]:
        adapter, all_options = self.loaded.adapter, [self.options] * len(images)
        arrays = (image.array(adapter.channels, adapter.spec.id) for image in images)
        inputs = [adapter.prepare(array, self.options.preprocessing) for array in arrays]
        with self._model_lock:
            return explain_together(self.loaded, images, inputs, self._layers, all_options, best=self.job.maps)

    def _explain_one(self, image: Image) -> Explanation | Problem:
        options = self.call_options
        if self.stop.is_set():
            raise Cancelled
        with self._model_lock:
            try:
                if self.task.ranked and not self.options.targets:
                    options = options | self._limit_maps(image)
                explanation = self.explainer(image, cancel=self.stop, **options)
            except Problem as problem:
                return problem
            except NO_MEMORY as error:
                return from_machine(error) or MachineProblem(str(error))
        # Thousands of pictures that are not viewed again would evict those that are.
        EVIDENCE.discard(lambda evidence: evidence is explanation.evidence)
        return explanation

    def _limit_maps(self, image: Image) -> Json:
        """Return the options that give a picture the number of maps asked for."""
        if self.options.at or self.options.per != "class":
            # They are of places, which have classes of their own.
            return {"top_k": self.job.maps}
        answer = self.explainer(image, maps=False, **self.call_options)
        return {"targets": tuple(prediction.index for prediction in answer.predictions[: self.job.maps])}


def _add_words(explainer: Explainer, options: Options) -> LoadedModel:
    """Return a run's model with the words to look for, the same in all pictures; raise ModelProblem."""
    explainer.check_words(options, explainer.loaded.adapter)
    # Examples are boxes of one picture.
    return explainer.with_vocabulary(explainer.loaded, replace(options, examples=()), None)


class ThreadEngine:
    """Workers in threads of this process, one per core by default.

    Each processes whole batches, from files to lines in the journal. On a CPU every worker runs the model with a single
    thread, which was measured to be faster than all threads in one pass; if the model is on a GPU, or explains one
    picture at a time, one worker runs it while the others decode ahead and write.
    """

    def __init__(self, work: Work) -> None:
        self._work, self._workers = work, work.job.workers or processor_cores()
        self.device = work.device

    def run(self, batches: Iterable[Sequence[Item]]) -> Generator[list[Outcome], None, None]:
        """Yield the outcomes of each batch, in order; no more once `Work.stop` is set."""
        work, local = self._work, threading.local()

        def process(batch: Sequence[Item]) -> list[Outcome]:
            if not hasattr(local, "work"):
                local.work = work.for_worker()
            outcomes: list[Outcome] = local.work.process(batch)
            return outcomes

        threads = 1 if work.parallel else torch.get_num_threads()
        with torch_pool(self._workers, "folder", threads) as pool, contextlib.suppress(Cancelled):
            try:
                # So many batches are queued that no worker is idle behind a slow one.
                yield from in_order(batches, process, pool, 4 * self._workers)
            except BaseException:
                work.stop.set()
                raise


def import_ray() -> Any:
    """Return Ray, configured to be quiet; raise ModelProblem without it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ModelProblem(f"The engine ray needs {describe_missing(error)}: pip install ray.") from error
    return ray


def send_code() -> Json:
    """Return the runtime environment that sends this code to every machine."""
    if CHECKOUT is None:
        return {"py_modules": [str(PACKAGE)]}
    excludes = [f"/{path.name}" for path in CHECKOUT.iterdir() if path.name not in ("sightglass", "explain", "models")]
    return {"working_dir": str(CHECKOUT), "excludes": [*excludes, "__pycache__"]}


def join_cluster(stack: contextlib.ExitStack, address: str) -> None:
    """Join the cluster at `address` until `stack` closes, unless this process is in one already; raise ModelProblem."""
    if (ray := import_ray()).is_initialized():
        return
    try:
        if address != "auto":
            # Ray would wait for minutes.
            url = urlsplit("//" + address.removeprefix("ray://"))
            port = url.port or (10001 if address.startswith("ray://") else 6379)
            socket.create_connection((url.hostname or "", port), CONNECT_TIMEOUT).close()
        ray.init(address=address, runtime_env=send_code(), log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
        where, hint = f"at {address}", "check the address, and whether it wants RAY_AUTH_MODE=token"
        if address == "auto":
            where, hint = "on this machine", "start one with `ray start --head`, or give its address"
        raise ModelProblem(f"No cluster answers {where} ({reason}): {hint}.") from error
    stack.callback(ray.shutdown)


@dataclass
class Worker:
    """A worker of the cluster, which loads its model once."""

    job: BatchJob
    """With the id of the model, the worker's device and the absolute folder of the results."""
    settings: Json
    """Settings of the machine that started the run, on which results depend."""
    shared_files: tuple[Path, ...]
    """Files of that machine that workers must be able to read."""
    labels: RunLabels | None

    @cached_property
    def work(self) -> Work:
        """The work; created on first use, so that its errors are not the cluster's. Raises ModelProblem."""
        host = f"The worker on {socket.gethostname()}"
        for path in self.shared_files:
            if not path.exists():
                raise ModelProblem(
                    f"{host} does not see {path}: give folders of pictures and results that all machines share."
                )
        torch.set_num_threads(1)
        try:
            work = Work(Explainer(self.job.model, device=self.job.device), self.job, Path(self.job.out))
        except Problem:
            raise
        except Exception as error:
            raise ModelProblem(f"{host} could not start ({type(error).__name__}: {error}).") from error
        work.labels = self.labels
        if work.settings != self.settings:
            names = journal.differing_settings(self.settings, work.settings)
            raise ModelProblem(
                f"{host} would make other maps ({names}): install the same version and weights on every machine."
            )
        return work

    def process(self, items: Sequence[Item]) -> list[Outcome]:
        """Explain a batch, write its files, and return the outcomes."""
        return self.work.process(items)


class RayEngine:
    """The workers of a cluster, which is left when `stack` closes."""

    worker: ClassVar[type] = Worker

    def __init__(self, stack: contextlib.ExitStack, work: Work, sample: Item) -> None:
        """`sample`: any of the pictures, to check that other machines see it. Raises ModelProblem."""
        device, gpus = work.job.device, work.job.gpus
        kind = device.partition(":")[0]
        if not gpus > 0 or (gpus > 1 and gpus != int(gpus)):
            raise ModelProblem(f"A worker cannot have {gpus:g} GPUs: give a part of one, as 0.5, or a whole number.")
        if kind not in ("auto", "cpu", "cuda"):
            raise ModelProblem(f"Workers of a cluster run on cpu or cuda, not on {device}: use auto, cpu or cuda.")
        join_cluster(stack, work.job.address or "auto")
        resources = import_ray().cluster_resources()
        available, cores = resources.get("GPU", 0), resources.get("CPU", 1)
        if kind == "cuda" and available < gpus:
            raise ModelProblem(f"The cluster has {available:g} GPUs: use --device cpu, or check the cluster.")
        on_gpu = kind != "cpu" and available >= gpus
        self.device = "cuda:0" if on_gpu else "cpu"
        self._stack, self._work, self._sample = stack, work, sample
        self._workers = work.job.workers or int(available / gpus if on_gpu else cores) or 1
        # Ray starts a worker again that has ended, and gives it the same batch once more.
        restarts = {"max_restarts": -1, "max_task_retries": 1}
        self._needs = {"num_cpus": 1, "num_gpus": gpus if on_gpu else None, **restarts}

    def run(self, batches: Sequence[Sequence[Item]]) -> Generator[list[Outcome], None, None]:
        """Yield the outcomes of each batch as soon as it is done; no more once `Work.stop` is set."""
        ray, (actor, plan) = import_ray(), self._describe_worker()
        workers = [actor.remote(*plan) for _ in range(min(self._workers, len(batches)))]
        try:
            yield from self._hand_out(workers, batches)
        except ray.exceptions.RayError as error:
            reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
            raise ModelProblem(
                f"The cluster failed ({reason}): finished work is kept, and the same call resumes it."
            ) from error
        finally:
            # Leave nothing behind in a cluster that stays.
            for worker in workers:
                with contextlib.suppress(Exception):
                    ray.kill(worker)

    def _describe_worker(self) -> tuple[Any, tuple[Any, ...]]:
        """Return the class of the cluster's workers and the arguments of each."""
        work = self._work
        # Seen by a worker only where it has the same folder of results.
        mark = work.folder / f".{uuid.uuid4().hex}.seen"
        mark.touch()
        self._stack.callback(mark.unlink, missing_ok=True)
        # A picture in a file is read by `partial(Path, path)`.
        picture = (*getattr(self._sample.read, "args", ()), None)[0]
        shared_files = (picture, mark) if isinstance(picture, Path) and picture.exists() else (mark,)
        settings = work.settings
        settings["recipe"]["device"] = self.device
        model, device = work.explainer.model.id, self.device.partition(":")[0]
        # Without what this process alone needs.
        unset: dict[str, Any] = dict.fromkeys(("source", "labels", "progress", "cancel", "on_explained", "facts"))
        job = replace(work.job, **unset, model=model, device=device, out=work.folder)
        actor = import_ray().remote(**self._needs, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})(self.worker)
        return actor, (job, settings, shared_files, work.labels)

    def _hand_out(self, workers: Sequence[Any], batches: Sequence[Sequence[Item]]) -> Iterator[list[Outcome]]:
        """Give each worker the next batch until none is waiting, and yield their outcomes."""
        ray, stop, idle, waiting = import_ray(), self._work.stop, list[Any](), deque(batches)
        # A worker gets no batch before the cluster has a place for it: first it does nothing.
        running: dict[Any, tuple[Any, Sequence[Item]]] = {worker.process.remote([]): (worker, ()) for worker in workers}
        while True:
            while idle and waiting and not stop.is_set():
                worker, batch = idle.pop(), waiting.popleft()
                running[worker.process.remote(list(batch))] = worker, batch
            if not any(batch for _, batch in running.values()) and (stop.is_set() or not waiting):
                return
            for answer in ray.wait(list(running), timeout=0.25)[0]:
                worker, batch = running.pop(answer)
                try:
                    outcomes: list[Outcome] = ray.get(answer)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayActorError:
                    if not batch:
                        raise
                    outcomes = self._report_end(batch, waiting)
                idle.append(worker)
                if outcomes:
                    yield outcomes

    def _report_end(self, batch: Sequence[Item], waiting: deque[Sequence[Item]]) -> list[Outcome]:
        """Return the outcome of a picture that ended its worker, each time; several pictures wait again instead."""
        item, *others = batch
        if others:
            # One by one, to find the picture that ends the workers.
            waiting.extendleft([item] for item in reversed(batch))
            return []
        sentence = f"{item.name} ended the worker that looked at it, each time: leave it out."
        return [{"key": item.key, "stamp": item.stamp, "problem": sentence}]
