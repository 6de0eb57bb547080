"""Models that know pictures and words in one space (CLIP, SigLIP, OpenCLIP): classes are whatever is said.

The picture's vector is computed once; a phrase is one more vector to compare it with, read once and kept. What a map
shows by default is a prompt against the others: alone, a prompt speaks also for all that any words would speak for.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from common.errors import ModelProblem
from models import labels
from models.adapter import Prediction
from models.adapters.classifier import Classifier, Logits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from models.adapter import ModelSpec, Part, Target
    from models.geometry import Geometry
    from models.inspect import TableDraft
    from models.preprocess import Preprocessing
    from models.weights import Progress

NEUTRAL = ("a photo", "a picture", "something")
"""What is true of every picture: what a prompt that has no other is set against, by the mean of the three."""
TEMPLATE = "a photo of a {}"
"""How the name of a class becomes a phrase where the table says nothing: the one of CLIP's paper."""


@dataclass(frozen=True)
class Towers:
    """Both halves of a model, whichever library it came from."""

    eyes: nn.Module
    """float32 (B, 3, h, w) to (B, D), not normalised."""
    read: Callable[[Sequence[str]], Tensor]
    """K phrases to (K, D), not normalised. Runs on the CPU; raises ModelProblem for what it cannot read."""
    scale: float
    """What a cosine is multiplied by, as trained; above 0."""
    bias: float | None
    """Where it was trained to say of each phrase by itself whether it is true (SigLIP): what is added before the
    sigmoid. None: the phrases share one softmax (CLIP)."""
    preprocessing: Preprocessing
    sha256: str
    fit: str = "trained"
    """The way of `models.preprocess` that it was trained with: `squash` where pictures were squeezed, not cropped."""
    notes: tuple[str, ...] = ()
    text_bytes: int = 0
    """Memory that the text tower takes besides `eyes`."""
    _known: dict[str, Tensor] = field(default_factory=dict)

    def vectors(self, phrases: Sequence[str]) -> Tensor:
        """(K, D) float32 on the CPU, each of length 1; a phrase is read once."""
        missing = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._known]
        if missing:
            # A normal tensor also where somebody asks from under inference mode, which gradients would not survive.
            with torch.inference_mode(False), torch.no_grad():
                rows = F.normalize(self.read(missing).float().cpu(), dim=1)
            if not bool(rows.isfinite().all()):
                raise ModelProblem("The text side answers with numbers that are none: its weights do not fit.")
            self._known.update(zip(missing, rows, strict=True))
        return torch.stack([self._known[phrase] for phrase in phrases])


@dataclass(frozen=True, slots=True)
class Compared(Logits):
    """How a picture compares with each phrase, `logits` (B, K): cosines times the model's own scale, and its bias where
    it has one; `features` (B, D) are the picture's own vector, not normalised."""

    rival: Tensor | None = None
    """(B, 1), of what a lone prompt is set against."""


class ClipClassifier(Classifier):
    """A model asked in words, as an `Adapter`. `labels` are the words; none until it is told some."""

    takes_words = True
    parts: tuple[Part, ...] = ("contrast", "class")

    def __init__(self, spec: ModelSpec, towers: Towers, words: Sequence[str] = ()) -> None:
        super().__init__(spec, towers.eyes, (), towers.preprocessing, towers.sha256, fit=towers.fit)
        self.towers = towers
        self.extra_bytes = towers.text_bytes
        self.notes = towers.notes
        self.rows: Tensor | None = None
        """(K, D): the phrases' own, then of a lone one its rival's."""
        if words:
            self._tell(words, template_of(spec))

    def with_classes(self, names: Sequence[str], progress: Progress | None = None) -> ClipClassifier:
        """The same model comparing with these phrases, taken as they are.

        Raises ModelProblem where there are none, one is there twice, or the model cannot read it.
        """
        phrases = tuple(name.strip() for name in names)
        if not phrases or "" in phrases:
            raise ModelProblem("Say what to look for: one prompt or more, none of them empty.")
        if len(set(phrases)) < len(phrases):
            twice = next(phrase for phrase in phrases if phrases.count(phrase) > 1)
            raise ModelProblem(f"{twice} is asked for twice: name each thing once.")
        other = copy.copy(self)
        other._tell(phrases, ("{}",))
        return other

    def _tell(self, words: Sequence[str], templates: Sequence[str]) -> None:
        """Several templates of one class are one vector: the mean of theirs."""
        self.labels = tuple(words)
        phrases = [template.replace("{}", word) for word in words for template in templates]
        rows = self.towers.vectors(phrases).reshape(len(words), len(templates), -1)
        self.rows = F.normalize(rows.mean(1), dim=1)
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
        told = hashlib.sha256("\0".join((self.towers.sha256, *words)).encode())
        told.update(self.rows.numpy().tobytes())
        self.weights_sha256 = told.hexdigest()

    def run(self, tensor: Tensor) -> Compared:
        """Without words there are no logits, and the picture's own vector all the same."""
        features: Tensor = self.module(tensor)
        if self.rows is None:
            return Compared(features.new_zeros(len(features), 0), features)
        logits = self.towers.scale * F.normalize(features, dim=1) @ self.rows.to(features).T
        logits = logits + (self.towers.bias or 0.0)
        count = len(self.labels)
        return Compared(logits[:, :count], features, logits[:, count:] if count == 1 else None)

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        if not self.labels:
            raise ModelProblem(
                f"{self.spec.id} has no classes of its own: say in words what to look for (--words 'a dog, a cat')."
            )
        logits = self.class_logits(outputs)[0].detach().float()
        scores = (logits.softmax(0) if self.towers.bias is None else logits.sigmoid())[: len(self.labels)]
        best = scores.topk(min(top_k, len(scores)))
        return [
            Prediction(self.labels[index], index, score)
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def class_logits(self, outputs: Any) -> Tensor:
        """(B, K); of a lone prompt (B, 2), its rival's beside it, so that a softmax over them says something."""
        logits: Tensor = outputs.logits
        return logits if outputs.rival is None else torch.cat([logits, outputs.rival], 1)

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """For `contrast` the prompt's logit minus the logsumexp of the others', or of what stands for them; for `class`
        its logit alone. Shape ()."""
        if target.part not in self.parts or target.index is None:
            raise ModelProblem(f"{self.spec.id} is asked in words: explain a prompt, or its contrast to the others.")
        logits = self.class_logits(outputs)[0]
        own: Tensor = logits[target.index]
        if target.part == "class":
            return own
        others = torch.arange(len(logits), device=logits.device) != target.index
        return own - logits[others].logsumexp(0)


def template_of(spec: ModelSpec) -> tuple[str, ...]:
    """`weights.template`, one or several; each says where the name goes by `{}`."""
    given = spec.weights.get("template", TEMPLATE)
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found or any(not isinstance(one, str) or one.count("{}") != 1 for one in found):
        raise ModelProblem(f"template of {spec.id} is {given!r}: write {{}} where the name goes, as in {TEMPLATE!r}.")
    return found


def load(spec: ModelSpec, progress: Progress | None = None) -> ClipClassifier:
    """Build the model on the CPU: `demo-clip`, a folder of Transformers, or a checkpoint of an OpenCLIP architecture.

    `weights.labels` are the classes that it has without being asked, each put into `weights.template`.
    """
    from models.families.clip import towers

    found = towers.towers(spec, progress)
    return ClipClassifier(spec, found, labels.own(spec) or towers.OWN_WORDS.get(spec.arch, ()))


def inspect(path: Path) -> TableDraft | None:
    """The draft of a table for a folder of a CLIP or SigLIP, or for an OpenCLIP checkpoint; None for other files."""
    from models.families.clip import towers

    return towers.inspect(path)
