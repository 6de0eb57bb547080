"""Other libraries and the bare forward pass, called as users call them."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.timing import Contender
from sightglass.explain.evidence.layers import as_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from benchmarks.classifiers.case import Case


def peers(case: Case) -> list[Contender]:
    """Return every line but Sightglass's own, for the libraries that are installed."""
    lines = [*bare(case)]
    for library, made in (("pytorch_grad_cam", grad_cam), ("torchcam", torch_cam), ("captum", captum)):
        if importlib.util.find_spec(library):
            lines += made(case, case.module())
    return lines


def bare(case: Case) -> Iterator[Contender]:
    module, fast = case.module(), case.module().to(memory_format=torch.channels_last)
    packed = case.tensor.contiguous(memory_format=torch.channels_last)

    def forward(module: nn.Module, tensor: Tensor) -> Tensor:
        with torch.no_grad():
            output: Tensor = module(tensor)
        return output

    yield Contender("bare", "bare forward, eager, no_grad", lambda _: forward(module, case.tensor))
    yield Contender("bare_channels_last", "bare forward, channels_last", lambda _: forward(fast, packed))


def grad_cam(case: Case, module: nn.Module) -> Iterator[Contender]:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = GradCAM(module, [module.get_submodule(case.layer.path)], _reshape(case))
    targets = [ClassifierOutputTarget(index) for index in case.indices]
    count = len(targets)
    yield Contender(
        "grad_cam",
        f"pytorch-grad-cam, {count} classes one by one",
        lambda _: [cam(case.tensor, [target])[0] for target in targets],
    )
    yield Contender(
        "grad_cam_batched",
        f"pytorch-grad-cam, {count} classes in one batch",
        lambda _: cam(case.tensor.repeat(count, 1, 1, 1), targets),
    )


def torch_cam(case: Case, module: nn.Module) -> Iterator[Contender]:
    from torchcam.methods import GradCAM

    extractor = GradCAM(module, case.layer.path, reshape_transform=_reshape(case))
    count, size = len(case.indices), case.given.geometry.input

    def raw() -> Tensor:
        scores = module(case.tensor)
        return torch.cat([extractor(index, scores, retain_graph=True)[0] for index in case.indices])

    def enlarged() -> Tensor:
        return F.interpolate(raw().unsqueeze(1), size, mode="bilinear", align_corners=False)

    yield Contender("torch_cam", f"torch-cam, one forward, {count} raw maps", lambda _: raw())
    yield Contender("torch_cam_grown", f"torch-cam, one forward, {count} maps at input size", lambda _: enlarged())


def torch_cam_unclosed(case: Case, module: nn.Module) -> Iterator[Contender]:
    """Yield torch-cam as many apps use it; measured for memory only."""
    yield Contender(
        "torch_cam_unclosed",
        "torch-cam, an extractor per call, never closed",
        lambda _: [line.call(None) for line in torch_cam(case, module) if line.id == "torch_cam"],
    )


def captum(case: Case, module: nn.Module) -> Iterator[Contender]:
    from captum.attr import LayerGradCam  # type: ignore[import-not-found, unused-ignore]

    if case.layer.layout != "nchw":
        return
    cam = LayerGradCam(module, module.get_submodule(case.layer.path))
    yield Contender(
        "captum",
        f"captum LayerGradCam, {len(case.indices)} raw maps one by one",
        lambda _: [cam.attribute(case.tensor, target=index) for index in case.indices],
    )


def _reshape(case: Case) -> Callable[[Tensor], Tensor] | None:
    """Return how a peer reads the layer's output as a map."""
    return None if case.layer.layout == "nchw" else lambda output: as_map(output, case.layer)
