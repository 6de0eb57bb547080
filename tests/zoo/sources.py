"""Small untrained models of libraries, and how to ask them without Sightglass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

LARGEST = 90
"""Million parameters of the largest model that is built."""


class NotBuilt(Exception):
    """A model that cannot be built small here."""


class Case(NamedTuple):
    library: str
    name: str
    build: Callable[[], tuple[Any, Any]]
    """Returns the model and what prepares a picture, or None."""
    save: Callable[[Any, Any, Path], dict[str, Any]] | None = None
    """Writes the model into a folder, and returns the arguments that open it."""
    task: str | None = None


def small(make: Callable[[], Any]) -> Any:
    """Build a model with new random weights: as libraries draw them, many answer the same for every picture."""
    # A RegNet is not built without values.
    for device, refusals in (("meta", NotImplementedError), ("cpu", ())):
        with suppress(refusals), torch.device(device):
            model = make().eval().requires_grad_(False)
            if (millions := sum(value.numel() for value in model.parameters()) / 1e6) > LARGEST:
                raise NotBuilt(f"it has {millions:.0f} million parameters")
    generator = torch.Generator().manual_seed(0)
    for name, value in model.named_parameters():
        # Larger numbers saturate attention, whose gradient is nothing but rounding then.
        gain = 0.5 if value.ndim == 2 else 2
        value.normal_(0, (gain / max(value[0].numel(), 1)) ** 0.5 if value.ndim > 1 else 0.1, generator=generator)
        if value.ndim == 4 and value.shape[2] == value.shape[3] and value.shape[2] % 2:
            # The middle of a kernel counts most, so that what is at a place of a layer lies there in the picture.
            away = (torch.arange(value.shape[2]) - value.shape[2] // 2).abs()
            value *= 0.1 ** (away[:, None] + away)
        value += value.ndim == 1 and name.endswith("weight")
    return model.requires_grad_()


def prepare(function: Any, picture: Image.Image) -> Tensor:
    """Return the input (1, C, h, w) that a library's own function makes of a picture."""
    if not hasattr(function, "save_pretrained"):
        return function(picture)[None]
    return function(images=picture, return_tensors="pt")["pixel_values"].float()


def answer(module: Any, tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and scores: (K,), (K, h, w) of pixels, (N, K) of boxes, (h, w) of a depth or (D,) of a vector."""
    if type(module).__module__.startswith("torchvision.models.detection"):
        return answer_of_detector(module, tensor)
    try:
        found = module(tensor)
    except (ValueError, RuntimeError):
        found = module(tensor, interpolate_pos_encoding=True)
    if isinstance(found, tuple):
        found, head = found[1], module.model[-1]
        if "Classify" not in type(head).__name__:
            branch = "one2one" if getattr(head, "end2end", False) else "one2many"
            found = found[1][-1] if isinstance(found, tuple) else found.get(branch, found)["scores"].transpose(1, 2)
    elif not isinstance(found, Tensor):
        if "class_queries_logits" in found:
            classes, masks = found.class_queries_logits.softmax(-1)[..., :-1], found.masks_queries_logits.sigmoid()
            found["logits"] = torch.einsum("bqc,bqhw->bchw", classes, masks).log()
        elif "pred_boxes" in found:
            # The last class of a softmax is "no object".
            logits, classes = found.logits[0], module.config.num_labels
            scores = logits.softmax(-1) if logits.shape[-1] > classes else logits
            return logits[:, :classes], scores[:, :classes]
        keys = ("out", "predicted_depth", "logits", "pooler_output", "last_hidden_state")
        key = next(key for key in keys if found.get(key) is not None)
        found = found[key][:, 0] if key == "last_hidden_state" and found[key].ndim == 3 else found[key]
    found = found[0].flatten() if found.shape[2:] == (1, 1) else found[0]
    return found, found


def answer_of_detector(module: Any, tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Run a detector of torchvision on an input that its own transform made; bars are 0."""
    from torchvision.models.detection.image_list import ImageList

    used, found = tensor[0].ne(0).any(0).nonzero().amax(0) + 1, []
    head = getattr(module, "head", None) or module.roi_heads.box_predictor
    handle = head.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    module.transform.forward = lambda _pictures, targets: (ImageList(tensor, [tuple(used.tolist())]), targets)
    module([tensor[0]])
    handle.remove()
    outputs = found[0] if isinstance(found[0], dict) else {"cls_logits": found[0][0][None]}
    logits = outputs["cls_logits"][0]
    scores = logits.sigmoid() if type(module).__name__ in ("FCOS", "RetinaNet") else logits.softmax(-1)
    if "bbox_ctrness" in outputs:
        scores = scores * outputs["bbox_ctrness"][0].sigmoid()
    # The first class is the background.
    return logits[:, 1:], scores[:, 1:]


def save_state(model: Any, function: Any, folder: Path) -> dict[str, Any]:
    torch.save(model.state_dict(), folder / "weights.pth")
    return {"model": folder / "weights.pth", "arch": model.arch, "preprocess": function}


def save_folder(model: Any, processor: Any, folder: Path) -> dict[str, Any]:
    for part in filter(None, (model, processor)):
        part.save_pretrained(folder)
    return {"model": folder}


PURPOSES = """IMAGE_CLASSIFICATION SEMANTIC_SEGMENTATION UNIVERSAL_SEGMENTATION INSTANCE_SEGMENTATION IMAGE_SEGMENTATION
    DEPTH_ESTIMATION OBJECT_DETECTION BACKBONE IMAGE IMAGE_MATTING MASK_GENERATION KEYPOINT_DETECTION KEYPOINT_MATCHING
    POSE_ESTIMATION VIDEO_CLASSIFICATION IMAGE_TO_IMAGE MASKED_IMAGE_MODELING ZERO_SHOT_IMAGE_CLASSIFICATION
    ZERO_SHOT_OBJECT_DETECTION"""
"""Transformers' lists of classes that take pictures."""
LIMITS = {
    r"num(_hidden)?_layers|(en|de)coder_layers|n_layer|num_self_attends_per_block|num_blocks": 2,
    r"vocab_size|num_queries": 200,
    r"image_size|height|width|shortest_edge": 224,
    r"longest_edge": 400,
    r"((de|en)coder_|fusion_)?(hidden_size|hidden_dim)|d_model|embed_dim|(en|de)coder_ffn_dim": 32,
    r".*num(_.*)?_heads|.*attention_heads": 4,
}
"""Largest values in a configuration; the last two only for a model that runs with them."""


def smaller(config: dict[str, Any], limits: int) -> dict[str, Any]:
    """Return a configuration cut down to the first of the limits."""
    changed = {key: value for key, value in config.items() if key not in ("stage_names", "layer_types")}
    for key, value in changed.items():
        if isinstance(value, dict) and key.endswith("config"):
            changed[key] = smaller(value, limits)
        elif key == "depths" and min(value) > 4:
            changed[key] = [1, 1]
        elif type(value) is int:
            fitting = [limit for name, limit in [*LIMITS.items()][:limits] if re.fullmatch(name, key)]
            changed[key] = min([value, *fitting])
    for key, first in (("out_indices", 1), ("backbone_out_indices", 0)):
        if changed.get(key) and "num_hidden_layers" in changed:
            indices = [*range(first, first + len(changed[key]))]
            changed |= {"num_hidden_layers": len(indices), key: indices}
            changed["out_features"] = [f"stage{index}" for index in indices]
    return changed


def build_small(name: str, kind: str) -> tuple[Any, Any]:
    """Build a class of Transformers, as small as it runs on what its own processor returns."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as NAMES

    model_class, built, reason = getattr(transformers, name), [], ""
    for limits in (len(LIMITS), 4, 0):
        try:
            config = model_class.config_class.from_dict(smaller(model_class.config_class().to_dict(), limits))
            config.num_labels = 5
            processor = getattr(transformers, (NAMES.get(kind) or {}).get("torchvision", ""), None)
            size = smaller(dict(getattr(processor, "size", None) or {}), limits)
            processor = processor and (processor(size=size) if size else processor())
            built.append((small(partial(model_class, config)), processor))
        # The library's own reasons are of any kind.
        except Exception as problem:
            reason = f"{problem}".strip().partition("\n")[0]
            continue
        with suppress(Exception), torch.no_grad():
            answer(built[-1][0], prepare(processor, Image.new("RGB", (240, 320))))
            return built[-1]
    if not built:
        raise NotBuilt(reason)
    return built[0]


def transformers_cases() -> Iterator[Case]:
    from transformers.models.auto import modeling_auto

    found: dict[str, Case] = {}
    for purpose in PURPOSES.split():
        for kind, names in getattr(modeling_auto, f"MODEL_FOR_{purpose}_MAPPING_NAMES").items():
            for name in [names] if isinstance(names, str) else names:
                task = "embed" if purpose == "IMAGE" else None
                found.setdefault(name, Case("Transformers", name, partial(build_small, name, kind), save_folder, task))
    yield from found.values()


def torchvision_cases() -> Iterator[Case]:
    from torchvision import models

    def build(name: str, kind: str) -> tuple[Any, Any]:
        options = {"weights_backbone": None, "num_classes": 6} if kind in ("segmentation", "detection") else {}
        options |= {"min_size": 160, "max_size": 320} if kind == "detection" and "ssd" not in name else {}
        options |= {"rpn_post_nms_top_n_test": 100} if "rcnn" in name else {}
        # As those with trained weights, whose files are opened like that.
        options |= {"transform_input": True} if name in ("googlenet", "inception_v3") else {}
        model = small(partial(models.get_model, name, weights=None, **options))
        model.arch = name
        if kind == "detection":
            return model, None
        transforms = models.get_model_weights(name).DEFAULT.transforms
        sizes = {key: min(value, 256) for key, value in transforms.keywords.items() if key.endswith("_size")}
        return model, transforms(**sizes)

    for kind in ("models", "segmentation", "detection", "quantization"):
        for name in models.list_models(models if kind == "models" else getattr(models, kind)):
            yield Case("torchvision", name, partial(build, name, kind), save_state if kind == "models" else None)


def timm_cases() -> Iterator[Case]:
    import timm

    def build(family: str) -> tuple[Any, Any]:
        sizes: dict[str, int] = {}
        for name in sorted(timm.list_models(module=family), key=len)[:12]:
            with suppress(Exception), torch.device("meta"):
                sizes[name] = sum(value.numel() for value in timm.create_model(name).parameters())
        model = small(partial(timm.create_model, min(sizes, key=sizes.__getitem__)))
        model.arch = f"timm/{model.pretrained_cfg['architecture']}"
        config = timm.data.resolve_model_data_config(model)
        if not model.pretrained_cfg.get("fixed_input_size"):
            config["input_size"] = (3, *(min(side, 256) for side in config["input_size"][1:]))
        return model, timm.data.create_transform(**config)

    for family in sorted(timm.list_modules()):
        yield Case("timm", family, partial(build, family), save_state)


def ultralytics_cases() -> Iterator[Case]:
    import ultralytics

    def build(name: str) -> tuple[Any, Any]:
        model = (ultralytics.RTDETR if "rtdetr" in name else ultralytics.YOLO)(name)
        small(lambda: model.model)
        return model, None

    for path in sorted((Path(ultralytics.__file__).parent / "cfg" / "models").rglob("*.yaml")):
        # Without a letter of its size a file means the smallest one; other files are of one size each.
        if not re.search(r"v10[^n]|v9[^t]|-x|resnet", path.stem):
            yield Case("Ultralytics", path.stem, partial(build, path.name))


def cases() -> Iterator[Case]:
    for library in (transformers_cases, torchvision_cases, timm_cases, ultralytics_cases):
        yield from library()
