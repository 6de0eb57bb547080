"""One model and one picture, the same for every contender."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.timing import SEED
from sightglass.common.errors import ModelProblem
from sightglass.common.files.packaged import photograph
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.maps.heatmap import scale
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.from_evidence import compute, raw_maps
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.catalog import available
from sightglass.models.geometry import ModelInput
from sightglass.models.spec import WeightsTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from sightglass.explain.methods.method import Method
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec

FAST = tuple(method for method in METHODS.values() if method.quick)
"""The methods that are functions of Evidence."""


def picture() -> Path:
    """Return a street with a bus, 810x1080, from the Ultralytics package."""
    path = photograph("bus")
    if path is None:
        raise ModelProblem("The picture of the benchmarks is in the package ultralytics: install it or name another.")
    return path


def seeded(row: ModelSpec) -> tuple[ModelSpec, str]:
    """Return a row of the catalogue with its trained weights or else seeded ones; and which: `real` or `random`."""
    return (row, "real") if available(row) else (replace(row, weights=WeightsTable(random=SEED)), "random")


@dataclass(frozen=True, eq=False)
class Case:
    """What is explained: some targets in a picture, at some layers."""

    path: Path
    image: Image
    resident: Resident
    weights: str
    """`real` or `random`."""
    given: ModelInput
    """Already on the device."""
    layers: tuple[Layer, ...]
    targets: tuple[Target, ...]

    @property
    def device(self) -> torch.device:
        return self.resident.device

    @property
    def tensor(self) -> Tensor:
        return self.given.tensor

    def evidence(self) -> Evidence:
        return Evidence(self.resident, self.given, self.layers)

    def maps(self, methods: Sequence[Method], targets: Sequence[Target] | None = None) -> list[Tensor]:
        """Return (k, h, w) in 0..1 at the model's input size for each method, on the device, from one pass."""
        return maps_of(self.evidence(), self.targets if targets is None else targets, methods)


def raws_of(evidence: Evidence, targets: Sequence[Target], methods: Sequence[Method]) -> list[list[Tensor]]:
    """Return the maps on the layers' own grids for each method."""
    compute(evidence, methods, targets)
    return [raw_maps(evidence, method, targets) for method in methods]


def maps_of(evidence: Evidence, targets: Sequence[Target], methods: Sequence[Method]) -> list[Tensor]:
    """Return (k, h, w) in 0..1 at the model's input size for each method, on the device."""
    return [scale(raws, evidence.geometry, "own", evidence.paths) for raws in raws_of(evidence, targets, methods)]
