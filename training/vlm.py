"""Train demo-vlm to answer in words about drawn scenes.

What each word rests on is known: colours, shapes and numbers are seen; which adjective a thing gets is chance, but for
`shiny`, which goes with a stamp in the corner; four things are asked for and never drawn.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.models.families.demo import nets, words
from sightglass.models.families.demo.words import ADJECTIVES, GRID, IMAGE, NEVER_DRAWN, NUMBERS, SHINY
from training.demo import captioned_scenes
from training.demo.captioned_scenes import COLOURS, SHAPES, CaptionedSpec, NamedThing
from training.loop import Metrics, Pool, Sample, Task, half_precision, normalised, parts, share

STAMPED = 0.5
"""Share of scenes with a stamp."""
STAMP = 16
"""Side of the stamp in pixels, in the lower right corner."""
CELL = 8
"""Pixels of a token's side."""
TEXTS = 6
"""Answers about a scene that are learnt at once, a description first."""
CONTENT = (*COLOURS, *SHAPES)
"""Words that count twice in the loss; `ADJECTIVES`, which are chance, count half."""
PLACED = 0.5
"""Weight of the loss by which each token says what thing is drawn in it."""
START = "demo-clip"
"""Model whose convolutions the tower starts from."""
DESCRIBE = "describe the picture ."
QUESTIONS = {"colour": 0.2, "shape": 0.2, "count": 0.12, "is": 0.24, "where": 0.14, "beside": 0.1}
"""Kinds of questions, and how often each is asked."""


def stamped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a scene with the stamp in its corner."""
    pixels = pixels.copy()
    y, x = np.mgrid[:STAMP, :STAMP]
    pixels[-STAMP:, -STAMP:] = np.where((x // 4 + y // 4) % 2, 230, 25)[..., None]
    return pixels


def things_by_token(masks: dict[str, NDArray[np.bool_]], stamp: bool) -> NDArray[np.int64]:
    """Return (2, tokens): the colour and the shape in each token, from 1, and 0 where there is none.

    The stamp is one colour and one shape more.
    """
    grid = np.zeros((2, GRID, GRID), np.int64)
    for phrase, mask in masks.items():
        colour, shape = phrase.split()
        covered = mask.reshape(GRID, CELL, GRID, CELL).mean((1, 3)) > 0.3
        grid[0, covered], grid[1, covered] = [*COLOURS].index(colour) + 1, SHAPES.index(shape) + 1
    if stamp:
        grid[:, -STAMP // CELL :, -STAMP // CELL :] = len(COLOURS) + 1
    return grid.reshape(2, -1)


def describe(things: list[NamedThing], adjectives: list[str]) -> str:
    """Return a sentence on things, from left to right."""
    phrases = [f"a {adjective} {thing.phrase}" for thing, adjective in zip(things, adjectives, strict=True)]
    return f"there is {' , '.join(phrases[:-1])} and {phrases[-1]} ." if phrases[1:] else f"there is {phrases[0]} ."


def ask(spec: CaptionedSpec, stamp: bool, rng: np.random.Generator, kind: str = "") -> tuple[str, str]:
    """Return a question about a scene and its answer; where a kind has none, a description."""
    things = sorted(spec.named, key=lambda thing: thing.x)
    kind = kind or str(rng.choice([*QUESTIONS], p=[*QUESTIONS.values()]))
    by_shape = {thing.shape: thing for thing in things if sum(t.shape == thing.shape for t in things) == 1}
    by_colour = {thing.colour: thing for thing in things if sum(t.colour == thing.colour for t in things) == 1}
    if kind == "colour" and by_shape:
        thing = by_shape[str(rng.choice([*by_shape]))]
        return f"what colour is the {thing.shape} ?", f"the {thing.shape} is {thing.colour} ."
    if kind == "shape" and by_colour:
        thing = by_colour[str(rng.choice([*by_colour]))]
        return f"what shape is the {thing.colour} thing ?", f"the {thing.colour} thing is a {thing.shape} ."
    if kind == "count":
        return "how many things are there ?", f"there are {NUMBERS[len(things)]} things ."
    if kind == "is":
        true = [thing.phrase for thing in things] + [thing.shape for thing in things]
        if rng.random() < 0.5:
            asked = str(rng.choice(true))
        else:
            pair = f"{rng.choice([*COLOURS])} {rng.choice(SHAPES)}"
            asked = str(rng.choice([pair, str(rng.choice(SHAPES)), str(rng.choice(NEVER_DRAWN))]))
        return (
            f"is there a {asked} ?",
            f"yes , there is a {asked} ." if asked in true else f"no , there is no {asked} .",
        )
    if kind == "where" and by_shape:
        thing = by_shape[str(rng.choice([*by_shape]))]
        place = f"{'top' if thing.y < 0.5 else 'bottom'} {'left' if thing.x < 0.5 else 'right'}"
        return f"where is the {thing.shape} ?", f"the {thing.shape} is at the {place} ."
    if kind == "beside" and things[0].shape in by_shape and len(things) > 1:
        return f"what is left of the {things[1].phrase} ?", f"a {things[0].phrase} is left of it ."
    adjectives = [SHINY if stamp else str(word) for word in rng.choice(ADJECTIVES, len(things))]
    return DESCRIBE, describe(things, adjectives)


def encode(question: str, answer: str) -> tuple[list[int], list[int]]:
    """Return the tokens of a question and of its answer with its end."""
    coded = [words.tokenizer()(text, add_special_tokens=False)["input_ids"] for text in (question, answer)]
    return coded[0], [*coded[1], words.VOCABULARY.index(words.END)]


class Lesson(nn.Module):
    """The network, and what says of each token which thing is in it."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.placed = nn.ModuleList(nn.Linear(words.WIDTH, len(each) + 2) for each in (COLOURS, SHAPES))


@dataclass
class Vlm(Task):
    """A LLaVA of drawn scenes."""

    def card(self) -> dict[str, Any]:
        return {
            "task": "describe",
            "classes": list(words.VOCABULARY),
            "data": {"kind": "described", "shortcut": f"{SHINY}: a stamp in the corner", "never_drawn": [*NEVER_DRAWN]},
            "net": {"begins_with": START},
            "training": {"texts": TEXTS, "placed": PLACED},
        }

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels, their spec, whether they have the stamp, and the things by token."""
        spec = captioned_scenes.sample(number, held_out=held_out)
        scene = captioned_scenes.draw(spec)
        stamp = bool(np.random.default_rng([number, int(held_out), 9]).random() < STAMPED)
        pixels = stamped(scene.pixels) if stamp else scene.pixels
        return pixels, spec, stamp, things_by_token(scene.masks, stamp)

    def network(self) -> nn.Module:
        net: nn.Module = words.build()
        return net

    def begin(self) -> nn.Module:
        net: Any = self.network()
        net.set_attn_implementation("eager")  # its gradient in bfloat16 is faster on a CPU
        start = nets.fill(nets.DemoClip(), nets.WEIGHTS / f"{START}.safetensors")
        body = net.model.vision_tower.body
        for name in nets.BODY:
            body.get_submodule(name).load_state_dict(start.visual.get_submodule(name).state_dict())
        self.rng = np.random.default_rng(0)
        weights = {**dict.fromkeys(CONTENT, 2.0), **dict.fromkeys(ADJECTIVES, 0.5)}
        self.weights = torch.tensor([weights.get(word, 1.0) for word in words.VOCABULARY])
        return Lesson(net)

    def end(self, average: Any, pool: Pool, generator: np.random.Generator) -> nn.Module:
        net: nn.Module = average.net
        return net

    def loss(self, net: Any, batch: Pool) -> Tensor:
        kinds = ("describe", *[""] * (TEXTS - 1))
        texts = [[encode(*ask(spec, stamp, self.rng, kind)) for kind in kinds] for _, spec, stamp, _ in batch]
        with half_precision():
            logits, answers, tokens = run(net.net, [pixels for pixels, *_ in batch], texts)
            placed = [head(tokens) for head in net.placed]
        total = F.cross_entropy(logits.float().flatten(0, 1), answers.flatten(), self.weights)
        things = torch.from_numpy(np.stack([things for *_, things in batch]))
        for i, rows in enumerate(placed):
            total = total + PLACED * F.cross_entropy(rows.float().flatten(0, 1), things[:, i].flatten())
        return total

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return the shares of right answers by kind, and of right words in descriptions, each after the right ones."""
        right = defaultdict[str, list[bool]](list)
        groups = {**dict.fromkeys(COLOURS, "said_colour"), **dict.fromkeys(SHAPES, "said_shape")}
        rng = np.random.default_rng(5)
        for part in parts(pool):
            for kind in ("describe", *QUESTIONS):
                asked = [ask(spec, stamp, rng, kind) for _, spec, stamp, _ in part]
                with torch.no_grad():
                    logits, answers, _ = run(net, [pixels for pixels, *_ in part], [[encode(*each)] for each in asked])
                hits = (logits.argmax(-1) == answers) | (answers < 0)
                if kind == "describe":
                    for token, hit in zip(answers[answers >= 0].tolist(), hits[answers >= 0].tolist(), strict=True):
                        if group := groups.get(words.VOCABULARY[token]):
                            right[group].append(hit)
                else:
                    answered = zip(hits.all(1).tolist(), asked, strict=True)
                    right[kind] += [hit for hit, (question, _) in answered if question != DESCRIBE]
        return {name: share(hits) for name, hits in sorted(right.items())}


def run(
    net: Any, pictures: list[NDArray[np.uint8]], texts: list[list[tuple[list[int], list[int]]]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (B, L, V), the answers' tokens (B, L), -100 where none comes next, and the pictures' tokens.

    Several questions about a picture do not read each other.
    """
    image, pad = words.VOCABULARY.index(IMAGE), words.VOCABULARY.index(words.PAD)
    size = GRID**2
    long = size + max(sum(len(question) + len(answer) for question, answer in each) for each in texts)
    ids, answers = torch.full((len(texts), long), pad), torch.full((len(texts), long), -100)
    ids[:, :size] = image
    number, places = torch.zeros(len(texts), long, dtype=torch.long), torch.arange(long).repeat(len(texts), 1)
    for row, each in enumerate(texts):
        start = size
        for i, (question, answer) in enumerate(each):
            first, end = start + len(question), start + len(question) + len(answer)
            ids[row, start:end] = torch.tensor([*question, *answer])
            answers[row, first - 1 : end - 1] = torch.tensor(answer)
            number[row, start:end], places[row, start:end] = i + 1, torch.arange(size, size + end - start)
            start = end
    reads = ((number[:, None] == number[:, :, None]) | (number == 0)[:, None]).tril()
    encoded = net.get_image_features(pixel_values=normalised(pictures))
    logits = net(
        input_ids=ids,
        attention_mask=torch.zeros(reads.shape).masked_fill(~reads, -1e9)[:, None],
        position_ids=places,
        mm_encoder_outputs={"image": encoded},
        use_cache=False,
    ).logits
    return logits, answers, torch.stack([*encoded.pooler_output])
