"""Describe a loaded model in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.models import catalog

if TYPE_CHECKING:
    from sightglass.models.adapter import Adapter


def describe_model(adapter: Adapter) -> str:
    """Return what a model is: `ResNet18 with 5 classes, 224 px`."""
    spec, size = adapter.spec, adapter.preprocessing.size if adapter.preprocessing else None
    known = catalog.catalog().get(spec.arch)
    name = known.name if known else spec.arch.rpartition(":")[2] or spec.id
    name = {"exported": "exported model", "keras": "Keras model"}.get(spec.loader, name)
    does = f" with {len(adapter.labels)} {'output' if spec.measures else 'class'}" if adapter.labels else ""
    if len(adapter.labels) > 1:
        does += "s" if spec.measures else "es"
    if spec.task == "embed":
        does = " that compares pictures"
    pixels = "" if size is None else f", {' × '.join(str(side) for side in dict.fromkeys(size[::-1]))} px"
    return f"{name[:1].upper()}{name[1:]}{does}{pixels}"
