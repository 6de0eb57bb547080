"""Load a user's state dict into an architecture.

`arch` is `resnet18` (torchvision's, else timm's), `timm/resnet18`, or `their_file.py:ClassName` with its arguments in
`weights.args`. The number of classes is read off the tensors, and preprocessing that the table does not state is
inferred, as each explanation then says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.tasks import check_task
from sightglass.models.checkpoints import architectures, checkpoint, state_dicts
from sightglass.models.checkpoints.checkpoint import Checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.families.custom import own_code
from sightglass.models.families.custom.classifier import CustomAdapter, adapt, note_preprocessing
from sightglass.models.families.custom.inspect import inspect as inspect
from sightglass.models.families.custom.probe import channels_of
from sightglass.models.families.timm import networks as timm_networks
from sightglass.models.families.torchvision import networks as torchvision_networks
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
    count = state_dicts.classes(module.state_dict(), module) or 0
    binary = count == 1 and not spec.measures
    count = 2 if binary else count
    labels_in_file = labels.find_names(saved.tables(), count)
    names, label_notes = labels.for_classes(spec, count, labels_in_file, labels.imagenet(), binary=binary)
    known = spec.preprocessing.for_channels(channels_of(module))
    known = known.over(PreprocessingTable(size=side))
    if library == "torchvision":
        kind: type[Classifier] = torchvision_networks.TorchvisionClassifier
        usual = torchvision_networks.preprocessing_of(torchvision_networks.default_weights(name))
    else:
        kind, usual = Classifier, timm_networks.preprocessing_of(module)
    adapter = kind(replace(spec, arch=name), module, names, usual.changed(known), sha256_of(path))
    notes += label_notes
    adapter.notes = notes + note_preprocessing(spec, adapter.preprocessing, f"as {name} is usually trained")
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
        count = len(labels.own(spec)) or None
        module = checkpoint.build_seeded(lambda: own_code.build(spec.arch, args, count), seed)
        sha256 = checkpoint.digest(module)
    else:
        path = locate(spec, progress=progress)
        saved = checkpoint.open_(path, spec.weights.key or "")
        module = own_code.build(spec.arch, args, state_dicts.classes(saved.tensors))
        tensors = state_dicts.rename(saved.tensors, module.state_dict())
        notes = state_dicts.put(path, tensors, module, spec.arch.rpartition("/")[2])
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
