"""Ray worker with a resident model."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass import explain
from sightglass.batch import journal, worker
from sightglass.common.errors import ModelProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.batch.journal import Outcome
    from sightglass.batch.output import Local, RemoteFolder
    from sightglass.batch.worker import Work
    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.explain.picture.item import Item


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

    def process(self, items: Sequence[Item]) -> list[Outcome]:
        """Explain a batch, write its files, and return the outcomes."""
        return self._work.process(items)


def file(item: Item) -> Path | None:
    """Return the local file of a picture, if any."""
    read = item.read
    if not isinstance(read, partial):
        return None
    first = read.args[0] if read.args else None
    path = getattr(first, "path", first)
    return path.absolute() if isinstance(path, Path) and os.path.exists(path) else None
