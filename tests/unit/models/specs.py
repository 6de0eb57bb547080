"""Tables of models that no catalogue names."""

from typing import Any

from sightglass.models.spec import ModelSpec, WeightsTable, read_table


def own_spec(name: str, loader: str, arch: str, task: str = "classify", **weights: Any) -> ModelSpec:
    """The spec of one's own model, with these keys in the table of its weights."""
    table = read_table(WeightsTable, weights, "weights", name)
    return ModelSpec(name, "Tests", "", loader, arch, task, "", weights=table)
