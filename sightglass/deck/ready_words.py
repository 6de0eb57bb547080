"""Sentences of the ready-made decks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.explain.phrases import listing, milliseconds, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.proof.support import SupportVerdict

SAME_PLACE = 0.5
"""Overlap of the hottest fifths from which two maps show the same place."""


def names_it(label: str, score: float, half: float, shows: str = "") -> tuple[str, str]:
    """Title and sentence of a picture under its first map. `half`: the share of the visible picture with half of the
    evidence, 0..1. `shows`: `Seal.shows`, of a map that does not depend on the model."""
    sure = f"This model says {label}, {percent(score)} sure. " if score >= 0.2 else f"Its best guess is {label}. "
    if shows:
        return f"This heat map shows {shows}", f"{sure}With random weights the map is nearly the same."
    return (
        "A heat map shows where a model looked",
        f"{sure}Half of what speaks for that is on {percent(half)} of what it saw: the bright part.",
    )


def other_answer(first: str, second: str, overlap: float, shows: str = "") -> tuple[str, str]:
    """Title and sentence of the map of another answer on the same picture. `overlap`: of the hottest fifths, 0..1.
    `shows`: as in `names_it`."""
    shared, what = percent(overlap), f"The map of {second}" if shows else f"What speaks for {second}"
    if overlap >= SAME_PLACE:
        return (
            "Ask for another answer: the map stays",
            f"{what} is where {first} is, too: {shared} of their brightest parts overlap.",
        )
    return (
        "Ask for another answer: the map moves",
        f"{what} is elsewhere: only {shared} of its brightest part overlaps with that of {first}.",
    )


def test_of_a_map(verdict: SupportVerdict, sentence: str) -> tuple[str, str]:
    """Title and sentence of a proved map."""
    return {
        "supported": "This map holds: hide what it shows",
        "not supported": "A map that does not hold",
        "cannot be told": "Is it true? It cannot be told here",
    }[verdict], sentence


def same_for_all(method: str, first: str, second: str, overlap: float) -> tuple[str, str]:
    """Title and sentence of a method's maps of two answers. `overlap`: of their hottest fifths, 0..1."""
    shared = percent(overlap)
    if overlap >= SAME_PLACE:
        return (
            "Some maps lie: the same, whatever you ask",
            f"{method} draws {first} and {second} in one place ({shared} overlap): it shows what stands out, not why "
            "the model answers.",
        )
    return (
        "Two methods can disagree",
        f"{method} puts {first} and {second} in different places ({shared} overlap): ask which of its maps holds.",
    )


def agree(answers: Sequence[tuple[str, str, float]]) -> tuple[str, str]:
    """Title and sentence of several models' first answers: (size, label, score) from small to large."""
    said = listing([f"{size} {label}, {percent(score)} sure" for size, label, score in answers])
    sentence = f"{said[:1].upper()}{said[1:]}."
    if len({label for _, label, _ in answers}) > 1:
        return "They do not say the same", sentence
    surest = max(answers, key=lambda one: one[2])[0]
    largest = answers[-1][0]
    title = f"They agree, and the {surest} one is the surest"
    return (title if surest == largest else f"{title}: not the {largest} one"), sentence


def compare_places(label: str, pairs: Sequence[tuple[str, str, float]], shows: str = "") -> tuple[str, str]:
    """Title and sentence of several models' maps of one answer: (size, size, overlap of the hottest fifths).

    `shows`: as in `names_it`, of any of them.
    """
    one, other, least = min(pairs, key=lambda pair: pair[2])
    title = "They look at the same place" if least >= SAME_PLACE else "The same answer, from different places"
    if shows:
        title = f"Their maps mark {'the same place' if least >= SAME_PLACE else 'different places'}"
    return title, f"All maps are for {label}. The {one} and the {other} model share least: {percent(least)} overlap."


def price(models: Sequence[tuple[str, float, float]], apart: bool) -> tuple[str, str]:
    """Title and sentence of what several models cost: (size, parameters, median milliseconds of a pass) from small to
    large. `apart`: the fastest one's slowest pass is faster than all others' fastest."""
    small, large = models[0], models[-1]
    times = listing([f"{size} {milliseconds(took)}" for size, _, took in models])
    grown = f"The {large[0]} one has {large[1] / small[1]:.1f} times the parameters of the {small[0]} one."
    if not apart:
        return "What larger costs", f"{grown} Here a look's time varies too much to tell them apart: {times}."
    fastest = min(models, key=lambda one: one[2])[0]
    return "What larger costs", f"{grown} On this machine the {fastest} one is the fastest. A look took: {times}."


def count_found(truth: int, models: Sequence[tuple[str, int, int]]) -> tuple[str, str]:
    """Title and sentence of several detectors on a drawn scene: (size, true boxes, false boxes) of `truth` things."""
    each = [f"{size} {true}{_false(false)}" for size, true, false in models]
    sentence = f"There are {truth} things in it. Found: {listing(each)}."
    scores = [true - false for _, true, false in models]
    best = [size for (size, *_), score in zip(models, scores, strict=True) if score == max(scores)]
    if len(best) == len(models):
        return "Find the things: all do as well", sentence
    if models[0][0] in best:
        return f"Find the things: the {models[0][0]} one does as well as any", sentence
    return f"Find the things: {listing(best)} {'does' if len(best) == 1 else 'do'} best", sentence


def _false(count: int) -> str:
    return f" and {count} that {'is' if count == 1 else 'are'} not there" if count else ""


def judge_maps(models: Sequence[tuple[str, SupportVerdict]]) -> tuple[str, str]:
    """Title and sentence of several models' proved maps: (size, its verdict)."""
    good = [size for size, verdict in models if verdict == "supported"]
    if len(good) == len(models):
        return "All their maps hold", "Each matters more to its answer than any of the maps of other pictures."
    if all(verdict == "not supported" for _, verdict in models):
        return "None of their maps holds", "Maps of other pictures matter as much to their answers."
    if not good:
        return "Whether their maps hold cannot be told", "None matters more than every map of another picture."
    return "Not every map holds", f"Only the map of {listing(good)} matters more than every map of another picture."
