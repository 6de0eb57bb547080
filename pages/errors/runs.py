"""Choose a run with labels, and find its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import examples
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.components.choices import gallery_picker
from sightglass.components.session import state, url_state
from sightglass.components.session.markdown import sentence
from sightglass.evaluation import stored
from sightglass.evaluation.errors import ErrorReport
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.source import find
from sightglass.pages.batch.earlier import find_finished
from sightglass.pages.batch.job import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sightglass.evaluation.stored import Evaluation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.picture.item import Item

EXAMPLE = "example"
_OBJECT = 600
"""Bytes of an answer or a labelled object in memory, about."""
_reports: ByteCache[tuple[ErrorReport, int]] = ByteCache(24 * MIB, itemgetter(1))
"""What is said of each run's errors; sessions share them, and change nothing in them."""


@dataclass
class ErrorsView:
    """What the session remembers of the page."""

    folders: dict[str, str] = field(default_factory=dict)
    """By run: where its pictures are, as a person said."""
    problem: str = ""
    """Why the last action failed."""


@dataclass(frozen=True, eq=False)
class LabelledRun:
    """A finished run with labels."""

    folder: Path
    example: bool
    report: ErrorReport
    items: Mapping[str, Item]
    """Its pictures, by their keys; none where they are not known."""
    stamp: tuple[str, int]
    """Changes with its evaluation."""

    @property
    def evaluation(self) -> Evaluation:
        return self.report.evaluation

    def open(self, key: str) -> Image:
        """Open one of its pictures; raise Problem where it is not known."""
        if key not in self.items:
            raise Problem(f"{key} is not among the pictures that are known: say below where the pictures are.")
        return self.items[key].open()


def choose() -> str:
    """Draw the choice of a run, if there are any; return its name, or `EXAMPLE`."""
    runs = {path.name: path for path in find_finished(stored.FILE)}
    if not runs:
        return EXAMPLE
    return url_state.widget(
        st.selectbox,
        "Run",
        {name: name for name in runs} | {EXAMPLE: "Example: demo-s, drawn scenes"},
        next(iter(runs)),
        key="errors-run",
        name="run",
        label_visibility="collapsed",
        width=280,
        help="A finished batch run with labels, the newest first, or the example.",
    )


def open_run(name: str) -> LabelledRun:
    """Return a run by its name; raise Problem where its evaluation cannot be read."""
    if name == EXAMPLE:
        folder = examples.find(examples.BOXES) / "run"
    else:
        found = next((path for path in find_finished(stored.FILE) if path.name == name), None)
        if found is None:
            raise Problem(f"The run {name} is not there any more: choose another.")
        folder = found
    try:
        changed = (folder / stored.FILE).stat().st_mtime_ns
    except OSError:
        # Loading says it.
        changed = 0
    stamp = (str(folder), changed)
    report, _ = _reports.get_or_make(stamp, lambda: _load(folder))
    return LabelledRun(folder, name == EXAMPLE, report, _find_items(name, folder), stamp)


def _load(folder: Path) -> tuple[ErrorReport, int]:
    report = ErrorReport(stored.load(folder))
    pictures = report.evaluation.pictures
    objects = sum(len(one.found) + len(one.truths) for one in pictures)
    maps = sum(values.nbytes for one in pictures for values in one.maps.values())
    with stored.pause_collector():
        return report, maps + _OBJECT * objects + int(report.units.memory_usage(deep=True).sum())


def _find_items(name: str, folder: Path) -> Mapping[str, Item]:
    """Return the pictures of a run, as far as this session knows where they are."""
    if name == EXAMPLE:
        place = folder.with_name("pictures")
        return state.latest("errors-example", place, lambda: {one.key: one for one in find(str(place))})
    job = state.of(Batch).job
    if job is not None and any(plan.folder == folder for plan in job.plans):
        return {one.key: one for one in job.source.items}
    text = state.of(ErrorsView).folders.get(name)
    if not text:
        return {}
    return state.latest("errors-items", (name, text), lambda: _read_folder(text))


def _read_folder(text: str) -> dict[str, Item]:
    try:
        path, root = gallery_picker.check_path(text, gallery_picker.folders())
        return {one.key: one for one in find(str(path), within=root)}
    except Problem as problem:
        state.of(ErrorsView).problem = str(problem)
        return {}


def ask_for_pictures(run: LabelledRun) -> None:
    """Draw the question where a run's pictures are; without them it has only those under their maps."""
    if run.items:
        return
    view = state.of(ErrorsView)
    if not gallery_picker.folders():
        st.caption(
            ":material/image_not_supported: The pictures of this run were uploaded in another session. Shown "
            "are those under their maps. To open one, explain them again on Batch."
        )
        return

    def take() -> None:
        view.folders[run.folder.name] = str(st.session_state["errors-folder"])

    st.text_input(
        "Where are the pictures of this run?",
        key="errors-folder",
        on_change=take,
        placeholder=str(gallery_picker.folders()[0]),
        width=420,
        help="Their folder, so that a picture can be opened. Until then the run's own small pictures are shown.",
    )
    problem, view.problem = view.problem, ""
    if problem:
        st.error(sentence(problem), icon=":material/error:")
