"""Time received models in processes of their own beside the same ones in this process."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.report import Row, grid, machine, page
from benchmarks.timing import Contender, measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sightglass.explain import Explainer, Explanation

ROUNDS, SLOW_ROUNDS = 20, 3
GOAL = 1.05
PICTURES = 64
"""Different pictures, so that each map takes a pass."""
NET = """
from torchvision.models import resnet18

def make(num_classes=5):
    return resnet18(num_classes=num_classes)
"""


def _make_keras(folder: Path) -> tuple[Path, str]:
    from sightglass.models.families.keras.network import keras

    keras().utils.set_random_seed(0)
    keras().applications.MobileNetV2(weights=None).save(folder / "mobilenet.keras")
    return folder / "mobilenet.keras", ""


def _make_code(folder: Path) -> tuple[Path, str]:
    import torch
    from torchvision.models import resnet18

    torch.manual_seed(0)
    (folder / "net.py").write_text(NET, "utf-8")
    torch.save(resnet18(num_classes=5).state_dict(), folder / "net.pth")
    return folder / "net.pth", f"{folder}/net.py:make"


MODELS: dict[str, Callable[[Path], tuple[Path, str]]] = {
    "MobileNetV2 of Keras": _make_keras,
    "ResNet-18 of a person's file": _make_code,
}
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "GradCAM, one class": (ROUNDS, {"top_k": 1}),
    "Occlusion": (SLOW_ROUNDS, {"top_k": 1, "method": "occlusion"}),
    "Integrated Gradients": (SLOW_ROUNDS, {"top_k": 1, "method": "integratedgradients"}),
}
"""What is timed: rounds, and options."""


def run(options: argparse.Namespace) -> Row:
    """Return milliseconds of each kind, model and place, by turns."""
    import torch

    rows = []
    with tempfile.TemporaryDirectory() as store, patch.dict(os.environ, SIGHTGLASS_OWN_MODELS=store):
        for name, make in MODELS.items():
            folder = Path(store) / name.partition(" ")[0].lower()
            folder.mkdir()
            path, arch = make(folder)
            apart, here = _explainer(path, arch, apart=True), _explainer(path, arch, apart=False)
            for kind, (rounds, arguments) in KINDS.items():
                contenders = [
                    Contender("apart", "apart", _explain(apart, arguments), _next_picture()),
                    Contender("here", "here", _explain(here, arguments), _next_picture()),
                ]
                times = measure(contenders, options.rounds or rounds, warm_up=1)
                medians = {place: statistics.median(took) for place, took in times.items()}
                rows.append({"model": name, "kind": kind, **medians})
    return {"machine": machine(torch.get_num_threads(), "cpu"), "rows": rows, "complete": True}


def _explainer(path: Path, arch: str, *, apart: bool) -> Explainer:
    from sightglass.explain import Explainer
    from sightglass.explain.evidence.loaded_model import ModelCache
    from sightglass.models import own

    with patch.object(own, "runs_apart", lambda _: apart):
        return Explainer(path, arch=arch, device="cpu", model_cache=ModelCache(2**32))


def _explain(explainer: Explainer, arguments: dict[str, Any]) -> Callable[[Any], Explanation]:
    return lambda picture: explainer(picture, **arguments)


def _next_picture() -> Callable[[], Any]:
    numbers = np.random.default_rng(0)
    return lambda: numbers.integers(0, 256, (480, 640, 3), np.uint8)


def markdown(result: Row) -> str:
    """Return the report."""
    how = (
        "The same files are explained in a process of their own and in this one, by turns, each time another picture "
        f"of 640 x 480 pixels; medians. The goal is at most {GOAL} times the time."
    )
    head = ("model", "map", "in this process, ms", "in its own, ms", "ratio")
    lines = [
        (row["model"], row["kind"], f"{row['here']:.1f}", f"{row['apart']:.1f}", f"{row['apart'] / row['here']:.2f}x")
        for row in result["rows"]
    ]
    return page("What a process of its own costs", "received", result["machine"], how, grid(head, lines))
