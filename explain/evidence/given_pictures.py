"""Accept one or several pictures in any form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.picture.image import Image, join_pictures
from sightglass.models.families.custom.in_memory import READY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.evidence.given_model import GivenModel
    from sightglass.models.adapter import Adapter


def several(source: Any) -> list[Any] | None:
    """Return the pictures of a list, a tuple or any other sequence; None for a single picture."""
    alone = not isinstance(source, Sequence) or isinstance(source, (str, bytes, bytearray, memoryview))
    return None if alone else list(source)


def join_pairs(source: Any, inputs: Sequence[str]) -> Any:
    """Return what a model of two pictures is given with each tuple of two pictures joined to one.

    Raises ModelProblem for a tuple of another length.
    """
    if isinstance(source, tuple):
        if len(source) != len(inputs):
            raise ModelProblem(f"There are {len(source)} pictures: give two, {' and '.join(inputs)}.")
        return join_pictures(*map(Image.open, source))
    return [join_pairs(one, inputs) for one in source] if isinstance(source, list) else source


def targets_of_each(targets: Any, count: int) -> list[dict[str, Any]]:
    """Return the option `targets` of each picture: from one class for all, or one class or list of classes for each.

    Raises ModelProblem where these are not as many as the pictures.
    """
    if targets is None:
        return [{}] * count
    if isinstance(targets, (str, int)):
        targets = [targets] * count
    if len(targets) != count:
        raise ModelProblem(f"There are {count} pictures and {len(targets)} targets: give one for each.")
    return [{"targets": _list(one)} for one in targets]


def _list(target: Any) -> Any:
    return target if isinstance(target, (list, tuple)) else () if target is None else (target,)


def red_first(source: Any) -> NDArray[Any]:
    """Return an array with blue first, (H, W, 3), with red first; raise ModelProblem for what is no array."""
    if not isinstance(source, np.ndarray):
        raise ModelProblem("bgr is for arrays: files and Pillow images say themselves how their colours are ordered.")
    return source[..., ::-1]


def is_ready(source: Any, adapter: Adapter, given: GivenModel | None) -> bool:
    """Return whether a picture is a tensor that goes into the model as it is."""
    if given is None or READY not in adapter.preprocessings:
        return False
    if not isinstance(source, torch.Tensor) or not source.is_floating_point():
        return False
    return given.preprocess is None or bool(source.min() < 0 or source.max() > 1)
