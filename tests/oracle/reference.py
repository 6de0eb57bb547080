"""Maps, geometry and statistics, computed independently: by PIL, hooks and autograd on an untouched copy.

Nothing here imports Sightglass. Each function follows the definition that its docstring names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """A picture as a network's input, and where it lies there."""

    tensor: Tensor
    """(1, 3, h, w), normalised."""
    scale: tuple[float, float]
    """Pixels of the input for one of the picture, across and down."""
    offset: tuple[float, float]
    """Where the picture's upper left corner lies in the input, across and down; negative where it is cropped."""
    size: tuple[int, int]
    """The picture's width and height."""

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the picture under a point of the input."""
        return (x - self.offset[0]) / self.scale[0], (y - self.offset[1]) / self.scale[1]


def normalise(picture: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return a picture as torchvision's ToTensor and Normalize do, (1, 3, h, w)."""
    values = torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1).copy()) / 255
    return ((values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None]


def squash(picture: Image.Image, side: int, mean: Sequence[float], std: Sequence[float]) -> Placed:
    """Resize both sides to one length."""
    wide, high = picture.size
    resized = picture.resize((side, side), Image.Resampling.BILINEAR)
    return Placed(normalise(resized, mean, std), (side / wide, side / high), (0.0, 0.0), picture.size)


def centre_crop(picture: Image.Image, side: int, resize: int, mean: Sequence[float], std: Sequence[float]) -> Placed:
    """Resize the shorter side, then crop the middle, as torchvision's Resize and CenterCrop do."""
    wide, high = picture.size
    short = min(wide, high)
    size = tuple(resize if length == short else int(resize * length / short) for length in (wide, high))
    resized = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2.0) for length in size)
    cropped = resized.crop((left, top, left + side, top + side))
    return Placed(normalise(cropped, mean, std), (size[0] / wide, size[1] / high), (-left, -top), picture.size)


def letterbox(picture: Image.Image, side: int, stride: int, tone: float = 114 / 255) -> Placed:
    """Fit a picture between grey bars of less than a stride, as Ultralytics' detectors do, resized by OpenCV."""
    import cv2

    wide, high = picture.size
    ratio = min(side / wide, side / high)
    across, down = round(wide * ratio), round(high * ratio)
    pixels = cv2.resize(np.asarray(picture.convert("RGB")), (across, down))
    resized = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    bars_x, bars_y = (side - across) % stride, (side - down) % stride
    left, top = bars_x // 2, bars_y // 2
    framed = nn.functional.pad(resized, (left, bars_x - left, top, bars_y - top), value=tone)
    return Placed(framed, (across / wide, down / high), (left, top), picture.size)


@dataclass(frozen=True)
class Recorded:
    """A layer's output and its gradient for one number of the answer."""

    activation: Tensor
    """(C, h, w)."""
    gradient: Tensor
    """(C, h, w)."""
    logits: Tensor
    """(K,)."""


def record(module: nn.Module, path: str, tensor: Tensor, target: int) -> Recorded:
    """Run a copy of a module in eval mode; the gradient is that of a class's logit."""
    copy = deepcopy(module).eval()
    kept: list[Tensor] = []
    hook = copy.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.enable_grad():
        logits = copy(tensor.clone().requires_grad_(True))
        (gradient,) = torch.autograd.grad(logits[0, target], kept[-1])
    hook.remove()
    return Recorded(kept[-1][0].detach(), gradient[0], logits[0].detach())


def grad_cam(of: Recorded) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2, before the ReLU."""
    return (of.gradient.mean((1, 2))[:, None, None] * of.activation).sum(0)


def hires_cam(of: Recorded) -> Tensor:
    """Draelos and Carin 2020: gradient times activation, summed over channels."""
    return (of.gradient * of.activation).sum(0)


def layer_cam(of: Recorded) -> Tensor:
    """Jiang et al. 2021: the positive gradient times the activation, summed over channels."""
    return (of.gradient.relu() * of.activation).sum(0)


def grad_cam_plus_plus(of: Recorded) -> Tensor:
    """Chattopadhay et al. 2018, equation 19, with 1e-6 added to the denominator, as pytorch-grad-cam has it."""
    square, cube = of.gradient**2, of.gradient**3
    total = of.activation.sum((1, 2))[:, None, None]
    alpha = torch.where(of.gradient != 0, square / (2 * square + total * cube + 1e-6), 0.0)
    weights = (of.gradient.relu() * alpha).sum((1, 2))
    return (weights[:, None, None] * of.activation).sum(0)


def x_grad_cam(of: Recorded) -> Tensor:
    """Fu et al. 2020, with 1e-7 added to the denominator, as pytorch-grad-cam has it."""
    total = of.activation.sum((1, 2))
    weights = (of.gradient * of.activation).sum((1, 2)) / (total + 1e-7)
    return (weights[:, None, None] * of.activation).sum(0)


CAMS: dict[str, Callable[[Recorded], Tensor]] = {
    "gradcam": grad_cam,
    "hirescam": hires_cam,
    "layercam": layer_cam,
    "gradcam++": grad_cam_plus_plus,
    "xgradcam": x_grad_cam,
}


def gradient(module: nn.Module, tensor: Tensor, target: int) -> Tensor:
    """Return the gradient of a class's logit at the input, (C, h, w)."""
    inputs = tensor.clone().requires_grad_(True)
    with torch.enable_grad():
        (found,) = torch.autograd.grad(deepcopy(module).eval()(inputs)[0, target], inputs)
    return found[0]


def saliency(module: nn.Module, tensor: Tensor, _grey: Tensor, target: int) -> Tensor:
    """Simonyan et al. 2014, summed over channels."""
    return gradient(module, tensor, target).abs().sum(0)


def input_x_gradient(module: nn.Module, tensor: Tensor, _grey: Tensor, target: int) -> Tensor:
    """Shrikumar et al. 2016, summed over channels."""
    return (tensor[0] * gradient(module, tensor, target)).sum(0)


def integrated_gradients(module: nn.Module, tensor: Tensor, grey: Tensor, target: int, steps: int = 50) -> Tensor:
    """Sundararajan et al. 2017 by Gauss and Legendre's places on the line, as captum has them."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    on_line = [
        weight / 2 * gradient(module, grey + (place + 1) / 2 * (tensor - grey), target)
        for place, weight in zip(places, weights, strict=True)
    ]
    return ((tensor - grey)[0] * torch.stack(on_line).sum(0)).float().sum(0)


AT_PIXELS: dict[str, Callable[[nn.Module, Tensor, Tensor, int], Tensor]] = {
    "saliency": saliency,
    "inputxgradient": input_x_gradient,
    "integratedgradients": integrated_gradients,
}


def find_boxes(raw: Tensor, placed: Placed, confidence: float, iou: float) -> list[tuple[int, float, list[float]]]:
    """Return class, score and xyxy, cut at the picture, of a YOLO's output (4 + K, N): greedily by class."""
    from torchvision.ops import box_iou

    scores, classes = raw[4:].max(0)
    x, y, wide, high = raw[:4]
    corners = torch.stack((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), 1)
    kept: list[int] = []
    for place in scores.argsort(descending=True).tolist():
        rivals = [other for other in kept if classes[other] == classes[place]]
        overlaps = box_iou(corners[place : place + 1], corners[rivals])
        if scores[place] > confidence and not bool((overlaps > iou).any()):
            kept.append(place)
    found = []
    for place in kept:
        x0, y0, x1, y1 = corners[place].tolist()
        ends = [*placed.to_picture(x0, y0), *placed.to_picture(x1, y1)]
        box = [min(max(end, 0.0), side) for end, side in zip(ends, placed.size * 2, strict=True)]
        found.append((int(classes[place]), float(scores[place]), box))
    return found


def shared_strongest(first: Floats, second: Floats, share: float = 0.2) -> float:
    """Return the IoU of the strongest shares of two maps (h, w)."""
    count = max(1, round(share * first.size))
    one, two = (set(np.argsort(-values.ravel(), kind="stable")[:count].tolist()) for values in (first, second))
    return len(one & two) / len(one | two)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Return Spearman's correlation, ties by their mean rank."""
    from scipy.stats import rankdata

    return float(np.corrcoef(*(rankdata(values.ravel()) for values in (first, second)))[0, 1])


def exact_interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share, by bisection of the binomial tails."""
    tail = (1 - level) / 2

    def at_least(share: float) -> float:
        return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(right, count + 1))

    def at_most(share: float) -> float:
        return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(right + 1))

    low = 0.0 if right == 0 else _bisect(lambda share: at_least(share) < tail)
    high = 1.0 if right == count else _bisect(lambda share: at_most(share) > tail)
    return low, high


def _bisect(holds: Callable[[float], bool]) -> float:
    """Return the share up to which a condition holds."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
