"""Saliency, Integrated Gradients, SmoothGrad, guided backprop and others (captum).

Notation: x is the model's input (C, h, w), f the target's scalar, x' a grey picture. Captum computes the attribution of
every number of x; the raw map is their sum over the channels, (h, w), neither smoothed nor clipped:

- Integrated Gradients: (x - x') times the mean gradient of f on the line from x' to x; they sum to f(x) - f(x').
- GradientShap: its expectation over random places on the line, with noise.
- Saliency: the size of the gradient of f.
- Input x gradient: x times the gradient of f.
- DeepLift: (x - x') times what takes the gradient's place: of an activation, its difference by that of its input.
- SmoothGrad: the size of the gradient, the mean over pictures with noise.
- Guided backprop: the size of the gradient that no ReLU has passed where it was negative.
- Guided GradCAM: guided backprop times GradCAM's map without what is negative, at the pixels.

`METHODS` names their papers. They run on a second set of modules over the model's weights, so that captum's hooks touch
nobody else's pass, or on a caller's module itself, which nobody else runs meanwhile.
"""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.determinism import exact, own_random_state
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import PIXELS
from sightglass.explain.methods import METHODS, deep_lift
from sightglass.explain.methods.gradient import upsample
from sightglass.explain.methods.method import GUIDED, Method, RawMaps, Request
from sightglass.explain.methods.rise import find_grey
from sightglass.explain.methods.scalars import Scalars, pictures_in_a_pass
from sightglass.explain.phrases import percent
from sightglass.models.adapter import Adapter, Target

STEPS = 50
"""Places on Integrated Gradients' line: captum's own number."""
SAMPLES = 32
"""Random pictures of SmoothGrad and GradientShap."""
NOISE = 0.15
"""Standard deviation of their noise, as a share of the range of the picture's values: the paper's 10 to 20 %."""
SMOOTHED = "The map is smoothed for the eye; its raw values are each pixel's own."
NEARLY_EQUAL = 0.01
"""Least difference between the picture's score and a grey one's, as a share of the sum of the values' sizes, for which
the note says what share of it the values sum to. Of less, the steps miss more than the difference: a box as large as at
the same place of a grey picture had 977 % by 12 steps."""
COMPLETE = "of the difference between the picture's score and a grey one's."
"""Ends the note on what the values of Integrated Gradients sum to."""
EDGES = "Guided backprop is known to draw nearly the same map with random weights (Adebayo et al. 2018): prove it."
DRAWS = ("smoothgrad", "gradientshap")
"""Methods that draw random numbers."""


def check_model(evidence: Evidence, method: Method, targets: Sequence[Target], _request: Request) -> None:
    """Raise ModelProblem for a model without a ReLU that could be guided, or with steps that DeepLift has no rule for.

    The steps of a target are looked at with its map; without one those of the first class are.
    """
    adapter = evidence.loaded.adapter
    if method.id in GUIDED and not any(isinstance(module, nn.ReLU) for module in adapter.module.modules()):
        raise ModelProblem(f"{adapter.spec.id} has no ReLU that guided backprop could guide: use SmoothGrad.")
    if method.id != "deeplift" or targets:
        return
    first = Target(0, adapter.labels[0])
    with evidence.loaded.workshop() as own, torch.enable_grad():
        scalars = Scalars(own, [first], lambda _: None, evidence.tensor)
        inputs = evidence.tensor.detach().clone().requires_grad_()
        deep_lift.check_rules(scalars, inputs, adapter.spec.id, pictures_in_a_pass(evidence, own, first))


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request, *, seed: int = 0) -> RawMaps:
    """Run one of captum's methods on the input, with cached maps.

    Raises Cancelled within one pass of a stop.
    """
    attributed = METHODS["guidedbackprop"] if method.id == "guidedgradcam" else method
    if missing := evidence.missing(attributed.id, targets):
        with evidence.loaded.workshop() as adapter:
            _fill(evidence, adapter, attributed, request, missing, seed)
    notes = (SMOOTHED, EDGES) if method.id in GUIDED else (SMOOTHED,)
    if attributed is not method:
        (guided,) = evidence.stacked(attributed.id, targets)
        return RawMaps([guided * at_pixels(evidence, "gradcam", targets)], (PIXELS,), notes)
    if method.id == "integratedgradients":
        notes = (_describe_sums(evidence, targets), *notes)
    return RawMaps(evidence.stacked(method.id, targets), (PIXELS,), notes)


def at_pixels(evidence: Evidence, name: str, targets: Sequence[Target]) -> Tensor:
    """Return a quick method's maps at the pixels, (k, height, width).

    They are without what is negative, and the mean over layers.
    """
    cams = METHODS[name].run(evidence, targets)
    maps = [raw.clamp_min(0) for raw in cams.maps]
    if len(maps) > 1:
        # Each scaled to its maximum, or one layer would hide the others.
        maps = [raw / raw.amax((1, 2), keepdim=True).clamp_min(torch.finfo(raw.dtype).tiny) for raw in maps]
    pairs = zip(maps, cams.layers, strict=True)
    return torch.stack([upsample(raw, evidence.geometry, path) for raw, path in pairs]).mean(0)


def make_baseline(evidence: Evidence) -> Tensor:
    """Return a grey picture's input (1, C, h, w), the baseline."""
    return find_grey(evidence).expand_as(evidence.tensor).contiguous()


def find_noise(evidence: Evidence) -> float:
    """Return the standard deviation of the noise, in the units of the model's input."""
    return NOISE * float(evidence.tensor.max() - evidence.tensor.min())


def _fill(
    evidence: Evidence, adapter: Adapter, method: Method, request: Request, targets: Sequence[Target], seed: int
) -> None:
    """Compute and cache the targets' maps by an adapter that may be changed."""
    steps = {"integratedgradients": STEPS + 2, "smoothgrad": SAMPLES, "gradientshap": SAMPLES, "deeplift": 3}
    done, total = 0, len(targets) * steps.get(method.id, 1)

    def report(pictures: int) -> None:
        nonlocal done
        request.report(done, total, f"{method.name}, step {done} of {total}")
        done += pictures

    for target in targets:
        size, before = pictures_in_a_pass(evidence, adapter, target), done
        scalars = Scalars(adapter, [target], report, evidence.tensor)
        while True:
            try:
                drawn = own_random_state(seed) if method.id in DRAWS else nullcontext()
                with torch.enable_grad(), exact(evidence.loaded.device), drawn:
                    attr = _attribute(evidence, method, scalars, size)
                break
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size, done = size // 2, before
                torch.cuda.empty_cache()
        if method.id == "integratedgradients":
            with torch.no_grad():
                ends = [scalars(tensor).sum() for tensor in (evidence.tensor, make_baseline(evidence))]
            sums = torch.stack((attr.sum(), ends[0] - ends[1], attr.abs().sum()))
            evidence.raws[_SUMS, target] = [sums.double().cpu()]
        shares = attr if method.signed else attr.abs()
        evidence.raws[method.id, target] = [shares[0].sum(0).detach().float()]


def _attribute(evidence: Evidence, method: Method, scalars: Scalars, size: int) -> Tensor:
    """Return captum's attribution, (1, C, h, w), by passes of `size` pictures."""
    from captum.attr import InputXGradient, IntegratedGradients, NoiseTunnel, Saliency
    from captum.attr._core.gradient_shap import InputBaselineXGradient

    inputs = evidence.tensor.detach().clone().requires_grad_()
    noise: dict[str, Any] = {
        "nt_type": "smoothgrad",
        "nt_samples": SAMPLES,
        "nt_samples_batch_size": min(size, SAMPLES),
        "stdevs": find_noise(evidence),
    }
    grey = make_baseline(evidence)
    match method.id:
        case "integratedgradients":
            attr = IntegratedGradients(scalars).attribute(inputs, grey, n_steps=STEPS, internal_batch_size=size)
        case "gradientshap":
            # The parts of captum's GradientShap, which takes all samples in one pass.
            tunnel = NoiseTunnel(InputBaselineXGradient(scalars))
            attr = tunnel.attribute(inputs, draw_baseline_from_distrib=True, baselines=grey, **noise)
        case "smoothgrad":
            attr = NoiseTunnel(Saliency(scalars)).attribute(inputs, **noise)
        case "saliency":
            attr = Saliency(scalars).attribute(inputs)
        case "deeplift":
            attr = deep_lift.attribute(scalars, inputs, grey, evidence.loaded.adapter.spec.id, size)
        case "inputxgradient":
            attr = InputXGradient(scalars).attribute(inputs)
        case _:
            # Captum's own fails where no gradient reaches a ReLU.
            with ExitStack() as hooks:
                for module in scalars.modules():
                    if isinstance(module, nn.ReLU):
                        hooks.enter_context(module.register_forward_hook(_guide))
                attr = Saliency(scalars).attribute(inputs, abs=False)
    attribution: Tensor = attr.detach()
    return attribution


def _guide(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    """Let no negative gradient pass a module."""
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp_min(0))  # type: ignore[no-untyped-call]


_SUMS = "integratedgradients/sums"


def _describe_sums(evidence: Evidence, targets: Sequence[Target]) -> str:
    """Describe the share of the score's difference in the attributions."""
    sums = [evidence.raws[_SUMS, target][0].tolist() for target in dict.fromkeys(targets)]
    shares = sorted(total / difference for total, difference, sizes in sums if abs(difference) > NEARLY_EQUAL * sizes)
    if not shares:
        return f"Both scores are nearly equal. It cannot be told what share the values are {COMPLETE}"
    ends = list(dict.fromkeys(percent(end) for end in (shares[0], shares[-1])))
    return f"The values sum to {' to '.join(ends)} {COMPLETE}"
