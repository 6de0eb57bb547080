"""Measure the maps of demo-reid.

The cause is known to the pixel: twins wear the same but for one garment, so the evidence for a person and against the
twin can only be there. Maps here are plain autograd; `explain` must find the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from sightglass.models.adapters.attention import record_attention
from training.demo import person_scenes
from training.reid import CONFIG, as_input

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.families.promptsg.network import PromptSG
    from training.demo.person_scenes import Figure

    Maps = dict[str, NDArray[np.float32]]

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
        cause, clothes = figure.garments[garment], np.any(list(figure.garments.values()), axis=0)
        maps, margin = maps_of(net, figure, person)
        if margin <= 0 or not cause.any():
            continue
        changed = person_scenes.draw(person_scenes.wearing(spec, garment, person_scenes.outfit(other)))
        with torch.no_grad():
            logits = net(as_input(changed.pixels[None])).logits[0]
        flips.append(bool(logits[other] > logits[person]))
        near = cv2.dilate(cause.astype(np.uint8), np.ones((CONFIG.patch + 1, CONFIG.patch + 1), np.uint8)) > 0
        for name, heat in (maps | baselines(figure)).items():
            total = float(heat.sum()) or 1.0
            shares = float(heat[cause].sum()) / total, float(heat[clothes].sum()) / total
            rows.setdefault(name, []).append((float(near.flat[heat.argmax()]), *shares))
    means = {
        name: dict(zip(("hit", "energy", "clothes"), np.mean(each, 0).round(3).tolist(), strict=True))
        for name, each in rows.items()
    }
    told = len(flips)
    return {"pictures": persons, "told_from_twin": told, "flips": round(sum(flips) / max(told, 1), 3), **means}


def maps_of(net: PromptSG, figure: Figure, person: int) -> tuple[Maps, float]:
    """Return GradCAM at PLACES, the cross-attention, and the twin margin."""
    outputs: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            return outputs.setdefault(name, output if output.requires_grad else output.requires_grad_())

        return hook

    hooks = [net.get_submodule(path).register_forward_hook(record(name)) for name, path in PLACES.items()]
    weights: dict[str, Tensor] = {}
    logits = net(as_input(figure.pixels[None])).logits[0]
    for hook in hooks:
        hook.remove()
    with torch.no_grad(), record_attention(net, weights.setdefault):
        net(as_input(figure.pixels[None]))
    margin = logits[person] - logits[person_scenes.twin(person)]
    gradients = torch.autograd.grad(margin, list(outputs.values()))
    patches = CONFIG.grid[0] * CONFIG.grid[1]
    cells = {
        name: (tokens[0, -patches:] @ gradient[0, -patches:].mean(0)).clamp_min(0).detach()
        for (name, tokens), gradient in zip(outputs.items(), gradients, strict=True)
    }
    cells["attention"] = weights["mim.cross_attention"][0].mean(0)[0]
    return {name: enlarged(values) for name, values in cells.items()}, margin.item()


def enlarged(cells: Tensor) -> NDArray[np.float32]:
    heat = cells.reshape(CONFIG.grid).float().numpy()
    return np.asarray(cv2.resize(heat, person_scenes.SIZE[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def baselines(figure: Figure) -> Maps:
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
