"""Grad-CAM's family: a formula per method; SmoothGradCAM++, maps averaged over mirrored pictures, and enlarged ones.

Notation: A_c is channel c of one layer's activations, g_c the gradient of the target's score with respect to it, both
(h, w). Every method takes an Activation `a` (C, h, w) and a Gradient `g` (C, h', w' in a window, 0 elsewhere), and
returns one signed float map (h, w), neither clipped nor scaled. Where the gradient is 0 nothing is multiplied: a
detection's is 0 nearly everywhere. Equations are those of the papers that `METHODS` names.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sightglass.explain.backward.gradient import Activation, Gradient, projection
from sightglass.explain.evidence.evidence import MAX_WINDOWED, Evidence, run_again
from sightglass.explain.evidence.recorded import replayed
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry, ModelInput, picture_cells
from sightglass.models.layers import WHOLE

SAMPLES = 4
"""Noisy pictures of SmoothGradCAM++: torch-cam's own number."""
NOISE = 0.3
"""Standard deviation of their noise, as a share of the input's: torch-cam's own, for an input whose deviation is 1."""


def _weigh(weights: Tensor, a: Activation) -> Tensor:
    """Return sum_c weights[c] * A_c, (h, w)."""
    return torch.einsum("c,chw->hw", weights, a.values)


def gradcam(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM's map: sum_c w_c A_c with w_c = mean over all places of g_c (equation 1, without its ReLU)."""
    return _weigh(g.values.sum((1, 2)) / (g.shape[0] * g.shape[1]), a)


def gradcam_plus_plus(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM++'s map: sum_c w_c A_c with w_c = sum over places of alpha_c relu(g_c); small objects count too.

    alpha_c = g_c^2 / (2 g_c^2 + sum(A_c) g_c^3 + 1e-6): equation 19, but for the 1e-6, which pytorch-grad-cam adds. The
    map equals its, and not the paper's where g_c^2 is not far above 1e-6.
    """
    # Where g is not positive its product with relu(g) is 0.
    positive = g.values.clamp_min(0)
    below = (positive * a.total[:, None, None]).add_(2).mul_(positive).mul_(positive).add_(1e-6)
    return _weigh(positive.pow_(3).div_(below).sum((1, 2)), a)


def hirescam(a: Activation, g: Gradient) -> Tensor:
    """Return HiResCAM's map: sum_c g_c A_c, place by place; faithful where only linear layers follow."""
    shares = g.values * g.part(a.values)
    heatmap, sizes = shares.sum(0), torch.linalg.vector_norm(shares, 1, 0)
    # They cancel before a norm of each place's channels, and a map of their rounding would be noise.
    return g.placed(heatmap * (heatmap.abs().max() > torch.finfo(shares.dtype).eps * sizes.max()))


def xgradcam(a: Activation, g: Gradient) -> Tensor:
    """Return XGradCAM's map: sum_c w_c A_c with w_c = sum(g_c A_c) / (sum(A_c) + 1e-7)."""
    return _weigh((g.values * g.part(a.values)).sum((1, 2)) / (a.total + 1e-7), a)


def layercam(a: Activation, g: Gradient) -> Tensor:
    """Return LayerCAM's map: sum_c relu(g_c) A_c, place by place; good in early layers."""
    return g.placed(g.values.clamp_min(0).mul_(g.part(a.values)).sum(0))


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenCAM's map: the activations A (h * w, C), centred, times their first right singular vector.

    The same for every target; `g` is not read.
    """
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenGradCAM's map: EigenCAM's projection of g * A instead of A (pytorch-grad-cam)."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)


def randomcam(a: Activation, g: Gradient) -> Tensor:
    """Return RandomCAM's map: sum_c w_c A_c with w_c drawn from -1 to 1, the same each time (pytorch-grad-cam).

    A control; `g` is not read.
    """
    return _weigh(torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, len(a.values))).to(a.values), a)


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run a quick method, or SmoothGradCAM++, at the layers of the evidence."""
    if method.family == "noise":
        return smooth_gradcam(evidence, method, targets, request)
    compute(evidence, [method], targets)
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def compute(evidence: Evidence, methods: Sequence[Method], targets: Sequence[Target]) -> None:
    """Compute and cache the maps of several methods, with shared gradients.

    A class of several boxes gets the sum of its boxes' maps, scaled to one peak. The map of the summed scores would
    show mostly the dominant box: one of the four persons of bus.jpg.
    """
    by_box = {target: _split_boxes(target) for target in targets}
    by_gradient = [method for method in methods if method.gradients]
    _fill(evidence, by_gradient, [box for target in targets for box in by_box[target]])
    _fill(evidence, [method for method in methods if not method.gradients], targets)
    for target, boxes in by_box.items():
        for method in by_gradient:
            if (method.id, target) not in evidence.raws:
                layers = zip(*(evidence.raws[method.id, box] for box in boxes), strict=True)
                evidence.raws[method.id, target] = [
                    add_evenly(torch.stack(maps), evidence.geometry, path)
                    for maps, path in zip(layers, evidence.paths, strict=True)
                ]


def add_evenly(maps: Tensor, geometry: Geometry, path: str = "") -> Tensor:
    """Add up signed maps (k, h, w) of a layer, each scaled to their mean peak.

    A map without a positive value has no peak, and is left out where another has one.
    """
    h, w = maps.shape[1:]
    y0, y1, x0, x1 = picture_cells(geometry, h, w, geometry.cell_cover(path, h, w))
    peaks = maps[:, y0:y1, x0:x1].amax((1, 2), keepdim=True)
    positive = peaks > 0
    if not bool(positive.any()):
        return maps.sum(0)
    # What is not a number stays so, times 0 too: the map is then shown as broken.
    return (maps * torch.where(positive, peaks[positive].mean() / peaks, 0)).sum(0)


def _split_boxes(target: Target) -> list[Target]:
    """Split a class's target into one target per box."""
    if target.index is None or not 1 < len(target.anchors) <= MAX_WINDOWED:
        return [target]
    return [replace(target, anchors=(anchor,)) for anchor in target.anchors]


class _Maps:
    """The maps of targets by methods, as a function of activations and gradients."""

    def __init__(self, evidence: Evidence, methods: Mapping[Target, Sequence[Method]]) -> None:
        """Take the methods of each target, and compute the gradients that they read."""
        self._layered = evidence.layered
        self._gradients = _gradients_for(evidence, methods)
        self._methods = [*methods.values()]
        self._both_ways = [target.both_ways or target.part == "signed" for target in methods]
        self.values = [a.values for a in self._layered] + [g.values for row in self._gradients for g in row]
        """The tensors that it is a function of."""

    @property
    def key(self) -> Hashable:
        """What the maps depend on besides."""
        windows = tuple((g.top, g.left, g.shape) for row in self._gradients for g in row)
        names = tuple(tuple(method.id for method in methods) for methods in self._methods)
        return tuple(self._both_ways), names, windows

    def __call__(self, tensors: Sequence[Tensor]) -> list[list[list[Tensor]]]:
        """Return the maps by target, method and layer, of `values` or other such tensors."""
        remaining = iter(tensors)
        activations = [Activation(next(remaining)) for _ in self._layered]
        layered = self._layered if tensors is self.values else activations
        by_target: list[list[list[Tensor]]] = []
        for both_ways, methods, row in zip(self._both_ways, self._methods, self._gradients, strict=True):
            # Copies, so that their cached values are freed with them.
            gradients = [replace(g, values=next(remaining)) for g in row]
            pairs = [*zip(layered, gradients, strict=True)]
            by_target.append([[_signed(method, both_ways, a, g) for a, g in pairs] for method in methods])
        return by_target


def _fill(evidence: Evidence, methods: Sequence[Method], targets: Sequence[Target]) -> None:
    """Compute and cache the maps that are missing, of each target alone."""
    missing: dict[Target, list[Method]] = {}
    for target in dict.fromkeys(targets):
        lacking = [method for method in methods if (method.id, target) not in evidence.raws]
        if lacking:
            missing[target] = lacking
    if not missing:
        return
    maps = _Maps(evidence, missing)
    # The others search for a vector, or draw numbers.
    plain = all(method.family == "gradient" for lacking in missing.values() for method in lacking)
    with torch.no_grad():
        by_target = replayed(maps.key, maps, maps.values) if plain else maps(maps.values)
    for (target, lacking), by_method in zip(missing.items(), by_target, strict=True):
        evidence.raws |= {(method.id, target): raws for method, raws in zip(lacking, by_method, strict=True)}


def _gradients_for(evidence: Evidence, missing: Mapping[Target, Sequence[Method]]) -> list[list[Gradient]]:
    """Return each target's gradient at each layer, or a placeholder where its methods read none."""
    needed = [target for target, methods in missing.items() if any(method.gradients for method in methods)]
    layers = evidence.gradients(needed) if needed else []
    gradients = dict(zip(needed, zip(*layers, strict=True), strict=True))
    placeholders = [Gradient.from_values(a[0, :, :1, :1]) for a in evidence.activations]
    return [[*gradients.get(target, placeholders)] for target in missing]


def _signed(method: Method, both_ways: bool, a: Activation, g: Gradient) -> Tensor:
    """Return a map, `both_ways` less that of the negated score."""
    heatmap = method.compute(a, g)
    # A linear method's map of the negated score is its negated map already.
    if both_ways and method.signed and not method.linear:
        return heatmap - method.compute(a, replace(g, values=-g.values))
    return heatmap


def smooth_gradcam(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run SmoothGradCAM++, as torch-cam does: sum_c w_c A_c with w_c = sum over places of alpha_c relu(g_c).

    alpha_c = m2_c / (2 m2_c + sum over places of m3_c A'_c + 1e-8), with the means m2 and m3 of g_c^2 and g_c^3 over
    noisy pictures and the activations A' of the picture itself; A and g are those of the last noisy picture.
    """
    if missing := evidence.missing(method.id, targets):
        generator, deviation = torch.Generator().manual_seed(0), NOISE * float(evidence.tensor.std())
        slopes = []
        for number in range(SAMPLES):
            request.report(number, SAMPLES, f"{method.name}, step {number} of {SAMPLES}")
            noise = deviation * torch.randn(evidence.tensor.shape, generator=generator)
            tensor = evidence.tensor + noise.to(evidence.tensor)
            with run_again("once noise is added"):
                model_input = ModelInput(tensor, evidence.geometry)
                noisy = Evidence(evidence.loaded, model_input, evidence.layers, placed=True)
            slopes.append(noisy.gradients(missing))
        for place, target in enumerate(missing):
            raws = evidence.raws[method.id, target] = []
            for layer, (before, last) in enumerate(zip(evidence.layered, noisy.layered, strict=True)):
                g = torch.stack([sample[layer][place].dense() for sample in slopes])
                squares, cubes = (g**2).mean(0), (g**3).mean(0)
                alpha = squares / (2 * squares + (cubes * before.values).sum((1, 2), keepdim=True) + 1e-8)
                raws.append(((alpha * g[-1].clamp_min(0)).sum((1, 2), keepdim=True) * last.values).sum(0))
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def average_flips(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Return the mean of a method's raw maps and those of the mirrored picture, mirrored back."""
    geometry = evidence.geometry
    (down, across), width = geometry.offset, geometry.input[1]
    flipped = replace(geometry, offset=(down, width - across - geometry.scale[1] * geometry.original[1]))
    with run_again("on the mirrored picture"):
        mirrored = Evidence(evidence.loaded, ModelInput(evidence.tensor.flip(-1), flipped), evidence.layers)

    def report_half(begin: float, share: float, text: str) -> None:
        if request.progress is not None:
            request.progress(begin + share / 2, text)

    alone = replace(request, progress=partial(report_half, 0), flips=False)
    first = method.run(evidence, targets, alone)
    second = method.run(mirrored, targets, replace(alone, progress=partial(report_half, 0.5), partial=None))
    pairs = zip(first.maps, second.maps, first.layers, strict=True)
    maps = [(raw + _mirror(other, geometry.cell_cover(path, *raw.shape[1:])[1])) / 2 for raw, other, path in pairs]
    # What only one of the two maps is said to have is not known of their mean.
    notes = tuple(note for note in first.notes if note in second.notes)
    return replace(first, maps=maps, notes=notes, candidates=())


def _mirror(maps: Tensor, line: tuple[float, float]) -> Tensor:
    """Mirror maps (k, h, w) whose columns lie at a line (`Cover`) of the input, onto the same cells."""
    (scale, start), count = line, maps.shape[-1]
    # A mirrored cell lies as far off to the other side.
    moved = (1 - scale - 2 * start) * count
    places = (torch.arange(count, device=maps.device) + moved).clamp(0, count - 1)
    low, mirrored = places.long(), maps.flip(-1)
    return torch.lerp(mirrored[..., low], mirrored[..., places.ceil().long()], (places - low).to(maps))


def upsample(raw: Tensor, geometry: Geometry, path: str) -> Tensor:
    """Upsample maps (k, h, w) of a layer to the input, (k, height, width)."""
    (h, w), (height, width) = raw.shape[-2:], geometry.input
    cover = geometry.cell_cover(path, h, w)
    if cover == WHOLE:
        return F.interpolate(raw[None], (height, width), mode="bilinear", align_corners=False)[0]
    down, across = cover
    return bilinear(h, height, raw.device, down) @ raw @ bilinear(w, width, raw.device, across).T


@lru_cache(maxsize=64)
def bilinear(cells: int, pixels: int, device: torch.device, line: tuple[float, float] = (1.0, 0.0)) -> Tensor:
    """Return the bilinear (pixels, cells) matrix of a row of cells at a line (`Cover`) of the pixels.

    Beyond the ends every pixel has the value of the last cell; more than a cell from its middle it has 0.
    """
    scale, start = line
    if line != (1.0, 0.0):
        at = (torch.arange(pixels) + 0.5) * cells / pixels * scale - 0.5 + start * cells
        shares = (1 - (at.clamp(0, cells - 1)[:, None] - torch.arange(cells)).abs()).clamp_min(0)
        shares[(at < -1) | (at > cells)] = 0
        return shares.to(device)
    unit = torch.eye(cells, device=device)[None]  # (1, cells, cells)
    return F.interpolate(unit, pixels, mode="linear", align_corners=False)[0].T.contiguous()
