"""Make slides of pictures beside each other, each with its own name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.batch import accuracy, analysis
from sightglass.deck import making
from sightglass.deck.making import fraction
from sightglass.deck.scene import Panel
from sightglass.explain.methods import METHODS, describe_setup
from sightglass.explain.phrases import listing, percent, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import paint, share_difference
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.tasks import describe_score, task_of
from sightglass.export import command
from sightglass.export.similarity_files import draw_pair, places
from sightglass.models.catalog import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.deck.scene import Scene
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.tasks.task import Change
    from sightglass.models.spec import ModelSpec

    Box = tuple[float, float, float, float]


SIDE = 960
"""Pixels of the longer side of one of several pictures."""
GALLERY = 8
"""Most pictures of a gallery."""


def picture(image: Image, name: str) -> Panel:
    """Return a picture of its own, without a map."""
    file, size = making.jpeg(image, SIDE)
    return Panel(name[:200], picture=file, size=size)


def painted(image: Image, field: Field, name: str) -> Panel:
    """Return a picture with a map drawn into it; where the model saw nothing it fades with the slide."""
    seen = making.fraction(field.seen, (image.width, image.height))
    panel = picture(Image(paint(image.pixels, field, Style(), unseen="keep"), image.name), name)
    return panel if seen == (0, 0, 1, 1) else replace(panel, seen=seen)


def difference(
    image: Image, maps: tuple[NDArray[np.float32], NDArray[np.float32]], extent: Box, seen: tuple[int, int, int, int]
) -> Panel:
    """Return two maps' difference over `extent`, drawn into the picture."""
    return painted(image, Field(share_difference(*maps), extent, seen, kind="difference"), "Difference")


def of_pair(similarity: Similarity, verdict: str) -> Scene:
    """Return the scene of two compared pictures, side by side under their maps; `verdict`: what the score means.

    The maps are drawn into the pictures: they are signed, and a scene's own maps are not.
    """
    sentences = places(similarity)
    both = []
    for pixels, side in zip(draw_pair(similarity, "keep"), similarity.sides, strict=True):
        panel, seen = picture(Image(np.ascontiguousarray(pixels)), side.image.name), side.seen
        # Persons, in outlines, keep their colours.
        faded = similarity.subject != "persons" and seen != (0, 0, side.image.width, side.image.height)
        both.append(replace(panel, seen=fraction(seen, (side.image.width, side.image.height))) if faded else panel)
    setup = describe_setup(similarity.model.name, similarity.method, similarity.layers)
    sentence = "Red makes them similar, blue makes them differ." if len(sentences) > 1 else " ".join(sentences)
    return making.scene(
        similarity.query.image,
        both,
        title=making.statement(f"{verdict}: similarity {similarity.score:.2f}", f"Similarity {similarity.score:.2f}"),
        sentence=sentence,
        notes=" ".join((*sentences, f"Compared by {setup}.")),
        kind="row",
        made=setup,
        sides=("similar", "different"),
    )


def of_change(before: Explanation, after: Explanation, changes: Sequence[Change], title: str, more: str = "") -> Scene:
    """Return the scene of an edited picture: before, covered, after; with the scores of the class of the map."""
    label = before.heatmaps[0].target.label if before.heatmaps else changes[0].label if changes else ""
    change = next((candidate for candidate in changes if candidate.label == label), None)
    scores = (("Before", change.before), ("After", change.after)) if change is not None else ()
    # A bar is a share, and a number is none.
    lengths = [(name, before.task.bar(score or 0.0)) for name, score in scores]
    edited = picture(after.image, "Covered")
    panels = [Panel(f"Before: {label}", maps=making.panel(before).maps), edited]
    if after.heatmaps:
        panels.append(replace(edited, name=f"After: {label}", maps=making.panel(after).maps))
    # Beside the map from before it could be read as that one's.
    return making.scene(
        before.image,
        panels,
        title=making.statement(_fall(before, change), title),
        sentence=f"{title} {more}".strip(),
        notes=f"Before and after: the map of {label}." if label else "",
        kind="row",
        commands=[command.line(before.recipe)],
        bars=tuple((name, round(length, 5)) for name, length in lengths if length is not None),
        made=making.made_by([before]),
    )


def _fall(before: Explanation, change: Change | None) -> str:
    """Describe a score's change: `minibus falls from 62 % to 21 %`."""
    if change is None or change.before is None or change.after is None:
        return ""
    unit = before.model.unit_of(change.label)
    first, last = (before.task.text(score, unit) for score in (change.before, change.after))
    if first == last:
        return f"{change.label} stays at {first}"
    return f"{change.label} {'falls' if change.after < change.before else 'rises'} from {first} to {last}"


@dataclass(frozen=True, eq=False)
class GalleryTile:
    """A picture of a gallery, under its map where it has one."""

    image: Image
    name: str
    map: NDArray[np.float32] | None = None
    """float32 (h, w) in 0..1 over the whole picture, of any size."""
    seen: Box = (0.0, 0.0, 1.0, 1.0)
    """xyxy in shares of the picture: what the model saw."""


def of_gallery(
    title: str,
    sentence: str,
    numbers: Sequence[tuple[str, str]],
    tiles: Sequence[GalleryTile],
    made: str = "",
    notes: str = "",
) -> Scene:
    """Return the scene of a run over many pictures: its numbers, (value, what it is), and some of the pictures."""
    return making.scene(
        tiles[0].image,
        [_square_panel(tile) for tile in tiles[:GALLERY]],
        title=making.statement(title, title.partition(";")[0]),
        sentence=sentence,
        notes=notes,
        kind="row",
        made=made,
        numbers=tuple(numbers[:4]),
    )


def _square_panel(tile: GalleryTile) -> Panel:
    """Return a tile's central square, with its map."""
    width, height = tile.image.width, tile.image.height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.ascontiguousarray(tile.image.pixels[top : top + side, left : left + side])
    image = Image(pixels, tile.image.name)
    if tile.map is None:
        return picture(image, tile.name)
    x0, y0, x1, y1 = (round(share * of) for share, of in zip(tile.seen, (width, height, width, height), strict=True))
    seen = max(0, x0 - left), max(0, y0 - top), min(side, x1 - left), min(side, y1 - top)
    return painted(image, Field(tile.map, (-left, -top, width - left, height - top), seen), tile.name)


UNSURE = 0.5
"""Below this score, 0..1, an answer counts as unsure, as in the page's own filter."""
_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""
_SIGNS: dict[object, str] = {False: "✓ ", True: "✗ "}
"""Before the answer of a labelled picture: right, and wrong."""


def of_run(
    frame: Any, listed: Sequence[Json], open_picture: Callable[[str], Image], settings: Json, *, which: str, about: str
) -> Scene:
    """Return the scene of a run: how often it is right where pictures are labelled, what it answers, and some pictures.

    `frame`: the run's table (`analysis.load`); `listed`: rows of it, of which the first `GALLERY` stand there, and
    `which`: says which these are; `open_picture`: opens one by its name in the table; `settings`: of the run's
    journal; `about`: for the notes. Raises what `open_picture` raises.
    """
    scores, recipe = accuracy.of_frame(frame), settings["recipe"]
    spec = catalog().get(recipe["model"])
    method = METHODS[recipe["method"]].name if recipe["method"] in METHODS else recipe["method"]
    description = _describe_answers(frame) if scores is None else _describe_errors(frame)
    return of_gallery(
        f"{plural(len(frame), 'picture')}, {plural(frame['predicted'].nunique(), 'different answer')}"
        if scores is None
        else f"{scores.right.percent} right of {plural(scores.right.total, 'labelled picture')}",
        f"{description} {which}".strip(),
        _count(frame, scores, spec),
        [_tile(row, open_picture(row["picture"]), spec) for row in listed[:GALLERY]],
        " · ".join((spec.name if spec else recipe["model"], method)),
        about,
    )


def _describe_errors(frame: Any) -> str:
    """Describe the most frequent confusion of classes."""
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


def _count(frame: Any, scores: accuracy.Accuracy | None, spec: ModelSpec | None) -> list[tuple[str, str]]:
    """Return the run's numbers: (value, meaning)."""
    numbers = [(f"{len(frame):,}", "picture" if len(frame) == 1 else "pictures")]
    if scores is not None:
        right = scores.right
        numbers = [(f"{right.count:,}", "right"), (f"{right.total - right.count:,}", "wrong")]
    if "mean_iou" in frame and len(shares := frame["mean_iou"].dropna()):
        numbers.append((f"{100 * float(shares.mean()):.1f}", "mean IoU of a picture"))
    if spec is None or task_of(spec).sure:
        unsure = analysis.filter_rows(frame, only="unsure")
        numbers.append((f"{len(unsure):,}", f"unsure: below {percent(UNSURE)}"))
    return numbers


def _tile(row: Json, image: Image, spec: ModelSpec | None) -> GalleryTile:
    label, answer = row["predicted"], "nothing found"
    if label:
        score = row["predicted_score"]
        answer = f"{label} {percent(score) if spec is None else describe_score(score, spec, label)}"
    name, cells = f"{_SIGNS.get(row['wrong'], '')}{answer}", row["cells"]
    # Several of the largest pictures at once are gigabytes.
    small = Image(image.thumbnail(_SIDE), image.name)
    # Without a map it is missing, which a table may call NaN.
    if not isinstance(cells, bytes) or not cells:
        return GalleryTile(small, name)
    seen = (row["seen_left"], row["seen_top"], row["seen_right"], row["seen_bottom"])
    return GalleryTile(small, name, analysis.cells(cells), fraction(seen, (image.width, image.height)))
