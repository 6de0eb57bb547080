"""Answers of a model if its pictures were prepared in other ways."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.models.preprocess import Preprocessing, fit_picture, prepare

GUESSES = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std of 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "colours from 0 to 1 as they are": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "colours from 0 to 255 as they are": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and std in common use, for colours in 0..1."""
MOST = 4
"""Preprocessings whose answers are shown."""


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


def readings(loaded: LoadedModel, image: Image) -> tuple[Reading, ...]:
    """Return the answers under up to `MOST` preprocessings, the model's own first.

    Runs the model once for each of about nine ways. Empty without a known preprocessing of three channels.
    """
    now, function = loaded.adapter.preprocessing, loaded.adapter.function
    described = function is None or function.description is not None
    if not described or now is None or now.channels != 3 or not loaded.adapter.labels:
        return ()
    ways = {f"resized by {name}": replace(now, interpolation=name) for name in ("bilinear", "bicubic")}
    ways |= {f"colours: {name}": replace(now, mean=mean, std=std) for name, (mean, std) in GUESSES.items()}
    ways |= {"cut to the middle": replace(now, crop="centre"), "squeezed": replace(now, crop="squash")}
    ways |= {"no crop": replace(now, crop="centre", short_side=min(now.size))}
    others = ((words, candidate) for words, candidate in ways.items() if candidate != now)
    prepared = ((f"as it is now, resized by {now.interpolation}", now), *others)
    adapter, scores = loaded.fastest_adapter(()), []
    for _, candidate in prepared:
        inputs = loaded.move_input(prepare(image.pixels, candidate, "trained").tensor)
        with torch.no_grad(), loaded.lock:
            scores.append(adapter.class_scores(adapter.run(inputs))[0].double())
    adapter.require_finite(scores[0])
    changes = [float((row - scores[0]).abs().sum()) for row in scores]
    # A way for which the model answers NaN cannot be the right one.
    finite = [row for row in range(1, len(scores)) if math.isfinite(changes[row])]
    answers = []
    for row in (0, *sorted(finite, key=lambda row: -changes[row])[: MOST - 1]):
        words, candidate = prepared[row]
        # Numbers have no best class; the first one shows the effect.
        best = 0 if task_of(loaded.adapter).quantity == "number" else int(scores[row].argmax())
        pixels = np.clip(fit_picture(image.pixels, candidate, "trained")[0], 0, 255).astype(np.uint8)
        answers.append(Reading(candidate, words, pixels, loaded.adapter.labels[best], float(scores[row][best])))
    return tuple(answers)
