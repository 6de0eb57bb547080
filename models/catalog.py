"""Which models exist: the packaged catalogue, the operator's own tables, and files that lie in their folders.

Reading it imports neither torch nor any library of models, so a menu costs nothing.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
import zipfile
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from models import weights
from models.adapter import ModelSpec
from models.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOGGER = logging.getLogger(__name__)
PACKAGED = Path(__file__).with_name("catalog.toml")
OWN_FILES = "Own files"
OWN_MODELS = "Own models"
TEXT_ENCODER = "ViT-B-32.pt"
"""CLIP's, which YOLO-World's words need: it lies among the operator's files and is no model by itself."""
TASKS = ("classify", "detect")
ONLY_ANSWER = ("exported", "endpoint")
"""Loaders of models without layers and gradients, which most methods need."""
EXPORTED = (".onnx", ".torchscript", ".xml")
"""Names of files that another program made of a model; OpenVINO's also lie in a folder of their own."""

# What a family says once for its models, and what only a whole family has.
_SHARED = {
    "loader": str,
    "task": str,
    "licence": str,
    "source": str,
    "method": str,
    "channels_last": bool,
    "target_layers": list,
    "why": dict,
    "example": str,
    "arch": (str, dict),
    "weights": dict,
}
_TOP = {"family": list, "model": dict}
_FAMILY = {**_SHARED, "name": str, "sizes": dict, "files": dict}
_MODEL = {**_SHARED, "family": str, "size": str, "arch": str, "endpoint": dict}
_WEIGHTS = {
    "package": str,
    "file": str,
    "path": str,
    "url": str,
    "hub": str,
    "sha256": str,
    "labels": (str, list),
    "layout": str,
    "random": int,
    "preprocessing": dict,
}
_WHY = {"method": str, "target_layers": list}
_PREPROCESSING = {
    "size": int,
    "short_side": int,
    "mean": list,
    "std": list,
    "channels": str,
    "range": int,
    "place": str,
}
_ENDPOINT = {
    "url": str,
    "send": str,
    "field": str,
    "format": str,
    "boxes": str,
    "normalised": bool,
    "timeout": (int, float),
    "at_once": int,
    "size": int,
    "token_env": str,
}


def catalog() -> Mapping[str, ModelSpec]:
    """Every model by its id, in the catalogue's order; an operator's file that is wrong is left out (`problem`)."""
    return _merged(_state())[0]


def problem() -> str | None:
    """What is wrong with the operator's own `models.toml`, in one sentence; None where nothing is."""
    return _merged(_state())[1]


def spec(model_id: str) -> ModelSpec:
    """The row of one model; any `timm/<name>` is one too. Raises ModelProblem where there is none."""
    models, wrong = _merged(_state())
    if model_id in models:
        return models[model_id]
    library, _, name = model_id.partition("/")
    if library == "timm" and name:
        return _timm(name)
    if wrong:
        raise ModelProblem(f"There is no model {model_id!r}, and {wrong}")
    close = difflib.get_close_matches(model_id.lower(), models, 3)
    hint = (
        f"did you mean {' or '.join(close)}?"
        if close
        else f"there are {len(models)}, for example {next(iter(models))}."
    )
    raise ModelProblem(f"There is no model {model_id!r}: {hint}")


def families(*, packaged: bool = False) -> dict[str, list[ModelSpec]]:
    """The models of each family, both in the catalogue's order; `packaged` leaves out what an operator added."""
    grouped: dict[str, list[ModelSpec]] = {}
    for model in (_packaged() if packaged else catalog()).values():
        grouped.setdefault(model.family, []).append(model)
    return grouped


def available(model: ModelSpec) -> bool:
    """Whether the model's weights are on this machine; looks at names only."""
    return bool({"random", "endpoint"} & model.weights.keys()) or weights.find(model) is not None


def _state() -> tuple[Any, ...]:
    """What the answer depends on: the operator's file, and what lies in their folders."""
    named = os.environ.get("SIGHTGLASS_MODELS")
    path = Path(named or "models.toml").expanduser().absolute()
    own = (path, path.stat().st_mtime_ns) if os.path.isfile(path) else (path, None) if named else None
    patterns = ("*.pt", *(f"*{ending}" for ending in EXPORTED), "*_openvino_model/*.xml")
    found = (file for folder in weights.folders() for kind in patterns for file in sorted(folder.glob(kind)))
    return own, tuple(file for file in found if os.path.isfile(file) and _whole(file))


def _whole(file: Path) -> bool:
    """Any XML can lie in a folder; one with its weights beside it is a model."""
    return file.suffix != ".xml" or os.path.isfile(file.with_suffix(".bin"))


@lru_cache(maxsize=4)
def _merged(state: tuple[Any, ...]) -> tuple[Mapping[str, ModelSpec], str | None]:
    own, files = state
    models = dict(_packaged())
    wrong = None
    if own is not None:
        try:
            models |= _read(own[0], models)
        except ModelProblem as error:
            LOGGER.warning("%s", error)
            wrong = str(error)
    named = {Path(name) for model in models.values() for name in (model.arch, *map(str, _file_names(model)))}
    known = {path.stem for path in named} | set(models)
    # Exported from a model of the catalogue a file has its stem, and still is another model.
    exported = {path.name for path in named} | set(models)
    for file in reversed(files):
        if file.name == TEXT_ENCODER:
            continue
        if file.name not in exported if file.suffix in EXPORTED else file.stem not in known:
            own_file = _own_file(file)
            models[own_file.id] = own_file
    return MappingProxyType(models), wrong


@lru_cache(maxsize=1)
def _packaged() -> Mapping[str, ModelSpec]:
    return _read(PACKAGED, {})


def _read(path: Path, known: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """The models of one file; its `[model."id"]` tables may change those already known."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelProblem(f"{path.name} cannot be read ({error}).") from error
    _check(path, "the file", tables, _TOP)
    models: dict[str, ModelSpec] = {}
    for number, table in enumerate(tables.get("family", ()), 1):
        where = f"[[family]] {table.get('name', number)}"
        _check(path, where, table, _FAMILY, needed=("name", "loader", "sizes"))
        models |= {model.id: model for model in _family(table, path)}
    for model_id, table in tables.get("model", {}).items():
        where = f'[model."{model_id}"]'
        before = models.get(model_id) or known.get(model_id)
        _check(path, where, table, _MODEL, needed=() if before else ("loader",))
        row = {**table, "weights": _weights(table.get("weights", {}), path)} if "weights" in table else dict(table)
        if "endpoint" in row:
            row["weights"] = {**row.get("weights", {}), "endpoint": row.pop("endpoint")}
            row.setdefault("task", "detect")
        if row.get("loader") in ONLY_ANSWER:
            row.setdefault("method", "drise")
        if "target_layers" in row:
            row["target_layers"] = tuple(row["target_layers"])
        models[model_id] = replace(before or _blank(model_id), **row)
    return models


def _family(table: dict[str, Any], path: Path) -> Iterator[ModelSpec]:
    """One ModelSpec for each size, the `{...}` of its strings filled in."""
    for size, model_id in table["sizes"].items():
        names = {"id": model_id, "name": model_id.rpartition("/")[2]}
        arch = table.get("arch", "{id}")
        names["arch"] = arch.get(size, model_id) if isinstance(arch, dict) else _filled(arch, names)
        names["file"] = table.get("files", {}).get(size, names["arch"])
        carried = re.search(r"-([0-9a-f]{8,64})\.\w+$", names["file"])
        names["hash"] = carried[1] if carried else ""
        given = {key: _filled(value, names) for key, value in table.get("weights", {}).items()}
        yield replace(
            _blank(model_id),
            family=table["name"],
            size=size,
            arch=names["arch"],
            weights=_weights(given, path),
            target_layers=tuple(table.get("target_layers", ())),
            **{key: table[key] for key in _SHARED if key in table and key not in ("arch", "weights", "target_layers")},
        )


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """A string with `{id}`, `{name}` (the id after its last slash), `{arch}`, `{file}` and its `{hash}` replaced."""
    return re.sub(r"\{(\w+)\}", lambda part: names.get(part[1], part[0]), value) if isinstance(value, str) else value


def _blank(model_id: str) -> ModelSpec:
    return ModelSpec(model_id, OWN_MODELS, "", "", model_id, "classify", "not stated")


def _weights(table: dict[str, Any], path: Path) -> Mapping[str, Any]:
    """Paths in an operator's file are meant from where that file lies."""
    table = dict(table)
    for key in ("path", "labels"):
        if isinstance(table.get(key), str):
            table[key] = str(path.parent / Path(table[key]).expanduser())
    return table


def _check(path: Path, where: str, table: object, allowed: Mapping[str, Any], needed: tuple[str, ...] = ()) -> None:
    """Raise ModelProblem naming the table and the key that is unknown, missing or of the wrong kind."""
    if not isinstance(table, dict):
        raise ModelProblem(f"{path.name}: {where} should be a table.")
    for key, value in table.items():
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, 1)
            hint = f"did you mean {close[0]}?" if close else f"it may have {', '.join(allowed)}."
            raise ModelProblem(f"{path.name}: {where} has an unknown key {key}: {hint}")
        if not isinstance(value, allowed[key]):
            raise ModelProblem(f"{path.name}: {key} in {where} is of the wrong kind ({value!r}).")
        if key == "task" and value not in TASKS:
            raise ModelProblem(f"{path.name}: task in {where} is one of {', '.join(TASKS)}, not {value!r}.")
        if key == "loader" and not (value.isidentifier() and PACKAGED.with_name(f"{value}.py").is_file()):
            raise ModelProblem(f"{path.name}: loader in {where} is {value!r}, which is no module of models.")
        if key == "weights":
            _check(path, f"weights of {where}", value, _WEIGHTS)
        elif key == "why":
            _check(path, f"why of {where}", value, _WHY)
        elif key == "preprocessing":
            _check(path, f"preprocessing of {where}", value, _PREPROCESSING)
        elif key == "endpoint":
            _check(path, f"endpoint of {where}", value, _ENDPOINT, needed=("url",))
        elif key in ("mean", "std") and [type(number) for number in value] != [float] * 3:
            raise ModelProblem(f"{path.name}: {key} in {where} should be three numbers such as 0.5.")
        elif isinstance(value, dict) and allowed is not _TOP:
            _check(path, f"{key} of {where}", value, dict.fromkeys(value, str))
    for key in needed:
        if key not in table:
            raise ModelProblem(f"{path.name}: {where} needs the key {key}.")


def _file_names(model: ModelSpec) -> Iterator[str]:
    return (model.weights[key].rpartition("/")[2] for key in ("file", "path", "url", "hub") if key in model.weights)


def _timm(name: str) -> ModelSpec:
    blank = _blank(f"timm/{name}")
    return replace(
        blank,
        family="timm",
        loader="timm_models",
        arch=name,
        licence="see the model's card",
        weights={"hub": f"timm/{name}"},
        source="https://github.com/huggingface/pytorch-image-models",
    )


def _classifies(file: Path) -> bool:
    """Whether a checkpoint holds a classifier of Ultralytics, by the names in its pickle, which is never run."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickle = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return b"\nClassify\n" in archive.read(pickle)
    except (OSError, StopIteration, zipfile.BadZipFile):
        # Ultralytics' own naming; what the file really holds, its loader sees.
        return file.stem.endswith("-cls")


def _own_file(file: Path) -> ModelSpec:
    exported = file.suffix in EXPORTED
    classifies = file.stem.endswith("-cls") if exported else _classifies(file)
    return replace(
        _blank(file.name if exported else file.stem),
        family=OWN_FILES,
        loader="exported" if exported else "ultralytics_models",
        arch=file.name,
        task="classify" if classifies else "detect",
        method="drise" if exported else "gradcam" if classifies else "hirescam",
        weights={"path": str(file)},
    )


assert set(_SHARED) <= {field.name for field in fields(ModelSpec)}
