"""Find backbone, encoder, decoder and cross-attention in a DETR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.models.adapters.queries import QueryDetector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn

    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec

_ATTENDING = ("encoder_attn", "cross_attn", "multihead_attn")
"""What libraries call a decoder layer's cross-attention."""
_PROJECTIONS = ("model.input_projection", "input_proj")
"""The convolution whose map DETR's decoder reads, after its encoder, cell by cell."""
_BACKBONES = ("model.backbone", "backbone", "vit")
_ENCODERS = ("model.encoder", "encoder", "transformer.encoder")
_DECODERS = ("model.decoder", "decoder", "model.transformer.decoder", "transformer.decoder")


class SectionedDetector(QueryDetector):
    """A DETR whose backbone, encoder and decoder are modules of their own."""

    def __init__(self, spec: ModelSpec, module: nn.Module, labels: Sequence[str], weights_sha256: str) -> None:
        super().__init__(spec, module, labels, weights_sha256)
        known = dict(module.named_modules())
        self._backbone, self._encoder, self._decoder = (
            next((path for path in names if path in known), "") for names in (_BACKBONES, _ENCODERS, _DECODERS)
        )
        attending = [path for path in known if _is_inside(path, self._decoder) and _name(path) in _ATTENDING]
        self.cross_attention = next(reversed(attending), "")
        self.memory = next((path for path in _PROJECTIONS if _maps(known.get(path))), "")
        # Queries, however many, are no grid of the picture, and the encoding of positions knows no picture.
        positions = [path for path, part in known.items() if "Position" in type(part).__name__ and "." in path]
        self.placeless = (*([self._decoder] if self._decoder else []), *positions)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        encoder = _finest_first(layer for layer in layers if _is_inside(layer.path, self._encoder))
        backbone = _finest_first(layer for layer in layers if _is_inside(layer.path, self._backbone))
        found = {
            "all encoder outputs": tuple(layer.path for layer in encoder),
            "backbone end": tuple(layer.path for layer in backbone[-1:]),
        }
        for name, several in (("encoder", encoder), ("backbone", backbone[:-1])):
            found |= {
                f"{name} {_size(layer)}": (layer.path,) for layer in several if len(several) > 1 or name != "encoder"
            }
        return {name: paths for name, paths in found.items() if paths} or super().presets(layers)


def _is_inside(path: str, outer: str) -> bool:
    return bool(outer) and path.startswith(f"{outer}.")


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _maps(module: Any) -> bool:
    """Return whether a module is one convolution, and no list of them for several levels."""
    return type(module).__name__ == "Conv2d"


def _size(layer: Layer) -> str:
    """Return `80x80`, the grid of a layer's map."""
    return "x".join(map(str, layer.shape[1:]))


def _finest_first(layers: Iterable[Layer]) -> list[Layer]:
    """Return the last layer of each grid, the finest first."""
    last = {layer.shape[1:]: layer for layer in layers}
    return sorted(last.values(), key=lambda layer: layer.shape[1:], reverse=True)
