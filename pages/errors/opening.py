"""Open an error on Explore or Detect."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sightglass.batch import journal
from sightglass.batch.table import PARQUET
from sightglass.common.errors import Problem
from sightglass.components.session import reopen, state
from sightglass.components.views.detections import Lookup, MissedPlace
from sightglass.explain.recipe import Recipe
from sightglass.export import embedded_recipe
from sightglass.models import catalog
from sightglass.pages.errors.runs import ErrorsView

if TYPE_CHECKING:
    from sightglass.evaluation.errors.unit import ErrorUnit
    from sightglass.explain.picture.image import Image
    from sightglass.pages.errors.runs import LabelledRun


def find_files(run: LabelledRun) -> dict[str, str]:
    """Return the file of each picture under its map, below the run's folder."""
    from pyarrow import parquet  # type: ignore[import-untyped]

    def read() -> dict[str, str]:
        try:
            table = parquet.read_table(run.folder / PARQUET, columns=["picture", "file"])
        except (OSError, ValueError, KeyError):
            return {}
        return dict(zip(*(table.column(name).to_pylist() for name in ("picture", "file")), strict=True))

    return state.latest("errors-files", run.stamp, read)


def make_recipe(run: LabelledRun, unit: ErrorUnit, image: Image) -> Recipe:
    """Return the recipe of an error's answer, as the run explained it; of what has no box that of the picture."""
    answer, detects = unit.answer, run.evaluation.task == "detect"
    target: tuple[int | tuple[int, int], ...] = ()
    if answer is not None and not detects:
        target = (answer.index,)
    elif answer is not None and answer.anchor is not None and answer.anchor >= 0:
        target = ((answer.anchor, answer.index),)
    return Recipe.model_validate(
        {
            **journal.settings_of(run.folder)["recipe"],
            "picture_sha256": image.sha256,
            "picture_name": PurePosixPath(unit.picture.key).name,
            "targets": target,
            **({"per": "detection"} if detects else {}),
        }
    )


def take(run: LabelledRun, unit: ErrorUnit) -> None:
    """Open an error where its map and its tests are, in a button's callback."""
    try:
        image = run.open(unit.picture.key)
        recipe = make_recipe(run, unit, image)
        detects = run.evaluation.task == "detect"
        answer = unit.answer
        how = embedded_recipe.Look(
            label=answer.label[:200] if answer is not None else None, screen="detect" if detects else "explore"
        )
        reopen.result(image, recipe, how)
    except Problem as problem:
        state.of(ErrorsView).problem = str(problem)
        return
    if detects and answer is None and unit.truth is not None:
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
