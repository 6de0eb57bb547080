"""Run batches on the workers of a Ray cluster.

They are the batches of the plain engine, so that results are the same. Workers write the files and return rows; this
process hands out the batches, and writes the journal and the table. Ray is imported on demand.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
import torch

from sightglass.batch import journal
from sightglass.batch.output import Local
from sightglass.batch.worker import Work, processor_cores
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.style import CHECKOUT, PACKAGE
from sightglass.explain.explainer import Explainer
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.batch.output import RemoteFolder
    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.explain.picture.item import Item

MAX_FOLDER = 40
"""Maximum length of the folder for Ray's sockets, whose paths may have 107 characters."""
CONNECT_TIMEOUT = 10.0
"""Seconds after which an address counts as unreachable."""
END_TIMEOUT = 5.0
"""Seconds after which workers that have not ended are killed."""
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
        raise ModelProblem("The engine ray is not installed: pip install ray fsspec.") from error
    return ray


@contextlib.contextmanager
def _whole_package() -> Iterator[Path]:
    """Yield the package's folder, for a checkout an installed layout."""
    if CHECKOUT is None:
        yield PACKAGE
        return
    with tempfile.TemporaryDirectory(prefix="sg-") as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for room in ("explain", "models"):
            shutil.copytree(CHECKOUT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        yield copy


@contextlib.contextmanager
def join_cluster(address: str | None, workers: int | None = None) -> Iterator[bool]:
    """Join the cluster at `address`, else start a local one.

    Yields whether it is local. If this process is in a cluster already, that one is used and not left.
    """
    ray = library()
    if ray.is_initialized():
        yield address is None
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as stack:
        own_signals = stack.enter_context(_signals())
        if address is None:
            # So that other users of the machine cannot send work to it; Ray would store a token of its own at home.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            base = tempfile.gettempdir()
            folder = tempfile.mkdtemp(prefix="sg-", dir=base if len(base) <= MAX_FOLDER else "/tmp")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
            more: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False, "_temp_dir": folder}
            more["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
        else:
            _check_address(address)
            # The same code on every machine; what it needs is installed there.
            code = stack.enter_context(_whole_package())
            more = {"runtime_env": {"py_modules": [str(code)], "excludes": ["**/__pycache__"]}}
        # Registered first, so that processes of a failed start end too.
        stack.callback(_end, set(psutil.Process().children(recursive=True)))
        try:
            with _stderr_silenced():
                ray.init(address=address or "local", **more, **quiet)
            own_signals()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
            where = f"No cluster answers at {address}" if address else "Ray could not start a cluster here"
            hint = (
                "check the address, and whether it wants RAY_AUTH_MODE=token"
                if address
                else "is there room on the disk"
            )
            raise ModelProblem(f"{where} ({reason}): {hint}{'.' if address else '?'}") from error
        yield address is None


def _check_address(address: str) -> None:
    """Raise ModelProblem if nothing answers at an address: Ray would wait for minutes."""
    if address in ("auto", "local"):
        return
    try:
        url = urlsplit("//" + address.removeprefix("ray://"))
        if not url.hostname:
            raise ValueError(address)
        port = url.port or (10001 if address.startswith("ray://") else 6379)
        socket.create_connection((url.hostname, port), CONNECT_TIMEOUT).close()
    except (OSError, ValueError) as error:
        raise ModelProblem(f"No cluster answers at {address}: check the address, and that the cluster runs.") from error


def _end(before: set[psutil.Process]) -> None:
    """Leave the cluster and end all processes started meanwhile."""
    started = set(psutil.Process().children(recursive=True)) - before
    library().shutdown()
    for process in psutil.wait_procs(started, timeout=END_TIMEOUT)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def _stderr_silenced() -> Iterator[None]:
    """Silence stderr while Ray's core starts."""
    try:
        stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], Any]]:
    """Yield a function to restore SIGTERM's handler after Ray's."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(_signal: int, _frame: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    try:
        yield partial(signal.signal, signal.SIGTERM, end if before is signal.SIG_DFL else before)
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class WorkerPlan:
    """A worker's configuration."""

    model: str
    arguments: dict[str, Any]
    """Of its `Work`."""
    device: str
    store: Local | RemoteFolder
    settings: Json = field(repr=False)
    """Settings of the machine that started the run, on which results depend."""
    seen: tuple[tuple[str, Path], ...] = ()
    """Files of that machine that workers must see: description and path."""
    labels: RunLabels | None = field(default=None, repr=False)

    def work(self) -> Work:
        """Load the model; raise ModelProblem or WeightsProblem for a different machine."""
        for what, path in self.seen:
            if not path.exists():
                raise ModelProblem(
                    f"The worker on {socket.gethostname()} does not see {path}, {what}: give a folder that all "
                    "machines share, or s3://bucket/folder."
                )
        torch.set_num_threads(1)
        explainer = Explainer(self.model, device=self.device)
        work = Work(explainer, put=self.store.put, **self.arguments)
        work.labels = self.labels
        settings = json.loads(json.dumps(work.settings))
        if settings != self.settings:
            names = journal.differing({"settings": self.settings}, settings)
            raise ModelProblem(
                f"The worker on {socket.gethostname()} would make other maps ({names}): "
                "install the same version and weights on every machine."
            )
        return work


class Worker:
    """A worker of the pool, which loads its model once."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan

    @cached_property
    def _work(self) -> Work:
        """What it does; raised while it is made, a problem would be one of the cluster."""
        try:
            return self._plan.work()
        except Problem:
            raise
        except Exception as error:
            words = f"A worker on {socket.gethostname()} could not start ({type(error).__name__}: {error})."
            raise ModelProblem(words) from error

    def ready(self) -> None:
        """Do nothing: an answer says that the cluster has a place for this worker."""

    def process(self, items: Sequence[Item]) -> list[Outcome]:
        """Explain a batch, write its files, and return the outcomes."""
        return self._work.process(items)


def _local_file(item: Item) -> Path | None:
    """Return the local file of a picture, if any."""
    first = item.read.args[0] if isinstance(item.read, partial) and item.read.args else None
    path = getattr(first, "path", first)
    return path.absolute() if isinstance(path, Path) and os.path.exists(path) else None


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
    worker: ClassVar[type] = Worker

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
        is_local = self.stack.enter_context(join_cluster(self.address, self.workers or processor_cores()))
        return is_local, library().cluster_resources()

    def _plan(self) -> tuple[WorkerPlan, int]:
        """Return the workers' configuration and their number."""
        is_local, has = self._cluster
        on_gpu, store = self.device != "cpu", self.store
        if on_gpu and has.get("GPU", 0) < self.gpus:
            raise ModelProblem(f"The cluster has {has.get('GPU', 0):g} GPUs: use --device cpu, or check the cluster.")
        count = self.workers or int(has["GPU"] / self.gpus if on_gpu else has.get("CPU", 1)) or 1
        seen: list[tuple[str, Path]] = []
        if not is_local and (path := _local_file(self.sample)) is not None:
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
        plan = WorkerPlan(
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
        waiting, idle = deque(map(_Try, batches)), list[Any]()
        running: dict[Any, tuple[Any, _Try | None]] = {}

        def start() -> None:
            """Start a worker, which gets no batch before the cluster has a place for it."""
            worker = actor.remote(plan)
            running[worker.ready.remote()] = worker, None

        for _ in range(workers):
            start()
        begun = stopped = False
        try:
            while (waiting and not stopped) or any(batch is not None for _, batch in running.values()):
                while idle and waiting and not stopped:
                    worker, batch = idle.pop(), waiting.popleft()
                    running[worker.process.remote(list(batch.items))] = worker, batch
                for answer in ray.wait(list(running), timeout=0.25)[0]:
                    worker, tried = running.pop(answer)
                    try:
                        outcomes = ray.get(answer)
                        idle.append(worker)
                        if tried is not None:
                            take(outcomes)
                            begun = True
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from None
                    except ray.exceptions.RayActorError:
                        start()
                        if tried is None:
                            continue
                        if len(tried.items) == 1 and tried.deaths + 1 >= DEATHS:
                            take([_name_culprit(tried.items[0])])
                        else:
                            waiting.extendleft(reversed(tried.repeat()))
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
