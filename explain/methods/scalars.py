"""Read a target's number from pictures that differ from the explained one, with gradients at their pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.methods.method import Request
from sightglass.models.adapter import Adapter, FunctionTarget, Target
from sightglass.models.adapters.detector import IN_CELL, Detections

ON_CPU, ON_GPU = 4, 32
"""Pictures in one pass; halved on a GPU that is full."""


def pictures_in_a_pass(evidence: Evidence, adapter: Adapter, target: Target) -> int:
    """Return the number of pictures per pass, if their scalars are separable."""
    outputs = evidence.outputs
    apart = adapter.splits_batches or (
        isinstance(outputs, Detections) and outputs.choice is None and target.part in IN_CELL
    )
    if not apart or isinstance(target, FunctionTarget):
        return 1
    return most_pictures(evidence, adapter)


def most_pictures(evidence: Evidence, adapter: Adapter) -> int:
    """Return the number of pictures per pass, where their answers are told apart."""
    most = ON_CPU if evidence.loaded.device.type == "cpu" else ON_GPU
    return evidence.loaded.pictures_in_a_pass(min(most, adapter.batch or most), evidence.tensor)


class Passes:
    """Counts the pictures that went through a model, and reports them as steps."""

    def __init__(self, request: Request, name: str, total: int) -> None:
        self._request = request
        self._name = name
        self._total = total
        self._done = 0

    def __call__(self, pictures: int) -> None:
        """Report what is done, before a pass; raise Cancelled after a stop."""
        check()
        self._request.report(self._done, self._total, f"{self._name}, step {self._done} of {self._total}")
        self._done += pictures


class Scalars(nn.Module):
    """A module from pictures (B, C, h, w) to the first target's scalars (B,)."""

    def __init__(
        self,
        adapter: Adapter,
        targets: Sequence[Target],
        report: Callable[[int], None],
        like: Tensor,
        read: Callable[[Any, Target], Tensor] | None = None,
    ) -> None:
        """Take an adapter whose module nobody else runs meanwhile.

        `report` is called with the number of pictures before each pass; `like` has the type and device of its inputs;
        `read` is from the outputs of one picture to a target's scalar (), by default `adapter.scalar`.
        """
        super().__init__()
        self.model = adapter.module
        self._adapter = adapter
        self._targets = targets
        self._report = report
        self._like = like
        self._read = read or adapter.scalar

    def forward(self, pictures: Tensor) -> Tensor:
        return self.of_each(pictures)[0]

    def of_each(self, pictures: Tensor) -> Tensor:
        """Return all targets' scalars, (k, B), by one pass.

        Raises ModelProblem where no gradient reaches the picture.
        """
        adapter = self._adapter
        self._report(len(pictures))
        # Some adapters run parts of a module alone.
        returned: list[Any] = [None]
        with adapter.module.register_forward_hook(lambda *call: returned.append(call[2])):
            # Noise in float32 is added to pictures in half precision.
            outputs = adapter.run(pictures.to(self._like))
        split = _split(adapter, outputs, len(pictures))
        rows = []
        for target in self._targets:
            if isinstance(target, FunctionTarget):
                scalars = [target.scalar(returned[-1])]
            else:
                scalars = [self._read(output, target) for output in split]
            if torch.is_grad_enabled() and not any(scalar.requires_grad for scalar in scalars):
                raise ModelProblem(
                    f"No gradient of {adapter.spec.id} reaches the picture: hide parts of it, as RISE does."
                )
            rows.append(torch.stack(scalars))
        return torch.stack(rows)


def _split(adapter: Adapter, outputs: Any, count: int) -> list[Any]:
    """Return the outputs of each picture of a batch."""
    if count == 1:
        return [outputs]
    if adapter.splits_batches:
        return [outputs.part(place) for place in range(count)]
    return [outputs.with_leaves([leaf[place : place + 1] for leaf in outputs.leaves]) for place in range(count)]
