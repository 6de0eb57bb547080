"""D-RISE for detectors and RISE for classifiers: hide random parts of the picture many times and compare the scores.

Needs neither layers nor gradients, so it explains any model. The raw value of a place is

    sum_i(f_i * m_i) / sum_i(m_i) - mean_i(f_i)

with the score f_i of the target under mask i and the mask's value m_i at that place: how much higher the score is when
the place is shown. Its unit is that of the score, 0..1; positive values speak for the target, negative ones against it.
Petsiuk et al. 2021, https://arxiv.org/abs/2006.03204, and 2018, https://arxiv.org/abs/1806.07421.

>>> from explain import Explainer
>>> Explainer("demo-cls-s")("bus.jpg", top_k=1, method="drise", masks=8).recipe.masks
8
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from common.errors import Cancelled
from common.settings import settings
from explain.methods.mask_scores import Scorer, scorer
from explain.methods.masks import PictureMasks
from explain.methods.method import Method, RawMaps, Request
from explain.methods.occlusion import COUNT as WINDOWS
from explain.methods.occlusion import Drops, Windows
from models.preprocess import GREY

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from explain.evidence.evidence import Evidence
    from explain.progress import Progress
    from models.adapter import Target
    from models.geometry import Geometry

COUNT = {"detect": 800, "classify": 1000}
"""Masks for one picture, where the papers take 5000: maps of 800 with two seeds were measured to correlate by 0.7 to
0.8 on a street scene, and their peaks lay in their boxes (docs/exported.md)."""
MAX_CELLS = 12
"""Cells of a mask along the picture's longer side. D-RISE has 16, whose maps are noisier still at 800 masks."""
MIN_CELL = 28
"""Minimum pixels of the model's input per cell: RISE's own 8 cells for 224 px, fewer for less."""
FINE = 4
"""Cells of the map per cell of a mask: between them it is bilinear anyway."""
SHOWN = 0.5
"""The share of cells that a mask shows."""


@dataclass(frozen=True, eq=False)
class Masks(PictureMasks):
    """Random masks over the picture's part of the model's input: low-resolution, grown bilinearly, each shifted."""

    grids: Tensor
    """(n, r, c) of 0 and 1, on the CPU."""
    shifts: Tensor
    """(n, 2) in cells, 0..1, down and right."""
    geometry: Geometry

    @classmethod
    def drawn(cls, count: int, geometry: Geometry, seed: int = 0) -> Masks:
        """Draw masks; the same arguments always give the same masks."""
        left, top, right, bottom = geometry.content
        longer = max(right - left, bottom - top)
        cells = min(max(longer // MIN_CELL, 4), MAX_CELLS)
        # Two more than the picture has: one for the shift, and the far end of the last cell.
        rows, columns = (max(round(cells * side / longer), 1) + 2 for side in (bottom - top, right - left))
        generator = torch.Generator().manual_seed(seed)
        grids = (torch.rand(count, rows, columns, generator=generator) < SHOWN).float()
        return cls(grids, torch.rand(count, 2, generator=generator), geometry)

    def __len__(self) -> int:
        return len(self.grids)

    @property
    def resolution(self) -> tuple[int, int]:
        return FINE * (self.grids.shape[1] - 2), FINE * (self.grids.shape[2] - 2)

    def _at(self, start: int, stop: int, down: Tensor, across: Tensor, device: torch.device) -> Tensor:
        left, top, right, bottom = self.geometry.content
        grids, shifts = self.grids[start:stop].to(device), self.shifts[start:stop].to(device)
        rows = _hats(down.to(device) / (bottom - top), shifts[:, 0], grids.shape[1])
        columns = _hats(across.to(device) / (right - left), shifts[:, 1], grids.shape[2])
        return rows @ grids @ columns.transpose(1, 2)


def _hats(at: Tensor, shifts: Tensor, nodes: int) -> Tensor:
    """(b, p, nodes): what each node adds to places `at` (p,), 0..1 along a side that `nodes - 2` cells cover."""
    places = at * (nodes - 2) + shifts[:, None]  # (b, p)
    return (1 - (places[:, :, None] - torch.arange(nodes, device=at.device)).abs()).clamp_min(0)


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run D-RISE or Occlusion on the model's whole input."""
    reported = time.perf_counter()

    def partial(maps: list[Tensor], done: int, total: int) -> None:
        nonlocal reported
        if request.partial is not None and done < total and time.perf_counter() - reported >= 1:
            note = f"This map is not finished: {done} of {total} masks so far."
            request.partial(RawMaps(maps, ("input",), (note,)))
            reported = time.perf_counter()

    maps = raw_maps(
        evidence,
        method,
        targets,
        progress=request.progress,
        cancel=request.cancel,
        partial=None if request.partial is None else partial,
        count=request.masks,
    )
    return RawMaps(maps, ("input",))


def raw_maps(
    evidence: Evidence,
    method: Method,
    targets: Sequence[Target],
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[list[Tensor], int, int], None] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Return one (k, h, w) in a list, signed, over the model's whole input; all k targets share the masked pictures.

    `method` is D-RISE, or Occlusion, whose masks hide one window each. `count` masks, the same for the same seed;
    None: `budget`. `partial` is called after every batch with the maps so far, the masks done and their total. Raises
    Cancelled within one batch of a stop, ModelProblem for a target that masks cannot explain.
    """
    count = budget(evidence.resident.adapter.spec.task, method.id) if count is None else count
    occludes = method.id == "occlusion"
    masks = Windows.over(evidence.geometry, count, seed) if occludes else Masks.drawn(count, evidence.geometry, seed)
    held, name = evidence.raws, f"{method.id}/{len(masks)}/{seed}"
    missing = [target for target in dict.fromkeys(targets) if (name, target) not in held]
    score = scorer(evidence, missing or targets)

    def stacked(fresh: Tensor) -> list[Tensor]:
        return [torch.stack([fresh[missing.index(t)] if t in missing else held[name, t][0] for t in targets])]

    if not missing:
        return stacked(evidence.tensor)
    sums: Drops | _Sums = (
        Drops(masks, score(evidence.outputs)[0].detach().cpu())
        if isinstance(masks, Windows)
        else _Sums(masks, len(missing))
    )

    def report(done: int) -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        if progress is not None:
            progress(min(done / len(masks), 0.99), f"{method.name}, mask {done} of {len(masks)}")

    device = evidence.resident.device
    for done in _masked_passes(evidence, sums, score, report):
        if partial is not None:
            partial(stacked(_pictured(sums.maps(), masks.geometry).to(device)), done, len(masks))
    maps = _pictured(sums.maps(), masks.geometry).to(device)
    held |= {(name, target): [maps[i]] for i, target in enumerate(missing)}
    return stacked(maps)


def _masked_passes(
    evidence: Evidence, sums: Drops | _Sums, score: Scorer, report: Callable[[int], None]
) -> Iterator[int]:
    """Add every mask's scores to `sums` and yield, after each batch, how many are done; batches halve on a full GPU."""
    picture, total = _MaskedPicture(evidence, sums.masks), len(sums.masks)
    size = evidence.resident.adapter.batch or (4 if evidence.resident.device.type == "cpu" else 32)
    done = 0
    while done < total:
        report(done)
        stop = min(done + size, total)
        try:
            scores = picture.scores(done, stop, score)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
            continue
        sums.add(done, stop, scores.cpu())
        done = stop
        yield done


def budget(task: str, method: str = "drise") -> int:
    """How many masks a picture gets where nobody says how many; raises Problem for a wrong `SIGHTGLASS_MASKS`."""
    if method == "occlusion":
        return WINDOWS
    return settings().masks or COUNT[task]


class _Sums:
    """Sums over all passes in double precision; their size does not depend on the number of masks."""

    def __init__(self, masks: Masks, targets: int) -> None:
        self.masks = masks
        self._weighted = torch.zeros(targets, *masks.cells, dtype=torch.float64)
        self._weights = torch.zeros(masks.cells, dtype=torch.float64)
        self._scores = torch.zeros(targets, dtype=torch.float64)
        self._count = 0

    def add(self, start: int, stop: int, scores: Tensor) -> None:
        """Add the scores (b, k) of masks start..stop."""
        masks, scores = self.masks.coarse(start, stop).double(), scores.double()
        self._weighted += torch.einsum("bk,bhw->khw", scores, masks)
        self._weights += masks.sum(0)
        self._scores += scores.sum(0)
        self._count += stop - start

    def maps(self) -> Tensor:
        """Return the maps so far, (k, h, w) float64, over the whole input."""
        mean = (self._scores / max(self._count, 1))[:, None, None]
        maps = self._weighted / self._weights.clamp_min(1e-9) - mean
        # A place that no mask has shown yet is not known to matter.
        maps *= self._weights > 1e-9
        return maps


def _pictured(maps: Tensor, geometry: Geometry) -> Tensor:
    """Return maps (k, h, w) over the whole input as float32, set to 0 on cells that hold nothing but bars."""
    left, top, right, bottom = geometry.content
    (height, width), (h, w) = geometry.input, maps.shape[1:]
    inside = slice(top * h // height, -(-bottom * h // height)), slice(left * w // width, -(-right * w // width))
    pictured = torch.zeros_like(maps)
    pictured[:, inside[0], inside[1]] = maps[:, inside[0], inside[1]]
    return pictured.float()


class _MaskedPicture:
    """Runs the model on the picture under masks, batch by batch."""

    def __init__(self, evidence: Evidence, masks: PictureMasks) -> None:
        self._resident = evidence.resident
        self._tensor = evidence.tensor
        self._masks = masks
        self._adapter = self._resident.fastest_adapter(())
        adapter = self._resident.adapter
        # The adapter itself prepares the grey of a letterbox's bars, whatever range its pixels have.
        blank = adapter.flat_input(GREY)
        grey = blank[0, :, blank.shape[2] // 2, blank.shape[3] // 2]
        if len(grey) not in (1, 3):
            # What is no colour has no grey: what stands in for it is the mean that the model was trained with.
            grey = torch.zeros_like(grey)
        self._grey = grey.to(evidence.tensor).view(1, -1, 1, 1)

    @torch.no_grad()
    def scores(self, start: int, stop: int, score: Scorer) -> Tensor:
        """Return the scores (b, k) under masks start..stop, from one pass."""
        left, top, right, bottom = self._masks.geometry.content
        shown = self._masks.full(start, stop, self._tensor.device)[:, None].to(self._tensor.dtype)
        hidden = self._tensor.repeat(stop - start, 1, 1, 1)
        picture = self._tensor[..., top:bottom, left:right]
        hidden[..., top:bottom, left:right] = self._grey + (picture - self._grey) * shown
        hidden = self._resident.place(hidden)
        # Only for the pass, so that others get in between two of the hundreds.
        with self._resident.lock:
            outputs = self._adapter.run(hidden)
        return score(outputs)
