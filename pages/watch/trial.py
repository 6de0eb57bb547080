"""Try the monitor: run a model on the bundled pictures, first as they are, then degraded step by step."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import packaged
from common.errors import Cancelled, Problem
from components.session import image_source
from components.session.background import Status, Task
from explain.phrases import plural
from explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from explain.monitor import Monitor
    from models.adapter import ModelSpec

SIDE = 480
"""Pixels of the short side: enough for a demonstration."""
SOURCE = "trial"
AS_THEY_ARE = ("", "mirrored", "left part", "right part", "upper part", "lower part", "middle", "a little darker")
WORSE: dict[str, tuple[float, float]] = {
    "a little blurred": (4, 0),
    "blurred": (6, 0),
    "quite blurred": (8, 0),
    "very blurred": (10, 0),
    "a little blurred and noisy": (4, 40),
    "blurred and noisy": (6, 40),
    "quite blurred and noisy": (8, 40),
    "a little blurred and very noisy": (4, 80),
}
"""A lens out of focus, then in the dark: standard deviations of the blur, in pixels, and of the noise."""
UNSURE = 0.25
"""The quantile of the first half's scores below which a picture counts as unsure: scores differ between models."""
PARTS = {
    "left part": (0.0, 0.0, 0.8, 1.0),
    "right part": (0.2, 0.0, 1.0, 1.0),
    "upper part": (0.0, 0.0, 1.0, 0.8),
    "lower part": (0.0, 0.2, 1.0, 1.0),
    "middle": (0.1, 0.1, 0.9, 0.9),
}


@dataclass
class TrialStatus(Status):
    """What the thread reports to the page."""

    done: int = 0
    since: datetime | None = None
    """When the first half was done and the threshold was set."""


class Trial(Task[TrialStatus]):
    """A trial in a thread, with a log that is deleted when the session ends."""

    def __init__(self, model: ModelSpec, options: dict[str, Any]) -> None:
        from explain.monitor import Monitor

        self._folder = tempfile.TemporaryDirectory(prefix="sightglass-watch-", ignore_cleanup_errors=True)
        self.model = model
        self.monitor = Monitor(
            Path(self._folder.name),
            # Until the first half sets it.
            threshold=0.0,
            # Nothing is left out of a trial, and bundled pictures may be saved.
            per_minute=10_000,
            pictures=True,
        )
        super().__init__(_run, TrialStatus(), model, options, self.monitor)


def given(model: ModelSpec) -> Iterator[tuple[str, bool, Callable[[], Image]]]:
    """Yield (name, whether it is unchanged, a function that makes the picture) of every picture, in order."""
    # A model trained on scenes is unsure of every photograph, and vice versa.
    names = [name for name in image_source.EXAMPLES if (name in packaged.PHOTOGRAPHS) != bool(model.example)]
    found = []
    for name in names:
        try:
            found.append(image_source.bundled(name))
        except Problem:
            continue  # its package is not installed
    for plain, ways in ((True, AS_THEY_ARE), (False, WORSE)):
        for way in ways:
            for image in found:
                name = f"{image.name}, {way}" if way else image.name
                yield name, plain, partial(changed, image, way, name)


def changed(image: Image, way: str, name: str) -> Image:
    """Return the picture as it is, a part of it, or degraded; deterministic."""
    if not way:
        return image
    from PIL import Image as Pillow
    from PIL import ImageEnhance, ImageFilter, ImageOps

    made = Pillow.fromarray(np.asarray(image.pixels[..., :3]))
    scale = SIDE / min(made.size)
    if scale < 1:
        made = made.resize((round(made.width * scale), round(made.height * scale)), Pillow.Resampling.BICUBIC)
    if way in PARTS:
        left, top, right, bottom = PARTS[way]
        made = made.crop(
            (int(left * made.width), int(top * made.height), int(right * made.width), int(bottom * made.height))
        )
    ways: dict[str, Callable[[Any], Any]] = {
        "mirrored": ImageOps.mirror,
        "a little darker": lambda one: ImageEnhance.Brightness(one).enhance(0.8),
    }
    if way in WORSE:
        blur, noise = WORSE[way]
        made = made.filter(ImageFilter.GaussianBlur(blur))
        made = _noisy(made, noise) if noise else made
    return Image(np.ascontiguousarray(ways.get(way, lambda one: one)(made)), name)


def _noisy(image: Any, much: float) -> Any:
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(0).normal(0, much, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _run(status: TrialStatus, cancel: Event, model: ModelSpec, options: dict[str, Any], monitor: Monitor) -> None:
    from explain import Explainer

    explainer, every = Explainer(model.id), list(given(model))
    with contextlib.suppress(Cancelled):
        for number, (name, plain, make) in enumerate(every):
            if cancel.is_set():
                return
            if not plain and status.since is None:
                # The first half is the reference for the rest.
                reference(monitor, model.id)
                status.since = datetime.now(UTC)
            status.report(number / len(every), f"{name} ({number + 1} of {len(every)})")
            monitor.watch(explainer(make(), cancel=cancel, **options), source=SOURCE)
            status.done = number + 1
        status.report(1.0, f"{plural(len(every), 'picture')} done")


def reference(monitor: Monitor, model: str) -> None:
    """Make what the trial has seen so far the reference, and set the threshold by it."""
    known = monitor.set_reference(model=model).models[model]
    if len(sure := known.numbers.get("confidence", ())):
        monitor.threshold = round(float(np.quantile(sure, UNSURE)), 2)
