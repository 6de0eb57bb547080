"""Load CLIP, SigLIP, OpenCLIP and the packaged demo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from sightglass.common.errors import ModelProblem, WeightsProblem, did_you_mean
from sightglass.models import labels
from sightglass.models.adapter import Progress, freeze
from sightglass.models.checkpoints import checkpoint, state_dicts
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import CAPTIONED_SIDE
from sightglass.models.families.clip import transformers
from sightglass.models.families.clip.classifier import MEAN, STD, ClipClassifier, ImageTower, Towers, nbytes
from sightglass.models.families.transformers.folders import check_folder, weights_in, without_hub
from sightglass.models.families.transformers.loader import fetch
from sightglass.models.inspect import TableDraft, Unknown
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec


def towers(name: str, weights: Path, folder: Path | None) -> Towers:
    """Build an architecture by name or configuration, with a file's tensors."""
    import open_clip

    if folder is None and open_clip.get_model_config(name) is None:
        hint = did_you_mean(name, open_clip.list_models(), "see open_clip.list_models().", n=3)
        raise ModelProblem(f"OpenCLIP has no architecture {name!r}: {hint}")
    with nullcontext() if folder is None else without_hub(folder):
        net = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    tensors = checkpoint.read(weights)
    if folder is None:
        tensors = open_clip.convert.convert_state_dict(net, tensors)
    # Older files keep the text's mask and the positions' numbers too.
    tensors = {key: value for key, value in tensors.items() if not key.endswith(("attn_mask", "position_ids"))}
    state_dicts.put(weights, tensors, net, name if folder is None else "its open_clip_config.json")
    freeze(net)
    visual, net.visual = net.visual, nn.Identity()
    preprocessing = _preprocessing(visual)
    bias = getattr(net, "logit_bias", None)
    tokenizer: Any = None

    def read(phrases: Sequence[str]) -> Tensor:
        nonlocal tokenizer
        if tokenizer is None:
            try:
                with nullcontext() if folder is None else without_hub(folder):
                    tokenizer = open_clip.get_tokenizer(name)
            except Exception as problem:
                raise ModelProblem(
                    f"The tokenizer of {name} is not on this machine: give a folder with open_clip_config.json and "
                    "tokenizer.json as weights.path."
                ) from problem
        rows: Tensor = net.encode_text(tokenizer(list(phrases)))
        return rows

    return Towers(
        ImageTower({"visual": visual}),
        read,
        net.logit_scale.exp().item(),
        None if bias is None else bias.item(),
        preprocessing,
        sha256_of(weights),
        text_bytes=nbytes(net),
    )


def _preprocessing(visual: nn.Module) -> Preprocessing:
    import open_clip

    cfg = open_clip.get_model_preprocess_cfg(SimpleNamespace(visual=visual))
    size = (cfg["size"],) * 2 if isinstance(cfg["size"], int) else tuple(cfg["size"])
    mean, std = tuple(cfg.get("mean", MEAN)), tuple(cfg.get("std", STD))
    crop = {"squash": "squash", "longest": "letterbox"}.get(cfg.get("resize_mode", ""), "centre")
    return Preprocessing(size, min(size), mean, std, cfg.get("interpolation", "bicubic"), crop=crop)


def architectures(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return OpenCLIP's names of plain ViTs with the dimensions of these tensors, the shortest name first."""
    import open_clip

    if "visual.conv1.weight" not in tensors or "visual.proj" not in tensors:
        return ()
    width, _, patch, _ = tensors["visual.conv1.weight"].shape
    depth = len({key.split(".")[3] for key in tensors if key.startswith("visual.transformer.resblocks.")})
    side = round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5) * patch
    names = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, joint = config["vision_cfg"], config["embed_dim"]
        sides = (vision.get("width"), vision.get("patch_size"), vision.get("layers"), vision.get("image_size"), joint)
        if sides == (width, patch, depth, side, tensors["visual.proj"].shape[1]):
            names.append(name)
    return tuple(sorted(names, key=len))


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
    if folder is not None:
        check_folder(folder)
    if folder is None:
        pair = towers(spec.arch, locate(spec, progress=progress), None)
    elif (folder / "open_clip_config.json").is_file():
        pair = towers(f"local-dir:{folder}", weights_in(folder, transformers.CLIP_FILES), folder)
    else:
        pair = transformers.towers(spec, folder)
    stated = replace(pair, preprocessing=pair.preprocessing.changed(spec.preprocessing))
    return replace(stated, notes=()) if spec.preprocessing.complete else stated


def _folder(spec: ModelSpec) -> Path | None:
    """Return a table's folder or hub repository; None for a single file."""
    if path := spec.weights.path:
        if os.path.isdir(path):
            return Path(path)
        # Somebody names the file in a folder that has all the rest.
        folder = Path(path).parent
        return folder if os.path.isfile(path) and transformers.kind_of(folder) in transformers.KINDS else None
    if not spec.weights.hub:
        return None
    patterns = ("*.json", "*.txt", "*.model", "model.safetensors", "open_clip_model.safetensors")
    return fetch(spec.weights.hub, *patterns)


def inspect(path: Path) -> TableDraft | None:
    """Draft a folder's or a CLIP file's table."""
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
    known = architectures(tensors)
    note = f"Its tensors fit OpenCLIP's {', '.join(known[:4])}." if known else "Its tensors are those of a CLIP."
    arch = known[0] if len(known) == 1 else ""
    which = Unknown("arch", "Which OpenCLIP architecture is it? OpenAI's own weights are a -quickgelu one.", known)
    return _draft(arch, path, (names,) if arch else (which, names), note)


def _draft(arch: str, path: Path, unknown: tuple[Unknown, ...], note: str) -> TableDraft:
    return TableDraft("clip", arch, {"task": "classify", "weights": {"path": str(path)}}, unknown, (note,))
