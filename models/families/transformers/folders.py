"""Read folders in the format of Transformers, which may come from strangers.

A folder's JSON can name other files, other folders and code. It is checked before any library reads the folder.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from sightglass.common.errors import ModelProblem, WeightsProblem, describe_error
from sightglass.common.files import Json, note_files
from sightglass.common.legible import legible
from sightglass.models.checkpoints import weights

UNREAD = "special_tokens_map_file"
"""A key with a path that older versions wrote and no version reads."""

CODE = ("auto_map", "trust_remote_code")
"""Keys by which a folder asks for its own Python to be run."""

FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
"""Weights files in order of preference; an index names the parts of a large one."""
CONFIGURATIONS = tuple(f"{name}config.json" for name in ("", "preprocessor_", "processor_", "tokenizer_", "adapter_"))
OF_OTHERS = ("checkpoint_path", "base_model_name_or_path")
"""Keys by which timm and PEFT load weights from somewhere else."""
SOURCES = ("architecture", "backbone", "hf_model_name", "hf_tokenizer_name", "timm_model_name")
"""Keys that name a network of a library or of the hub, for which the libraries also take a folder."""
_LIBRARY_NAME = re.compile(r"(hf[-_]hub:)?[\w-][\w.-]*(/[\w-][\w.-]*)?")


def from_folder(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a folder by a Transformers class, without downloads or remote code."""
    check_folder(folder)
    with without_hub(folder):
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


class _Offline:
    """Replacement of Hugging Face's offline constant, also true within `no_downloads`."""

    def __init__(self, always: object) -> None:
        self._always = always

    def __bool__(self) -> bool:
        return bool(self._always) or weights.offline()


@contextlib.contextmanager
def without_hub(folder: Path) -> Iterator[None]:
    """Block hub requests for a folder's files; raise WeightsProblem instead."""
    from huggingface_hub import constants, errors

    if not isinstance(constants.HF_HUB_OFFLINE, _Offline):
        constants.HF_HUB_OFFLINE = _Offline(constants.HF_HUB_OFFLINE)
    try:
        with weights.no_downloads():
            yield
    except errors.OfflineModeIsEnabled as problem:
        raise WeightsProblem(
            f"{folder.name} names a part on Hugging Face, which is not looked up: save the model whole, with "
            "save_pretrained and its backbone_config."
        ) from problem


def check_folder(folder: Path) -> None:
    """Raise a Problem for a folder with outside files or code."""
    note_files(folder.iterdir())
    for index in sorted(folder.glob("*.index.json")):
        parts = read(index).get("weight_map")
        for part in parts.values() if isinstance(parts, dict) else ():
            if not _is_plain(part):
                raise _refuse(folder, index.name, part)
    for file in CONFIGURATIONS:
        for key, value in _items(read(folder / file)):
            if key in CODE and value:
                raise ModelProblem(
                    f"{folder.name} brings its own code, which is not run here ({key} in {file}): take a model that "
                    "the library itself has."
                )
            if isinstance(value, str) and value and _is_outside(key, value):
                raise _refuse(folder, file, value)


def _is_outside(key: str, value: str) -> bool:
    """Return whether a value of a configuration names what the folder does not hold."""
    if key == UNREAD:
        return False
    is_other = key in OF_OTHERS or (key == "transformers_weights" and value not in FILES)
    is_path = key.endswith("_file") and not _is_plain(value)
    return is_other or is_path or (key in SOURCES and (not _LIBRARY_NAME.fullmatch(value) or os.path.isdir(value)))


def _refuse(folder: Path, file: str, value: object) -> WeightsProblem:
    return WeightsProblem(
        f"{file} in {folder.name} names {legible(str(value), 80)!r}, which is no file of that folder: save the model "
        "again with save_pretrained."
    )


def _is_plain(name: object) -> bool:
    """Return whether a name is a plain file name on any system."""
    return isinstance(name, str) and not re.search(r"[/\\:\0]", name) and PurePath(name).name == name != ".."


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of a JSON value, at any depth."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from part.items()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def weights_in(folder: Path) -> Path:
    """Return a folder's first weights file; raise WeightsProblem without any."""
    path = next((folder / name for name in FILES if os.path.isfile(folder / name)), None)
    if path is None:
        raise WeightsProblem(f"{folder} holds no weights: put {FILES[0]} beside its configuration.")
    return path


def picture_settings(folder: Path) -> Json:
    """Read how a folder's pictures are prepared; empty where no file says it."""
    settings: Json = read(folder / "preprocessor_config.json")
    return settings or read(folder / "processor_config.json").get("image_processor", {})


def read_processor(folder: Path) -> Any:
    """Return a folder's image processor; raise WeightsProblem where Transformers cannot read it."""
    import transformers

    try:
        return from_folder(transformers.AutoImageProcessor, folder)
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise WeightsProblem(
            f"{folder.name} has no preprocessor_config.json that Transformers can read ({describe_error(problem)})."
        ) from problem


def read(path: Path) -> Json:
    """Read a JSON object, empty without a file; raise WeightsProblem if broken."""
    if not os.path.isfile(path):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise WeightsProblem(
            f"{path} is not readable JSON ({describe_error(problem)}): fetch the file again."
        ) from problem
    return content if isinstance(content, dict) else {}
