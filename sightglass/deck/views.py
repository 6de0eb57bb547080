"""Make scenes of pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.deck import making, rows
from sightglass.deck.scene import MAX_PANELS, SceneView
from sightglass.explain.methods import METHODS, describe_setup
from sightglass.explain.phrases import listing, megabytes, without_emphasis
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.style import Style
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.diagnosis import SAME_PLACE, agreement_sentence, describe, diagnose
from sightglass.explain.trust.reliability import describe_independent
from sightglass.export import command
from sightglass.models.catalog import catalog
from sightglass.video.clips import clip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sightglass.deck.scene import Scene
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.records import Record, SavedMap

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
        panels.append(rows.difference(explanation.image, both, explanation.evidence.geometry.extent, maps[0].seen))
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
        panels.append(rows.difference(explanations[0].image, both, comparison.common, comparison.common))
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


def of_record(record: Record, image: Image, maps: Sequence[SavedMap], proof: Proof | None = None) -> Scene:
    """Return the scene of a record of the history as it was saved; `proof`: of its selected map."""
    looks = maps[record.index].looks if record.index < len(maps) else ""
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
    strip = [rows.picture(Picture(frame.pixels, words), words) for words, frame in frames if frame is not None][:3]
    image = Picture(first.pixels, path.name)
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
