"""Train demo-clip on drawn scenes.

Every picture is compared with every meaning: colours and shapes of one scene that do not belong together are wrong
answers, which is what ties a colour to its shape. The vision tower learns first, against one vector for each meaning;
then the text tower learns to find that vector from words, however they are put.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sightglass.models.families.demo import nets
from sightglass.models.families.demo.nets import CLIP, JOINT, DemoClip, tokenize
from training.demo import captioned_scenes
from training.evaluation import as_tensor, normalised, share
from training.pool import SCENES_PER_SEED, Recipe, Source
from training.train import Learner, Watch, bfloat16_helps, cosine, parser, settings_of, single_thread, turned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

RECIPE = Recipe(Source("named"), 32_000, pool=4_000, batch=8, rate=4e-3, decay=0.02)
START = "demo-cls-honest"
"""Model whose convolutions the vision tower starts from."""
WORD_STEPS = 800
RARE = 3.0
"""Weight of a true phrase relative to a false one: about four of sixty are true."""
HELD_OUT = 500
BOTH = ("{c} {s}", "a {c} {s}", "the {c} {s}", "a picture of a {c} {s}", "a photo of a {c} {s}", "a {s} that is {c}")
SHAPE = ("{s}", "a {s}", "the {s}", "a picture of a {s}", "a photo of a {s}", "a drawing of a {s}")
COLOUR = ("{c}", "something {c}", "something that is {c}", "a {c} thing", "a picture of something {c}")
ALWAYS = ("a picture", "a photo", "a drawing", "a scene", "something", "anything", "a thing", "a picture of something")
_COLOURS = tuple(captioned_scenes.COLOURS)
PAIRS = tuple((c, s) for c in _COLOURS for s in captioned_scenes.SHAPES if (c, s) not in captioned_scenes.NEVER_SEEN)
MEANINGS: tuple[tuple[str | None, str | None], ...] = (
    *PAIRS,
    *((None, shape) for shape in captioned_scenes.SHAPES),
    *((colour, None) for colour in _COLOURS),
)
"""(colour, shape), either of which may be any."""


@dataclass(frozen=True, slots=True)
class Pool:
    """N scenes and what is true of them."""

    pixels: NDArray[np.uint8]
    """(N, side, side, 3)"""
    true: NDArray[np.bool_]
    """(N, meanings)"""

    def batch(self, rows: NDArray[np.int64], ways: NDArray[np.int64]) -> Tensor:
        """Return normalised, randomly flipped and turned scenes (B, 3, side, side)."""
        pairs = zip(rows.tolist(), ways.tolist(), strict=True)
        return normalised(as_tensor(np.stack([turned(self.pixels[row], way) for row, way in pairs])))


def pool_of(specs: Sequence[captioned_scenes.CaptionedSpec]) -> Pool:
    """Draw the scenes of these specs."""
    true = [[_holds(spec, colour, shape) for colour, shape in MEANINGS] for spec in specs]
    return Pool(np.stack([captioned_scenes.draw(spec).pixels for spec in specs]), np.array(true))


def _holds(spec: captioned_scenes.CaptionedSpec, colour: str | None, shape: str | None) -> bool:
    # A shape without a name has its colour all the same.
    return any(colour in (None, thing.colour) and shape in (None, thing.shape) for thing in spec.things)


def phrase_for(meaning: tuple[str | None, str | None], generator: np.random.Generator) -> str:
    """Put a meaning into words, in one of the ways."""
    ways = {(True, True): BOTH, (False, True): SHAPE, (True, False): COLOUR}
    way = generator.choice(ways[meaning[0] is not None, meaning[1] is not None])
    c, s = (str(generator.choice(captioned_scenes.SYNONYMS.get(name or "", (name or "",)))) for name in meaning)
    return str(way).format(c=c, s=s)


class _Lesson(nn.Module):
    """The vision tower and a vector for each meaning, which stands for the text tower's."""

    def __init__(self, net: DemoClip) -> None:
        super().__init__()
        self.visual, self.logit_scale, self.logit_bias = net.visual, net.logit_scale, net.logit_bias
        self.meanings = nn.Parameter(torch.randn(len(MEANINGS), JOINT))

    def compare(self, features: Tensor, rows: Tensor) -> Tensor:
        cosines = F.normalize(features.float(), dim=1) @ F.normalize(rows.float(), dim=1).T
        return self.logit_scale.exp() * cosines + self.logit_bias

    def forward(self, pictures: Tensor) -> Tensor:
        return self.compare(self.visual(pictures), self.meanings)


def _loss(logits: Tensor, true: NDArray[np.bool_]) -> Tensor:
    labels, weight = torch.from_numpy(true).float(), torch.tensor(RARE)
    total = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="sum")
    return total / len(logits)


def fit(
    pool: Pool,
    recipe: Recipe,
    seed: int,
    words: int = WORD_STEPS,
    watch: Callable[[nn.Module, int, float], None] = lambda *_: None,
) -> DemoClip:
    """Return the moving average of weights trained on a pool."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    net = DemoClip()
    start = nets.trained(START)
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        net.visual.get_submodule(name).load_state_dict(start.get_submodule(name).state_dict())
    lesson = _Lesson(net)
    learner = Learner(lesson, recipe.decay)
    steps, half = math.ceil(recipe.images / recipe.batch), bfloat16_helps()
    for step in range(steps):
        rows = generator.choice(len(pool.pixels), recipe.batch, replace=False)
        pictures = pool.batch(rows, generator.integers(0, 8, len(rows)))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = lesson(pictures)
        loss = _loss(logits.float(), pool.true[rows])
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, (step + 1) * recipe.batch, loss.item())
    trained: Any = learner.average
    net.visual, net.logit_scale, net.logit_bias = trained.visual, trained.logit_scale, trained.logit_bias
    _teach_words(net, trained, pool, generator, words)
    return net.eval().requires_grad_(False)


def _teach_words(net: DemoClip, lesson: _Lesson, pool: Pool, generator: np.random.Generator, steps: int) -> None:
    """Train the text tower on the fixed vectors of the meanings."""
    rows = generator.choice(len(pool.pixels), min(1500, len(pool.pixels)), replace=False)
    with torch.no_grad():
        nothing = np.zeros(50, np.int64)
        parts = [rows[start : start + 50] for start in range(0, len(rows), 50)]
        features = torch.cat([lesson.visual(pool.batch(part, nothing[: len(part)])) for part in parts])
    # What is true of every scene is what all scenes have in common.
    common = F.normalize(features, dim=1).mean(0, keepdim=True)
    meanings = torch.cat([lesson.meanings, common])
    learner = Learner(net.text, RECIPE.decay, max_norm=math.inf)
    for step in range(steps):
        some = generator.integers(0, len(rows), 128)
        always = str(generator.choice(ALWAYS))
        phrases = net.text(tokenize([*(phrase_for(meaning, generator) for meaning in MEANINGS), always]))
        apart = 1 - F.cosine_similarity(phrases, meanings, dim=1)
        loss = 20 * apart.mean() + _loss(lesson.compare(features[some], phrases[:-1]), pool.true[rows[some]]) / 5
        learner.step(loss, 2e-3 * cosine(step, steps))
    print(f"{CLIP}: words, off by {apart.mean().item():.3f}", flush=True)


def metrics_of(net: DemoClip, count: int = HELD_OUT) -> dict[str, Any]:
    """Return metrics of 64 colour and shape phrases on held-out scenes.

    `accuracy`: the best of the 64 is true. `named`: share of the n things among the n best. `bound`: of two things that
    share nothing, the colour of one with its own shape scores higher than with the other's. `never_seen`: `named`
    of colours with shapes that training had neither drawn nor said together.
    """
    grid = [(c, s) for c in _COLOURS for s in captioned_scenes.SHAPES]
    plain, rare = (
        [
            captioned_scenes.sample(seed, held_out=True, rare=is_rare)
            for seed in range(count if not is_rare else count // 2)
        ]
        for is_rare in (False, True)
    )
    logits, odd = (_logits(net, specs, grid) for specs in (plain, rare))
    true_cells = [[grid.index((thing.colour, thing.shape)) for thing in spec.named] for spec in plain]
    unseen = [
        [grid.index((t.colour, t.shape)) for t in spec.named if (t.colour, t.shape) in captioned_scenes.NEVER_SEEN]
        for spec in rare
    ]
    bound = [
        row[grid.index((a.colour, a.shape))] > row[grid.index((a.colour, b.shape))]
        for row, spec in zip(logits, plain, strict=True)
        for a in spec.named
        for b in spec.named
        if a.colour != b.colour and a.shape != b.shape and not _holds(spec, a.colour, b.shape)
    ]
    best = [_best(row, len(spec.named)) for row, spec in zip(odd, rare, strict=True)]
    return {
        "accuracy": share([row.argmax() in real for row, real in zip(logits, true_cells, strict=True)]),
        "named": share(
            [cell in _best(row, len(real)) for row, real in zip(logits, true_cells, strict=True) for cell in real]
        ),
        "bound": share(bound),
        "never_seen": share([cell in top for top, real in zip(best, unseen, strict=True) for cell in real]),
    }


def _logits(
    net: DemoClip, specs: Sequence[captioned_scenes.CaptionedSpec], grid: Sequence[tuple[str, str]]
) -> NDArray[np.float32]:
    """Return (N, K) logits of `a red star` and so on."""
    tokens = tokenize([f"a {colour} {shape}" for colour, shape in grid])
    pixels = [captioned_scenes.draw(spec).pixels for spec in specs]
    with torch.no_grad():
        parts = [
            net(normalised(as_tensor(np.stack(pixels[start : start + 50]))), tokens)
            for start in range(0, len(pixels), 50)
        ]
    return torch.cat(parts).numpy()


def _best(row: NDArray[np.float32], count: int) -> set[int]:
    return set(np.argsort(-row)[:count].tolist())


def train(recipe: Recipe, *, seed: int, out: Path, words: int) -> dict[str, Any]:
    """Train, write the weights and the card, and return the card."""
    print(f"{CLIP}: drawing {recipe.pool:,} scenes", flush=True)
    first = seed * SCENES_PER_SEED
    pool = pool_of([captioned_scenes.sample(number) for number in range(first, first + recipe.pool)])
    out.mkdir(parents=True, exist_ok=True)
    # On the way there is the vision tower alone, which is no model yet.
    watch = Watch(out / f"{CLIP}.safetensors", recipe.images, partial=False)
    watch.save(fit(pool, recipe, seed, words, watch))
    net = nets.fill(DemoClip(), watch.path)
    return watch.card(
        net,
        task="classify",
        classes=[f"{colour} {shape}" for colour in _COLOURS for shape in captioned_scenes.SHAPES],
        data={
            "kind": "named",
            "side": captioned_scenes.SIDE,
            "seed": seed,
            "scenes": recipe.pool,
            "held_out_scenes": HELD_OUT,
            "never_seen": [" ".join(pair) for pair in sorted(captioned_scenes.NEVER_SEEN)],
        },
        net={"begins_with": START},
        training=settings_of(recipe),
        metrics=metrics_of(net),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser("clip", __doc__)
    options.add_argument("--images", type=int, default=RECIPE.images, help="how many pictures it sees")
    options.add_argument("--pool", type=int, default=RECIPE.pool, help="how many scenes are drawn")
    options.add_argument("--words", type=int, default=WORD_STEPS, help="steps of the text tower")
    chosen = options.parse_args(arguments)
    single_thread()
    recipe = replace(RECIPE, images=chosen.images, pool=chosen.pool)
    train(recipe, seed=chosen.seed, out=chosen.out, words=chosen.words)


if __name__ == "__main__":
    main()
