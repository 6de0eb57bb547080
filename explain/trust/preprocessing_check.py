"""Detect wrong preprocessing from a classifier's answers.

A model given wrongly preprocessed pictures is not always unsure: it may be sure of the same class for any of them. In
both cases the mutual information between picture and answer falls, as it also does on pictures of unknown things. It
is a suspicion and no proof: pictures of one kind have the same answer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sightglass.explain.phrases import percent
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import Finding
from sightglass.models.preprocess import Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

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
