"""Choose a labelled run, and draw its errors: label and answer over the picture, with the map."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image as Pillow

from sightglass import examples
from sightglass.batch import earlier, journal, output, table
from sightglass.common import users
from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.settings import MIB
from sightglass.components.session import reopen, state, url_state
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.views.detections import Lookup, MissedPlace
from sightglass.evaluation import stored
from sightglass.evaluation.errors import ErrorReport, draw_tile
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.source import find
from sightglass.explain.recipe import Recipe
from sightglass.explain.tasks import task_of
from sightglass.export import embedded_recipe
from sightglass.models import catalog
from sightglass.pages.batch.job import Batch, find_source, list_labelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.evaluation.kinds import ErrorUnit
    from sightglass.evaluation.stored import Evaluation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.picture.item import Item
    from sightglass.explain.tasks.task import Task


EXAMPLE = "example"
_reports: ByteCache[tuple[ErrorReport, int]] = ByteCache(24 * MIB, itemgetter(1))
"""What is said of each run's errors; sessions share them, and change nothing in them."""


@dataclass
class ErrorsView:
    """What the session remembers of the page."""

    problem: str = ""
    """Why the last action failed."""


@dataclass(frozen=True, eq=False)
class LabelledRun:
    """A finished run with labels."""

    folder: Path
    example: bool
    report: ErrorReport
    items: Mapping[str, Item]
    """Its pictures, by their keys; none where they cannot be read."""
    missing: str
    """Why they cannot be read."""
    stamp: tuple[str, int]
    """Changes with its evaluation."""

    @property
    def evaluation(self) -> Evaluation:
        return self.report.evaluation

    @property
    def task(self) -> Task:
        return task_of(self.evaluation.task)

    def open(self, key: str) -> Image:
        """Open one of its pictures; raise Problem if unknown."""
        if key not in self.items:
            raise Problem(f"{key} is not among the pictures of this run any more: put it back.")
        return self.items[key].open()


def choose() -> str:
    """Draw the choice of a run; return its name or `EXAMPLE`."""
    runs = list_labelled()
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
    """Return a run by its name; raise Problem if unreadable."""
    folder = {**list_labelled(), EXAMPLE: examples.find(examples.BOXES) / "run"}.get(name)
    if folder is None:
        raise Problem(f"The run {name} is not there any more: choose another.")
    # Loading says that it is not there.
    stamp = (str(folder), state.modified(folder / stored.FILE))
    report, _ = _reports.get_or_make(stamp, lambda: _load(folder))
    items, missing = _find_items(name, folder)
    return LabelledRun(folder, name == EXAMPLE, report, items, missing, stamp)


def _load(folder: Path) -> tuple[ErrorReport, int]:
    report = ErrorReport(stored.load(folder))
    pictures = report.evaluation.pictures
    objects = sum(len(picture.found) + len(picture.truths) for picture in pictures)
    maps = sum(values.nbytes for picture in pictures for values in picture.maps.values())
    # An answer or a labelled object takes about 600 bytes.
    return report, maps + 600 * objects + 200 * len(report.units)


def _find_items(name: str, folder: Path) -> tuple[Mapping[str, Item], str]:
    """Return the pictures of a run, and why they cannot be read."""
    if name == EXAMPLE:
        place = folder.with_name("pictures")
        return state.latest("errors-example", place, lambda: {item.key: item for item in find(str(place))}), ""
    job = state.of(Batch).job
    if job is not None and any(plan.folder == folder for plan in job.plans):
        return {item.key: item for item in job.source.items}, ""
    return state.latest("errors-items", (folder, state.modified(folder / earlier.FILE)), lambda: _read_items(folder))


def _read_items(folder: Path) -> tuple[dict[str, Item], str]:
    try:
        facts = earlier.read_facts(output.Local(folder))
        if facts is None:
            return {}, "The pictures of this run were uploaded in another session."
        return {item.key: item for item in find_source(facts).items}, ""
    except Problem as problem:
        return {}, str(problem)


def say_missing(run: LabelledRun) -> None:
    """Draw the reason for unreadable pictures; nothing if readable."""
    if not run.items:
        advice = "Shown are those under their maps. To open one, explain them again on Batch."
        st.caption(f":material/image_not_supported: {escape(run.missing)} {advice}")


WIDE = 168
BOX = (2 * WIDE, 2 * WIDE * 3 // 4)
"""Pixels of a tile: twice its size on the page, for high-resolution screens."""
PAGE = 28
_tiles: ByteCache[bytes] = ByteCache(4 * MIB, len)
"""Tiles by run, error, and whether with the map; empty of a picture that cannot be opened."""


def draw(run: LabelledRun, errors: Sequence[ErrorUnit], words: str, which: str) -> None:
    """Draw errors by page under `words`, for the choice `which`."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        help = "White: what is labelled. Dashed: what the model answered. Yellow is where it looked for that."
        st.markdown(words, width="content", help=help)
        mapped = _choose_maps(run)
    pages = -(-len(errors) // PAGE)
    # Its place is below the tiles, which depend on it.
    above, below = st.container(horizontal=True, gap="small"), st.container()
    number = 1
    if pages > 1:
        with below:
            number = int(st.pagination(pages, key=f"errors-page-{which}"))
    units = errors[PAGE * (number - 1) : PAGE * number]
    pictures = make_tiles(run, units, mapped=mapped)
    with above:
        for unit, picture in zip(units, pictures, strict=True):
            with st.container(width=WIDE, gap="xxsmall"):
                _draw_tile(run, unit, picture)


def _choose_maps(run: LabelledRun) -> bool:
    """Draw the switch of the maps; without pictures they are already drawn."""
    if not run.items or not any(picture.maps for picture in run.evaluation.pictures):
        return False
    return url_state.widget(
        st.toggle,
        "Maps",
        None,
        True,
        key="errors-maps",
        name="maps",
        help="Draw where the model looked for its answer. A missed object has no map.",
    )


def make_tiles(run: LabelledRun, units: Sequence[ErrorUnit], *, mapped: bool) -> list[bytes]:
    """Return the errors' tiles as WebP, cached; empty if unreadable."""
    files = {} if run.items else _find_files(run)

    def draw(unit: ErrorUnit) -> bytes:
        try:
            return _encode(draw_tile(_read(run, unit, files), unit, BOX, mapped=mapped))
        except Problem:
            return b""

    def make(unit: ErrorUnit) -> bytes:
        return _tiles.get_or_make((run.stamp, bool(run.items), unit.id, mapped), lambda: draw(unit))

    with ThreadPoolExecutor(4, "tiles") as pool:
        return list(pool.map(users.bind_person(make), units))


def _read(run: LabelledRun, unit: ErrorUnit, files: Mapping[str, str]) -> NDArray[np.uint8]:
    """Return a picture's pixels, or those under its saved map."""
    key = unit.picture.key
    if run.items:
        return run.open(key).pixels
    try:
        with Pillow.open(run.folder / files[key]) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, KeyError) as error:
        raise ImageProblem(f"The picture {key} is not here any more.") from error


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return a tile on a transparent box, for aligned rows."""
    paper = Pillow.new("RGBA", BOX, (0, 0, 0, 0))
    paper.paste(Pillow.fromarray(pixels), ((BOX[0] - pixels.shape[1]) // 2, (BOX[1] - pixels.shape[0]) // 2))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=85, method=2)
    return buffer.getvalue()


def _draw_tile(run: LabelledRun, unit: ErrorUnit, picture: bytes) -> None:
    name = unit.picture.key.rpartition("/")[2]
    if picture:
        st.image(picture, width="stretch", alt=f"{unit.words}, in {unit.picture.key}")
    else:
        st.caption(":material/broken_image: This picture cannot be opened.")
    st.markdown(f":small[{escape(unit.words)}]")
    st.button(
        escape(shorten(name, 14)),
        key=f"errors-open-{unit.id}",
        type="tertiary",
        icon=":material/visibility:",
        disabled=not run.items,
        help=f"Open {escape(unit.picture.key)} on Explore, with this map and its tests.",
        on_click=open_elsewhere,
        args=(run, unit),
    )


def _find_files(run: LabelledRun) -> dict[str, str]:
    """Return the picture file of each map in the run's folder."""

    def read() -> dict[str, str]:
        try:
            frame = table.read(run.folder)
        except (OSError, ValueError):
            return {}
        return dict(zip(frame["picture"], frame["file"], strict=True))

    return state.latest("errors-files", run.stamp, read)


def _make_recipe(run: LabelledRun, unit: ErrorUnit, image: Image) -> Recipe:
    """Return the recipe of an error's answer, or of the picture."""
    index, anchor = (None, None) if unit.answer is None else (unit.answer.index, unit.answer.anchor)
    return Recipe.model_validate(
        {
            **journal.settings_of(run.folder)["recipe"],
            "picture_sha256": image.sha256,
            "picture_name": PurePosixPath(unit.picture.key).name,
            **run.task.recipe_of(index, anchor),
        }
    )


def open_elsewhere(run: LabelledRun, unit: ErrorUnit) -> None:
    """Open an error on the page of its map, in a callback."""
    try:
        image = run.open(unit.picture.key)
        recipe = _make_recipe(run, unit, image)
        answer = unit.answer
        how = embedded_recipe.Look(label=answer.label[:200] if answer is not None else None)
        reopen.result(image, recipe, how)
    except Problem as problem:
        state.of(ErrorsView).problem = str(problem)
        return
    if run.task.has_boxes and answer is None and unit.truth is not None:
        _ask_about(run, unit, image)


def _ask_about(run: LabelledRun, unit: ErrorUnit, image: Image) -> None:
    """Have Detect say why an object has no box."""
    assert unit.truth is not None
    x0, y0, x1, y1 = (float(round(edge)) for edge in unit.truth.box)
    known = unit.truth.label in run.evaluation.classes
    lookup = state.of(Lookup)
    # Else what the address asks about would come instead.
    lookup.read = True
    model = catalog.spec(run.evaluation.model).id
    lookup.place = MissedPlace((image.sha256, model), (x0, y0, x1, y1), unit.truth.label if known else None)
