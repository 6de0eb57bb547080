"""Load torchvision's segmentation networks (https://github.com/pytorch/vision, BSD-3-Clause).

FCN, DeepLabv3 and LR-ASPP, with torchvision's weights, a state dict of an operator's own, or random weights.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.checkpoints import architectures, checkpoint, state_dicts
from sightglass.models.checkpoints.architectures import build_dense, default_weights, load_published
from sightglass.models.load import TableDraft
from sightglass.models.spec import ModelSpec


def load(spec: ModelSpec, progress: Progress | None = None) -> Segmenter:
    """Build the network on the CPU with torchvision's weights, or an operator's own state dict and labels.

    Raises ModelProblem for an architecture that torchvision has not, WeightsProblem where the file does not fit it.
    """
    default = default_weights(spec.arch, "segmentation network")
    count = len(labels.stated_names(spec)) or len(default.meta["categories"])
    file_notes: tuple[str, ...] = ()
    labels_in_file = () if spec.weights.path else tuple(default.meta["categories"])

    def read(path: Path) -> nn.Module:
        nonlocal count, labels_in_file, file_notes
        saved = checkpoint.open_(path, spec.weights.key or "")
        tensors = {key: value for key, value in saved.tensors.items() if not key.startswith("aux_classifier.")}
        count, file_notes = classes_of(tensors) or count, saved.notes(spec.weights.key)
        labels_in_file = labels.find_names(saved.tables(), count) or labels_in_file
        module = build_dense(spec.arch, classes=count)
        state_dicts.load_into(path, tensors, module, f"{spec.arch} with {count} classes")
        return module

    row = load_published(spec, default)
    module, sha256 = checkpoint.module_of(row, progress, lambda: build_dense(spec.arch, classes=count), read)
    names, notes = labels.for_classes(spec, count, labels_in_file, labels.voc())
    how = architectures.weights_preprocessing(default).changed(spec.preprocessing)
    return Segmenter(spec, module, names, how, sha256, notes=notes + file_notes)


def draft(path: Path, saved: checkpoint.Checkpoint) -> TableDraft | None:
    """Draft the table of a segmentation network's checkpoint; None for any other."""
    if not (arch := arch_of(saved.tensors)):
        return None
    count, table = classes_of(saved.tensors), {"task": "segment", "weights": {"path": str(path)}}
    notes = (f"Its tensors are those of {arch}, with {count} classes.",)
    draft = TableDraft("torchvision.segmenters", arch, table, notes=notes)
    return draft if labels.find_names(saved.tables(), count) else draft.with_labels(count, labels.voc())


def arch_of(tensors: Mapping[str, Tensor]) -> str:
    """Return torchvision's architecture by its tensors' names, or an empty string."""
    if not any(key.startswith("backbone.") for key in tensors):
        return ""
    if "classifier.low_classifier.weight" in tensors:
        return "lraspp_mobilenet_v3_large" if "backbone.0.0.weight" in tensors else ""
    head = "deeplabv3" if "classifier.0.convs.0.0.weight" in tensors else "fcn"
    if "classifier.4.weight" not in tensors:
        return ""
    if "backbone.layer4.0.conv3.weight" in tensors:
        return f"{head}_resnet{101 if 'backbone.layer3.22.conv1.weight' in tensors else 50}"
    return "deeplabv3_mobilenet_v3_large" if head == "deeplabv3" and "backbone.0.0.weight" in tensors else ""


def classes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return a state dict's number of classes by its last convolution."""
    names = ("classifier.4.weight", "classifier.low_classifier.weight")
    return next((int(tensors[name].shape[0]) for name in names if name in tensors), 0)
