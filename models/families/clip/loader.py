"""Load CLIP and SigLIP from folders of Transformers, and the packaged demo."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Progress
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import CAPTIONED_SIDE
from sightglass.models.families.clip import transformers
from sightglass.models.families.clip.classifier import ClipClassifier, Towers
from sightglass.models.families.transformers.folders import FILES, check_folder
from sightglass.models.families.transformers.loader import fetch
from sightglass.models.inspect import TableDraft, Unknown
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

DEMO = "demo-clip"
DEMO_WORDS = tuple(f"{c} {s}" for c in ("red", "yellow", "green", "blue") for s in ("star", "ball", "square"))
"""Vocabulary of the packaged model where none is given."""


def load(spec: ModelSpec, progress: Progress | None = None) -> ClipClassifier:
    """Build the model on the CPU: `demo-clip`, or a folder of Transformers.

    `weights.labels` are the classes that it has without being asked, each put into `weights.template`.
    """
    words = labels.own(spec) or (DEMO_WORDS if spec.arch == DEMO else ())
    return ClipClassifier(spec, _towers(spec, progress), words)


def _towers(spec: ModelSpec, progress: Progress | None) -> Towers:
    if spec.arch == DEMO:
        from sightglass.models.families.demo import nets
        from sightglass.models.families.demo.loader import ONLY_DRAWN

        path = locate(spec, progress=progress)
        net = nets.fill(nets.DemoClip(), path, "clip")
        return Towers(
            net.visual,
            lambda phrases: net.text(nets.tokenize(phrases)),
            net.logit_scale.exp().item(),
            net.logit_bias.item(),
            Preprocessing((CAPTIONED_SIDE, CAPTIONED_SIDE), CAPTIONED_SIDE, nets.MEAN, nets.STD, "bicubic"),
            sha256_of(path),
            notes=(ONLY_DRAWN,),
            unreadable=nets.unreadable,
        )
    folder = _folder(spec)
    check_folder(folder)
    pair = transformers.towers(spec, folder)
    stated = replace(pair, preprocessing=pair.preprocessing.changed(spec.preprocessing))
    return replace(stated, notes=()) if spec.preprocessing.complete else stated


def _folder(spec: ModelSpec) -> Path:
    """Return a table's folder, also that of a file in it, or its hub repository."""
    if path := spec.weights.path:
        folder = Path(path) if os.path.isdir(path) else Path(path).parent
        if transformers.kind_of(folder) in transformers.KINDS:
            return folder
        raise ModelProblem(
            f"{path} is no folder of Transformers: OpenCLIP's models are not read, but many have one too."
        )
    return fetch(spec.weights.hub or spec.arch, "*.json", "*.txt", "*.model", "model.safetensors")


def inspect(path: Path) -> TableDraft | None:
    """Draft a folder's table; None for others."""
    folder = path if path.is_dir() else path.parent
    if not (path.is_dir() or path.name in FILES) or (kind := transformers.kind_of(folder)) not in transformers.KINDS:
        return None
    check_folder(folder)
    question = "Which classes should it know without being asked? A list, or a file of names."
    return TableDraft(
        "clip",
        kind,
        {"task": "classify", "weights": {"path": str(folder)}},
        (Unknown("weights.labels", question, needed=False),),
        (f"config.json says that it is a {kind} of Transformers.",),
    )
