"""Load CLIP and SigLIP, whose classes are words, from folders of Transformers, and the packaged demo.

The picture's vector is computed once; a phrase is one more vector to compare it with. By default a map
shows what speaks for a prompt and against the others: alone, a prompt's map is much the same for any words.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Part, Prediction, Progress, freeze
from sightglass.models.adapters.classifier import Classifier, Logits
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import CAPTIONED_SIDE
from sightglass.models.families.transformers.folders import from_folder, read, weights_in
from sightglass.models.families.transformers.loader import CLIP_KINDS, folder_of, load_network, prepare, use_processor
from sightglass.models.geometry import Geometry
from sightglass.models.picture_functions import Processor
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training pictures, 0..1."""


@dataclass(frozen=True)
class Towers:
    """Both towers of a model, with what belongs to them."""

    image: nn.Module
    """float32 (B, 3, h, w) to (B, D), not normalised."""
    encode_text: Callable[[Sequence[str]], Tensor]
    """K phrases to (K, D), not normalised. Runs on the CPU; raises ModelProblem for what it cannot read."""
    scale: float
    """Trained factor of a cosine, above 0."""
    bias: float | None
    """Added before the sigmoid, where the model was trained to judge each phrase on its own (SigLIP). None: the phrases
    share one softmax (CLIP)."""
    preprocessing: Preprocessing
    sha256: str
    notes: tuple[str, ...] = ()
    processor: Processor | None = None
    text_bytes: int = 0
    """Memory that the text tower takes besides `image`."""
    unreadable: Callable[[str], str] = lambda _phrase: ""
    """Return why a phrase cannot be read; empty if it can."""
    _vectors: dict[str, Tensor] = field(default_factory=dict)
    """Unit vectors (D,) of phrases that were asked before."""

    def vectors(self, phrases: Sequence[str]) -> Tensor:
        """Return cached unit vectors of phrases, (K, D) float32 on the CPU."""
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._vectors]
        if missing:
            # A normal tensor even under inference mode, as gradients need one.
            with torch.inference_mode(False), torch.no_grad():
                rows = F.normalize(self.encode_text(missing).float().cpu(), dim=1)
            if not bool(rows.isfinite().all()):
                raise ModelProblem("The text side answers with values that are not numbers: its weights do not fit.")
            self._vectors.update(zip(missing, rows, strict=True))
        return torch.stack([self._vectors[phrase] for phrase in phrases])


class ImageTower(nn.Module):
    """The tower for pictures, its parts by their library's names."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, pictures: Tensor) -> Tensor:
        output: Any = pictures
        for name, part in self.named_children():
            output = part(pixel_values=output).pooler_output if name == "vision_model" else part(output)
        features: Tensor = output
        return features


NEUTRAL = ("a photo", "a picture", "something")
"""True of every picture: a single prompt is contrasted with the mean of these three."""
TEMPLATE = "a photo of a {}"
"""Default phrase for the name of a class, from CLIP's paper."""


@dataclass(frozen=True, slots=True)
class PhraseLogits(Logits):
    """Comparison of a picture with each phrase.

    `logits` (B, K) are cosines times the model's scale, plus its bias where it has one; `features` (B, D) are the
    picture's own vector, not normalised.
    """

    rival: Tensor | None = None
    """(B, 1), the logit of `NEUTRAL` where there is one prompt only."""


class ClipClassifier(Classifier):
    """An adapter of a model asked in words, its `labels`."""

    takes_words = True
    parts: tuple[Part, ...] = ("contrast", "class")

    def __init__(self, spec: ModelSpec, towers: Towers, words: Sequence[str] = ()) -> None:
        super().__init__(spec, towers.image, (), towers.preprocessing, towers.sha256)
        self.towers = towers
        use_processor(self, towers.processor)
        self.extra_bytes = towers.text_bytes
        self.notes = towers.notes
        self.rows: Tensor | None = None
        """(K, D): a vector for each phrase, then that of `NEUTRAL` where there is one phrase only."""
        if words:
            template = TEMPLATE if spec.weights.template is None else spec.weights.template
            templates = (template,) if isinstance(template, str) else template
            if not templates or any(not isinstance(text, str) or text.count("{}") != 1 for text in templates):
                printed = template if isinstance(template, str) else list(template)
                raise ModelProblem(
                    f"template of {spec.id} is {printed!r}: write {{}} where the name goes, as in {TEMPLATE!r}."
                )
            self._set_words(words, templates)

    def with_classes(self, names: Sequence[str]) -> Self:
        """Return the same model comparing with these phrases, taken as they are.

        A phrase that the model cannot read is left out, and a note says so. Raises ModelProblem where there are none,
        one is given twice, or the model can read none of them.
        """
        adapter, words = copy.copy(self), labels.vocabulary(names)
        reasons = {word: reason for word in words if (reason := self.towers.unreadable(word))}
        if len(reasons) == len(words):
            raise ModelProblem(next(iter(reasons.values())))
        adapter._set_words(tuple(word for word in words if word not in reasons), ("{}",))
        adapter.notes += tuple(f"{word!r} is left out. {reason}" for word, reason in reasons.items())
        return adapter

    def _set_words(self, words: Sequence[str], templates: Sequence[str]) -> None:
        """Set the classes; the vector of a class is the mean over its templates."""
        self.labels = tuple(words)
        phrases = [template.replace("{}", word) for word in words for template in templates]
        self.rows = F.normalize(self.towers.vectors(phrases).reshape(len(words), len(templates), -1).mean(1), dim=1)
        self.notes = self.towers.notes
        if len(words) == 1:
            neutral = F.normalize(self.towers.vectors(NEUTRAL).mean(0, keepdim=True), dim=1)
            self.rows = torch.cat([self.rows, neutral])
            self.notes += (
                f"One prompt alone lights up much that any words would: it is set against {', '.join(NEUTRAL)}. "
                "Name what else there is for a sharper answer.",
            )
        elif self.towers.bias is None:
            self.notes += (f"Scores are shares among these {len(words)} prompts: nothing else was on offer.",)
        sha256 = hashlib.sha256("\0".join((self.towers.sha256, *words)).encode())
        sha256.update(self.rows.numpy().tobytes())
        self.weights_sha256 = sha256.hexdigest()

    def forward(self, tensor: Tensor) -> PhraseLogits:
        """Compare pictures (B, 3, h, w) with each phrase; without any the logits are (B, 0)."""
        features: Tensor = self.module(tensor)
        if self.rows is None:
            return PhraseLogits(features.new_zeros(len(features), 0), features)
        logits = self.towers.scale * F.normalize(features, dim=1) @ self.rows.to(features).T
        logits = logits + (self.towers.bias or 0.0)
        count = len(self.labels)
        return PhraseLogits(logits[:, :count], features, rival=logits[:, count:] if count == 1 else None)

    def decode(self, outputs: Any, geometry: Geometry, *, top_k: int, **_: Any) -> list[Prediction]:
        if not self.labels:
            raise ModelProblem(
                f"{self.spec.id} has no classes of its own: say in words what to look for (--words 'a dog, a cat')."
            )
        return self._best(self.class_scores(outputs)[0, : len(self.labels)].detach(), top_k)

    def class_logits(self, outputs: Any) -> Tensor:
        """Return (B, K), or (B, 2) for a single prompt and `NEUTRAL`."""
        logits: Tensor = outputs.logits
        return logits if outputs.rival is None else torch.cat([logits, outputs.rival], 1)

    def class_scores(self, outputs: Any) -> Tensor:
        logits = self.class_logits(outputs).float()
        return logits.softmax(1) if self.towers.bias is None else logits.sigmoid()


DEMO = "demo-clip"
DEMO_WORDS = tuple(" ".join(words) for words in product(("red", "yellow", "green", "blue"), ("star", "ball", "square")))
"""Vocabulary of the packaged model where none is given."""


def load(spec: ModelSpec, progress: Progress | None = None) -> ClipClassifier:
    """Build the model on the CPU: `demo-clip`, or a folder of Transformers.

    `weights.labels` are the classes that it has without being asked, each put into `weights.template`.
    """
    words = labels.stated_names(spec) or (DEMO_WORDS if spec.arch == DEMO else ())
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
    return towers(spec, folder_of(spec, "*.txt", "*.model"))


HALF = (0.5, 0.5, 0.5)
"""Mean and std that SigLIP's training pictures were normalised by, 0..1."""


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
    net = load_network(transformers.AutoModel, folder, weights)
    freeze(net)
    size, clip = int(net.config.vision_config.image_size), kind == "clip"
    parts = {"vision_model": net.vision_model} | ({"visual_projection": net.visual_projection} if clip else {})
    crop, numbers = ("centre", (MEAN, STD)) if clip else ("squash", (HALF, HALF))
    usual = Preprocessing((size, size), size, *numbers, "bicubic", crop=crop)
    preprocessing, processor, notes = prepare(spec, folder, net.config, usual)
    return Towers(
        ImageTower(parts),
        _text_encoder(spec, net, folder),
        net.logit_scale.exp().item(),
        None if clip else net.logit_bias.item(),
        preprocessing,
        sha256_of(weights),
        notes,
        processor,
        sum(tensor.nbytes for tensor in (*net.text_model.parameters(), *net.text_model.buffers())),
    )


def _text_encoder(spec: ModelSpec, net: Any, folder: Path) -> Callable[[Sequence[str]], Tensor]:
    """Return the encoder of K phrases to (K, D), with the folder's tokenizer."""
    import transformers

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "spiece.model")):
        raise ModelProblem(
            f"{folder} has no tokenizer, so {spec.id} cannot read words: put tokenizer.json of the same model there."
        )
    tokenize, clip = from_folder(transformers.AutoTokenizer, folder), net.config.model_type == "clip"
    length = int(net.config.text_config.max_position_embeddings)
    # SigLIP was trained with every phrase filled up, and without a mask.
    names = ("input_ids", "attention_mask") if clip else ("input_ids",)

    def encode_text(phrases: Sequence[str]) -> Tensor:
        batch = tokenize(list(phrases), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        pooled = net.text_model(**{name: batch[name] for name in names if name in batch}).pooler_output
        projected: Tensor = net.text_projection(pooled) if clip else pooled
        return projected

    return encode_text
