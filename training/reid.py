"""Train demo-reid on drawn persons.

A PromptSG (`models.families.promptsg.network`) trained from scratch, as there is no small CLIP to start from. Instead
of CLIP's knowledge of clothes, training supervises which garment each patch shows and the colour of each garment
(through layers that are discarded afterwards), and its text encoder is trained too, where the paper freezes CLIP's.
The other losses are the paper's: identity, triplets, and the symmetric contrast between pictures and sentences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import label_ranking_average_precision_score
from torch import Tensor, nn
from torch.nn import functional

from sightglass.models.adapters.attention import record_attention
from sightglass.models.families.promptsg.network import Config, PromptSG
from training.demo import person_scenes
from training.demo.person_scenes import Figure
from training.loop import Metrics, Pool, Sample, Task, parts

Maps = dict[str, NDArray[np.float32]]
ONLY_DRAWN = "Trained on drawn people only: its answers about photographs mean nothing."
PERSONS = 300
"""Persons in training: 150 pairs of twins."""
EACH = 4
"""Pictures of each person in a batch."""
MARGIN, TEMPERATURE = 0.3, 0.1
"""Distance in the triplet loss, and divisor of the cosines in the contrastive loss."""
CONFIG = Config(
    size=person_scenes.SIZE, patch=8, stride=8, width=96, layers=3, heads=4, embed=96, text_width=96, text_layers=1,
    text_heads=4, context=9, mim_heads=8, mim_layers=2, classes=PERSONS,
)  # fmt: skip
OUTFIT = (*[len(person_scenes.COLOURS)] * 6, len(person_scenes.PATTERNS), len(person_scenes.LEGS))
"""Number of classes of each part of an outfit: colours of hat, top, ink, legs, shoes, bag; pattern and cut.
`WORN`: which of them are the colours of GARMENTS."""
WORN = [0, 1, 3, 4, 5]
GARMENT_KINDS = len(person_scenes.GARMENTS) + 1
"""What a patch may show: no garment, or one of them."""


def draw(person: int, picture: int, *, held_out: bool = False) -> NDArray[np.uint8]:
    """Draw a person, (96, 48, 4).

    The fourth channel has the place in GARMENTS, from 1, of the garment that is visible there, or 0.
    """
    figure = person_scenes.draw(person_scenes.sample(person, picture, held_out=held_out))
    worn = np.zeros(person_scenes.SIZE, np.uint8)
    for number, name in enumerate(person_scenes.GARMENTS, 1):
        worn[figure.garments[name]] = number
    return np.dstack([figure.pixels, worn])


def as_input(pixels: NDArray[np.uint8] | Tensor) -> Tensor:
    """Convert uint8 (B, 96, 48, 3) to the network's input."""
    return torch.as_tensor(pixels)[..., :3].permute(0, 3, 1, 2).float() / 127.5 - 1


def augment(x: Tensor) -> tuple[Tensor, Tensor]:
    """Shift, mirror, light and erase a batch (B, 4, h, w) at random.

    Returns the pictures, and the garment that each patch of 8 pixels mostly shows, (B, h*w / 64).
    """
    count, _, h, w = x.shape
    pad = 4
    x = torch.where(torch.rand(count, 1, 1, 1) < 0.5, x.flip(3), x)
    x = functional.pad(x, (pad,) * 4, mode="replicate")
    down, across = (torch.randint(0, 2 * pad + 1, (count,)).tolist() for _ in "yx")
    shifts = zip(x, down, across, strict=True)
    x = torch.stack([picture[:, top : top + h, left : left + w] for picture, top, left in shifts])
    x, garments = x[:, :3] / 127.5 - 1, x[:, 3].long()
    one_hot = functional.one_hot(garments, GARMENT_KINDS).permute(0, 3, 1, 2).float()
    patches = functional.avg_pool2d(one_hot, CONFIG.patch).argmax(1).flatten(1)
    light = 1 + (torch.rand(count, 3, 1, 1) - 0.5) * 0.12
    x = ((x + 1) * light - 1).clamp(-1, 1)
    # Random erasing: no single garment should suffice.
    side = torch.randint(8, 20, (count, 1, 1))
    top, left = ((torch.rand(count, 1, 1) * extent).int() for extent in (h, w))
    y, z = torch.arange(h)[None, :, None], torch.arange(w)[None, None, :]
    hidden = (y >= top) & (y < top + side) & (z >= left) & (z < left + side)
    hidden &= torch.rand(count, 1, 1) < 0.25
    return torch.where(hidden[:, None], torch.rand(count, 3, 1, 1) * 2 - 1, x), patches


def contrast(a: Tensor, b: Tensor, same: Tensor) -> Tensor:
    """Return the symmetric supervised contrastive loss (arXiv:2004.11362); `same`: one person."""
    scores = functional.normalize(a) @ functional.normalize(b).T / TEMPERATURE
    targets = same.float() / same.float().sum(1, keepdim=True)
    return -(targets * scores.log_softmax(1)).sum(1).mean() - (targets * scores.T.log_softmax(1)).sum(1).mean()


def triplets(rows: Tensor, same: Tensor) -> Tensor:
    """Return the batch-hard triplet loss (arXiv:1703.07737)."""
    apart = torch.cdist(rows, rows)
    far = apart.masked_fill(~same, 0).amax(1)
    near = apart.masked_fill(same, float("inf")).amin(1)
    return functional.relu(far - near + MARGIN).mean()


def position_sines() -> Tensor:
    """Return sines of patches' rows and columns, (1 + h*w, width)."""
    h, w = CONFIG.grid
    rates = torch.arange(1, CONFIG.width // 4 + 1) * (math.pi / 4)
    row, column = ((torch.arange(n) + 0.5)[:, None] / n * rates for n in (h, w))
    rows = torch.cat([row.sin(), row.cos()], 1)[:, None].expand(h, w, -1)
    columns = torch.cat([column.sin(), column.cos()], 1)[None].expand(h, w, -1)
    grid = torch.cat([rows, columns], 2).reshape(h * w, -1)
    return torch.cat([torch.zeros(1, CONFIG.width), grid]) * 0.4


def outfit_classes(persons: Iterable[int]) -> Tensor:
    """Return persons' `OUTFIT` classes, (persons, 8); -100: ignored ink."""
    rows = []
    for person in persons:
        outfit = person_scenes.outfit(person)
        ink = -100 if outfit.pattern == "plain" else outfit.ink
        kinds = [person_scenes.PATTERNS.index(outfit.pattern), person_scenes.LEGS.index(outfit.cut)]
        rows.append([outfit.hat, outfit.top, ink, outfit.legs, outfit.shoes, outfit.bag, *kinds])
    return torch.tensor(rows)


@dataclass
class Reid(Task):
    """A PromptSG, with layers for training that predict the outfit, and garment and colour of each patch."""

    def card(self) -> dict[str, Any]:
        return {
            "task": "classify",
            "data": {"kind": "figures", "size": list(person_scenes.SIZE), "persons": PERSONS},
            "net": {"config": {**asdict(CONFIG), "notes": [ONLY_DRAWN]}},
        }

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw pixels (96, 48, 4) and the person."""
        picture, person = divmod(number, PERSONS)
        return draw(person, picture, held_out=held_out), person

    def network(self) -> PromptSG:
        return PromptSG(CONFIG)

    def begin(self) -> nn.Module:
        net = self.network()
        outfit = nn.Linear(CONFIG.embed, sum(OUTFIT))
        patch = nn.Linear(CONFIG.embed, GARMENT_KINDS + len(person_scenes.COLOURS))
        with torch.no_grad():
            net.image_encoder.positional_embedding.copy_(position_sines())
        return nn.ModuleDict({"net": net, "outfit": outfit, "patch": patch})

    def rows(self, count: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield rows of pairs of twins, of each person `EACH` pictures."""
        while True:
            pair = torch.randperm(PERSONS // 2)[: self.recipe.batch // (2 * EACH)]
            who = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().repeat_interleave(EACH)
            yield (who + PERSONS * torch.randint(0, count // PERSONS, (len(who),))).numpy()

    def rate(self, step: int, steps: int) -> float:
        warm = min(1, (step + 1) / 150)
        return self.recipe.rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)

    def loss(self, net: Any, batch: Pool) -> Tensor:
        drawn, persons = zip(*batch, strict=True)
        who, outfits = torch.tensor(persons), outfit_classes(persons)
        pixels, patches = augment(torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float())
        tokens: list[Tensor] = []
        encoder = net["net"].image_encoder.projected
        with encoder.register_forward_hook(lambda _module, _inputs, output: tokens.append(output)):
            out = net["net"](pixels)
        same = who[:, None] == who[None]
        loss = functional.cross_entropy(out.logits, who, label_smoothing=0.1)
        loss = loss + triplets(out.feature, same) + 0.5 * contrast(out.text, out.image, same)
        outfit_losses = [
            functional.cross_entropy(logits, labels)
            for rows in (out.image, out.feature)
            for logits, labels in zip(net["outfit"](rows).split(OUTFIT, 1), outfits.unbind(1), strict=True)
        ]
        garments, colours = net["patch"](tokens[0][:, 1:]).tensor_split([GARMENT_KINDS], 2)
        loss = loss + torch.stack(outfit_losses).nanmean() * 4
        loss = loss + functional.cross_entropy(garments.flatten(0, 1), patches.flatten())
        covered = patches > 0
        colour = outfits[:, WORN].gather(1, (patches - 1).clamp_min(0))[covered]
        return loss + functional.cross_entropy(colours[covered], colour)

    def end(self, average: Any, pool: Pool, generator: np.random.Generator) -> nn.Module:
        module: nn.Module = average["net"]
        return module

    def exam(self, net: Any, count: int) -> Metrics:
        """Return metrics of retrieval and maps on `count` held-out persons, and of accuracy on trained ones."""
        first = person_scenes.HELD_OUT
        new = np.stack([draw(first + i, n, held_out=True) for i in range(count) for n in range(6)])
        known = np.stack([draw(i, n, held_out=True) for i in range(count) for n in range(2)])
        with torch.no_grad():
            rows = torch.cat([net(as_input(part)).embedding for part in parts(new, 64)])
            called = torch.cat([net(as_input(part)).logits.argmax(1) for part in parts(known)])
        right = called == torch.arange(count).repeat_interleave(2)
        return {
            "held_out_persons": count,
            **retrieval(rows, count, 2),
            "colour_strips": retrieval(strips(new), count, 2),
            "accuracy": round(right.float().mean().item(), 4),
            "maps": map_metrics(net, persons=count),
        }


def strips(pixels: NDArray[np.uint8]) -> Tensor:
    """Return the baseline: centred mean colours of 16 strips, (B, 48)."""
    middle = pixels[:, :, 12:36, :3].reshape(len(pixels), 16, 6, 24, 3).mean((2, 3)).reshape(len(pixels), -1)
    rows = torch.from_numpy(middle).float()
    return rows - rows.mean(0)


def retrieval(rows: Tensor, persons: int, queries: int) -> dict[str, float]:
    """Return rank-1 and mAP; each person's first `queries` pictures are queries.

    The others are the gallery. `twin_first`: how often the twin ranks first; twins 2k and 2k + 1 are neighbours.
    """
    each = len(rows) // persons
    rows, who = functional.normalize(rows), torch.arange(persons).repeat_interleave(each)
    asks = (torch.arange(each) < queries).repeat(persons)
    scores = rows[asks] @ rows[~asks].T
    first, asked = who[~asks][scores.argmax(1)], who[asks]
    return {
        "rank1": round((first == asked).float().mean().item(), 4),
        "mAP": round(float(label_ranking_average_precision_score(asked[:, None] == who[~asks], scores)), 4),
        "twin_first": round((first == asked ^ 1).float().mean().item(), 4),
    }


def map_metrics(net: PromptSG, *, persons: int = 200) -> dict[str, Any]:
    """Measure the maps of correctly told persons on new pictures.

    `hit`: the hottest place is on the one garment that differs, or at most half a patch beside it. `energy`: share of
    the heat on that garment; `clothes` on all five. Maps are GradCAM of the difference of the two logits (why this
    person and not the twin) at `mim`, the cross-attention, which has no target, and baselines without a model.
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
    """Return GradCAM at the interaction, the cross-attention, and the twin margin."""
    outputs, weights = list[Tensor](), dict[str, Tensor]()
    x = as_input(figure.pixels[None]).requires_grad_()
    layer = net.get_submodule("mim.cross_attention.weighed")
    with layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output)):
        logits = net(x).logits[0]
    with torch.no_grad(), record_attention(net, weights.setdefault):
        net(x)
    margin = logits[person] - logits[person_scenes.twin(person)]
    (tokens,), (gradient,) = outputs, torch.autograd.grad(margin, outputs)
    (h, w), size = CONFIG.grid, person_scenes.SIZE[::-1]
    gradcam = (tokens[0, -h * w :] @ gradient[0, -h * w :].mean(0)).clamp_min(0).detach()
    cells = {"mim": gradcam, "attention": weights["mim.cross_attention"][0].mean(0)[0]}
    return {name: cv2.resize(heat.reshape(h, w).numpy(), size) for name, heat in cells.items()}, margin.item()


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
