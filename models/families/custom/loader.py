"""Load a user's state dict into an architecture.

`arch` is `resnet18` (torchvision's, else timm's), `timm/resnet18`, or `their_file.py:ClassName` with its arguments in
`weights.args`. The number of classes is read off the tensors, and preprocessing that the table does not state is
inferred, as each explanation then says.
"""

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.machinery import PathFinder
from inspect import isroutine, signature
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from sightglass.common.errors import ModelProblem, WeightsProblem, describe_error, lacks_memory
from sightglass.common.files import note_files
from sightglass.models import labels, picture_functions
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.tasks import check_task
from sightglass.models.checkpoints import architectures, checkpoint, state_dicts
from sightglass.models.checkpoints.checkpoint import Checkpoint
from sightglass.models.checkpoints.weights import CONFIGURATION, locate, sha256_of
from sightglass.models.families.custom.classifier import CustomAdapter, adapt, channels_of, note_preprocessing
from sightglass.models.families.timm import config_file
from sightglass.models.families.torchvision import segmenters
from sightglass.models.load import MAX_BYTES, TRUST, TableDraft, Unknown
from sightglass.models.spec import ModelSpec, PreprocessingTable

_IMPORTING, _LEFT = threading.RLock(), set[str]()
"""The lock of `_import_file`, and names of modules that it left in `sys.modules`, for imports in their functions."""
GROWTH, SPARE = 2, 2**26
"""How many times a file's numbers a network may have, and how many more, such as those of a head of other classes."""


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier | CustomAdapter:
    """Open the checkpoint on the CPU, wherever it was saved.

    Raises WeightsProblem for a damaged or unfitting file, ModelProblem for a wrong architecture, code or labels.
    """
    if architectures.is_own_class(spec.arch):
        return _load_own_class(spec, progress)
    library, name = architectures.library_of(spec.arch)
    path = locate(spec, progress=progress)
    saved = checkpoint.open_(path, spec.weights.key or "")
    config = config_file.read_beside(path, name) if library == "timm" else config_file.NONE
    sides = spec.preprocessing.sides or config.preprocessing.sides
    module, side, notes = _build(library, name, path, saved, sides, config.arguments)
    if getattr(module, "transform_input", False):
        notes += (f"{name} was taken to scale its input as torchvision's trained weights expect (transform_input).",)
    notes += saved.notes(spec.weights.key) + state_dicts.twins(saved.tensors, module.state_dict())
    channels = channels_of(module)
    stated = config.preprocessing_for(channels)
    usual = architectures.usual_preprocessing(library, name, module, side)
    preprocessing = usual.changed(stated).changed(spec.preprocessing)
    if not stated.complete:
        notes += note_preprocessing(spec, preprocessing, f"as {name} is usually trained")
    if (count := state_dicts.count_classes(module.state_dict(), module)) is None:
        return adapt(spec, module, sha256_of(path), None, preprocessing.table(), notes=notes)
    binary = count == 1 and not spec.measures
    count = 2 if binary else count
    labels_in_file = labels.find_names((config.table, *saved.tables()), count)
    names, label_notes = labels.for_classes(spec, count, labels_in_file, labels.imagenet(), binary=binary)
    adapter = Classifier(replace(spec, arch=name), module, names, preprocessing, sha256_of(path))
    adapter.notes = notes + label_notes
    return adapter


def _build(
    library: str,
    name: str,
    path: Path,
    saved: Checkpoint,
    sides: tuple[int, int] | None,
    arguments: Mapping[str, Any],
) -> tuple[nn.Module, int | None, tuple[str, ...]]:
    """Build an architecture by these arguments, with the file's tensors, input side and notes."""
    options = {**arguments}
    blank = _build_blank(library, name, saved, options)
    state = blank.state_dict()
    side = None
    if sides is not None and sides[0] != sides[1] and library == "timm" and "pos_embed" in state:
        options["img_size"] = sides
        blank = architectures.build(library, name, **options)
    elif (side := state_dicts.input_side(state_dicts.rename(saved.tensors, state), state)) is not None:
        options["image_size" if library == "torchvision" else "img_size"] = side
        blank = architectures.build(library, name, **options)
    modern = architectures.rename_old({**saved.tensors}) if library == "torchvision" else saved.tensors
    tensors = state_dicts.rename(modern, blank.state_dict())
    if count := state_dicts.count_classes(tensors, blank):
        options["num_classes"] = count
    module = architectures.build(library, name, blank=False, **options)
    state_dicts.new_stem(module, tensors)
    note = state_dicts.new_head(module, tensors)
    put_notes = state_dicts.load_into(path, tensors, module, name)
    if library == "torchvision":
        architectures.without_aux(name, module)
    return module, side, (*((note,) if note else ()), *put_notes)


def _build_blank(library: str, name: str, saved: Checkpoint, arguments: Mapping[str, Any]) -> nn.Module:
    """Build an architecture without values.

    Raises ModelProblem where the arguments of its configuration do not fit it, or make it much larger than the file.
    """
    if not arguments:
        return architectures.build(library, name)
    try:
        blank = architectures.build(library, name, **arguments)
    # Any layer may refuse its argument in its own way.
    except Exception as problem:
        if lacks_memory(problem):
            raise
        raise ModelProblem(
            f"{name} of timm does not take {config_file.ARGUMENTS} ({describe_error(problem)}): correct it there."
        ) from problem
    count, saved_count = (sum(part.numel() for part in parts.values()) for parts in (blank.state_dict(), saved.tensors))
    if count > GROWTH * saved_count + SPARE:
        raise ModelProblem(
            f"{name} has {count:,} numbers by {config_file.ARGUMENTS}, and its file {saved_count:,}: correct it there."
        )
    return blank


def _load_own_class(spec: ModelSpec, progress: Progress | None) -> CustomAdapter:
    args = spec.weights.args
    notes: tuple[str, ...] = ()
    if (seed := spec.weights.random) is not None:
        saved = checkpoint.Checkpoint({})
        count = len(labels.stated_names(spec)) or None
        module = checkpoint.build_seeded(lambda: build_own_class(spec.arch, args, count), seed)
        sha256 = checkpoint.digest(module)
    else:
        path = locate(spec, progress=progress)
        saved = checkpoint.open_(path, spec.weights.key or "")
        module = build_own_class(spec.arch, args, state_dicts.count_classes(saved.tensors))
        tensors = state_dicts.rename(saved.tensors, module.state_dict())
        notes = state_dicts.load_into(path, tensors, module, spec.arch.rpartition("/")[2])
        notes += saved.notes(spec.weights.key) + state_dicts.twins(saved.tensors, module.state_dict())
        sha256 = sha256_of(path)
    return adapt(
        spec,
        module,
        sha256,
        check_task(spec.task),
        spec.preprocessing,
        names_in_file=lambda count: labels.find_names(saved.tables(), count),
        notes=notes,
    )


COUNTS = (
    *("num_classes", "n_classes", "nb_classes", "nclasses", "num_class", "classes"),
    *("num_labels", "n_labels", "out_features"),
)
"""Usual names of the argument for the number of classes."""
SUFFIXES = (".pth", ".pt", ".ckpt", ".th", ".safetensors", ".bin", ".pkl", ".tar", ".model", ".weights")


def inspect(path: Path, arch: str = "") -> TableDraft | None:
    """Draft a checkpoint's table; None for other files.

    `arch` names its architecture. Raises WeightsProblem if it is damaged, ModelProblem for an unknown architecture.
    """
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        return None
    saved = checkpoint.open_(path)
    if (draft := _draft_other(path, saved, arch)) is not None:
        return draft
    config = config_file.read_beside(path, arch.removeprefix("timm/"))
    arch, unknown, notes = _find_arch(path, saved, arch, config)
    notes += saved.notes() or ((f"Its tensors are under {saved.key}.",) if saved.key else ())
    count = state_dicts.count_classes(saved.tensors)
    # One number says no or yes.
    count = 2 if count == 1 else count
    draft = TableDraft("custom", arch, {"weights": {"path": str(path)}}, tuple(unknown), tuple(notes))
    for place, tables in ((CONFIGURATION, (config.table,)), ("the checkpoint", saved.tables())):
        if count is not None and labels.find_names(tables, count):
            return replace(draft, notes=(*notes, f"The names of its {count} classes are in {place}."))
    return draft.with_labels(count, () if architectures.is_own_class(arch) or not arch else labels.imagenet())


def _find_arch(
    path: Path, saved: Checkpoint, arch: str, config: config_file.Config
) -> tuple[str, list[Unknown], list[str]]:
    """Return the operator's architecture, or what `_arch` does; raise ModelProblem where no library has it."""
    notes = []
    if config is not config_file.NONE:
        arch = f"timm/{config.architecture}"
        notes = [f"{CONFIGURATION} beside it says that it is a {config.architecture} of timm."]
    if not arch:
        return _arch(path, saved)
    if not architectures.is_own_class(arch):
        architectures.library_of(arch)
    return arch, [], notes


def _draft_other(path: Path, saved: Checkpoint, arch: str) -> TableDraft | None:
    """Draft the table of a checkpoint of a family with its own loader, else None."""
    if arch.removeprefix("torchvision/").startswith(architectures.KINDS["detector"][1]):
        from sightglass.models.families.torchvision import detectors

        return detectors.draft(path, arch)
    if saved.whole.startswith("ultralytics."):
        kind = saved.whole.rpartition(".")[2]
        task = {"ClassificationModel": "classify", "SemanticSegmentationModel": "segment"}.get(kind, "detect")
        question = "It is a checkpoint of Ultralytics, and opening one runs the code in it: do you trust its source?"
        method = "gradcam" if task == "classify" else "hirescam"
        table = {"task": task, "method": method, "weights": {"path": str(path)}}
        return TableDraft("ultralytics", path.name, table, (Unknown(TRUST, question, ("no", "yes")),))
    from sightglass.models.families import osnet, yolox
    from sightglass.models.families.promptsg import loader as promptsg

    families: tuple[Any, ...] = (promptsg, yolox, segmenters, osnet)
    return next((draft for family in families if (draft := family.draft(path, saved)) is not None), None)


def _arch(path: Path, saved: Checkpoint) -> tuple[str, list[Unknown], list[str]]:
    """Return the architecture or a question about it, and notes on what was inferred."""
    fitting, beside = _identify(saved)
    if fitting and not beside:
        first, *others = _likeliest_first(path, saved, fitting)
        rest = f", and of {' and '.join(others[:2])} too (--arch)" if others else ""
        return first, [], [f"Its tensors are those of {first}{rest}."]
    if saved.whole.startswith("models.yolo."):
        raise WeightsProblem(
            f"{path.name} is a checkpoint of the YOLOv5 repository, which needs its code: export it there (python "
            f"export.py --weights {path.name} --include onnx), and give the .onnx."
        )
    question = _ask_for_arch(saved.whole, fitting, beside)
    return "", [Unknown("arch", question, tuple(_classes_beside(path, saved))[:8])], []


def _likeliest_first(path: Path, saved: Checkpoint, fitting: Sequence[str]) -> list[str]:
    """Return the names of architectures, first those that a file or its name has."""
    # Programs of training note the architecture under many names.
    keys = ("arch", "architecture", "model_name", "model", "backbone", "name")
    values = [table.get(key) for table in saved.tables() for key in keys]
    hints = [re.sub("[-_]", "", hint.lower()) for hint in (*values, path.stem) if isinstance(hint, str)]
    names = [state_dicts.short_name(name) for name in fitting]
    # The same network in both libraries is one.
    names = [name for name in names if name.removeprefix("timm/") not in names or name[:5] != "timm/"]

    def is_unhinted(name: str) -> bool:
        plain = name.removeprefix("timm/").replace("_", "")
        return not any(plain in hint for hint in hints)

    return sorted(names, key=is_unhinted)


def _ask_for_arch(whole: str, fitting: Sequence[str], beside: Sequence[str]) -> str:
    """Return the question for the architecture of a `whole` module, or of tensors."""
    package = whole.partition(".")[0]
    name = whole.rpartition(".")[2]
    question = "Which architecture is it: a name of torchvision or timm, or their_file.py:ClassName?"
    builder = "which class of yours builds it, their_file.py:ClassName (in Python, give the module itself)?"
    if package not in ("", name, "__main__"):
        return f"It holds a whole {name} of {package}, and none of its code is run: {builder}"
    if name:
        return f"It holds a whole {name}. {question}"
    if fitting:
        known = state_dicts.short_name(fitting[0])
        return f"It holds a {known} without its head, and {' and '.join(beside[:3])} beside it: {builder}"
    return question


def _strip_prefixes(saved: Checkpoint) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each common prefix, none first, and the tensors without it."""
    for prefix in ("", *state_dicts.common_prefixes(saved.tensors)):
        stripped = {key.removeprefix(prefix): value for key, value in saved.tensors.items() if key.startswith(prefix)}
        yield prefix, stripped


def _identify(saved: Checkpoint) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the architectures with a file's tensors, and the parts that go on from them where they have no head."""
    for prefix, tensors in _strip_prefixes(saved):
        if names := architectures.identify(tensors):
            has_head = any(key.partition(".")[0] in architectures.HEADS for key in tensors)
            return names, () if has_head else _parts_beside(saved, prefix)
    return (), ()


def _parts_beside(saved: Checkpoint, prefix: str) -> tuple[str, ...]:
    """Return the names of the parts beside the one with a prefix."""
    outer = prefix.rstrip(".").rpartition(".")[0]
    start = f"{outer}." if outer else ""
    beside = (key.removeprefix(start) for key in saved.tensors if key.startswith(start) and not key.startswith(prefix))
    return tuple(dict.fromkeys(key.partition(".")[0] for key in beside))


def _classes_beside(path: Path, saved: Checkpoint) -> Iterator[str]:
    """Yield `file.py:Class` for matching classes in files beside the checkpoint, which are read as text."""
    whole = saved.whole.rpartition(".")[2]
    matches: dict[str, bool] = {}
    for _, tensors in _strip_prefixes(saved):
        parts = {key.partition(".")[0] for key in tensors}
        for file in sorted({*path.parent.glob("*.py"), *Path.cwd().glob("*.py")}):
            text = file.read_text("utf-8", errors="replace") if file.stat().st_size <= MAX_BYTES else ""
            for name, body in re.findall(r"^class (\w+)(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
                if name == whole or parts <= {*re.findall(r"\.(\w+)", body)}:
                    matches[f"{file}:{name}"] = name == whole
    yield from sorted(matches, key=lambda place: not matches[place])


def build_own_class(arch: str, args: Mapping[str, Any], classes: int | None) -> nn.Module:
    """Call a class or function with `args` and the number of classes, if known; raise ModelProblem where that fails."""
    file, _, name = arch.rpartition(":")
    path = Path(file)
    module = _call(load_name(path, name), f"{path.name}:{name}", args, classes)
    if not isinstance(module, nn.Module):
        raise ModelProblem(f"{path.name}:{name} makes a {type(module).__name__}: it should make a torch.nn.Module.")
    return module


def _call(make: Callable[..., Any], name: str, args: Mapping[str, Any], classes: int | None) -> Any:
    """Call a user's function; raise ModelProblem, one sentence, where it raises."""
    try:
        usual = [key for key in COUNTS if key in signature(make).parameters]
        count = {usual[0]: classes} if usual and classes and not {*usual} & args.keys() else {}
        return make(**count, **args)
    # The caller's code may raise anything.
    except Exception as problem:
        absent = re.search(r"missing .*'(\w+)'", str(problem))
        hint = f"; say it in weights.args, or by `models add --set weights.args.{absent[1]}=3`" if absent else ""
        raise ModelProblem(f"{name} raised {type(problem).__name__} ({describe_error(problem)}){hint}.") from problem


def load_name(path: Path, name: str) -> Callable[..., Any]:
    """Return a callable of a Python file; raise ModelProblem if missing."""
    if not path.is_file():
        raise ModelProblem(
            f"There is no file {path}: give its path from the current folder, or in models.toml from where that is, "
            f"and :{name}."
        )
    with _IMPORTING:
        module = _import_file(path)
    if (member := getattr(module, name, None)) is not None and callable(member):
        return member  # type: ignore[no-any-return]
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    networks = ", ".join(one.__name__ for one in classes if issubclass(one, nn.Module)) or "no class of torch.nn.Module"
    raise ModelProblem(f"There is no {name} in {path.name}: it has {networks}.")


def _import_file(path: Path) -> Any:
    """Run a file, and those that it imports from beside it; return its module."""
    note_files([path])
    name, folder = f"own_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}", path.parent
    beside = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/*.py")}
    beside -= {*sys.stdlib_module_names, __name__.partition(".")[0]}
    # Beside torch are libraries, of which some cannot be imported twice.
    beside = beside if folder.resolve() != Path(str(nn.__file__)).resolve().parents[2] else set()

    def take_out() -> dict[str, ModuleType]:
        return {key: sys.modules.pop(key) for key in [*sys.modules] if key.partition(".")[0] in beside}

    # Modules of these names may be another network's, or older than their files.
    others = take_out()
    sys.modules[name] = module = ModuleType(name)
    module.__file__ = str(path)
    sys.path.insert(0, str(folder))
    try:
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
    except Exception as problem:
        sys.modules.pop(name, None)
        line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) else ""
        raise ModelProblem(
            f"{path.name}{line} cannot be run ({type(problem).__name__}: {describe_error(problem)})."
        ) from problem
    finally:
        imported = take_out()
        sys.modules.update(others)
        sys.path.remove(str(folder))
    note_files(Path(file) for part in imported.values() if (file := getattr(part, "__file__", None)))
    helpers = {key: part for key, part in imported.items() if not PathFinder.find_spec(key.partition(".")[0])}
    if others.keys() <= _LEFT:
        sys.modules.update(helpers)
        _LEFT.update(helpers)
    return module


def read_transform(name: str) -> tuple[PreprocessingTable, tuple[str, ...]]:
    """Return the preprocessing of a user's transform, `train.py:transform`, and notes; a function is called for it."""
    if not architectures.is_own_class(name):
        raise ModelProblem(f"{name} is no transform in a Python file: name one of yours as train.py:transform.")
    file, _, member = name.rpartition(":")
    transform = load_name(Path(file), member)
    if isroutine(transform):
        transform = _call(transform, name, {}, None)
    described, notes = picture_functions.describe(transform, f"{Path(file).name}:{member}")
    return described.table(), notes
