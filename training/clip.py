"""Train demo-clip on drawn scenes.

Every picture is compared with every meaning: colours and shapes of one scene that do not belong together are wrong
answers, which is what ties a colour to its shape. The vision tower learns first, against one vector for each meaning;
then the text tower learns to find that vector from words, however they are put.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.models.families.demo import nets
from sightglass.models.families.demo.nets import JOINT, DemoClip, tokenize
from training.demo import captioned_scenes
from training.demo.captioned_scenes import CaptionedSpec
from training.loop import Learner, Metrics, Pool, Sample, Task, half_precision, normalised, parts, share

Meaning = tuple[str | None, str | None]
"""(colour, shape), either of which may be any."""
START = "demo-cls-honest"
"""Model whose convolutions the vision tower starts from."""
RARE = 3.0
"""Weight of a true phrase relative to a false one: about four of sixty are true."""
BOTH = ("{c} {s}", "a {c} {s}", "the {c} {s}", "a picture of a {c} {s}", "a photo of a {c} {s}", "a {s} that is {c}")
SHAPE = ("{s}", "a {s}", "the {s}", "a picture of a {s}", "a photo of a {s}", "a drawing of a {s}")
COLOUR = ("{c}", "something {c}", "something that is {c}", "a {c} thing", "a picture of something {c}")
ALWAYS = ("a picture", "a photo", "a drawing", "a scene", "something", "anything", "a thing", "a picture of something")
GRID = [(colour, shape) for colour in captioned_scenes.COLOURS for shape in captioned_scenes.SHAPES]
MEANINGS: tuple[Meaning, ...] = (
    *(pair for pair in GRID if pair not in captioned_scenes.NEVER_SEEN),
    *((None, shape) for shape in captioned_scenes.SHAPES),
    *((colour, None) for colour in captioned_scenes.COLOURS),
)


def holds(spec: CaptionedSpec, colour: str | None, shape: str | None) -> bool:
    """Return whether a thing in the scene has this colour and shape."""
    # A shape without a name has its colour all the same.
    return any(colour in (None, thing.colour) and shape in (None, thing.shape) for thing in spec.things)


def phrase_for(meaning: Meaning, generator: np.random.Generator) -> str:
    """Put a meaning into words, by a random template and random synonyms."""
    templates = {(True, True): BOTH, (False, True): SHAPE, (True, False): COLOUR}
    template = generator.choice(templates[meaning[0] is not None, meaning[1] is not None])
    c, s = (str(generator.choice(captioned_scenes.SYNONYMS.get(name or "", (name or "",)))) for name in meaning)
    return str(template).format(c=c, s=s)


class Lesson(nn.Module):
    """The vision tower, and a vector for each meaning in place of the text tower's answer."""

    def __init__(self, net: DemoClip) -> None:
        super().__init__()
        self.visual, self.logit_scale, self.logit_bias = net.visual, net.logit_scale, net.logit_bias
        self.meanings = nn.Parameter(torch.randn(len(MEANINGS), JOINT))

    def compare(self, features: Tensor, rows: Tensor) -> Tensor:
        cosines = F.normalize(features.float(), dim=1) @ F.normalize(rows.float(), dim=1).T
        return self.logit_scale.exp() * cosines + self.logit_bias


def comparison_loss(logits: Tensor, pool: Pool) -> Tensor:
    """Return the loss of logits (B, meanings) of scenes."""
    labels = torch.from_numpy(np.stack([true for _, true, _ in pool])).float()
    total = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor(RARE), reduction="sum")
    return total / len(logits)


@dataclass
class Clip(Task):
    """A picture tower and a text tower."""

    word_steps: int = 800
    """Training steps of the text tower."""

    def card(self) -> dict[str, Any]:
        never_seen = [" ".join(pair) for pair in sorted(captioned_scenes.NEVER_SEEN)]
        return {
            "task": "classify",
            "classes": [" ".join(pair) for pair in GRID],
            "data": {"kind": "named", "never_seen": never_seen},
            "net": {"begins_with": START},
        }

    def sample(self, number: int, *, held_out: bool = False, rare: bool = False) -> Sample:
        """Draw pixels, which of `MEANINGS` are true of them, and their spec."""
        spec = captioned_scenes.sample(number, held_out=held_out, rare=rare)
        true = np.array([holds(spec, colour, shape) for colour, shape in MEANINGS])
        return captioned_scenes.draw(spec).pixels, true, spec

    def network(self) -> DemoClip:
        return DemoClip()

    def begin(self) -> nn.Module:
        self.net = self.network()
        start = nets.trained(START)
        for name in nets.BODY:
            self.net.visual.get_submodule(name).load_state_dict(start.get_submodule(name).state_dict())
        return Lesson(self.net)

    def rows(self, count: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        while True:
            yield generator.choice(count, self.recipe.batch, replace=False)

    def loss(self, net: Lesson, batch: Pool) -> Tensor:
        with half_precision():
            features = net.visual(normalised([pixels for pixels, *_ in batch]))
            logits = net.compare(features, net.meanings)
        return comparison_loss(logits.float(), batch)

    def end(self, average: Lesson, pool: Pool, generator: np.random.Generator) -> DemoClip:
        net = self.net
        net.visual, net.logit_scale, net.logit_bias = average.visual, average.logit_scale, average.logit_bias
        self.teach_words(average, pool, generator)
        return net.eval().requires_grad_(False)

    def teach_words(self, lesson: Lesson, pool: Pool, generator: np.random.Generator) -> None:
        """Train the text tower on the fixed vectors of the meanings."""
        rows = generator.choice(len(pool), min(1500, len(pool)), replace=False)
        shown = [pool[row] for row in rows]
        with torch.no_grad():
            features = torch.cat([lesson.visual(normalised([pixels for pixels, *_ in part])) for part in parts(shown)])
        # What is true of every scene is what all scenes have in common.
        common = F.normalize(features, dim=1).mean(0, keepdim=True)
        meanings = torch.cat([lesson.meanings, common])
        learner = Learner(self.net.text, replace(self.recipe, max_norm=math.inf))
        for step in range(self.word_steps):
            some = generator.integers(0, len(shown), 128)
            always = str(generator.choice(ALWAYS))
            phrases = self.net.text(tokenize([*(phrase_for(meaning, generator) for meaning in MEANINGS), always]))
            apart = 1 - F.cosine_similarity(phrases, meanings, dim=1)
            named = comparison_loss(lesson.compare(features[some], phrases[:-1]), [shown[row] for row in some])
            learner.step(20 * apart.mean() + named / 5, self.rate(step, self.word_steps) / 2)
        print(f"{self.name}: words, off by {apart.mean().item():.3f}", flush=True)

    def exam(self, net: Any, count: int) -> Metrics:
        """Return the metrics of 64 colour and shape phrases on held-out scenes.

        `accuracy`: the best of the 64 is true. `named`: share of the n things among the n best. `bound`: of two things
        that share nothing, the colour of one with its own shape scores higher than with the other's. `never_seen`:
        `named` of colours with shapes that training had neither drawn nor said together.
        """
        plain = self.draw(count, held_out=True)
        rare = [self.sample(number, held_out=True, rare=True) for number in range(count // 2)]
        logits = logits_of(net, plain)
        things = [[(thing.colour, thing.shape) for thing in spec.named] for _, _, spec in plain]
        bound = [
            row[GRID.index(a)] > row[GRID.index((a[0], b[1]))]
            for row, named, (_, _, spec) in zip(logits, things, plain, strict=True)
            for a in named
            for b in named
            if a[0] != b[0] and a[1] != b[1] and not holds(spec, a[0], b[1])
        ]
        unseen = [
            (thing.colour, thing.shape) in best_of(row, len(spec.named))
            for row, (_, _, spec) in zip(logits_of(net, rare), rare, strict=True)
            for thing in spec.named
            if (thing.colour, thing.shape) in captioned_scenes.NEVER_SEEN
        ]
        rows = [*zip(logits, things, strict=True)]
        return {
            "accuracy": share([best_of(row, 1)[0] in named for row, named in rows]),
            "named": share([thing in best_of(row, len(named)) for row, named in rows for thing in named]),
            "bound": share(bound),
            "never_seen": share(unseen),
        }


def logits_of(net: DemoClip, pool: Pool) -> NDArray[np.float32]:
    """Return (N, 64) logits of `a red star` and so on."""
    tokens = tokenize([f"a {colour} {shape}" for colour, shape in GRID])
    with torch.no_grad():
        rows = [net(normalised([pixels for pixels, *_ in part]), tokens) for part in parts(pool)]
    return torch.cat(rows).numpy()


def best_of(row: NDArray[np.float32], count: int) -> list[tuple[str, str]]:
    """Return the things of the `count` highest logits."""
    return [GRID[cell] for cell in np.argsort(-row)[:count]]
