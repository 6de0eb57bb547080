"""Run batches on the workers of a Ray cluster, through Ray Data.

The dataset's rows are the batches of the plain engine, so that results are the same. Workers write the files and return
rows; this process writes the journal and the table. Ray is imported on demand, and its output is silenced.
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import threading
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from sightglass.batch.output import Local
from sightglass.batch.ray import worker as ray_worker
from sightglass.batch.ray.cluster import END_TIMEOUT, cluster, library
from sightglass.batch.worker import processor_cores
from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.batch.output import RemoteFolder
    from sightglass.batch.worker import Work
    from sightglass.explain.picture.item import Item

MAX_TOGETHER = 4
"""Maximum number of batches sent to a worker together."""


@dataclass
class RayEngine:
    """The workers of a cluster, which is joined or started on demand and left when `stack` closes."""

    stack: contextlib.ExitStack
    work: Work
    """This machine's own."""
    store: Local | RemoteFolder
    sample: Item
    """Any of the pictures, to check that other machines see it."""
    requested: str
    """auto, cpu or cuda."""
    workers: int | None
    gpus: float
    address: str | None
    worker: ClassVar[type] = ray_worker.Worker

    def __post_init__(self) -> None:
        ray, gpus, kind = library(), self.gpus, self.requested.partition(":")[0]
        if not gpus > 0 or (gpus > 1 and gpus != int(gpus)):
            raise ModelProblem(f"A worker cannot have {gpus:g} GPUs: give a part of one, as 0.5, or a whole number.")
        if kind not in ("auto", "cpu", "cuda"):
            raise ModelProblem(
                f"Workers of a cluster run on cpu or cuda, not on {self.requested}: use auto, cpu or cuda."
            )
        if kind == "auto":
            if self.address is None and not ray.is_initialized():
                available: float = torch.cuda.device_count() if torch.cuda.is_available() else 0
            else:
                available = self._cluster[1].get("GPU", 0)
            kind = "cuda" if available >= gpus else "cpu"
        self.device = "cuda:0" if kind == "cuda" else "cpu"

    @cached_property
    def _cluster(self) -> tuple[bool, dict[str, float]]:
        """Join or start the cluster; return whether it is a local one, and its resources."""
        own = self.stack.enter_context(cluster(self.address, self.workers or processor_cores()))
        return own, library().cluster_resources()

    def _plan(self) -> tuple[ray_worker.WorkerPlan, int]:
        """Return the workers' configuration and their number."""
        own, has = self._cluster
        on_gpu, store = self.device != "cpu", self.store
        if on_gpu and has.get("GPU", 0) < self.gpus:
            raise ModelProblem(f"The cluster has {has.get('GPU', 0):g} GPUs: use --device cpu, or check the cluster.")
        count = self.workers or int(has["GPU"] / self.gpus if on_gpu else has.get("CPU", 1)) or 1
        seen: list[tuple[str, Path]] = []
        if not own and (path := ray_worker.file(self.sample)) is not None:
            seen.append(("where the pictures are", path))
        if isinstance(store, Local):
            store = Local(store.folder.absolute())
            if not own:
                mark = store.folder / f".{uuid.uuid4().hex}.seen"
                mark.touch()
                self.stack.callback(mark.unlink, missing_ok=True)
                seen.append(("where results go", mark))
        settings = json.loads(json.dumps(self.work.settings))
        settings["recipe"]["device"] = self.device
        plan = ray_worker.WorkerPlan(
            model=self.work.explainer.model.id,
            arguments=self.work.arguments,
            device="cuda" if on_gpu else "cpu",
            store=store,
            settings=settings,
            seen=tuple(seen),
            labels=self.work.labels,
        )
        return plan, count

    def run(
        self, batches: Sequence[Sequence[Item]], take: Callable[[list[Outcome]], None], tick: Callable[[str], bool]
    ) -> None:
        """See `worker.ThreadEngine.run`."""
        ray = library()
        tick("Starting the cluster…")
        plan, workers = self._plan()
        gate = ray.remote(num_cpus=0)(ray_worker.TryGate).remote()
        done: set[int] = set()
        last: set[int] | None = None
        over = threading.Event()
        failure: list[BaseException] = []

        def receive() -> None:
            try:
                for number, answer in self._answers(batches, plan, min(workers, len(batches)), gate):
                    _raise(answer)
                    if "entries" in answer:
                        take(answer["entries"])
                        done.add(number)
                    if last is not None and last <= done:
                        return
            except BaseException as error:
                failure.append(error)
            finally:
                over.set()

        # In a thread of its own, so that a stop takes effect at once.
        thread = threading.Thread(target=receive, name="ray", daemon=True)
        thread.start()
        try:
            while not over.wait(0.25):
                if tick("" if done else f"Starting {plural(workers, 'worker')}…") and last is None:
                    last = set(ray.get(gate.close.remote()))
                    if last <= done:
                        break
        finally:
            # Leave nothing behind in a cluster that stays.
            with contextlib.suppress(Exception):
                ray.get(gate.close.remote(), timeout=5)
            # A thread that uses the cluster during its shutdown kills the whole process.
            over.wait(END_TIMEOUT)
        if failure:
            raise _plain(failure[0])

    def _answers(
        self, batches: Sequence[Sequence[Item]], plan: ray_worker.WorkerPlan, workers: int, gate: Any
    ) -> Iterator[tuple[int, ray_worker.WorkerAnswer]]:
        """Yield the outcomes of each batch, in the order of completion."""
        import ray.data
        from ray.data import ActorPoolStrategy, DataContext

        rows = [{"number": n, "items": pickle.dumps(list(batch))} for n, batch in enumerate(batches)]
        together = max(1, min(MAX_TOGETHER, len(rows) // (4 * workers)))
        context = DataContext.get_current()
        # Each batch is reported as soon as it is done, not with the others that were sent together.
        with (
            _quiet(),
            _set(context, enable_progress_bars=False, print_on_execution_start=False, target_max_block_size=1),
        ):
            made = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // together)).map_batches(
                self.worker,
                fn_constructor_args=(plan, gate),
                batch_size=1,
                batch_format="numpy",
                compute=ActorPoolStrategy(size=workers),
                num_cpus=1,
                num_gpus=self.gpus if self.device != "cpu" else None,
                runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            )
            del rows
            # iter_batches leaks a thread each time.
            for bundle in made.iter_internal_ref_bundles():
                for block in library().get(list(bundle.block_refs)):
                    for row in block.to_pylist():
                        yield int(row["number"]), json.loads(row["answer"])


def _raise(answer: ray_worker.WorkerAnswer) -> None:
    if "problem" in answer:
        raise ModelProblem(answer["problem"])
    if "unwritten" in answer:
        raise OSError(None, answer["unwritten"])
    if "broken" in answer:
        raise RuntimeError(answer["broken"])


def _plain(error: BaseException) -> BaseException:
    """Return a failure of the cluster as a one-sentence problem."""
    import ray.exceptions

    if not isinstance(error, ray.exceptions.RayError):
        return error
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    return ModelProblem(f"The cluster failed ({reason}): finished work is kept, and the same call resumes it.")


@contextlib.contextmanager
def _set(context: Any, **values: Any) -> Iterator[None]:
    """Set attributes temporarily."""
    before = {name: getattr(context, name) for name in values}
    for name, value in values.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ray Data, which reports every run on stderr, over the progress bar."""
    log = logging.getLogger("ray.data")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
