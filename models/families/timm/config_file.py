"""Read `config.json` of timm, which lies beside a model's weights on the hub."""

import inspect
import json
import math
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
ARGUMENTS = f"model_args in {CONFIGURATION}"
"""What sentences call the arguments of an architecture."""
LARGEST, LONGEST = 2**16, 2**10
"""The largest number of an argument, and the letters or values of one."""
SHOWN = 60
"""Letters of a wrong value in a sentence."""
_FURTHER = ("device", "dtype", "features_only", "out_indices", "feature_cls", "pruned")
"""Arguments of timm's functions that are not in their signatures: where it builds, and which part of the network."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says of a model."""

    architecture: str
    """Name in timm, without the tag of a training."""
    preprocessing: PreprocessingTable
    names: tuple[str, ...]
    """Names of its classes, or none."""
    arguments: Mapping[str, Any]
    """Those of its architecture: plain numbers, texts, truth values, and lists of these."""

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
    arguments = _arguments(content.get("model_args"))
    if arguments.get("img_size") and keys.get("fixed_input_size"):
        keys = {**keys, "input_size": [3, *_both_sides(arguments["img_size"])]}
    return Config(name, _preprocessing(keys), names_in({**keys, **content}), arguments)


def _arguments(stated: Any) -> Mapping[str, Any]:
    """Return the arguments of an architecture that are stated, as timm takes them.

    Raises ModelProblem for those of timm's own functions, which load files or change what the network answers, and for
    values that are not plain.
    """
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        raise ModelProblem(f"{ARGUMENTS} is {_shorten(stated)}, and should be a table of arguments.")
    # timm leaves out those without a value, too.
    arguments = {key: value for key, value in stated.items() if value is not None}
    if not arguments:
        return {}
    foreign = next((key for key in arguments if key in _own_parameters()), None)
    if foreign is not None:
        raise ModelProblem(
            f"{ARGUMENTS} states {foreign}, which is no argument of an architecture: remove it there, or build the "
            "network in Python and give the module."
        )
    for key, value in arguments.items():
        _check_plain(key, value)
    return arguments


def _check_plain(key: str, value: Any) -> None:
    """Raise ModelProblem for the value of an argument that is not plain."""
    values = value if isinstance(value, list) and len(value) <= LONGEST else [value]
    if not all(map(_is_plain, values)):
        raise ModelProblem(
            f"{_shorten(key)} of {ARGUMENTS} is {_shorten(value)}, and should be a number up to {LARGEST:,}, a "
            "text, true or false, or a list of these."
        )


def _own_parameters() -> set[str]:
    """Return the names of what timm's functions take for themselves."""
    from timm import create_model
    from timm.models import build_model_with_cfg

    parameters = {*inspect.signature(create_model).parameters, *inspect.signature(build_model_with_cfg).parameters}
    return parameters | {*_FURTHER}


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, text or bool of usual size."""
    if isinstance(value, str):
        return len(value) <= LONGEST
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= LARGEST


def _both_sides(size: Any) -> Any:
    return size if isinstance(size, list) else (size, size)


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


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
