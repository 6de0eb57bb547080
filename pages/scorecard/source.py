"""Choose labelled pictures, and the models that are scored on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import examples
from sightglass.components.choices import gallery_picker, model_picker
from sightglass.components.session import url_state
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.views import tables
from sightglass.evaluation.scorecard import MOST, run
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.explain import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.pages.batch import source as pictures
from sightglass.pages.batch.job import list_labelled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.explain.picture.item import Item
    from sightglass.models.spec import ModelSpec


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
        status.left_out = [*(problem.words for problem in problems), *left]
        rows = run.score_models(plan.models, Explainer, pictures, tell=status.report, cancel=cancel)
    status.report(1.0, "Comparing the answers")
    status.card = scorecards.compare(rows)


TASKS = {"detect": "Detectors", "classify": "Classifiers"}
WAYS = {"now": "Run the models now", "runs": "Runs with labels"}


def choose() -> ScorePlan | None:
    """Draw and return the models or runs to score; None if incomplete."""
    way = url_state.widget(
        st.segmented_control,
        "Answers",
        WAYS,
        "now",
        key="scorecard-way",
        name="answers",
        help="Runs of Batch with labels hold their answers and maps: nothing has to be computed again.",
    )
    if way == "runs":
        return _choose_runs()
    left, right = st.columns(2, gap="medium")
    with right:
        task = url_state.widget(
            st.segmented_control,
            "What they do",
            TASKS,
            "detect",
            key="scorecard-task",
            name="task",
            help="Detectors are scored on labelled boxes, classifiers on the class of each picture.",
        )
        models = _choose_models(task)
    with left:
        source = pictures.choose()
        labels = pictures.choose_labels(task_of(task), about="Without labels the folder of a picture is its class.")
    if source is None or (labels is None and task_of(task).has_boxes) or len(models) < 2:
        return None
    return ScorePlan(tuple(models), source.items, labels)


def _choose_runs() -> ScorePlan | None:
    """Draw the choice of stored runs."""
    paths = list_labelled()
    if gallery_picker.folders():
        named = gallery_picker.ask(
            "Folder of runs",
            key="scorecard-runs-in",
            name="runs",
            help="A run with labels, or a folder that holds several",
        )
        folder_runs = run.find_runs(named[0]) if named is not None else []
        paths |= {f"{path.parent.name}/{path.name}": path for path in folder_runs}
    if not paths:
        st.caption("There is no run with labels yet: run a batch with labels first.")
        return None
    chosen: list[str] = st.multiselect(
        f"Runs, two to {MOST}",
        [*paths],
        select_all=False,
        key="scorecard-runs",
        max_selections=MOST,
        help="Runs of different models, or settings, over the same labelled pictures.",
    )
    return ScorePlan(tuple(chosen), runs=tuple(paths[name] for name in chosen)) if len(chosen) > 1 else None


def list_problems(sentences: Sequence[str]) -> None:
    """Draw the excluded pictures with reasons; nothing if none."""
    if not sentences:
        return
    with st.expander(f"{plural(len(sentences), 'line')} or pictures do not count", icon=":material/broken_image:"):
        tables.table([{"what": sentence} for sentence in sentences[:200]])


def _choose_models(task: str) -> list[str]:
    here = model_picker.menu()[1]
    specs = {name: spec for name, spec in catalog.catalog().items() if spec.task == task}
    key = f"scorecard-models-{task}"
    first = _find_first(task)
    url_state.recall(key, specs, first, name="score", read=lambda text: text.split(",")[:MOST])
    chosen: list[str] = st.multiselect(
        f"Models, two to {MOST}",
        list(specs),
        format_func=lambda name: f"{name}{model_picker.mark(specs[name], here)}",
        select_all=False,
        key=key,
        max_selections=MOST,
        help="The first answer to which of them can be shipped is about the fastest, beside the largest.",
    )
    url_state.keep(key, chosen, first, name="score")
    return chosen


def _find_first(task: str) -> list[str]:
    """Return the sizes of the first family with several on this machine."""
    here: dict[str, list[ModelSpec]] = {}
    for spec in model_picker.present(task):
        here.setdefault(spec.family, []).append(spec)
    sizes = next((specs for specs in here.values() if len(specs) > 1), [])
    return [spec.id for spec in sizes[:3]]
