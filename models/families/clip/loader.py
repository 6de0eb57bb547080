"""Load CLIP, SigLIP, OpenCLIP and the packaged demo."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.common.errors import WeightsProblem
from sightglass.models import labels
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo import captioned_scenes
from sightglass.models.families.clip import open_clip, transformers
from sightglass.models.families.clip.classifier import ClipClassifier, Towers
from sightglass.models.families.transformers.folders import check_folder, weights_in
from sightglass.models.families.transformers.loader import fetch
from sightglass.models.inspect import TableDraft, Unknown
from sightglass.models.preprocess import Preprocessing

if TYPE_CHECKING:
    from sightglass.models.adapter import Progress
    from sightglass.models.spec import ModelSpec

DEMO = "demo-clip"
DEMO_WORDS = tuple(f"{c} {s}" for c in ("red", "yellow", "green", "blue") for s in ("star", "ball", "square"))
"""Vocabulary of the packaged model where none is given."""


def load(spec: ModelSpec, progress: Progress | None = None) -> ClipClassifier:
    """Build the model on the CPU: `demo-clip`, a folder of Transformers, or a checkpoint of an OpenCLIP architecture.

    `weights.labels` are the classes that it has without being asked, each put into `weights.template`.
    """
    words = labels.own(spec) or (DEMO_WORDS if spec.arch == DEMO else ())
    return ClipClassifier(spec, _towers(spec, progress), words)


def _towers(spec: ModelSpec, progress: Progress | None) -> Towers:
    if spec.arch == DEMO:
        return _demo(spec, progress)
    folder = _folder(spec)
    if folder is not None:
        check_folder(folder)
    if folder is None:
        found = open_clip.towers(spec.arch, locate(spec, progress=progress), None)
    elif (folder / "open_clip_config.json").is_file():
        found = open_clip.towers(f"local-dir:{folder}", weights_in(folder, transformers.CLIP_FILES), folder)
    else:
        found = transformers.towers(spec, folder)
    stated = replace(found, preprocessing=found.preprocessing.changed(spec.preprocessing))
    return replace(stated, notes=()) if spec.preprocessing.complete else stated


def _folder(spec: ModelSpec) -> Path | None:
    """Return the folder that the table names, or a repository of the hub; None for a single file."""
    if path := spec.weights.path:
        if os.path.isdir(path):
            return Path(path)
        # Somebody names the file in a folder that has all the rest.
        folder = Path(path).parent
        return folder if os.path.isfile(path) and transformers.kind_of(folder) in transformers.KINDS else None
    if not spec.weights.hub:
        return None
    wanted = ("*.json", "*.txt", "*.model", "model.safetensors", "open_clip_model.safetensors")
    return fetch(spec.weights.hub, *wanted)


def _demo(spec: ModelSpec, progress: Progress | None) -> Towers:
    from sightglass.models.families.demo import nets
    from sightglass.models.families.demo.loader import ONLY_DRAWN

    path = locate(spec, progress=progress)
    net = nets.fill(nets.DemoClip(), path, "clip")
    return Towers(
        net.visual,
        lambda phrases: net.text(nets.tokenize(phrases)),
        net.logit_scale.exp().item(),
        net.logit_bias.item(),
        Preprocessing(
            (captioned_scenes.SIDE, captioned_scenes.SIDE), captioned_scenes.SIDE, nets.MEAN, nets.STD, "bicubic"
        ),
        sha256_of(path),
        notes=(ONLY_DRAWN,),
        unreadable=nets.unreadable,
    )


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of a folder, by its configuration, or of a file of OpenCLIP's or OpenAI's, by its tensors."""
    folder = path if path.is_dir() else path.parent
    question = "Which classes should it know without being asked? A list, or a file of names."
    names = Unknown("weights.labels", question, needed=False)
    if path.is_dir() or path.name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / "open_clip_config.json").is_file():
            check_folder(folder)
            note = "open_clip_config.json says the architecture and the preprocessing."
            return _draft("open_clip", folder, (names,), note)
        if (kind := transformers.kind_of(folder)) in transformers.KINDS:
            check_folder(folder)
            note = f"config.json says that it is a {kind} of Transformers."
            return _draft(kind, folder, (names,), note)
        return None
    if path.suffix not in (".pt", ".pth", ".bin", ".safetensors"):
        return None
    try:
        tensors = checkpoint.read(path)
    except WeightsProblem:
        return None
    if not ("logit_scale" in tensors and any(key.startswith("visual.") for key in tensors)):
        return None
    known = open_clip.architectures(tensors)
    note = f"Its tensors fit OpenCLIP's {', '.join(known[:4])}." if known else "Its tensors are those of a CLIP."
    arch = known[0] if len(known) == 1 else ""
    which = Unknown("arch", "Which OpenCLIP architecture is it? OpenAI's own weights are a -quickgelu one.", known)
    return _draft(arch, path, (names,) if arch else (which, names), note)


def _draft(arch: str, path: Path, unknown: tuple[Unknown, ...], note: str) -> TableDraft:
    return TableDraft("clip", arch, {"task": "classify", "weights": {"path": str(path)}}, unknown, (note,))
