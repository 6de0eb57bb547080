"""Whether a classifier is given pictures as it was trained to see them: judged by how well its answers tell them apart.

A model that gets its pictures otherwise is not always unsure: it may be sure of the same class whatever it is shown.
What falls in both cases is how much an answer says of which picture it was given (their mutual information), and it
falls on pictures of other things too. It is a suspicion and no proof: pictures of one kind have the same answer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from explain.findings.diagnosis import Finding
from models.preprocess import Preprocessing, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.evidence.resident import Resident
    from explain.picture.image import Image

GUESSES = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std of 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "colours from 0 to 1 as they are": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "colours from 0 to 255 as they are": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and std that people train with, in 0..1."""
LOW, BETTER, SAME = 0.6, 1.5, 0.05


def suspect(resident: Resident, images: Sequence[Image]) -> Finding | None:
    """What speaks against a classifier's preprocessing on several different pictures; None where nothing does.

    It runs the model once a picture for each guess.
    """
    adapter = resident.adapter
    now = getattr(adapter, "preprocessing", None)
    if not isinstance(now, Preprocessing) or now.channels != 3 or len(adapter.labels) < 3 or len(images) < 2:
        return None
    told = _apart(resident, images, now)
    guesses = {
        name: _apart(resident, images, replace(now, mean=mean, std=std))
        for name, (mean, std) in GUESSES.items()
        if (mean, std) != (now.mean, now.std)
    }
    name = max(guesses, key=lambda guess: guesses[guess])
    if told < LOW and guesses[name] > max(BETTER * told, 2 * SAME):
        text = (
            f"The preprocessing may be wrong: with {name} its answers tell {len(images)} different pictures apart "
            f"{_share(guesses[name])} of the way, and only {_share(told)} as it is now (weights.preprocessing)."
        )
        return Finding("preprocessing", "caution", text)
    if told < SAME:
        text = (
            f"It says nearly the same of {len(images)} different pictures, however they are prepared: "
            "its weights may not be those of this architecture."
        )
        return Finding("preprocessing", "caution", text)
    return None


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _apart(resident: Resident, images: Sequence[Image], preprocessing: Preprocessing) -> float:
    """0..1: how much an answer says of which of the pictures it is of, as a share of the most that it could say."""
    adapter = resident.quickest(())
    rows = []
    with torch.no_grad(), resident.lock:
        for image in images:
            given = prepare(image.pixels, preprocessing, "trained")
            rows.append(adapter.class_logits(adapter.run(resident.place(given.tensor)))[0].double().softmax(0))
    scores = torch.stack(rows)  # (pictures, classes)
    if not scores.isfinite().all():
        return 0.0
    most = math.log(min(scores.shape))
    return float(torch.special.entr(scores.mean(0)).sum() - torch.special.entr(scores).sum(1).mean()) / most
