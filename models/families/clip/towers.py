"""Define the two towers of a CLIP, one for pictures and one for text, whichever library they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.preprocess import Preprocessing

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's own training pictures, 0..1."""


@dataclass(frozen=True)
class Towers:
    """Both towers of a model, with what belongs to them."""

    image: nn.Module
    """float32 (B, 3, h, w) to (B, D), not normalised."""
    read: Callable[[Sequence[str]], Tensor]
    """K phrases to (K, D), not normalised. Runs on the CPU; raises ModelProblem for what it cannot read."""
    scale: float
    """Trained factor of a cosine, above 0."""
    bias: float | None
    """Added before the sigmoid, where the model was trained to judge each phrase on its own (SigLIP). None: the phrases
    share one softmax (CLIP)."""
    preprocessing: Preprocessing
    sha256: str
    fit: str = "trained"
    """The way of `models.preprocess` that it was trained with: `squash` where pictures were squeezed, not cropped."""
    notes: tuple[str, ...] = ()
    text_bytes: int = 0
    """Memory that the text tower takes besides `image`."""
    _known: dict[str, Tensor] = field(default_factory=dict)

    def vectors(self, phrases: Sequence[str]) -> Tensor:
        """Return (K, D) float32 on the CPU, each of length 1; a phrase is read once."""
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._known]
        if missing:
            # A normal tensor also under inference mode, which gradients would not survive.
            with torch.inference_mode(False), torch.no_grad():
                rows = F.normalize(self.read(missing).float().cpu(), dim=1)
            if not bool(rows.isfinite().all()):
                raise ModelProblem("The text side answers with numbers that are none: its weights do not fit.")
            self._known.update(zip(missing, rows, strict=True))
        return torch.stack([self._known[phrase] for phrase in phrases])


class ImageTower(nn.Module):
    """The tower for pictures, its parts by their library's names."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Any = pictures
        for name, part in self.named_children():
            found = part(pixel_values=found).pooler_output if name == "vision_model" else part(found)
        features: Tensor = found
        return features


def nbytes(module: nn.Module) -> int:
    """Return the bytes of a module's parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
