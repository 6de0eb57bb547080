"""Make slides of pictures beside each other, each with its own name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.batch import analysis
from sightglass.deck import making
from sightglass.deck.making import fraction
from sightglass.deck.scene import MAX_SIDE, Panel, SceneMap
from sightglass.evaluation.intervals import estimate_share
from sightglass.explain.methods import METHODS, describe_setup
from sightglass.explain.phrases import listing, percent, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import paint, share_difference
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.tasks import describe_score, task_of
from sightglass.explain.trust import Verdict
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
    from sightglass.explain.trust.scramble import Scramble
    from sightglass.models.spec import ModelSpec

    Box = tuple[float, float, float, float]


SIDE = 960
"""Pixels of the longer side of one of several pictures."""
SCRAMBLED, GALLERY = 2, 8
"""Most scrambled maps beside the map as it is, and most pictures of a gallery."""
_TILE = 320
"""Cells of a side of a gallery's map."""
SCRAMBLED_TITLES: dict[Verdict, str] = {
    "depends": "The map depends on the model",
    "unclear": "Whether the map needs the model is unclear",
    "survives": "The map does not show what was learnt",
    "edges": "The map shows edges, not what was learnt",
    "centre": "The map shows the middle, not what was learnt",
    "box": "With other weights the map keeps the box",
}


def picture(image: Image, name: str) -> Panel:
    """Return a picture of its own, without a map."""
    file, size = making.jpeg(image, SIDE)
    return Panel(name[:200], picture=file, size=size)


def difference(
    image: Image, maps: tuple[NDArray[np.float32], NDArray[np.float32]], extent: Box, seen: tuple[int, int, int, int]
) -> Panel:
    """Return two maps' difference over `extent`, drawn into the picture."""
    field = Field(share_difference(*maps), extent, seen, kind="difference")
    drawn = Image(paint(image.pixels, field, Style(), unseen="keep"), image.name)
    return _fading(picture(drawn, "Difference"), seen, image)


def _fading(panel: Panel, seen: tuple[int, int, int, int], image: Image) -> Panel:
    """Return a panel of a picture faded outside `seen`, xyxy."""
    part = making.fraction(seen, (image.width, image.height))
    return panel if part == (0, 0, 1, 1) else replace(panel, seen=part)


def of_pair(similarity: Similarity, verdict: str) -> Scene:
    """Return the scene of two compared pictures, side by side under their maps; `verdict`: what the score means.

    The maps are drawn into the pictures: they are signed, and a scene's own maps are not.
    """
    sentences = places(similarity)
    drawn = [
        Image(np.ascontiguousarray(pixels), side.image.name)
        for pixels, side in zip(draw_pair(similarity, "keep"), similarity.sides, strict=True)
    ]
    setup = describe_setup(similarity.model.name, similarity.method, similarity.layers)
    both = [picture(image, image.name) for image in drawn]
    # Persons, in outlines, keep their colours.
    if similarity.subject != "persons":
        both = [_fading(panel, side.seen, side.image) for panel, side in zip(both, similarity.sides, strict=True)]
    sentence = "Red makes them similar, blue makes them differ." if len(sentences) > 1 else " ".join(sentences)
    return making.scene(
        drawn[0],
        both,
        title=making.statement(f"{verdict}: similarity {similarity.score:.2f}", f"Similarity {similarity.score:.2f}"),
        sentence=sentence,
        notes=" ".join((*sentences, f"Compared by {setup}.")),
        kind="row",
        made=setup,
        sides=("similar", "different"),
    )


def of_scramble(explanation: Explanation, index: int, scramble: Scramble, title: str) -> Scene:
    """Return the scene of a map as its model is scrambled: as it is, and with more and more random weights."""
    unchanged = making.panel(explanation, index, name="As it is")
    # As many as are large on a slide: square pictures fill one as two.
    count = min(len(scramble.stages) - 1, SCRAMBLED - (0.85 < explanation.image.width / explanation.image.height < 1.2))
    stages = [
        scramble.stages[i]
        for i in np.linspace(len(scramble.stages) // 2, len(scramble.stages) - 1, count + 1)[1:].round().astype(int)
    ]
    geometry = explanation.evidence.geometry
    panels = [Panel("As it is", maps=unchanged.maps)]
    for stage in stages:
        values = _on_picture(stage.map, geometry.extent, (explanation.image.width, explanation.image.height))
        heatmap = SceneMap(scramble.label[:200], None, values, seen=panels[0].maps[0].seen)
        panels.append(Panel(f"{stage.share:.0%} random: {stage.likeness}".replace("%", "\u00a0%"), maps=(heatmap,)))
    return making.scene(
        explanation.image,
        panels,
        title=making.statement(title, SCRAMBLED_TITLES[scramble.verdict]),
        sentence=scramble.sentence,
        notes="The number over each map: how alike it is to the map as it is. "
        + ("1: the same. 0: unrelated." if scramble.keeps_box is None else "Of the outlines in the box, the overlap."),
        kind="row",
        commands=[command.line(explanation.recipe)],
        made=making.made_by([explanation], index),
    )


def _on_picture(values: NDArray[np.float32], extent: tuple[float, ...], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a crop's map on the picture's full grid."""
    scale = min(1.0, MAX_SIDE / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    x0, y0, x1, y1 = (edge * scale for edge in extent)
    rows, columns = values.shape
    # Of the middles of the cells.
    across = (np.arange(width, dtype=np.float32) + 0.5 - x0) / (x1 - x0) * columns - 0.5
    down = (np.arange(height, dtype=np.float32) + 0.5 - y0) / (y1 - y0) * rows - 0.5
    x, y = np.meshgrid(across.astype(np.float32), down.astype(np.float32))
    whole = np.ascontiguousarray(values, np.float32)
    drawn = cv2.remap(whole, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outside = (x < -0.5) | (x > columns - 0.5) | (y < -0.5) | (y > rows - 0.5)
    levels = np.rint(np.clip(np.asarray(drawn, np.float32), 0, 1) * 255).astype(np.uint8)
    return np.where(outside, np.uint8(0), levels)


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
    panel = picture(Image(pixels, tile.image.name), tile.name)
    if tile.map is None:
        return panel
    by = _TILE / side
    levels = _on_picture(tile.map, (-left * by, -top * by, (width - left) * by, (height - top) * by), (_TILE, _TILE))
    x0, y0, x1, y1 = (share * of for share, of in zip(tile.seen, (width, height, width, height), strict=True))
    seen = making.fraction((x0 - left, y0 - top, x1 - left, y1 - top), (side, side))
    within = np.zeros_like(levels)
    part = tuple(slice(round(seen[i] * _TILE), round(seen[i + 2] * _TILE)) for i in (1, 0))
    within[part] = levels[part]
    heatmap = SceneMap(tile.name[:200], None, within, seen=None if seen == (0, 0, 1, 1) else seen)
    return replace(panel, maps=(heatmap,))


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
    (right, judged), recipe = analysis.count_right(frame), settings["recipe"]
    spec = catalog().get(recipe["model"])
    method = METHODS[recipe["method"]].name if recipe["method"] in METHODS else recipe["method"]
    description = _describe_errors(frame) if judged else _describe_answers(frame)
    return of_gallery(
        f"{estimate_share(right, judged).percent} right of {plural(judged, 'labelled picture')}"
        if judged
        else f"{plural(len(frame), 'picture')}, {plural(frame['predicted'].nunique(), 'different answer')}",
        f"{description} {which}".strip(),
        _count(frame, right, judged, spec),
        [_tile(row, open_picture(row["picture"]), spec) for row in listed[:GALLERY]],
        " · ".join((spec.name if spec else recipe["model"], method)),
        about,
    )


def _describe_errors(frame: Any) -> str:
    """Describe the most frequent confusion of classes."""
    wrong = frame[frame["wrong"].eq(True)]
    if wrong.empty:
        return "No answer is wrong."
    ((truth, answer), count), *_ = Counter(zip(wrong["truth"], wrong["predicted"], strict=True)).most_common(1)
    return f"Most often mistaken: {truth} for {answer} ({count:,} of {plural(len(wrong), 'wrong answer')})."


def _describe_answers(frame: Any) -> str:
    counts = Counter(frame["predicted"].dropna()).most_common(3)
    if not counts:
        return ""
    return f"Most frequent: {listing([f'{label} ({count:,})' for label, count in counts])}."


def _count(frame: Any, right: int, judged: int, spec: ModelSpec | None) -> list[tuple[str, str]]:
    """Return the run's numbers: (value, meaning)."""
    numbers = [(f"{len(frame):,}", "picture" if len(frame) == 1 else "pictures")]
    if judged:
        numbers = [(f"{right:,}", "right"), (f"{judged - right:,}", "wrong")]
    if "mean_iou" in frame and len(shares := frame["mean_iou"].dropna()):
        numbers.append((f"{100 * float(shares.mean()):.1f}", "mean IoU of a picture"))
    if spec is None or task_of(spec).sure:
        unsure = analysis.filter_rows(frame, unsure=True)
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
