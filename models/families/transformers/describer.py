"""Models that answer in words (image-text-to-text of Transformers): a picture and a prompt in, a sentence out.

The picture is encoded once. Its tokens, by whatever route the decoder reads them, pass one module, `tokens`, at which
they can be recorded and replaced; the decoder then scores an answer that is already known, in one pass.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sightglass.common import packaged
from sightglass.common.errors import AnswerProblem, ModelProblem, WeightsProblem, describe_error
from sightglass.common.work.progress import Progress, check
from sightglass.models.adapter import Part, PhraseTarget, Prediction, Target
from sightglass.models.adapters.classifier import Logits, PreparedAdapter
from sightglass.models.families.transformers.folders import from_folder
from sightglass.models.geometry import Geometry
from sightglass.models.preprocess import Preprocessing, fit_picture
from sightglass.models.spec import METHOD, ModelSpec

WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
"""A word of an answer, or a mark of punctuation."""
RIVALS = 8
"""Likeliest other tokens that a word's own is compared with."""
AGAINST = -0.5
"""Gain of log-probability below which the picture speaks against a word."""
STAND_INS = 3
"""Other pictures that stand in for one, the first of the references."""
LIKELIEST = 1024
"""Tokens whose probabilities with other pictures are held; the rest counts as one."""
MAX_TOKENS = 64
"""Tokens of an answer, at most."""
PROMPT = "Describe the picture."
SIDE = 448
"""Pixels of a side, where a model takes pictures of any size."""
PROBE = "a picture"
"""Answer by which the model is tried."""


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt and an answer, as the decoder reads them."""

    prompt: str
    answer: str
    tokens: tuple[int, ...]
    """The answer's tokens."""
    spans: tuple[tuple[int, int], ...]
    """The first and last token, exclusive, of each word."""
    words: tuple[str, ...]
    """Each once: a word that comes again has its number."""
    generated: bool = False
    """Whether the model gave the answer itself."""

    @classmethod
    def read(cls, tokenizer: Any, prompt: str, answer: str, *, generated: bool = False) -> Text:
        """Split an answer into words; raise ModelProblem where it has none, unknown ones, or too many tokens."""
        if not re.search(r"\w", answer):
            raise ModelProblem(f"The answer is {answer!r}: give a sentence, or leave it out to have the model answer.")
        coded = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
        tokens, offsets = coded["input_ids"], coded["offset_mapping"]
        if len(tokens) > MAX_TOKENS:
            raise ModelProblem(f"The answer has {len(tokens)} tokens: give {MAX_TOKENS} at most.")
        spans, words, count = list[tuple[int, int]](), list[str](), Counter[str]()
        for match in WORD.finditer(answer):
            # The token that a word begins in may begin with a space.
            inside = [i for i, (start, end) in enumerate(offsets) if start < match.end() and end > match.start()]
            count[word := match.group()] += 1
            if tokenizer.unk_token_id in [tokens[i] for i in inside]:
                raise ModelProblem(f"The model does not know “{word}”, so it cannot be asked about it: leave it out.")
            spans.append((inside[0], inside[-1] + 1))
            words.append(word if count[word] == 1 else f"{word} ({count[word]})")
        return cls(prompt, answer, tuple(tokens), tuple(spans), tuple(words), generated)


class Reader(nn.Module):
    """A network from pictures (B, 3, H, W), RGB in 0..255, to the logits of its text's answer, (B, T, V).

    Raises ModelProblem for a network that takes no encoded picture.
    """

    net: Any
    processor: Any
    text: Text
    """Set by `with_text`."""

    def __init__(self, net: nn.Module, processor: Any) -> None:
        if "mm_encoder_outputs" not in inspect.signature(net.forward).parameters:
            raise ModelProblem(
                f"{type(net).__name__} takes no picture that is encoded already: use a LLaVA, Qwen-VL or alike, with "
                "transformers 5.24 or newer."
            )
        super().__init__()
        self.net, self.processor, self.tokens = net, processor, nn.Identity()
        self._encoded: tuple[Tensor, str, dict[str, Any], Any] | None = None

    def with_text(self, text: Text) -> Reader:
        """Return a module of the same network and its encoded picture, with another text."""
        other = Reader(self.net, self.processor)
        other.text, other._encoded = text, self._encoded
        return other.eval()

    def check(self) -> None:
        """Raise ModelProblem where the answer by the held tokens is not the network's own."""
        picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
        with torch.no_grad():
            plain = self.score(self.inputs(picture, self.text.prompt), {}, self.text.tokens)
            own = self(picture)
        if not torch.allclose(plain, own, atol=1e-3 * float(plain.abs().max())):
            raise ModelProblem(
                f"{type(self.net).__name__} reads a picture by another way than its tokens, so no word can be traced."
            )

    def ask(self, prompt: str) -> str:
        """Return a prompt as the model was trained to read it, with the place of the picture."""
        if getattr(self.processor, "chat_template", None):
            turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
            return str(self.processor.apply_chat_template(turn, add_generation_prompt=True))
        token = getattr(self.processor, "image_token", "<image>")
        return prompt if token in prompt else f"{token}{prompt}"

    def inputs(self, pictures: Tensor, prompt: str) -> dict[str, Any]:
        """Return what the network takes for pictures and a prompt, on the device of the pictures."""
        arrays = [picture.permute(1, 2, 0).round().byte().cpu().numpy() for picture in pictures]
        made = self.processor(images=arrays, text=[self.ask(prompt)] * len(arrays), return_tensors="pt")
        dtype = next(self.net.parameters()).dtype
        return {
            name: value.to(pictures.device, dtype if value.is_floating_point() else None)
            for name, value in made.items()
            if isinstance(value, Tensor)
        }

    def encode(self, pictures: Tensor, prompt: str) -> tuple[dict[str, Any], Any]:
        """Return a network's inputs for pictures, and the encoded pictures; those of the last call are held."""
        held = self._encoded
        # Encoded again for gradients, and while a trial changes the encoder; that is not held.
        known = held is not None and held[1] == prompt and not pictures.requires_grad
        if held is None or not known or held[0].shape != pictures.shape or not torch.equal(held[0], pictures):
            inputs = self.inputs(pictures, prompt)
            takes = inspect.signature(self.net.get_image_features).parameters
            features = {name: value for name, value in inputs.items() if name in takes and name not in TEXT}
            with torch.no_grad():
                encoded = self.net.get_image_features(**features)
            held = pictures.detach().clone(), prompt, inputs, encoded
            if not pictures.requires_grad:
                self._encoded = held
        return held[2], copy.copy(held[3])

    def forward(self, pictures: Tensor) -> Tensor:
        inputs, encoded = self.encode(pictures, self.text.prompt)
        routes = Routes(encoded, len(pictures))
        encoded = routes.joined(self.tokens(routes.tokens))
        return self.score(inputs, {"mm_encoder_outputs": {"image": encoded}}, self.text.tokens)

    def score(self, inputs: Mapping[str, Any], picture: Mapping[str, Any], answer: Sequence[int]) -> Tensor:
        """Return the logits (B, T, V) of an answer's tokens, after a prompt."""
        ids = inputs["input_ids"]
        more = torch.tensor(answer, device=ids.device).expand(len(ids), -1)
        given: dict[str, Any] = {}
        for name, value in inputs.items():
            if name == "input_ids":
                given[name] = torch.cat((value, more), 1)
            elif value.shape == ids.shape:
                # A mask, or kinds of tokens, of which text is 0.
                rest = torch.full_like(more, int(name == "attention_mask"), dtype=value.dtype)
                given[name] = torch.cat((value, rest), 1)
            elif name in picture or "mm_encoder_outputs" not in picture or name not in PIXELS:
                given[name] = value
        logits: Tensor = self.net(**given, **picture, use_cache=False).logits
        return logits[:, ids.shape[1] - 1 : -1].float()

    @torch.no_grad()
    def generate(self, picture: Tensor, prompt: str, progress: Progress | None = None) -> str:
        """Return the answer to a picture (1, 3, H, W), whose tokens are each the likeliest; report it word by word."""
        inputs, tokens = self.inputs(picture, prompt), list[int]()

        def answer() -> str:
            given = tokens[inputs["input_ids"].shape[1] :]
            return str(self.processor.tokenizer.decode(given, skip_special_tokens=True)).strip()

        def put(ids: Tensor) -> None:
            check()
            tokens.extend(ids.flatten().tolist())
            if progress is not None and (words := answer()):
                # How long it will be is not known.
                progress(0.0, f"“{words} …”")

        streamer = SimpleNamespace(put=put, end=lambda: None)
        self.net.generate(**inputs, do_sample=False, max_new_tokens=MAX_TOKENS, streamer=streamer)
        return answer()


TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
PIXELS = ("pixel_values", "pixel_attention_mask")
"""Inputs that the encoder alone reads."""


class Describer(PreparedAdapter):
    """An adapter of a model that answers in words; its classes are the words of one answer."""

    takes_prompt = True
    has_embedding = False
    splits_batches = True
    placeless = ("net",)
    parts: tuple[Part, ...] = ("contrast", "class")
    preprocessings = ("trained", "crop", "squash")
    module: Reader

    def __init__(
        self,
        spec: ModelSpec,
        reader: Reader,
        side: int,
        sha256: str,
        references: Sequence[NDArray[np.uint8]] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """`references`: the pictures (H, W, 3) that stand in for one, by default packaged photographs."""
        plain = Preprocessing((side, side), side, (0.0,) * 3, (1.0,) * 3, "bicubic", crop="letterbox", highest=255)
        super().__init__(spec, reader, (), plain, sha256, notes=notes)
        paths = () if references else map(packaged.photograph, packaged.PHOTOGRAPHS)
        photographs = [np.asarray(Image.open(path).convert("RGB")) for path in paths if path is not None]
        pictures = [fit_picture(pixels, plain, "squash")[0] for pixels in references or photographs]
        self._references = torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2).float()
        self._reader_of_others, self.others = reader, Others()
        encoder = reader.net.get_encoder("image")
        self.encoder = tuple(f"{path}." for path, part in reader.named_modules() if part is encoder)

    def probe(self) -> Self:
        return self.with_answer(PROMPT, PROBE)

    def with_answer(self, prompt: str, answer: str, pixels: Any = None, progress: Progress | None = None) -> Self:
        """Return the model with this prompt, and this answer or, if empty, the one that it gives to a picture.

        Raises ModelProblem for an answer without words, or with more tokens than `MAX_TOKENS`.
        """
        _ = self._tokens  # encoded once for all answers
        adapter, reader, prompt = copy.copy(self), self.module, prompt or PROMPT
        if generated := not answer and pixels is not None:
            picture = self.prepare(pixels, self.preprocessings[0]).tensor
            answer = reader.generate(picture.to(self.device or "cpu"), prompt, progress)
            if not re.search(r"\w", answer):
                raise AnswerProblem(f"{self.spec.id} says no word to “{prompt}”: ask for something else.")
        text = Text.read(reader.processor.tokenizer, prompt, answer, generated=generated)
        adapter.module, adapter.labels = reader.with_text(text), text.words
        # The same model with other words is another one.
        adapter.weights_sha256 = hashlib.sha256("\0".join((self.weights_sha256, prompt, answer)).encode()).hexdigest()
        adapter._reader_of_others = self._reader_of_others = self._reader_of_others.with_text(text)
        adapter.others = adapter._read_others()
        return adapter

    @torch.no_grad()
    def _read_others(self) -> Others:
        """Return what is said where other pictures stand in for the picture, and where the mean of all does."""
        reader, others = self._reader_of_others, self._references[:STAND_INS].to(self.device or "cpu")
        tokens = torch.cat((self._tokens[:STAND_INS], self._tokens.mean(0, keepdim=True)))
        with reader.tokens.register_forward_hook(lambda *_: tokens):
            logs = reader(torch.cat((others, others[:1]))).log_softmax(-1)
        most = logs[:-1].topk(min(LIKELIEST, logs.shape[2]), 2)
        return Others(most.values.exp(), most.indices, logs[-1].gather(1, self._ids(logs)[:, None])[:, 0])

    @cached_property
    def _tokens(self) -> Tensor:
        """The tokens (R, N, C) of all references, which are the same for every prompt."""
        references = self._references.to(self.device or "cpu")
        return Routes(self.module.encode(references, PROMPT)[1], len(references)).tokens

    def _ids(self, like: Tensor) -> Tensor:
        return torch.tensor(self.module.text.tokens, device=like.device)

    def forward(self, tensor: Tensor) -> Logits:
        """Return the logits (B, T, V) that each token of the answer was chosen from."""
        return Logits(self.module(tensor), None)

    def seen(self, outputs: Logits) -> list[float]:
        """Return how far each word depends on the picture, 0..1.

        It is the total variation between its distribution and those with other pictures, the mean of them; of a word
        of several tokens the largest.
        """
        others, shares = self.others, outputs.logits[:1].detach().softmax(-1)
        own = shares.expand(len(others.shares), -1, -1).gather(2, others.ids.to(shares.device))
        theirs = others.shares.to(own)
        # All tokens that are unlikely with a reference count as one.
        rest = (own.sum(-1) - theirs.sum(-1)).abs()
        change = ((own - theirs).abs().sum(-1) + rest).mean(0) / 2
        return [float(change[first:last].max()) for first, last in self.module.text.spans]

    def gains(self, outputs: Logits) -> list[float]:
        """Return by how much the picture raises each word's log-probability, over that with the mean of others."""
        logs = outputs.logits[0].detach().log_softmax(-1)
        gain = logs.gather(1, self._ids(logs)[:, None])[:, 0] - self.others.logs.to(logs)
        return [float(gain[first:last].sum()) for first, last in self.module.text.spans]

    def decode(self, outputs: Any, geometry: Geometry, **_: Any) -> list[Prediction]:
        rows = zip(self.labels, self.seen(outputs), self.gains(outputs), strict=True)
        return [Prediction(word, i, share, speaks_against=gain < AGAINST) for i, (word, share, gain) in enumerate(rows)]

    def class_logits(self, outputs: Any) -> Tensor:
        """Return (B, words): the logit of each word's tokens, the sum, less the mean of their likeliest rivals."""
        logits: Tensor = outputs.logits
        ids = self._ids(logits)[None, :, None].expand(len(logits), -1, 1)
        rivals = logits.detach().scatter(2, ids, -math.inf).topk(min(RIVALS, logits.shape[2] - 1), 2).indices
        margins = logits.gather(2, ids)[..., 0] - logits.gather(2, rivals).mean(2)
        return torch.stack([margins[:, first:last].sum(1) for first, last in self.module.text.spans], 1)

    def class_scores(self, outputs: Any) -> Tensor:
        """Return (B, words), the probability of each word after those before it."""
        logs = outputs.logits.float().log_softmax(-1)
        chosen = logs.gather(2, self._ids(logs)[None, :, None].expand(len(logs), -1, 1))[..., 0]
        return torch.stack([chosen[:, first:last].sum(1).exp() for first, last in self.module.text.spans], 1)

    def chosen(self, outputs: Any) -> Tensor:
        """Return whether each word is the likeliest after those before it, bool (B, words)."""
        best = outputs.logits.detach().argmax(2) == self._ids(outputs.logits)
        return torch.stack([best[:, first:last].all(1) for first, last in self.module.text.spans], 1)

    def margin(self, outputs: Any, target: Target) -> Tensor:
        """Return (B,): by how much a word or a phrase leads its rivals, in logits, or the one that a target names."""
        places = list(target.words) if isinstance(target, PhraseTarget) else [target.index]
        if not isinstance(target, PhraseTarget) or not target.rival:
            return self.class_logits(outputs)[:, places].sum(1)
        text, logits = self.module.text, outputs.logits
        # Read in the same place: a tokenizer has other tokens for words that a space comes before.
        match = [*WORD.finditer(text.answer)][target.words[0]]
        sentence = f"{text.answer[: match.start()]}{target.rival}{text.answer[match.end() :]}"
        other, (first, _) = Text.read(self.module.processor.tokenizer, "", sentence), text.spans[target.words[0]]
        own, rival = text.tokens[first], other.tokens[other.spans[target.words[0]][0]]
        if own == rival:
            raise ModelProblem(f"{target.rival} begins as {match.group()} does: compare with another word.")
        margin: Tensor = logits[:, first, own] - logits[:, first, rival]
        return margin

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return the margin of a word or a phrase over its rivals, or its log-probability, shape ()."""
        if target.part == "contrast":
            return self.margin(outputs, target)[0]
        places = list(target.words) if isinstance(target, PhraseTarget) else [target.index]
        return self.class_scores(outputs)[0, places].log().sum()


def load(spec: ModelSpec, net: Any, folder: Path, sha256: str) -> Describer:
    """Return the adapter of a folder's network with its own processor; raise ModelProblem where it cannot be cut."""
    import transformers

    try:
        processor = from_folder(transformers.AutoProcessor, folder)
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise WeightsProblem(
            f"{folder.name} has no processor that Transformers can read ({describe_error(problem)}): save it too."
        ) from problem
    reader = Reader(net, processor)
    pixels = reader.inputs(torch.full((1, 3, SIDE, SIDE), 127.0), PROMPT)["pixel_values"]
    # Patches and tiles are cut from a picture of any size.
    spec = replace(spec, method="pathgradient" if spec.method == METHOD else spec.method)
    adapter = Describer(spec, reader, pixels.shape[-1] if pixels.ndim == 4 else SIDE, sha256)
    adapter.probe().module.check()
    return adapter


@dataclass(frozen=True, slots=True)
class Others:
    """What a model says of other pictures, where it reads the same text."""

    shares: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(STAND_INS, T, LIKELIEST), the probabilities of the likeliest tokens."""
    ids: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(STAND_INS, T, LIKELIEST), which tokens these are."""
    logs: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(T,), the log-probabilities of the answer's tokens with the mean of all references' tokens."""


class Routes:
    """The tokens of encoded pictures by all routes that a decoder reads, side by side."""

    def __init__(self, encoded: Any, pictures: int) -> None:
        self.encoded = encoded
        self.routes = (encoded.pooler_output, *(getattr(encoded, "deepstack_features", None) or ()))
        rows = [torch.cat([part.flatten(0, -2) for part in route]) for route in self.routes]
        self.widths = [row.shape[1] for row in rows]
        self.tokens: Tensor = torch.cat(rows, 1).reshape(pictures, -1, sum(self.widths))
        """(B, N, C), the channels of all routes."""

    def joined(self, tokens: Tensor) -> Any:
        """Return the encoded pictures with other tokens (B, N, C)."""
        first, *deep = (
            _like(route, part.flatten(0, 1))
            for route, part in zip(self.routes, torch.split(tokens, self.widths, -1), strict=True)
        )
        self.encoded.pooler_output = first
        if deep:
            self.encoded.deepstack_features = deep
        return self.encoded


def _like(route: Any, rows: Tensor) -> Any:
    """Return rows (N, C) as the tensor or the list of tensors that a route is."""
    if isinstance(route, Tensor):
        return rows.reshape(route.shape)
    parts = torch.split(rows, [part.shape[:-1].numel() for part in route])
    return [part.reshape(old.shape) for part, old in zip(parts, route, strict=True)]
