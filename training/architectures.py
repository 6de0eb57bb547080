"""Write the index of torchvision's and timm's architectures: `python -m training.architectures` (minutes)."""

from __future__ import annotations

import json

import timm
import torchvision

from sightglass.models.checkpoints.architectures import INDEX, build, fingerprint

if __name__ == "__main__":
    known = {"torchvision": torchvision.models.list_models(torchvision.models), "timm": timm.list_models()}
    index = {}
    for library, name in [(library, name) for library, names in known.items() for name in names]:
        try:
            if tensors := build(library, name).state_dict():
                index[f"{library}/{name}"] = fingerprint(tensors)
        # One that cannot be built is left out of the index; the operator has to name it.
        except Exception as reason:
            print(f"{library}/{name}: {reason}")
    INDEX.write_text(json.dumps(index, indent=0) + "\n", "utf-8")
