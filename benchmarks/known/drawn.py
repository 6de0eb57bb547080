"""Draw a token, objects, a background or a large region that decide the class.

A picture is drawn from a seed for what its variants share, a label for the part that decides, and a number for what
says nothing. With another label a network must answer that label, with another number the same: so the part is the
cause, in this picture and for this network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from benchmarks.known.architectures import ARCHITECTURES, CLASSES, SIDE
from benchmarks.known.items import Item
from benchmarks.known.networks import trained
from benchmarks.timing import SEED

if TYPE_CHECKING:
    from benchmarks.known.contenders import Network
    from benchmarks.known.items import Picture
    from benchmarks.truth.measures import Mask

    Draw = Callable[[int, int, int], tuple[Picture, Mask]]
    Colour = tuple[float, ...]

SHAPE = (SIDE, SIDE)
TOKENS = np.array(
    [
        [[cell == "#" for cell in row] for row in rows]
        for rows in (
            ("..#..", "..#..", "#####", "..#..", "..#.."),
            ("#...#", ".#.#.", "..#..", ".#.#.", "#...#"),
            ("#####", "..#..", "..#..", "..#..", "..#.."),
            ("#....", "#....", "#....", "#....", "#####"),
        )
    ]
)
"""One of each class, of 5 x 5 pixels; all have nine bright ones."""
ROWS, COLUMNS = np.indices(SHAPE, np.float32)
WITHOUT = {"transformer": (("captum", "LayerGradCam"), ("captum", "GuidedGradCam"))}
"""Methods that take no tokens for a map."""


def two_colours(rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Return two colours (3,) of which the first is darker in each channel."""
    dark = rng.uniform(0.1, 0.35, 3).astype(np.float32)
    return dark, dark + rng.uniform(0.2, 0.35, 3).astype(np.float32)


def mixed(weight: Picture, rng: np.random.Generator) -> Picture:
    """Return two random colours mixed by a weight (H, W), with noise, (H, W, 3)."""
    dark, light = two_colours(rng)
    picture = dark + weight[..., None] * (light - dark)
    return picture + 0.03 * rng.standard_normal(picture.shape, np.float32)


def stripes(label: int, rng: np.random.Generator) -> Picture:
    """Return stripes (H, W, 3) whose direction is the class."""
    angle = np.pi * label / CLASSES
    along = COLUMNS * np.cos(angle) + ROWS * np.sin(angle)
    wave = np.sin(2 * np.pi * along / rng.uniform(5, 8) + rng.uniform(0, 2 * np.pi))
    return mixed((0.5 + 0.5 * wave).astype(np.float32), rng)


def grains(rng: np.random.Generator) -> Picture:
    """Return smoothed noise (H, W, 3) as coarse as the stripes, of no direction."""
    noise = cv2.GaussianBlur(rng.standard_normal(SHAPE, np.float32), (0, 0), 1.4)
    return mixed(np.clip(0.5 + noise / noise.std() / 3, 0, 1), rng)


def figure(label: int, middle: Sequence[float], radius: float) -> Mask:
    """Return the pixels (H, W) of a disc, square, triangle or cross."""
    y, x = ROWS - middle[0], COLUMNS - middle[1]
    far, near = np.maximum(abs(x), abs(y)), np.minimum(abs(x), abs(y))
    inside = (
        np.hypot(y, x) <= radius,
        far <= 0.9 * radius,
        (y <= 0.8 * radius) & (y >= 2 * abs(x) - radius),
        (far <= radius) & (near <= 0.35 * radius),
    )
    return inside[label]


def token(seed: int, label: int, spare: int) -> tuple[Picture, Mask]:
    """Return stripes of any direction with a small token on them: the token decides."""
    shared, other = np.random.default_rng(seed), np.random.default_rng([seed, spare])
    picture, mask = stripes(int(other.integers(CLASSES)), other), np.zeros(SHAPE, np.bool_)
    y, x = shared.integers(0, SIDE - 5, 2)
    mask[y : y + 5, x : x + 5] = True
    picture[y : y + 5, x : x + 5] = np.where(TOKENS[label][..., None], shared.uniform(0.7, 1, 3), 0.05)
    return picture, mask


def background(seed: int, label: int, spare: int) -> tuple[Picture, Mask]:
    """Return stripes with a large bright object on them: all but the object decides."""
    shared, other = np.random.default_rng(seed), np.random.default_rng([seed, spare])
    picture, middle, radius = stripes(label, shared), shared.uniform(16, 32, 2).tolist(), shared.uniform(12, 15)
    thing = figure(int(other.integers(4)), middle, radius)
    picture[thing] = other.permutation([1.0, other.uniform(0.5, 1), other.uniform(0, 0.4)])
    return picture, ~thing


def region(seed: int, label: int, spare: int) -> tuple[Picture, Mask]:
    """Return a large ellipse of stripes amid noise: the ellipse decides."""
    shared, other = np.random.default_rng(seed), np.random.default_rng([seed, spare])
    mask = ellipse(shared)
    while not 0.25 <= mask.mean() <= 0.5:
        mask = ellipse(shared)
    return np.where(mask[..., None], stripes(label, shared), grains(other)), mask


def ellipse(rng: np.random.Generator) -> Mask:
    """Return the pixels (H, W) of an ellipse that may reach beyond the picture."""
    (y, x), radii = rng.uniform(0, SIDE, 2), rng.uniform(14, 26, 2)
    return np.asarray(np.hypot((ROWS - y) / radii[0], (COLUMNS - x) / radii[1]) <= 1)


DRAWN: dict[str, Draw] = {"token": token, "background": background, "region": region}
"""By column what draws its pictures."""


def labelled(draw: Draw, rng: np.random.Generator) -> tuple[Picture, int]:
    """Return a random picture (3, H, W) and its class."""
    label = int(rng.integers(CLASSES))
    return channels_first(draw(int(rng.integers(2**31)), label, 0)[0]), label


def channels_first(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture.transpose(2, 0, 1).astype(np.float32))


@torch.no_grad()
def logits_of(network: Network, pictures: Sequence[Picture]) -> torch.Tensor:
    """Return the logits (B, K) of pictures (H, W, 3)."""
    logits: torch.Tensor = network.module(torch.from_numpy(np.stack([channels_first(of) for of in pictures])))
    return logits


def decides(network: Network, draw: Draw, seed: int, label: int) -> bool:
    """Return whether the answer follows the part that decides, and nothing else."""
    variants = [*((of, 0) for of in range(CLASSES)), (label, 1), (label, 2)]
    logits = logits_of(network, [draw(seed, *variant)[0] for variant in variants])
    return logits.argmax(1).tolist() == [of for of, _ in variants]


def drawn(column: str, count: int) -> Iterator[Item]:
    """Yield pictures of a column, as many for each architecture."""
    draw = DRAWN[column]
    for number, architecture in enumerate(ARCHITECTURES):
        network = trained(f"{column} {architecture}", partial(labelled, draw), architecture)
        rng, done = np.random.default_rng([SEED, number]), 0
        while done < count:
            seed, label = int(rng.integers(2**31)), int(rng.integers(CLASSES))
            if decides(network, draw, seed, label):
                done += 1
                picture, mask = draw(seed, label, 0)
                yield item(network, picture, label, column, mask, architecture)


def item(network: Network, picture: Picture, label: int, column: str, mask: Mask, architecture: str) -> Item:
    tensor, without = torch.from_numpy(channels_first(picture))[None], WITHOUT.get(architecture, ())
    return Item(network, tensor, label, {column: (mask, None)}, architecture, without=without)


def pair(seed: int, labels: Sequence[int], shown: Sequence[int] = (0, 1)) -> tuple[Picture, list[Mask]]:
    """Return one or two objects on noise, and the pixels of each."""
    rng = np.random.default_rng(seed)
    picture, turned = grains(rng), bool(rng.integers(2))
    masks = []
    for place, label in enumerate(labels):
        radius = float(rng.uniform(6, 9))
        across = rng.uniform(radius, SIDE / 2 - radius) + place * SIDE / 2
        middle = across, rng.uniform(radius, SIDE - radius)
        mask = figure(label, middle[::-1] if turned else middle, radius)
        colour = rng.uniform(0.6, 1, 3)
        masks.append(mask)
        if place in shown:
            picture[mask] = colour
    return picture, masks


def of_two(rng: np.random.Generator) -> tuple[Picture, int]:
    """Return a picture (3, H, W) of one or two objects, and one's class."""
    labels, seed, kept = rng.permutation(CLASSES)[:2].tolist(), int(rng.integers(2**31)), int(rng.integers(2))
    shown = (0, 1) if rng.random() < 0.5 else (kept,)
    return channels_first(pair(seed, labels, shown)[0]), labels[kept]


def both_decide(network: Network, seed: int, labels: list[int]) -> bool:
    """Return whether two objects are the best answers, each alone the best."""
    logits = logits_of(network, [pair(seed, labels, shown)[0] for shown in ((0, 1), (0,), (1,))])
    return {*logits[0].topk(2).indices.tolist()} == {*labels} and logits[1:].argmax(1).tolist() == labels


def pairs(count: int) -> Iterator[Item]:
    """Yield two objects, each explained in turn; its cause is the object."""
    for number, architecture in enumerate(ARCHITECTURES):
        network = trained(f"two objects {architecture}", of_two, architecture)
        rng, done = np.random.default_rng([SEED, number]), 0
        while done < count:
            seed, labels = int(rng.integers(2**31)), rng.permutation(CLASSES)[:2].tolist()
            if both_decide(network, seed, labels):
                done += 1
                picture, masks = pair(seed, labels)
                for label, mask in zip(labels, masks, strict=True):
                    yield item(network, picture, label, "two objects", mask, architecture)
