"""Weight-randomisation test (sanity check) of a map.

The cascading randomisation of Adebayo et al. 2018, https://arxiv.org/abs/1810.03292.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.faithfulness import badge
from sightglass.explain.faithfulness.badge import VERDICTS, Verdict
from sightglass.explain.faithfulness.prove import grid_of, object_of
from sightglass.explain.faithfulness.randomised import STAGES, copy_resident, redrawn, stages
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.maps.statistics import coarse, compare
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.method import Request
from sightglass.explain.phrases import signed
from sightglass.explain.proof import controls
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

    Map = NDArray[np.float32]

DRAWS = 3
"""Sets of weights for the last stage: of one alone a map on 7 by 7 cells is like another by chance."""
NULL = 200
"""Random maps whose likeness to the true one is a threshold."""
QUANTILE = 0.95
_CACHE: ByteCache[Scramble] = ByteCache("scrambles", lambda one: one.nbytes)


@dataclass(frozen=True, eq=False)
class Stage:
    """The map after some share of the weights is redrawn."""

    share: float
    """Of all parameters, 0..1."""
    map: Map
    """float32 (h, w) in 0..1 over the content of the model's input, at most 320 a side; 0 without evidence."""
    rank_correlation: float
    """With the true map, of the values that are shown: negative evidence is 0."""
    signed: float
    """The rank correlation of the raw values with their signs, the mean over layers."""
    ssim: float


@dataclass(frozen=True, eq=False)
class Scramble:
    """One map as its model is scrambled from the top down."""

    label: str
    method: str
    stages: tuple[Stage, ...]
    final: tuple[float, ...]
    """The rank correlation of the last stage's map with the true one, for `DRAWS` sets of weights."""
    threshold: float
    """The rank correlation with the true map that 95 % of random maps as smooth as it stay below."""
    known: dict[Verdict, float]
    """The rank correlations of the last stage's map with `edges`, `centre` and `box`."""

    @property
    def similarity(self) -> float:
        """The rank correlation with the true map once every weight is redrawn, the mean over the draws."""
        return float(np.mean(self.final))

    @property
    def verdict(self) -> Verdict:
        """Whether the scrambled model's map is no more like the true one than random maps are.

        If it is, it is named by what its last map resembles most, beyond chance.
        """
        if self.similarity <= self.threshold:
            return "depends"
        most = max(self.known, key=lambda one: self.known[one])
        return most if self.known[most] > self.threshold else "survives"

    @property
    def sentence(self) -> str:
        """The verdict with the numbers that it follows from."""
        return (
            f"With all weights redrawn the map's rank correlation with the true one is "
            f"{signed(self.similarity)}; random maps reach {signed(self.threshold)}. The map {VERDICTS[self.verdict]}."
        )

    @property
    def nbytes(self) -> int:
        return sum(stage.map.nbytes for stage in self.stages)

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        fields = ("share", "rank_correlation", "signed", "ssim")
        return {
            "target": self.label,
            "method": self.method,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "similarity": self.similarity,
            "threshold": self.threshold,
            "known": self.known,
            "stages": [{name: getattr(stage, name) for name in fields} for stage in self.stages],
        }


@own_modes()
def scramble(
    explanation: Result,
    index: int | str = 0,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Scramble:
    """Redraw the weights in six stages, the last layers first, and make the same map at each.

    On a copy of the model, so others are not disturbed; six passes, with the method's own cost. Held for the same
    weights, picture, method, layers and target. Raises ModelProblem for an empty map and a model without weights here;
    Cancelled between two stages.
    """
    shown = explanation._map(index)
    heatmap, evidence, options = shown.measured, explanation.evidence, explanation.options
    resident = evidence.resident
    if heatmap.state != "ok":
        raise ModelProblem(f"The map of {heatmap.target.label} is empty: there is nothing to compare it with.")
    if not resident.gradients:
        raise ModelProblem(f"{explanation.model.id} only answers: its weights cannot be scrambled here.")
    key = (
        *(resident.adapter.weights_sha256, explanation.image.sha256, heatmap.method, heatmap.layers, evidence.paths),
        *(heatmap.target, options.preprocessing, options.masks, options.head, options.vocabulary, options.examples),
        resident.adapter.spec.row,
    )
    if (found := _CACHE.get(key)) is not None:
        # Somebody else may have tested the same map.
        badge.note(resident.adapter.weights_sha256, heatmap.method, heatmap.layers, key, found.verdict)
        return found
    other = copy_resident(resident)
    groups = stages(other, evidence.tensor)
    total = sum(each.numel() for group in groups for each in group)
    made: list[Stage] = []
    final: list[float] = []
    done, steps = 0, STAGES + DRAWS - 1
    for draw in range(DRAWS):
        seed = controls.seed_of(resident.adapter.weights_sha256, draw)
        for number in redrawn(groups, seed):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            # Of further draws only the end counts.
            if draw and number < STAGES:
                continue
            if progress is not None:
                progress((len(made) + max(draw - 1, 0)) / steps, f"{min(len(made) + 1, STAGES)} of {STAGES} stages")
            done += 0 if draw else sum(each.numel() for each in groups[number - 1])
            stage = _stage(explanation, index, other, done / total, cancel)
            made += [] if draw else [stage]
            final += [stage.rank_correlation] if number == STAGES else []
    known = _make_references(explanation, index)
    last = {name: compare(made[-1].map, values).rank_correlation for name, values in known.items()}
    threshold = _of_random(explanation, heatmap)
    result = Scramble(heatmap.target.label, heatmap.method, tuple(made), tuple(final), threshold, last)
    _CACHE.put(key, result)
    badge.note(resident.adapter.weights_sha256, heatmap.method, heatmap.layers, key, result.verdict)
    return result


def _stage(
    explanation: Result, index: int | str, other: Resident, share: float, cancel: threading.Event | None
) -> Stage:
    heatmap, before, options = explanation._map(index).measured, explanation.evidence, explanation.options
    evidence = Evidence(other, ModelInput(before.tensor, before.geometry), before.layers)
    raw = METHODS[heatmap.method].run(evidence, [heatmap.target], Request(options.masks, options.head, None, cancel))
    values = coarse(np.nan_to_num(on_content(raw.maps, before.geometry)))
    alike = compare(heatmap.coarse, values)
    pairs = zip(heatmap.raw, (np.nan_to_num(one[0].float().cpu().numpy()) for one in raw.maps), strict=True)
    signed = float(np.mean([compare(_unit(one), _unit(two)).rank_correlation for one, two in pairs]))
    return Stage(share, values, alike.rank_correlation, signed, alike.ssim)


def _make_references(explanation: Result, index: int | str) -> dict[Verdict, Map]:
    """Return maps that know nothing of the weights: the picture's edges, its middle, and the box."""
    shown = explanation._map(index)
    heatmap, evidence = shown.measured, explanation.evidence
    left, top, right, bottom = evidence.geometry.content
    pixels = controls.pixels_of(evidence.tensor[:, :, top:bottom, left:right])
    known: dict[Verdict, Map] = {
        "edges": _unit(coarse(controls.edges(pixels))),
        "centre": _unit(coarse(controls.centre(heatmap.content.shape))),
    }
    if explanation.own(position := explanation.heatmaps.index(shown)):
        box = object_of(explanation, position).astype(np.float32)
        known["box"] = _unit(coarse(cv2.GaussianBlur(box, (0, 0), max(controls.CELL * max(box.shape), 1.0))))
    return known


def _of_random(explanation: Result, heatmap: Heatmap) -> float:
    """Return the rank correlation with the true map that few random maps as smooth as it are above."""
    grid = grid_of(explanation, heatmap)
    # Twice as fine as the map: what is finer repeats its neighbours.
    shape = (min(2 * grid[0], heatmap.coarse.shape[0]), min(2 * grid[1], heatmap.coarse.shape[1]))
    true = _reduce(heatmap.coarse, shape)
    seeds = (controls.seed_of(explanation.image.sha256, 1000 + number) for number in range(NULL))
    found = [compare(true, controls.random_map(shape, grid, seed)).rank_correlation for seed in seeds]
    return float(np.quantile(found, QUANTILE))


def _reduce(values: Map, shape: tuple[int, int]) -> Map:
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_AREA))


def _unit(values: Map) -> Map:
    """Bring signed values to 0..1; their ranks stay."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
