"""SmoothGradCAM++, and maps averaged with those of the mirrored picture.

>>> from sightglass import Explainer
>>> Explainer("demo-cls-s")("bus.jpg", top_k=1, method="smoothgradcam++", smooth="flips").recipe.smooth
'flips'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.methods.method import Method, RawMaps, Request, Run
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
            noisy = replace_input(evidence, ModelInput(evidence.tensor + noise.to(evidence.tensor), evidence.geometry))
            slopes.append(noisy.gradients(missing))
        for place, target in enumerate(missing):
            raws = evidence.raws[method.id, target] = []
            for layer, (before, last) in enumerate(zip(evidence.layered, noisy.layered, strict=True)):
                g = torch.stack([sample[layer][place].dense() for sample in slopes])
                squares, cubes = (g**2).mean(0), (g**3).mean(0)
                alpha = squares / (2 * squares + (cubes * before.values).sum((1, 2), keepdim=True) + 1e-8)
                weights = (alpha * g[-1].clamp_min(0)).sum((1, 2), keepdim=True)
                raws.append(torch.nansum(weights * last.values, 0))
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)


def replace_input(evidence: Evidence, model_input: ModelInput) -> Evidence:
    """Return the evidence of another input at the same layers, by one pass."""
    return Evidence(evidence.resident, model_input, evidence.layers)


def average_flips(
    compute: Run, evidence: Evidence, method: Method, targets: Sequence[Target], request: Request
) -> RawMaps:
    """Return the mean of a method's raw maps and those of the mirrored picture, mirrored back.

    Raises ModelProblem for a layer whose cells lie off an even grid.
    """
    geometry = evidence.geometry
    first = compute(evidence, method, targets, request)
    if uneven := next((path for path in first.layers if geometry.cell_offset(path)[1]), None):
        raise ModelProblem(f"The cells of {uneven} do not mirror evenly: choose another layer, or no flips.")
    (down, across), width = geometry.offset, geometry.input[1]
    flipped = replace(geometry, offset=(down, width - across - geometry.scale[1] * geometry.original[1]))
    mirrored = replace_input(evidence, ModelInput(evidence.tensor.flip(-1), flipped))
    second = compute(mirrored, method, targets, replace(request, partial=None))
    maps = [(raw + other.flip(-1)) / 2 for raw, other in zip(first.maps, second.maps, strict=True)]
    # What only one of the two maps is said to have is not known of their mean.
    return replace(first, maps=maps, notes=tuple(note for note in first.notes if note in second.notes))
