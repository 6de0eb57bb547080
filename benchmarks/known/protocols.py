"""Draw pictures, each for a network, with the pixels that are the cause of a class."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr
from torchvision.ops import box_iou

from benchmarks.known.contenders import Network
from benchmarks.known.networks import GLYPHS, HANDMADE, Disconnected, OneBox, demo, trained
from benchmarks.timing import SEED
from benchmarks.truth.measures import box_of
from benchmarks.truth.scenes import PARTLY, is_cause, labels_of, loaded, subjects

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.truth.measures import Map, Mask

    Region = tuple[slice, slice]
    Picture = NDArray[np.float32]

SHAPE = (32, 32)
CLASSIFIER, DETECTOR = "demo-cls-m", "demo-m"
CELLS = np.array([[cell == "#" for cell in glyph] for glyph in GLYPHS]).reshape(3, 5, 5)


@dataclass(frozen=True, eq=False)
class Item:
    """A picture (1, C, H, W) that a network gives the class `target`, and why."""

    network: Network
    picture: Tensor
    target: int
    causes: dict[str, tuple[Mask, Region | None]]
    """By question the pixels (H, W) that are the cause, and the box within which they are ranked; None: everywhere."""
    kind: str = ""
    """Which of the pictures with this cause it is."""
    more: Callable[[Map | None], dict[str, float]] | None = None
    """Further measures of a map, by name."""
    without: tuple[tuple[str, ...], ...] = ()
    """Methods that cannot explain the network."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as one sees it, (H, W, 3)."""
        values = self.picture[0].permute(1, 2, 0).numpy()
        grey = (values - values.min()) / np.ptp(values) * 255
        return np.ascontiguousarray(np.broadcast_to(grey.round(), (*grey.shape[:2], 3)).astype(np.uint8))


def scenes(count: int) -> Iterator[Item]:
    """Yield drawn scenes of a known deciding mark, at the last layer and at the one for "why"."""
    last, early = demo("layer4"), demo("layer1")
    for subject in marked(CLASSIFIER, count):
        thing, inside = subject.thing, box_of(subject.thing.box, subject.thing.mask.shape)
        why = thing.cause, inside
        tensor = subject.evidence.tensor.detach()
        yield Item(last, tensor, thing.index, {"object": (thing.mask, None), "mark": why})
        yield Item(early, tensor, thing.index, {"mark (early layer)": why})


def marked(model: str, count: int) -> Iterator[Any]:
    """Yield objects in drawn scenes of which the model needs a mark that is a part of them."""
    labels, engine = labels_of(*PARTLY), loaded(model)
    labelled = (of for of in subjects(model, range(20 * count + 20), ()) if of.thing.label in labels)
    yield from (
        subject for _, subject in zip(range(count), (of for of in labelled if is_cause(engine, of)), strict=False)
    )


def boxes(count: int) -> Iterator[Item]:
    """Yield boxes of a detector, each as a network that answers for it alone (ODExAI, arXiv 2504.19249)."""
    adapter = deepcopy(loaded(DETECTOR).adapter)
    adapter.module.requires_grad_(True)
    for subject in marked(DETECTOR, count):
        thing, tensor = subject.thing, subject.evidence.tensor.detach()
        module, mask = OneBox(adapter, subject.prediction.anchor).eval(), np.zeros_like(thing.mask)
        inside = box_of(thing.box, mask.shape)
        mask[inside] = True
        more = partial(faithfulness, adapter, tensor, torch.tensor([subject.prediction.box]), thing.index)
        # It uses one pooling three times over.
        without = (("captum", "DeepLift"),)
        neck, early = Network(module, "net.model.15.cv2"), Network(module, "net.model.4.cv2")
        yield Item(neck, tensor, thing.index, {"box": (mask, None)}, more=more, without=without)
        yield Item(early, tensor, thing.index, {"mark in a box": (thing.cause, inside)}, without=without)


STEPS = 10
"""Equal shares of the pixels that are deleted, or inserted, one after another."""


@torch.no_grad()
def faithfulness(adapter: Any, tensor: Tensor, box: Tensor, index: int, values: Map | None) -> dict[str, float]:
    """Return the areas under the box's score while its hottest pixels are deleted, and inserted, and the difference.

    The score is the greatest product of a candidate's overlap with the box and its score for the class. Deleted pixels
    are black, those not yet inserted blurred; equally hot ones come in an order drawn once.
    """
    size = tensor[0, 0].numel()
    heat = np.zeros(size) if values is None else values.reshape(-1) / max(float(values.max()), 1e-9)
    order = np.lexsort((np.random.default_rng(SEED).permutation(size), -heat.round(5)))
    place = np.empty(size, int)
    place[order] = np.arange(size)
    ranks = torch.from_numpy(place).reshape(tensor.shape[2:])
    hot = torch.stack([ranks < size * step // STEPS for step in range(STEPS + 1)])[:, None]
    blurred = torch.from_numpy(cv2.GaussianBlur(tensor[0].permute(1, 2, 0).numpy(), (15, 15), 0)).permute(2, 0, 1)
    areas = []
    for shown in (torch.where(hot, 0, tensor), torch.where(hot, tensor, blurred)):
        answers = adapter.run(shown)
        scores = torch.stack([box_iou(box, found)[0] for found in answers.boxes]) * answers.scores[:, index]
        areas.append(float(torch.trapezoid(scores.amax(1)) / STEPS))
    return {"deletion": areas[0], "insertion": areas[1], "overall": areas[1] - areas[0]}


def grid(count: int) -> Iterator[Item]:
    """Yield four scenes in a grid, for a network whose head sees one cell alone (DiFull, CVPR 2022)."""
    networks = [Network(Disconnected(cell).eval(), "whole") for cell in range(4)]
    drawn = list(marked(CLASSIFIER, 4 * count))
    for number in range(count):
        cells, head = drawn[4 * number : 4 * number + 4], number % 4
        tensors = [of.evidence.tensor.detach() for of in cells]
        picture = torch.cat([torch.cat(tensors[row : row + 2], 3) for row in (0, 2)], 2)
        side, (row, column) = tensors[0].shape[-1], divmod(head, 2)
        mask = np.zeros((2 * side, 2 * side), np.bool_)
        mask[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
        yield Item(networks[head], picture, cells[head].thing.index, {"cell": (mask, None)})


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
            if _answer(network, tensor) == 1:
                done += 1
                yield Item(network, tensor, 1, {"pattern": (mask, None)}, rule)


@torch.no_grad()
def _answer(network: Network, picture: Tensor) -> int:
    return int(network.module(picture).argmax())


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
            if _answer(network, bare) == label and _answer(network, tensor) == 0:
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
                if _answer(network, tensor) == label:
                    done += 1
                    yield Item(network, tensor, label, {f"tetromino {size}": (mask, None)}, rule)


PROTOCOLS: dict[str, tuple[Callable[[int], Iterator[Item]], int]] = {
    "scenes": (scenes, 56),
    "boxes": (boxes, 28),
    "grid": (grid, 24),
    "handmade": (handmade, 12),
    "parts": (parts, 40),
    "triggers": (triggers, 24),
    "tetrominoes": (partial(tetrominoes, 1), 12),
    "large tetrominoes": (partial(tetrominoes, 8), 12),
}
"""What draws pictures, and how many of each kind it draws in a whole run."""
