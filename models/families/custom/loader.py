"""Load a user's state dict into an architecture.

`arch` is `resnet18` (torchvision's, else timm's), `timm/resnet18`, or `their_file.py:ClassName` with its arguments in
`weights.args`. The number of classes is read off the tensors, and preprocessing that the table does not state is
inferred, as each explanation then says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sightglass.common.errors import WeightsProblem
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.tasks import check_task
from sightglass.models.checkpoints import architectures, checkpoint, state_dicts
from sightglass.models.checkpoints.checkpoint import Checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.custom import own_code
from sightglass.models.families.custom.classifier import CustomAdapter, adapt, channels_of, note_preprocessing
from sightglass.models.families.timm import networks as timm_networks
from sightglass.models.families.torchvision import networks as torchvision_networks
from sightglass.models.families.torchvision import segmenters
from sightglass.models.inspect import MAX_BYTES, TRUST, TableDraft, Toml, Unknown, find_labels
from sightglass.models.spec import ModelSpec, PreprocessingTable


def load(spec: ModelSpec, progress: Progress | None = None) -> Classifier | CustomAdapter:
    """Open the checkpoint on the CPU, wherever it was saved.

    Raises WeightsProblem for a damaged or unfitting file, ModelProblem for a wrong architecture, code or labels.
    """
    if own_code.is_own(spec.arch):
        return _load_own_class(spec, progress)
    library, name = architectures.library_of(spec.arch)
    path = locate(spec, progress=progress)
    saved = checkpoint.open_(path, spec.weights.key or "")
    module, side, notes = _build(library, name, path, saved, spec.preprocessing.sides)
    if getattr(module, "transform_input", False):
        notes += (f"{name} was taken to scale its input as torchvision's trained weights expect (transform_input).",)
    notes += saved.notes(spec.weights.key) + state_dicts.twins(saved.tensors, module.state_dict())
    known = spec.preprocessing.for_channels(channels_of(module))
    known = known.over(PreprocessingTable(size=side))
    if library == "torchvision":
        usual = torchvision_networks.preprocessing_of(torchvision_networks.default_weights(name))
    else:
        usual = timm_networks.preprocessing_of(module)
    preprocessing = usual.changed(known)
    notes += note_preprocessing(spec, preprocessing, f"as {name} is usually trained")
    if (count := state_dicts.classes(module.state_dict(), module)) is None:
        return adapt(spec, module, sha256_of(path), None, preprocessing.table(), notes=notes)
    binary = count == 1 and not spec.measures
    count = 2 if binary else count
    labels_in_file = labels.find_names(saved.tables(), count)
    names, label_notes = labels.for_classes(spec, count, labels_in_file, labels.imagenet(), binary=binary)
    adapter = Classifier(replace(spec, arch=name), module, names, preprocessing, sha256_of(path))
    adapter.notes = notes + label_notes
    return adapter


def _build(
    library: str, name: str, path: Path, saved: Checkpoint, sides: tuple[int, int] | None
) -> tuple[nn.Module, int | None, tuple[str, ...]]:
    """Build an architecture with the file's tensors, input side and notes."""
    options: dict[str, Any] = {}
    blank = architectures.build(library, name)
    state = blank.state_dict()
    side = None
    if sides is not None and sides[0] != sides[1] and library == "timm" and "pos_embed" in state:
        options["img_size"] = sides
        blank = architectures.build(library, name, **options)
    elif (side := state_dicts.side(state_dicts.rename(saved.tensors, state), state)) is not None:
        options["image_size" if library == "torchvision" else "img_size"] = side
        blank = architectures.build(library, name, **options)
    modern = torchvision_networks.modern({**saved.tensors}) if library == "torchvision" else saved.tensors
    tensors = state_dicts.rename(modern, blank.state_dict())
    if count := state_dicts.classes(tensors, blank):
        options["num_classes"] = count
    module = architectures.build(library, name, blank=False, **options)
    state_dicts.new_stem(module, tensors)
    note = state_dicts.new_head(module, tensors)
    put_notes = state_dicts.put(path, tensors, module, name)
    if library == "torchvision":
        torchvision_networks.without_aux(name, module)
    return module, side, (*((note,) if note else ()), *put_notes)


def _load_own_class(spec: ModelSpec, progress: Progress | None) -> CustomAdapter:
    args = spec.weights.args
    notes: tuple[str, ...] = ()
    if (seed := spec.weights.random) is not None:
        saved = checkpoint.Checkpoint({})
        count = len(labels.stated_names(spec)) or None
        module = checkpoint.build_seeded(lambda: own_code.build(spec.arch, args, count), seed)
        sha256 = checkpoint.digest(module)
    else:
        path = locate(spec, progress=progress)
        saved = checkpoint.open_(path, spec.weights.key or "")
        module = own_code.build(spec.arch, args, state_dicts.classes(saved.tensors))
        tensors = state_dicts.rename(saved.tensors, module.state_dict())
        notes = state_dicts.put(path, tensors, module, spec.arch.rpartition("/")[2])
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
    unknown, notes, unnamed = list[Unknown](), list[str](), False
    if not arch:
        arch, unknown, notes = _arch(path, saved)
    elif not own_code.is_own(arch):
        architectures.library_of(arch)
    weights: Toml = {"path": str(path)}
    notes += saved.notes() or ((f"Its tensors are under {saved.key}.",) if saved.key else ())
    count = state_dicts.classes(saved.tensors)
    # One number says no or yes.
    count = 2 if count == 1 else count
    if count is not None and labels.find_names(saved.tables(), count):
        notes.append(f"The names of its {count} classes are in the checkpoint.")
    else:
        usual = () if own_code.is_own(arch) or not arch else labels.imagenet()
        unnamed = find_labels(path, count, weights, notes, usual)
    return TableDraft("custom", arch, {"weights": weights}, tuple(unknown), tuple(notes), unnamed)


def _draft_other(path: Path, saved: Checkpoint, arch: str) -> TableDraft | None:
    """Draft the table of a checkpoint of a family with its own loader, else None."""
    if arch.removeprefix("torchvision/").startswith(torchvision_networks.KINDS["detector"][1]):
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
    if fitting := next((exact for tensors in _strip_prefixes(saved) if (exact := architectures.exact(tensors))), ()):
        # Programs of training note the architecture under many names.
        keys = ("arch", "architecture", "model_name", "model", "backbone", "name")
        values = [table.get(key) for table in saved.tables() for key in keys]
        hints = [re.sub("[-_]", "", hint.lower()) for hint in (*values, path.stem) if isinstance(hint, str)]
        names = [state_dicts.short(name) for name in fitting]
        # The same network in both libraries is one.
        names = [name for name in names if name.removeprefix("timm/") not in names or name[:5] != "timm/"]
        plain = {name: name.removeprefix("timm/").replace("_", "") for name in names}
        first, *others = sorted(names, key=lambda name: not any(plain[name] in hint for hint in hints))
        rest = f", and of {' and '.join(others[:2])} too (--arch)" if others else ""
        return first, [], [f"Its tensors are those of {first}{rest}."]
    if saved.whole and saved.whole.startswith("models.yolo."):
        raise WeightsProblem(
            f"{path.name} is a checkpoint of the YOLOv5 repository, which needs its code: export it there (python "
            f"export.py --weights {path.name} --include onnx), and give the .onnx."
        )
    package, name = saved.whole.partition(".")[0], saved.whole.rpartition(".")[2]
    question = "Which architecture is it: a name of torchvision or timm, or their_file.py:ClassName?"
    if package not in ("", name, "__main__"):
        question = (
            f"It holds a whole {name} of {package}, and none of its code is run: which class of yours builds it, "
            "their_file.py:ClassName (in Python, give the module itself)?"
        )
    elif name:
        question = f"It holds a whole {name}. {question}"
    return "", [Unknown("arch", question, tuple(_classes_beside(path, saved))[:8])], []


def _strip_prefixes(saved: Checkpoint) -> Iterator[Mapping[str, Any]]:
    """Yield the tensors, also without each common prefix."""
    yield saved.tensors
    for prefix in state_dicts.common(saved.tensors):
        yield {key[len(prefix) :]: value for key, value in saved.tensors.items() if key.startswith(prefix)}


def _classes_beside(path: Path, saved: Checkpoint) -> Iterator[str]:
    """Yield `file.py:Class` for matching classes in files beside the checkpoint, which are read as text."""
    whole = saved.whole.rpartition(".")[2]
    matches: dict[str, bool] = {}
    for tensors in _strip_prefixes(saved):
        parts = {key.partition(".")[0] for key in tensors}
        for file in sorted({*path.parent.glob("*.py"), *Path.cwd().glob("*.py")}):
            text = file.read_text("utf-8", errors="replace") if file.stat().st_size <= MAX_BYTES else ""
            for name, body in re.findall(r"^class (\w+)(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
                if name == whole or parts <= {*re.findall(r"\.(\w+)", body)}:
                    matches[f"{file}:{name}"] = name == whole
    yield from sorted(matches, key=lambda place: not matches[place])
