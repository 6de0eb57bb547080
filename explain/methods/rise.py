"""D-RISE, RISE and occlusion.

They need neither layers nor gradients, so they explain any model. (D-)RISE's raw value of a place is

    sum_i(f_i * m_i) / sum_i(m_i) - mean_i(f_i)

with the score f_i of the target under mask i and the mask's value m_i at that place: how much higher the score is when
the place is shown. Its unit is that of the score, 0..1; positive values speak for the target, negative ones against it.

Occlusion hides one window after another, without random numbers. Its raw value of a place is the mean of f - f_i over
the windows i that hide it, with the score f of the whole picture. `METHODS` names the papers.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.common.settings import settings
from sightglass.common.work.progress import check
from sightglass.explain.evidence.evidence import Evidence, in_batches
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Target
from sightglass.models.adapters.detector import Detections
from sightglass.models.geometry import Geometry, picture_cells
from sightglass.models.preprocess import GREY

MAX_CELLS = 12
"""Cells of a mask along the picture's longer side. D-RISE has 16, whose maps are noisier still at 800 masks."""
MIN_CELL = 28
"""Minimum pixels of the model's input per cell: RISE's own 8 cells for 224 px, fewer for less."""
FINE = 4
"""Cells of the map per cell of a mask: between them it is bilinear anyway."""
SHOWN = 0.5
"""The share of cells that a mask shows."""


@dataclass(frozen=True, eq=False)
class PictureMasks:
    """A series of `count` masks with values 0 (hidden) to 1 (shown)."""

    geometry: Geometry
    count: int
    resolution: tuple[int, int]
    """Cells of the map down and across the picture."""
    sample: Callable[[int, int, Tensor, Tensor], Tensor]
    """Masks start..stop, (b, h, w), at the pixels `down` (h,) and `across` (w,) of the picture, on their device."""

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of the map's grid over the whole input."""
        left, top, right, bottom = self.geometry.content
        (height, width), (down, across) = self.geometry.input, self.resolution
        fine = round(down * height / (bottom - top)), round(across * width / (right - left))
        return min(max(fine[0], 1), height), min(max(fine[1], 1), width)

    def full(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Return masks start..stop, (b, h, w), over the input's content."""
        left, top, right, bottom = self.geometry.content
        down, across = (torch.arange(side, device=device) + 0.5 for side in (bottom - top, right - left))
        return self.sample(start, stop, down, across)

    def coarse(self, start: int, stop: int) -> Tensor:
        """Return the masks (b, h, w) at the centres of `cells`."""
        left, top, right, bottom = self.geometry.content
        (height, width), (h, w) = self.geometry.input, self.cells
        down = ((torch.arange(h) + 0.5) * height / h - top).clamp(0, bottom - top)
        return self.sample(start, stop, down, ((torch.arange(w) + 0.5) * width / w - left).clamp(0, right - left))


def draw_masks(count: int, geometry: Geometry, seed: int = 0) -> PictureMasks:
    """Draw random low-resolution masks of the picture, enlarged and shifted; the same for the same arguments."""
    left, top, right, bottom = geometry.content
    height, width = bottom - top, right - left
    longer = max(height, width)
    cells = min(max(longer // MIN_CELL, 4), MAX_CELLS)
    # Two more than the picture has: one for the shift, and the far end of the last cell.
    rows, columns = (max(round(cells * side / longer), 1) + 2 for side in (height, width))
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(count, rows, columns, generator=generator) < SHOWN).float()
    shifts = torch.rand(count, 2, generator=generator)  # in cells, down and right

    def sample(start: int, stop: int, down: Tensor, across: Tensor) -> Tensor:
        grid, shift = grids[start:stop].to(down.device), shifts[start:stop].to(down.device)
        by_row, by_column = _hats(down / height, shift[:, 0], rows), _hats(across / width, shift[:, 1], columns)
        return by_row @ grid @ by_column.transpose(1, 2)

    return PictureMasks(geometry, count, (FINE * (rows - 2), FINE * (columns - 2)), sample)


def _hats(positions: Tensor, shifts: Tensor, nodes: int) -> Tensor:
    """Return (b, p, nodes): each node's share at the positions (p,) of a side."""
    places = positions * (nodes - 2) + shifts[:, None]  # (b, p)
    return (1 - (places[:, :, None] - torch.arange(nodes, device=positions.device)).abs()).clamp_min(0)


def lay_windows(count: int, geometry: Geometry, seed: int = 0) -> PictureMasks:
    """Lay out about `count` square half-overlapping windows of at least two pixels, in random order; one per mask."""
    left, top, right, bottom = geometry.content
    height, width = bottom - top, right - left
    per_pixel = math.sqrt(count / (height * width))
    rows, columns = (min(max(round(side * per_pixel), 1), side) for side in (height, width))
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed))

    def sample(start: int, stop: int, down: Tensor, across: Tensor) -> Tensor:
        window = order[start:stop].to(down.device)
        by_row = (down * rows / height - (window // columns + 0.5)[:, None]).abs() < 1
        by_column = (across * columns / width - (window % columns + 0.5)[:, None]).abs() < 1
        return 1 - (by_row[:, :, None] & by_column[:, None, :]).float()

    # Two cells for each step from window to window.
    return PictureMasks(geometry, len(order), (2 * rows, 2 * columns), sample)


FLOOR = 0.01
"""Candidates of a masked picture that score no more than this are noise, and their boxes fit anything."""
ROWS = 512
"""Target boxes compared at once, so that memory stays flat where all candidates are targets."""
PARTS = ("class", "box", "all")
"""Parts of a detection that masks can explain."""


def scorer(evidence: Evidence, targets: Sequence[Target]) -> Callable[[Any], Tensor]:
    """Return a function from outputs of B pictures to scores (B, k) of the targets, 0..1, or numbers of a regression.

    Raises ModelProblem for a target that masks cannot explain.
    """
    adapter, task = evidence.loaded.adapter, task_of(evidence.loaded.adapter)
    detects = isinstance(evidence.outputs, Detections)
    for target in targets:
        # A softmax score is already a contrast to the other classes.
        answers = ("class", "contrast") if task.competes else adapter.parts
        if target.part not in (PARTS if detects else answers):
            can = ", ".join(PARTS) if detects else f"its {'numbers' if task.quantity == 'number' else 'classes'}"
            raise ModelProblem(f"Masks cannot explain the {target.part} of {adapter.spec.id}: they explain {can}.")
        if target.index is None and (not detects or not target.anchors):
            raise ModelProblem("A target without a class needs candidates: ask for a share of the strongest.")
    if detects:
        return _Similarity(evidence.outputs, targets)
    indices = [target.index for target in targets]
    signs = torch.tensor([-1.0 if target.part == "lowers" else 1.0 for target in targets])

    def score(outputs: Any) -> Tensor:
        if task.competes:
            return adapter.class_logits(outputs).float().softmax(1)[:, indices]
        scores = adapter.class_scores(outputs)[:, indices]
        return scores * signs.to(scores)

    return score


def _anchors_of(targets: Sequence[Target], scores: Tensor) -> list[tuple[int, ...]]:
    """Return each target's candidates, or its strongest of (K, N); raise ModelProblem for others."""
    anchors = [target.anchors or (int(scores[target.index].argmax()),) for target in targets]
    count = scores.shape[1]
    lost = next((anchor for group in anchors for anchor in group if not 0 <= anchor < count), None)
    if lost is not None:
        raise ModelProblem(f"This input has {count} candidates, and {lost} is not among them.")
    return anchors


class _Similarity:
    """The similarity of a masked picture's detections to targets, D-RISE's equation 2.

    A target is one or several boxes; its score is the mean over them of the best match among all candidates, before
    suppression. A match is, for `all`, IoU * cosine of the class probabilities * score, as in the paper; for `class`
    IoU * the probability of that class; for `box` the IoU alone.
    """

    def __init__(self, outputs: Detections, targets: Sequence[Target]) -> None:
        scores = outputs.scores[0]
        boxes = outputs.boxes[0].detach().float()
        device = scores.device
        anchors = _anchors_of(targets, scores)
        flat = [anchor for group in anchors for anchor in group]
        numbers = [i for i, group in enumerate(anchors) for _ in group]
        owners = [targets[i] for i in numbers]
        self._owner = torch.tensor(numbers, device=device)
        self._sizes = torch.tensor([len(anchor) for anchor in anchors], device=device)
        self._boxes = boxes[flat]  # (m, 4)
        best = outputs.best(flat)
        classes = torch.tensor([-1 if target.index is None else target.index for target in owners], device=device)
        self._classes = torch.where(classes < 0, best, classes)  # (m,)
        vectors = scores[:, flat].T  # (m, K)
        # For a class other than the box's own, the similarity to that class.
        other = torch.zeros_like(vectors).scatter(1, self._classes[:, None], 1.0)
        vectors = torch.where((self._classes == best)[:, None], vectors, other)
        self._vectors = torch.nn.functional.normalize(vectors, dim=1)
        self._product = torch.tensor([target.part == "all" for target in owners], device=device)[:, None]
        self._overlap = torch.tensor([target.part == "box" for target in owners], device=device)[:, None]
        # A box below the floor must still be found.
        strongest = min(float(scores[:, list(anchor)].amax()) for anchor in anchors)
        self._floor = min(FLOOR, strongest / 2)

    def __call__(self, outputs: Detections) -> Tensor:
        """(B, k)."""
        rows = []
        for scores, boxes in zip(outputs.scores, outputs.boxes.float(), strict=True):
            alive = scores.amax(0) > self._floor
            rows.append(self._one(scores[:, alive], boxes[alive]))
        return torch.stack(rows)

    def _one(self, scores: Tensor, boxes: Tensor) -> Tensor:
        """(k,) for one picture's n candidates: scores (K, n), boxes (n, 4)."""
        from torchvision.ops import box_iou

        similarities = scores.new_zeros(len(self._boxes))
        if len(boxes):
            units = torch.nn.functional.normalize(scores, dim=0)
            for start in range(0, len(similarities), ROWS):
                part = slice(start, start + ROWS)
                overlap = box_iou(self._boxes[part], boxes)  # (m, n)
                product = (self._vectors[part] @ units) * scores.amax(0)
                worth = torch.where(self._product[part], product, scores[self._classes[part]])
                worth = torch.where(self._overlap[part], 1.0, worth)
                similarities[part] = (overlap * worth).amax(1)
        return similarities.new_zeros(len(self._sizes)).index_add(0, self._owner, similarities) / self._sizes


WINDOWS = 196
"""Occlusion's default number of windows: 14 by 14 over a square picture, each a seventh of its side wide."""
SECONDS = 1.0
"""Minimum time between two unfinished maps."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request, *, seed: int = 0) -> RawMaps:
    """Run D-RISE or Occlusion; all targets share the masked pictures.

    The masks are the same for the same seed; by default `budget` many. Raises Cancelled within one batch of a stop,
    ModelProblem for a target that masks cannot explain.
    """
    occludes, geometry = method.id == "occlusion", evidence.geometry
    count = request.masks or budget(evidence.loaded.adapter.spec.task, method.id)
    masks = (lay_windows if occludes else draw_masks)(count, geometry, seed)
    name = f"{method.id}/{masks.count}/{seed}"
    called = method.name_for(evidence.loaded.adapter.spec.task)
    missing = evidence.missing(name, targets)
    score = scorer(evidence, missing or targets)

    def compute(sums: _Sums) -> dict[tuple[str, Target], list[Tensor]]:
        fresh = sums.maps()
        y0, y1, x0, x1 = picture_cells(geometry, *fresh.shape[1:])
        # Cells of bars stay 0.
        maps = torch.zeros(fresh.shape, device=evidence.loaded.device)
        maps[:, y0:y1, x0:x1] = fresh[:, y0:y1, x0:x1]
        return {(name, target): [maps[i]] for i, target in enumerate(missing)}

    def report(done: int) -> None:
        check()
        request.report(done, masks.count, f"{called}, mask {done} of {masks.count}")

    if missing:
        sums = _Sums(masks, len(missing), score(evidence.outputs)[0].detach().cpu() if occludes else None)
        reported = time.perf_counter()
        for done in _masked_passes(evidence, sums, score, report):
            if request.partial and done < masks.count and time.perf_counter() - reported >= SECONDS:
                note = f"This map is not finished: {done} of {masks.count} masks so far."
                unfinished = evidence.raws | compute(sums)
                maps = [torch.stack([unfinished[name, target][0] for target in targets])]
                request.partial(RawMaps(maps, ("input",), (note,)))
                reported = time.perf_counter()
        evidence.raws |= compute(sums)
    return RawMaps(evidence.stacked(name, targets), ("input",))


def _masked_passes(
    evidence: Evidence, sums: "_Sums", score: Callable[[Any], Tensor], report: Callable[[int], None]
) -> Iterator[int]:
    """Add all masks' scores to `sums`; yield how many are done after each batch."""
    loaded, grey = evidence.loaded, find_grey(evidence)
    adapter = loaded.fastest_adapter(())
    left, top, right, bottom = evidence.geometry.content
    picture = evidence.tensor[..., top:bottom, left:right]

    def add(numbers: Sequence[int]) -> int:
        start, stop = numbers[0], numbers[-1] + 1
        report(start)
        masks = sums.masks.full(start, stop, picture.device)[:, None].to(picture.dtype)
        with torch.no_grad():
            sums.add(start, stop, score(evidence.run_with(grey + (picture - grey) * masks, adapter, loaded.lock)).cpu())
        return stop

    # Fixed batches are split anyway: masked together, small pictures take half the time.
    few, fixed = 4 if loaded.device.type == "cpu" else 32, loaded.adapter.batch or 1
    size = loaded.pictures_in_a_pass(-(-few // fixed) * fixed, evidence.tensor)
    return in_batches(range(sums.masks.count), size, add)


def find_grey(evidence: Evidence) -> Tensor:
    """Return the fill of hidden pixels, (1, C, 1, 1): the prepared grey of bars, or 0 of other than 1 or 3 channels."""
    # The adapter prepares the grey of letterbox bars, in any range of pixels.
    blank = evidence.loaded.adapter.flat_input(GREY)
    grey = blank[0, :, blank.shape[2] // 2, blank.shape[3] // 2]
    if len(grey) not in (1, 3):
        # What is no colour has no grey: 0 is the mean of a normalised input.
        grey = torch.zeros_like(grey)
    return grey.to(evidence.tensor).view(1, -1, 1, 1)


def budget(task: str, method: str = "drise") -> int:
    """Return the number of masks; raise Problem for a wrong `SIGHTGLASS_MASKS`."""
    return WINDOWS if method == "occlusion" else settings().masks or task_of(task).masks


class _Sums:
    """Sums over all passes, in double precision."""

    def __init__(self, masks: PictureMasks, targets: int, before: Tensor | None) -> None:
        """`before`: the scores (k,) of the whole picture, from which Occlusion measures; None for RISE."""
        self.masks = masks
        self._before = None if before is None else before.double()
        self._weighted = torch.zeros(targets, *masks.cells, dtype=torch.float64)
        self._weights = torch.zeros(masks.cells, dtype=torch.float64)
        self._scores = torch.zeros(targets, dtype=torch.float64)
        self._count = 0

    def add(self, start: int, stop: int, scores: Tensor) -> None:
        """Add the scores (b, k) of masks start..stop."""
        weights, scores = self.masks.coarse(start, stop).double(), scores.double()
        if self._before is not None:
            weights, scores = 1 - weights, self._before - scores
        self._weighted += torch.einsum("bk,bhw->khw", scores, weights)
        self._weights += weights.sum(0)
        self._scores += scores.sum(0)
        self._count += stop - start

    def maps(self) -> Tensor:
        """Return the maps so far, (k, h, w) float64, over the whole input."""
        maps = self._weighted / self._weights.clamp_min(1e-9)
        if self._before is None:
            maps -= (self._scores / max(self._count, 1))[:, None, None]
        # Places not yet shown (Occlusion: hidden) have unknown importance.
        maps *= self._weights > 1e-9
        return maps
