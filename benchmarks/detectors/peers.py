"""Compare detector maps: bare pass, pytorch-grad-cam, Ultralytics' heatmap."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks.timing import Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.detectors.case import DetectorCase


class Logits(nn.Module):
    """A library's model that answers with class logits (B, N, K), which is what pytorch-grad-cam asks for."""

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


def bare(case: DetectorCase) -> Iterator[Contender]:
    module, given = case.module(), case.resident.move_input(case.tensor)

    def forward() -> Any:
        with torch.inference_mode():
            return module(case.tensor)

    def ours() -> Any:
        with torch.inference_mode():
            return case.adapter.run(given)

    library = "libreyolo" if case.yolox else "Ultralytics, fused"
    yield Contender("bare", f"bare pass, {library}", lambda _: forward())
    yield Contender("ours", "bare pass, Sightglass", lambda _: ours())


def grad_cam(case: DetectorCase) -> Iterator[Contender]:
    """Yield HiResCAM called once for each box: as its users call it, and in the least time that it can be made to take.

    It needs parameters that require gradients. Frozen, and with the picture's gradient instead, it is spared those of
    the weights, which it discards.
    """
    from pytorch_grad_cam import HiResCAM

    for frozen in (False, True):
        cam = _cam(HiResCAM, case, frozen=frozen)
        cam.compute_input_gradient = frozen

        def call(cam: Any = cam) -> list[NDArray[np.float32]]:
            return [cam(case.tensor, [lambda rows, t=t: rows[t.anchors[0], t.index]])[0] for t in case.targets]

        name = f"pytorch-grad-cam, HiResCAM, {len(case.targets)} boxes one by one"
        lines = ("frozen", f"{name}, its weights frozen") if frozen else ("grad_cam", name)
        yield Contender(*lines, lambda _, call=call: call())  # type: ignore[misc]


def eigen_cam(case: DetectorCase) -> Contender:
    from pytorch_grad_cam import EigenCAM

    cam = _cam(EigenCAM, case)
    return Contender("eigen_cam", "pytorch-grad-cam, EigenCAM, one map", lambda _: cam(case.tensor, [lambda _: 0]))


def _cam(kind: Any, case: DetectorCase, *, frozen: bool = True) -> Any:
    module = case.module().requires_grad_(not frozen)
    return kind(Logits(module, yolox=case.yolox), [module.get_submodule(layer.path) for layer in case.layers])


def visualize(case: DetectorCase) -> Iterator[Contender]:
    """Ultralytics' `predict`, and with `visualize=True`: LayerCAM at the head's inputs, of at most 16 candidates from
    before suppression, blended into one JPEG."""
    from ultralytics import YOLO

    folder = Path(tempfile.gettempdir(), "sightglass-visualize")
    pixels = case.image.pixels[..., ::-1].copy()

    def predict(yolo: Any, *, seen: bool) -> Any:
        return yolo.predict(pixels, visualize=seen, verbose=False, project=str(folder), name="maps", exist_ok=True)

    # Fresh for each: what one pass leaves on the head, the other has to make again.
    plain, heat = YOLO(str(case.file())), YOLO(str(case.file()))
    threads = torch.get_num_threads()
    predict(plain, seen=False)
    predict(heat, seen=True)
    # Its first pass takes a core from all of the process, for good: who comes after it would be measured with less.
    torch.set_num_threads(threads)
    if not torch.equal(plain.predictor.preprocess([pixels]), case.tensor):
        raise RuntimeError("Ultralytics prepares this picture otherwise.")
    yield Contender("predict", "Ultralytics' predict", lambda _: predict(plain, seen=False))
    yield Contender(
        "visualize",
        "Ultralytics' predict with visualize=True, one blended map",
        lambda _: predict(heat, seen=True),
        lambda: shutil.rmtree(folder, ignore_errors=True),
    )
