"""Describe the layers of an Ultralytics model: named choices, a graph of stages, and numbers as in other tools."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal

from models.adapter import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.adapter import Layer

CAM_SCRIPTS = (10, 12, 14, 16, 18)
"""Layers that widely copied YOLO CAM scripts explain together."""


class NumberedLayers:
    """Mixin for a model that is one `Sequential` of numbered steps, each of which names its inputs."""

    module: Any
    _size: int
    """Pixels of a side of the model's own input."""

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return choices of target layers among `layers`, the maps that the head reads first."""
        known = {layer.path: layer for layer in layers}
        inputs = [path for path in self._inputs(len(self.module.model) - 1) if path in known]
        backbone = [path for index in range(self._backbone) if (path := f"model.{index}") in known]
        found = {"all neck outputs": tuple(inputs)}
        if backbone:
            found["backbone end"] = (backbone[-1],)
        found |= {f"neck {self._scale(known[path])}": (path,) for path in inputs}
        third = [path for path in backbone if self._scale(known[path]) == "P3"]
        if third:
            found["backbone P3"] = (third[-1],)
        scripts = tuple(f"model.{index}" for index in CAM_SCRIPTS)
        if set(scripts) <= set(known):
            found[f"Ultralytics' {' '.join(map(str, CAM_SCRIPTS))}"] = scripts
        return {name: paths for name, paths in found.items() if paths} or {"last map": (layers[-1].path,)}

    def stages(self, layers: Sequence[Layer]) -> tuple[Stage, ...]:
        """Return the numbered steps in order."""
        known = {layer.path: layer for layer in layers}
        found = []
        for index, step in enumerate(self.module.model):
            layer = known.get(f"model.{index}")
            shape, stride = (layer.shape, self._size / layer.shape[1]) if layer else (None, None)
            path, kind, inputs = f"model.{index}", type(step).__name__, self._inputs(index)
            found.append(Stage(path, kind, shape, stride, inputs, self._part(index)))
        return tuple(found)

    def alias(self, name: str) -> str:
        """Return `model.10` for `10`, `model[10]`, `model.model.10` or a negative index; else the name itself."""
        match = re.fullmatch(r"(?:model\.)*(?:model\[)?(-?\d+)\]?((?:\..+)?)", name.strip())
        count = len(self.module.model)
        if match is None or not -count <= int(match[1]) < count:
            return name
        return f"model.{int(match[1]) % count}{match[2]}"

    @property
    def _backbone(self) -> int:
        """Number of steps of the backbone."""
        return len(self.module.yaml["backbone"])

    def _part(self, index: int) -> Literal["backbone", "neck", "head"]:
        if index == len(self.module.model) - 1:
            return "head"
        return "backbone" if index < self._backbone else "neck"

    def _inputs(self, index: int) -> tuple[str, ...]:
        given = self.module.model[index].f
        sources = [given] if isinstance(given, int) else given
        # A negative number counts back from the step itself; before the first there is the picture.
        at = [index + source if source < 0 else source for source in sources]
        return tuple(f"model.{source}" for source in at if source >= 0)

    def _scale(self, layer: Layer) -> str:
        """Return the name of a layer's scale, P3 for a stride of 8."""
        return f"P{round(math.log2(self._size / layer.shape[1]))}"
