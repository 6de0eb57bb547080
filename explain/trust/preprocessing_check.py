"""Answers of a model if its pictures were prepared in other ways."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Adapter
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
SIDES = (32, 64, 96, 128, 160, 224, 288, 384)
"""Sides of squares in pixels that networks are often trained with."""


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
    now = _find_own(loaded)
    if now is None:
        return ()
    ways = {f"resized by {name}": replace(now, interpolation=name) for name in ("bilinear", "bicubic")}
    ways |= {f"colours: {name}": replace(now, mean=mean, std=std) for name, (mean, std) in GUESSES.items()}
    ways |= {"cut to the middle": replace(now, crop="centre"), "squeezed": replace(now, crop="squash")}
    ways |= {"no crop": replace(now, crop="centre", short_side=min(now.size), resized=None)}
    first, *others = _run(loaded, image, {f"as it is now, resized by {now.interpolation}": now} | ways)
    # Those first that change the answer most.
    others.sort(key=lambda way: -float((way.scores - first.scores).abs().sum()))
    return tuple(_read(loaded, image, way) for way in (first, *others[: MOST - 1]))


def read_sizes(loaded: LoadedModel, image: Image) -> tuple[Reading, ...]:
    """Return the answers for pictures of other sizes, the model's own first; those that it takes of `SIDES`.

    Runs the model once for each size. Empty without a known preprocessing of three channels.
    """
    now = _find_own(loaded)
    if now is None:
        return ()
    ways = {f"{side} x {side} pixels": _resized(now, side) for side in SIDES}
    own = " x ".join(str(side) for side in reversed(now.size))
    return tuple(_read(loaded, image, way) for way in _run(loaded, image, {f"{own} pixels, as it is now": now} | ways))


@dataclass(frozen=True, eq=False)
class _Way:
    """The scores of a model for one preprocessing."""

    words: str
    preprocessing: Preprocessing
    scores: Tensor


def _find_own(loaded: LoadedModel) -> Preprocessing | None:
    """Return the model's preprocessing if others can be compared with it."""
    now, function = loaded.adapter.preprocessing, loaded.adapter.function
    described = function is None or function.description is not None
    if not described or now is None or now.channels != 3 or not loaded.adapter.labels:
        return None
    return now


def _resized(now: Preprocessing, side: int) -> Preprocessing:
    """Return a preprocessing to squares of a side, with as much cut off as before."""
    short = round(now.short_side * side / min(now.size))
    before = now.resized and (round(now.resized[0] * side / now.size[0]), round(now.resized[1] * side / now.size[1]))
    return replace(now, size=(side, side), short_side=short, resized=before)


def _run(loaded: LoadedModel, image: Image, ways: Mapping[str, Preprocessing]) -> list[_Way]:
    """Return the scores for the first way, which is the model's own, and for others that it takes."""
    adapter = loaded.fastest_adapter(())
    (first, own), *others = ways.items()
    done = [_Way(first, own, _find_scores(loaded, adapter, image, own))]
    adapter.require_finite(done[0].scores)
    for words, candidate in others:
        if candidate == own:
            continue
        try:
            scores = _find_scores(loaded, adapter, image, candidate)
        except (RuntimeError, ValueError, AssertionError):
            # Many networks take one size alone.
            continue
        # A way for which the model answers NaN cannot be the right one.
        if bool(scores.isfinite().all()):
            done.append(_Way(words, candidate, scores))
    return done


def _find_scores(loaded: LoadedModel, adapter: Adapter, image: Image, candidate: Preprocessing) -> Tensor:
    inputs = loaded.move_input(prepare(image.pixels, candidate, "trained").tensor)
    with torch.no_grad(), loaded.lock:
        return adapter.class_scores(adapter.run(inputs))[0].double()


def _read(loaded: LoadedModel, image: Image, way: _Way) -> Reading:
    # Numbers have no best class; the first one shows the effect.
    best = 0 if task_of(loaded.adapter).quantity == "number" else int(way.scores.argmax())
    pixels = np.clip(fit_picture(image.pixels, way.preprocessing, "trained")[0], 0, 255).astype(np.uint8)
    return Reading(way.preprocessing, way.words, pixels, loaded.adapter.labels[best], float(way.scores[best]))
