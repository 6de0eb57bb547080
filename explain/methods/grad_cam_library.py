"""Run methods of the grad-cam library.

They work on a copy of the model's modules, which shares its weights. So the library's hooks, and the layer that
AblationCAM replaces, never touch the model that others use at the same time, and nobody waits for them. A caller's
module is not copied: others wait, and it is put back. The raw maps are taken from the library before it scales them, so
that they are scaled like all others.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sightglass.common.errors import ModelProblem, Problem, describe_error
from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.methods.completeness import steps_of
from sightglass.explain.methods.full_gradients import make_full_grad
from sightglass.explain.methods.gradient import gradcam
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Adapter, Target
from sightglass.models.layers import WHOLE, Layer, spread

LOGGER = logging.getLogger(__name__)
UNDIFFERENTIABLE = ("::Error", "::NotImplemented")
"""Ends of the names of autograd's steps that raise where they are differentiated again."""
LEAST_CLASSES = 2
"""Classes without which FinerCAM has nothing to compare."""
BATCH = 16
"""The library's own batch size: masked pictures in one pass."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run a library method on copied modules; cache the maps."""
    loaded = evidence.loaded
    missing = evidence.missing(method.id, targets)
    batch = loaded.pictures_in_a_pass(BATCH, evidence.tensor) if missing else BATCH
    done, passes = 0, len(missing)
    if method.passes == "channels":
        passes *= 1 + sum(-(-layer.shape[0] // batch) + (method.id == "ablationcam") for layer in evidence.layers)

    def tick() -> None:
        nonlocal done
        request.report(done, passes, f"{method.name}, step {done} of {passes}")
        done += 1

    cam: Any = None
    with ExitStack() as opened:
        for target in missing:
            with _report_failures(evidence, method):
                if method.id == "shapleycam":
                    evidence.raws[method.id, target] = [_shapleycam(evidence, target)]
                    continue
                if cam is None:
                    # FullGrad sums over the norms too.
                    layers = None if method.id == "fullgrad" else evidence.layers
                    cam = _cam(opened.enter_context(loaded.workshop(layers)), method, evidence.layers, tick, batch)
                with torch.enable_grad(), exact(loaded.device):
                    maps = _maps(cam, method, target, evidence.tensor)
            evidence.raws[method.id, target] = [torch.as_tensor(m).to(loaded.device) for m in maps]
    # FullGrad sums over layers of its own.
    return RawMaps(evidence.stacked(method.id, targets), ("all",) if method.id == "fullgrad" else evidence.paths)


@contextmanager
def _report_failures(evidence: Evidence, method: Method) -> Iterator[None]:
    """Raise ModelProblem for the library's failures: second derivatives, channels last."""
    try:
        yield
    except (torch.OutOfMemoryError, Problem):
        raise
    except (AssertionError, AttributeError, ValueError, TypeError, IndexError, RuntimeError) as error:
        name, where = evidence.loaded.adapter.spec.id, ", ".join(evidence.paths)
        LOGGER.info("%s on %s", method.id, name, exc_info=True)
        reason = describe_error(error)
        raise ModelProblem(
            f"{method.name} cannot be made of {name} at {where} ({reason}): choose another method."
        ) from error


def check_model(evidence: Evidence, method: Method, _targets: Sequence[Target], _request: Request) -> None:
    """Raise ModelProblem for a model that the library cannot explain by a method."""
    if method.id == "fullgrad":
        _check_full_grad(evidence)
    if method.id == "finercam":
        _check_neighbours(evidence)
    if method.id == "shapleycam" and len(evidence.layers) > 1:
        raise ModelProblem("ShapleyCAM explains one layer at a time: choose one layer, or another method.")
    if len({layer.layout for layer in evidence.layers}) > 1:
        raise ModelProblem(f"{method.name} cannot mix layers of different kinds: choose layers of one kind.")


def _covers_input(layer: Layer) -> bool:
    """Return whether a layer's grid lies over the input, but for its ends."""
    is_straight = layer.frame is None and not layer.views
    return is_straight and (layer.cover == WHOLE or layer.keeps_cells)


def _check_full_grad(evidence: Evidence) -> None:
    """Raise ModelProblem for a model that FullGrad cannot explain."""
    loaded = evidence.loaded
    if not task_of(loaded.adapter).competes:
        raise ModelProblem("FullGrad explains classifiers only: choose another method for this model.")
    aside = (path for path, layer in loaded.survey.by_path.items() if not _covers_input(layer))
    for path in (*aside, *loaded.survey.unplaced):
        if isinstance(loaded.adapter.module.get_submodule(path), (nn.Conv2d, nn.BatchNorm2d)):
            raise ModelProblem(
                f"FullGrad takes {path} to cover the whole input, which marks in a picture do not show: use GradCAM."
            )


def _check_neighbours(evidence: Evidence) -> None:
    """Raise ModelProblem for a model without several classes, which FinerCAM compares."""
    adapter = evidence.loaded.adapter
    measures = task_of(adapter).quantity == "number"
    if measures or adapter.class_logits(evidence.outputs).shape[1] < LEAST_CLASSES:
        raise ModelProblem(
            f"FinerCAM compares a class with its neighbours, and {adapter.spec.id} does not answer with several "
            "classes: use GradCAM."
        )


def _shapleycam(evidence: Evidence, target: Target) -> Tensor:
    """Return ShapleyCAM's map (h, w): GradCAM with g - H A / 2 in place of the gradient g (H: the second derivatives).

    Not by the library, which takes no other layout than (C, h, w), and no attention by fused kernels.
    """
    with evidence.loaded.lock, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        # Its own pass may have been by fused kernels.
        evidence = evidence.with_graph(again=True)
        scalar = evidence.loaded.adapter.scalar(evidence.outputs, target)
        (gradient,) = torch.autograd.grad(scalar, evidence.recorded, create_graph=True, retain_graph=True)
        slope = gradient.detach()
        # Behind the last activation all is linear.
        if gradient.requires_grad:
            _check_second_derivatives(gradient, evidence)
            (output,) = evidence.recorded
            (product,) = torch.autograd.grad(
                gradient, output, output.detach(), retain_graph=True, materialize_grads=True
            )
            slope = slope - product / 2
    return gradcam(evidence.layered[0], Gradient.from_values(as_map(slope, evidence.layers[0])[0].float()))


def _check_second_derivatives(gradient: Tensor, evidence: Evidence) -> None:
    """Raise ModelProblem for a gradient with a step that has none: autograd may leave it out without an error."""
    if any(name.endswith(UNDIFFERENTIABLE) for name in steps_of(gradient)):
        raise ModelProblem(
            f"ShapleyCAM takes second derivatives, and a step of {evidence.loaded.adapter.spec.id} behind "
            f"{evidence.paths[0]} has none: use GradCAM."
        )


class _Logits(nn.Module):
    """A module from a picture to class logits, for the library."""

    def __init__(self, adapter: Adapter, tick: Callable[[], None]) -> None:
        super().__init__()
        self.model = adapter.module
        self._adapter, self._tick = adapter, tick

    def forward(self, tensor: Tensor) -> Tensor:
        self._tick()
        return self._adapter.class_logits(self._adapter.run(tensor))


def _cam(adapter: Adapter, method: Method, layers: tuple[Layer, ...], tick: Callable[[], None], batch: int) -> Any:
    """Return the library's object; `tick` is called before each pass."""
    from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit

    logits = _Logits(adapter, tick)
    if method.id == "fullgrad":
        return make_full_grad(_library(), logits, adapter, batch)
    modules = [adapter.module.get_submodule(layer.path) for layer in layers]
    reshape = None if layers[0].layout == "nchw" else lambda output: as_map(output, layers[0])
    cam = getattr(_library(), method.name.replace("-", "_"))(logits, modules, reshape)
    base = getattr(cam, "base_cam", cam)
    base.activations_and_grads.release()
    base.batch_size = batch
    if method.id == "scorecam":
        covers = [WHOLE if layer.keeps_cells else layer.cover for layer in layers]
        base.covers = dict(zip(modules, covers, strict=True))
        base.get_cam_weights = functools.partial(_scorecam_weights, base)
    if method.id == "ablationcam":
        # The library's default is a process-wide object, and slices tokens instead of channels.
        base.ablation_layer = AblationLayer() if reshape is None else AblationLayerVit()
        base.get_cam_weights = functools.partial(_ablationcam_weights, base, base.get_cam_weights)
    return cam


def _maps(cam: Any, method: Method, target: Target, tensor: Tensor) -> list[NDArray[np.float32]]:
    """Return one of the library's objects' maps before it scales them."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    base = getattr(cam, "base_cam", cam)
    # Hooks only while in use, so that they record nothing for other methods.
    if method.id == "fullgrad":
        hooks = base.activations_and_grads
    else:
        hooks = base.activations_and_grads = type(base.activations_and_grads)(
            base.model, base.target_layers, base.reshape_transform, base.detach
        )
    captured: list[NDArray[np.float32]] = []
    original = base.get_cam_image

    def capture(*args: Any, **kwargs: Any) -> NDArray[np.float32]:
        captured.append(original(*args, **kwargs))
        return captured[-1]

    base.get_cam_image = capture
    aim: dict[str, Any] = {"targets": [ClassifierOutputTarget(target.index)]}
    if method.id == "finercam":
        aim = {"targets": None, "target_idx": target.index}
    try:
        # With frozen weights the library differentiates with respect to the picture.
        final = cam(tensor.detach().clone().requires_grad_(), **aim)
        if method.id == "fullgrad":
            hooks.check(target.index)
    finally:
        # Dropped here, as the library would detach it in place, which views forbid.
        hooks.activations, hooks.gradients = [], []
        hooks.release()
        base.outputs = None
        del base.get_cam_image
    return [raw[0] for raw in captured] if captured else [final[0]]


@torch.no_grad()
def _scorecam_weights(
    cam: Any, tensor: Tensor, layer: nn.Module, targets: Sequence[Any], activations: NDArray[np.float32], grads: None
) -> NDArray[np.float32]:
    """Compute ScoreCAM's weights (1, C) in batches of masks: the library's one batch takes a gigabyte."""
    channels = spread(torch.from_numpy(activations).to(tensor.device)[0, :, None], cam.covers[layer])  # (C, 1, h, w)
    scores: list[float] = []
    for start in range(0, len(channels), cam.batch_size):
        part = channels[start : start + cam.batch_size]
        masks = nn.functional.interpolate(part, size=tensor.shape[-2:], mode="bilinear", align_corners=True)
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        outputs = cam.model(tensor * ((masks - low) / (high - low + 1e-8)))
        scores += [targets[0](output).cpu().item() for output in outputs]
    weights: NDArray[np.float32] = torch.tensor([scores]).softmax(-1).numpy()
    return weights


def _ablationcam_weights(cam: Any, weights: Any, tensor: Tensor, layer: nn.Module, *rest: Any) -> Any:
    """Compute AblationCAM's weights by the library's function, also at Ultralytics' layers."""
    # Their forward reads where a layer's inputs are from the layer, which the library replaces.
    for name in ("f", "i"):
        if hasattr(layer, name):
            setattr(cam.ablation_layer, name, getattr(layer, name))
    return weights(tensor, layer, *rest)


def _library() -> Any:
    """Return the grad-cam library, without its progress bars and random numbers."""
    import pytorch_grad_cam
    from pytorch_grad_cam import ablation_cam
    from pytorch_grad_cam.utils import svd_on_activations
    from sklearn.decomposition import KernelPCA

    ablation_cam.tqdm = SimpleNamespace(tqdm=lambda steps: steps)
    # Beyond 200 places its solver starts at random.
    svd_on_activations.KernelPCA = functools.partial(KernelPCA, random_state=0)
    return pytorch_grad_cam
