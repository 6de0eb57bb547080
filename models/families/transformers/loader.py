"""Load picture models of Transformers (Apache-2.0).

Code in a folder is never run, and no pickle but of plain tensors is read. A model with classes is a classifier, or
gives each pixel one (SegFormer, UperNet, Mask2Former); one without (DINOv2, a ViT's body) gives a vector to compare
pictures by.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem, Problem, WeightsProblem, describe_error, from_machine
from sightglass.models import labels
from sightglass.models.adapter import Adapter, Progress
from sightglass.models.adapters.classifier import Classifier, Embedder, PreparedAdapter
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter, as_pixels
from sightglass.models.adapters.tasks import same_answer
from sightglass.models.checkpoints import checkpoint
from sightglass.models.checkpoints.weights import FORBIDDEN, offline, sha256_of
from sightglass.models.families.custom.classifier import note_preprocessing
from sightglass.models.families.transformers import describer
from sightglass.models.families.transformers.detector import TransformersDetector
from sightglass.models.families.transformers.folders import (
    FILES,
    check_folder,
    from_folder,
    picture_settings,
    read,
    read_processor,
    weights_in,
    without_hub,
)
from sightglass.models.load import TableDraft
from sightglass.models.picture_functions import Processor
from sightglass.models.preprocess import IMAGENET, Preprocessing
from sightglass.models.spec import ModelSpec, Task

BY_QUERIES = ("Mask2FormerForUniversalSegmentation", "MaskFormerForInstanceSegmentation")
"""Classes whose answer is a mask and class probabilities for each query."""
TASKS: dict[str, Task] = {
    "IMAGE_CLASSIFICATION": "classify",
    "OBJECT_DETECTION": "detect",
    "SEMANTIC_SEGMENTATION": "segment",
    "DEPTH_ESTIMATION": "regress",
    "IMAGE": "embed",
    "IMAGE_TEXT_TO_TEXT": "describe",
}
"""Tasks by Transformers' own lists of classes, the first that has the class."""
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
"""Ends of the names of a class token's parameter."""
LEAST = 1e-30
"""Least score whose logarithm is taken."""


class TransformersModel(PreparedAdapter):
    """What all networks of pictures share."""

    field = "logits"
    """The part of the network's output that is its answer."""
    more: Mapping[str, Any] = {}
    """Further arguments of `forward`: to resample learnt positions for another input size."""

    def _outputs(self, tensor: Tensor) -> Any:
        return self.module(pixel_values=tensor, **self.more)

    def _answer(self, tensor: Tensor) -> Tensor:
        return as_pixels(getattr(self._outputs(tensor), self.field))


class TransformersClassifier(TransformersModel, Classifier):
    """A model with classes; its layers keep the names that Transformers gives them."""

    def _answer(self, tensor: Tensor) -> Tensor:
        # The first of its answer, which not every class calls `logits`.
        logits: Tensor = self._outputs(tensor)[0]
        return logits


class TransformersSegmenter(TransformersModel, Segmenter):
    """A network with logits of each pixel."""


class TransformersDepth(TransformersModel, PixelNumbers):
    """A network with a depth of each pixel: DPT, Depth Anything, ZoeDepth."""

    field = "predicted_depth"


class QuerySegmenter(TransformersSegmenter):
    """A network of queries, each with a mask and a class: Mask2Former, MaskFormer."""

    def _answer(self, tensor: Tensor) -> Tensor:
        """Return the log of each class's sum over queries of mask times class probability, (B, classes, h, w)."""
        outputs = self._outputs(tensor)
        classes = outputs.class_queries_logits.softmax(-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", classes, outputs.masks_queries_logits.sigmoid()).clamp_min(LEAST).log()


class TransformersEmbedder(TransformersModel, Embedder):
    """A model without classes: its vector is its own pooled output, or its class token."""

    def _answer(self, tensor: Tensor) -> Tensor:
        outputs = self._outputs(tensor)
        pooled = getattr(outputs, "pooler_output", None)
        if pooled is None and not any(name.endswith(CLASS_TOKENS) for name, _ in self.module.named_parameters()):
            raise ModelProblem(
                f"{type(self.module).__name__} has no vector of a picture: wrap it in a module that returns one."
            )
        vector: Tensor = outputs.last_hidden_state[:, 0] if pooled is None else pooled
        return vector.flatten(1)


ADAPTERS: dict[Task, type[TransformersModel]] = {
    "classify": TransformersClassifier,
    "segment": TransformersSegmenter,
    "regress": TransformersDepth,
    "embed": TransformersEmbedder,
}
TRAINED: dict[Any, Task] = {"multi_label_classification": "multilabel", "regression": "regress"}
"""Tasks of a network with classes by its configuration's `problem_type`."""
CLIP_KINDS = ("clip", "siglip")
"""`model_type` of models that read words too, which `sightglass.models.families.clip` loads."""
Prepared = TypeVar("Prepared", bound=PreparedAdapter)


def load(spec: ModelSpec, progress: Progress | None = None) -> Adapter:
    """Build the model on the CPU from `weights.path` or `weights.hub`; `random`: untrained, by its configuration."""
    folder = folder_of(spec)
    config = read(folder / "config.json")
    if _reads_words(config):
        raise ModelProblem(f'{folder.name} reads words too: give it loader = "clip".')
    arch = _architecture(folder, config)
    task = task_of(arch)
    if task in ("detect", "embed") and spec.task != task:
        does = "draws boxes" if task == "detect" else f"is a {arch}, which names no classes"
        hint = "" if task == "detect" else ", or take one that was fine-tuned to classes"
        raise ModelProblem(f'{folder.name} {does}: give it task = "{task}"{hint}.')
    if (seed := spec.weights.random) is not None:
        import transformers

        with without_hub(folder):
            net = checkpoint.build_seeded(lambda: _class(arch)(transformers.AutoConfig.for_model(**config)), seed)
        sha256 = checkpoint.digest(net)
    else:
        net = load_network(_class(arch), folder, weights_in(folder), "pooler")
        sha256 = sha256_of(weights_in(folder))
    if task == "describe":
        return describer.load(replace(spec, task=task), net, folder, sha256)
    if task == "detect":
        return make_detector(spec, net, sha256, read_processor(folder) if picture_settings(folder) else None)
    preprocessing, processor, notes = prepare(spec, folder, net.config)
    return use_processor(make_adapter(spec, arch, net, preprocessing, sha256, notes), processor)


def _names(config: Any) -> tuple[str, ...]:
    # Some configurations say how many classes there are, and no names.
    names = config.id2label or {number: f"LABEL_{number}" for number in range(config.num_labels)}
    return tuple(str(name) for _, name in sorted(names.items()))


def _purposes_of(arch: str) -> set[str]:
    """Return the names of Transformers' own lists that have a class."""
    from transformers.models.auto import modeling_auto

    purposes: set[str] = set()
    for name, classes in vars(modeling_auto).items():
        purpose = re.fullmatch("MODEL_FOR_(.*)_MAPPING_NAMES", name)
        if purpose is None:
            continue
        if any(arch == value or (arch in value and not isinstance(value, str)) for value in classes.values()):
            purposes.add(purpose[1])
    return purposes


def task_of(arch: str) -> Task:
    """Return what a class of Transformers does; raise ModelProblem for what cannot be explained."""
    from transformers.models.auto import modeling_auto

    if arch in BY_QUERIES:
        return "segment"
    listed = _purposes_of(arch)
    kind = _class(arch)
    inputs = signature(kind.forward).parameters if kind is not None else {}
    if "input_ids" in inputs and kind.config_class.model_type in CLIP_KINDS:
        raise ModelProblem(f"{arch} reads words too: write it with save_pretrained, and give its folder to Explainer.")
    main_input = getattr(kind, "main_input_name", "other inputs")
    takes = "pixel_values" if "pixel_values" in inputs else main_input
    task = next((task for purpose, task in TASKS.items() if purpose in listed), None)
    if task is not None and (takes == "pixel_values" or task == "describe"):
        return task
    is_body = not listed and arch in modeling_auto.MODEL_MAPPING_NAMES.values()
    if is_body and main_input == "pixel_values":
        return "embed"
    purpose = " and ".join(sorted(listed)).lower().replace("_", " ") or "no task"
    raise ModelProblem(
        f"{arch} takes {takes} and is listed by Transformers under {purpose}: give a model for image classification, "
        "object detection, semantic segmentation or depth, or wrap it in a module that returns a row of numbers for a "
        "picture and state its task."
    )


def _reads_words(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of a CLIP with its side for words."""
    return config.get("model_type") in CLIP_KINDS and "ForImageClassification" not in _stated_class(config)


def _stated_class(config: Mapping[str, Any]) -> str:
    stated = config.get("architectures")
    return str(stated[0]) if isinstance(stated, list) and stated else ""


def make_detector(spec: ModelSpec, net: Any, sha256: str, processor: Any) -> TransformersDetector:
    """Return a detector's adapter; raise ModelProblem without its own processor."""
    if not hasattr(processor, "post_process_object_detection"):
        where = "give it as preprocess" if spec.in_memory else "put preprocessor_config.json beside its weights"
        raise ModelProblem(f"{spec.id} draws boxes, which its own image processor reads: {where}.")
    spec, names = replace(spec, task="detect"), _names(net.config)
    return TransformersDetector(spec, net, labels.for_classes(spec, len(names), names)[0], sha256, processor)


def make_adapter(
    spec: ModelSpec, arch: str, net: Any, preprocessing: Preprocessing, sha256: str, notes: tuple[str, ...]
) -> TransformersModel:
    """Return a network's adapter by its class name; raise ModelProblem where it cannot run on a picture."""
    task = task_of(arch)
    kind, names = ADAPTERS[task], tuple[str, ...]()
    if task == "segment":
        spec, kind = spec.as_segmentation(), QuerySegmenter if arch in BY_QUERIES else kind
    elif task != "classify":
        spec = replace(spec, task=task)
    elif spec.task not in TRAINED.values():
        # A single label has a sigmoid, as in the library's pipeline.
        usual_task: Task = "multilabel" if net.config.num_labels == 1 else task
        spec = replace(spec, task=TRAINED.get(getattr(net.config, "problem_type", None), usual_task))
    if task != "embed":
        usual = ("depth",) if task == "regress" else _names(net.config)
        names, _ = labels.for_classes(spec, len(usual), usual)
    adapter = kind(spec, net, names, preprocessing, sha256, notes=notes)
    option = "interpolate_pos_encoding"
    if option in signature(net.forward).parameters and _size_of(net.config) not in (None, tuple(preprocessing.size)):
        # A ViT learnt its positions for one size, which need not be this one.
        adapter.more = {option: True}
    with torch.no_grad():
        first, again = (adapter.answer_row(adapter.run(adapter.flat_input())) for _ in range(2))
    if not same_answer(first, again):
        adapter.notes += ("Its answer to the same picture differs from pass to pass, and so do its maps.",)
    return adapter


def _size_of(config: Any) -> tuple[int, int] | None:
    """Return (h, w) of the pictures that a configuration states."""
    stated = getattr(getattr(config, "vision_config", config), "image_size", None)
    height, width = stated if isinstance(stated, (list, tuple)) else (stated, stated)
    return (int(height), int(width)) if height and width else None


def folder_of(spec: ModelSpec, *texts: str) -> Path:
    """Return a table's folder, or the hub's copy with the files `texts` too; raise WeightsProblem if missing."""
    if spec.weights.path:
        path = Path(spec.weights.path)
        # Somebody names the file in a folder that has all the rest.
        folder = path if path.is_dir() else path.parent
        if not (folder / "config.json").is_file():
            raise WeightsProblem(f"{path} is no folder of Transformers: it should hold config.json and {FILES[0]}.")
        check_folder(folder)
        return folder
    name = spec.weights.hub or spec.arch
    downloaded = fetch(name, "*.json", *texts, "model*.safetensors")
    if not any((downloaded / file).is_file() for file in FILES):
        downloaded = fetch(name, "*.json", FILES[-1])
    check_folder(downloaded)
    return downloaded


def fetch(name: str, *patterns: str) -> Path:
    """Return a hub repository's folder, downloaded once; raise WeightsProblem on failure."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=offline(), allow_patterns=[*patterns]))
    except Exception as problem:
        why = FORBIDDEN if offline() else "it could not be downloaded"
        raise WeightsProblem(
            f"{name} is not on this machine and {why}: download its repository and give the folder as weights.path."
        ) from problem


def prepare(
    spec: ModelSpec, folder: Path, config: Any, usual: Preprocessing | None = None
) -> tuple[Preprocessing, Processor | None, tuple[str, ...]]:
    """Return the preprocessing of a folder and a row, the folder's processor, and a note where it was inferred."""
    processor, described, channels = None, None, getattr(config, "num_channels", 3)
    base = usual or usual_preprocessing(config)
    if not spec.preprocessing.complete and picture_settings(folder):
        processor = Processor(read_processor(folder), channels)
        # Those of three channels are of no use to a network of others.
        processor = processor if channels == 3 or processor.fits_channels() else None
    if processor:
        described = processor.description
        base = described or replace(base, size=processor.size)
    preprocessing = base.changed(spec.preprocessing.for_channels(channels, base.channels))
    inferred = not described and (processor is None or spec.preprocessing.stated())
    return preprocessing, processor, note_preprocessing(spec, preprocessing, "as no file states it") if inferred else ()


def use_processor(adapter: Prepared, processor: Processor | None) -> Prepared:
    """Let a processor prepare an adapter's pictures, unless its row states how that is done."""
    if processor is not None and not adapter.spec.preprocessing.stated():
        adapter.function = processor
        if processor.description is None:
            adapter.preprocessings = ("trained",)
    return adapter


def usual_preprocessing(config: Any) -> Preprocessing:
    """Return the preprocessing assumed for a configuration that comes without a processor."""
    size = _size_of(config) or (224, 224)
    return Preprocessing(size, min(size), *IMAGENET)


def inspect(path: Path) -> TableDraft | None:
    """Draft the table of a folder or file of Transformers, also of a CLIP's; None for others."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in (*FILES, "config.json"):
        return None
    config = read(folder / "config.json")
    kind, table = config.get("model_type"), {"task": "classify", "weights": {"path": str(folder)}}
    if kind is None:
        return None
    check_folder(folder)
    if _reads_words(config):
        note = f"config.json says that it is a {kind} of Transformers."
        return TableDraft("clip", kind, table, notes=(note,), unnamed=True)
    arch = _architecture(folder, config)
    weights_in(folder)
    task = table["task"] = task_of(arch)
    notes, unnamed = [f"config.json says that it is a {arch}."], False
    if task in ("classify", "detect", "segment"):
        names = config["id2label"] if isinstance(config.get("id2label"), dict) else {}
        unnamed = all(str(name).startswith("LABEL_") for name in names.values())
        notes += [] if unnamed else [f"config.json names its {len(names)} classes."]
    if task != "detect" and not picture_settings(folder):
        notes.append("No file says how pictures are prepared: ImageNet's mean and spread were taken.")
    return TableDraft("transformers", arch, table, notes=tuple(notes), unnamed=unnamed)


def _architecture(folder: Path, config: Mapping[str, Any]) -> str:
    """Return a configuration's Transformers class; raise ModelProblem without one."""
    arch = _stated_class(config)
    if not arch or _class(arch) is None:
        import transformers

        raise ModelProblem(
            f"{folder.name} is a {arch or 'model that does not say what it is'}, which Transformers "
            f"{transformers.__version__} does not know: config.json should name one of its classes in architectures."
        )
    return arch


def _class(arch: str) -> Any:
    import transformers

    member = getattr(transformers, arch, None) if arch.isidentifier() else None
    return member if isinstance(member, type) and issubclass(member, transformers.PreTrainedModel) else None


def load_network(kind: Any, folder: Path, path: Path, optional: str = "") -> Any:
    """Load a folder's weights, the file `path`, into a class of Transformers, without running code of the folder.

    Its part `optional` may be missing. Raises WeightsProblem where another tensor is missing or of another shape.
    """
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = {"output_loading_info": True, "weights_only": True, "ignore_mismatched_sizes": True}
    try:
        net, info = from_folder(kind, folder, dtype=torch.float32, **options)
    except Problem:
        raise
    except (OSError, RuntimeError, ValueError) as wrong:
        unfit = WeightsProblem(f"{path} does not fit its own config.json ({describe_error(wrong)}).")
        raise from_machine(wrong) or unfit from wrong
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()
    if mismatched := sorted(info.get("mismatched_keys", ())):
        key, stored, expected = mismatched[0]
        raise WeightsProblem(
            f"{path} does not fit its config.json: {key} is {tuple(stored)}, not {tuple(expected)}; put the "
            "config.json of the same model beside it."
        )
    missing = sorted(map(str, info.get("missing_keys", ())))
    if lost := [key for key in missing if key.partition(".")[0] != optional]:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise WeightsProblem(f"{path} lacks {lost[0]}{more}: it is of another model than config.json beside it says.")
    if missing:
        # Its class token is taken instead of what random weights return.
        setattr(net, optional, None)
    return net
