"""Slides and downloads of errors."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.batch import report as batch_report
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.views import charts
from sightglass.components.views.snapshots import zip_files
from sightglass.deck import rows as deck_rows
from sightglass.deck.rows import GalleryTile
from sightglass.evaluation.errors.tile import draw_tile
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.export.table import csv
from sightglass.pack import contents
from sightglass.pack import files as pack_files
from sightglass.pages.errors import lenses
from sightglass.pages.errors.chart import format_cost

if TYPE_CHECKING:
    from typing import Any

    from sightglass.components.viewer import Look
    from sightglass.deck.scene import Scene
    from sightglass.pages.errors.runs import LabelledRun

SIDE = 480
"""Pixels of a square tile on a slide."""
STEM = "errors"


def draw(run: LabelledRun) -> None:
    """Draw *Add to deck*, and the menu of downloads."""
    if run.items and not run.report.errors.empty:
        slides.button("errors", partial(make_slide, run))
    with st.popover("Download", icon=":material/download:", help="Every labelled object and every wrong box, as data."):
        about = "One row a labelled object, and one a wrong box: type, reason, size, place, where the model looked."
        if run.evaluation.task != "detect":
            about = "One row a picture: label, answer, score, and where the model looked."
        for label, file, make in (
            ("Table, .csv", f"{STEM}.csv", lambda: csv(_list_records(run)).encode()),
            ("Table, .parquet", f"{STEM}.parquet", lambda: run.report.units.to_parquet()),
            ("Table, .json", f"{STEM}.json", lambda: json.dumps(_list_records(run))),
        ):
            charts.download(label, make, file, type="tertiary", key=f"errors-get-{file}", help=about)
        charts.download(
            "Report of the run, .html",
            lambda: batch_report.html(run.folder).encode(),
            "report.html",
            type="tertiary",
            key="errors-get-report",
            help="One page of the run: the least sure and wrong predictions, and the maps unlike all others.",
        )
        charts.download(
            "Evidence pack, .zip",
            lambda: zip_files(pack_files.make(contents.build(run.folder, run.report)).items()),
            "evidence.zip",
            type="tertiary",
            key="errors-get-evidence",
            help="Slides, PDF, page and tables: accuracy, errors, slices, maps and limits, each with its interval.",
        )
    slides.draw_added_link("errors")


def _list_records(run: LabelledRun) -> list[dict[str, Any]]:
    """Return the units as plain values, None for what there is not."""
    units = run.report.units
    whole = units.astype(object).where(units.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in whole.to_dict("records")]


def make_slide(run: LabelledRun, _look: Look) -> Scene:
    """Return the slide of the headline, with errors of the chosen type."""
    report = run.report
    rows = report.select_type(lenses.choose_type(run)).head(deck_rows.GALLERY)
    pictures = []
    for row in rows.to_dict("records"):
        unit = report.find_unit(row)
        try:
            pixels = run.open(unit.picture.key).pixels
        except Problem:
            continue
        pictures.append(GalleryTile(Image(draw_tile(pixels, unit, (SIDE, SIDE)), unit.picture.key), unit.words))
    if not pictures:
        raise Problem("None of the pictures can be opened: say on the page where they are.")
    numbers = [
        (f"{one.count:,}", f"{one.name.lower()}{f' ({format_cost(one.cost)})' if one.cost else ''}")
        for one in sorted(report.types, key=lambda one: -one.count)
        if one.count
    ]
    made = run.evaluation.model
    if run.evaluation.task == "detect":
        made = f"{made}, threshold {percent(run.evaluation.threshold)}"
    return deck_rows.of_gallery(f"{report.headline}.", report.counts, numbers, pictures, made)
