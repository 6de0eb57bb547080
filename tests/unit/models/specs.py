"""Tables of models that no catalogue names."""

from __future__ import annotations

from typing import Any

from sightglass.models.spec import ModelSpec, WeightsTable


def own_spec(name: str, loader: str, arch: str, task: str = "classify", **weights: Any) -> ModelSpec:
    """The spec of one's own model, with these keys in the table of its weights."""
    return ModelSpec(name, "Tests", "", loader, arch, task, "", weights=WeightsTable.read(weights))
