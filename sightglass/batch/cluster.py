"""Run batches on the workers of a Ray cluster.

They are the batches of the plain engine, so that results are the same. Workers write the files and return rows; this
process hands out the batches, and writes the journal and the table. Ray is imported on demand.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import uuid
from collections import deque
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import torch

from sightglass.batch import journal
from sightglass.batch.runner import Work
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.style import CHECKOUT, PACKAGE
from sightglass.explain.explainer import Explainer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.explain.picture.source import Item

CONNECT_TIMEOUT = 10.0
"""Seconds after which an address counts as unreachable."""
DEATHS = 2
"""Number of workers that one batch may end before its pictures are processed one by one."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A late call from another thread must not start a new cluster.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


def library() -> Any:
    """Return Ray, configured to be quiet; raise ModelProblem without it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ModelProblem("The engine ray is not installed: pip install ray.") from error
    return ray


def send_code() -> Json:
    """Return the runtime environment that sends this code to every machine."""
    if CHECKOUT is None:
        return {"py_modules": [str(PACKAGE)]}
    excludes = [f"/{path.name}" for path in CHECKOUT.iterdir() if path.name not in ("sightglass", "explain", "models")]
    return {"working_dir": str(CHECKOUT), "excludes": [*excludes, "__pycache__"]}


@contextlib.contextmanager
def join_cluster(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, by default that of this machine.

    If this process is in a cluster already, that one is used and not left. Raises ModelProblem where none answers.
    """
    ray, address = library(), address or "auto"
    if ray.is_initialized():
        yield
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
    try:
        yield
    finally:
        ray.shutdown()


@dataclass
class Worker:
    """A worker of the cluster, which loads its model once."""

    model: str
    arguments: dict[str, Any]
    """Of its `Work`."""
    device: str
    folder: Path
    """Of the results."""
    settings: Json
    """Settings of the machine that started the run, on which results depend."""
    seen: tuple[Path, ...]
    """Files of that machine that workers must see."""
    labels: RunLabels | None

    @cached_property
    def work(self) -> Work:
        """The work; made on first use, so that its problem is not the cluster's. Raises ModelProblem."""
        host = f"The worker on {socket.gethostname()}"
        for path in self.seen:
            if not path.exists():
                raise ModelProblem(
                    f"{host} does not see {path}: give folders of pictures and results that all machines share."
                )
        torch.set_num_threads(1)
        try:
            work = Work(Explainer(self.model, device=self.device), folder=self.folder, **self.arguments)
        except Problem:
            raise
        except Exception as error:
            raise ModelProblem(f"{host} could not start ({type(error).__name__}: {error}).") from error
        work.labels = self.labels
        settings = json.loads(json.dumps(work.settings))
        if settings != self.settings:
            names = journal.differing_settings({"settings": self.settings}, settings)
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

    def __init__(
        self,
        stack: contextlib.ExitStack,
        work: Work,
        sample: Item,
        device: str,
        workers: int | None,
        gpus: float,
        address: str | None,
    ) -> None:
        """`sample`: any of the pictures, to check that other machines see it. `device`: auto, cpu or cuda."""
        kind = device.partition(":")[0]
        if not gpus > 0 or (gpus > 1 and gpus != int(gpus)):
            raise ModelProblem(f"A worker cannot have {gpus:g} GPUs: give a part of one, as 0.5, or a whole number.")
        if kind not in ("auto", "cpu", "cuda"):
            raise ModelProblem(f"Workers of a cluster run on cpu or cuda, not on {device}: use auto, cpu or cuda.")
        stack.enter_context(join_cluster(address))
        resources = library().cluster_resources()
        available, cores = resources.get("GPU", 0), resources.get("CPU", 1)
        if kind == "cuda" and available < gpus:
            raise ModelProblem(f"The cluster has {available:g} GPUs: use --device cpu, or check the cluster.")
        on_gpu = kind != "cpu" and available >= gpus
        self.device = "cuda:0" if on_gpu else "cpu"
        self._stack, self._work, self._sample = stack, work, sample
        self._workers = workers or int(available / gpus if on_gpu else cores) or 1
        self._needs = {"num_cpus": 1, "num_gpus": gpus if on_gpu else None}

    def _plan(self) -> Json:
        """Return the fields of the workers."""
        work, mark = self._work, self._work.folder / f".{uuid.uuid4().hex}.seen"
        mark.touch()
        self._stack.callback(mark.unlink, missing_ok=True)
        read = self._sample.read
        picture = getattr(read.args[0], "path", read.args[0]) if isinstance(read, partial) and read.args else None
        local = isinstance(picture, Path) and picture.exists()
        settings = json.loads(json.dumps(work.settings))
        settings["recipe"]["device"] = self.device
        return {
            "model": work.explainer.model.id,
            "arguments": work.arguments,
            "device": self.device.partition(":")[0],
            "folder": work.folder,
            "settings": settings,
            "seen": (picture, mark) if local else (mark,),
            "labels": work.labels,
        }

    def run(self, batches: Sequence[Sequence[Item]]) -> Generator[list[Outcome], None, None]:
        """See `runner.ThreadEngine.run`."""
        ray, plan = library(), self._plan()
        actor = ray.remote(**self._needs, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})(self.worker)
        # Each with how many workers ended over it.
        waiting: deque[tuple[Sequence[Item], int]] = deque((batch, 0) for batch in batches)
        running: dict[Any, tuple[Any, Sequence[Item], int]] = {}
        idle = list[Any]()

        def start(deaths: int = 0) -> None:
            """Start a worker, which gets no batch before the cluster has a place for it."""
            worker = actor.remote(**plan)
            running[worker.process.remote([])] = worker, (), deaths

        for _ in range(min(self._workers, len(batches))):
            start()
        try:
            while True:
                stopped = self._work.stop.is_set()
                while idle and waiting and not stopped:
                    worker, (batch, deaths) = idle.pop(), waiting.popleft()
                    running[worker.process.remote(list(batch))] = worker, batch, deaths
                if not any(batch for _, batch, _ in running.values()) and (stopped or not waiting):
                    return
                for answer in ray.wait(list(running), timeout=0.25)[0]:
                    worker, batch, deaths = running.pop(answer)
                    try:
                        outcomes = ray.get(answer)
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from None
                    except ray.exceptions.RayActorError:
                        if not batch and deaths:
                            # Its successor would not start either.
                            raise
                        start(0 if batch else 1)
                        if deaths + 1 < DEATHS:
                            waiting.extendleft([(batch, deaths + 1)] if batch else [])
                        elif len(batch) > 1:
                            # One by one, to find the picture that ends them.
                            waiting.extendleft(([item], DEATHS - 1) for item in reversed(batch))
                        else:
                            yield [_name_culprit(batch[0])]
                        continue
                    idle.append(worker)
                    if batch:
                        yield outcomes
        except ray.exceptions.RayError as error:
            reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
            raise ModelProblem(
                f"The cluster failed ({reason}): finished work is kept, and the same call resumes it."
            ) from error
        finally:
            # Leave nothing behind in a cluster that stays.
            with contextlib.suppress(Exception):
                for worker in (*idle, *(worker for worker, *_ in running.values())):
                    ray.kill(worker)


def _name_culprit(item: Item) -> Outcome:
    sentence = f"{item.name} ended the worker that looked at it, each time: leave it out."
    return {"key": item.key, "stamp": item.stamp, "problem": sentence}
