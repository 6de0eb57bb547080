"""Methods of several libraries: each is one function from a network, a picture and a target to a map."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import captum.attr
import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch.nn import functional as F

from benchmarks.timing import SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS as TABLE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.truth.measures import Map

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier from pictures (B, C, H, W) to logits (B, K), and the path of the layer where it is explained."""

    module: nn.Module
    path: str
    grid: tuple[int, int] | None = None
    """Rows and columns of the layer's tokens (B, h * w, C); None: its output is a map (B, C, h, w)."""

    @property
    def layer(self) -> nn.Module:
        return self.module.get_submodule(self.path)

    @property
    def reshape(self) -> Callable[[Tensor], Tensor] | None:
        """Return how a peer reads tokens as a map."""
        if self.grid is None:
            return None
        return lambda tokens: tokens.transpose(1, 2).unflatten(2, self.grid)


Method = Callable[[Network, "Tensor", int], "Map | None"]
"""Explains a class of a picture (1, C, H, W) by a float map (H, W); None: it finds nothing."""


@lru_cache(8)
def explainer(network: Network) -> Explainer:
    return Explainer(network.module, task="classify", device="cpu", layers=[network.path])


def sightglass(method: str, part: str, network: Network, picture: Tensor, target: int) -> Map | None:
    (heatmap,) = explainer(network)(picture[0], targets=target, method=method, part=part).heatmaps
    return heatmap.at_input if heatmap.state == "ok" else None


def grad_cam(name: str, network: Network, picture: Tensor, target: int, **options: Any) -> Map | None:
    kind = getattr(pytorch_grad_cam, name)
    with kind(network.module, [network.layer], reshape_transform=network.reshape, **options) as cam:
        values: Map = cam(picture, [ClassifierOutputTarget(target)])[0]
    return values


def eigen(name: str, network: Network, picture: Tensor, target: int) -> Map | None:
    """Explain with pytorch-grad-cam's own correction of the sign, which rounding decides otherwise."""
    module = sys.modules[getattr(pytorch_grad_cam, name).__module__]
    with patch.object(module, "get_2d_projection", get_2d_projection_with_sign_correction):
        return grad_cam(name, network, picture, target)


def ablation(network: Network, picture: Tensor, target: int) -> Map | None:
    """Explain by pytorch-grad-cam's AblationCAM with its layer that is for tokens or for maps."""
    layer = AblationLayer() if network.grid is None else AblationLayerVit()
    return grad_cam("AblationCAM", network, picture, target, ablation_layer=layer)


def torch_cam(name: str, network: Network, picture: Tensor, target: int) -> Map | None:
    kind = getattr(torchcam.methods, name)
    with kind(network.module, network.path, reshape_transform=network.reshape) as extractor:
        (raw,) = extractor(target, network.module(picture))
    return enlarged(raw.detach()[None], picture)


def smooth(network: Network, picture: Tensor, target: int) -> Map | None:
    """Explain by SmoothGradCAM++ in 64 bits: noise of 32 depends on the processor's instructions."""
    torch.set_default_dtype(torch.float64)
    try:
        precise = replace(network, module=deepcopy(network.module).double())
        return torch_cam("SmoothGradCAMpp", precise, picture.double(), target)
    finally:
        torch.set_default_dtype(torch.float32)


def captum_method(name: str, network: Network, picture: Tensor, target: int, **options: Any) -> Map | None:
    layer = (network.layer,) if name in ("LayerGradCam", "GuidedGradCam") else ()
    values = getattr(captum.attr, name)(network.module, *layer).attribute(picture, target=target, **options)
    return enlarged(values.detach().sum(1, keepdim=True), picture)


def gradient_shap(network: Network, picture: Tensor, target: int) -> Map | None:
    return captum_method("GradientShap", network, picture, target, baselines=torch.zeros_like(picture))


def occlusion(network: Network, picture: Tensor, target: int) -> Map | None:
    """Hide windows of a quarter of the picture's sides, an eighth apart."""
    _, channels, high, wide = picture.shape
    sizes = {"sliding_window_shapes": (channels, high // 4, wide // 4), "strides": (channels, high // 8, wide // 8)}
    return captum_method("Occlusion", network, picture, target, **sizes)


def enlarged(raw: Tensor, picture: Tensor) -> Map:
    """Return what raises the target in a raw map (1, 1, h, w), (H, W)."""
    whole = F.interpolate(raw.float(), picture.shape[2:], mode="bilinear", align_corners=False)
    values: Map = whole[0, 0].clamp(min=0).numpy()
    return values


OURS = (
    *("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigencam", "eigengradcam", "inputxgradient"),
    *("sharp", "tested"),
)
GRAD_CAM = (
    *("GradCAM", "GradCAMPlusPlus", "HiResCAM", "XGradCAM", "LayerCAM", "GradCAMElementWise"),
    "ScoreCAM",
)
TORCH_CAM = ("GradCAM", "GradCAMpp", "XGradCAM", "LayerCAM", "ScoreCAM")
CAPTUM = (
    *("Saliency", "InputXGradient", "DeepLift", "GuidedBackprop", "Deconvolution", "LayerGradCam", "GuidedGradCam"),
)
METHODS: dict[tuple[str, ...], Method] = {
    **{("Sightglass", TABLE[name].name): partial(sightglass, name, "class") for name in OURS},
    ("Sightglass", "LayerCAM, contrast"): partial(sightglass, "layercam", "contrast"),
    **{("pytorch-grad-cam", name): partial(grad_cam, name) for name in GRAD_CAM},
    ("pytorch-grad-cam", "AblationCAM"): ablation,
    **{("pytorch-grad-cam", name): partial(eigen, name) for name in ("EigenCAM", "EigenGradCAM")},
    **{("torch-cam", name): partial(torch_cam, name) for name in TORCH_CAM},
    ("torch-cam", "SmoothGradCAMpp"): smooth,
    **{("captum", name): partial(captum_method, name) for name in CAPTUM},
    ("captum", "IntegratedGradients"): partial(captum_method, "IntegratedGradients", n_steps=20),
    ("captum", "GradientShap"): gradient_shap,
    ("captum", "Occlusion"): occlusion,
}
"""All contenders by library and name. A further one is a line here."""


def explain(method: Method, network: Network, picture: Tensor, target: int) -> Map | None:
    """Return a method's map of what raises the target; noise is the same in every run."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    try:
        with warnings.catch_warnings(action="ignore"):
            values = method(network, picture.clone(), target)
    except ModelProblem as problem:
        # A method that refuses a picture has not found its cause.
        LOGGER.warning("%s", problem)
        return None
    return None if values is None else np.maximum(np.nan_to_num(values), 0).astype(np.float32)
