"""Run a model on partly hidden versions of one picture.

Hidden pixels are filled in one of three ways, only on the part of the model's input that is picture. Steps of deletion
and of insertion, of all maps, share batches of one model without gradients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.tasks.task import Answers, Scorer
from sightglass.explain.trust import Filling
from sightglass.explain.trust.proof import Curve, Trace

if TYPE_CHECKING:
    from sightglass.explain.result import Result
    from sightglass.models.adapter import Target

STEPS = 20
BATCH_CPU, BATCH_GPU = 4, 64
"""Pictures in one pass. On a CPU 8 took up to a third longer each, 2 a quarter, and others wait for the model until a
pass is over."""


class Perturber:
    """Runs a model on partly hidden versions of one picture."""

    def __init__(self, explanation: Result, target: Target) -> None:
        self._evidence = evidence = explanation.evidence
        self.score: Scorer = explanation.task.scorer(evidence, target, explanation.options)
        self._adapter, self._lock = evidence.resident.aside()
        left, top, right, bottom = evidence.geometry.content
        self._place = (..., slice(top, bottom), slice(left, right))
        self.picture: Tensor = evidence.tensor[self._place].detach()
        """(1, C, h, w): the part of the model's input that is picture."""
        adapter, on_cpu = evidence.resident.adapter, evidence.resident.device.type == "cpu"
        self._batch = adapter.batch or (BATCH_CPU if on_cpu else BATCH_GPU)
        self._ends: dict[Filling, tuple[Tensor | None, Answers]] = {}

    def curves(
        self, name: str, maps: Sequence[NDArray[np.float32]], filling: Filling, steps: int = STEPS
    ) -> Iterator[Curve]:
        """Yield the curve of each of a name's maps.

        `maps`: the order in which each hides pixels, float32 (h, w) over the content of the model's input: the share of
        pixels that are hidden before each one (`controls.ranking`). Raises Cancelled within one batch of a stop.
        """
        if filling not in self._ends:
            fill = make_fill(self.picture, filling)
            whole = torch.ones(self.picture.shape[-2:], dtype=torch.bool, device=self.picture.device)
            self._ends[filling] = fill, self.predict_masked(torch.stack([whole, ~whole]), fill)
        fill, ends = self._ends[filling]
        placed = [torch.from_numpy(places).to(self.picture.device) for places in maps]
        shares = [step / steps for step in range(1, steps)]
        answers = self.predict(
            (
                places < share if keeps else places >= share
                for places in placed
                for keeps in (False, True)
                for share in shares
            ),
            fill,
        )
        for number in range(len(maps)):
            deletion, insertion = (
                _trace(ends, itertools.islice(answers, steps - 1), keeps=keeps) for keeps in (False, True)
            )
            yield Curve(name, number, filling, deletion, insertion)

    def predict(self, visible: Iterable[Tensor], fill: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (score, value, stays), each (), for each partly visible picture, bool (h, w), in batches."""
        masks = iter(visible)
        left: list[Tensor] = []
        while left := left or list(itertools.islice(masks, self._batch)):
            try:
                answers = self.predict_masked(torch.stack(left[: self._batch]), fill)
            except torch.OutOfMemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2
                torch.cuda.empty_cache()
                continue
            left = left[len(answers.score) :]
            yield from zip(answers.score, answers.value, answers.stays, strict=True)

    def predict_masked(self, visible: Tensor, fill: Tensor | None) -> Answers:
        """Return the answers to partly visible pictures, bool (B, h, w)."""
        visible, evidence = visible[:, None], self._evidence
        tensor = pictures = impute(self.picture, visible) if fill is None else torch.where(visible, self.picture, fill)
        if pictures.shape[-2:] != evidence.tensor.shape[-2:]:
            tensor = evidence.tensor.repeat(len(pictures), 1, 1, 1)
            tensor[self._place] = pictures
        tensor = evidence.resident.move_input(tensor)
        # Only for the pass, so that other passes run between two of hundreds.
        with torch.no_grad(), self._lock:
            outputs = self._adapter.run(tensor)
        with torch.no_grad():
            return self.score(outputs)


def _trace(ends: Answers, between: Iterable[tuple[Tensor, Tensor, Tensor]], *, keeps: bool) -> Trace:
    """Put the answers to the whole and the hidden picture at the ends of those between."""
    first, last = (1, 0) if keeps else (0, 1)
    score, value, stays = (
        np.array([end[first], *numbers, end[last]], np.float64)
        for end, numbers in zip((ends.score, ends.value, ends.stays), zip(*between, strict=True), strict=True)
    )
    return Trace(value, score, stays.astype(bool))


SIGMA = 0.05
"""Standard deviation of the blur by the picture's longer side: nothing smaller than a tenth of it is left."""
SWEEPS, ROUNDS = 2, 24
"""Of relaxation at each level of the pyramid, and of conjugate gradients at its bottom. Against the solved equations on
a photograph of 112 pixels: with half of it hidden no pixel was further off than 0.07 of the picture's range, and 0.005
on average; with nine tenths hidden 0.1 and 0.025."""
NOISE = 0.01
"""Standard deviation of ROAD's noise, in units of the picture's own standard deviation."""


@own_modes()
def blur(picture: Tensor) -> Tensor:
    """Blur a picture (1, C, h, w) heavily, with repeated borders."""
    sigma = max(SIGMA * max(picture.shape[-2:]), 1.0)
    reach = math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    for kernel, sides in ((weights[None], (reach, reach, 0, 0)), (weights[:, None], (0, 0, reach, reach))):
        kernels = kernel.expand(picture.shape[1], 1, *kernel.shape)
        picture = F.conv2d(F.pad(picture, sides, mode="replicate"), kernels, groups=len(kernels))
    return picture


@own_modes()
def make_fill(picture: Tensor, filling: Filling) -> Tensor | None:
    """Return the fill of hidden pixels, of the picture's shape; None for `linear`."""
    if filling == "linear":
        return None
    return blur(picture) if filling == "blur" else picture.mean((2, 3), keepdim=True).expand_as(picture)


@own_modes()
def impute(picture: Tensor, visible: Tensor) -> Tensor:
    """Interpolate each hidden pixel of (1, C, h, w) from its neighbours: (b, C, h, w).

    `visible`: (b, 1, h, w) bool. A hidden pixel is the mean of its neighbours, 1/6 for each of the four beside it and
    1/12 for each diagonal one, hidden ones included: the linear equations of ROAD (Rong et al. 2022,
    https://arxiv.org/abs/2202.00449), solved from coarse to fine. Where nothing is shown, it is the mean colour.
    """
    known = visible.to(picture.dtype)
    if not bool(visible.flatten(1).any(1).all()):
        mean = picture.mean((2, 3), keepdim=True)
        rest = visible.flatten(1).any(1).view(-1, 1, 1, 1)
        known = torch.where(rest, known, torch.ones_like(known))
        picture = torch.where(rest, picture, mean)
    out = _solve(_pyramid(picture * known, known), known)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(picture.shape[1:], generator=generator).to(picture) * picture.std() * NOISE
    return torch.where(known > 0, picture, out + noise)


def _pyramid(total: Tensor, known: Tensor) -> Tensor:
    """Fill holes of (b, C, h, w) from coarser levels; `total`: picture times `known`."""
    height, width = known.shape[-2:]
    filled = total / known.clamp_min(1e-6)
    if min(height, width) <= 1 or bool((known > 0).all()):
        return filled
    size = (-(-height // 2), -(-width // 2))
    padded = (0, 2 * size[1] - width, 0, 2 * size[0] - height)
    below = _pyramid(F.avg_pool2d(F.pad(total, padded), 2), F.avg_pool2d(F.pad(known, padded), 2))
    out = F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    out = torch.where(known > 0, filled, out)
    weight = _neighbours(torch.ones_like(out[:1]))
    for _ in range(SWEEPS):
        out = torch.where(known > 0, filled, _neighbours(out) / weight)
    return out


def _solve(start: Tensor, known: Tensor) -> Tensor:
    """Solve ROAD's equations by `ROUNDS` of conjugate gradients."""
    weight, hidden = _neighbours(torch.ones_like(start[:1])), (known <= 0).to(start)

    def product(values: Tensor) -> Tensor:
        return hidden * (weight * values - _neighbours(values))

    out, rest = start, -product(start)
    way, size = rest, (rest * rest).sum((2, 3), keepdim=True)
    for _ in range(ROUNDS):
        along = product(way)
        step = size / (way * along).sum((2, 3), keepdim=True).clamp_min(1e-20)
        out, rest = out + step * way, rest - step * along
        before, size = size, (rest * rest).sum((2, 3), keepdim=True)
        way = rest + size / before.clamp_min(1e-20) * way
    return out


def _neighbours(values: Tensor) -> Tensor:
    """Return each pixel's weighted sum of its neighbours."""
    kernel = values.new_tensor([[1 / 12, 1 / 6, 1 / 12], [1 / 6, 0, 1 / 6], [1 / 12, 1 / 6, 1 / 12]])
    channels = values.shape[1]
    return F.conv2d(values, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)
