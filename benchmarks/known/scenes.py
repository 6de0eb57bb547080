"""Take drawn scenes of which it is known what decides the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torchvision.ops import box_iou

from benchmarks.known.contenders import Network
from benchmarks.known.items import Item
from benchmarks.known.networks import Disconnected, OneBox, demo
from benchmarks.timing import SEED
from benchmarks.truth.measures import box_of
from benchmarks.truth.scenes import PARTLY, is_cause, labels_of, loaded, subjects
from sightglass.explain.tasks.detect import SAME

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.truth.measures import Map, Mask

CLASSIFIER, DETECTOR = "demo-cls-m", "demo-m"
NECK = "net.model.15.cv2"
"""The detector's last layer of its finest maps."""
TWICE = (("captum", "DeepLift"),)
"""It takes no network that uses a module twice, as the detector does its pooling."""
FIRST_SCENE = 5000
"""Of the grids; those before are single pictures of other columns."""
FOUND = 0.25
"""The least score of a box that counts as found."""
GREY = 0.5
"""What stands in place of a cell that is removed."""


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


def detector() -> Any:
    """Return a copy of the detector whose weights have gradients, as some libraries need."""
    adapter = deepcopy(loaded(DETECTOR).adapter)
    adapter.module.requires_grad_(True)
    return adapter


def boxes(count: int) -> Iterator[Item]:
    """Yield boxes of a detector, each as a network that answers for it alone (ODExAI, arXiv 2504.19249)."""
    adapter = detector()
    for subject in marked(DETECTOR, count):
        thing, tensor = subject.thing, subject.evidence.tensor.detach()
        module, mask = OneBox(adapter, subject.prediction.anchor).eval(), np.zeros_like(thing.mask)
        inside = box_of(thing.box, mask.shape)
        mask[inside] = True
        more = partial(faithfulness, adapter, tensor, torch.tensor([subject.prediction.box]), thing.index)
        neck, early = Network(module, NECK), Network(module, "net.model.4.cv2")
        yield Item(neck, tensor, thing.index, {"box": (mask, None)}, more=more, without=TWICE)
        yield Item(early, tensor, thing.index, {"mark in a box": (thing.cause, inside)}, without=TWICE)


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
        mask = cell_mask(head, tensors[0].shape[-1])
        yield Item(networks[head], in_grid(tensors), cells[head].thing.index, {"cell": (mask, None)})


def in_grid(cells: Sequence[Tensor]) -> Tensor:
    """Return four pictures (1, C, H, W) as one of twice the sides."""
    return torch.cat([torch.cat([*cells[row : row + 2]], 3) for row in (0, 2)], 2)


def cell_mask(cell: int, side: int) -> Mask:
    """Return the pixels of one of four cells, each of `side` by `side`."""
    mask, (row, column) = np.zeros((2 * side, 2 * side), np.bool_), divmod(cell, 2)
    mask[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
    return mask


def boxes_in_grids(count: int) -> Iterator[Item]:
    """Yield four scenes in a grid, for a network that answers for one box."""
    adapter, done, found = detector(), 0, subjects(DETECTOR, range(FIRST_SCENE, 2 * FIRST_SCENE), ())
    while done < count:
        item = box_in_grid(adapter, [next(found) for _ in range(4)], done % 4)
        if item is not None:
            done += 1
            yield item


def box_in_grid(adapter: Any, cells: Sequence[Any], place: int) -> Item | None:
    """Return a box that is found by its cell alone, and not without it.

    None where it is not so, or where another cell has an object of its class.
    """
    thing, others = cells[place].thing, [*cells[:place], *cells[place + 1 :]]
    if any(other.label == thing.label for of in others for other in of.scene.objects):
        return None
    tensors = [of.evidence.tensor.detach() for of in cells]
    picture, side = in_grid(tensors), tensors[0].shape[-1]
    mask, (row, column) = cell_mask(place, side), divmod(place, 2)
    box = torch.tensor(thing.box) + side * torch.tensor([column, row, column, row])
    inside = torch.from_numpy(mask)
    alone, without = torch.where(inside, picture, GREY), torch.where(inside, GREY, picture)
    anchor = find(adapter, picture, box, thing.index)
    known = find(adapter, alone, box, thing.index) is not None and find(adapter, without, box, thing.index) is None
    if anchor is None or not known:
        return None
    network = Network(OneBox(adapter, anchor).eval(), NECK)
    return Item(network, picture, thing.index, {"box's cell": (mask, None)}, without=TWICE)


@torch.no_grad()
def find(adapter: Any, picture: Tensor, box: Tensor, index: int) -> int | None:
    """Return the candidate that finds an object at a box, if any."""
    answers = adapter.run(picture)
    here = box_iou(box[None].float(), answers.boxes[0])[0] >= SAME
    scores = answers.scores[0]
    anchor = int((scores[index] * here).argmax())
    right = scores[index, anchor] >= FOUND and bool(here[anchor]) and int(scores[:, anchor].argmax()) == index
    return anchor if right else None
