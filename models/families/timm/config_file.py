"""Read `config.json` of timm, which lies beside a model's weights on the hub."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.common.files import note_files
from sightglass.models import labels
from sightglass.models.checkpoints.architectures import timm_fit
from sightglass.models.checkpoints.weights import CONFIGURATION
from sightglass.models.spec import PreprocessingTable, read_table

CROP_PCT = 0.875
"""Share of the resized picture that timm crops where a file does not state it."""
_SYNSET = re.compile(r"n\d{8}")
"""A class's name in WordNet, which only its description explains."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says of a model."""

    architecture: str
    """Name in timm, without the tag of a training."""
    preprocessing: PreprocessingTable
    names: tuple[str, ...]
    """Names of its classes, or none."""
    arguments: Mapping[str, str]
    """Those of its architecture that its tensors do not show."""

    @property
    def table(self) -> Mapping[str, Any]:
        """Return its names as a table of a checkpoint, for `labels.find_names`."""
        return {"names": self.names}

    def preprocessing_for(self, channels: int) -> PreprocessingTable:
        """Return the preprocessing of a network with so many channels."""
        table = self.preprocessing
        if any(numbers is not None and len(numbers) != channels for numbers in (table.mean, table.std)):
            table = replace(table, mean=None, std=None)
        return table.for_channels(channels)


NONE = Config("", PreprocessingTable(), (), {})


def read_beside(weights: Path, architecture: str = "") -> Config:
    """Return what the file beside weights says; `NONE` without one of timm, or of another `architecture`.

    Raises ModelProblem where a key has a value that it cannot have.
    """
    content = _read(weights.with_name(CONFIGURATION))
    stated = content.get("architecture")
    if not isinstance(stated, str) or "model_type" in content:
        return NONE
    name = stated.partition(".")[0]
    if architecture not in ("", name):
        return NONE
    # Older files have these keys beside the architecture.
    inner = content.get("pretrained_cfg")
    keys = inner if isinstance(inner, dict) else content
    arguments = content.get("model_args")
    pooling = arguments.get("global_pool") if isinstance(arguments, dict) else None
    shown = {"global_pool": pooling} if isinstance(pooling, str) else {}
    return Config(name, _preprocessing(keys), names_in({**keys, **content}), shown)


def _read(file: Path) -> Mapping[str, Any]:
    """Return the file's keys, or none of an unreadable file."""
    if not file.is_file() or file.stat().st_size > labels.MAX_BYTES:
        return {}
    note_files([file])
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _preprocessing(keys: Mapping[str, Any]) -> PreprocessingTable:
    """Return the preprocessing of timm's evaluation transform by its keys."""
    table = {key: keys[key] for key in ("mean", "std", "interpolation") if keys.get(key)}
    size = keys.get("input_size")
    if size:
        sides = _sides(size)
        share = keys.get("crop_pct") or CROP_PCT
        if not isinstance(share, int | float) or share <= 0:
            raise ModelProblem(f"crop_pct in {CONFIGURATION} is {share!r}, and should be a number above 0.")
        table = {"interpolation": "bicubic", "size": sides} | table | timm_fit(sides, share, keys.get("crop_mode"))
    return read_table(PreprocessingTable, table, "it", CONFIGURATION)


def _sides(size: Any) -> tuple[int, int]:
    """Return (height, width) of `input_size`."""
    if not isinstance(size, list) or len(size) != 3 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ModelProblem(f"input_size in {CONFIGURATION} is {size!r}, and should be [channels, height, width].")
    return size[1], size[2]


def names_in(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of classes in `pretrained_cfg`, or none; of synsets their descriptions."""
    # Older files call them `labels`.
    stated = keys.get("label_names") or keys.get("labels")
    try:
        names = labels.order(stated)
    except ValueError:
        return ()
    described = keys.get("label_descriptions")
    if isinstance(described, dict):
        names = tuple(str(described.get(name, name)) if _SYNSET.fullmatch(name) else name for name in names)
    return labels.tell_apart(names)
