"""Load torchvision's classifiers by their names there (https://github.com/pytorch/vision, BSD-3-Clause)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from common.errors import WeightsProblem
from models import checkpoint, labels
from models.families.custom import loader as custom
from models.families.torchvision.networks import (
    TorchvisionClassifier,
    build,
    default_weights,
    modern,
    preprocessing_of,
    without_aux,
)
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from models.adapter import ModelSpec
    from models.adapters.classifier import Classifier


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Build the model on the CPU with torchvision's default weights, or an operator's own state dict."""
    default = default_weights(spec.arch)
    if "path" in spec.weights:
        return custom.load(dataclasses.replace(spec, arch=f"torchvision/{spec.arch}"), progress)
    names = labels.own(spec) or tuple(default.meta["categories"])
    preprocessing = preprocessing_of(default).changed(spec.weights.get("preprocessing", {}))
    if "random" in spec.weights:
        module = build(spec.arch, weights=spec.weights, classes=len(names))
        names = tuple(f"{name} (untrained)" for name in names)
        return TorchvisionClassifier(spec, module, names, preprocessing, checkpoint.digest(module))
    if not {"url", "path", "file", "package"} & spec.weights.keys():
        spec = dataclasses.replace(spec, weights={**spec.weights, "url": default.url})
    path = locate(spec, progress=progress)
    module = build(spec.arch, classes=len(names))
    try:
        module.load_state_dict(modern(checkpoint.read(path)))
    except RuntimeError as problem:
        raise WeightsProblem(f"{path} does not hold the tensors of {spec.arch} with {len(names)} classes.") from problem
    if spec.arch == "googlenet":
        # Never trained, never run: without these heads the list of layers has only what works.
        without_aux(spec.arch, module)
    return TorchvisionClassifier(spec, module, names, preprocessing, sha256_of(path))
