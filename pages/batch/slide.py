"""Add a run's numbers and gallery to a deck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.batch import analysis, journal
from sightglass.common.errors import Problem
from sightglass.components.saving import slides
from sightglass.components.session import state
from sightglass.components.viewer import Look
from sightglass.deck import rows as deck_rows
from sightglass.pages.batch import frames, gallery, views
from sightglass.pages.batch.job import Batch

if TYPE_CHECKING:
    from sightglass.deck.scene import Scene
    from sightglass.explain.picture.image import Image
    from sightglass.pages.batch.job import BatchJob

SCREEN = "batch-run"


def button(job: BatchJob) -> None:
    """Draw *Add to deck* for the run: its numbers with the ticked pictures, else with the first ones of the gallery."""

    def draft(_look: Look) -> Scene:
        return _make(job)

    slides.button(SCREEN, draft)
    slides.draw_added_link(SCREEN)


def _make(job: BatchJob) -> Scene:
    every, batch = frames.of_job(job), state.of(Batch)
    table = every.set_index("picture", drop=False)
    chosen = [picture for picture in batch.selected if picture in table.index]
    which = "Pictures chosen by hand." if chosen else ""
    if not chosen:
        # What the gallery showed last; before it was ever open, its own beginning.
        chosen = [picture for picture in batch.shown if picture in table.index]
        which = f"Shown: {batch.sorted_by.lower()} first." if chosen and batch.sorted_by else ""
    if not chosen:
        order = gallery.first_order(job, every)
        chosen = list(analysis.order(every, order)["picture"])
        which = "" if order == "source" else f"Shown: {gallery.ORDERS[order].lower()} first."
    items = {item.key: item for item in job.source.items}

    def open_picture(picture: str) -> Image:
        if picture not in items:
            raise Problem(f"{picture} is not among the pictures any more: choose them again.")
        return items[picture].open()

    rows = table.loc[chosen].to_dict("records")
    about = f"{views.describe_run(job)}."
    return deck_rows.of_run(every, rows, open_picture, journal.settings_of(job.folders[0]), which=which, about=about)
