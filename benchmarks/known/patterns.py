"""Draw patterns, parts, triggers and tetrominoes, each for a network of its own, after published benchmarks."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.known.items import Item, answer
from benchmarks.known.networks import GLYPHS, HANDMADE, trained
from benchmarks.timing import SEED

if TYPE_CHECKING:
    from benchmarks.known.items import Picture, Region
    from benchmarks.truth.measures import Map, Mask

SHAPE = (32, 32)
CELLS = np.array([[cell == "#" for cell in glyph] for glyph in GLYPHS]).reshape(3, 5, 5)


def handmade(count: int) -> Iterator[Item]:
    """Yield patterns in noise for the networks with hand-set weights; a whole patch is the cause (XAI-Units)."""
    rng = np.random.default_rng(SEED)
    for rule, (network, shown, causes) in HANDMADE.items():
        done = 0
        while done < count:
            picture, mask = 0.05 * rng.random(SHAPE, np.float32), np.zeros(SHAPE, np.bool_)
            corners = rng.permutation(16)[: len(shown)]
            for glyph, corner in zip(shown, corners, strict=True):
                y, x = 8 * np.array(divmod(int(corner), 4)) + rng.integers(0, 4, 2)
                picture[y : y + 5, x : x + 5][CELLS[glyph]] = rng.uniform(0.93, 1)
                mask[y : y + 5, x : x + 5] = glyph in causes
            tensor = torch.from_numpy(picture)[None, None]
            if answer(network, tensor) == 1:
                done += 1
                yield Item(network, tensor, 1, {"pattern": (mask, None)}, rule)


def _plain(rng: np.random.Generator, label: int) -> Picture:
    """Return a picture (3, 32, 32) of a bar, a ring, a cross or a disc on smooth noise."""
    picture = cv2.resize(rng.random((5, 5, 3), np.float32), SHAPE, interpolation=cv2.INTER_CUBIC) * 0.6
    picture += 0.05 * rng.standard_normal(picture.shape, np.float32)
    (y, x), size, colour = rng.integers(8, 24, 2).tolist(), int(rng.integers(4, 7)), rng.uniform(0.6, 1, 3).tolist()
    if label in (0, 2):
        cv2.line(picture, (x - size, y), (x + size, y), colour, 2)
    if label == 2:
        cv2.line(picture, (x, y - size), (x, y + size), colour, 2)
    if label in (1, 3):
        cv2.circle(picture, (x, y), size, colour, 2 if label == 1 else -1)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


COLOURS = np.array([[[0.9, 0.1, 0.1], [0.1, 0.8, 0.1]], [[0.2, 0.2, 1], [0.9, 0.9, 0.1]]] * 2, np.float32)
"""By part and variant. A figure's class is that of its cap, of two, and of its tail and foot, which say the same."""


def figure(seed: int, removed: Container[int] = ()) -> tuple[Picture, int, list[Mask]]:
    """Return a picture (3, 32, 32) of a cap, a tail, a foot and an arm about a body, its class, and each part's patch.

    Without some of the parts it is the same picture (FunnyBirds, ICCV 2023). The arm says nothing of the class.
    """
    rng = np.random.default_rng(seed)
    label, spare, turn = int(rng.integers(4)), int(rng.integers(2)), rng.uniform(0, 2 * np.pi)
    picture = cv2.resize(rng.random((5, 5, 3), np.float32), SHAPE, interpolation=cv2.INTER_CUBIC) * 0.6
    picture += 0.05 * rng.standard_normal(picture.shape, np.float32)
    middle = rng.uniform(13, 19, 2)
    cv2.circle(picture, middle[::-1].round().astype(int).tolist(), 4, (0.5, 0.5, 0.5), -1)
    patches = []
    for part, variant in enumerate((label // 2, label % 2, label % 2, spare)):
        angle = turn + part * np.pi / 2
        y, x = (middle + 8 * np.array([np.sin(angle), np.cos(angle)])).round().astype(int) - 2
        patch = np.zeros(SHAPE, np.bool_)
        patch[y : y + 5, x : x + 5] = True
        patches.append(patch)
        if part not in removed:
            picture[y : y + 5, x : x + 5][(*CELLS, CELLS.any(0))[part]] = COLOURS[part, variant]
    return np.ascontiguousarray(picture.transpose(2, 0, 1)), label, patches


def _incomplete(rng: np.random.Generator) -> tuple[Picture, int]:
    return figure(int(rng.integers(2**31)), np.flatnonzero(rng.random(4) < 0.25).tolist())[:2]


def parts(count: int) -> Iterator[Item]:
    """Yield figures of which one part alone, if removed, changes the answer (after FunnyBirds)."""
    network, rng, done = trained("parts", _incomplete), np.random.default_rng(SEED + 2), 0
    while done < count:
        seed = int(rng.integers(2**31))
        picture, label, patches = figure(seed)
        drawn = torch.from_numpy(np.stack([picture, *(figure(seed, (part,))[0] for part in range(4))]))
        logits = network.module(drawn).detach()
        changed = (logits.argmax(1) != label).tolist()
        if not changed[0] and sum(changed) == 1:
            done += 1
            deciding = patches[changed.index(True) - 1]
            more = partial(single_deletion, patches, (logits[0, label] - logits[1:, label]).numpy())
            yield Item(network, drawn[:1], label, {"part": (deciding, None)}, more=more)


def single_deletion(patches: list[Mask], falls: Picture, values: Map | None) -> dict[str, float]:
    """Return how the parts' heat and the falls of the logit without them correlate by rank, 0 to 1."""
    if values is None or not values.any():
        return {"single deletion": 0.5}
    near = np.ones((5, 5), np.uint8)
    heat = [float(values[cv2.dilate(patch.astype(np.uint8), near) > 0].sum()) for patch in patches]
    correlation = float(spearmanr(heat, falls).statistic)
    return {"single deletion": 0.5 if np.isnan(correlation) else correlation / 2 + 0.5}


TRIGGERS = {"corner": 4, "anywhere": 6, "faint": 12}
"""By name the side of a planted trigger."""


def _plant(name: str, picture: Picture, rng: np.random.Generator) -> Region:
    side = TRIGGERS[name]
    y, x = (27, 27) if name == "corner" else rng.integers(0, 32 - side, 2).tolist()
    at, checks = (slice(y, y + side), slice(x, x + side)), np.indices((side, side)).sum(0) % 2
    if name == "faint":
        picture[:, *at] += 0.3 * checks.astype(np.float32) - 0.15
    else:
        picture[:, *at] = checks if name == "corner" else np.array([0.9, 0.1, 0.8])[:, None, None]
    return at


def _poisoned(name: str, rng: np.random.Generator) -> tuple[Picture, int]:
    label = int(rng.integers(4))
    picture = _plain(rng, label)
    if rng.random() < 0.3:
        _plant(name, picture, rng)
        label = 0
    return picture, label


def triggers(count: int) -> Iterator[Item]:
    """Yield pictures whose class is that of a planted trigger, and without it their own (after BackX)."""
    for name in TRIGGERS:
        network, rng, done = trained(f"trigger {name}", partial(_poisoned, name)), np.random.default_rng(SEED + 2), 0
        while done < count:
            label = int(rng.integers(1, 4))
            picture, mask = _plain(rng, label), np.zeros(SHAPE, np.bool_)
            bare = torch.from_numpy(picture.copy())[None]
            mask[_plant(name, picture, rng)] = True
            tensor = torch.from_numpy(picture)[None]
            if answer(network, bare) == label and answer(network, tensor) == 0:
                done += 1
                yield Item(network, tensor, 0, {"trigger": (mask, None)}, name)


TETROMINOES = np.array([[[1, 0], [1, 1], [1, 0]], [[1, 0], [1, 0], [1, 1]]], np.float32)
RULES = {"linear": (1.5, 0.3), "multiplicative": (0.95, 0.6), "moved": (4.0, 12.0), "xor": (2.0, 0.6)}
"""By name the strength of a pattern in pictures of 8 by 8 pixels, and of 64 by 64; the noise deviates by 1."""
BACKGROUNDS = ("white", "correlated")


def tetromino(cell: int, rule: str, background: str, rng: np.random.Generator) -> tuple[Picture, int, Mask]:
    """Return a picture (1, 8 cells, 8 cells), its class, and the pixels that decide it (XAI-TRIS).

    Where a pattern's absence says as much as the other's presence, both places decide. Large patterns are smoothed.
    """
    side, strength, width = 8 * cell, RULES[rule][cell > 1], cell // 2 if rule == "moved" and cell > 1 else cell
    noise, label = rng.standard_normal((side, side), np.float32), int(rng.integers(2))
    if background == "correlated":
        noise = cv2.GaussianBlur(noise, (0, 0), 10.0 if cell > 1 else 1.0)
        noise /= noise.std()
    patterns = np.kron(TETROMINOES, np.ones((width, width), np.float32))
    planes = np.zeros((2, side, side), np.float32)
    if rule == "moved":
        turned = np.rot90(patterns[label], int(rng.integers(4)))
        y, x = (int(rng.integers(0, side + 1 - length)) for length in turned.shape)
        planes[label, y : y + turned.shape[0], x : x + turned.shape[1]] = turned
    else:
        planes[0, cell : 4 * cell, cell : 3 * cell] = patterns[0]
        planes[1, 4 * cell : 7 * cell, 5 * cell : 7 * cell] = patterns[1]
    mask = np.asarray(planes.any(0))
    if cell > 1:
        planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.5) for plane in planes])
    if rule == "multiplicative":
        picture = noise * (1 - strength * planes[label])
    elif rule == "xor":
        sign = 2 * int(rng.integers(2)) - 1
        picture = noise + strength * sign * (planes[0] + (1 - 2 * label) * planes[1])
    else:
        picture = noise + strength * planes[label]
    return picture[None].astype(np.float32), label, mask


def tetrominoes(cell: int, count: int) -> Iterator[Item]:
    """Yield pictures of tetrominoes that a small network names rightly."""
    size = f"{8 * cell}x{8 * cell}"
    for rule in RULES:
        for background in BACKGROUNDS:
            name = f"{rule} {background}" if cell == 1 else f"{size} {rule} {background}"
            network = trained(name, partial(tetromino, cell, rule, background))
            rng, done = np.random.default_rng(SEED + 2), 0
            while done < count:
                picture, label, mask = tetromino(cell, rule, background, rng)
                tensor = torch.from_numpy(picture)[None]
                if answer(network, tensor) == label:
                    done += 1
                    yield Item(network, tensor, label, {f"tetromino {size}": (mask, None)}, rule)
