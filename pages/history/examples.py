"""Save three examples in an unused history."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import explain
from sightglass.common.errors import Problem
from sightglass.components.session import history_store, page, state
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.session.pictures import image_source
from sightglass.explain.picture import image
from sightglass.models.demo import scenes
from sightglass.models.demo.showcase import STORIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.explain.picture.image import Image
    from sightglass.history import History


@dataclass
class ExampleMaking:
    """The session's examples while they are made."""

    task: Task[Status] | None = None


def running() -> bool:
    """Return whether this session's examples are being made."""
    return state.of(ExampleMaking).task is not None


def draw() -> bool:
    """Start the examples where the history was never used, and draw their progress; return whether it is drawn."""
    making = state.of(ExampleMaking)
    if making.task is None:
        if not history_store.store().begin_examples():
            return False
        making.task = Task(_make, Status(words="Loading a model"), history_store.store())
    if making.task.finished():
        task, making.task = making.task, None
        if task.status.failure is not None and not isinstance(task.status.failure, Problem):
            page.LOGGER.error("the examples could not be made", exc_info=task.status.failure)
        return False
    st.markdown("## Nothing saved yet: making three examples")
    background.progress(making.task)
    st.caption("Press **Save** below a map, and you find it here again.")
    return True


def _make(status: Status, cancel: Event, store: History) -> None:
    """Explain a photograph, and a scene by a model that cheats and by an honest one, and save all three."""
    # Nobody stops it: it takes seconds, and there is no second time.
    del cancel
    story = STORIES["stamp"]
    bus, scene = partial(image_source.load_bundled, image_source.FIRST), partial(_scene, "stamp")
    every: tuple[tuple[str, Callable[[], Image], str], ...] = (
        (
            story.honest,
            scene,
            "An example. The same scene as beside it, by a model that never saw the shortcut. Select both to compare.",
        ),
        (
            story.cheat,
            scene,
            "An example. This model learnt that a stamp in the corner means a rod-cross: that is where it looks.",
        ),
        ("efficientnet-lite0", bus, "An example: a photograph, and where a small model sees a minibus in it."),
    )
    for number, (model, picture, words) in enumerate(every):
        status.report(number / len(every), f"{model} ({number + 1} of {len(every)})")
        try:
            made = explain.Explainer(model)(
                picture(), question="where" if model == "efficientnet-lite0" else "why", top_k=3
            )
            store.keep(made, note=words, example=True)
        except Problem as problem:
            # Its weights or its picture are not installed: the others are examples enough.
            page.LOGGER.warning("an example could not be made: %s", problem)


def _scene(story: str) -> Image:
    return image.Image.open(scenes.draw(STORIES[story].with_clue(0)).pixels, name="a stamped scene.png")
