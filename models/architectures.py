"""Which architecture some tensors are of, by their names and shapes: those of torchvision and timm are on file.

`python -m models.architectures` writes the file anew, for the libraries that are installed (minutes).
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

INDEX = Path(__file__).with_name("architectures.json")
HEADS = ("fc", "classifier", "head", "heads", "head_dist", "last_linear", "aux1", "aux2", "AuxLogits", "aux_logits")
"""Top-level names of what is exchanged for other classes, or only there in training."""
PLACES = ("pos_embed", "encoder.pos_embedding")
SIDES = (224, 384, 256, 240, 448, 512, 518, 336, 196, 160, 288)
"""Pixels of the pictures that transformers are made for as a rule."""
_PASSING = re.compile(r"(num_batches_tracked|relative_position_index|relative_coords_table|attn_mask)$")


def exact(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """`library/name` of every architecture that has these tensors, whatever its head; torchvision's first."""
    if found := _index()[0].get(_print(_body(tensors))):
        return found
    # The first convolution may have been made for other channels.
    if (stem := next((name for name, tensor in tensors.items() if tensor.ndim == 4), None)) is None:
        return ()
    if found := _index()[0].get(_print(_body({**tensors, stem: tensors[stem][:, :1].expand(-1, 3, -1, -1)}))):
        return found
    # And a transformer's places for another size of picture.
    places = next((name for name in PLACES if name in tensors and tensors[name].ndim == 3), None)
    if places is None:
        return ()
    patch = tensors[stem].shape[-1]
    for side, prefix in product(SIDES, range(6)):
        other = tensors[places][:, :1].expand(-1, (side // patch) ** 2 + prefix, -1)
        if found := _index()[0].get(_print(_body({**tensors, places: other}))):
            return found
    return ()


def alike(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Those that have the same names of tensors but for numbers: the same family, most likely another size."""
    return _index()[1].get(_kind(tensors), ())


def _body(tensors: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in sorted(tensors.items())
        if name.partition(".")[0] not in HEADS and not _PASSING.search(name)
    ]


def _kind(tensors: Mapping[str, Tensor]) -> str:
    return _print(sorted({re.sub(r"\d+", "#", line.partition(" ")[0]) for line in _body(tensors)}))


def _print(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:10]


@cache
def _index() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    found: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = ({}, {})
    for name, prints in json.loads(INDEX.read_text("utf-8")).items():
        for held, fingerprint in zip(found, prints.split(), strict=True):
            held[fingerprint] = (*held.get(fingerprint, ()), name)
    return found


def _all() -> Iterator[tuple[str, nn.Module]]:
    """Every classifier of both libraries, without memory for its tensors where its builder allows that."""
    import timm
    import torchvision

    from models.families.custom.loader import build

    known = {"torchvision": torchvision.models.list_models(torchvision.models), "timm": timm.list_models()}
    for library, names in known.items():
        for name in names:
            try:
                yield f"{library}/{name}", build(library, name)
            # One that cannot be built so is not found by itself; the operator names it.
            except Exception as reason:
                print(f"{library}/{name}: {reason}")


def _write() -> None:
    prints = {
        name: f"{_print(_body(tensors))} {_kind(tensors)}"
        for name, module in _all()
        if (tensors := module.state_dict())
    }
    INDEX.write_text(json.dumps(prints, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    _write()
