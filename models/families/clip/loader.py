"""Load CLIP and SigLIP from folders of Transformers, and the packaged demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Progress, freeze
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import CAPTIONED_SIDE
from sightglass.models.families.clip.classifier import MEAN, STD, ClipClassifier, ImageTower, Towers
from sightglass.models.families.transformers.folders import (
    from_folder,
    picture_settings,
    read,
    weights_in,
)
from sightglass.models.families.transformers.loader import CLIP_KINDS, folder_of, load_network, of_processor
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
        net = nets.fill(nets.DemoClip(), path)
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
    loaded = towers(spec, folder_of(spec, "*.txt", "*.model"))
    stated = replace(loaded, preprocessing=loaded.preprocessing.changed(spec.preprocessing))
    return replace(stated, notes=()) if spec.preprocessing.complete else stated


HALF = (0.5, 0.5, 0.5)
"""Mean and std of SigLIP's training pictures."""
CLIP_VOCABULARY = 49408
"""Entries of CLIP's own vocabulary, whose tokenizer comes with OpenCLIP."""


def towers(spec: ModelSpec, folder: Path) -> Towers:
    """Read a `save_pretrained` folder, without code and with plain pickles only."""
    import transformers

    kind = str(read(folder / "config.json").get("model_type", ""))
    if kind not in CLIP_KINDS:
        raise ModelProblem(
            f"{folder} is a folder of {kind or 'no model that says what it is'}: its config.json should have the "
            f"model_type {' or '.join(CLIP_KINDS)}."
        )
    weights = weights_in(folder)
    net, _ = load_network(transformers.AutoModel, folder, weights)
    freeze(net)
    parts = {"vision_model": net.vision_model}
    if kind == "clip":
        parts["visual_projection"] = net.visual_projection
    preprocessing, notes = _preprocessing(folder, net.config)
    return Towers(
        ImageTower(parts),
        _reader(spec, net, folder),
        net.logit_scale.exp().item(),
        None if kind == "clip" else net.logit_bias.item(),
        preprocessing,
        sha256_of(weights),
        notes,
        sum(tensor.nbytes for tensor in (*net.text_model.parameters(), *net.text_model.buffers())),
    )


def _reader(spec: ModelSpec, net: Any, folder: Path) -> Any:
    """Return the encoder of phrases to (K, D), with the folder's tokenizer."""
    config, clip = net.config.text_config, net.config.model_type == "clip"
    length = int(config.max_position_embeddings)
    if any(os.path.isfile(folder / name) for name in ("tokenizer.json", "vocab.json", "spiece.model")):
        import transformers

        encode = from_folder(transformers.AutoTokenizer, folder)
        # SigLIP was trained with every phrase filled up, and without a mask.
        names = ("input_ids", "attention_mask") if clip else ("input_ids",)

        def tokens(phrases: Sequence[str]) -> dict[str, Tensor]:
            batch = encode(list(phrases), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            return {name: batch[name] for name in names if name in batch}

    elif config.vocab_size == CLIP_VOCABULARY:
        try:
            from open_clip.tokenizer import SimpleTokenizer
        except ImportError as problem:
            raise ModelProblem(
                "The folder has no tokenizer, and CLIP's own comes with open_clip_torch, which is not installed here: "
                "pip install open_clip_torch."
            ) from problem
        shared = SimpleTokenizer(context_length=length)

        def tokens(phrases: Sequence[str]) -> dict[str, Tensor]:
            return {"input_ids": shared(list(phrases))}

    else:
        raise ModelProblem(
            f"{folder} has no tokenizer, so {spec.id} cannot read words: put tokenizer.json of the same model there."
        )

    def read(phrases: Sequence[str]) -> Tensor:
        pooled = net.text_model(**tokens(phrases)).pooler_output
        projected: Tensor = net.text_projection(pooled) if clip else pooled
        return projected

    return read


def _preprocessing(folder: Path, config: Any) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return how pictures are prepared, and a note where that is a guess."""
    size = int(config.vision_config.image_size)
    settings = picture_settings(folder)
    if not settings:
        clip = config.model_type == "clip"
        numbers, crop = ((MEAN, STD), "centre") if clip else ((HALF, HALF), "squash")
        guess = Preprocessing((size, size), size, *numbers, "bicubic", crop=crop)
        note = f"Its preprocessing was inferred ({guess}, {config.model_type}'s own mean and std): no file states it."
        return guess, (note,)
    return of_processor({"size": size, "resample": 3, **settings}), ()
