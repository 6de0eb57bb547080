"""Make scenes of pages."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.deck import making
from sightglass.deck.making import shorten
from sightglass.deck.scene import MAX_PANELS, MAX_TITLE, SceneView
from sightglass.explain.findings.diagnosis import agreement_sentence, describe_map, diagnose, headline
from sightglass.explain.findings.randomisation import describe_independent
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import listing, megabytes
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.rendering.style import Style
from sightglass.export import command
from sightglass.export.similarity_files import beside, places
from sightglass.video.clips import clip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sightglass.deck.scene import Scene
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.result import Result
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.whatif.shortcut_story import Step, StoryStep
    from sightglass.history.records import Record, SavedMap

MAX_CLIP = 100_000_000
"""Bytes of a slide's clip: the whole deck is sent to the browser."""
STORY: dict[Step, str] = {
    "answer": "Right, but for the right reason?",
    "look": "Where did it look?",
    "without": "The same, without the clue",
    "borrowed": "The clue, on something else",
}
_HOT = "§"
"""Stands for the hottest colour, which a stage may change: the sentence that begins with it is left out."""


def of_map(explanation: Explanation, index: int = 0, look: Mapping[str, Any] | None = None) -> Scene:
    """Return the scene of one picture and its maps, that at `index` first; with the map's proof if it has one.

    `look`: the viewer's settings by name.

        of_map(Explainer()("bus.jpg"), look={"mode": "contour"}).title
    """
    proof, at = explanation.proofs.get(index), making.locate_map(index)
    sentence = proof.sentence if proof else describe_map(explanation, index) if explanation.heatmaps else ""
    title = verdict(explanation, index)
    known = describe_independent(explanation, index) if explanation.heatmaps else ""
    # A long title is cut.
    sentence = f"{sentence} {known}" if known and known not in title else sentence
    return making.scene(
        explanation.image,
        [making.panel(explanation, index)],
        title=title,
        sentence=plain(sentence),
        notes=notes(explanation, index),
        proof=making.proof(proof, map=at) if proof else None,
        view=seen_as(look, map=at),
        commands=[command.line(explanation.recipe)],
    )


def of_classes(
    explanation: Explanation, pair: tuple[int, int] | None = None, look: Mapping[str, Any] | None = None
) -> Scene:
    """Return the scene of several classes' maps, a panel each; `pair`: the indices of two that are compared."""
    shown = list(pair or range(len(explanation.heatmaps)))[:MAX_PANELS]
    if len(shown) < 2:
        return of_map(explanation, 0, look)
    proved = next((i for i, index in enumerate(shown) if index in explanation.proofs), None)
    maps = [explanation.heatmaps[index] for index in shown]
    return making.scene(
        explanation.image,
        [making.panel(replace(explanation, heatmaps=(one,)), name=one.target.label) for one in maps],
        title=agreement_sentence(explanation, pair),
        sentence=verdict(explanation),
        notes="\n".join((_describe_map(explanation, 0), *(plain(describe_map(explanation, i)) for i in shown))),
        kind="classes",
        proof=None if proved is None else making.proof(explanation.proofs[shown[proved]], panel=proved),
        view=seen_as(look),
        commands=[command.line(explanation.recipe)],
    )


def of_models(comparison: Comparison, names: Sequence[str], look: Mapping[str, Any] | None = None) -> Scene:
    """Return the scene of several models on one picture, a panel each, in their order; `names`: their short names."""
    shown = comparison.explanations[:MAX_PANELS]
    verdict = comparison.verdict
    proved = next(((i, one.proofs[0]) for i, one in enumerate(shown) if 0 in one.proofs), None)
    return making.scene(
        shown[0].image,
        [making.panel(one, name=_name_answer(name, one)) for name, one in zip(names, shown, strict=False)],
        title=f"{verdict[:1].upper()}{verdict[1:]}",
        sentence=comparison.mixed or comparison.overlaps,
        notes="\n".join(_describe_map(one, 0) for one in shown),
        kind="models",
        proof=making.proof(proved[1], panel=proved[0]) if proved else None,
        view=seen_as(look),
        commands=[command.line(one.recipe) for one in shown],
    )


def _name_answer(name: str, explanation: Result) -> str:
    return (
        explanation.model.name
        if explanation.model.name.lower() == name.lower()
        else f"{name}: {explanation.model.name}"
    )


def of_pair(found: Similarity, verdict: str) -> Scene:
    """Return the scene of two compared pictures, side by side under their maps; `verdict`: what the score means.

    The maps are drawn into the picture: they are signed, and a scene's own maps are not.
    """
    names = " and ".join(shorten(side.image.name, 28) for side in found.sides)
    told = places(found)
    where, seal = " ".join(told), found.known_seal
    sentence = "Blue makes them similar, red makes them differ." if len(told) > 1 else where
    # Without a map of the scene's own, its seal has no other place.
    marks = "" if seal is None else f" Seal of {shorten(seal.label, 28)}: {seal.line}."
    return making.scene(
        Picture(beside(found), names),
        (),
        title=shorten(f"{names}: {found.score:.2f}, {verdict}", MAX_TITLE),
        sentence=f"{sentence}{marks}",
        notes=plain(f"{where} Compared by {describe_setup(found.model.name, found.method, found.layers)}."),
    )


def of_story(step: StoryStep, look: Mapping[str, Any] | None = None) -> Scene:
    """Return the scene of a step of *Catch the cheat*: the model that cheats, and the honest one."""
    both = (("The cheat", step.cheat), ("The honest model", step.honest))
    if step.step == "answer":
        # Which of the two cheats is for the next step to show.
        both = (("One model", step.cheat), ("Another model", step.honest))
    return making.scene(
        step.image,
        [making.panel(one, name=name) for name, one in both],
        title=STORY[step.step],
        sentence=step.words,
        notes="\n".join(filter(None, (step.aside, step.proof if step.step == "borrowed" else ""))),
        kind="story",
        view=seen_as({"mode": "picture"} if step.step == "answer" else look),
        commands=[command.line(one.recipe) for _, one in both],
    )


def of_record(record: Record, image: Image, maps: Sequence[SavedMap], proof: Proof | None = None) -> Scene:
    """Return the scene of a record of the history as it was saved; `proof`: of its selected map."""
    at = making.locate_map(record.index)
    looks = maps[record.index].looks if record.index < len(maps) else ""
    first, _, rest = record.headline.partition(". ")
    return making.scene(
        image,
        [making.saved_panel(record, maps)],
        title=plain(first),
        sentence=proof.sentence if proof else plain(looks or rest),
        notes="\n".join((record.note, *(one.text for one in record.findings))).strip(),
        proof=making.proof(proof, map=at) if proof else None,
        view=seen_as(record.view.settings, map=at),
        commands=[command.line(record.recipe)] if record.recipe else [],
    )


def of_clip(path: Path, *, title: str, sentence: str, notes: str = "") -> Scene:
    """Return the scene of a clip, an H.264 MP4 as `sightglass.video` writes it, with its first frame.

    Raises Problem for a clip of more than MAX_CLIP bytes, or one that cannot be read.
    """
    if (size := path.stat().st_size) > MAX_CLIP:
        raise Problem(f"This clip has {megabytes(size)}, and a slide takes {megabytes(MAX_CLIP)}: draw a part of it.")
    first = clip.Clip(path).at(0)
    if first is None:
        raise Problem("This clip has no frame that can be shown: draw it again.")
    drawn = making.scene(Picture(first.pixels, path.name), (), title=title, sentence=sentence, notes=notes, kind="clip")
    return replace(drawn, clip=path.read_bytes())


def verdict(explanation: Result, index: int = 0) -> str:
    """Return what the model answered, in a sentence without what the map's colours mean."""
    return shorten(headline(explanation, _HOT, index).split(f" {_HOT}")[0], MAX_TITLE)


def notes(explanation: Explanation, index: int) -> str:
    """Return what a speaker should know: how the map was made, and what limits it."""
    # A proof that it has is heard in these.
    return "\n".join((_describe_map(explanation, index), *(plain(one.text) for one in diagnose(explanation, index))))


def _describe_map(explanation: Result, index: int) -> str:
    """Return how a map was made, in a sentence."""
    name = explanation.model.name
    if index >= len(explanation.heatmaps):
        return f"Made with {name}."
    heatmap = explanation.heatmaps[index]
    labels = list(dict.fromkeys(one.label for one in explanation.predictions))
    answers = listing(labels[:3]) if labels else "nothing"
    made = describe_setup(name, heatmap.method, heatmap.layers, explanation.options.part)
    return f"Made with {made}. It answers {answers}."


def plain(text: str) -> str:
    """Return a sentence without emphasis."""
    return re.sub(r"\*\*(.+?)\*\*", r"\1", text).strip()


def seen_as(look: Mapping[str, Any] | None, *, map: int = 0) -> SceneView:
    """Return how a scene is first shown, from the viewer's settings; what makes no sense there counts for nothing."""
    style = Style.of(look or {})
    return SceneView(0, map, style.colormap, style.mode, style.alpha, style.threshold)
