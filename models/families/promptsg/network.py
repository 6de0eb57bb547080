"""PromptSG's network (Yang et al., CVPR 2024, pages 17343-17353).

CLIP's image encoder makes patch tokens. An inversion network turns the picture's own embedding into a pseudo-token X,
CLIP's text encoder reads "A photo of a X person", and in the multimodal interaction module that sentence is the query
of a cross-attention over the patches. Transformer blocks, a bottleneck (a batch norm) and a classifier of the training
identities follow. Parameters have the names of CLIP-ReID's checkpoints, on which PromptSG's own are built.

The paper defines the query, the keys and that patches are weighted by the attention; here what the sentence read enters
the next blocks.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightglass.models.spec import Table

BEFORE, AFTER = 5, 3
"""Tokens of the sentence before X and after it: `<start> a photo of a` and `person . <end>`."""


@dataclass(frozen=True, slots=True)
class Config(Table):
    """Dimensions of a PromptSG, by default on CLIP's ViT-B/16."""

    size: tuple[int, int] = (256, 128)
    """(h, w) of the input in pixels."""
    patch: int = 16
    stride: int = 16
    """Less than `patch`: patches overlap (CLIP-ReID has 12)."""
    width: int = 768
    layers: int = 12
    heads: int = 12
    embed: int = 512
    """Width of both encoders' output, of the interaction, and of what pictures are compared by."""
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    context: int = 77
    """Places of the text encoder that have a position of their own."""
    mim_heads: int = 8
    mim_layers: int = 2
    classes: int = 751
    """0: the classifier was left out."""

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) in patches."""
        h, w = ((side - self.patch) // self.stride + 1 for side in self.size)
        return h, w


class Outputs(NamedTuple):
    """Outputs of one pass of B pictures."""

    logits: Tensor
    """(B, classes), of the training identities."""
    embedding: Tensor
    """(B, embed), after the bottleneck: what two pictures are compared by."""
    feature: Tensor
    """(B, embed), before the bottleneck."""
    image: Tensor
    """(B, embed), the image encoder's own."""
    text: Tensor
    """(B, embed), of the sentence."""


class QuickGELU(nn.Module):
    """CLIP's cheap GELU."""

    def forward(self, x: Tensor) -> Tensor:
        # x * sigmoid(1.702 x), as one kernel.
        return functional.silu(1.702 * x) / 1.702


class AttentionBlock(nn.Module):
    """CLIP's ResidualAttentionBlock."""

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": QuickGELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        rows, n = self.ln_1(x), x.shape[1]
        hidden = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1) if self.causal else None
        # As views, so that each is projected alone: with gradients and without them to the same bits.
        queries, keys, values = (rows.view_as(rows) for _ in range(3))
        x = x + self.attn(queries, keys, values, need_weights=False, attn_mask=hidden)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


def _transformer(width: int, heads: int, layers: int, *, causal: bool = False) -> nn.Sequential:
    """Return blocks one after the other, by CLIP's name for them."""
    blocks = nn.Sequential(*(AttentionBlock(width, heads, causal=causal) for _ in range(layers)))
    return nn.Sequential(OrderedDict(resblocks=blocks))


class ImageEncoder(nn.Module):
    """CLIP's ViT with all tokens as output, (B, 1 + h*w, embed)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, (h, w) = config.width, config.grid
        self.conv1 = nn.Conv2d(3, width, config.patch, config.stride, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = nn.Parameter(torch.randn(1 + h * w, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = _transformer(width, config.heads, config.layers)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, config.embed) * width**-0.5)
        self.projected = nn.Identity()
        """The projection's output as a layer: `vit_proj`."""

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        tokens: Tensor = self.projected(self.ln_post(self.transformer(self.ln_pre(x))) @ self.proj)
        return tokens


def _inversion(embed: int, text_width: int) -> nn.Sequential:
    """Return linear layers from the picture's embedding (B, embed) to a pseudo-token (B, text width)."""
    layers: dict[str, nn.Module] = {"fc1": nn.Linear(embed, embed), "relu1": nn.ReLU()}
    layers |= {"fc2": nn.Linear(embed, embed), "relu2": nn.ReLU()}
    layers |= {"fc3": nn.Linear(embed, text_width), "bn": nn.BatchNorm1d(text_width)}
    return nn.Sequential(OrderedDict(layers))


class TextEncoder(nn.Module):
    """CLIP's text transformer on "A photo of a X person.", whose own tokens are kept without their table."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.text_width
        self.token_prefix = nn.Parameter(torch.randn(BEFORE, width) * 0.02)
        self.token_suffix = nn.Parameter(torch.randn(AFTER, width) * 0.02)
        self.positional_embedding = nn.Parameter(torch.randn(config.context, width) * 0.01)
        self.transformer = _transformer(width, config.text_heads, config.text_layers, causal=True)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, config.embed) * width**-0.5)

    def forward(self, pseudo: Tensor) -> Tensor:
        """`pseudo` (B, text width); returns (B, embed)."""
        before, after = (part.expand(len(pseudo), -1, -1) for part in (self.token_prefix, self.token_suffix))
        x = torch.cat([before, pseudo.unsqueeze(1), after], 1)
        # The end token is last: causal attention never sees CLIP's padding, which is left out here.
        x = self.ln_final(self.transformer(x + self.positional_embedding[: x.shape[1]]))
        sentence: Tensor = x[:, -1] @ self.text_projection
        return sentence


class CrossAttention(nn.MultiheadAttention):
    """One query, the sentence, over the patches.

    `weighed` is a place of its own: (B, h*w, embed), each patch's value times its weight. What the sentence reads is
    their sum, so a gradient there is exactly each patch's share.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, batch_first=True)
        self.weighed = nn.Identity()

    def forward(self, text: Tensor, patches: Tensor) -> Tensor:  # type: ignore[override]
        """`text` (B, embed), `patches` (B, h*w, embed); (B, 1, embed)."""
        inputs = (text.unsqueeze(1), patches, patches)
        projections = zip(inputs, self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        rows = (functional.linear(x, w, b) for x, w, b in projections)
        q, k, v = (x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in rows)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)  # (B, heads, 1, h*w)
        shares = (weights.transpose(2, 3) * v).transpose(1, 2).flatten(2)
        read: Tensor = self.out_proj(self.weighed(shares).sum(1, keepdim=True))
        return read


class Interaction(nn.Module):
    """The multimodal interaction module: the sentence over the patches, then transformer blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_text, self.ln_patches = nn.LayerNorm(config.embed), nn.LayerNorm(config.embed)
        self.cross_attention = CrossAttention(config.embed, config.mim_heads)
        self.transformer = _transformer(config.embed, config.mim_heads, config.mim_layers)
        self.ln_post = nn.LayerNorm(config.embed)

    def forward(self, text: Tensor, tokens: Tensor) -> Tensor:
        """`text` (B, embed), `tokens` (B, 1 + h*w, embed), the class token first; (B, embed)."""
        read = self.cross_attention(self.ln_text(text), self.ln_patches(tokens[:, 1:]))
        out: Tensor = self.ln_post(self.transformer(read)[:, 0])
        return out


class PromptSG(nn.Module):
    """float32 (B, 3, h, w), normalised, to `Outputs`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.inversion = _inversion(config.embed, config.text_width)
        self.text_encoder = TextEncoder(config)
        self.mim = Interaction(config)
        self.bottleneck = nn.BatchNorm1d(config.embed)
        self.classifier = nn.Linear(config.embed, config.classes, bias=False) if config.classes else None

    def forward(self, pixels: Tensor) -> Outputs:
        tokens = self.image_encoder(pixels)
        image = tokens[:, 0]
        text = self.text_encoder(self.inversion(image))
        feature = self.mim(text, tokens)
        embedding = self.bottleneck(feature)
        logits = embedding[:, :0] if self.classifier is None else self.classifier(embedding)
        return Outputs(logits, embedding, feature, image, text)
