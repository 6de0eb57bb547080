"""Make the slide of a batch: its numbers, and a gallery."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sightglass.batch import accuracy, analysis
from sightglass.deck import rows
from sightglass.deck.making import fraction
from sightglass.deck.rows import GalleryTile
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import describe_score, listing, percent, plural
from sightglass.explain.picture.image import Image as Picture
from sightglass.models.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.common.files import Json
    from sightglass.deck.scene import Scene
    from sightglass.explain.picture.image import Image
    from sightglass.models.spec import ModelSpec

UNSURE = 0.5
"""Below this score, 0..1, an answer counts as unsure, as in the page's own filter."""
_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""
_SIGNS: dict[object, str] = {False: "✓ ", True: "✗ "}
"""Before the answer of a labelled picture: right, and wrong."""


def of_run(
    frame: Any, shown: Sequence[Json], open_picture: Callable[[str], Image], settings: Json, *, which: str, about: str
) -> Scene:
    """Return the scene of a run: how often it is right where pictures are labelled, what it answers, and some pictures.

    `frame`: the run's table (`analysis.load`); `shown`: rows of it, of which the first `rows.GALLERY` stand there, and
    `which`: says which these are; `open_picture`: opens one by its name in the table; `settings`: of the run's
    journal; `about`: for the notes. Raises what `open_picture` raises.
    """
    found, recipe = accuracy.of_frame(frame), settings["recipe"]
    spec = catalog().get(recipe["model"])
    method = METHODS[recipe["method"]].name if recipe["method"] in METHODS else recipe["method"]
    said = _describe_answers(frame) if found is None else _describe_errors(frame)
    return rows.of_gallery(
        f"{plural(len(frame), 'picture')}, {plural(frame['predicted'].nunique(), 'different answer')}"
        if found is None
        else found.words,
        f"{said} {which}".strip(),
        _count(frame, found, spec),
        [_tile(row, open_picture(row["picture"]), spec) for row in shown[: rows.GALLERY]],
        " · ".join((spec.name if spec else recipe["model"], method)),
        about,
    )


def _describe_errors(frame: Any) -> str:
    """Return which class is most often taken for which."""
    wrong = frame[frame["wrong"].eq(True)]
    if wrong.empty:
        return "No answer is wrong."
    ((truth, answer), count), *_ = Counter(zip(wrong["truth"], wrong["answer"], strict=True)).most_common(1)
    return f"Most often mistaken: {truth} for {answer} ({count:,} of {plural(len(wrong), 'wrong answer')})."


def _describe_answers(frame: Any) -> str:
    counts = Counter(frame["predicted"].dropna()).most_common(3)
    if not counts:
        return ""
    return f"Most frequent: {listing([f'{label} ({count:,})' for label, count in counts])}."


def _count(frame: Any, found: accuracy.Accuracy | None, spec: ModelSpec | None) -> list[tuple[str, str]]:
    """Return the run's numbers: (value, what it is)."""
    numbers = [(f"{len(frame):,}", "picture" if len(frame) == 1 else "pictures")]
    if found is not None:
        right = found.right
        numbers = [(f"{right.count:,}", "right"), (f"{right.total - right.count:,}", "wrong")]
    if spec is not None and spec.measures:
        return numbers
    if spec is not None and spec.segments:
        if "mean_iou" not in frame or not len(shares := frame["mean_iou"].dropna()):
            return numbers
        return [*numbers, (f"{100 * float(shares.mean()):.1f}", "mean IoU of a picture")]
    unsure = analysis.filter_rows(frame, only="unsure")
    return [*numbers, (f"{len(unsure):,}", f"unsure: below {percent(UNSURE)}")]


def _tile(row: Json, image: Image, spec: ModelSpec | None) -> GalleryTile:
    label, answer = row["predicted"], "nothing found"
    if label:
        score = row["predicted_score"]
        answer = f"{label} {percent(score) if spec is None else describe_score(score, spec, label)}"
    name, cells = f"{_SIGNS.get(row['wrong'], '')}{answer}", row["cells"]
    # Several of the largest pictures at once are gigabytes.
    small = Picture(image.thumbnail(_SIDE), image.name)
    # Without a map it is missing, which a table may call NaN.
    if not isinstance(cells, bytes) or not cells:
        return GalleryTile(small, name)
    seen = (row["seen_left"], row["seen_top"], row["seen_right"], row["seen_bottom"])
    return GalleryTile(small, name, analysis.cells(cells), fraction(seen, (image.width, image.height)))
