"""Accept models in memory or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import Adapter
from sightglass.models.families.custom import in_memory
from sightglass.models.preprocess import READY


def path_in(model: Any, layer: Any) -> str | None:
    """Return a part's path in a model by identity; Keras layers by name."""
    if hasattr(model, "_flatten_layers"):
        for part in getattr(model, "layers", ()):
            if part is layer:
                return str(part.name)
            if (inner := path_in(part, layer)) is not None:
                return f"{part.name}.{inner}"
        return None
    if isinstance(model, torch.nn.Module):
        for path, part in model.named_modules():
            if part is layer and path:
                return str(path).replace("_orig_mod.", "").removesuffix("._orig_mod")
    return None


def split_targets(targets: Any, count: int) -> list[dict[str, Any]]:
    """Split the option `targets` into one value per picture.

    Raises ModelProblem where these are not as many as the pictures.
    """
    targets = targets.tolist() if hasattr(targets, "tolist") else targets
    if targets is None:
        return [{}] * count
    if isinstance(targets, (str, int)) or callable(targets):
        targets = [targets] * count
    if len(targets) != count:
        raise ModelProblem(f"There are {count} pictures and {len(targets)} targets: give one for each.")
    targets = [() if target is None else target for target in targets]
    return [{"targets": target if isinstance(target, (list, tuple)) else (target,)} for target in targets]


def bgr_to_rgb(source: Any) -> NDArray[Any]:
    """Convert an array (H, W, 3) from BGR to RGB."""
    if not isinstance(source, np.ndarray):
        raise ModelProblem("bgr is for arrays: files and Pillow images say themselves how their colours are ordered.")
    return source[..., ::-1]


def is_model_input(source: Any, adapter: Adapter, model: in_memory.UserModel | None) -> bool:
    """Return whether a picture is a tensor of the model's input, alone or as a processor returns it."""
    if model is None or READY not in adapter.preprocessings:
        return False
    if isinstance(source, Mapping):
        return "pixel_values" in source
    if not isinstance(source, torch.Tensor) or not source.is_floating_point():
        return False
    return model.preprocess is None or bool(source.min() < 0 or source.max() > 1)
