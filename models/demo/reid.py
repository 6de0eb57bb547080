"""`python -m models.demo.reid`: draw persons, train demo-reid on them, write its weights and its card.

A PromptSG (`models.families.promptsg.network`) from nothing: there is no small CLIP to begin with. In place of what
CLIP knows of clothes it is told, while it trains, which garment each patch shows and what colour each garment is
(layers that are thrown away afterwards), and its text encoder is trained with the rest, where the paper keeps CLIP's
as it is. The other losses are the paper's: identity, triplets, and the symmetric contrast between pictures and their
sentences.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from common.files import write_file
from models.demo import person_scenes
from models.demo.reid_evaluation import CONFIG, NAME, PERSONS, WEIGHTS, examined, located, pictures, trained
from models.demo.train import back
from models.families.promptsg.files import written
from models.families.promptsg.network import Config, PromptSG

if TYPE_CHECKING:
    from torch import Tensor

TELL_SECONDS, SAVE_SECONDS = 20, 240
ONLY_DRAWN = "Trained on drawn persons alone: what it says of a photograph means nothing."
WORN = [0, 1, 3, 4, 5]
TOLD = (*[len(person_scenes.COLOURS)] * 6, len(person_scenes.PATTERNS), len(person_scenes.LEGS))
"""How many answers each question about an outfit has: colours of hat, top, ink, legs, shoes, bag; pattern and cut.
`WORN`: which of them are the colours of GARMENTS."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it is trained."""

    persons: int = PERSONS
    pictures: int = 40
    """Drawn of each person; each is seen many times, moved, mirrored, in other light and with a piece missing."""
    pairs: int = 4
    """Of twins in a batch, both of them."""
    each: int = 4
    """Pictures of one person in a batch."""
    steps: int = 5_000
    seconds: float = 3_600
    """The training ends by then, its rate down, whatever the machine."""
    rate: float = 1.5e-3
    decay: float = 0.05
    temperature: float = 0.1
    margin: float = 0.3


def varied(x: Tensor) -> tuple[Tensor, Tensor]:
    """A batch (B, 4, h, w) moved by a few pixels, mirrored, in other light, some with a piece missing: the pictures,
    and what each patch of 8 pixels mostly shows, (B, h*w / 64)."""
    count, _, h, w = x.shape
    place, pad = x.device, 4
    x = torch.where(torch.rand(count, 1, 1, 1, device=place) < 0.5, x.flip(3), x)
    x = functional.pad(x, (pad,) * 4, mode="replicate")
    down, across = (torch.randint(0, 2 * pad + 1, (count,), device=place) for _ in "yx")
    rows = (down[:, None] + torch.arange(h, device=place))[:, None, :, None]
    columns = (across[:, None] + torch.arange(w, device=place))[:, None, None, :]
    x = x[
        torch.arange(count, device=place)[:, None, None, None],
        torch.arange(4, device=place)[:, None, None],
        rows,
        columns,
    ]
    x, worn = x[:, :3] / 127.5 - 1, x[:, 3].long()
    shown = functional.one_hot(worn, len(person_scenes.GARMENTS) + 1).permute(0, 3, 1, 2).float()
    patches = functional.avg_pool2d(shown, CONFIG.patch).argmax(1).flatten(1)
    light = 1 + (torch.rand(count, 3, 1, 1, device=place) - 0.5) * 0.12
    x = ((x + 1) * light - 1).clamp(-1, 1)
    # A square that hides what is there (random erasing): no single garment is to be enough.
    side = torch.randint(8, 20, (count, 1, 1), device=place)
    top = (torch.rand(count, 1, 1, device=place) * h).int()
    left = (torch.rand(count, 1, 1, device=place) * w).int()
    y, z = torch.arange(h, device=place)[None, :, None], torch.arange(w, device=place)[None, None, :]
    hidden = (y >= top) & (y < top + side) & (z >= left) & (z < left + side)
    hidden &= torch.rand(count, 1, 1, device=place) < 0.25
    return torch.where(hidden[:, None], torch.rand(count, 3, 1, 1, device=place) * 2 - 1, x), patches


def contrast(a: Tensor, b: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Symmetric supervised contrast (arXiv:2004.11362) of rows (B, D): those of one person belong together."""
    scores = functional.normalize(a.float()) @ functional.normalize(b.float()).T / temperature
    wanted = same.float() / same.float().sum(1, keepdim=True)
    return -(wanted * scores.log_softmax(1)).sum(1).mean() - (wanted * scores.T.log_softmax(1)).sum(1).mean()


def triplets(rows: Tensor, same: Tensor, margin: float) -> Tensor:
    """Each picture's furthest of the same person against the nearest of another (arXiv:1703.07737)."""
    apart = torch.cdist(rows.float(), rows.float())
    far = apart.masked_fill(~same, 0).amax(1)
    near = apart.masked_fill(same, float("inf")).amin(1)
    return functional.relu(far - near + margin).mean()


def placed(config: Config) -> Tensor:
    """(1 + h*w, width): where each patch lies, as sines of its row and column; a net that begins so learns sooner."""
    h, w = config.grid
    quarter = config.width // 4
    rates = torch.arange(1, quarter + 1) * (math.pi / 4)
    row, column = ((torch.arange(n) + 0.5)[:, None] / n * rates for n in (h, w))
    rows = torch.cat([row.sin(), row.cos()], 1)[:, None].expand(h, w, -1)
    columns = torch.cat([column.sin(), column.cos()], 1)[None].expand(h, w, -1)
    grid = torch.cat([rows, columns], 2).reshape(h * w, -1)
    return torch.cat([torch.zeros(1, config.width), grid]) * 0.4


def worn(persons: int) -> Tensor:
    """(persons, 8): the answers to `TOLD`; the ink of a plain top is -100, which no loss asks for."""
    rows = []
    for person in range(persons):
        one = person_scenes.outfit(person)
        ink = -100 if one.pattern == "plain" else one.ink
        kinds = [person_scenes.PATTERNS.index(one.pattern), person_scenes.LEGS.index(one.cut)]
        rows.append([one.hat, one.top, ink, one.legs, one.shoes, one.bag, *kinds])
    return torch.tensor(rows)


def fit(pool: Tensor, recipe: Recipe, seed: int, keep: Path | None = None) -> tuple[PromptSG, int]:
    """Train on uint8 (persons, pictures, 96, 48, 4) where it lies: the weights' moving average, and the steps.

    `keep`: where that average is written every few minutes.
    """
    place = pool.device
    torch.manual_seed(seed)
    net, told = PromptSG(CONFIG).to(place), nn.Linear(CONFIG.embed, sum(TOLD)).to(place)
    kinds, colours = len(person_scenes.GARMENTS) + 1, len(person_scenes.COLOURS)
    patch_told = nn.Linear(CONFIG.embed, kinds + colours).to(place)
    seen: list[Tensor] = []
    handle = net.image_encoder.projected.register_forward_hook(lambda _module, _inputs, tokens: seen.append(tokens))
    with torch.no_grad():
        net.image_encoder.positional_embedding.copy_(placed(CONFIG))
    kept = PromptSG(CONFIG).to(place).eval().requires_grad_(False)
    kept.load_state_dict(net.state_dict())
    answers = worn(recipe.persons).to(place)
    parameters = [*net.parameters(), *told.parameters(), *patch_told.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98), fused=True)
    began = said = saved = time.monotonic()
    for step in range(recipe.steps):
        share = max(step / recipe.steps, (time.monotonic() - began) / recipe.seconds)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1, (step + 1) / 150) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
        pair = torch.randperm(recipe.persons // 2, device=place)[: recipe.pairs]
        who = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().repeat_interleave(recipe.each)
        which = torch.randint(0, pool.shape[1], (len(who),), device=place)
        with torch.autocast(place.type, torch.bfloat16, enabled=place.type != "cpu"):
            pixels, patches = varied(pool[who, which].permute(0, 3, 1, 2).float())
            out = net(pixels)
            each_patch = patch_told(seen.pop()[:, 1:]).float()
            said_of = [told(rows).float().split(TOLD, 1) for rows in (out.image, out.feature)]
        same = who[:, None] == who[None]
        loss = functional.cross_entropy(out.logits.float(), who, label_smoothing=0.1)
        loss = loss + triplets(out.feature, same, recipe.margin)
        loss = loss + 0.5 * contrast(out.text, out.image, same, recipe.temperature)
        asked = answers[who].unbind(1)
        wrong = [functional.cross_entropy(s, a) for each in said_of for s, a in zip(each, asked, strict=True)]
        loss = loss + torch.stack(wrong).nanmean() * 4
        loss = loss + functional.cross_entropy(each_patch[..., :kinds].flatten(0, 1), patches.flatten())
        colour = answers[who][:, WORN].gather(1, (patches - 1).clamp_min(0))[patches > 0]
        loss = loss + functional.cross_entropy(each_patch[..., kinds:][patches > 0], colour)
        optimiser.zero_grad()
        back(loss)
        nn.utils.clip_grad_norm_(parameters, 5)
        optimiser.step()
        _average(kept, net, min(0.995, (1 + step) / (20 + step)))
        now = time.monotonic()
        if now - said > TELL_SECONDS or step + 1 == recipe.steps:
            said = now
            right = (out.logits.argmax(1) == who).float().mean().item()
            garments = torch.stack([(s.argmax(1) == a).float().mean() for s, a in zip(said_of[1], asked, strict=True)])
            words = " ".join(f"{value:.2f}" for value in garments.tolist())
            places = (each_patch[..., :kinds].argmax(-1) == patches).float().mean().item()
            print(
                f"{step + 1:,}/{recipe.steps:,} steps, {now - began:.0f} s, loss {loss.item():.2f}, in this batch "
                f"persons {right:.2f}, patches {places:.2f}, told {words}",
                flush=True,
            )
        if keep is not None and now - saved > SAVE_SECONDS:
            saved = now
            save(kept, keep)
    handle.remove()
    return kept.eval(), step + 1


def _average(kept: nn.Module, net: nn.Module, decay: float) -> None:
    old, new = kept.state_dict(), net.state_dict()
    floats = [key for key, value in old.items() if value.is_floating_point()]
    torch._foreach_lerp_([old[key] for key in floats], [new[key].detach() for key in floats], 1 - decay)


def save(net: nn.Module, path: Path) -> None:
    """Write the weights as float16, whole or not at all."""
    from safetensors.torch import save as as_bytes

    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in net.state_dict().items()
    }
    write_file(path, as_bytes(state))


def train(recipe: Recipe, *, seed: int = 0, out: Path = WEIGHTS, processes: int = 1) -> dict[str, Any]:
    """Train, write `demo-reid.safetensors` and its card, and return the card."""
    out.mkdir(parents=True, exist_ok=True)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    began = time.monotonic()
    drawn = pictures(range(recipe.persons), range(recipe.pictures), processes=processes)
    print(f"{NAME}: {drawn.shape[0] * drawn.shape[1]:,} pictures in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    net, steps = fit(torch.from_numpy(drawn).to(place), recipe, seed, out / f"{NAME}.partial.safetensors")
    minutes = (time.monotonic() - began) / 60
    path = out / f"{NAME}.safetensors"
    save(net, path)
    (out / f"{NAME}.partial.safetensors").unlink(missing_ok=True)
    card = describe(recipe, seed, minutes, steps, place.type, path, processes)
    (out / f"{NAME}.json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    print(card["metrics"], flush=True)
    return card


def describe(
    recipe: Recipe, seed: int, minutes: float, steps: int, device: str, path: Path, processes: int = 1
) -> dict[str, Any]:
    """The card: what it is, what it was trained on, what the saved file gets right on persons it never saw."""
    net = trained(path.parent)
    batch = recipe.pairs * 2 * recipe.each
    return {
        "name": NAME,
        "task": "classify",
        "data": {"kind": "figures", "size": list(person_scenes.SIZE), "seed": seed, "persons": recipe.persons,
                 "pictures": recipe.persons * recipe.pictures},
        "net": {"size": "reid", "parameters": sum(p.numel() for p in net.parameters()),
                "config": {**written(CONFIG), "notes": [ONLY_DRAWN]}},
        "training": {
            "images": steps * batch,
            "epochs": round(steps * batch / (recipe.persons * recipe.pictures), 1),
            "steps": steps,
            "batch": batch,
            "rate": recipe.rate,
            "decay": recipe.decay,
            "minutes": round(minutes, 1),
            "device": device,
        },
        "metrics": {**examined(net, processes=processes), "maps": located(net)},
        "bytes": path.stat().st_size,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.demo.reid", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=Recipe().seconds)
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--persons", type=int, default=Recipe().persons)
    parser.add_argument("--pictures", type=int, default=Recipe().pictures)
    parser.add_argument("--pairs", type=int, default=Recipe().pairs)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    recipe = Recipe(
        seconds=given.seconds, steps=given.steps, persons=given.persons, pictures=given.pictures, pairs=given.pairs
    )
    train(recipe, seed=given.seed, out=given.out, processes=given.processes)


if __name__ == "__main__":
    main()
