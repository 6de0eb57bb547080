"""Score models on labelled pictures in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import examples
from sightglass.components.session.jobs.background import Status, Task
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import run
from sightglass.explain import Explainer

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.explain.picture.item import Item

READING = 10.0
"""Seconds for which a page waits for stored runs; then it shows that they are read."""


@dataclass(frozen=True)
class ScorePlan:
    """What is scored: pictures with labels, by models."""

    models: tuple[str, ...]
    items: tuple[Item, ...] = ()
    labels: GroundTruth | None = None
    """None: folders are classes."""
    runs: tuple[Path, ...] = ()
    """Folders of labelled runs, which are compared instead of running the models again."""


@dataclass
class ScoreStatus(Status):
    """What the thread reports to the page."""

    card: Scorecard | None = None
    left_out: list[str] = field(default_factory=list)
    """A sentence on each picture, or line of labels, that does not count."""


@dataclass
class ScorecardPage:
    """What this session does on the page."""

    job: ScoreJob | None = None


class ScoreJob(Task[ScoreStatus]):
    """Models scored on labelled pictures, in a thread."""

    def __init__(self, plan: ScorePlan, *, example: bool = False) -> None:
        self.plan, self.example = plan, example
        super().__init__(_run, ScoreStatus(), plan)
        if plan.runs:
            self.finished(READING)


@st.cache_resource(show_spinner=False, max_entries=1)
def open_example() -> ScoreJob:
    """Return the scorecard of the packaged runs."""
    folders = run.find_runs(examples.find(examples.SCORECARD))
    return ScoreJob(ScorePlan(tuple(folder.name for folder in folders), runs=tuple(folders)), example=True)


def _run(status: ScoreStatus, cancel: Event, plan: ScorePlan) -> None:
    status.report(0.0, "Reading the labels")
    if plan.runs:
        rows, status.left_out = run.score_runs(plan.runs)
    else:
        pictures, left = run.gather(plan.items, plan.labels)
        problems = plan.labels.problems if plan.labels is not None else ()
        status.left_out = [*(one.words for one in problems), *left]
        rows = run.score_models(plan.models, Explainer, pictures, tell=status.report, cancel=cancel)
    status.report(1.0, "Comparing the answers")
    status.card = scorecards.compare(rows)
