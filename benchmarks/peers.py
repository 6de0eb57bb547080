"""Other libraries and the bare forward pass, called as users call them."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks.timing import Contender
from sightglass.explain.evidence.layers import as_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.cases import ClassifierCase, DetectorCase


def classifier_peers(case: ClassifierCase) -> list[Contender]:
    """Return the lines of the other installed libraries."""
    module, fast = case.module(), case.module().to(memory_format=torch.channels_last)
    packed = case.tensor.contiguous(memory_format=torch.channels_last)
    lines = [
        Contender("bare", "bare forward, eager, no_grad", lambda _: forward(module, case.tensor)),
        Contender("bare_channels_last", "bare forward, channels_last", lambda _: forward(fast, packed)),
    ]
    for library, contenders in (("pytorch_grad_cam", grad_cam), ("torchcam", torch_cam), ("captum", captum)):
        if importlib.util.find_spec(library):
            lines += contenders(case, case.module())
    return lines


@torch.no_grad()
def forward(module: nn.Module, tensor: Tensor) -> Tensor:
    output: Tensor = module(tensor)
    return output


def grad_cam(case: ClassifierCase, module: nn.Module) -> Iterator[Contender]:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = GradCAM(module, [module.get_submodule(case.layer.path)], reshape(case))
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


def score_cam(case: ClassifierCase, module: nn.Module) -> Contender:
    """Return pytorch-grad-cam's ScoreCAM of the most likely class."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = ScoreCAM(module, [module.get_submodule(case.layer.path)], reshape(case))
    target = ClassifierOutputTarget(case.indices[0])
    return Contender("score_cam", "pytorch-grad-cam, ScoreCAM", lambda _: cam(case.tensor, [target]))


def torch_cam(case: ClassifierCase, module: nn.Module) -> Iterator[Contender]:
    from torchcam.methods import GradCAM

    extractor = GradCAM(module, case.layer.path, reshape_transform=reshape(case))
    count = len(case.indices)

    def raw() -> Tensor:
        scores = module(case.tensor)
        return torch.cat([extractor(index, scores, retain_graph=True)[0] for index in case.indices])

    yield Contender("torch_cam", f"torch-cam, one forward, {count} raw maps", lambda _: raw())


def captum(case: ClassifierCase, module: nn.Module) -> Iterator[Contender]:
    from captum.attr import LayerGradCam  # type: ignore[import-not-found, unused-ignore]

    if case.layer.layout != "nchw":
        return
    cam = LayerGradCam(module, module.get_submodule(case.layer.path))
    yield Contender(
        "captum",
        f"captum LayerGradCam, {len(case.indices)} raw maps one by one",
        lambda _: [cam.attribute(case.tensor, target=index) for index in case.indices],
    )


def reshape(case: ClassifierCase) -> Callable[[Tensor], Tensor] | None:
    """Return how a peer reads the layer's output as a map."""
    return None if case.layer.layout == "nchw" else lambda output: as_map(output, case.layer)


class Logits(nn.Module):
    """A library's detector that answers with class logits (B, N, K), which is what pytorch-grad-cam asks for."""

    def __init__(self, module: nn.Module, *, yolox: bool) -> None:
        super().__init__()
        self.inner = module
        self._caught: list[Tensor] = []
        if yolox:
            # YOLOX answers with scores: the logits are what its last convolutions return.
            for last in module.head.cls_preds:  # type: ignore[union-attr]
                last.register_forward_hook(lambda _module, _inputs, output: self._caught.append(output))
        self._yolox = yolox

    def forward(self, tensor: Tensor) -> Tensor:
        self._caught.clear()
        answer: Any = self.inner(tensor)
        if self._yolox:
            return torch.cat([level.flatten(2) for level in self._caught], 2).transpose(1, 2)
        raw = answer[1]
        # A segmenter's answer has its own dictionary inside.
        raw = raw if isinstance(raw, dict) else raw[0]
        scores: Tensor = raw.get("one2many", raw)["scores"]
        return scores.transpose(1, 2)


def bare_detector(case: DetectorCase) -> Iterator[Contender]:
    module, model_input = case.module(), case.loaded.move_input(case.tensor)

    def theirs() -> Any:
        with torch.inference_mode():
            return module(case.tensor)

    def ours() -> Any:
        with torch.inference_mode():
            return case.adapter.run(model_input)

    library = "libreyolo" if case.yolox else "Ultralytics, fused"
    yield Contender("bare", f"bare pass, {library}", lambda _: theirs())
    yield Contender("ours", "bare pass, Sightglass", lambda _: ours())


def hires_cam(case: DetectorCase) -> Iterator[Contender]:
    """Yield HiResCAM per box: as usual, and as fast as possible.

    It needs parameters that require gradients. Frozen, and with the picture's gradient instead, it is spared those of
    the weights, which it discards.
    """
    from pytorch_grad_cam import HiResCAM

    for frozen in (False, True):
        module = case.module().requires_grad_(not frozen)
        layers = [module.get_submodule(layer.path) for layer in case.layers]
        cam = HiResCAM(Logits(module, yolox=case.yolox), layers)
        cam.compute_input_gradient = frozen

        def call(cam: Any = cam) -> list[NDArray[np.float32]]:
            return [cam(case.tensor, [lambda rows, t=t: rows[t.anchors[0], t.index]])[0] for t in case.targets]

        name = f"pytorch-grad-cam, HiResCAM, {len(case.targets)} boxes one by one"
        lines = ("frozen", f"{name}, its weights frozen") if frozen else ("grad_cam", name)
        yield Contender(*lines, lambda _, call=call: call())  # type: ignore[misc]
