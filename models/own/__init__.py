"""Models that people add, and the limits of what they may add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.common.settings import settings
from sightglass.models import isolated

if TYPE_CHECKING:
    from sightglass.models.spec import ModelSpec

PLAIN = ("custom", "timm", "torchvision", "yolox", "osnet", "efficientnet_lite", "promptsg")
"""Loaders of plain weights: the architecture is this project's or a library's, and chooses sizes and code."""
ONNX = ".onnx"
"""Ending of files whose passes alone run in processes of their own (`families.exported.workers`)."""

MEMORY_MB, UPLOAD_SHARE = 4096, 0.25
"""Memory assumed where `memory_mb` is 0, in MiB, and the share of the memory that one dropped file may take."""


def is_on() -> bool:
    """Return whether anybody may add models on this server."""
    return settings().own_models is not None


def is_plain(loader: str, arch: str) -> bool:
    """Return whether a model is plain weights of an architecture that is no person's."""
    return loader.partition(".")[0] in PLAIN and ".py:" not in arch


def runs_apart(spec: ModelSpec) -> bool:
    """Return whether received files choose what a model computes."""
    base, path = settings().own_models, spec.weights.path
    if base is None or path is None or isolated.INSIDE:
        return False
    received = Path(path).absolute().is_relative_to(base.absolute())
    return received and not is_plain(spec.loader, spec.arch) and Path(path).suffix.lower() != ONNX


def computes_elsewhere(spec: ModelSpec) -> bool:
    """Return whether passes of a model are another process's: of received files, and of all ONNX files."""
    return runs_apart(spec) or Path(spec.weights.path or "").suffix.lower() == ONNX


def upload_megabytes() -> int:
    """Return the MB allowed per dropped file, kept in memory until stored."""
    return max(1, int(min(settings().own_models_mb, (settings().memory_mb or MEMORY_MB) * UPLOAD_SHARE)))
