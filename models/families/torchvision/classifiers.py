"""Load torchvision's classifiers by their names there (https://github.com/pytorch/vision, BSD-3-Clause)."""

import dataclasses
from pathlib import Path

from torch import nn

from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.checkpoints import architectures, checkpoint, state_dicts
from sightglass.models.checkpoints.architectures import build_classifier, default_weights, load_published
from sightglass.models.families.custom import loader as custom
from sightglass.models.families.custom.classifier import CustomEmbedder
from sightglass.models.spec import ModelSpec


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier | CustomEmbedder | Segmenter:
    """Build the model on the CPU with torchvision's default weights, or an operator's own state dict."""
    default = default_weights(spec.arch)
    if spec.weights.path:
        return custom.load(dataclasses.replace(spec, arch=f"torchvision/{spec.arch}"), progress)
    names = labels.stated_names(spec) or tuple(default.meta["categories"])

    def read(path: Path) -> nn.Module:
        module = build_classifier(spec.arch, classes=len(names))
        tensors = architectures.rename_old(checkpoint.read(path))
        state_dicts.load_into(path, tensors, module, f"{spec.arch} with {len(names)} classes")
        if spec.arch == "googlenet":
            # Unused heads would be listed as layers.
            architectures.without_aux(spec.arch, module)
        return module

    row = load_published(spec, default)
    module, sha256 = checkpoint.module_of(row, progress, lambda: build_classifier(spec.arch, classes=len(names)), read)
    preprocessing = architectures.weights_preprocessing(default).changed(spec.preprocessing)
    return Classifier(spec, module, names, preprocessing, sha256)
