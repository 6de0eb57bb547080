"""Explain the bundled clip for a first visit to Video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import video
from sightglass.common.files.scratch import scratch_folder
from sightglass.components.session.jobs import explain_job
from sightglass.pages.video.folders import ClipPlan, ClipSource
from sightglass.pages.video.job import ClipJob
from sightglass.video.clips import example

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer

EVERY = 2
"""The model looks at every second frame of the example: it is there sooner."""


def source(choices: Choices) -> ClipSource:
    """Return the clip that a model knows."""
    name = example.known_to(choices.model)
    return ClipSource(example.example(name), name)


def job(choices: Choices, explainer: Explainer) -> ClipJob | None:
    """Return the run with these choices, which every session shares that may use the model.

    None for a model that would take minutes.
    """
    if not explainer.resident.gradients or explainer.model.task == "embed":
        return None
    return explain_job.example(choices, _job, partial(_start, choices))


@st.cache_resource(show_spinner=False, max_entries=6)
def _job(model: str, whose: str, options: str, _make: Callable[[], ClipJob]) -> ClipJob:
    del model, whose, options
    return _make()


def _start(choices: Choices, options: dict[str, Any]) -> ClipJob:
    folder = scratch_folder("clip")
    plan = ClipPlan(
        source(choices), choices.model.id, options, video.Settings(every=EVERY), Path(folder.name) / "results"
    )
    return ClipJob(plan, keep=folder)
