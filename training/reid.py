"""Train demo-reid on drawn persons.

A PromptSG (`models.families.promptsg.network`) trained from scratch, as there is no small CLIP to start from. Instead
of CLIP's knowledge of clothes, training supervises which garment each patch shows and the colour of each garment
(through layers that are discarded afterwards), and its text encoder is trained too, where the paper freezes CLIP's.
The other losses are the paper's: identity, triplets, and the symmetric contrast between pictures and sentences.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from sightglass.models.families.demo.nets import WEIGHTS
from sightglass.models.families.promptsg.network import Config, PromptSG
from training.demo import person_scenes
from training.reid_evaluation import CONFIG, NAME, PERSONS, map_metrics, pictures, retrieval_metrics, trained
from training.train import Learner, Watch, parser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from sightglass.models.families.promptsg.network import Outputs

ONLY_DRAWN = "Trained on drawn people only: its answers about photographs mean nothing."
WORN = [0, 1, 3, 4, 5]
OUTFIT = (*[len(person_scenes.COLOURS)] * 6, len(person_scenes.PATTERNS), len(person_scenes.LEGS))
"""Number of classes of each part of an outfit: colours of hat, top, ink, legs, shoes, bag; pattern and cut.
`WORN`: which of them are the colours of GARMENTS."""
GARMENT_KINDS = len(person_scenes.GARMENTS) + 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training."""

    persons: int = PERSONS
    pictures: int = 40
    """Per person; each is seen many times, shifted, mirrored, in other light and with a piece missing."""
    pairs: int = 4
    """Pairs of twins in a batch."""
    each: int = 4
    """Pictures of each person in a batch."""
    steps: int = 5_000
    seconds: float = 3_600
    """The training ends by then, with its rate lowered, on any machine."""
    rate: float = 1.5e-3
    decay: float = 0.05
    temperature: float = 0.1
    margin: float = 0.3


def augmented(x: Tensor) -> tuple[Tensor, Tensor]:
    """Augment a batch (B, 4, h, w) by shifts, mirroring, light and erasing; return the pictures and the garment that
    each patch of 8 pixels mostly shows, (B, h*w / 64)."""
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
    x, garments = x[:, :3] / 127.5 - 1, x[:, 3].long()
    one_hot = functional.one_hot(garments, len(person_scenes.GARMENTS) + 1).permute(0, 3, 1, 2).float()
    patches = functional.avg_pool2d(one_hot, CONFIG.patch).argmax(1).flatten(1)
    light = 1 + (torch.rand(count, 3, 1, 1, device=place) - 0.5) * 0.12
    x = ((x + 1) * light - 1).clamp(-1, 1)
    # Random erasing: no single garment should suffice.
    side = torch.randint(8, 20, (count, 1, 1), device=place)
    top = (torch.rand(count, 1, 1, device=place) * h).int()
    left = (torch.rand(count, 1, 1, device=place) * w).int()
    y, z = torch.arange(h, device=place)[None, :, None], torch.arange(w, device=place)[None, None, :]
    hidden = (y >= top) & (y < top + side) & (z >= left) & (z < left + side)
    hidden &= torch.rand(count, 1, 1, device=place) < 0.25
    return torch.where(hidden[:, None], torch.rand(count, 3, 1, 1, device=place) * 2 - 1, x), patches


def contrast(a: Tensor, b: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Return the symmetric supervised contrastive loss (arXiv:2004.11362); `same`: one person."""
    scores = functional.normalize(a.float()) @ functional.normalize(b.float()).T / temperature
    targets = same.float() / same.float().sum(1, keepdim=True)
    return -(targets * scores.log_softmax(1)).sum(1).mean() - (targets * scores.T.log_softmax(1)).sum(1).mean()


def triplets(rows: Tensor, same: Tensor, margin: float) -> Tensor:
    """Return the batch-hard triplet loss (arXiv:1703.07737)."""
    apart = torch.cdist(rows.float(), rows.float())
    far = apart.masked_fill(~same, 0).amax(1)
    near = apart.masked_fill(same, float("inf")).amin(1)
    return functional.relu(far - near + margin).mean()


def position_sines(config: Config) -> Tensor:
    """Return sines of patches' rows and columns, (1 + h*w, width)."""
    h, w = config.grid
    quarter = config.width // 4
    rates = torch.arange(1, quarter + 1) * (math.pi / 4)
    row, column = ((torch.arange(n) + 0.5)[:, None] / n * rates for n in (h, w))
    rows = torch.cat([row.sin(), row.cos()], 1)[:, None].expand(h, w, -1)
    columns = torch.cat([column.sin(), column.cos()], 1)[None].expand(h, w, -1)
    grid = torch.cat([rows, columns], 2).reshape(h * w, -1)
    return torch.cat([torch.zeros(1, config.width), grid]) * 0.4


def outfit_classes(persons: int) -> Tensor:
    """Return persons' `OUTFIT` classes, (persons, 8); -100: ignored ink."""
    rows = []
    for person in range(persons):
        outfit = person_scenes.outfit(person)
        ink = -100 if outfit.pattern == "plain" else outfit.ink
        kinds = [person_scenes.PATTERNS.index(outfit.pattern), person_scenes.LEGS.index(outfit.cut)]
        rows.append([outfit.hat, outfit.top, ink, outfit.legs, outfit.shoes, outfit.bag, *kinds])
    return torch.tensor(rows)


class Heads(nn.Module):
    """Layers for training only: predict the outfit from a picture, and garment and colour from each of its patches."""

    def __init__(self) -> None:
        super().__init__()
        self.outfit = nn.Linear(CONFIG.embed, sum(OUTFIT))
        self.patch = nn.Linear(CONFIG.embed, GARMENT_KINDS + len(person_scenes.COLOURS))

    def forward(self, out: Outputs, tokens: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """Return each patch's logits and the outfit's from both features."""
        patches = self.patch(tokens[:, 1:]).float()
        return patches, [self.outfit(rows).float().split(OUTFIT, 1) for rows in (out.image, out.feature)]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch shows, and what the net predicts."""

    who: Tensor
    """(B,) persons."""
    outfits: Tensor
    """(B, 8), as `outfit_classes`."""
    patches: Tensor
    """(B, patches), garments."""
    out: Outputs
    patch_logits: Tensor
    outfit_logits: list[tuple[Tensor, ...]]

    def loss(self, recipe: Recipe) -> Tensor:
        out, who = self.out, self.who
        same = who[:, None] == who[None]
        loss = functional.cross_entropy(out.logits.float(), who, label_smoothing=0.1)
        loss = loss + triplets(out.feature, same, recipe.margin)
        loss = loss + 0.5 * contrast(out.text, out.image, same, recipe.temperature)
        labels = self.outfits.unbind(1)
        wrong = [
            functional.cross_entropy(s, a) for each in self.outfit_logits for s, a in zip(each, labels, strict=True)
        ]
        loss = loss + torch.stack(wrong).nanmean() * 4
        garments, colours = self.patch_logits[..., :GARMENT_KINDS], self.patch_logits[..., GARMENT_KINDS:]
        loss = loss + functional.cross_entropy(garments.flatten(0, 1), self.patches.flatten())
        covered = self.patches > 0
        colour = self.outfits[:, WORN].gather(1, (self.patches - 1).clamp_min(0))[covered]
        return loss + functional.cross_entropy(colours[covered], colour)

    def words(self) -> str:
        """Return the shares of correct predictions, the end of a line."""
        labels = self.outfits.unbind(1)
        garments = [
            (s.argmax(1) == a).float().mean().item() for s, a in zip(self.outfit_logits[1], labels, strict=True)
        ]
        persons = (self.out.logits.argmax(1) == self.who).float().mean().item()
        patches = (self.patch_logits[..., :GARMENT_KINDS].argmax(-1) == self.patches).float().mean().item()
        outfit = " ".join(f"{garment:.2f}" for garment in garments)
        return f", in this batch persons {persons:.2f}, patches {patches:.2f}, outfit {outfit}"


def fit(pool: Tensor, recipe: Recipe, seed: int, watch: Callable[..., None] = lambda *_: None) -> tuple[PromptSG, int]:
    """Train on uint8 (persons, pictures, 96, 48, 4); return averaged weights, steps.

    `watch` is called after each step with the average, the steps so far, the loss and a note on the batch.
    """
    device = pool.device
    torch.manual_seed(seed)
    net, heads = PromptSG(CONFIG).to(device), Heads().to(device)
    tokens: list[Tensor] = []
    with torch.no_grad():
        net.image_encoder.positional_embedding.copy_(position_sines(CONFIG))
    learner = Learner(net, recipe.decay, beta=0.98, max_norm=5, horizon=0.995, besides=[*heads.parameters()])
    hook = net.image_encoder.projected.register_forward_hook(lambda _module, _inputs, output: tokens.append(output))
    outfits = outfit_classes(recipe.persons).to(device)
    began = time.monotonic()
    for step in range(recipe.steps):
        share = max(step / recipe.steps, (time.monotonic() - began) / recipe.seconds)
        if share >= 1:
            break
        pair = torch.randperm(recipe.persons // 2, device=device)[: recipe.pairs]
        who = torch.stack([2 * pair, 2 * pair + 1], 1).flatten().repeat_interleave(recipe.each)
        which = torch.randint(0, pool.shape[1], (len(who),), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            pixels, patches = augmented(pool[who, which].permute(0, 3, 1, 2).float())
            out = net(pixels)
            batch = Batch(who, outfits[who], patches, out, *heads(out, tokens.pop()))
        loss = batch.loss(recipe)
        warm = min(1, (step + 1) / 150)
        learner.step(loss, recipe.rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2))
        watch(learner.average, step + 1, loss.item(), batch.words)
    hook.remove()
    average: Any = learner.average
    return average, step + 1


def train(recipe: Recipe, *, seed: int = 0, out: Path = WEIGHTS, processes: int = 1) -> dict[str, Any]:
    """Train, write `demo-reid.safetensors` and its card, and return the card."""
    out.mkdir(parents=True, exist_ok=True)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = recipe.persons * recipe.pictures
    print(f"{NAME}: drawing {count:,} pictures", flush=True)
    drawn = pictures(range(recipe.persons), range(recipe.pictures), processes=processes)
    watch = Watch(out / f"{NAME}.safetensors", recipe.steps, unit="steps")
    net, steps = fit(torch.from_numpy(drawn).to(place), recipe, seed, watch)
    watch.save(net)
    saved, batch = trained(out), recipe.pairs * 2 * recipe.each
    return watch.card(
        saved,
        task="classify",
        data={"kind": "figures", "size": list(person_scenes.SIZE), "seed": seed, "persons": recipe.persons,
              "pictures": count},
        net={"config": {**asdict(CONFIG), "notes": [ONLY_DRAWN]}},
        training={"images": steps * batch, "epochs": round(steps * batch / count, 1), "steps": steps, "batch": batch,
                  "rate": recipe.rate, "decay": recipe.decay, "device": place.type},
        metrics={**retrieval_metrics(saved, processes=processes), "maps": map_metrics(saved)},
    )  # fmt: skip


def main() -> None:
    options = parser("reid", __doc__)
    for name in ("seconds", "steps", "persons", "pictures", "pairs"):
        usual = getattr(Recipe(), name)
        options.add_argument(f"--{name}", type=type(usual), default=usual)
    options.add_argument("--processes", type=int, default=1)
    arguments = vars(options.parse_args())
    seed, out, processes = (arguments.pop(name) for name in ("seed", "out", "processes"))
    train(Recipe(**arguments), seed=seed, out=out, processes=processes)


if __name__ == "__main__":
    main()
