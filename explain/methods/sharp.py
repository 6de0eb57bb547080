"""Sharp: Integrated Gradients from a blurred picture, weighed by the model's usual CAM.

Notation: x is the model's input (C, h, w), x' the same with its picture blurred, f the target's `lead`. Few steps are
enough, as x' has the colours of x: the line between them is short.

    edges = relu(sum over channels of (x - x') * the mean gradient of f at x' + (i + 1/2) / 4 * (x - x'), i = 0 to 3)
    edges = edges smoothed, scaled to 1
    sharp = edges * (0.1 + CAM / its maximum)

CAM is the model's usual method if that is of GradCAM's family, and of boxes GradCAM itself. `METHODS` names the papers.
The four passes, and their gradients, are on a second set of modules over the model's weights, or on a caller's module
itself, which nobody else runs meanwhile.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from sightglass.common.work.progress import check
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.evidence import Evidence, in_batches
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.explain.methods.pixel_gradients import at_pixels
from sightglass.explain.methods.scalars import Passes, Scalars, pictures_in_a_pass
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Adapter, Target
from sightglass.models.adapters.detector import Detections
from sightglass.models.geometry import Geometry

STEPS = 4
"""Pictures between the blurred one and the picture; eight find no more causes."""
BLURRED = 0.1
"""Standard deviation of the first picture's blur, as a share of the picture's longer side."""
SMOOTHED = 0.03
"""That of the gradients' map, as a share of the same."""
LEFT = 0.1
"""What is left of the gradients' map where the CAM is 0."""
ROUNDING = 1e-5
"""Least difference from the blurred picture that counts, as a share of the input's largest value."""
REACH = 4.0
"""Standard deviations after which a blur ends."""
WEIGHED = "Sharp: Integrated Gradients from a blurred picture, weighed by {}."
ALONE = "Sharp: Integrated Gradients from a blurred picture, smoothed; no layer is known that could weigh them."
EDGES, SHARP = "sharp/edges", "sharp"
"""Names of the raw maps in an Evidence."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Compute the targets' sharp maps; raise Cancelled within one pass of a stop."""
    fill(evidence, targets, Passes(request, method.name, STEPS))
    note = WEIGHED.format(cam_of(evidence).name) if evidence.layers else ALONE
    return RawMaps(evidence.stacked(SHARP, targets), ("input",), (note,))


def fill(evidence: Evidence, targets: Sequence[Target], report: Callable[[int], None]) -> None:
    """Compute and cache the targets' maps `EDGES` and `SHARP`.

    `report` is called with the number of pictures before each pass.
    """
    missing = evidence.missing(SHARP, targets)
    if not missing:
        return
    edges = integrate_gradients(evidence, missing, report)
    sharp = edges
    if evidence.layers:
        cams = scaled(at_pixels(evidence, cam_of(evidence).id, missing), evidence.geometry)
        sharp = edges * (LEFT + cams)
    for place, target in enumerate(missing):
        evidence.raws[EDGES, target] = [edges[place]]
        evidence.raws[SHARP, target] = [sharp[place]]


def cam_of(evidence: Evidence) -> Method:
    """Return the method that weighs the gradients: the model's usual CAM, of boxes GradCAM."""
    usual = METHODS[evidence.loaded.adapter.spec.method]
    # A box's gradients are at the box already: by HiResCAM fewer of the maps were hottest on what decides.
    if usual.family != "gradient" or isinstance(evidence.outputs, Detections):
        return METHODS["gradcam"]
    return usual


def integrate_gradients(evidence: Evidence, targets: Sequence[Target], report: Callable[[int], None]) -> Tensor:
    """Return Integrated Gradients from the blurred picture, (k, height, width).

    They are smoothed and scaled to 0..1.
    """
    end = evidence.tensor.detach().float()
    start = blurred_input(evidence)
    difference = end - start
    # What is even stays so but for the rounding of its blur.
    difference = difference * (difference.abs() > ROUNDING * end.abs().amax())
    shares = (torch.arange(STEPS, device=end.device) + 0.5) / STEPS
    line = start + shares[:, None, None, None] * difference  # (STEPS, C, height, width)
    with evidence.loaded.workshop(()) as adapter:
        slopes = _sum_gradients(evidence, adapter, targets, line, report) / STEPS
    shown = torch.relu((difference * slopes).sum(1))  # (k, height, width)
    return scaled(smooth(shown, evidence.geometry, SMOOTHED), evidence.geometry)


def _sum_gradients(
    evidence: Evidence, adapter: Adapter, targets: Sequence[Target], line: Tensor, report: Callable[[int], None]
) -> Tensor:
    """Return the gradient of each target's lead, (k, C, height, width).

    It is the sum over the pictures of `line`, (n, C, height, width).
    """
    scalars = Scalars(adapter, targets, report, evidence.tensor, partial(lead, adapter))

    def differentiate(pictures: list[Tensor]) -> Tensor:
        leaf = torch.stack(pictures).requires_grad_()
        with torch.enable_grad(), exact(evidence.loaded.device):
            return torch.stack([_gradient(row, leaf) for row in scalars.of_each(leaf)])

    size = min(pictures_in_a_pass(evidence, adapter, target) for target in targets)
    return torch.stack([*in_batches(line, size, differentiate)]).sum(0)


def _gradient(scalars: Tensor, pictures: Tensor) -> Tensor:
    """Return the gradient of scalars (B,), summed over their pictures: (C, h, w)."""
    check()
    # Other targets' scalars are of the same pass.
    (slopes,) = torch.autograd.grad(scalars.sum(), pictures, retain_graph=True)
    return slopes.sum(0)


def lead(adapter: Adapter, outputs: Any, target: Target) -> Tensor:
    """Return a class's logit less the largest other one, shape ().

    Of answers that do not exclude each other it is the target's scalar.
    """
    is_class = task_of(adapter).competes and target.part in ("class", "contrast")
    if not is_class or target.index is None:
        return adapter.scalar(outputs, target)
    logits = adapter.class_logits(outputs)[0]
    if len(logits) < 2:
        return adapter.scalar(outputs, target)
    return logits[target.index] - logits[rivals(logits, target.index)].amax()


def rivals(logits: Tensor, index: int) -> Tensor:
    """Return which of the logits (n,) are other classes', bool (n,)."""
    return torch.arange(len(logits), device=logits.device) != index


def blurred_input(evidence: Evidence) -> Tensor:
    """Return the input with its picture blurred by `BLURRED`; bars stay.

    It is float32 (1, C, height, width).
    """
    tensor = evidence.tensor.detach().float()
    return smooth(tensor[0], evidence.geometry, BLURRED)[None]


def smooth(maps: Tensor, geometry: Geometry, share: float) -> Tensor:
    """Blur the content of maps (k, height, width), reflected at its sides.

    `share`: the standard deviation by the content's longer side.
    """
    left, top, right, bottom = geometry.content
    height, width = bottom - top, right - left
    sigma = share * max(height, width)
    down = _blur_matrix(height, sigma, maps.device)
    across = _blur_matrix(width, sigma, maps.device)
    blurred = maps.clone()
    blurred[:, top:bottom, left:right] = down @ maps[:, top:bottom, left:right] @ across.T
    return blurred


@lru_cache(maxsize=16)
def _blur_matrix(pixels: int, sigma: float, device: torch.device) -> Tensor:
    """Return the (pixels, pixels) matrix of a row's blur, mirrored at its ends."""
    reach = round(REACH * sigma)
    offsets = torch.arange(-reach, reach + 1)
    shares = (-(offsets.double() ** 2) / (2 * sigma**2)).exp()
    # Mirrors at both ends repeat a row every second length.
    places = (torch.arange(pixels)[:, None] + offsets) % (2 * pixels)
    places = torch.where(places < pixels, places, 2 * pixels - 1 - places)
    matrix = torch.zeros(pixels, pixels, dtype=torch.float64)
    matrix.scatter_add_(1, places, (shares / shares.sum()).expand(pixels, -1))
    return matrix.float().to(device)


def scaled(maps: Tensor, geometry: Geometry) -> Tensor:
    """Return maps (k, height, width), each divided by its maximum in the content."""
    left, top, right, bottom = geometry.content
    highest = maps[:, top:bottom, left:right].amax((1, 2), keepdim=True)
    return maps / highest.clamp_min(torch.finfo(maps.dtype).tiny)
