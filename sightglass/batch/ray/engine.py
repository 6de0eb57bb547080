"""Run batches on the workers of a Ray cluster.

They are the batches of the plain engine, so that results are the same. Workers write the files and return rows; this
process hands out the batches, and writes the journal and the table. Ray is imported on demand.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from sightglass.batch.output import Local
from sightglass.batch.ray import worker as ray_worker
from sightglass.batch.ray.cluster import cluster, library
from sightglass.batch.worker import processor_cores
from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.batch.output import RemoteFolder
    from sightglass.batch.worker import Work
    from sightglass.explain.picture.item import Item

DEATHS = 2
"""Number of workers that one batch may end before its pictures are processed one by one."""


@dataclass(frozen=True)
class _Try:
    """Pictures that a worker processes together."""

    items: Sequence[Item]
    deaths: int = 0
    """Workers that ended over them."""

    def repeat(self) -> list[_Try]:
        """Return the batches to retry after a worker's end."""
        if self.deaths + 1 < DEATHS or len(self.items) == 1:
            return [_Try(self.items, self.deaths + 1)]
        # One by one, to find the picture that ends them.
        return [_Try([item], 1) for item in self.items]


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
        """Join or start the cluster; return (is local, resources)."""
        is_local = self.stack.enter_context(cluster(self.address, self.workers or processor_cores()))
        return is_local, library().cluster_resources()

    def _plan(self) -> tuple[ray_worker.WorkerPlan, int]:
        """Return the workers' configuration and their number."""
        is_local, has = self._cluster
        on_gpu, store = self.device != "cpu", self.store
        if on_gpu and has.get("GPU", 0) < self.gpus:
            raise ModelProblem(f"The cluster has {has.get('GPU', 0):g} GPUs: use --device cpu, or check the cluster.")
        count = self.workers or int(has["GPU"] / self.gpus if on_gpu else has.get("CPU", 1)) or 1
        seen: list[tuple[str, Path]] = []
        if not is_local and (path := ray_worker.file(self.sample)) is not None:
            seen.append(("where the pictures are", path))
        if isinstance(store, Local):
            store = Local(store.folder.absolute())
            if not is_local:
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
        plan, count = self._plan()
        workers = min(count, len(batches))
        actor = ray.remote(
            num_cpus=1,
            num_gpus=self.gpus if self.device != "cpu" else None,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
        )(self.worker)
        waiting = deque(map(_Try, batches))
        idle = [actor.remote(plan) for _ in range(workers)]
        running: dict[Any, tuple[Any, _Try]] = {}
        begun = stopped = False
        try:
            while running or (waiting and not stopped):
                while idle and waiting and not stopped:
                    worker, work = idle.pop(), waiting.popleft()
                    running[worker.process.remote(list(work.items))] = worker, work
                for answer in ray.wait(list(running), timeout=0.25)[0]:
                    worker, work = running.pop(answer)
                    try:
                        take(ray.get(answer))
                        begun = True
                        idle.append(worker)
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from None
                    except ray.exceptions.RayActorError:
                        idle.append(actor.remote(plan))
                        if len(work.items) == 1 and work.deaths + 1 >= DEATHS:
                            take([_name_culprit(work.items[0])])
                        else:
                            waiting.extendleft(reversed(work.repeat()))
                stopped = tick("" if begun else f"Starting {plural(workers, 'worker')}…") or stopped
        except ray.exceptions.RayError as error:
            reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
            raise ModelProblem(
                f"The cluster failed ({reason}): finished work is kept, and the same call resumes it."
            ) from error
        finally:
            # Leave nothing behind in a cluster that stays.
            with contextlib.suppress(Exception):
                for worker in (*idle, *(worker for worker, _ in running.values())):
                    ray.kill(worker)


def _name_culprit(item: Item) -> Outcome:
    sentence = f"{item.name} ended the worker that looked at it, each time: leave it out."
    return {"key": item.key, "stamp": item.stamp, "problem": sentence}
