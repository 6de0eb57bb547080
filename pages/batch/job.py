"""Run a batch in a thread, with progress and stop."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import batch, examples
from sightglass.batch import analysis, journal, labels, output, seals, table
from sightglass.batch.earlier import RunOrigin, SecondRun, list_runs, read_facts
from sightglass.batch.labelled import labels as labelled
from sightglass.batch.labelled import summary as labelled_summary
from sightglass.batch.table import PARQUET
from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import file_stem
from sightglass.common.settings import MIB, settings
from sightglass.components.choices import gallery_picker
from sightglass.components.session import state
from sightglass.components.session.history_store import exact
from sightglass.components.session.jobs.background import Status, Task
from sightglass.components.session.markdown import escape, sentence
from sightglass.evaluation import stored
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.methods import METHODS, describe_setup
from sightglass.explain.phrases import plural
from sightglass.explain.picture import remote
from sightglass.explain.picture.source import find, spread
from sightglass.pages.batch.source import MAX_PICTURES, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from threading import Event

    from sightglass.batch import Summary
    from sightglass.batch.earlier import EarlierRun, RunFacts
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.picture.item import Item

    Frame = Any


READING = 10.0
"""Seconds for which a page waits for the results of a finished run; then it shows that they are read."""


@dataclass(frozen=True)
class RunPlan:
    """One model's run, and where its results go."""

    model: str
    options: dict[str, Any]
    folder: Path
    prove: bool = False
    """Whether every map is proved, too."""
    seal: bool = False
    """Whether every map is sealed, too: also those of an earlier run in the same folder."""
    labels: GroundTruth | None = field(default=None, repr=False)
    """What is in the pictures; None: those of an earlier run in the same folder, if it has any."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `batch.run`, of a run that was begun elsewhere."""


@dataclass
class BatchStatus(Status):
    """What the thread reports to the page."""

    summaries: list[Summary] = field(default_factory=list)


class BatchJob(Task[BatchStatus]):
    """One or two runs in a thread."""

    example = False
    """Whether it is the packaged run: nothing beside its table can be changed."""

    def __init__(self, source: Source, plans: tuple[RunPlan, ...], *, resume: bool = True) -> None:
        self.source, self.plans = source, plans
        super().__init__(_run, BatchStatus(), source, plans, resume)

    @property
    def folders(self) -> tuple[Path, Path | None]:
        """The results of the first model, and of the second."""
        return self.plans[0].folder, self.plans[1].folder if self.plans[1:] else None

    def find_item(self, picture: str) -> Item | None:
        """Return a picture by its key; None if unknown."""
        return next((item for item in self.source.items if item.key == picture), None)

    @property
    def stopped(self) -> bool:
        return any(summary.cancelled for summary in self.status.summaries)


def _run(status: BatchStatus, cancel: Event, source: Source, plans: tuple[RunPlan, ...], resume: bool) -> None:
    for number, plan in enumerate(plans):
        before = f"{plan.model}: " if len(plans) > 1 else ""

        def report(share: float, words: str, number: int = number, before: str = before) -> None:
            status.report((number + share) / len(plans), before + words)

        summary = batch.run(
            source.items,
            plan.model,
            plan.folder,
            options=plan.options,
            prove=plan.prove,
            seal=plan.seal,
            labels=plan.labels,
            progress=report,
            cancel=cancel,
            resume=resume,
            origin=_describe_origin(source, plans, number),
            **plan.more,
        )
        if (plan.folder / labelled.FILE).exists():
            report(1.0, "Comparing with the labels")
            # What it returns is kept beside the table, where the page finds it; the maps are there without it, too.
            with contextlib.suppress(Problem):
                labelled_summary.load(plan.folder)
        status.summaries.append(summary)
        if summary.cancelled:
            return


def _describe_origin(source: Source, plans: tuple[RunPlan, ...], number: int) -> RunOrigin | None:
    """Return the chosen source of a run; None for uploads."""
    if not source.path:
        return None
    origin = source.origin or RunOrigin(source=(source.path,), name=source.name)
    second = None
    if plans[1:] and number == 0:
        second = SecondRun(model=plans[1].model, options=plans[1].options, folder=plans[1].folder.name)
    return replace(origin, second=second)


class OpenedJob(BatchJob):
    """A finished run of before, whose results are read and not made."""

    def __init__(self, source: Source, plans: tuple[RunPlan, ...], pictures: int, *, example: bool = False) -> None:
        self.source, self.plans, self.example = source, plans, example
        Task.__init__(self, _read_results, BatchStatus(), plans, pictures)
        # Reading takes a moment; then no progress is drawn.
        self.finished(READING)


def _read_results(status: BatchStatus, _cancel: Event, plans: tuple[RunPlan, ...], pictures: int) -> None:
    for plan in plans:
        try:
            journal.settings_of(plan.folder)
            done = table.read(plan.folder)["picture"].nunique()
            failed = table.read_problems(plan.folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(f"The results in {plan.folder.name} cannot be read: explain these pictures again.") from error
        status.summaries.append(batch.Summary(plan.folder, pictures, done, 0, failed, 0.0, cancelled=False))


@dataclass
class Batch:
    """The session's run."""

    job: BatchJob | None = None
    matches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What folders count as, said before the run."""
    selected: list[str] = field(default_factory=list)
    """The pictures that are ticked."""
    shown: list[str] = field(default_factory=list)
    """Those that the gallery showed last, and by what they were sorted."""
    sorted_by: str = ""
    problem: str = ""
    """Why the last action on them failed."""


def folder_for(source: Source, model: str, options: dict[str, Any], scratch: Path, *, prove: bool = False) -> Path:
    """Return the folder of results, fixed for a permitted folder, resumable.

    For uploads it is `scratch`, which is deleted when the session ends.
    """
    plain = model.replace("/", "-")
    if not source.path:
        return scratch / plain
    # A run without proofs has the place that it had before there were any.
    named = json.dumps([source.path, model, options, *(["prove"] if prove else [])], default=str, sort_keys=True)
    digest = hashlib.sha256(named.encode()).hexdigest()[:10]
    base = users.folder(settings().batches)
    return base / f"{file_stem(source.name.replace('_', '-'), collapse=False, max_length=40)}-{plain}-{digest}"


_tables: ByteCache[tuple[Any, int]] = ByteCache(32 * MIB, itemgetter(1))
"""Tables, and what was found in them, each with its bytes; sessions share them, and change nothing in them."""


def _cached(key: Hashable, make: Callable[[], Any]) -> Any:
    """Return a cached result of a run's table."""

    def measure() -> tuple[Any, int]:
        result = make()
        # Groups are parts of their table.
        frame, parts = result if isinstance(result, tuple) else (result, ())
        return result, int(frame.memory_usage(deep=True).sum()) * (2 if parts else 1)

    return _tables.get_or_make(key, measure)[0]


def read_frame(first: Path, second: Path | None, changed: int) -> Frame:
    """Return a run's table, read again when its file has changed."""
    return _cached((first, second, changed), lambda: analysis.load(first, second))


def frame_of_job(job: BatchJob) -> Frame:
    """Return the table of a finished run."""
    return read_frame(*table_key(job))


def find_odd(*key: Any) -> tuple[Frame, list[analysis.Group]]:
    """Return each map's unusualness and the groups; `key`: of `table_key`."""
    outliers: tuple[Frame, list[analysis.Group]] = _cached(("odd", *key), lambda: analysis.odd(read_frame(*key)))
    return outliers


def describe_run(job: BatchJob) -> str:
    """Describe the run and its proofs: `demo-cls-l, GradCAM at layer4 (Where is it?)`."""
    first, second, changed = table_key(job)
    return "; compared with ".join(_describe_folder(folder, changed) for folder in (first, second) if folder)


def _describe_folder(folder: Path, changed: int) -> str:
    # The journal names what the choices left to the model.
    recipe = journal.settings_of(folder)["recipe"]
    setup = describe_setup(recipe["model"], recipe["method"], recipe["layers"], recipe["part"])
    proved = seals.describe_proofs(read_frame(folder, None, changed))
    return f"{setup}: {proved}" if proved else setup


def table_key(job: BatchJob) -> tuple[Path, Path | None, int]:
    """Return the cache key of a run's table."""
    first, second = job.folders
    # The second model has no table if the run was stopped before it started.
    both = second is not None and len(job.status.summaries) > 1 and job.status.summaries[1].done > 0
    changed = [(folder / PARQUET).stat().st_mtime_ns for folder in (first, *([second] if both and second else []))]
    for name in (labels.FILE, labels.TAGS_FILE):
        if (path := first / name).exists():
            changed.append(path.stat().st_mtime_ns)
    return first, second if both else None, sum(changed)


def choose_earlier() -> BatchJob | None:
    """Draw this person's earlier runs; return the chosen run's job."""
    runs = list_runs(users.folder(settings().batches))
    if not runs:
        return None
    with st.expander(
        f"Earlier runs: {len(runs)}",
        icon=":material/history:",
        # What was begun is seen.
        expanded=any(run.left for run in runs),
    ):
        for run in runs:
            if run.facts is None:
                st.caption(f":material/error: {sentence(run.problem)}")
            elif _draw_run(run, run.facts):
                try:
                    return reopen(run, run.facts)
                except Problem as problem:
                    st.error(sentence(problem), icon=":material/error:")
    return None


def _draw_run(run: EarlierRun, facts: RunFacts) -> bool:
    """Draw a run's line and button; return whether it was pressed."""
    missing = _find_problem(facts)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(facts.name)}**: {_describe(facts)}", width="content")
        if not run.left:
            pressed = st.button(
                "Finished: open",
                icon=":material/visibility:",
                key=f"batch-open-{run.folder.name}",
                help="Show the results of this run again.",
            )
        elif not missing:
            pressed = st.button(
                f"{run.left:,} of {facts.pictures:,} left: continue",
                icon=":material/play_arrow:",
                key=f"batch-on-{run.folder.name}",
                help="Explain the rest, with the model, method and labels of this run.",
            )
        else:
            pressed = False
            st.caption(f"{run.left:,} of {facts.pictures:,} left", width="content")
    if missing:
        st.caption(f":material/folder_off: {sentence(missing)}")
    return pressed


def _describe(facts: RunFacts) -> str:
    """Return `demo-s, GradCAM, 88 pictures, 24 Nov 2026, 13:40 UTC`."""
    second = facts.origin.second
    models = f"{facts.model} and {second.model}" if second is not None else facts.model
    method = METHODS.get(str(facts.arguments.options.get("method", "")))
    parts = [models, *([method.name] if method else []), plural(facts.pictures, "picture"), exact(facts.started)]
    return escape(", ".join(parts))


def _find_problem(facts: RunFacts) -> str:
    """Return the problem with a run's pictures; empty for none."""
    try:
        for path, _ in _locate(facts):
            # Of a pattern, the folder before its first sign counts.
            start = re.split(r"[*?[]", str(path))[0]
            parent = path if start == str(path) else Path(os.path.dirname(start))
            if not parent.exists():
                return f"{parent} is not there any more: put it back to go on."
    except Problem as problem:
        return str(problem)
    return ""


def _locate(facts: RunFacts) -> list[tuple[Path, Path]]:
    """Return the pictures' paths and permitted folders; raise ModelProblem if forbidden."""
    allowed = gallery_picker.folders()
    places = []
    for source in facts.origin.source:
        if (path := remote.local_path(source)) is None:
            raise ModelProblem("Its pictures are not on this machine: go on with it on the command line.")
        path = Path(os.path.join(facts.origin.base, path.expanduser()))
        if not allowed:
            raise ModelProblem(f"The operator has to name {path} in SIGHTGLASS_FOLDERS to go on.")
        places.append(gallery_picker.check_path(str(path), allowed))
    return places


def reopen(run: EarlierRun, facts: RunFacts) -> BatchJob:
    """Return the job for a run; raise Problem without its pictures."""
    origin, plans = facts.origin, [_make_plan(run.folder, facts)]
    if (second := origin.second) is not None:
        folder = run.folder.parent / second.folder
        plans.append(replace(plans[0], model=second.model, options=second.options, folder=folder))
    if run.left:
        return BatchJob(find_source(facts), tuple(plans))
    try:
        source = find_source(facts)
    except Problem:
        # The results are there all the same.
        source = Source((), facts.name, origin.source[0], origin)
    return OpenedJob(source, tuple(plans), facts.pictures)


def open_example() -> OpenedJob:
    """Return the packaged run."""
    folder = examples.find(examples.CLASSES) / "run"
    facts = read_facts(output.Local(folder))
    assert facts is not None
    source = Source(tuple(find(str(folder.with_name("pictures")))), facts.name, "")
    return OpenedJob(source, (_make_plan(folder, facts),), facts.pictures, example=True)


def _make_plan(folder: Path, facts: RunFacts) -> RunPlan:
    how = asdict(facts.arguments)
    options, prove, seal = how.pop("options"), how.pop("prove"), how.pop("seal")
    return RunPlan(facts.model, options, folder, prove, seal, more=how)


def find_source(facts: RunFacts) -> Source:
    """Return the pictures of a run; raise Problem if unreadable."""
    places = _locate(facts)
    path, root = places[0]
    several = len(places) > 1
    paths = [place for place, _ in places] if several else str(path)
    base = Path(facts.origin.base) if several and facts.origin.base else None
    items = find(paths, within=root, most=MAX_PICTURES, base=base)
    if facts.origin.samples is not None:
        items = spread(items, facts.origin.samples)
    return Source(tuple(items), facts.name, str(path), facts.origin)


def list_labelled() -> dict[str, Path]:
    """Return the labelled runs' folders by name, newest first.

    Those of a segmentation are left out: no picture or box of theirs is right or wrong.
    """
    job = state.of(Batch).job
    folders = [plan.folder for plan in job.plans] if job is not None and job.finished() else []
    folders += [run.folder for run in labelled_summary.list_runs()]
    return {folder.name: folder for folder in folders if (folder / stored.FILE).is_file()}
