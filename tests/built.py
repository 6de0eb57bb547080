"""Ultralytics' architectures with seeded random weights, built once for all tests of a run."""

from copy import deepcopy
from functools import cache
from typing import Any

import torch

from sightglass.models.families.ultralytics.detectors import YoloDetector
from sightglass.models.families.ultralytics.loader import adapt, build_untrained, import_quietly
from sightglass.models.layers import Layer
from sightglass.models.spec import ModelSpec

WORDS = tuple(f"thing {index}" for index in range(80))

import_quietly()


def spec_of(arch: str, task: str = "detect") -> ModelSpec:
    return ModelSpec(arch, "yolo", "n", "ultralytics", arch, task, "AGPL-3.0")


@cache
def _module(name: str) -> Any:
    module = build_untrained(name, 0).eval()
    generator = torch.Generator().manual_seed(0)
    if name.startswith("yoloe"):
        module.pe = torch.rand(1, 80, 512, generator=generator)
    # Last layers that start at nothing give boxes and words that no gradient reaches.
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.abs().max() == 0:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module


def build(name: str, *, one_to_one: bool = False) -> Any:
    """A module of one's own; of two branches the one whose boxes `predict` shows, or the other."""
    module = deepcopy(_module(name))
    if getattr(module.model[-1], "one2one_cv2", None) is not None:
        module.end2end = one_to_one
    return module


@cache
def built(name: str, task: str = "detect", *, one_to_one: bool = False) -> Any:
    return adapt(spec_of(name, task), build(name, one_to_one=one_to_one), "")


def head_inputs(adapter: YoloDetector) -> tuple[str, ...]:
    return adapter.default_layers([Layer(f"model.{index}", (1, 2, 2)) for index in range(len(adapter.module.model))])


def record(adapter: Any, tensor: torch.Tensor, paths: tuple[str, ...] = ()) -> tuple[dict[str, torch.Tensor], Any]:
    """A forward pass whose graph begins at the earliest of the paths, else of the head's inputs."""
    kept: dict[str, torch.Tensor] = {}

    def keep(path: str, out: torch.Tensor) -> torch.Tensor:
        kept[path] = out if out.requires_grad else out.detach().requires_grad_()
        # Some steps write over what they are given.
        return kept[path].clone()

    handles = [
        adapter.module.get_submodule(path).register_forward_hook(lambda _m, _i, out, path=path: keep(path, out))
        for path in paths or head_inputs(adapter)
    ]
    try:
        return kept, adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
