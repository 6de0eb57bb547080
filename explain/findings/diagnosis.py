"""What a map cannot say, said: each finding is one sentence made of numbers that were measured."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from explain.findings.missing import score_format
from explain.maps.statistics import describe_place
from explain.methods import METHODS
from explain.phrases import article, kinds, listing, percent
from models.labels import class_index

if TYPE_CHECKING:
    from explain.result import Result

UNSURE = 0.2
ALIKE = 0.95
UNDECIDED, FEWEST = 0.97, 3
"""Entropy of the scores, as a share of the most there can be, and from how many classes on it says something."""
BORDER = 2.0
CROPPED = 0.1
SAME_PLACE = 0.5
LOWEST = 0.01
"""The score from which a lower threshold is worth a try."""
PAPER = 0.7
"""Share of a picture within a quarter of the greys from which on it can be paper."""
NAMED = 3
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`serious`: the map means nothing as it is. `caution`: read it with care. `note`: good to know."""

    kind: str
    level: Literal["serious", "caution", "note"]
    text: str


def headline(explanation: Result, hot: str, index: int = 0) -> str:
    """The one sentence over the picture and its map at `index`. `hot` is the word for the colormap's hottest colour."""
    found = explanation.predictions
    if explanation.model.task == "detect":
        if not found:
            return nothing_found(explanation)
        shown = kinds(Counter(p.label for p in found).most_common(), 2)
        return f"The model found {shown}. {_hottest(explanation, hot, index, of_class=True)}"
    if explanation.model.task == "embed":
        tail = _hottest(explanation, hot, index, of_class=False)
        return f"This model compares pictures. {tail.replace('where it looked', 'what its embedding is made of')}"
    best = found[0]
    if best.score < UNSURE:
        return f"The model is unsure; its best answer is {best.label}, {percent(best.score)}."
    other = bool(explanation.heatmaps) and explanation.heatmaps[index].target.index != best.index
    tail = _hottest(explanation, hot, index, of_class=other)
    return f"A model called this {article(best.label)}, {percent(best.score)} sure. {tail}"


def _hottest(explanation: Result, hot: str, index: int, *, of_class: bool) -> str:
    """What the hottest colour means on this map; `of_class`: for which class, where that is not clear by itself."""
    if not explanation.heatmaps:
        return ""
    heatmap = explanation.heatmaps[index]
    if not METHODS[heatmap.method].per_class:
        return f"{hot.capitalize()} is what stands out to it."
    if explanation.options.part == "contrast":
        return f"{hot.capitalize()} is what sets {heatmap.target.label} apart from the other classes, to this model."
    return f"{hot.capitalize()} is where it looked{f' for {heatmap.target.label}' if of_class else ''}."


def nothing_found(explanation: Result) -> str:
    """Of a detector that shows no box: what came nearest."""
    adapter, options = explanation.evidence.resident.adapter, explanation.options
    scores = explanation.evidence.outputs.scores[0].amax(1)  # (K,)
    if not scores.numel() or not float(scores.max()):
        return "No detections, and no candidate for one: choose another model or picture."
    wanted = [class_index(name, adapter.labels) for name in options.classes] or range(len(adapter.labels))
    best = max(wanted, key=lambda index: float(scores[index]))
    say = score_format(options.confidence)
    highest, above = float(scores[best]), f"above {say(options.confidence)}"
    said = f"the highest was {adapter.labels[best]} at {say(highest)}"
    if options.classes:
        named = listing([f"no {adapter.labels[index]}" for index in wanted][:NAMED])
        return f"{named.capitalize()} {above}; {said}."
    # Below that no slider goes, and what is there is noise.
    return f"No detections {above}; {said}{': lower the threshold?' if highest >= LOWEST else '.'}"


def looks(explanation: Result, index: int = 0) -> str:
    """Where one map lies, in words: `minibus is hottest in the middle of the picture: half of its heat ...`."""
    heatmap = explanation.heatmaps[index]
    if heatmap.state != "ok":
        return _empty(explanation, index)
    statistics = explanation.statistics[index]
    place = describe_place(statistics, heatmap.seen)
    part = "of what the model saw" if unseen(explanation) >= CROPPED else "of the picture"
    return (
        f"**{heatmap.target.label}** is hottest {place}: half of the heat lies on "
        f"{percent(statistics.half_heat_area)} {part}."
    )


def answer(explanation: Result) -> str:
    """What a model says first of a picture, with its score, as a caption has it."""
    if explanation.model.task == "embed":
        return "names nothing"
    best = next(iter(explanation.predictions), None)
    return f"{best.label} {percent(best.score)}" if best else "nothing found"


def agreement_sentence(explanation: Result) -> str:
    """Over several classes' maps: whether they look at the same place, by the overlap of their hottest fifths."""
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if not labels:
        return nothing_found(explanation) if explanation.model.task == "detect" else "There is nothing to explain."
    if len(labels) == 1:
        return f"There is only {labels[0]} to look at."
    if not (method := METHODS[explanation.heatmaps[0].method]).per_class:
        return f"{method.name} is the same for every class: it shows what stands out, not what speaks for one of them."
    pairs = {pair: explanation.overlap(*pair) for pair in combinations(range(len(labels)), 2)}
    if min(pairs.values()) >= SAME_PLACE:
        return f"All {NUMBERS.get(len(labels), len(labels))} look at the same place."
    (one, other), least = min(pairs.items(), key=lambda item: item[1])
    if len(labels) == 2:
        return f"{labels[0].capitalize()} and {labels[1]} look at different places: {least:.2f} in common."
    nearest = [max(alike for pair, alike in pairs.items() if i in pair) for i in range(len(labels))]
    alone = [label for label, alike in zip(labels, nearest, strict=True) if alike < SAME_PLACE]
    if len(alone) == len(labels):
        return "No two of them look at the same place."
    if len(alone) == 1:
        return f"{alone[0].capitalize()} looks elsewhere than the others."
    return f"{labels[other].capitalize()} looks elsewhere than {labels[one]}: {least:.2f} in common."


def unseen(explanation: Result) -> float:
    """Share of the picture that was cropped away before the model looked."""
    left, top, right, bottom = explanation.evidence.geometry.seen
    return 1 - (right - left) * (bottom - top) / (explanation.image.width * explanation.image.height)


def diagnose(explanation: Result, index: int = 0) -> tuple[Finding, ...]:
    """Everything that is to be said against the map at `index`, most serious first."""
    found = [Finding("note", "note", note) for note in explanation.notes]
    if (hidden := unseen(explanation)) >= CROPPED:
        found.append(
            Finding("cropped", "note", f"{percent(hidden)} of the picture was cropped away before the model looked.")
        )
    if (undecided := _undecided(explanation)) is not None:
        found.append(undecided)
    found += [one for one in (_other_paper(explanation), _other_subject(explanation)) if one is not None]
    if not explanation.heatmaps:
        return (Finding("nothing", "serious", _no_map(explanation)), *found)
    found += _of_map(explanation, index)
    order = ("serious", "caution", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def _undecided(explanation: Result) -> Finding | None:
    """Of a trained classifier: its scores are nearly the same for all classes, which no picture is reason for."""
    model, evidence = explanation.model, explanation.evidence
    if model.task != "classify" or "random" in model.weights:
        return None
    scores = evidence.resident.adapter.class_logits(evidence.outputs)[0].detach().double().softmax(0)
    count = len(scores)
    if count < FEWEST or not bool(scores.isfinite().all()):
        return None
    spread = float(-(scores * scores.clamp_min(1e-12).log()).sum()) / math.log(count)
    if spread < UNDECIDED:
        return None
    text = (
        f"Its scores are nearly the same for all {count} classes, {percent(float(scores.max()))} at most: its "
        "preprocessing may be wrong (weights.preprocessing), or its weights are of another model."
    )
    return Finding("undecided", "caution", text)


def _other_subject(explanation: Result) -> Finding | None:
    """Of a model of persons: the picture is no upright cut-out, as all were that it was trained on."""
    subject = getattr(explanation.evidence.resident.adapter, "subject", "")
    height, width = explanation.image.pixels.shape[:2]
    if subject != "persons" or height >= 1.5 * width:
        return None
    text = "It was trained on upright cut-outs of one person each: of any other picture its numbers mean little."
    return Finding("other subject", "caution", text)


def _other_paper(explanation: Result) -> Finding | None:
    """Of a model of drawings: the picture is none, or is light where those that it was trained on are dark."""
    wanted = getattr(explanation.evidence.resident.adapter, "sketch", None)
    if wanted is None:
        return None
    pixels = explanation.image.thumbnail(64)
    # Most of a paper is empty, in whatever light it was photographed.
    tones = np.histogram(pixels.mean(-1), bins=256, range=(0, 256))[0]
    if np.convolve(tones, np.ones(65), "same").max() < PAPER * tones.sum():
        text = "It was trained on drawings, and this looks like none: what it says of other pictures means nothing."
        return Finding("no drawing", "serious", text)
    light = (pixels > 127).mean() > 0.5
    swapped = explanation.options.preprocessing == "negative"
    if (light != swapped) == (wanted == "black on white"):
        return None
    seen = "light" if light != swapped else "dark"
    other = "trained" if swapped else "negative"
    text = (
        f"It sees lines on {seen} paper, and was trained on drawings that are {wanted}: have the picture fitted as "
        f"{other} (light and dark {'as they are' if swapped else 'swapped'})."
    )
    return Finding("paper", "caution", text)


def _no_map(explanation: Result) -> str:
    if explanation.model.task != "detect":
        return "There is nothing to explain."
    return "No box is of what was asked for." if explanation.predictions else nothing_found(explanation)


def _of_map(explanation: Result, index: int) -> list[Finding]:
    heatmap, statistics = explanation.heatmaps[index], explanation.statistics[index]
    method, label = METHODS[heatmap.method], heatmap.target.label
    if heatmap.state != "ok":
        return [Finding(heatmap.state, "serious", _empty(explanation, index))]
    found = []
    if not method.per_class:
        text = f"{method.name} shows what stands out to the model, not what speaks for {label}."
        found.append(Finding("not per class", "caution", text))
    elif (twin := _twin(explanation, index)) is not None:
        text = f"The map for {label} is nearly the one for {twin}: it does not show what sets the two apart."
        found.append(Finding("alike", "caution", text))
    share, much = statistics.border_share, min(BORDER * statistics.border_area, 0.9)
    own = explanation.own(index) if share > much else ()
    if own:
        # With it comes torch.
        from explain.maps.boxes import on_border

        # An object at the picture's edge is no surroundings.
        share = on_border(heatmap, own)
    if share > much:
        text = (
            f"{percent(share)} of the heat lies on the outer border{' outside of its box' if own else ''}, "
            f"which is {percent(statistics.border_area)} of the area: the model may use the surroundings."
        )
        found.append(Finding("border", "caution", text))
    height, width = max((raw.shape for raw in heatmap.raw), key=lambda shape: shape[0] * shape[1])
    if height * width <= 400:
        text = f"The map's true grid is {height} by {width} cells: its smooth edges are drawn, not measured."
        found.append(Finding("coarse", "note", text))
    return found


def _twin(explanation: Result, index: int) -> str | None:
    """The label of another class whose map is nearly the same."""
    for other, heatmap in enumerate(explanation.heatmaps):
        if other != index and heatmap.state == "ok":
            # The quick one first: two maps that differ mostly differ in this.
            alike = explanation.overlap(index, other) > ALIKE
            if alike and explanation.agreement(index, other).rank_correlation > ALIKE:
                return heatmap.target.label
    return None


def _empty(explanation: Result, index: int) -> str:
    heatmap = explanation.heatmaps[index]
    name, label = METHODS[heatmap.method].name, heatmap.target.label
    return {
        "flat": f"The map for {label} is the same everywhere: {name} finds no place that matters more at this layer.",
        "no evidence": f"Nothing in the picture speaks for {label} by {name} at this layer: try another layer.",
        "not a number": f"{name} broke down on {label} (not a number): try another method or layer.",
    }[heatmap.state]
