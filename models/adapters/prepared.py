"""Define the base of adapters whose pictures are prepared by a `Preprocessing`: classifiers and embedders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.adapter import Adapter
from models.adapters.attention import record_attention
from models.preprocess import CLASSIFIER_WAYS, Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import nn

    from models.adapter import ModelSpec
    from models.adapters.attention import Record
    from models.geometry import ModelInput


class PreparedAdapter(Adapter):
    """Prepare pictures by size, mean and std, and give one vector a picture; attention can be recorded."""

    preprocessings: tuple[str, ...] = CLASSIFIER_WAYS
    preprocessing: Preprocessing
    has_embedding = True

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        weights_sha256: str,
        *,
        fit: str = "trained",
    ) -> None:
        """`fit`: the way of `models.preprocess` that the model was trained with, where that is no crop."""
        super().__init__(spec, module, labels, weights_sha256)
        self.preprocessing = preprocessing
        self._fit = fit
        if fit != "trained":
            self.preprocessings = tuple(way for way in self.preprocessings if way != fit)

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        return prepare(pixels, self.preprocessing, self._fit if preprocessing == "trained" else preprocessing)

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        return record_attention(self.module, record)
