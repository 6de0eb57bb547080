"""Check the tables of a catalogue: the keys that each may have, and what a right value is."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem
from common.suggestions import did_you_mean
from models.adapter import ModelSpec
from models.load import current_name, loader_exists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TASKS = ("classify", "detect", "embed")
MAX_INPUT_SIDE = 4096
"""Maximum side of a model's input in pixels."""

# Keys of each table, with the kinds of their values; a table in a table is a dictionary again.
_NUMBER = (int, float)
_PREPROCESSING = {
    "size": int,
    "short_side": int,
    "mean": list,
    "std": list,
    "channels_in": int,
    "divide_by": _NUMBER,
    "channels": str,
    "range": int,
    "place": str,
    "interpolation": str,
    "antialias": bool,
    "crop": str,
    "transforms": str,
}
_WEIGHTS = {
    "package": str,
    "file": str,
    "path": str,
    "url": str,
    "hub": str,
    "sha256": str,
    "labels": (str, list),
    "template": (str, list),
    "key": str,
    "args": dict,
    "layout": str,
    "random": int,
    "sketch": str,
    "preprocessing": _PREPROCESSING,
    "config": str,
}
_WHY = {"method": str, "target_layers": list}
_ENDPOINT = {
    "url": str,
    "send": str,
    "field": str,
    "format": str,
    "boxes": str,
    "normalised": bool,
    "timeout": _NUMBER,
    "at_once": int,
    "size": int,
    "token_env": str,
}
SHARED = {
    "loader": str,
    "task": str,
    "licence": str,
    "source": str,
    "method": str,
    "channels_last": bool,
    "target_layers": list,
    "why": _WHY,
    "example": str,
    "arch": (str, dict),
    "weights": _WEIGHTS,
}
"""Keys of a family that hold for all of its models, and that a model may have too."""
TOP = {"family": list, "model": dict}
FAMILY = {**SHARED, "name": str, "sizes": dict, "files": dict, "megabytes": dict}
MODEL = {**SHARED, "family": str, "size": str, "arch": str, "endpoint": _ENDPOINT, "megabytes": _NUMBER}
assert set(SHARED) <= {field.name for field in fields(ModelSpec)}


def check(path: Path, where: str, table: object, allowed: Mapping[str, Any], needed: tuple[str, ...] = ()) -> None:
    """Raise ModelProblem naming the table and the key that is unknown, missing or of the wrong kind."""
    if not isinstance(table, dict):
        raise ModelProblem(f"{path.name}: {where} should be a table.")
    for key, value in table.items():
        if key not in allowed:
            hint = did_you_mean(key, allowed, f"it may have {', '.join(allowed)}.")
            raise ModelProblem(f"{path.name}: {where} has an unknown key {key}: {hint}")
        kind = allowed[key]
        expected: Any = dict if isinstance(kind, dict) else kind
        if not isinstance(value, expected):
            raise ModelProblem(f"{path.name}: {key} in {where} is of the wrong kind ({value!r}).")
        if key == "task" and value not in TASKS:
            raise ModelProblem(f"{path.name}: task in {where} is one of {', '.join(TASKS)}, not {value!r}.")
        if key == "loader" and not loader_exists(current_name(value)):
            raise ModelProblem(f"{path.name}: loader in {where} is {value!r}, which is no file of models/families.")
        if isinstance(kind, dict):
            check(path, f"{key} of {where}", value, kind, needed=("url",) if kind is _ENDPOINT else ())
        elif key in ("mean", "std") and not (0 < len(value) <= 16 and all(type(number) is float for number in value)):
            raise ModelProblem(f"{path.name}: {key} in {where} should be three numbers such as 0.5, or one a channel.")
        elif allowed is _PREPROCESSING and key in ("size", "short_side") and not 1 <= value <= MAX_INPUT_SIDE:
            raise ModelProblem(f"{path.name}: {key} in {where} is from 1 to {MAX_INPUT_SIDE} pixels, not {value}.")
        elif key == "std" and not all(0 < number < float("inf") for number in value):
            raise ModelProblem(f"{path.name}: std in {where} is more than 0 for every channel, not {value}.")
        elif key == "channels_in" and not 1 <= value <= 16:
            raise ModelProblem(f"{path.name}: channels_in in {where} is from 1 to 16, not {value}.")
        elif key == "divide_by" and not value > 0:
            raise ModelProblem(f"{path.name}: divide_by in {where} is more than 0, not {value}.")
        elif isinstance(value, dict) and allowed is not TOP and key != "args":
            check(path, f"{key} of {where}", value, dict.fromkeys(value, _NUMBER if key == "megabytes" else str))
    for key in needed:
        if key not in table:
            raise ModelProblem(f"{path.name}: {where} needs the key {key}.")
