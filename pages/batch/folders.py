"""Which class each folder counts as, before and after a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch import labels, output
from sightglass.batch.table import classes as read_classes
from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.views import tables
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.pages.batch import frames
from sightglass.pages.batch.job import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer
    from sightglass.pages.batch.job import BatchJob
    from sightglass.pages.batch.source import Source


def describe_left_out(job: BatchJob) -> str:
    """Say which folders' pictures are not counted; empty where all are, or there are none."""
    found = _find(job)
    if found and not any(one.classes for one in found):
        return "No folder name matches a class of this model."
    return escape(labels.describe_left_out([replace(one, folder=shorten(one.folder, 24)) for one in found]))


def _find(job: BatchJob) -> list[labels.FolderLabel]:
    return labels.find_labels(frames.of_job(job), job.plans[0].folder)


def draw(job: BatchJob) -> None:
    """Draw which class each folder of a run counts as, and the way to correct it; nothing without folders."""
    found, folder = _find(job), job.plans[0].folder

    def correct(name: str, named: Sequence[str]) -> None:
        try:
            labels.correct(folder, {name: named})
        except OSError as error:
            raise output.unwritable(folder, error) from error

    may = users.may_save() and not job.shared
    _draw(found, read_classes(folder), correct if may else None)


def draw_before(source: Source, choices: Choices, explainer: Explainer, folder: Path | None) -> None:
    """Draw the same for pictures that are only chosen; `folder`: of an earlier run with the same choices."""
    counts = Counter(item.label for item in source.items if item.label)
    known = _find_known(choices, explainer)
    if not counts or not known:
        return
    batch = state.of(Batch)

    def correct(name: str, named: Sequence[str]) -> None:
        batch.matches[name] = tuple(named)

    _draw(labels.list_labels(counts, known, folder, _said(known)), known, correct)


def _said(known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return what was said before the run, as far as this model knows the classes."""
    every = {*known}
    return {name: named for name, named in state.of(Batch).matches.items() if every.issuperset(named)}


def keep(choices: Choices, explainer: Explainer, folder: Path) -> None:
    """Write what was said before the run beside where its table will be."""
    if said := _said(_find_known(choices, explainer)):
        try:
            labels.correct(folder, said)
        except OSError as error:
            raise output.unwritable(folder, error) from error
    state.of(Batch).matches = {}


def _find_known(choices: Choices, explainer: Explainer) -> tuple[str, ...]:
    """Return the classes that the model knows, with the words it was given."""
    given = {name: one for name, one in choices.options.items() if name in ("vocabulary", "examples")}
    try:
        return explainer.with_vocabulary(explainer.resident, Options.parse(given), None).adapter.labels
    except Problem:
        # What is wrong with them is said where the pictures are explained.
        return ()


def _draw(
    found: Sequence[labels.FolderLabel], known: Sequence[str], correct: Callable[[str, Sequence[str]], None] | None
) -> None:
    if not found:
        return
    counted, every = (sum(one.pictures for one in some) for some in ([one for one in found if one.classes], found))
    with st.expander(
        f"Folders as labels: {counted:,} of {plural(every, 'picture')} counted",
        icon=":material/folder:",
        # A question is seen; a folder that is no class may be meant as none.
        expanded=correct is not None and any(one.suggestion for one in found),
    ):
        rows = [{"folder": one.folder, "class": _name(one), "pictures": one.pictures} for one in found]
        tables.table(rows, height=min(300, 36 * (len(rows) + 1)))
        if correct is not None:
            _correct({one.folder: one for one in found}, known, correct)


def _name(one: labels.FolderLabel) -> str:
    asked = f": did you mean {one.suggestion}?" if one.suggestion else ""
    return ", ".join(one.classes) or f"not counted{asked}"


def _correct(
    found: dict[str, labels.FolderLabel], known: Sequence[str], correct: Callable[[str, Sequence[str]], None]
) -> None:
    """Draw the choice of a folder and of the classes that it counts as."""
    known = sorted({*known, *(name for one in found.values() for name in one.classes)})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Folder", list(found), key="batch-label-folder", width=220, help="Those that are not counted come first."
        )
        one = found[name]
        named = st.multiselect(
            "Counts as",
            known,
            default=list(one.classes) or ([one.suggestion] if one.suggestion else []),
            # Another key for each folder: its own classes are shown first.
            key=f"batch-label-{name}",
            width=320,
            placeholder="no class: not counted",
            help="A prediction of any of these is right. Without a class these pictures are not counted.",
        )
        if st.button("Use", icon=":material/check:", disabled=set(named) == set(one.classes), help="Count it so."):
            correct(name, named)
            st.rerun()
