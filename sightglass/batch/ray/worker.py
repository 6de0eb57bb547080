"""Ray worker with a resident model."""

from __future__ import annotations

import json
import os
import pickle
import socket
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from sightglass import explain
from sightglass.batch import journal, worker
from sightglass.common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.batch.output import Local, RemoteFolder
    from sightglass.batch.worker import Work
    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.explain.picture.item import Item

DEATHS = 2
"""Number of workers that one batch may kill before its pictures are processed one by one."""


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
        """Load the model; raise ModelProblem or WeightsProblem if this machine differs from that one."""
        import torch

        for what, path in self.seen:
            if not path.exists():
                raise ModelProblem(
                    f"The worker on {socket.gethostname()} does not see {path}, {what}: give a folder that all "
                    "machines share, or s3://bucket/folder."
                )
        torch.set_num_threads(1)
        explainer = explain.Explainer(self.model, device=self.device)
        work = worker.Work(explainer, put=self.store.put, **self.arguments)
        work.labels = self.labels
        settings = json.loads(json.dumps(work.settings))
        if settings != self.settings:
            names = journal.differing({"settings": self.settings}, settings)
            raise ModelProblem(
                f"The worker on {socket.gethostname()} would make other maps ({names}): "
                "install the same version and weights on every machine."
            )
        return work


class WorkerAnswer(TypedDict, total=False):
    """What a worker says of a batch: its outcomes, that it was left, or why it failed."""

    entries: list[Outcome]
    left: bool
    problem: str
    unwritten: str
    broken: str


class TryGate:
    """Counts the tries of each batch, and stops new ones."""

    def __init__(self) -> None:
        self._open = True
        self._tries: dict[Hashable, int] = {}

    def enter(self, what: Hashable) -> int:
        """Return the number of this try, from 1; 0 if it must not start any more."""
        if not self._open and what not in self._tries:
            return 0
        self._tries[what] = self._tries.get(what, 0) + 1
        return self._tries[what]

    def leave(self, what: Hashable) -> None:
        """Report success: a repetition is a first try again."""
        self._tries.pop(what, None)

    def close(self) -> list[int]:
        """Admit nothing new; return the numbers of the batches in progress."""
        self._open = False
        return [what for what in self._tries if isinstance(what, int)]


class Worker:
    """A worker of the pool, which loads its model once."""

    def __init__(self, plan: WorkerPlan, gate: Any) -> None:
        # Raised here, it would be reported as a failure of the cluster.
        self._gate, self._work, self._problem = gate, None, ""
        try:
            self._work = plan.work()
        except Problem as problem:
            self._problem = str(problem)
        except Exception as error:
            self._problem = f"A worker on {socket.gethostname()} could not start ({type(error).__name__}: {error})."

    def __call__(self, given: dict[str, Any]) -> dict[str, list[Any]]:
        """Process one batch; return its number and its outcomes as JSON."""
        number = int(given["number"][0])
        return {"number": [number], "answer": [json.dumps(self._answer(number, given["items"][0])).encode()]}

    def _answer(self, number: int, packed: bytes) -> WorkerAnswer:
        if self._work is None:
            return {"problem": self._problem}
        try:
            tries = self._enter(number)
            if not tries:
                return {"left": True}
            items: list[Item] = pickle.loads(packed)
            return {"entries": self._work.process(items) if tries <= DEATHS else self._one_by_one(self._work, items)}
        except OSError as error:
            return {"unwritten": error.strerror or str(error)}
        except Exception as error:
            return {"broken": f"{type(error).__name__}: {error}"}

    def _one_by_one(self, work: Work, items: Sequence[Item]) -> list[Outcome]:
        """Process the pictures of a batch that kills its workers one by one, to find the culprit."""
        import ray

        found: list[Outcome] = []
        for item in items:
            if self._enter(item.key) <= 1:
                found += work.process([item])
                ray.get(self._gate.leave.remote(item.key))
                continue
            sentence = f"{item.name} ended the worker that looked at it, each time: leave it out."
            found.append({"key": item.key, "stamp": item.stamp, "problem": sentence})
        return found

    def _enter(self, what: Hashable) -> int:
        import ray

        return int(ray.get(self._gate.enter.remote(what)))


def file(item: Item) -> Path | None:
    """Return the local file that a picture is read from, if any."""
    read = item.read
    if not isinstance(read, partial):
        return None
    first = read.args[0] if read.args else None
    path = getattr(first, "path", first)
    return path.absolute() if isinstance(path, Path) and os.path.exists(path) else None
