"""Train tiny vision transformers on spots whose place is known.

One has a class token, one has windows; each takes a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
COLOURS = ((220, 40, 40), (40, 180, 40), (40, 60, 220), (220, 200, 30), (190, 50, 200), (40, 200, 210))
NAMES = ("red", "green", "blue", "yellow", "purple", "cyan")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A grey picture with blots and one spot of a colour, which colour, and where it is."""

    pixels: NDArray[np.uint8]
    """(32, 32, 3)"""
    index: int
    mask: NDArray[np.bool_]
    """(32, 32)"""


def draw(number: int) -> Drawn:
    """Return a picture by its number, the same every time."""
    rng = np.random.default_rng([51, number])
    coarse = rng.integers(60, 196, (5, 5)).astype(np.uint8)
    grey = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for _ in range(2):
        at, sides = rng.integers(4, SIDE - 4, 2).tolist(), rng.integers(2, 6, 2).tolist()
        cv2.ellipse(grey, at, sides, float(rng.integers(180)), 0, 360, int(rng.integers(256)), -1)
    index, reach = int(rng.integers(len(COLOURS))), int(rng.integers(3, 6))
    at = rng.integers(reach + 1, SIDE - reach - 1, 2).tolist()
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, at, reach, 1, -1)
    pixels = np.repeat(grey[:, :, None], 3, axis=2).astype(np.float64)
    # The grey shows through the colour: brightness alone tells nothing.
    pixels[mask > 0] = 0.4 * pixels[mask > 0] + 0.6 * np.array(COLOURS[index])
    noisy = pixels + rng.normal(0, 10, pixels.shape)
    return Drawn(noisy.clip(0, 255).astype(np.uint8), index, mask > 0)


def build(kind: str) -> nn.Module:
    """Return `vit` (class token) or `swin`: float32 (B, 3, 32, 32) to logits (B, 6); both end with 8 x 8 cells."""
    if kind == "swin":
        from timm.models.swin_transformer import SwinTransformer

        return SwinTransformer(
            img_size=SIDE,
            patch_size=2,
            embed_dim=32,
            depths=(2, 2),
            num_heads=(2, 4),
            window_size=4,
            num_classes=len(NAMES),
        )
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=SIDE, patch_size=4, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2, num_classes=len(NAMES)
    )


def train(kind: str, steps: int, batch: int = 64, pool: int = 3000, seed: int = 0) -> nn.Module:
    """Return a net trained on pictures 0 to `pool`; held-out ones have higher numbers."""
    torch.manual_seed(seed)
    drawn = [draw(number) for number in range(pool)]
    pixels = torch.from_numpy(np.stack([one.pixels for one in drawn])).permute(0, 3, 1, 2)
    labels = torch.tensor([one.index for one in drawn])
    net = build(kind).train()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    for _ in range(steps):
        rows = torch.randint(pool, (batch,))
        given = pixels[rows].float() / 127.5 - 1
        loss = nn.functional.cross_entropy(net(given), labels[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    return net.eval()
