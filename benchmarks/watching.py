"""Measure what watching adds to an epoch of a training."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks.report import FOLDER, Row, grid, machine, page
from sightglass.callbacks import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

OUT = FOLDER / "TRAINING.md"
EPOCHS, PICTURES, BATCH, CIFAR = 3, (8, 16), 32, 50_000
WISH = 0.02
"""Of an epoch."""


def make_small() -> nn.Module:
    """Return a plain network of 0.2 million parameters for pictures of 32 px."""
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def make_resnet() -> nn.Module:
    """Return a ResNet-18 whose stem keeps the size of small pictures, as usual for CIFAR."""
    net = resnet18(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "four convolutions, 0.2 M parameters": (make_small, 512),
    "ResNet-18 for 32 px, 11 M parameters": (make_resnet, 32),
}
"""Each with the pictures of an epoch: what is trained for does not matter to the time."""


def measure_net(name: str, watched: int) -> Row:
    """Return a processor's seconds in an epoch, and its milliseconds for watching so many pictures after it."""
    make, count = NETS[name]
    torch.manual_seed(0)
    net, dice = make(), np.random.default_rng(0)
    pictures, classes = torch.rand(count, 3, 32, 32), torch.arange(count) % 10
    shown = [dice.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(watched)]
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    epochs, watching = [], []
    with tempfile.TemporaryDirectory() as folder:
        watcher = Watcher(shown, Path(folder) / "watched", preprocess={"size": 32}, inside=(0, 0, 8, 8))
        for epoch in range(EPOCHS):
            begun = time.process_time()
            for part in torch.randperm(count).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(pictures[part]), classes[part]).backward()
                optimizer.step()
            trained = time.process_time()
            watcher.step(net, epoch)
            epochs.append(trained - begun)
            watching.append(time.process_time() - trained)
    # The first step also imports what the later ones use.
    return {
        "net": name,
        "pictures": watched,
        "trained": count,
        "epoch": median(epochs),
        "first": watching[0] * 1e3,
        "milliseconds": median(watching[1:]) * 1e3,
    }


def measure() -> Row:
    """Measure every network with every number of watched pictures, with one thread."""
    torch.set_num_threads(1)
    at = machine(1, "cpu")
    return {"machine": at, "rows": [measure_net(name, watched) for name in NETS for watched in PICTURES]}


def markdown(result: Row) -> str:
    """Return the report."""
    rows, shares = [], []
    for row in result["rows"]:
        pace = row["trained"] / row["epoch"]
        shares.append(row["milliseconds"] / 1e3 / (CIFAR / pace))
        numbers = (f"{pace:,.0f}", f"{row['milliseconds']:.0f}", f"{row['first']:.0f}", f"{shares[-1]:.2%}")
        rows.append((row["net"], str(row["pictures"]), *numbers))
    head = ("network", "watched pictures", "trained with in 1 s", "watching, ms", "the first time, ms", "of an epoch")
    within = sum(share <= WISH for share in shares)
    return page(
        "Watching a training: what it costs",
        "watching",
        result["machine"],
        "Networks for pictures of 32 px are trained, and watched after each epoch by a `sightglass.callbacks.Watcher`. "
        f"The last column is of an epoch of {CIFAR:,} pictures, as CIFAR-10 has, at the measured pace: the epochs that "
        "were measured are shorter. Seconds are those of a processor, with one thread.",
        grid(head, rows),
        f"{within} of {len(shares)} are within {WISH:.0%} of an epoch. On a GPU nothing was measured.",
    )
