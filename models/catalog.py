"""List the models of catalogue, operator and user.

Reading it imports neither torch nor any library of models, so a menu costs nothing.
"""

import logging
import os
import re
import tomllib
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Required, get_type_hints

from pydantic import AfterValidator
from typing_extensions import TypedDict

from sightglass.common.errors import ModelProblem, Problem, WeightsProblem, did_you_mean
from sightglass.common.files import stamp
from sightglass.common.settings import settings
from sightglass.models.checkpoints import weights
from sightglass.models.load import Toml, inspect_model, loader_exists
from sightglass.models.spec import CHECKED, ModelSpec, Task, WeightsTable, read_table

_ROW = get_type_hints(ModelSpec, include_extras=True)


def _check_loader(name: str) -> str:
    if not loader_exists(name):
        # The end of a sentence on the key: "... is 'x', and should be".
        raise ValueError("a file of models/families")
    return name


def _table(keys: str, **more: Any) -> Any:
    """Return the type of a table with these keys of `ModelSpec`, separated by spaces, and others."""
    make: Any = TypedDict
    kind = make("kind", {key: _ROW[key] for key in keys.split()} | more, total=False)
    kind.__pydantic_config__ = CHECKED
    return kind


SHARED = "task licence source method channels_last target_layers why example"
"""Keys of a family that hold for all of its models, and that a model may have too."""
_LOADED = {"task": Task, "loader": Annotated[str, AfterValidator(_check_loader)], "weights": WeightsTable}
TOP = _table("", family=list[Any], model=dict[str, Any])
MODEL = _table(f"{SHARED} family size arch megabytes", **_LOADED)
SIZE = _table("arch megabytes", file=str, **dict.fromkeys(("size", "id"), Required[str]))
"""Keys of a row of a family's `models`."""
FAMILY = _table(
    SHARED,
    **_LOADED | {"loader": Required[_LOADED["loader"]]},
    arch=str,
    name=Required[str],
    like=str,
    models=Required[list[Any]],
)


LOGGER = logging.getLogger(__name__)
PACKAGED = Path(__file__).with_name("catalog.toml")
CONFIGURATIONS = (".py", ".yml", ".yaml")
"""Suffixes of files that describe a network of other programs."""
TEXT_ENCODER = "ViT-B-32.pt"
"""File of the encoder of YOLO-World's words, which is no model by itself."""


def catalog() -> Mapping[str, ModelSpec]:
    """Return every model available to the person, by id; faulty tables are left out (`faults`)."""
    return _merge(_state())[0]


def faults() -> Mapping[str, str]:
    """Return a sentence for each faulty `models.toml` table, by model id.

    What is wrong with the whole file, or with a family whose models are not known, is under "".
    """
    return _merge(_state())[1]


def spec(model_id: str) -> ModelSpec:
    """Return a model's row, also for `timm/<name>`; raise ModelProblem for unknown ids."""
    models, wrong = _merge(_state())
    if model_id in models:
        return models[model_id]
    # Dashes, dots and case do not distinguish models.
    alike = [other for other in models if _letters(other) == _letters(model_id)]
    if len(alike) == 1:
        return models[alike[0]]
    if (listed := _listed_file(model_id)) is not None:
        return listed
    library, _, name = model_id.partition("/")
    if library == "timm" and name:
        return _timm(name)
    if model_id in wrong:
        raise ModelProblem(wrong[model_id])
    # It may be in an unreadable table.
    if "" in wrong:
        raise ModelProblem(f"There is no model {model_id!r}, and {wrong['']}")
    _refuse_configuration(model_id)
    hint = did_you_mean(model_id, models, f"there are {len(models)}, for example {next(iter(models))}.", n=3)
    raise ModelProblem(f"There is no model {model_id!r}: {hint}")


def _refuse_configuration(name: str) -> None:
    """Raise ModelProblem for a configuration in place of a model."""
    path = Path(name)
    if path.suffix.lower() in CONFIGURATIONS:
        hint = did_you_mean(path.stem, catalog(), "name its file of weights, or a model of `models list`.", n=3)
        raise ModelProblem(f"{path.name} is a configuration, and no model: {hint}")


def _letters(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()


def is_file(model: str) -> bool:
    """Return whether a model is a path, not an id."""
    if model in catalog():
        return False
    if weights.is_address(model):
        return True
    if Path(model).suffix in weights.SUFFIXES:
        return os.path.exists(model) or _listed_file(model) is None
    if os.path.isdir(model):
        # A folder of results may be called like a model that is misspelt.
        return os.sep in model or bool(weights.models_in(Path(model)))
    return os.path.isfile(model) or (os.sep in model and os.path.exists(os.path.expanduser(model)))


def _listed_file(name: str) -> ModelSpec | None:
    """Return the model with weights of this file name; None for paths."""
    if Path(name).suffix not in weights.SUFFIXES or Path(name).name != name:
        return None
    return next((model for model in catalog().values() if name in weights.file_names(model)), None)


def model_file(path: str | Path) -> Path:
    """Return the absolute path of a model's file.

    A relative path is also searched in the folders of SIGHTGLASS_WEIGHTS. Raises WeightsProblem for an address.
    """
    if weights.is_address(path):
        # The longest, as one id may begin like another.
        ids = sorted((id_ for id_ in catalog() if str(path).rpartition("/")[2].startswith(id_)), key=len)
        raise WeightsProblem(f"{path} {weights.NO_ADDRESS[:-1]}{f', or name the model {ids[-1]}' if ids else ''}.")
    here = Path(path).expanduser().absolute()
    if here.exists():
        return here
    return next((file for folder in settings().weights if (file := folder / path).exists()), here)


def name_of(path: Path) -> str:
    """Return a model's name by its file or folder, which has no ending."""
    return path.name if path.is_dir() else path.stem


def of_file(path: str | Path, arch: str = "") -> ModelSpec:
    """Draft a row for a file or folder outside of any table.

    `arch`: the network of a checkpoint, `net.py:Net` or a name of torchvision or timm. Raises ModelProblem if the file
    lacks information, WeightsProblem if it is no known model.
    """
    _refuse_configuration(str(path))
    file = model_file(path)
    if file.suffix == ".pt" and b"ultralytics.nn" in (_pickle_in(file) or b""):
        return _own_file(file)
    draft = inspect_model(file, os.path.abspath(os.path.expanduser(arch)) if ".py:" in arch else arch)
    if draft.unknown:
        raise ModelProblem(f"{draft.unknown[0].question} Answer it with: sightglass models add {path}")
    return of_table(name_of(file), {"loader": draft.loader, "arch": draft.arch, **draft.table}, file)


def families(*, packaged: bool = False) -> dict[str, list[ModelSpec]]:
    """Return each family's models in order; `packaged`: without additions."""
    grouped: dict[str, list[ModelSpec]] = {}
    if not packaged:
        log_faults()
    for model in (_load_packaged() if packaged else catalog()).values():
        grouped.setdefault(model.family, []).append(model)
    return grouped


def is_packaged(model: ModelSpec) -> bool:
    """Return whether a model is the package's own, which published figures are of."""
    return _load_packaged().get(model.id) == model


def log_faults() -> None:
    """Log each of `faults` once, however often a menu is built."""
    for sentence in faults().values():
        _log("%s", sentence)


_log = lru_cache(maxsize=256)(LOGGER.warning)


def available(model: ModelSpec) -> bool:
    """Return whether the model's weights are on this machine, by names of files alone."""
    return model.untrained or weights.find(model) is not None


def _state() -> tuple[Any, ...]:
    """Return the catalogue's dependencies: tables, and model files."""
    named, added = settings().models, settings().own_models
    # The operator's, and the dashboard's.
    paths = [(named or Path("models.toml")).absolute(), *([added.absolute() / "models.toml"] if added else [])]
    changed = {path: stamp(path) if os.path.isfile(path) else () for path in paths}
    # A file named by the operator, the first, must exist.
    tables = tuple((path, at) for path, at in changed.items() if at or (named and path == paths[0]))
    patterns = ("*.pt", *(f"*{ending}" for ending in weights.EXPORTED))
    files = (file for folder in settings().weights for kind in patterns for file in sorted(folder.glob(kind)))
    return tables, tuple((file, stamp(file)) for file in files if os.path.isfile(file))


@lru_cache(maxsize=32)
def _merge(state: tuple[Any, ...]) -> tuple[Mapping[str, ModelSpec], Mapping[str, str]]:
    tables, files = state
    models = dict(_load_packaged())
    wrong: dict[str, str] = {}
    for path, _ in tables:
        added, wrong_here = _read(path, models)
        models |= added
        # A valid table of the dashboard replaces the operator's faulty one.
        wrong = {id_: sentence for id_, sentence in wrong.items() if id_ not in added}
        if "" in wrong_here and "" in wrong:
            wrong_here[""] = f"{wrong['']} {wrong_here['']}"
        wrong |= wrong_here
    named = {Path(name) for model in models.values() for name in (model.arch, *model.weights.sources)}
    known = {path.stem for path in named} | set(models)
    # Exported from a model of the catalogue a file has its stem, and still is another model.
    exported = {path.name for path in named} | set(models)
    for file, _ in reversed(files):
        in_catalogue = file.name in exported if file.suffix in weights.EXPORTED else file.stem in known
        if not in_catalogue and file.name != TEXT_ENCODER:
            own_file = _own_file(file)
            models[own_file.id] = own_file
    return MappingProxyType(models), MappingProxyType(wrong)


@lru_cache(maxsize=1)
def _load_packaged() -> Mapping[str, ModelSpec]:
    models, wrong = _read(PACKAGED, {})
    if wrong:
        raise ModelProblem(" ".join(dict.fromkeys(wrong.values())))
    return models


def _read(path: Path, known: Mapping[str, ModelSpec]) -> tuple[dict[str, ModelSpec], dict[str, str]]:
    """Return the models of one file, and its `faults`.

    A table without a loader changes a known model.
    """
    try:
        tables = _parse(path)
    except ModelProblem as error:
        return {}, {"": str(error)}
    models: dict[str, ModelSpec] = {}
    wrong: dict[str, str] = {}
    families = tables.get("family", ())
    for number, table in enumerate(families, 1):
        name = str(table.get("name", number) if isinstance(table, dict) else number)
        try:
            table = _inherit(table, families[: number - 1], path)
            family = {model.id: model for model in _family(table, path, f"[[family]] {name}")}
            twice = sorted(family.keys() & models.keys())
            if twice:
                raise ModelProblem(f"{path.name}: {twice[0]} is in two families: rename one of them.")
            models |= family
        except ModelProblem as error:
            ids = _ids_in(table)
            wrong |= dict.fromkeys(ids, str(error))
            if not ids:
                wrong[""] = " ".join(filter(None, (wrong.get(""), str(error))))
    for model_id, table in tables.get("model", {}).items():
        try:
            models[model_id] = of_table(model_id, table, path, models.get(model_id) or known.get(model_id))
        except ModelProblem as error:
            wrong[model_id] = str(error)
    return models, wrong


def _parse(path: Path) -> Toml:
    try:
        return read_table(TOP, tomllib.loads(path.read_text(encoding="utf-8-sig")), "the file", path.name)
    except OSError as error:
        reason = error.strerror or error
        raise ModelProblem(f"{path.name} cannot be read ({reason}): check {path.parent} for it.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelProblem(f"{path.name} cannot be read ({error}).") from error
    except RecursionError as error:
        raise ModelProblem(
            f"{path.name} cannot be read: it is nested too deeply; write the tables of models anew."
        ) from error


def _ids_in(table: Any) -> list[str]:
    """Return the ids of models in a family's table, which may be anything."""
    rows = table.get("models") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        return []
    ids = [row.get("id") for row in rows if isinstance(row, dict)]
    return [model_id for model_id in ids if isinstance(model_id, str)]


def of_table(model_id: str, table: Toml, path: Path, before: ModelSpec | None = None) -> ModelSpec:
    """Return the row of a table in or beside the file `path`; `before`: the row that it changes."""
    row = read_table(MODEL, table, f'[model."{model_id}"]', path.name)
    if "loader" in table:
        # Another model under a known name inherits nothing from it.
        before = None
    elif before is None:
        raise ModelProblem(f'{path.name}: [model."{model_id}"] needs the key loader.')
    if "weights" in table:
        row["weights"] = _resolve_paths(row["weights"], path)
        # These facts are of the previous file.
        row.setdefault("megabytes", None)
    if "weights" in row and row["weights"].outputs:
        row.setdefault("task", "regress")
    # It may lack layers and gradients, which most methods need.
    if row.get("loader") == "exported" and row.get("task", "classify") == "detect":
        row.setdefault("method", "drise")
    if ".py:" in row.get("arch", ""):
        row["arch"] = str(path.parent / Path(row["arch"]).expanduser())
    return replace(before or _blank(model_id), **row)


def _inherit(table: Toml, earlier: Sequence[Toml], path: Path) -> Toml:
    """Return a family's table with the keys of the one that it is like."""
    if not isinstance(table, dict) or not (like := table.get("like")):
        return table
    base = next((base for base in earlier if isinstance(base, dict) and base.get("name") == like), None)
    if base is None:
        raise ModelProblem(
            f"{path.name}: [[family]] {table.get('name')} is like {like}, which is no family above it: correct it."
        )
    return {key: base[key] for key in (*_LOADED, "arch", *SHARED.split()) if key in base} | table


def _family(table: Toml, path: Path, where: str) -> Iterator[ModelSpec]:
    """Yield one ModelSpec per row of `models`, with filled-in `{...}`."""
    family = read_table(FAMILY, table, where, path.name)
    shared = {key: family[key] for key in SHARED.split() if key in family}
    for number, values in enumerate(family["models"], 1):
        row = read_table(SIZE, values, f"models {number} of {where}", path.name)
        names = {"id": row["id"], "name": row["id"].rpartition("/")[2]}
        names["arch"] = row.get("arch") or _fill(family.get("arch", "{id}"), names)
        names["file"] = row.get("file", names["arch"])
        hash_in_name = re.search(r"-([0-9a-f]{8,64})\.\w+$", names["file"])
        names["hash"] = hash_in_name[1] if hash_in_name else ""
        weights_table = {key: _fill(value, names) for key, value in table.get("weights", {}).items()}
        yield replace(
            _blank(row["id"]),
            family=family["name"],
            size=row["size"],
            arch=names["arch"],
            weights=_resolve_paths(read_table(WeightsTable, weights_table, where, path.name), path),
            loader=family["loader"],
            megabytes=row.get("megabytes"),
            **shared,
        )


def _fill(value: Any, names: Mapping[str, str]) -> Any:
    """Replace `{id}`, `{name}` (the id after its last slash), `{arch}`, `{file}` and its `{hash}` in a string."""
    return re.sub(r"\{(\w+)\}", lambda part: names.get(part[1], part[0]), value) if isinstance(value, str) else value


def _blank(model_id: str) -> ModelSpec:
    # A family of its own: models of several people or trainings are no sizes of one.
    return ModelSpec(model_id, model_id, "", "", model_id, "classify", "not stated")


def _resolve_paths(table: WeightsTable, path: Path) -> WeightsTable:
    """Resolve the paths in a table relative to its file."""

    def at(name: str) -> str:
        return str(path.parent / Path(name).expanduser())

    paths: Toml = {key: at(name) for key in ("path", "labels") if isinstance(name := getattr(table, key), str)}
    if ".py:" in (name := table.preprocessing.transforms or ""):
        paths["preprocessing"] = replace(table.preprocessing, transforms=at(name))
    return replace(table, **paths)


def _timm(name: str) -> ModelSpec:
    blank = _blank(f"timm/{name}")
    return replace(
        blank,
        family="timm",
        loader="timm",
        arch=name,
        # Trained without classes; one that was fine-tuned since says so in its tag.
        task="embed" if "dino" in name and "_ft_" not in name else "classify",
        licence="see the model's card",
        weights=WeightsTable(hub=f"timm/{name}"),
        source="https://github.com/huggingface/pytorch-image-models",
    )


def _pickle_in(file: Path) -> bytes | None:
    """Return a checkpoint's pickle without running it; None without one."""
    try:
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return archive.open(name).read(2**24)
    # A hostile stream can fail in any way.
    except Exception:
        return None


def _own_file(file: Path) -> ModelSpec:
    exported = file.suffix in weights.EXPORTED
    pickle = None if exported else _pickle_in(file)
    # Without names, Ultralytics' file naming decides; the loader checks the content.
    classifies = file.stem.endswith("-cls") if pickle is None else b"\nClassify\n" in pickle
    return replace(
        _blank(file.name if exported else file.stem),
        loader="exported" if exported else "ultralytics",
        arch=file.name,
        task="classify" if classifies else "detect",
        method="gradcam" if classifies else "drise" if exported else "hirescam",
        weights=WeightsTable(path=str(file)),
    )


MAX_COMPARED = 8
"""Models that are compared at once at most."""
NARROW = (" pose", " turned boxes", "YOLOE (")
"""In the names of families: detectors of persons or of aerial photographs alone, or of nothing until they are asked."""


def detector(here: Collection[str] | None = None) -> str:
    """Return the best detector with weights on this machine, `yolo11n` without any.

    Those that find few kinds of objects come after it, then those that know drawn scenes only. `here`: the ids of the
    models on this machine, where they are known already.
    """
    rows = (row for row in catalog().values() if row.task == "detect" and not row.untrained)
    local = [row for row in rows if (available(row) if here is None else row.id in here)]
    # Of equals the first.
    best = min(local, key=lambda row: (bool(row.example), any(word in row.family for word in NARROW)), default=None)
    return best.id if best else "yolo11n"


def _find_compared(model: str) -> ModelSpec:
    """Return a model by its id or its file. Raises Problem."""
    return of_file(model) if is_file(model) else spec(model)


def choose_compared(ids: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the models to compare, or their files, and their short names.

    A single model means all present sizes of its family. Short names are distinct sizes, if possible. Raises Problem
    for an unknown model, and for fewer than two or more than `MAX_COMPARED`.
    """
    given = {name: _find_compared(name) for name in dict.fromkeys(ids)}
    models = [*given.values()]
    if len(models) == 1:
        family = families().get(models[0].family, [])
        models = [sibling for sibling in family if available(sibling) or sibling.id == models[0].id]
    if not 2 <= len(models) <= MAX_COMPARED:
        raise Problem(f"To compare takes two to {MAX_COMPARED} models, not {len(models)}: name each by itself.")
    paths = {model.id: name for name, model in given.items() if is_file(name)}
    names, sizes = [model.id for model in models], [model.size for model in models]
    if len({*names}) < len(names):
        raise Problem("Two of these models have the same name: rename a file.")
    by_size = len({model.family for model in models}) == 1 and all(sizes) and len(set(sizes)) == len(sizes)
    return [paths.get(name, name) for name in names], tuple(sizes if by_size else names)
