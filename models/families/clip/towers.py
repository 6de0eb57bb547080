"""Where the two halves of a CLIP come from: Transformers' folders, OpenCLIP's architectures, and the packaged demo."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from common.errors import ModelProblem, WeightsProblem
from common.suggestions import did_you_mean
from models import checkpoint
from models.adapter import freeze
from models.families.clip.loader import Towers
from models.families.transformers import fetched, read
from models.inspect import TableDraft, Unknown
from models.preprocess import Preprocessing
from models.weights import Progress, locate, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.adapter import ModelSpec

DEMO = "demo-clip"
OWN_WORDS = {DEMO: tuple(f"{c} {s}" for c in ("red", "yellow", "green", "blue") for s in ("star", "ball", "square"))}
"""What a packaged model is asked where nobody says anything."""
KINDS = ("clip", "siglip", "siglip2")
"""Transformers' `model_type` of what is read here."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's own training pictures."""
HALF = (0.5, 0.5, 0.5)
"""Of SigLIP's, both."""
BPE = 49408
"""Entries of CLIP's own vocabulary, whose tokenizer comes with OpenCLIP."""


class Eyes(nn.Module):
    """The image tower, its parts by their library's names."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Any = pictures
        for name, part in self.named_children():
            found = part(pixel_values=found).pooler_output if name == "vision_model" else part(found)
        features: Tensor = found
        return features


def _bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def towers(spec: ModelSpec, progress: Progress | None) -> Towers:
    """Both halves of the model that a row of the catalogue names."""
    if spec.arch == DEMO:
        return _demo(spec, progress)
    folder = _folder(spec)
    if folder is not None and (folder / "open_clip_config.json").is_file():
        found = _open_clip(spec, f"local-dir:{folder}", _weights_in(folder), folder)
    elif folder is not None:
        found = _transformers(spec, folder)
    else:
        found = _open_clip(spec, spec.arch, locate(spec, progress=progress), None)
    given = spec.weights.get("preprocessing", {})
    if not given:
        return found
    stated = replace(found, preprocessing=found.preprocessing.changed(given))
    inferred = {"size", "mean", "std"} - given.keys()
    return stated if inferred else replace(stated, notes=())


def _folder(spec: ModelSpec) -> Path | None:
    """The folder of a model that is one: the table's, or a repository of the hub; None for a single file."""
    path = spec.weights.get("path")
    if path:
        if os.path.isdir(path):
            return Path(path)
        # Somebody names the file in a folder that has all the rest.
        beside = Path(path).parent / "config.json"
        return beside.parent if os.path.isfile(path) and _kind(beside.parent) in KINDS else None
    if "hub" not in spec.weights:
        return None
    wanted = ("*.json", "*.txt", "*.model", "model.safetensors", "open_clip_model.safetensors")
    return fetched(spec.weights["hub"], *wanted)


def _kind(folder: Path) -> str:
    return str(read(folder / "config.json").get("model_type", ""))


def _weights_in(folder: Path) -> Path:
    names = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
    found = next((folder / name for name in names if os.path.isfile(folder / name)), None)
    if found is None:
        raise WeightsProblem(f"{folder} holds no weights: put {names[0]} beside its configuration.")
    return found


def _demo(spec: ModelSpec, progress: Progress | None) -> Towers:
    from models.demo import clip_net
    from models.demo.captioned_scenes import SIDE
    from models.demo.nets import MEAN, STD
    from models.families.demo import ONLY_DRAWN

    path = locate(spec, progress=progress)
    net = clip_net.trained(path)
    preprocessing = Preprocessing((SIDE, SIDE), SIDE, MEAN, STD)
    eyes: nn.Module = net.visual
    return Towers(
        eyes,
        lambda phrases: net.text(clip_net.tokenize(phrases)),
        net.logit_scale.exp().item(),
        net.logit_bias.item(),
        preprocessing,
        sha256_of(path),
        notes=(ONLY_DRAWN,),
    )


def _transformers(spec: ModelSpec, folder: Path) -> Towers:
    """A folder as `save_pretrained` writes it; no code in it is run, and no pickle but of plain tensors."""
    import transformers

    kind = _kind(folder)
    if kind not in KINDS:
        raise ModelProblem(
            f"{folder} is a folder of {kind or 'no model that says what it is'}: its config.json should have the "
            f"model_type {' or '.join(KINDS)}."
        )
    weights = _weights_in(folder)
    problem = "does not fit its own config.json"
    talk: Any = transformers.utils.logging
    before = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        found = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, RuntimeError, ValueError) as wrong:
        reason = next(iter(str(wrong).strip().splitlines()), problem)
        raise WeightsProblem(f"{weights} {problem} ({reason[:200].rstrip('.:')}).") from wrong
    finally:
        talk.set_verbosity(before[0])
        if before[1]:
            talk.enable_progress_bar()
    net, said = found
    _whole(weights, said)
    freeze(net)
    parts = {"vision_model": net.vision_model}
    if hasattr(net, "visual_projection"):
        parts["visual_projection"] = net.visual_projection
    read = _reader(spec, net, folder)
    preprocessing, fit, notes = _prepared(folder, net.config)
    bias = getattr(net, "logit_bias", None)
    return Towers(
        Eyes(parts),
        read,
        net.logit_scale.exp().item(),
        None if bias is None else bias.item(),
        preprocessing,
        sha256_of(weights),
        fit,
        notes,
        _bytes(net.text_model),
    )


def _whole(path: Path, said: Mapping[str, Any]) -> None:
    """Raise WeightsProblem where tensors of the model were not in the file, or of another shape."""
    missing = sorted(str(key) for key in said.get("missing_keys", ()))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsProblem(
            f"{path} lacks {missing[0]}{more}: it is of another model than config.json beside it says."
        )


def _reader(spec: ModelSpec, net: Any, folder: Path) -> Any:
    """Phrases to (K, D) by a Transformers model's own tokenizer, or by CLIP's where the folder has none."""
    config = net.config.text_config
    length = int(config.max_position_embeddings)
    own = any(os.path.isfile(folder / name) for name in ("tokenizer.json", "vocab.json", "spiece.model"))
    if own:
        import transformers

        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )

        def tokens(phrases: Sequence[str]) -> dict[str, Tensor]:
            # SigLIP was trained with every phrase filled up, and without a mask.
            given = tokenizer(
                list(phrases), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            kept = ("input_ids",) if net.config.model_type != "clip" else ("input_ids", "attention_mask")
            return {name: given[name] for name in kept if name in given}

    elif config.vocab_size == BPE:
        shared = _bpe(length)

        def tokens(phrases: Sequence[str]) -> dict[str, Tensor]:
            return {"input_ids": shared(list(phrases))}

    else:
        raise ModelProblem(
            f"{folder} has no tokenizer, so {spec.id} cannot read words: put tokenizer.json of the same model there."
        )

    def read(phrases: Sequence[str]) -> Tensor:
        found = net.text_model(**tokens(phrases)).pooler_output
        projected: Tensor = net.text_projection(found) if hasattr(net, "text_projection") else found
        return projected

    return read


def _bpe(length: int) -> Any:
    """CLIP's own tokenizer, as OpenCLIP ships it: nothing is downloaded."""
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as problem:
        raise ModelProblem(
            "The folder has no tokenizer, and CLIP's own comes with open_clip_torch, which is not installed here: "
            "install requirements-transformers.txt."
        ) from problem
    return SimpleTokenizer(context_length=length)


def _prepared(folder: Path, config: Any) -> tuple[Preprocessing, str, tuple[str, ...]]:
    """How a Transformers model's pictures are prepared, by which way, and a note where that is a guess."""
    size = int(config.vision_config.image_size)
    held = read(folder / "preprocessor_config.json")
    held = held or read(folder / "processor_config.json").get("image_processor", {})
    clip = config.model_type == "clip"
    if not held:
        mean, std = (MEAN, STD) if clip else (HALF, HALF)
        said = (
            f"Its preprocessing was inferred ({size} pixels, {config.model_type}'s own mean and spread): no file says."
        )
        guessed = Preprocessing((size, size), size, mean, std)
        return guessed, "trained" if clip else "squash", (said,)
    short, whole = _sides(held.get("size", size))
    high, wide = _sides(held["crop_size"])[1] if held.get("do_center_crop") and "crop_size" in held else whole
    squashed = not held.get("do_center_crop") and "shortest_edge" not in held.get("size", {})
    interpolation = Pillow.Resampling(held.get("resample", 3))
    mean, std = (_three(held[key]) for key in ("image_mean", "image_std"))
    preprocessing = Preprocessing((high, wide), short, mean, std, interpolation)
    return preprocessing, "squash" if squashed else "trained", ()


def _three(given: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, given)
    return red, green, blue


def _sides(given: Any) -> tuple[int, tuple[int, int]]:
    """A size of a Transformers configuration as the short side, and (h, w)."""
    if isinstance(given, dict):
        if "shortest_edge" in given:
            return int(given["shortest_edge"]), (int(given["shortest_edge"]),) * 2
        high, wide = int(given["height"]), int(given["width"])
        return min(high, wide), (high, wide)
    return int(given), (int(given),) * 2


def _open_clip(spec: ModelSpec, name: str, weights: Path, folder: Path | None) -> Towers:
    """An OpenCLIP architecture by its name, or by the configuration in its folder, with the tensors of a file."""
    import open_clip

    if folder is None and open_clip.get_model_config(name) is None:
        hint = did_you_mean(name, open_clip.list_models(), "see open_clip.list_models().", n=3)
        raise ModelProblem(f"OpenCLIP has no architecture {name!r}: {hint}")
    net = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    held = (
        open_clip.convert.convert_state_dict(net, checkpoint.read(weights))
        if folder is None
        else checkpoint.read(weights)
    )
    # Older files keep the text's mask and the positions' numbers too.
    held = {key: value for key, value in held.items() if not key.endswith(("attn_mask", "position_ids"))}
    _fill(net, held, weights, name if folder is None else "its open_clip_config.json")
    freeze(net)
    visual, net.visual = net.visual, nn.Identity()
    preprocess = open_clip.get_model_preprocess_cfg(_Seen(visual))
    size = preprocess["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    squashed = preprocess.get("resize_mode") == "squash"
    preprocessing = Preprocessing(
        size,
        min(size),
        tuple(preprocess.get("mean", MEAN)),
        tuple(preprocess.get("std", STD)),
        Pillow.Resampling[preprocess.get("interpolation", "bicubic").upper()],
    )
    bias = getattr(net, "logit_bias", None)
    tokenizer: Any = None

    def read(phrases: Sequence[str]) -> Tensor:
        nonlocal tokenizer
        if tokenizer is None:
            try:
                tokenizer = open_clip.get_tokenizer(name)
            except Exception as problem:
                raise ModelProblem(
                    f"The tokenizer of {name} is not on this machine: give a folder with open_clip_config.json and "
                    "tokenizer.json as weights.path."
                ) from problem
        rows: Tensor = net.encode_text(tokenizer(list(phrases)))
        return rows

    return Towers(
        Eyes({"visual": visual}),
        read,
        net.logit_scale.exp().item(),
        None if bias is None else bias.item(),
        preprocessing,
        sha256_of(weights),
        "squash" if squashed else "trained",
        text_bytes=_bytes(net),
    )


class _Seen:
    """What OpenCLIP asks for the preprocessing of."""

    def __init__(self, visual: nn.Module) -> None:
        self.visual = visual


def _fill(net: nn.Module, held: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Put tensors into a model; raises WeightsProblem with the first that is missing, too many or of another shape."""
    own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    for key, shape in own.items():
        if key in held and tuple(held[key].shape) != shape:
            raise WeightsProblem(
                f"{path} does not fit {name}: {key} is {tuple(held[key].shape)} in the file and {shape} in the model; "
                "say the architecture that it was trained as."
            )
    missing, many = sorted(own.keys() - held.keys()), sorted(held.keys() - own.keys())
    if missing or many:
        what = f"the file lacks {missing[0]}" if missing else f"the model has no {many[0]}"
        raise WeightsProblem(f"{path} does not fit {name}: {what}; say the architecture that it was trained as.")
    net.load_state_dict(held)


def inspect(path: Path) -> TableDraft | None:
    """The draft of a table, by the configuration in a folder or by the shapes in a file of OpenCLIP's or OpenAI's."""
    folder = path if path.is_dir() else path.parent
    labels = Unknown(
        "weights.labels", "Which classes shall it know without being asked? A list, or a file of names.", needed=False
    )
    if path.is_dir() or path.name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / "open_clip_config.json").is_file():
            note = "open_clip_config.json says the architecture and the preprocessing."
            return TableDraft("clip", "open_clip", _table("open_clip", folder), (labels,), (note,))
        if (kind := _kind(folder)) in KINDS:
            note = f"config.json says that it is a {kind} of Transformers."
            return TableDraft("clip", kind, _table(kind, folder), (labels,), (note,))
        return None
    if path.suffix not in (".pt", ".pth", ".bin", ".safetensors"):
        return None
    try:
        held = checkpoint.read(path)
    except WeightsProblem:
        return None
    if not ("logit_scale" in held and any(key.startswith("visual.") for key in held)):
        return None
    names = _architectures(held)
    said = f"Its tensors fit OpenCLIP's {', '.join(names[:4])}." if names else "Its tensors are those of a CLIP."
    arch = names[0] if len(names) == 1 else ""
    which = Unknown("arch", "Which OpenCLIP architecture is it? OpenAI's own weights are a -quickgelu one.", names)
    return TableDraft("clip", arch, _table(arch, path), (labels,) if arch else (which, labels), (said,))


def _table(arch: str, path: Path) -> dict[str, Any]:
    return {"loader": "clip", "arch": arch, "task": "classify", "weights": {"path": str(path)}}


def _architectures(held: Mapping[str, Tensor]) -> tuple[str, ...]:
    """OpenCLIP's names of plain ViTs whose sides are those of the tensors, the shortest name first."""
    import open_clip

    if "visual.conv1.weight" not in held or "visual.proj" not in held:
        return ()
    width, _, patch, _ = held["visual.conv1.weight"].shape
    depth = len({key.split(".")[3] for key in held if key.startswith("visual.transformer.resblocks.")})
    side = round((len(held["visual.positional_embedding"]) - 1) ** 0.5) * patch
    found = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, joint = config["vision_cfg"], config["embed_dim"]
        sides = (vision.get("width"), vision.get("patch_size"), vision.get("layers"), vision.get("image_size"), joint)
        if sides == (width, patch, depth, side, held["visual.proj"].shape[1]):
            found.append(name)
    return tuple(sorted(found, key=len))
