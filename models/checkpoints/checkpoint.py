"""Read the tensors of checkpoint files without running code from them."""

import hashlib
import itertools
import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import MAGIC_NUMBER

from sightglass.common.errors import WeightsProblem, from_machine
from sightglass.common.legible import legible
from sightglass.models.adapter import Progress
from sightglass.models.checkpoints import safe_pickle, weights
from sightglass.models.checkpoints.safe_pickle import StandIn
from sightglass.models.spec import ModelSpec

M = TypeVar("M", bound="nn.Module")
WRAPPERS = (
    *("state_dict", "state_dict_ema", "model_state_dict", "model", "ema", "ema_state_dict", "model_ema", "params_ema"),
    *("teacher", "net", "network", "weights", "params", "module", "student"),
)
"""Keys under which training programs save a model's tensors, the likeliest first."""
_NO_MODEL = ("optim", "sched", "scaler", "callbacks", "loops", "amp", "rng", "_hooks")
"""Parts of keys under which a training program saves other things than a model."""
_DEPTH, _MODULE_DEPTH = 6, 50
"""Levels of tables, and of modules in each other, down to which a file is searched."""
_LEGACY = MAGIC_NUMBER.to_bytes(10, "little")
"""Where a file of torch before 1.6 begins, which is a pickle too."""
MAX_TABLES = 100_000
"""Visits to tables and modules of a file: some that share each other are reached in billions of ways."""
TIED = 4
"""How many times a file's own size its tensors may have: some are tied."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Contents of a checkpoint file."""

    tensors: dict[str, Tensor]
    """On the CPU, in the file's order, by the file's names without the prefixes of wrappers (`module.`)."""
    key: str = ""
    """Dotted key under which they were found; empty for the file itself."""
    others: tuple[str, ...] = ()
    """Other keys with the tensors of a model (averaged weights, a teacher)."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Values beside the tensors: labels, numbers, the arguments of the model."""
    whole: str = ""
    """The dotted name of the class, where the file was made of a whole module and not of its state_dict."""

    def notes(self, key: str | None = None) -> tuple[str, ...]:
        """Return a note on which of several sets of tensors were taken, unless `key` states it."""
        if key or not self.others:
            return ()
        chosen, others = self.key or "no key", " and ".join(self.others)
        return (f"Its weights are those under {chosen}; others are under {others}: weights.key in a table takes them.",)

    def tables(self) -> Iterator[Mapping[Any, Any]]:
        """Yield the extras and the tables one level below."""
        yield self.extras
        inner = (value.parts if isinstance(value, StandIn) else value for value in self.extras.values())
        yield from (value for value in inner if isinstance(value, dict))


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint on the CPU, in order, without `module.` before their names.

    No code of the file is run. Raises WeightsProblem, one sentence, where it is damaged, is not a checkpoint, or has no
    tensors.
    """
    return open_(path).tensors


def _extras_in(contents: Any, sets: Collection[str]) -> dict[str, Any]:
    """Return what a file holds beside tensors and `sets` of them, by name."""
    if not isinstance(contents, dict):
        return {}
    named = {name: value for name, value in contents.items() if isinstance(name, str) and name not in sets}
    return {name: value for name, value in named.items() if not isinstance(value, torch.Tensor)}


def open_(path: Path, key: str = "") -> Checkpoint:
    """Read a whole checkpoint; `key` chooses among several sets of tensors."""
    contents = _contents(path)
    sets = dict(_sets(contents, itertools.count()))
    if not sets:
        raise WeightsProblem(f"{path} holds no state_dict: save the model's state_dict instead.")
    if key and key not in sets:
        choices = " or ".join(repr(name) for name in sets if name)
        advice = f": say {choices}" if choices else ""
        raise WeightsProblem(f"{path} has no tensors under {key!r}{advice}.")
    chosen = key or min(sets, key=lambda name: _rank(name, sets[name][0]))
    tensors, whole = sets[chosen]
    nbytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    # A tensor can repeat one number by a stride of 0.
    if nbytes > TIED * path.stat().st_size + 2**26:
        raise WeightsProblem(f"{path} states {nbytes >> 20:,} MB of tensors, far more than it holds: save it again.")
    # Averaged weights have as many tensors, a loss or a discriminator has fewer.
    others = tuple(name for name in sets if name != chosen and 2 * len(sets[name][0]) > len(tensors))
    return Checkpoint(_strip_prefixes(tensors), chosen, others, _extras_in(contents, sets), whole)


def _contents(path: Path) -> Any:
    """Read plain values and tensors, and inert stand-ins for all other objects."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as problem:
        raise WeightsProblem(f"{path} cannot be read ({problem.strerror}): give the path of a file.") from problem
    _check_kind(path, start)
    try:
        if path.suffix == ".safetensors" or start[8:9] == b"{":
            return load_file(path)
        with warnings.catch_warnings():
            # Torch's warnings about old files do not help the operator.
            warnings.simplefilter("ignore")
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError:
                # It has objects other than tensors and plain values.
                return safe_pickle.read(path)
    # A damaged file can fail in any way at all, in several libraries.
    except Exception as problem:
        if start[:1] == pickle.PROTO and _LEGACY not in start:
            raise WeightsProblem(
                f"{path} is a Python pickle and no checkpoint, and none is opened here: save the model's state_dict "
                "with torch.save."
            ) from problem
        whole = zipfile.is_zipfile(path) or start[:1] != b"P"
        fault = "is damaged or no checkpoint of plain tensors" if whole else "is cut short"
        damaged = WeightsProblem(f"{path} {fault}: fetch or copy it again, or save the model's state_dict anew.")
        raise from_machine(problem) or damaged from problem


def _check_kind(path: Path, start: bytes) -> None:
    """Raise WeightsProblem for files that are often mistaken for a checkpoint."""
    text = start.lstrip().lower()
    if not start:
        raise WeightsProblem(f"{path} is empty: fetch or copy it again.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise WeightsProblem(
            f"{path} is a web page and not a checkpoint: fetch the file itself, not the page about it."
        )
    if text.startswith(b"version https://git-lfs"):
        raise WeightsProblem(f"{path} only points to the file that is meant: run git lfs pull where it came from.")
    if start.startswith(b"\x89HDF\r\n"):
        raise WeightsProblem(f'{path} is a Keras file: say loader = "keras" in its table.')
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        names = archive_names(path)
        if "constants.pkl" in names:
            raise WeightsProblem(f'{path} is a TorchScript file: say loader = "exported" in its table.')
        if "data.pkl" not in names:
            raise WeightsProblem(
                f"{path} is an archive of something else than a checkpoint: give the checkpoint in it."
            )
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type for info in archive.infolist()):
                raise WeightsProblem(f"{path} has compressed entries, which torch.save never writes: save it again.")


def archive_names(path: Path) -> tuple[str, ...]:
    """Return the names in a torch archive; empty for unreadable files.

    They are listed by the reader with which torch opens the file: another may see other entries. Raises WeightsProblem
    where two names are equal without case.
    """
    try:
        with path.open("rb") as file:
            names = tuple(torch._C.PyTorchFileReader(file).get_all_records())
    except (OSError, RuntimeError):
        return ()
    check_names(path, names)
    return names


def check_names(path: Path, names: Iterable[str]) -> None:
    """Raise WeightsProblem where two names of an archive are equal without case.

    Readers differ in which of the two they take, so that one would check what another does not open.
    """
    seen = set[str]()
    for name in map(str.casefold, names):
        if name in seen:
            raise WeightsProblem(
                f"{path} holds two entries called {legible(name, 80)}, which no exporter writes: save the model again."
            )
        seen.add(name)


def _tensors_in(parts: dict[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors of a dictionary: itself where it holds nothing else."""
    tensors = {key: part for key, part in parts.items() if isinstance(part, torch.Tensor) and isinstance(key, str)}
    if len(tensors) == len(parts):
        # The file's own dictionary carries more than its items (_strip_prefixes).
        return cast("dict[str, Tensor]", parts)
    return tensors


def _sets(
    value: Any, visits: Iterator[int], name: str = "", depth: int = 0
) -> Iterator[tuple[str, tuple[dict[str, Tensor], str]]]:
    """Yield every state_dict by its dotted key, with any module's class."""
    parts = value.parts if isinstance(value, StandIn) else value
    if depth > _DEPTH or not isinstance(parts, dict):
        return
    _count_visit(visits)
    if isinstance(value, StandIn) and "_modules" in parts and "_parameters" in parts:
        tensors = dict(_tensors_of(value, visits))
        if tensors:
            yield name, (tensors, value.qualified_name)
        return
    tensors = _tensors_in(parts)
    if tensors:
        yield name, (tensors, "")
    for key, part in parts.items():
        if isinstance(key, str) and not any(word in key.lower() for word in _NO_MODEL):
            yield from _sets(part, visits, f"{name}.{key}" if name else key, depth + 1)


def _count_visit(visits: Iterator[int]) -> None:
    if next(visits) > MAX_TABLES:
        raise WeightsProblem("Its tables hold each other in too many ways: save the model's state_dict alone.")


def _tensors_of(module: Any, visits: Iterator[int], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the state_dict of a pickled module, from its parts."""
    _count_visit(visits)
    parts: Any = module.parts if isinstance(module, StandIn) else {}
    not_saved = parts.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        tensors = parts.get(kind)
        for name, tensor in tensors.items() if isinstance(tensors, dict) else ():
            if isinstance(tensor, torch.Tensor) and name not in (not_saved if isinstance(not_saved, set) else ()):
                yield f"{prefix}{name}", torch.Tensor.detach(tensor)
    inner = parts.get("_modules")
    for name, child in inner.items() if isinstance(inner, dict) and depth < _MODULE_DEPTH else ():
        yield from _tensors_of(child, visits, f"{prefix}{name}.", depth + 1)


def _rank(name: str, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return a sort key, lower for tensors that are likelier the model's."""
    known = [WRAPPERS.index(part) for part in name.split(".") if part in WRAPPERS]
    return min(known, default=len(WRAPPERS)), -len(tensors)


def _strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of torch.compile and DataParallel from every name."""
    if any("_orig_mod." in name for name in tensors):
        tensors = {name.replace("_orig_mod.", ""): tensor for name, tensor in tensors.items()}
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    # Else as it came: its _metadata tells torchvision's older models which version of the layout it is.
    return tensors


def build_seeded(build: Callable[[], M], seed: int) -> M:
    """Build an untrained module by a seed, with the caller's RNG restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def module_of(
    spec: ModelSpec, progress: Progress | None, build: Callable[[], M], load: Callable[[Path], M]
) -> tuple[M, str]:
    """Return a table's module and sha256, by seed or from a file."""
    if (seed := spec.weights.random) is not None:
        module = build_seeded(build, seed)
        return module, digest(module)
    path = weights.locate(spec, progress=progress)
    return load(path), weights.sha256_of(path)


def digest(module: nn.Module) -> str:
    """Return the sha256 of a module's tensors, for a module that came from no file."""
    sha256 = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        sha256.update(name.encode())
        if not isinstance(tensor, torch.Tensor) or tensor.is_quantized:
            # Quantised layers keep types and packed weights as well.
            sha256.update(repr(tensor).encode())
            continue
        sha256.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
