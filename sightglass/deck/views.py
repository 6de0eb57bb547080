"""Make scenes of pages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.batch import analysis
from sightglass.common.errors import Problem
from sightglass.deck import making
from sightglass.deck.making import fraction
from sightglass.deck.scene import MAX_PANELS, Panel, SceneView
from sightglass.explain.methods import METHODS, describe_setup
from sightglass.explain.phrases import listing, megabytes, percent, without_emphasis
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import paint, share_difference
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.tasks import describe_score, task_of
from sightglass.explain.trust.diagnosis import SAME_PLACE, agreement_sentence, describe, diagnose
from sightglass.explain.trust.reliability import describe_independent
from sightglass.export import command
from sightglass.export.similarity_files import draw_pair, places
from sightglass.models.catalog import catalog
from sightglass.video.clips import clip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.deck.scene import Scene
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.tasks.task import Change
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.records import Record

    Box = tuple[float, float, float, float]

SIDE = 960
"""Pixels of the longer side of one of several pictures."""
GALLERY = 8
"""Most pictures of a gallery."""
MAX_CLIP = 100_000_000
"""Bytes of a slide's clip: the whole deck is sent to the browser."""
MOST_CLASSES = 3
"""Side by side, so that each is large."""
SPOTLIGHT = 0.6
"""The most that a spotlight darkens the picture on a slide."""


def of_map(explanation: Explanation, index: int = 0, look: Mapping[str, Any] | None = None) -> Scene:
    """Return the scene of one picture and its map at `index`, with the map's proof if it has one.

    `look`: the viewer's settings by name.

        of_map(Explainer()("bus.jpg"), look={"mode": "contour"}).title
    """
    proof, description = explanation.proofs.get(index), describe(explanation, index=index)
    # What is known of the map limits all that is said of it.
    known = describe_independent(explanation, index) if explanation.heatmaps else ""
    return making.scene(
        explanation.image,
        [making.panel(explanation, index)],
        title=making.answer_title(explanation.task, explanation.predictions, description.title),
        sentence=known or (proof.sentence if proof else description.slide()),
        notes=notes(explanation, index),
        proof=making.proof(proof) if proof else None,
        view=seen_as(look),
        commands=[command.line(explanation.recipe)],
        made=making.made_by([explanation], index),
    )


def of_classes(
    explanation: Explanation, pair: tuple[int, int] | None = None, look: Mapping[str, Any] | None = None
) -> Scene:
    """Return the scene of several classes' maps, a panel each; `pair`: the indices of two that are compared, with their
    difference."""
    # Square pictures fill a slide as two.
    square = 0.85 < explanation.image.width / explanation.image.height < 1.2
    indices = list(pair or range(len(explanation.heatmaps)))[: MOST_CLASSES - square]
    if len(indices) < 2:
        return of_map(explanation, 0, look)
    proved = next((i for i, index in enumerate(indices) if index in explanation.proofs), None)
    maps = [explanation.heatmaps[index] for index in indices]
    panels = [making.panel(explanation, index, name=explanation.heatmaps[index].target.label) for index in indices]
    if pair is not None:
        both = maps[0].strength, maps[1].strength
        field = Field(share_difference(*both), explanation.evidence.geometry.extent, maps[0].seen, kind="difference")
        panels.append(painted(explanation.image, field, "Difference"))
    agreement = agreement_sentence(explanation, pair)
    where = "the same place" if explanation.overlap(indices[0], indices[1]) >= SAME_PLACE else "different places"
    return making.scene(
        explanation.image,
        panels,
        title=making.statement(agreement, f"{listing([panel.name for panel in panels[:2]])}: {where}"),
        sentence=agreement,
        notes="\n".join((_describe_map(explanation, 0), *(describe(explanation, index=i).slide() for i in indices))),
        kind="classes",
        proof=None if proved is None else making.proof(explanation.proofs[indices[proved]], panel=proved),
        view=seen_as(look),
        commands=[command.line(explanation.recipe)],
        sides=tuple(f"more {heatmap.target.label}" for heatmap in maps) if pair is not None else (),
        made=making.made_by([explanation]),
    )


def of_models(comparison: Comparison, names: Sequence[str], look: Mapping[str, Any] | None = None) -> Scene:
    """Return the scene of several models on one picture, a panel each, in their order; `names`: their short names."""
    explanations = comparison.explanations[:MAX_PANELS]
    verdict, overlap = comparison.verdict, comparison.mixed or comparison.overlaps
    proved = next(((i, result.proofs[0]) for i, result in enumerate(explanations) if 0 in result.proofs), None)
    panels = [making.panel(result, name=name) for name, result in zip(names, explanations, strict=False)]
    sides: tuple[str, ...] = ()
    if len(explanations) > 1 and all(result.heatmaps for result in explanations) and len(panels) < MAX_PANELS:
        both = comparison.maps[0], comparison.maps[len(explanations) - 1]
        field = Field(share_difference(*both), comparison.common, comparison.common, kind="difference")
        panels.append(painted(explanations[0].image, field, "Difference"))
        sides = f"more {names[0]}", f"more {names[len(explanations) - 1]}"
    return making.scene(
        explanations[0].image,
        panels,
        title=making.statement(verdict, _agree(explanations)),
        sentence=" ".join((verdict if len(verdict.split()) > making.MAX_WORDS else "", overlap)).strip(),
        notes="\n".join(_describe_map(result, 0) for result in explanations),
        kind="models",
        proof=making.proof(proved[1], panel=proved[0]) if proved else None,
        view=seen_as(look),
        commands=[command.line(result.recipe) for result in explanations],
        sides=sides,
        made=making.made_by(explanations),
    )


def _agree(explanations: Sequence[Explanation]) -> str:
    answers = {explanation.predictions[0].label if explanation.predictions else "" for explanation in explanations}
    return "The models agree" if len(answers) == 1 else "The models do not agree"


def of_record(record: Record, image: Image, maps: Sequence[Heatmap], proof: Proof | None = None) -> Scene:
    """Return the scene of a record of the history as it was saved; `proof`: of its selected map."""
    looks = record.maps[record.index].looks if record.index < len(maps) else ""
    title, rest = record.title_and_rest
    task, spec = task_of(record.task), catalog().get(record.model)
    method = METHODS[record.method].name if record.method in METHODS else record.method
    return making.scene(
        image,
        [making.saved_panel(record, maps)],
        title=making.answer_title(task, record.predictions, title),
        sentence=proof.sentence if proof else without_emphasis(looks or rest),
        notes="\n".join((record.note, *(finding.text for finding in record.findings))).strip(),
        proof=making.proof(proof) if proof else None,
        view=seen_as(record.view.settings),
        commands=[command.line(record.recipe)] if record.recipe else [],
        made=" · ".join(filter(None, (spec.name if spec else record.model, method))),
        day=record.created.date().isoformat(),
    )


def of_clip(
    path: Path, *, title: str, sentence: str, notes: str = "", made: str = "", moments: Sequence[tuple[float, str]] = ()
) -> Scene:
    """Return the scene of a clip, an H.264 MP4 as `sightglass.video` writes it, with its first frame.

    `moments`: (seconds, what it says there), of which the first three that can be read stand beside the player.

    Raises Problem for a clip of more than MAX_CLIP bytes, or one that cannot be read.
    """
    if (size := path.stat().st_size) > MAX_CLIP:
        raise Problem(f"This clip has {megabytes(size)}, and a slide takes {megabytes(MAX_CLIP)}: draw a part of it.")
    first = clip.Clip(path).at(0)
    if first is None:
        raise Problem("This clip has no frame that can be shown: draw it again.")
    frames = [(words, clip.Clip(path).at(seconds)) for seconds, words in moments]
    strip = [picture(Image(frame.pixels, words), words) for words, frame in frames if frame is not None][:3]
    image = Image(first.pixels, path.name)
    drawn = making.scene(
        image,
        strip,
        title=making.statement(title, title.partition(",")[0]),
        sentence=sentence,
        notes=notes,
        kind="clip",
        made=made,
    )
    return replace(drawn, clip=path.read_bytes())


def notes(explanation: Explanation, index: int) -> str:
    """Return speaker's notes: how the map was made, and its limits."""
    # A proof that it has is heard in these.
    return "\n".join(
        (_describe_map(explanation, index), *(without_emphasis(item.text) for item in diagnose(explanation, index)))
    )


def _describe_map(explanation: Result, index: int) -> str:
    """Return how a map was made, in a sentence."""
    name = explanation.model.name
    if index >= len(explanation.heatmaps):
        return f"Made with {name}."
    heatmap = explanation.heatmaps[index]
    labels = list(dict.fromkeys(prediction.label for prediction in explanation.predictions))
    answers = listing(labels[:3]) if labels else "nothing"
    setup = describe_setup(name, heatmap.method, heatmap.layers, explanation.options.part, explanation.model.task)
    return f"Made with {setup}. It answers {answers}."


def seen_as(look: Mapping[str, Any] | None) -> SceneView:
    """Return a scene's first view from the viewer's settings."""
    style = Style.of(look or {})
    # Fully dark, a spotlight is a black slide.
    opacity = min(style.alpha, SPOTLIGHT) if style.mode == "spotlight" else style.alpha
    return SceneView(0, 0, style.colormap, style.mode, opacity, style.threshold)


def picture(image: Image, name: str) -> Panel:
    """Return a picture of its own, without a map."""
    file, size = making.jpeg(image, SIDE)
    return Panel(name[:200], picture=file, size=size)


def painted(image: Image, field: Field, name: str) -> Panel:
    """Return a picture with a map drawn into it; where the model saw nothing it fades with the slide."""
    seen = making.fraction(field.seen, (image.width, image.height))
    panel = picture(Image(paint(image.pixels, field, Style(), unseen="keep"), image.name), name)
    return panel if seen == (0, 0, 1, 1) else replace(panel, seen=seen)


def of_pair(similarity: Similarity, verdict: str) -> Scene:
    """Return the scene of two compared pictures, side by side under their maps; `verdict`: what the score means.

    The maps are drawn into the pictures: they are signed, and a scene's own maps are not.
    """
    sentences = places(similarity)
    both = []
    for pixels, side in zip(draw_pair(similarity, "keep"), similarity.sides, strict=True):
        panel, seen = picture(Image(np.ascontiguousarray(pixels)), side.image.name), side.seen
        faded = seen != (0, 0, side.image.width, side.image.height)
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
        [_square_panel(each) for each in tiles[:GALLERY]],
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


_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""
_SIGNS: dict[object, str] = {False: "✓ ", True: "✗ "}
"""Before the answer of a labelled picture: right, and wrong."""


def tile(row: Json, image: Image, model: str) -> GalleryTile:
    """Return a picture of a run by its row of the table (`analysis.load`), with its answer and its map."""
    spec = catalog().get(model)
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
