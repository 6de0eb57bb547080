"""A network in a file of a person's own, to be dropped beside its weights."""

from pathlib import Path

import torch
from torch import nn

SOURCE = Path(__file__).read_bytes()


class PlantNet(nn.Module):
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return PlantNet().state_dict()
