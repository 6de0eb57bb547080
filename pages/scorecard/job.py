"""Score models on labelled pictures in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components.session.jobs.background import Status, Task
from sightglass.evaluation import ground_truth, known_cause
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import labelled, stored_runs
from sightglass.explain import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture import source

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.explain.picture.item import Item

EXAMPLE = ("demo-s", "demo-m", "demo-l")
"""Models of the example that the page opens on."""


@dataclass(frozen=True)
class ScorePlan:
    """What is scored: pictures with labels, by models."""

    models: tuple[str, ...]
    items: tuple[Item, ...]
    labels: GroundTruth | None
    """None: folders are classes."""
    name: str
    """What the pictures are called."""
    runs: tuple[Path, ...] = ()
    """Folders of labelled runs, which are compared instead of running the models again."""


@dataclass
class ScoreStatus(Status):
    """What the thread reports to the page."""

    card: Scorecard | None = None
    left_out: list[str] = field(default_factory=list)
    """A sentence on each picture, or line of labels, that does not count."""
    items: dict[str, Item] = field(default_factory=dict)
    """The pictures by their keys."""


class ScoreJob(Task[ScoreStatus]):
    """Models scored on labelled pictures, in a thread."""

    shared = False
    """Whether it is the example that every session sees."""

    def __init__(self, plan: ScorePlan | None) -> None:
        """Start with a plan; None: with the example."""
        self.plan = plan
        super().__init__(_run, ScoreStatus(), plan)


class ExampleJob(ScoreJob):
    """The bundled scenes with planted causes, scored."""

    shared = True

    def __init__(self) -> None:
        super().__init__(None)


@st.cache_resource(show_spinner=False, max_entries=1)
def example() -> ExampleJob:
    """Return the process's example."""
    return ExampleJob()


def _run(status: ScoreStatus, cancel: Event, plan: ScorePlan | None) -> None:
    status.report(0.0, "Reading the labels")
    plan = plan or _plan_example()
    if plan.runs:
        rows, status.left_out = stored_runs.score_runs(plan.runs)
        items = plan.items
    else:
        pictures, left = labelled.gather(plan.items, plan.labels)
        problems = plan.labels.problems if plan.labels is not None else ()
        status.left_out = [*(one.words for one in problems), *left]
        rows = scorecards.score_models(plan.models, Explainer, pictures, tell=status.report, cancel=cancel)
        items = tuple(one.item for one in pictures)
    status.report(1.0, "Comparing the answers")
    card = scorecards.compare(rows)
    # Here, so that the page need not wait for it.
    for one in card.verdicts:
        if cancel.is_set():
            raise Cancelled
        _ = one.sentences, one.pair.same_answers
    status.items = {one.key: one for one in items}
    status.card = card


def _plan_example() -> ScorePlan:
    folder = known_cause.open_set()
    items = tuple(source.find(str(folder)))
    labels = ground_truth.read(folder / known_cause.LABELS["detect"])
    return ScorePlan(EXAMPLE, items, labels, plural(len(items), "drawn scene"))
