"""Draw a watched training: sheet, film (GIF, MP4), table."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from sightglass.callbacks.sentences import describe_answer
from sightglass.common.errors import Problem
from sightglass.common.files import csv_cells
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.rendering import contact_sheet
from sightglass.export import animation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.callbacks.watched import WatchedEpoch, WatchedRun
    from sightglass.explain.rendering.style import Pixels

COLUMNS = 12
"""Epochs of a sheet; of more as many, evenly spread, the first and the last among them."""
SECONDS = 0.7
"""For which a film shows an epoch; the last one three times as long."""
_HEIGHT = 200
_GREY = 200


def spread_epochs(run: WatchedRun, most: int = COLUMNS) -> list[WatchedEpoch]:
    """Return at most so many epochs, evenly spread, the first and the last among them."""
    count = len(run.epochs)
    places = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else ()
    return [run.epochs[place] for place in places]


def draw_sheet(run: WatchedRun, most: int = COLUMNS) -> bytes:
    """Return a PNG with a row for each picture and a column for each epoch; raise Problem where there is no epoch."""
    epochs = spread_epochs(run, most)
    _check(epochs)
    panels, captions = [], []
    for index in range(len(run.training.pictures)):
        for epoch in epochs:
            panels.append(_load(run, index, epoch.number))
            captions.append(_caption(epoch, index))
    return to_png(contact_sheet.grid(panels, captions, columns=len(epochs), height=_HEIGHT, title=run.training.name))


def make_film(run: WatchedRun, format: Literal["gif", "mp4"] = "gif", seconds: float = SECONDS) -> bytes:
    """Return a film of all pictures, a frame for each epoch; raise Problem where there is no epoch."""
    _check(run.epochs)
    frames = [_frame(run, epoch) for epoch in run.epochs]
    return animation.encode_gif(frames, seconds) if format == "gif" else animation.encode_mp4(frames, seconds)


def write_table(run: WatchedRun) -> str:
    """Return a row for each picture and epoch as CSV."""
    columns = ("epoch", "picture", "answer", "score", "target", "target_score", "inside")
    rows: list[dict[str, Any]] = [
        {"epoch": epoch.number, "picture": picture.name, **vars(answer)}
        for epoch in run.epochs
        for picture, answer in zip(run.training.pictures, epoch.answers, strict=True)
    ]
    text = io.StringIO(newline="")
    csv_cells.write(text, columns, rows)
    return text.getvalue()


def _check(epochs: Sequence[WatchedEpoch]) -> None:
    if not epochs:
        raise Problem("No epoch was watched yet: come back after the first one.")


def _frame(run: WatchedRun, epoch: WatchedEpoch) -> Pixels:
    count = range(len(run.training.pictures))
    panels = [_load(run, index, epoch.number) for index in count]
    captions = [_caption(epoch, index, number=False) for index in count]
    sheet = contact_sheet.grid(panels, captions, height=_HEIGHT, title=f"Epoch {epoch.number}")
    # Even sides, as video codecs want them.
    down, across = (side % 2 for side in sheet.shape[:2])
    return np.pad(sheet, ((0, down), (0, across), (0, 0)), constant_values=255)


def _caption(epoch: WatchedEpoch, index: int, *, number: bool = True) -> str:
    answer = epoch.answers[index]
    inside = "" if answer.inside is None else f"; {percent(answer.inside)} inside"
    return f"{f'{epoch.number}: ' if number else ''}{describe_answer(answer)}{inside}"


def _load(run: WatchedRun, index: int, epoch: int) -> Pixels:
    """Return a picture under its map; grey where its file was deleted."""
    try:
        pixels = Image.open(run.locate(index, epoch)).pixels
    except Problem:
        return np.full((_HEIGHT, _HEIGHT, 3), _GREY, np.uint8)
    scale = _HEIGHT / pixels.shape[0]
    if scale <= 2:
        return pixels
    # Small pictures with their pixels to be seen.
    size = round(pixels.shape[1] * scale), _HEIGHT
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
