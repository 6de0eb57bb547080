"""Explain the bundled pictures for a first visit to Batch."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.common.files import packaged
from sightglass.common.files.scratch import scratch_folder
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.pictures import image_source
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.item import Item
from sightglass.models.demo.scenes import draw, sample
from sightglass.models.demo.showcase import SCENES, enlarge
from sightglass.pages.batch.job import BatchJob, RunPlan
from sightglass.pages.batch.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer
    from sightglass.models.spec import ModelSpec

PARTS = {"left part": (0.0, 0.0, 0.8, 1.0), "right part": (0.2, 0.0, 1.0, 1.0), "middle": (0.1, 0.1, 0.9, 0.9)}
"""Parts of each photograph, beside the whole: with so few pictures nothing could be grouped or called unusual."""
SIDE = 480
"""Pixels of a part's short side at most, before it is cut out."""
DRAWN = 16
"""Scenes for a model that was trained on drawn ones."""


def source(model: ModelSpec) -> Source:
    """Return the bundled pictures that a model knows; drawn scenes of one thing are labelled by what they show."""
    if model.example in SCENES:
        items = [_scene(number, model.task) for number in range(DRAWN)]
    else:
        known = [image for image in _photographs(model) if model.example in ("", Path(image.name).stem)]
        items = [_item(image.name, partial(_cut, image, "")) for image in known]
        for part in PARTS:
            items += [_item(f"{image.name}, {part}", partial(_cut, image, part)) for image in known]
    return Source(tuple(items), "bundled pictures", "")


def about(model: ModelSpec) -> str:
    """Return what these pictures are, in a sentence."""
    if model.example in SCENES:
        return f"{DRAWN} drawn scenes that {model.id} was not trained on."
    if model.example:
        return f"The example that {model.id} knows, and parts of it."
    count = len(packaged.photographs())
    return f"{count} photographs that are installed with Sightglass, and {len(PARTS)} parts of each."


def _photographs(model: ModelSpec) -> list[Image]:
    """Return the bundled photographs, or the drawn scenes for a model trained on those."""
    names = [name for name in image_source.EXAMPLES if (name in packaged.PHOTOGRAPHS) != bool(model.example)]
    images = []
    for name in names:
        # The package of a photograph may be missing.
        with contextlib.suppress(Problem):
            images.append(image_source.load_bundled(name))
    return images


def _cut(image: Image, part: str) -> Image:
    """Return a part of a picture; for an empty name the picture."""
    if not part:
        return image
    picture = Pillow.fromarray(np.asarray(image.pixels[..., :3]))
    scale = SIDE / min(picture.size)
    if scale < 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Pillow.Resampling.BICUBIC)
    left, top, right, bottom = PARTS[part]
    width, height = picture.size
    box = (int(left * width), int(top * height), int(right * width), int(bottom * height))
    return Image(np.ascontiguousarray(picture.crop(box)), f"{image.name}, {part}")


def _item(name: str, make: Callable[[], Image], label: str | None = None) -> Item:
    return Item(f"{label}/{name}" if label else name, "bundled", make, label)


def _scene(number: int, task: str) -> Item:
    spec = sample(number, task=task, held_out=True)
    label = draw(spec).objects[0].label if task == "classify" else None
    name = f"scene {number}.png"
    return _item(name, lambda: Image.open(draw(enlarge(spec)).pixels, name=name), label)


class BundledJob(BatchJob):
    """A run over the bundled pictures; its results are deleted when the process ends."""

    shared = True

    def __init__(self, model: ModelSpec, options: dict[str, Any]) -> None:
        self._folder = scratch_folder("bundled")
        super().__init__(source(model), (RunPlan(model.id, options, Path(self._folder.name) / "results"),))


def job(choices: Choices, explainer: Explainer) -> BundledJob | None:
    """Return the run with these choices, which every session shares that may use the model.

    None for a model that would take minutes.
    """
    if not explainer.resident.gradients:
        return None
    return explain_job.example(choices, _job, partial(BundledJob, choices.model))


@st.cache_resource(show_spinner=False, max_entries=6)
def _job(model: str, whose: str, options: str, _make: Callable[[], BundledJob]) -> BundledJob:
    del model, whose, options
    return _make()
