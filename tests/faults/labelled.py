"""Models and pictures whose names are hostile, and where such a name would be more than text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from torchvision.models import squeezenet1_1

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<img src=x onerror=hacked()> $x$ :red[a] [b](https://evil.example) **d** `e` ~~f~~ _g_ | </script>"
MORE = (
    "\u202egnp.exe\x00\x1b[31m",
    "x" * 10_000,
    "line\nERROR injected",
    "=HYPERLINK(evil)",
    "![x](https://evil.example/x.png)",
    ":material/home: {0} %s {hot} ${x}",
)
LABELS = tuple(f"{HOSTILE} {more} {i}" for i, more in enumerate((*MORE, *range(10))))
NAME = "<img src=x onerror=hacked()> $x$ :red[a] [b](c) **d** =1+1.png"
CLASSIFIERS, DETECTOR = ("labelled-one", "labelled-two"), "labelled-boxes"
_MODEL = """
[model."{name}"]
loader = "torchvision_models"
arch = "squeezenet1_1"
task = "classify"
weights = {{ path = "{folder}/{name}.pth", labels = "{folder}/labels.json" }}
"""
_BOXES = """
[model."{name}"]
loader = "demo"
arch = "demo-s"
task = "detect"
weights = {{ package = "sightglass.models.demo", file = "weights/demo-s.safetensors", labels = "{folder}/labels.json" }}
"""


def tables(folder: Path) -> Path:
    """Write models with such labels; return the models.toml that names them."""
    (folder / "labels.json").write_text(json.dumps(LABELS))
    text = _BOXES.format(name=DETECTOR, folder=folder)
    for i, name in enumerate(CLASSIFIERS):
        torch.manual_seed(i)
        torch.save(squeezenet1_1(num_classes=len(LABELS)).state_dict(), folder / f"{name}.pth")
        text += _MODEL.format(name=name, folder=folder)
    path = folder / "models.toml"
    path.write_text(text)
    return path
