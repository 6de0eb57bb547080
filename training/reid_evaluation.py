"""Evaluate demo-reid on unseen persons.

The cause is known to the pixel: twins wear the same but for one garment, so the evidence for a person and against the
twin can only be there. Maps here are plain autograd; `explain` must find the same.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from sightglass.models.adapters.attention import record_attention
from sightglass.models.families.demo.nets import WEIGHTS, fill
from sightglass.models.families.promptsg.network import Config, PromptSG
from training.demo import person_scenes
from training.pool import in_processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from training.demo.person_scenes import Mask

NAME = "demo-reid"
PERSONS = 300
"""Persons in training: 150 pairs of twins."""
CONFIG = Config(
    size=person_scenes.SIZE,
    patch=8,
    stride=8,
    width=96,
    layers=3,
    heads=4,
    embed=96,
    text_width=96,
    text_layers=1,
    text_heads=4,
    context=9,
    mim_heads=8,
    mim_layers=2,
    classes=PERSONS,
)


def trained(folder: Path = WEIGHTS) -> PromptSG:
    """Return the packaged network; raise WeightsProblem if the file misfits."""
    return fill(PromptSG(CONFIG), folder / f"{NAME}.safetensors")


def pictures(
    persons: Sequence[int], numbers: Sequence[int], *, held_out: bool = False, processes: int = 1
) -> NDArray[np.uint8]:
    """Return (persons, numbers, 96, 48, 4): each person's pictures of those numbers.

    The fourth channel has the place in GARMENTS, from 1, of the garment that is visible there, or 0.
    """
    return np.stack(in_processes(partial(_pictures_of, tuple(numbers), held_out), persons, processes, chunksize=8))


def _pictures_of(numbers: tuple[int, ...], held_out: bool, person: int) -> NDArray[np.uint8]:
    return np.stack([_layered(person_scenes.draw(person_scenes.sample(person, n, held_out=held_out))) for n in numbers])


def _layered(figure: person_scenes.Figure) -> NDArray[np.uint8]:
    worn = np.zeros(person_scenes.SIZE, np.uint8)
    for number, name in enumerate(person_scenes.GARMENTS, 1):
        worn[figure.garments[name]] = number
    return np.dstack([figure.pixels, worn])


def as_input(pixels: NDArray[np.uint8] | Tensor) -> Tensor:
    """Convert uint8 (B, 96, 48, 3) to the network's input."""
    tensor = torch.as_tensor(pixels)
    return tensor[..., :3].permute(0, 3, 1, 2).float() / 127.5 - 1


def embedded(net: PromptSG, pixels: NDArray[np.uint8]) -> Tensor:
    """Return vectors (B, embed) on the CPU, of length 1."""
    place = next(net.parameters()).device
    with torch.no_grad():
        rows = [net(as_input(part).to(place)).embedding.cpu() for part in np.array_split(pixels, -(-len(pixels) // 64))]
    return functional.normalize(torch.cat(rows))


def strips(pixels: NDArray[np.uint8]) -> Tensor:
    """Return the baseline: normalised mean colours of 16 strips, (B, 48)."""
    middle = pixels[:, :, 12:36, :3].reshape(len(pixels), 16, 6, 24, 3).mean((2, 3)).reshape(len(pixels), -1)
    rows = torch.from_numpy(middle).float()
    return functional.normalize(rows - rows.mean(0))


def retrieval(rows: Tensor, persons: int, queries: int) -> dict[str, float]:
    """Return rank-1 and mAP; the first `queries` pictures are queries.

    The others are the gallery. `twin_first`: how often the twin ranks first; twins 2k and 2k + 1 are neighbours.
    """
    each = len(rows) // persons
    who = torch.arange(persons).repeat_interleave(each)
    asks = (torch.arange(each) < queries).repeat(persons)
    order = (rows[asks] @ rows[~asks].T).argsort(1, descending=True)
    ranked = who[~asks][order]
    right = ranked == who[asks][:, None]
    ranks = torch.arange(1, right.shape[1] + 1)
    precision = (right.cumsum(1) / ranks * right).sum(1) / right.sum(1)
    twins = ranked[:, 0] == who[asks] ^ 1
    return {
        "rank1": round(right[:, 0].float().mean().item(), 4),
        "mAP": round(precision.mean().item(), 4),
        "twin_first": round(twins.float().mean().item(), 4),
    }


def retrieval_metrics(net: PromptSG, *, persons: int = 200, processes: int = 1) -> dict[str, Any]:
    """Return retrieval on held-out persons and accuracy on trained ones."""
    numbers = range(person_scenes.HELD_OUT, person_scenes.HELD_OUT + persons)
    new = pictures(numbers, range(6), held_out=True, processes=processes).reshape(-1, *person_scenes.SIZE, 4)
    known = pictures(range(persons), range(2), held_out=True, processes=processes).reshape(-1, *person_scenes.SIZE, 4)
    place = next(net.parameters()).device
    with torch.no_grad():
        called = torch.cat([net(as_input(part).to(place)).logits.argmax(1).cpu() for part in np.array_split(known, 8)])
    right = called == torch.arange(persons).repeat_interleave(2)
    return {
        "held_out_persons": persons,
        **retrieval(embedded(net, new), persons, 2),
        "colour_strips": retrieval(strips(new), persons, 2),
        "accuracy": round(right.float().mean().item(), 4),
    }


PLACES = {
    "mim": "mim.cross_attention.weighed",
    "vit_proj": "image_encoder.projected",
    "vit_last": f"image_encoder.transformer.resblocks.{CONFIG.layers - 1}",
}


def map_metrics(net: PromptSG, *, persons: int = 200) -> dict[str, Any]:
    """Measure the maps of correctly told persons on new pictures.

    `hit`: the hottest place is on the one garment that differs, or at most half a patch beside it. `energy`: share of
    the heat on that garment; `clothes` on all five. Maps are GradCAM of the difference of the two logits (why this
    person and not the twin) at three places, the cross-attention, which has no target, and baselines without a model.
    `flips`: how often the same picture with the twin's garment is classified as the twin.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {}
    flips = []
    for person in range(persons):
        garment, spec = person_scenes.differs(person), person_scenes.sample(person, 7, held_out=True)
        figure, other = person_scenes.draw(spec), person_scenes.twin(person)
        cause = figure.garments[garment]
        maps, margin = _maps(net, figure, person)
        if margin <= 0 or not cause.any():
            continue
        changed = person_scenes.draw(person_scenes.wearing(spec, garment, person_scenes.outfit(other)))
        with torch.no_grad():
            logits = net(as_input(changed.pixels[None])).logits[0]
        flips.append(bool(logits[other] > logits[person]))
        clothes = np.any(list(figure.garments.values()), axis=0)
        for name, heat in (maps | _baselines(figure)).items():
            rows.setdefault(name, []).append(_measures(heat, cause, clothes))
    means = {
        name: dict(zip(("hit", "energy", "clothes"), (round(float(v), 3) for v in np.mean(each, 0)), strict=True))
        for name, each in rows.items()
    }
    return {
        "pictures": persons,
        "told_from_twin": len(flips),
        "flips": round(sum(flips) / max(len(flips), 1), 3),
        **means,
    }


def _maps(net: PromptSG, figure: person_scenes.Figure, person: int) -> tuple[dict[str, NDArray[np.float32]], float]:
    """Return GradCAM at PLACES, the cross-attention, and the twin margin."""
    outputs: dict[str, Tensor] = {}

    with ExitStack() as hooks:
        for name, path in PLACES.items():

            def keep(_module: Any, _inputs: Any, output: Tensor, name: str = name) -> Tensor:
                return outputs.setdefault(name, output if output.requires_grad else output.requires_grad_())

            hooks.enter_context(net.get_submodule(path).register_forward_hook(keep))
        logits = net(as_input(figure.pixels[None])).logits[0]
    margin = logits[person] - logits[person_scenes.twin(person)]
    gradients = torch.autograd.grad(margin, list(outputs.values()))
    patches = CONFIG.grid[0] * CONFIG.grid[1]
    maps = {
        name: _enlarged((tokens[0, -patches:] @ gradient[0, -patches:].mean(0)).clamp_min(0))
        for (name, tokens), gradient in zip(outputs.items(), gradients, strict=True)
    }
    return maps | {"attention": _enlarged(_attention(net, figure))}, margin.item()


def _attention(net: PromptSG, figure: person_scenes.Figure) -> Tensor:
    """Return the weights (h*w,) of the cross-attention, mean over heads."""
    weights: dict[str, Tensor] = {}
    with torch.no_grad(), record_attention(net, weights.setdefault):
        net(as_input(figure.pixels[None]))
    return weights["mim.cross_attention"][0].mean(0)[0]


def _enlarged(cells: Tensor) -> NDArray[np.float32]:
    heat = cells.detach().reshape(CONFIG.grid).float().numpy()
    return np.asarray(cv2.resize(heat, person_scenes.SIZE[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _baselines(figure: person_scenes.Figure) -> dict[str, NDArray[np.float32]]:
    """Return maps without a model: a blot, edges, and the outfit."""
    height, width = person_scenes.SIZE
    y, x = np.mgrid[:height, :width]
    middle = np.exp(-(((y - height / 2) / (height / 4)) ** 2 + ((x - width / 2) / (width / 4)) ** 2) / 2)
    grey = cv2.GaussianBlur(cv2.cvtColor(figure.pixels, cv2.COLOR_RGB2GRAY), (0, 0), 2).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    worn = np.any(list(figure.garments.values()), axis=0)
    # Smoothed, so that its hottest place is where most is worn and not the first pixel of all.
    blot = cv2.GaussianBlur(worn.astype(np.float32), (0, 0), 4)
    return {"centre": middle.astype(np.float32), "edges": edges, "worn": np.asarray(blot, np.float32)}


def _measures(heat: NDArray[np.float32], cause: Mask, clothes: Mask) -> tuple[float, float, float]:
    total = float(heat.sum()) or 1.0
    near = cv2.dilate(cause.astype(np.uint8), np.ones((CONFIG.patch + 1, CONFIG.patch + 1), np.uint8)) > 0
    hottest = np.unravel_index(int(heat.argmax()), heat.shape)
    return float(near[hottest]), float(heat[cause].sum()) / total, float(heat[clothes].sum()) / total
