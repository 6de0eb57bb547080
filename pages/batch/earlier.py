"""List earlier batch runs, to go on with or to open."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import examples
from sightglass.batch import output
from sightglass.batch.earlier import list_runs, read_facts
from sightglass.batch.table import PARQUET
from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.settings import settings
from sightglass.components.choices import gallery_picker
from sightglass.components.session import state
from sightglass.components.session.history_store import exact
from sightglass.components.session.markdown import escape, sentence
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import plural
from sightglass.explain.picture import remote
from sightglass.explain.picture.source import find, spread
from sightglass.pages.batch.job import Batch, BatchJob, OpenedJob, RunPlan
from sightglass.pages.batch.source import MAX_PICTURES, Source

if TYPE_CHECKING:
    from sightglass.batch.earlier import EarlierRun, RunFacts


def choose() -> BatchJob | None:
    """Draw this person's earlier runs, the newest first; return the job of one that was just chosen."""
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
    """Draw a line on a run, and its button; return whether that was pressed."""
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
    """Return why a run's pictures cannot be read, in a sentence; empty where they can."""
    try:
        for path, _ in _locate(facts):
            # Of a pattern, the folder before its first sign counts.
            start = re.split(r"[*?[]", str(path))[0]
            there = path if start == str(path) else Path(os.path.dirname(start))
            if not there.exists():
                return f"{there} is not there any more: put it back to go on."
    except Problem as problem:
        return str(problem)
    return ""


def _locate(facts: RunFacts) -> list[tuple[Path, Path]]:
    """Return where a run's pictures are, each with the permitted folder; raise ModelProblem where none may be read."""
    allowed = gallery_picker.folders()
    found = []
    for one in facts.origin.source:
        if (path := remote.local_path(one)) is None:
            raise ModelProblem("Its pictures are not on this machine: go on with it on the command line.")
        path = Path(os.path.join(facts.origin.base, path.expanduser()))
        if not allowed:
            raise ModelProblem(f"The operator has to name {path} in SIGHTGLASS_FOLDERS to go on.")
        found.append(gallery_picker.check_path(str(path), allowed))
    return found


def reopen(run: EarlierRun, facts: RunFacts) -> BatchJob:
    """Return the job that goes on with a run, or shows a finished one; raise Problem where its pictures are gone."""
    origin, plans = facts.origin, [_make_plan(run.folder, facts)]
    if (second := origin.second) is not None:
        folder = run.folder.parent / second.folder
        plans.append(replace(plans[0], model=second.model, options=second.options, folder=folder))
    if run.left:
        return BatchJob(_find_source(facts), tuple(plans))
    try:
        source = _find_source(facts)
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


def _find_source(facts: RunFacts) -> Source:
    """Return the pictures of a run; raise Problem where they cannot be read."""
    found = _locate(facts)
    path, root = found[0]
    several = len(found) > 1
    given = [one for one, _ in found] if several else str(path)
    base = Path(facts.origin.base) if several and facts.origin.base else None
    items = find(given, within=root, most=MAX_PICTURES, base=base)
    if facts.origin.samples is not None:
        items = spread(items, facts.origin.samples)
    return Source(tuple(items), facts.name, str(path), facts.origin)


def find_finished(file: str = PARQUET) -> list[Path]:
    """Return the folders of finished batch runs, of this session and of this person's earlier ones; newest first.

    `file`: what is in each of them.
    """
    found: dict[Path, float] = {}
    job = state.of(Batch).job
    places = [plan.folder for plan in job.plans] if job is not None and job.finished() else []
    base = users.folder(settings().batches)
    # The folder is missing until the first run.
    with contextlib.suppress(OSError):
        places += [path for path in base.iterdir() if path.is_dir()]
    for place in places:
        try:
            found[place] = (place / file).stat().st_mtime
        except OSError:
            continue
    return sorted(found, key=lambda place: -found[place])[:40]
