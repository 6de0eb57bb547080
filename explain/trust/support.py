"""Test whether a map matters to the answer (permutation test), and prove it by curves.

The null hypothesis: as much of the answer is in what maps of other pictures mark. Shares are hidden, and then alone
kept, as in Petsiuk et al. 2018 (RISE), https://arxiv.org/abs/1806.07421. `benchmarks verdict` measures error rates.

Hidden pixels are filled in one of three ways, only on the part of the model's input that is picture. Steps of deletion
and of insertion, of all maps, share batches of one model without gradients.
"""

from __future__ import annotations

import itertools
import math
import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sightglass.common.arguments import called_as
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.packaged import photographs
from sightglass.common.settings import MIB
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import Evidence, in_batches
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.heatmap import Heatmap, on_content
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.method import Request
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import Values
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import FILLINGS, Filling, controls
from sightglass.explain.trust.controls import ranking
from sightglass.explain.trust.proof import (
    ALIKE,
    CENTRE,
    EDGES,
    OTHERS,
    RANDOM,
    SHARES,
    STRONGEST,
    Blind,
    Curve,
    Effect,
    Proof,
    Support,
    Trace,
)
from sightglass.models.demo.pictures import CAPTIONED, pictures

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.explain.tasks.parts import Answers, ScoreOutputs
    from sightglass.models.adapter import Target
    from sightglass.models.spec import ModelSpec


def tested_map(explanation: Result, index: int | str, why: str) -> tuple[Heatmap, int]:
    """Return the map to test and its number; ModelProblem for an empty one, with `why`: what cannot be done with it."""
    selected = explanation._map(index)
    if selected.measured.state != "ok":
        raise ModelProblem(f"The map of {selected.measured.target.label} is empty: {why}.")
    return selected.measured, explanation.heatmaps.index(selected)


def map_again(explanation: Result, heatmap: Heatmap, evidence: Evidence, target: Target) -> Values:
    """Return a map made again from other evidence, (h, w) over the content."""
    options = explanation.options
    request = Request(options.masks, options.head, flips=options.smooth == "flips")
    raw = METHODS[heatmap.method].run(evidence, [target], request)
    return on_content(raw.maps, explanation.evidence.geometry, raw.layers, signed=heatmap.signed)


@own_modes()
def support(explanation: Result, index: int | str = 0) -> tuple[Support, Values | None]:
    """Hide and keep a map's strongest pixels, those of controls that look at no model, and those of other maps.

    The others are up to `OTHERS` maps of other pictures that mark other places; the strongest of them is returned, too,
    (h, w) over the content. Each takes two passes for each of `SHARES`. Of a box there is neither. Raises ModelProblem
    for an empty map and a target without a single answer; Cancelled within one batch of a stop.
    """
    heatmap, position = tested_map(explanation, index, "there is nothing to hide or keep first")
    perturber = Perturber(explanation, heatmap.target)
    boxed = explanation.own(position)
    box = boxed[0].box if len(boxed) == 1 else None
    place = (slice(None), slice(None)) if box is None else box_on_content(explanation.evidence.geometry, box)
    own = Shown("this map", heatmap.strength[place])
    blind, others = ([], []) if box else (_draw_blind(perturber.picture), _pick_others(explanation, position, own))
    start, floor, effects = _measure(perturber, [own, *blind, *others], heatmap.strength.shape, place)
    result = Support(
        label=heatmap.target.label,
        in_box=box is not None,
        start=start,
        floor=floor,
        own=next(effects),
        others=(),
        total=len(others),
        blind=tuple(Blind(next(effects), own.share_with(control)) for control in blind),
        measure=explanation.task.wording.measure,
        hides=METHODS[heatmap.method].hides,
    )
    # At least one, to draw beside the map.
    for other in effects:
        result = replace(result, others=(*result.others, other))
        if result.settled is not None:
            break
    if result.strongest is None:
        return result, None
    return result, others[result.others.index(result.strongest)].values


@dataclass(frozen=True, eq=False)
class Shown:
    """A map of the tested part of the content, and what it is called."""

    name: str
    values: Values
    """(h, w)."""

    @cached_property
    def strongest(self) -> NDArray[np.bool_]:
        """The strongest places on a grid of (SIDE, SIDE); none of a constant map."""
        places = ranking(np.asarray(cv2.resize(self.values, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
        return np.zeros((SIDE, SIDE), bool) if places is None else places < STRONGEST

    def share_with(self, other: Shown) -> float:
        """Return the share of the strongest places that another map's have in common."""
        return float((self.strongest & other.strongest).sum() / max(self.strongest.sum(), 1))


def _draw_blind(picture: Tensor) -> list[Shown]:
    """Return maps of a picture (1, C, h, w) that look at no model."""
    edges = controls.edges(picture[0].float().cpu().numpy())
    height, width = picture.shape[-2:]
    return [Shown(EDGES, edges), Shown(CENTRE, controls.centre((height, width)))]


def _pick_others(explanation: Result, index: int, own: Shown) -> list[Shown]:
    """Return other pictures' maps that mark other places, in the picture's own order."""
    pool = other_maps(explanation, index)
    order = np.random.default_rng(controls.seed_of(explanation.image.sha256, 0)).permutation(len(pool))
    size = own.values.shape[::-1]
    resized = (Shown(pool[i].name, cv2.resize(pool[i].values, size, interpolation=cv2.INTER_LINEAR)) for i in order)
    elsewhere = (other for other in resized if own.share_with(other) <= ALIKE)
    return list(itertools.islice(elsewhere, OTHERS))


def _measure(
    perturber: Perturber, maps: Sequence[Shown], shape: tuple[int, ...], place: tuple[slice, slice]
) -> tuple[float, float, Iterator[Effect]]:
    """Return the scores of the whole and the blurred place, and each map's effect.

    The effects are computed when they are asked for, a batch at a time.
    """
    fill = make_fill(perturber.picture, "blur")
    whole = np.ones((2, *shape), bool)
    whole[1][place] = False
    masks = itertools.chain(whole, (mask for each in maps for mask in _masks(each.values, shape, place)))
    visible = (torch.from_numpy(mask).to(perturber.picture.device) for mask in masks)
    scores = (float(score) for score, _, _ in perturber.predict(visible, fill))
    start, floor = itertools.islice(scores, 2)
    effects = (
        Effect(each.name, *(tuple(itertools.islice(scores, len(SHARES))) for _ in ("hidden", "kept"))) for each in maps
    )
    return start, floor, effects


def _masks(values: Values, shape: tuple[int, ...], place: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Return where a picture is visible with the map's strongest shares hidden, then kept, (2 * len(SHARES), h, w).

    `values`: the map at a `place` of the content, which has this `shape`.
    """
    masks, places = np.ones((2, len(SHARES), *shape), bool), ranking(values)
    for number, share in enumerate(SHARES):
        # A constant map neither hides nor keeps anything.
        strongest = np.zeros(values.shape, bool) if places is None else places < share
        for mask, visible in zip(masks[:, number], (~strongest, strongest), strict=True):
            mask[place] = visible
    return masks.reshape(-1, *shape)


SIDE = 64
"""Cells along each side of a stored map."""
PART = 0.6
"""Sides of the parts that are explained besides the whole, as shares of the photograph's."""
CORNERS = ((0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.4, 0.4), (0.2, 0.2), (0.2, 0.0))
"""Where those parts begin, by the photograph's width and height."""
RANDOM_MAPS = 24
"""Random maps, where there are no others."""


@dataclass(frozen=True, eq=False)
class OtherMap:
    """A map of another picture."""

    source: str
    """The SHA-256 of the photograph, or the scene, that it is of or of a part of."""
    name: str
    """`palace in china`: the model's own answer, and where."""
    values: Values
    """float32 (SIDE, SIDE) over the content of the model's input."""


_CACHE: ByteCache[tuple[OtherMap, ...]] = ByteCache(4 * MIB, lambda maps: sum(m.values.nbytes for m in maps))


def other_maps(explanation: Result, index: int) -> tuple[OtherMap, ...]:
    """Return maps of other pictures by the same method and layers.

    They explain the model's answers on bundled photographs and crops, or on drawn scenes for a demo model, always the
    same ones. Slow methods and models without layers get random maps of equal smoothness. Raises Cancelled.
    """
    heatmap, evidence, options = explanation.heatmaps[index].measured, explanation.evidence, explanation.options
    loaded = evidence.loaded
    if not loaded.gradients or not METHODS[heatmap.method].quick or options.vocabulary or options.examples:
        return _random(explanation, index)
    shared = replace(options, targets=(), top_k=1, classes=(), within="picture")
    # Networks with the same weights may compute something else.
    origin = weakref.ref(loaded.origin)
    key = (origin, loaded.adapter.weights_sha256, loaded.adapter.spec.row_hash, heatmap.method, evidence.paths, shared)
    maps = _CACHE.get_or_make(key, lambda: tuple(_explain_bundled(explanation, heatmap.method, shared)))
    return tuple(other for other in maps if other.source != explanation.image.sha256) or _random(explanation, index)


def _random(explanation: Result, index: int) -> tuple[OtherMap, ...]:
    """Return random maps as smooth as one."""
    heatmap, sha256 = explanation.heatmaps[index].measured, explanation.image.sha256
    maps = controls.random_maps(heatmap, sha256, (SIDE, SIDE), range(RANDOM_MAPS))
    return tuple(OtherMap("", f"{RANDOM} {number}", values) for number, values in enumerate(maps, 1))


def _explain_bundled(explanation: Result, method: str, options: Options) -> Iterator[OtherMap]:
    loaded, decoder = explanation.evidence.loaded, explanation.task.decoder
    layers = explanation.evidence.layers
    for name, source, image in _pictures(loaded.adapter.spec):
        try:
            evidence = Evidence(loaded, loaded.prepare(image, options.preprocessing), layers)
            targets = decoder.resolve(options, decoder.decode(evidence, options), evidence)
            raw = METHODS[method].run(evidence, targets) if targets else None
        except Problem:
            # Pictures of the wrong kind have no map.
            continue
        for place, target in enumerate(targets):
            assert raw is not None
            values = on_content([layer[place : place + 1] for layer in raw.maps], evidence.geometry, raw.layers)
            if np.isfinite(values).all() and values.min() < values.max():
                small = cv2.resize(np.ascontiguousarray(values), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                yield OtherMap(source, f"{target.label} in {name}", np.asarray(small))


def _pictures(spec: ModelSpec) -> Iterator[tuple[str, str, Image]]:
    """Yield pictures for a model, with name and source SHA-256; drawn scenes for a demo model."""
    if spec.example:
        kind = "captioned" if spec.example == CAPTIONED else task_of(spec).drawn
        for number, scene in enumerate(map(Image.open, pictures(kind)), 1):
            yield f"scene {number}", scene.sha256, scene
        return
    for name, path in photographs().items():
        whole = Image.open(path)
        yield name, whole.sha256, whole
        for x, y in CORNERS:
            sides = ((y, whole.height), (x, whole.width))
            part = tuple(slice(round(start * side), round((start + PART) * side)) for start, side in sides)
            yield f"a part of {name}", whole.sha256, Image.open(whole.pixels[part])


FEWER = 10
"""Steps of the strongest control, and of a detector's random maps, whose passes are slow."""
AGAIN = {False: 10, True: 4}
"""Steps of the map's curve for a further filling, of detectors (True) and of other models."""


@own_modes()
@called_as("prove(index, steps=..., fillings=...)")
def prove(
    explanation: Result,
    index: int | str = 0,
    *,
    steps: int = 20,
    fillings: Sequence[Filling] = ("blur", "mean"),
    progress: Progress = lambda *_: None,
    cancel: threading.Event | None = None,
) -> Proof:
    """Measure the answer with the hottest shares hidden, and kept.

    `steps`: equal shares for the map; controls and further fillings have fewer (`FEWER`, `AGAIN`). `fillings`: values
    of hidden pixels (`FILLINGS`), the main one first, which alone has controls. Raises ModelProblem for a constant map,
    a target without a single answer, and an unknown filling; Cancelled within one batch of a stop.
    """
    if unknown := [filling for filling in fillings if filling not in FILLINGS]:
        raise ModelProblem(f"There is no filling called {unknown[0]}: use one of {', '.join(FILLINGS)}.")
    if not 2 <= steps <= 100:
        raise ModelProblem(f"A proof takes 2 to 100 steps, and not {steps}.")
    heatmap, position = tested_map(explanation, index, "there is nothing to hide or keep first")
    if ranking(heatmap.strength) is None:
        raise ModelProblem(f"The map of {heatmap.target.label} is even: there is nothing to hide or keep first.")
    perturber = Perturber(explanation, heatmap.target)
    first, *others = dict.fromkeys(fillings)
    detects, curves = explanation.task.explains("detection"), list[Curve]()

    def follow(name: str, maps: Sequence[Values], filling: Filling, most: int = steps) -> None:
        ranked = [places for places in map(ranking, maps) if places is not None]
        # Curves of fewer steps are at shares that the map's has too.
        for curve in perturber.curves(name, ranked, filling, most if not steps % most else steps):
            curves.append(curve)
            progress(len(curves) / total, f"{len(curves)} of {total} maps")

    with stopped_by(cancel):
        result, strongest = support(explanation, position)
        total = 1 + (strongest is not None) + controls.SEEDS + len(others)
        follow("map", [heatmap.strength], first)
        if strongest is not None:
            follow("strongest", [strongest], first, FEWER)
        sha256, shape = explanation.image.sha256, heatmap.content.shape
        random = [*controls.random_maps(heatmap, sha256, shape, range(controls.SEEDS))]
        follow("random", random, first, FEWER if detects else steps)
        for filling in others:
            follow("map", [heatmap.strength], filling, AGAIN[detects])
    start = float(curves[0].deletion.score[0])
    return Proof(heatmap.target.label, heatmap.target.part, tuple(curves), (first, *others), start, result)


BATCH_CPU, BATCH_GPU = 4, 64
"""Pictures in one pass. On a CPU 8 took up to a third longer each, 2 a quarter, and others wait meanwhile."""


class Perturber:
    """Runs a model on partly hidden versions of one picture."""

    def __init__(self, explanation: Result, target: Target) -> None:
        self._evidence = evidence = explanation.evidence
        self.score: ScoreOutputs = explanation.task.scorer.follow(evidence, target, explanation.options)
        self._adapter, self._lock = evidence.loaded.aside()
        left, top, right, bottom = evidence.geometry.content
        self.picture: Tensor = evidence.tensor[..., top:bottom, left:right].detach()
        """(1, C, h, w): the part of the model's input that is picture."""
        adapter, on_cpu = evidence.loaded.adapter, evidence.loaded.device.type == "cpu"
        most = adapter.batch or (BATCH_CPU if on_cpu else BATCH_GPU)
        self._batch = evidence.loaded.pictures_in_a_pass(most, evidence.tensor)
        self._ends: dict[Filling, tuple[Tensor | None, Answers]] = {}

    def curves(self, name: str, maps: Sequence[Values], filling: Filling, steps: int) -> Iterator[Curve]:
        """Yield the curve of each of a name's maps.

        `maps`: the order in which each hides pixels, float32 (h, w) over the content of the model's input: the share of
        pixels that are hidden before each one (`controls.ranking`). Raises Cancelled within one batch of a stop.
        """
        if filling not in self._ends:
            fill = make_fill(self.picture, filling)
            whole = torch.ones(self.picture.shape[-2:], dtype=torch.bool, device=self.picture.device)
            self._ends[filling] = fill, self.predict_masked(torch.stack([whole, ~whole]), fill)
        fill, ends = self._ends[filling]
        ways = [(torch.from_numpy(places).to(self.picture.device), keeps) for places in maps for keeps in (False, True)]
        shares = [step / steps for step in range(1, steps)]
        masks = (places < share if keeps else places >= share for places, keeps in ways for share in shares)
        answers = self.predict(masks, fill)
        traces = (_trace(ends, itertools.islice(answers, steps - 1), keeps=keeps) for _, keeps in ways)
        for number, (deletion, insertion) in enumerate(zip(traces, traces, strict=True)):
            yield Curve(name, number, filling, deletion, insertion)

    def predict(self, visible: Iterable[Tensor], fill: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (score, value, stays), each (), for each partly visible picture, bool (h, w), in batches."""
        for answers in in_batches(visible, self._batch, lambda part: self.predict_masked(torch.stack(part), fill)):
            yield from zip(answers.score, answers.value, answers.stays, strict=True)

    def predict_masked(self, visible: Tensor, fill: Tensor | None) -> Answers:
        """Return the answers to partly visible pictures, bool (B, h, w)."""
        visible = visible[:, None]
        pictures = impute(self.picture, visible) if fill is None else torch.where(visible, self.picture, fill)
        with torch.no_grad():
            answers = self.score(self._evidence.run_with(pictures, self._adapter, self._lock))
        self._adapter.require_finite(answers.score, picture="this picture with a part hidden")
        return answers


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
NOISE = 0.01
"""Standard deviation of ROAD's noise, in units of the picture's own standard deviation."""


@own_modes()
def blur(picture: Tensor) -> Tensor:
    """Blur a picture (1, C, h, w) heavily, with repeated borders."""
    sigma = max(SIGMA * max(picture.shape[-2:]), 1.0)
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
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

    `visible`: (b, 1, h, w) bool. A hidden pixel is a weighted mean of its neighbours, hidden ones included: the linear
    equations of ROAD (Rong et al. 2022, https://arxiv.org/abs/2202.00449), as pytorch-grad-cam states them. Where
    nothing is shown, it is the mean colour.
    """
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
    from scipy.sparse.linalg import spsolve

    noise = torch.randn(picture.shape[1:], generator=torch.Generator().manual_seed(0)).to(picture)
    values = picture[0].cpu().numpy()
    out = picture.mean((2, 3), keepdim=True).repeat(len(visible), 1, *picture.shape[2:])
    for filled, mask in zip(out, visible[:, 0].cpu().numpy(), strict=True):
        if mask.any() and not mask.all():
            system, known = NoisyLinearImputer.setup_sparse_system(mask, values, neighbors_weights)
            solved = spsolve(system.tocsc(), known).reshape(known.shape)
            filled[:, torch.from_numpy(~mask).to(filled.device)] = torch.from_numpy(solved.T).to(filled)
            filled += noise * picture.std() * NOISE
    return torch.where(visible, picture, out)
