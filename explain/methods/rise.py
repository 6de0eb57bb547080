"""D-RISE (Petsiuk et al. 2021, arXiv:2006.03204) for detectors and RISE (Petsiuk et al. 2018, arXiv:1806.07421) for
classifiers: hide the picture at random, many times, and see what the answer hangs on. Needs neither layers nor
gradients, so it explains any model that answers.

A raw value is by how much a target's score is higher on average over the masks that show a place than over all of
them: RISE's mean of the scores weighted by the masks, sum_i(f_i * m_i) / sum_i(m_i), minus the mean of the f_i. Its
unit is that of the score, 0..1; positive speaks for the target, negative against it, and 0 does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from common.errors import Cancelled, ModelProblem
from common.settings import settings
from explain.methods.occlusion import COUNT as WINDOWS
from explain.methods.occlusion import Drops, Windows
from models.adapters.detector import Detections
from models.preprocess import GREY

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from explain.evidence.evidence import Evidence
    from explain.methods import Method
    from explain.progress import Progress
    from models.adapter import Target
    from models.geometry import Geometry

    Scorer = Callable[[Any], Tensor]
    """From the outputs of B masked pictures to (B, k) scores in 0..1."""

COUNT = {"detect": 800, "classify": 1000}
"""Masks for one picture, where the papers take 5000: maps of 800 with two seeds were measured to correlate by 0.7 to
0.8 on a street scene, and their peaks lay in their boxes (docs/exported.md)."""
CELLS = 12
"""Cells of a mask along the picture's longer side at most. D-RISE has 16: at 800 masks those maps are noisier still."""
SMALLEST = 28
"""Pixels of the model's input that a cell has at least: RISE's own 8 cells for 224 px, fewer for less."""
FINE = 4
"""Cells of the map for one of a mask: what lies between is bilinear anyway."""
SHOWN = 0.5
"""The share of cells that a mask shows."""
FLOOR = 0.01
"""Candidates of a masked picture that score no more are noise, whose boxes fit anything."""
ROWS = 512
"""Target boxes compared at once, so that memory stays flat where all candidates are targets."""
PARTS = ("class", "box", "all")


@dataclass(frozen=True, eq=False)
class Masks:
    """Random masks over the picture's part of the model's input: low-resolution, grown bilinearly, each shifted."""

    grids: Tensor
    """(n, r, c) of 0 and 1, on the CPU."""
    shifts: Tensor
    """(n, 2) in cells, 0..1, down and right."""
    geometry: Geometry

    @classmethod
    def drawn(cls, count: int, geometry: Geometry, seed: int = 0) -> Masks:
        """The same for the same arguments, whatever the batches that they are used in."""
        left, top, right, bottom = geometry.content
        longer = max(right - left, bottom - top)
        cells = min(max(longer // SMALLEST, 4), CELLS)
        # Two more than the picture has: one for the shift, and the far end of the last cell.
        rows, columns = (max(round(cells * side / longer), 1) + 2 for side in (bottom - top, right - left))
        generator = torch.Generator().manual_seed(seed)
        grids = (torch.rand(count, rows, columns, generator=generator) < SHOWN).float()
        return cls(grids, torch.rand(count, 2, generator=generator), geometry)

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of a map's grid over the whole input."""
        left, top, right, bottom = self.geometry.content
        rows, columns = self.grids.shape[1] - 2, self.grids.shape[2] - 2
        height, width = self.geometry.input
        fine = round(FINE * rows * height / (bottom - top)), round(FINE * columns * width / (right - left))
        return min(max(fine[0], 1), height), min(max(fine[1], 1), width)

    def full(self, start: int, stop: int, device: torch.device) -> Tensor:
        """(b, h, w) in 0..1 over the pixels of the input that are picture (`Geometry.content`)."""
        left, top, right, bottom = self.geometry.content
        return self._at(start, stop, torch.arange(bottom - top) + 0.5, torch.arange(right - left) + 0.5, device)

    def coarse(self, start: int, stop: int) -> Tensor:
        """The same masks (b, h, w) at the centres of the map's cells; those of the bars read as the picture's edge."""
        left, top, right, bottom = self.geometry.content
        (height, width), (h, w) = self.geometry.input, self.cells
        down = ((torch.arange(h) + 0.5) * height / h - top).clamp(0, bottom - top)
        across = ((torch.arange(w) + 0.5) * width / w - left).clamp(0, right - left)
        return self._at(start, stop, down, across, torch.device("cpu"))

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
    """One (k, h, w) in a list, signed, over the model's whole input; all k targets from the same masked pictures.

    `method` is D-RISE, or Occlusion, whose masks hide one window each (explain/methods/occlusion.py). `count` masks,
    the same for the same seed; None: `SIGHTGLASS_MASKS`, or 800 for a detector and 1000 for a classifier, and 196
    windows. `partial` hears after every batch what the maps are so far, as they are returned, and how many masks of how
    many that took. Raises Cancelled within one batch of a stop, ModelProblem for a target it cannot score.
    """
    count = budget(evidence.resident.adapter.spec.task, method.id) if count is None else count
    masks: Masks | Windows = (
        Windows.over(evidence.geometry, count, seed)
        if method.id == "occlusion"
        else Masks.drawn(count, evidence.geometry, seed)
    )
    total = len(masks.order) if isinstance(masks, Windows) else count
    held, name = evidence.raws, f"{method.id}/{total}/{seed}"
    missing = [target for target in dict.fromkeys(targets) if (name, target) not in held]
    score = _scorer(evidence, missing or targets)

    def together(fresh: Tensor) -> list[Tensor]:
        return [torch.stack([fresh[missing.index(t)] if t in missing else held[name, t][0] for t in targets])]

    if not missing:
        return together(evidence.tensor)
    sums = (
        Drops(masks, score(evidence.outputs)[0].detach().cpu())
        if isinstance(masks, Windows)
        else _Sums(masks, len(missing))
    )
    picture = _Hidden(evidence, sums.masks)
    device = evidence.resident.device
    size = evidence.resident.adapter.batch or (4 if device.type == "cpu" else 32)
    done = 0
    while done < total:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        if progress is not None:
            progress(min(done / total, 0.99), f"{method.name}, mask {done} of {total}")
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
        if partial is not None:
            partial(together(_pictured(sums.maps(), masks.geometry).to(device)), done, total)
    maps = _pictured(sums.maps(), masks.geometry).to(device)
    held |= {(name, target): [maps[i]] for i, target in enumerate(missing)}
    return together(maps)


def budget(task: str, method: str = "drise") -> int:
    """How many masks a picture gets where nobody says how many; raises Problem for a wrong `SIGHTGLASS_MASKS`."""
    if method == "occlusion":
        return WINDOWS
    return settings().masks or COUNT[task]


class _Sums:
    """What is kept of all the passes: the same few numbers however many there are, in double precision."""

    def __init__(self, masks: Masks, targets: int) -> None:
        self.masks = masks
        self._weighted = torch.zeros(targets, *masks.cells, dtype=torch.float64)
        self._weights = torch.zeros(masks.cells, dtype=torch.float64)
        self._scores = torch.zeros(targets, dtype=torch.float64)
        self._count = 0

    def add(self, start: int, stop: int, scores: Tensor) -> None:
        """The scores (b, k) of some masks."""
        masks, scores = self.masks.coarse(start, stop).double(), scores.double()
        self._weighted += torch.einsum("bk,bhw->khw", scores, masks)
        self._weights += masks.sum(0)
        self._scores += scores.sum(0)
        self._count += stop - start

    def maps(self) -> Tensor:
        """(k, h, w) float64, over the whole input."""
        mean = (self._scores / max(self._count, 1))[:, None, None]
        maps = self._weighted / self._weights.clamp_min(1e-9) - mean
        # A place that no mask has shown yet is not known to matter.
        maps *= self._weights > 1e-9
        return maps


def _pictured(maps: Tensor, geometry: Geometry) -> Tensor:
    """(k, h, w) over the whole input as float32, 0 on cells that hold nothing but bars."""
    left, top, right, bottom = geometry.content
    (height, width), (h, w) = geometry.input, maps.shape[1:]
    inside = slice(top * h // height, -(-bottom * h // height)), slice(left * w // width, -(-right * w // width))
    pictured = torch.zeros_like(maps)
    pictured[:, inside[0], inside[1]] = maps[:, inside[0], inside[1]]
    return pictured.float()


class _Hidden:
    """The picture under masks, through the model, some at a time."""

    def __init__(self, evidence: Evidence, masks: Masks | Windows) -> None:
        self._resident = evidence.resident
        self._tensor = evidence.tensor
        self._masks = masks
        self._quickest = self._resident.fastest_adapter(())
        adapter = self._resident.adapter
        # However a model wants its pixels, it says itself what they are for the grey of a letterbox's bars.
        blank = adapter.flat_input(GREY)
        grey = blank[0, :, blank.shape[2] // 2, blank.shape[3] // 2]
        if len(grey) not in (1, 3):
            # What is no colour has no grey: what stands in for it is the mean that the model was trained with.
            grey = torch.zeros_like(grey)
        self._grey = grey.to(evidence.tensor).view(1, -1, 1, 1)

    @torch.no_grad()
    def scores(self, start: int, stop: int, score: Scorer) -> Tensor:
        """(b, k) of masks start..stop, from one pass."""
        left, top, right, bottom = self._masks.geometry.content
        shown = self._masks.full(start, stop, self._tensor.device)[:, None].to(self._tensor.dtype)
        hidden = self._tensor.repeat(stop - start, 1, 1, 1)
        picture = self._tensor[..., top:bottom, left:right]
        hidden[..., top:bottom, left:right] = self._grey + (picture - self._grey) * shown
        hidden = self._resident.place(hidden)
        # Only for the pass, so that others get in between two of the hundreds.
        with self._resident.lock:
            outputs = self._quickest.run(hidden)
        return score(outputs)


def _scorer(evidence: Evidence, targets: Sequence[Target]) -> Scorer:
    adapter = evidence.resident.adapter
    name = adapter.spec.id
    detects = isinstance(evidence.outputs, Detections)
    for target in targets:
        # A share of all classes is a contrast to the others by itself.
        if target.part not in (PARTS if detects else ("class", "contrast")):
            can = ", ".join(PARTS) if detects else "its classes"
            raise ModelProblem(f"Masks cannot explain the {target.part} of {name}: they explain {can}.")
        if target.index is None and (not detects or not target.anchors):
            raise ModelProblem("A target without a class needs candidates: ask for a share of the strongest.")
    if detects:
        return _Similarity(evidence.outputs, targets)
    indices = [target.index for target in targets]

    def probabilities(outputs: Any) -> Tensor:
        return adapter.class_logits(outputs).float().softmax(1)[:, indices]

    return probabilities


class _Similarity:
    """How much of each target a detector still finds in a masked picture, 0..1; D-RISE's equation 2.

    A target is one or several boxes, and its score the mean over them of the best match among all candidates, before
    any suppression. A match is, for `all`, overlap (IoU) * cosine of the class probabilities * score, as in the
    paper; for `class` overlap * the probability of that class; for `box` the overlap alone.
    """

    def __init__(self, outputs: Detections, targets: Sequence[Target]) -> None:
        scores, boxes = outputs.scores[0], outputs.boxes[0].detach().float()
        anchors = [target.anchors or (int(scores[target.index].argmax()),) for target in targets]
        count = scores.shape[1]
        if lost := [anchor for given in anchors for anchor in given if not 0 <= anchor < count]:
            raise ModelProblem(f"This input has {count} candidates, and {lost[0]} is not among them.")
        flat = [anchor for given in anchors for anchor in given]
        parts = [target.part for target, given in zip(targets, anchors, strict=True) for _ in given]
        wanted = [target.index for target, given in zip(targets, anchors, strict=True) for _ in given]
        owner = [i for i, given in enumerate(anchors) for _ in given]
        device = scores.device
        self._owner = torch.tensor(owner, device=device)
        self._sizes = torch.tensor([len(given) for given in anchors], device=device)
        self._boxes = boxes[flat]  # (m, 4)
        best = outputs.best[0, flat]
        given = torch.tensor([-1 if index is None else index for index in wanted], device=device)
        self._classes = torch.where(given < 0, best, given)  # (m,)
        vectors = scores[:, flat].T  # (m, K)
        # Where another class is asked for than the box's own, its likeness to that class is.
        other = torch.zeros_like(vectors).scatter(1, self._classes[:, None], 1.0)
        vectors = torch.where((self._classes == best)[:, None], vectors, other)
        self._vectors = torch.nn.functional.normalize(vectors, dim=1)
        self._product = torch.tensor([part == "all" for part in parts], device=device)[:, None]
        self._overlap = torch.tensor([part == "box" for part in parts], device=device)[:, None]
        # A box that was itself looked up below the floor is still to be found.
        strongest = min(float(scores[:, list(given)].amax()) for given in anchors)
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

        found = scores.new_zeros(len(self._boxes))
        if len(boxes):
            units = torch.nn.functional.normalize(scores, dim=0)
            for start in range(0, len(found), ROWS):
                part = slice(start, start + ROWS)
                overlap = box_iou(self._boxes[part], boxes)  # (m, n)
                # A service may name classes that it had not named before: they come last.
                vectors = self._vectors[part]
                product = (vectors @ units[: vectors.shape[1]]) * scores.amax(0)
                worth = torch.where(self._product[part], product, scores[self._classes[part]])
                worth = torch.where(self._overlap[part], 1.0, worth)
                found[part] = (overlap * worth).amax(1)
        return found.new_zeros(len(self._sizes)).index_add(0, self._owner, found) / self._sizes
