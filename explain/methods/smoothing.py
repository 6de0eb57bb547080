"""SmoothGradCAM++, and maps averaged with those of the mirrored picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.geometry import ModelInput

SAMPLES = 4
"""Noisy pictures of SmoothGradCAM++: torch-cam's own number."""
NOISE = 0.3
"""Standard deviation of their noise, as a share of the input's: torch-cam's own, for an input whose deviation is 1."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request, *, seed: int = 0) -> RawMaps:
    """Run SmoothGradCAM++, as torch-cam does: sum_c w_c A_c with w_c = sum over places of alpha_c relu(g_c).

    alpha_c = m2_c / (2 m2_c + sum over places of m3_c A'_c + 1e-8), with the means m2 and m3 of g_c^2 and g_c^3 over
    noisy pictures and the activations A' of the picture itself; A and g are those of the last noisy picture. Omeiza et
    al. 2019, https://arxiv.org/abs/1908.01224.
    """
    if missing := evidence.missing(method.id, targets):
        generator, deviation = torch.Generator().manual_seed(seed), NOISE * float(evidence.tensor.std())
        slopes = []
        for number in range(SAMPLES):
            request.report(number, SAMPLES, f"{method.name}, step {number} of {SAMPLES}")
            noise = deviation * torch.randn(evidence.tensor.shape, generator=generator)
            tensor = evidence.tensor + noise.to(evidence.tensor)
            noisy = Evidence(evidence.loaded, ModelInput(tensor, evidence.geometry), evidence.layers)
            slopes.append(noisy.gradients(missing))
        for place, target in enumerate(missing):
            raws = evidence.raws[method.id, target] = []
            for layer, (before, last) in enumerate(zip(evidence.layered, noisy.layered, strict=True)):
                g = torch.stack([sample[layer][place].dense() for sample in slopes])
                squares, cubes = (g**2).mean(0), (g**3).mean(0)
                alpha = squares / (2 * squares + (cubes * before.values).sum((1, 2), keepdim=True) + 1e-8)
                weights = (alpha * g[-1].clamp_min(0)).sum((1, 2), keepdim=True)
                raws.append((weights * last.values).sum(0))
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def average_flips(
    compute: Callable[..., RawMaps], evidence: Evidence, method: Method, targets: Sequence[Target], request: Request
) -> RawMaps:
    """Return the mean of a method's raw maps and those of the mirrored picture, mirrored back."""
    geometry = evidence.geometry
    (down, across), width = geometry.offset, geometry.input[1]
    flipped = replace(geometry, offset=(down, width - across - geometry.scale[1] * geometry.original[1]))
    mirrored = Evidence(evidence.loaded, ModelInput(evidence.tensor.flip(-1), flipped), evidence.layers)
    report = request.progress or (lambda *_: None)
    halves = [partial(lambda done, share, words: report(done + share / 2, words), done) for done in (0, 0.5)]
    first = compute(evidence, method, targets, replace(request, progress=halves[0]))
    second = compute(mirrored, method, targets, replace(request, progress=halves[1], partial=None))
    pairs = zip(first.maps, second.maps, first.layers, strict=True)
    maps = [(raw + _mirror(other, geometry.cell_offset(path)[1])) / 2 for raw, other, path in pairs]
    # What only one of the two maps is said to have is not known of their mean.
    return replace(first, maps=maps, notes=tuple(note for note in first.notes if note in second.notes))


def _mirror(maps: Tensor, offset: float) -> Tensor:
    """Mirror maps (k, h, w) whose cells lie `offset` cells off an even grid, onto the same cells."""
    # A mirrored cell lies as far off to the other side.
    places = (torch.arange(maps.shape[-1], device=maps.device) + 2 * offset).clamp(0, maps.shape[-1] - 1)
    low, mirrored = places.long(), maps.flip(-1)
    return torch.lerp(mirrored[..., low], mirrored[..., places.ceil().long()], (places - low).to(maps))
