"""Write the index of torchvision's and timm's architectures: `python -m training.architectures` (minutes)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import timm
import torchvision
from torch import nn

from sightglass.models.checkpoints.architectures import INDEX, build, fingerprint


def every_classifier() -> Iterator[tuple[str, nn.Module]]:
    """Yield both libraries' classifiers, without tensor memory if possible."""
    known = {"torchvision": torchvision.models.list_models(torchvision.models), "timm": timm.list_models()}
    for library, names in known.items():
        for name in names:
            try:
                yield f"{library}/{name}", build(library, name)
            # One that cannot be built is left out of the index; the operator has to name it.
            except Exception as reason:
                print(f"{library}/{name}: {reason}")


if __name__ == "__main__":
    index = {name: fingerprint(tensors) for name, module in every_classifier() if (tensors := module.state_dict())}
    INDEX.write_text(json.dumps(index, indent=0) + "\n", "utf-8")
