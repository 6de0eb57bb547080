"""Detect wrong preprocessing from a classifier's answers.

A model given wrongly preprocessed pictures is not always unsure: it may be sure of the same class for any of them. In
both cases the mutual information between picture and answer falls, as it also does on pictures of unknown things. It
is a suspicion and no proof: pictures of one kind have the same answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from sightglass.explain.phrases import percent
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import Finding
from sightglass.models.preprocess import Preprocessing, fit_picture, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.picture.image import Image

GUESSES = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std of 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "colours from 0 to 1 as they are": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "colours from 0 to 255 as they are": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and std in common use, for colours in 0..1."""
LOW, BETTER, SAME = 0.6, 1.5, 0.05
MOST = 4
"""Preprocessings whose answers are shown."""


def suspect(resident: Resident, images: Sequence[Image]) -> Finding | None:
    """Return a finding if another preprocessing distinguishes several different pictures far better, else None.

    Runs the model once per picture and guess, unless it measures: numbers are no classes that a picture tells apart.
    """
    adapter = resident.adapter
    now = adapter.preprocessing
    if now is None or now.channels != 3 or len(adapter.labels) < 3 or len(images) < 2 or task_of(adapter).measures:
        return None
    current = _distinct(resident, images, now)
    guesses = {
        name: _distinct(resident, images, replace(now, mean=mean, std=std))
        for name, (mean, std) in GUESSES.items()
        if (mean, std) != (now.mean, now.std)
    }
    name = max(guesses, key=lambda guess: guesses[guess])
    if current < LOW and guesses[name] > max(BETTER * current, 2 * SAME):
        text = (
            f"The preprocessing may be wrong. The answers for {len(images)} different pictures are "
            f"{percent(guesses[name])} distinct with {name}, and only {percent(current)} as configured "
            "(weights.preprocessing)."
        )
    elif current < SAME:
        text = (
            f"The answers for {len(images)} different pictures are nearly the same with any preprocessing. The "
            "weights may not belong to this architecture."
        )
    else:
        return None
    return Finding("preprocessing", "caution", text)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model answers if its pictures were prepared in one way."""

    preprocessing: Preprocessing
    words: str
    """What tells it from the model's own: `resized by bicubic`, `colours: mean and std of 0.5`."""
    picture: NDArray[np.uint8]
    """(h, w, 3), what of the picture reaches the model."""
    label: str
    score: float


def readings(resident: Resident, image: Image) -> tuple[Reading, ...]:
    """Return the answers under up to `MOST` preprocessings, the model's own first.

    Runs the model once for each of about nine ways. Empty where the preprocessing is not known, or has no three
    channels.
    """
    now = resident.adapter.preprocessing
    if now is None or now.channels != 3 or not resident.adapter.labels:
        return ()
    ways = {f"resized by {name}": replace(now, interpolation=name) for name in ("bilinear", "bicubic")}
    ways |= {f"colours: {name}": replace(now, mean=mean, std=std) for name, (mean, std) in GUESSES.items()}
    ways |= {"cut to the middle": replace(now, crop="centre"), "squeezed": replace(now, crop="squash")}
    ways |= {"no crop": replace(now, crop="centre", short_side=min(now.size))}
    others = {words: way for words, way in ways.items() if way != now}
    scores = torch.stack([_scores(resident, [image], way)[0] for way in (now, *others.values())])
    ranked = sorted(range(1, len(scores)), key=lambda row: -float((scores[row] - scores[0]).abs().sum()))
    answers = []
    for row in (0, *ranked[: MOST - 1]):
        way = (now, *others.values())[row]
        # Numbers have no best class; the first one shows the effect.
        best = 0 if task_of(resident.adapter).measures else int(scores[row].argmax())
        pixels = np.clip(fit_picture(image.pixels, way, "trained")[0], 0, 255).astype(np.uint8)
        words = f"as it is now, resized by {now.interpolation}" if row == 0 else tuple(others)[row - 1]
        answers.append(Reading(way, words, pixels, resident.adapter.labels[best], float(scores[row, best])))
    return tuple(answers)


def _distinct(resident: Resident, images: Sequence[Image], preprocessing: Preprocessing) -> float:
    """Return the mutual information between picture and answer, as a share 0..1 of its maximum."""
    scores = _scores(resident, images, preprocessing)
    if not scores.isfinite().all():
        return 0.0
    most = math.log(min(scores.shape))
    return float(torch.special.entr(scores.mean(0)).sum() - torch.special.entr(scores).sum(1).mean()) / most


def _scores(resident: Resident, images: Sequence[Image], preprocessing: Preprocessing) -> Tensor:
    """Return probabilities (pictures, classes) with a preprocessing other than the model's own."""
    adapter = resident.fastest_adapter(())
    rows = []
    with torch.no_grad(), resident.lock:
        for image in images:
            inputs = prepare(image.pixels, preprocessing, "trained")
            rows.append(adapter.class_logits(adapter.run(resident.move_input(inputs.tensor)))[0].double().softmax(0))
    return torch.stack(rows)
