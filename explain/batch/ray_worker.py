"""What runs on the machines of a cluster: a worker that keeps its model, and the gate that says who may go on."""

from __future__ import annotations

import json
import os
import pickle
import socket
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from explain.batch.item import Item
    from explain.batch.journal import Entry
    from explain.batch.output import Local, Remote
    from explain.batch.worker import Work

DEATHS = 2
"""Workers that may end over one batch until its pictures are taken one by one."""


@dataclass(frozen=True)
class Plan:
    """What every worker is told before its first batch."""

    model: str
    given: dict[str, Any]
    maps: int
    side: int | None
    device: str
    threads: int
    store: Local | Remote
    settings: dict[str, Any] = field(repr=False)
    """What results depend on, as the machine that started the run has it."""
    seen: tuple[tuple[str, Path], ...] = ()
    """What lies on that machine and has to be seen from the others: what it is, and its path."""

    def work(self) -> Work:
        """The model, resident; raises ModelProblem or WeightsProblem where this machine is not as that one."""
        import torch

        from explain.batch.journal import _differing
        from explain.batch.worker import Work
        from explain.explainer import Explainer

        for what, path in self.seen:
            if not path.exists():
                raise ModelProblem(
                    f"The worker on {socket.gethostname()} does not see {path}, {what}: give a folder that all "
                    "machines share, or a storage as s3://bucket/folder."
                )
        torch.set_num_threads(self.threads)
        work = Work(Explainer(self.model, device=self.device), self.given, self.maps, self.side, self.store.put)
        settings = json.loads(json.dumps(work.settings))
        if settings != self.settings:
            names = _differing({"settings": self.settings}, settings)
            raise ModelProblem(
                f"The worker on {socket.gethostname()} would make other maps ({names}): "
                "install the same version and weights on every machine."
            )
        return work


class Gate:
    """Asked before each batch: which try it is, and whether anything new may be begun."""

    def __init__(self) -> None:
        self._open = True
        self._tries: dict[Hashable, int] = {}

    def enter(self, what: Hashable) -> int:
        """Which try of this it is, from 1; 0 where it may not be begun any more."""
        if not self._open and what not in self._tries:
            return 0
        self._tries[what] = self._tries.get(what, 0) + 1
        return self._tries[what]

    def leave(self, what: Hashable) -> None:
        """This was survived; where it is done again, that is a first try."""
        self._tries.pop(what, None)

    def close(self) -> list[int]:
        """Let nothing new begin; the numbers of the batches that were begun."""
        self._open = False
        return [what for what in self._tries if isinstance(what, int)]


class Worker:
    """One of a pool; its model is loaded once."""

    def __init__(self, plan: Plan, gate: Any) -> None:
        # Raised here, it would be a failure of the cluster and no sentence.
        self._gate, self._work, self._problem = gate, None, ""
        try:
            self._work = plan.work()
        except Problem as problem:
            self._problem = str(problem)
        except Exception as error:
            self._problem = f"A worker on {socket.gethostname()} could not start ({type(error).__name__}: {error})."

    def __call__(self, given: dict[str, Any]) -> dict[str, list[Any]]:
        """One batch: its number, and as JSON what it came to."""
        number = int(given["number"][0])
        return {"number": [number], "said": [json.dumps(self._said(number, given["items"][0])).encode()]}

    def _said(self, number: int, packed: bytes) -> dict[str, Any]:
        if self._work is None:
            return {"problem": self._problem}
        try:
            tries = self._asked(number)
            if not tries:
                return {"left": True}
            items: list[Item] = pickle.loads(packed)
            return {"entries": self._work.entries(items) if tries <= DEATHS else self._alone(self._work, items)}
        except OSError as error:
            return {"unwritten": error.strerror or str(error)}
        except Exception as error:
            return {"broken": f"{type(error).__name__}: {error}"}

    def _alone(self, work: Work, items: Sequence[Item]) -> list[Entry]:
        """Something in this batch ends its worker: each picture by itself tells which."""
        import ray

        found: list[Entry] = []
        for item in items:
            if self._asked(item.key) <= 1:
                found += work.entries([item])
                ray.get(self._gate.leave.remote(item.key))
                continue
            sentence = f"{item.name} ended the worker that looked at it, each time: leave it out."
            found.append({"key": item.key, "stamp": item.stamp, "problem": sentence})
        return found

    def _asked(self, what: Hashable) -> int:
        import ray

        return int(ray.get(self._gate.enter.remote(what)))


def file(item: Item) -> Path | None:
    """The file of this machine that a picture is read from, where it is."""
    read = item.read
    if not isinstance(read, partial):
        return None
    first = read.args[0] if read.args else None
    path = getattr(first, "path", first)
    return path.absolute() if isinstance(path, Path) and os.path.exists(path) else None
