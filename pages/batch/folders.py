"""Which class each folder counts as, before and after a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch import labels, output
from sightglass.batch.labelled import labels as labelled
from sightglass.batch.table import classes as read_classes
from sightglass.batch.table import read_scores
from sightglass.common.errors import Problem
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.views import tables
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import task_of
from sightglass.pages.batch.job import Batch, BatchJob, frame_of_job
from sightglass.pages.batch.source import ChosenLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sightglass.components.session.state import Choices
    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain import Explainer
    from sightglass.pages.batch.source import Source


def describe_left_out(job: BatchJob) -> str:
    """Describe the uncounted folders; empty for none."""
    folders = _find(job)
    if folders and not any(match.classes for match in folders):
        return "No folder name matches a class of this model."
    return escape(labels.describe_left_out([replace(match, folder=shorten(match.folder, 24)) for match in folders]))


def _find(job: BatchJob) -> list[labels.FolderLabel]:
    folder = job.plans[0].folder
    if read_scores(folder).numbers:
        return []
    if (truth := _read_labels(folder)) is not None:
        return labelled.list_names(truth, read_classes(folder), labels.corrections(folder))
    return labels.find_labels(frame_of_job(job), job.plans[0].folder)


def _read_labels(folder: Path) -> GroundTruth | None:
    path = folder / labelled.FILE
    if not (changed := state.modified(path)):
        return None
    return state.latest("batch-truth", (path, changed), lambda: labelled.read_labels(output.Local(folder)))


def draw(job: BatchJob) -> None:
    """Draw the labels' classes and their correction; nothing without labels."""
    matches, folder = _find(job), job.plans[0].folder
    from_file = _read_labels(folder) is not None

    def correct(name: str, named: Sequence[str]) -> None:
        try:
            labels.correct(folder, {name: named})
            if not from_file:
                with st.spinner("Counting again…", show_time=False):
                    labelled.evaluate_folders(folder)
        except OSError as error:
            raise output.unwritable(folder, error) from error
        if from_file:
            # Objects under another name are found or missed for other reasons: their pictures are explained again.
            plans = tuple(replace(plan, labels=None) for plan in job.plans)
            state.of(Batch).job = BatchJob(job.source, plans)

    _draw(matches, read_classes(folder), None if job.example else correct, from_file=from_file)


def draw_before(source: Source, choices: Choices, explainer: Explainer, folder: Path | None) -> None:
    """Draw the same for chosen pictures; `folder`: of an earlier equal run."""
    counts = Counter(item.label for item in source.items if item.label)
    known, truth = _find_known(choices, explainer), state.of(ChosenLabels).truth
    if not known or not (counts or truth):
        return
    batch = state.of(Batch)

    def correct(name: str, named: Sequence[str]) -> None:
        batch.matches[name] = tuple(named)

    if truth is not None:
        chosen = (labels.corrections(folder) if folder else {}) | _said(known)
        _draw(labelled.list_names(truth, known, chosen), known, correct, from_file=True)
    else:
        _draw(labels.list_labels(counts, known, folder, _said(known)), known, correct)


def _said(known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the matches chosen before the run, for known classes."""
    classes = {*known}
    return {name: named for name, named in state.of(Batch).matches.items() if classes.issuperset(named)}


def keep(choices: Choices, explainer: Explainer, folder: Path) -> None:
    """Write the matches chosen before the run into its folder."""
    if matches := _said(_find_known(choices, explainer)):
        try:
            labels.correct(folder, matches)
        except OSError as error:
            raise output.unwritable(folder, error) from error
    state.of(Batch).matches = {}


def _find_known(choices: Choices, explainer: Explainer) -> tuple[str, ...]:
    """Return the model's classes, prompts included; none for numbers."""
    if task_of(explainer.model).measures:
        return ()
    prompts = {name: value for name, value in choices.options.items() if name in ("vocabulary", "examples")}
    try:
        return explainer.with_vocabulary(explainer.resident, Options.parse(prompts), None).adapter.labels
    except Problem:
        # What is wrong with them is said where the pictures are explained.
        return ()


def _draw(
    matches: Sequence[labels.FolderLabel],
    known: Sequence[str],
    correct: Callable[[str, Sequence[str]], None] | None,
    *,
    from_file: bool = False,
) -> None:
    """Draw the matches; `from_file`: of given labels, not of folders."""
    if not matches:
        return
    counted, total = (
        sum(match.pictures for match in some) for some in ([match for match in matches if match.classes], matches)
    )
    matched = sum(bool(match.classes) for match in matches)
    with st.expander(
        f"Labels and classes: {matched:,} of {plural(len(matches), 'label')} matched"
        if from_file
        else f"Folders as labels: {counted:,} of {plural(total, 'picture')} counted",
        icon=":material/folder:",
        # A question is seen; a folder that is no class may be meant as none.
        expanded=correct is not None and any(match.suggestion for match in matches),
    ):
        rows = [
            {"label" if from_file else "folder": match.folder, "class": _name(match), "pictures": match.pictures}
            for match in matches
        ]
        tables.table(rows, height=min(300, 36 * (len(rows) + 1)))
        if correct is not None:
            _correct({match.folder: match for match in matches}, known, correct, from_file=from_file)


def _name(match: labels.FolderLabel) -> str:
    asked = f": did you mean {match.suggestion}?" if match.suggestion else ""
    return ", ".join(match.classes) or f"not counted{asked}"


def _correct(
    matches: dict[str, labels.FolderLabel],
    known: Sequence[str],
    correct: Callable[[str, Sequence[str]], None],
    *,
    from_file: bool,
) -> None:
    """Draw the choice of a label and its classes."""
    known = sorted({*known, *(name for chosen in matches.values() for name in chosen.classes)})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Label" if from_file else "Folder",
            list(matches),
            key="batch-label-folder",
            width=220,
            help="Those that are not counted come first.",
        )
        chosen = matches[name]
        named = st.multiselect(
            "Counts as",
            known,
            default=list(chosen.classes) or ([chosen.suggestion] if chosen.suggestion else []),
            # Another key for each folder: its own classes are shown first.
            key=f"batch-label-{name}",
            width=320,
            placeholder="no class: not counted",
            # Enter takes the first match, and not all of them.
            select_all=False,
            help="A prediction of any of these is right. Without a class these pictures are not counted.",
        )
        if st.button("Use", icon=":material/check:", disabled=set(named) == set(chosen.classes), help="Count it so."):
            correct(name, named)
            st.rerun()
