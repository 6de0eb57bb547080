"""The architecture of demo-clip: a picture and a phrase side by side, as vectors of one space.

Built like its full-size relatives (https://arxiv.org/abs/2103.00020), and compared with a sigmoid for each pair as in
SigLIP (https://arxiv.org/abs/2303.15343): whether a phrase is true of a scene has nothing to do with other phrases.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import ModelProblem
from models.demo.captioned_scenes import COLOURS, SHAPES, SYNONYMS
from models.demo.nets import classifier, filled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

JOINT, LENGTH = 64, 12
"""Numbers in a vector of the shared space, and the most words of a phrase with its end."""
GLUE = ("a", "an", "the", "of", "that", "is")
PLAIN = ("picture", "photo", "drawing", "scene", "something", "anything", "thing")
"""Words that are true of every scene."""
WORDS = (
    "<end>",
    *GLUE,
    *PLAIN,
    *dict.fromkeys(word for name in (*COLOURS, *SHAPES) for word in SYNONYMS.get(name, (name,))),
)
NAME = "demo-clip"


def tokenize(phrases: Sequence[str]) -> Tensor:
    """(K, LENGTH) int64: each phrase's words, then its end, which is 0 as is all that follows.

    Raises ModelProblem for a word that is not among `WORDS`, and for a phrase that is too long.
    """
    rows = torch.zeros(len(phrases), LENGTH, dtype=torch.long)
    for row, phrase in zip(rows, phrases, strict=True):
        words = re.findall(r"[^\W_]+", phrase.lower())
        if len(words) >= LENGTH:
            raise ModelProblem(f"{NAME} reads {LENGTH - 1} words at most: say {phrase!r} in fewer.")
        for at, word in enumerate(words):
            if word not in WORDS:
                known = f"colours ({', '.join(COLOURS)}) and shapes ({', '.join(SHAPES)})"
                raise ModelProblem(f"{NAME} does not know the word {word!r}: it was taught {known}, as in red star.")
            row[at] = WORDS.index(word)
    return rows


class TextTower(nn.Module):
    """(K, LENGTH) words to (K, JOINT): two transformer layers, read at the phrase's end."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width)
        self.places = nn.Parameter(torch.randn(LENGTH, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, JOINT, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        ends = (tokens == 0).int().argmax(1)
        beyond = torch.arange(LENGTH, device=tokens.device) > ends[:, None]
        x = self.layers(self.words(tokens) + self.places, src_key_padding_mask=beyond)
        found: Tensor = self.projection(self.norm(x[torch.arange(len(x), device=x.device), ends]))
        return found


class VisionTower(nn.Module):
    """The residual net of the classifiers beside it, and the mean over its places: float32 (B, 3, h, w), normalised, to
    (B, JOINT). CLIP's own convolutional towers pool by attention; a mean is learnt in less time.
    """

    def __init__(self) -> None:
        super().__init__()
        body: Any = classifier("honest")
        self.stem, self.layer1, self.layer2, self.layer3, self.layer4 = (
            body.stem,
            body.layer1,
            body.layer2,
            body.layer3,
            body.layer4,
        )
        self.norm = nn.LayerNorm(body.fc.in_features)
        self.projection = nn.Linear(body.fc.in_features, JOINT)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(pictures)))))
        found: Tensor = self.projection(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2)))
        return found


class DemoClip(nn.Module):
    """Both towers. `forward` gives logits (B, K): above 0 where it holds a phrase for true of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.text = VisionTower(), TextTower()
        self.logit_scale = nn.Parameter(torch.tensor(10.0).log())
        self.logit_bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        seen, said = F.normalize(self.visual(pictures), dim=1), F.normalize(self.text(tokens), dim=1)
        found: Tensor = self.logit_scale.exp() * seen @ said.T + self.logit_bias
        return found


def trained(path: Path) -> DemoClip:
    """Return the model with a file's weights, in eval mode; raise WeightsProblem where they do not fit."""
    return filled(DemoClip(), path, "clip_train")
