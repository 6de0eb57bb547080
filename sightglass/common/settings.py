"""Declare, read and validate environment variables; share out memory."""

import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from sightglass.common.errors import SettingProblem, describe_invalid, did_you_mean
from sightglass.common.files import data_folder

PREFIX = "SIGHTGLASS_"
_SERVICE = rf"{PREFIX}(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
"""Variables that Kubernetes or Docker set where a service is called sightglass."""
_FOLDERS = ("HOME", "LOCALAPPDATA", "XDG_DATA_HOME")
"""Other variables that defaults depend on."""
MIB = 2**20


def _from_text(parse: Callable[[str], Any]) -> BeforeValidator:
    """Parse a variable's text; defaults stay as they are."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _folder(text: str) -> Path:
    # Not Path.expanduser: that raises where a container's user has no home.
    return Path(os.path.expanduser(text))


def _split(text: str, separator: str = ",") -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(separator) if name.strip())


def _in_data_folder(name: str) -> Any:
    """Return a field whose default is a folder of the user's data."""
    return Field(default_factory=lambda: data_folder(name))


Positive = Annotated[float, Field(gt=0, lt=1e9)]
Folder = Annotated[Path, _from_text(_folder)]
FolderOrOff = Annotated[Path | None, _from_text(lambda text: None if text.lower() == "off" else _folder(text))]
Folders = Annotated[tuple[Path, ...], _from_text(lambda text: tuple(map(_folder, _split(text, os.pathsep))))]
Names = Annotated[tuple[str, ...], _from_text(_split)]
Sites = Annotated[tuple[Annotated[str, Field(pattern=r"^[!-+\--:<-~]+$")], ...], _from_text(_split)]
"""Only what a header may hold: others would break every answer."""


class Settings(BaseModel):
    """What an operator can set."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    weights: Folders = ()
    """Folders with weight files, separated as in PATH."""
    models: Folder | None = None
    """Your own models.toml, in the form of models/catalog.toml; unset: ./models.toml, if it exists."""
    own_models: FolderOrOff = _in_data_folder("models")
    """The folder of models that people add in the dashboard; off: nobody adds any."""
    own_models_mb: Positive = 2048.0
    """The most that added models may take together, in MB."""
    model_code: bool = False
    """On a network address: whether visitors may add models whose files run code."""
    offline: bool = False
    """Never download."""
    memory_mb: Annotated[float, Field(ge=0, lt=1e9)] = 4096.0
    """Memory of which models take a half, and evidence a sixteenth, in MiB."""
    cuda_graphs: bool = True
    """On a GPU: record the passes of models as CUDA graphs, which are replayed."""
    nvjpeg: bool = False
    """On a GPU: decode JPEGs by nvJPEG, about 5 ms a megapixel faster, with other bytes than other decoders."""
    masks: Annotated[int, Field(ge=1)] | None = None
    """How many masks D-RISE draws for a picture; unset: 800, or 1000 for a classifier."""
    checks: bool = True
    """Test each map in the background once it is shown; no: only when somebody asks."""
    batches: Folder = Path("batches")
    """Where the page Pictures keeps uploads and the results of runs."""
    clips: Folder = _in_data_folder("clips")
    """Where the Video page keeps uploaded clips and their results for a week."""
    heatmaps: Folder = Path("heatmaps")
    """Where POST /generate_heatmap and the camera's Snapshot write their maps."""
    history: FolderOrOff = _in_data_folder("history")
    """The history's folder; off: nothing is saved."""
    history_mb: Positive = 2048.0
    """The most that the history may take, in MB of 1,000,000 bytes."""
    save_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The score below which an answer is saved in the history under the tag unsure; 0: none is."""
    token: SecretStr | None = None
    """The token that every visitor sends; unset: a random one, printed at the start, except on localhost."""
    open: bool = False
    """Ask nobody who reaches this server for a token."""
    framed_by: Sites = ()
    """Sites that may show the dashboard in a frame, separated by commas."""
    api_origins: Names = ()
    """Sites whose pages may call the API and open the dashboard's socket, separated by commas; *: all."""
    api_hosts: Names = ()
    """Names of this machine besides localhost, separated by commas; *: any."""
    api_mb: Positive = 20.0
    """The largest file of a picture, in MiB."""
    api_timeout: Annotated[float, Field(ge=0.001, allow_inf_nan=False)] = 60.0
    """Seconds that an answer may take, waiting included."""
    api_workers: Annotated[int, Field(ge=1, lt=2**40)] = 2
    """Requests that are answered at once."""
    api_queue: Annotated[int, Field(ge=0, lt=2**40)] = 16
    """Requests that may wait for an answer."""
    api_model: str = "efficientnet-lite0"
    """The model of a request that names none."""
    api_device: str = "auto"
    """Where models are loaded: auto, cpu, cuda, cuda:N or mps."""
    stop_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """Seconds that running requests get when a server stops; it ends within 3 s more."""
    traceback: Annotated[bool, _from_text(bool)] = False
    """On the command line: show where a bug is; any value."""


def settings() -> Settings:
    """Return the settings; raise SettingProblem, one sentence for each malformed variable."""
    names = (*map(variable, Settings.model_fields), *_FOLDERS)
    return _read(tuple((name, text) for name in names if (text := os.environ.get(name)) is not None))


@lru_cache(maxsize=8)
def _read(environment: tuple[tuple[str, str], ...]) -> Settings:
    # A blank variable is one that is not set.
    texts = {name: text.strip() for name, text in environment if text.strip()}
    values: dict[str, Any] = {name: texts[variable(name)] for name in Settings.model_fields if variable(name) in texts}
    try:
        return Settings(**values)
    except ValidationError as error:
        wrong = {str(details["loc"][0]): describe_invalid(details["msg"]) for details in error.errors()}
    raise SettingProblem(
        " ".join(f"{variable(name)} is {values[name]!r}: it {message}." for name, message in wrong.items())
    )


def variable(field: str) -> str:
    """Return the name of a field's environment variable."""
    return f"{PREFIX}{field.upper()}"


def describe_default(field: str) -> str:
    """Return a field's default for the settings table, or ""."""
    declared = Settings.model_fields[field]
    if declared.default_factory is not None:
        return "in the user's data folder"
    if isinstance(declared.default, bool):
        return "yes" if declared.default else "no"
    return f"{declared.default:g}" if isinstance(declared.default, float) else str(declared.default or "")


def check() -> None:
    """Raise SettingProblem for malformed variables, and for unknown ones with our prefix.

    A server must not start with a mistyped variable that would have protected it.
    """
    settings()
    names = [variable(field) for field in Settings.model_fields]
    unknown = sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(PREFIX) and value.strip() and name not in names
        if not (re.fullmatch(_SERVICE, name) or (name.endswith("_PORT") and "://" in value))
    )
    if unknown:
        hints = (f"There is no setting {key}: {did_you_mean(key, names, 'see docs/settings.md.')}" for key in unknown)
        raise SettingProblem(" ".join(hints))


def models_bytes() -> int:
    """Return the memory limit of loaded models."""
    return int(settings().memory_mb * MIB / 2)


def evidence_bytes() -> int:
    """Return the memory limit of evidence and maps."""
    return int(settings().memory_mb * MIB / 16)
