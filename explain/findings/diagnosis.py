"""Describe a map and its limitations in sentences."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.evidence.layers import receptive_field
from sightglass.explain.evidence.missing import score_format
from sightglass.explain.findings import Finding, most_serious_first
from sightglass.explain.findings.numbers import describe_number, describe_outside, describe_place_number, list_classes
from sightglass.explain.findings.randomisation import describe_independent, find_independent
from sightglass.explain.findings.reliability import add_proof, reliability, subject_of
from sightglass.explain.maps.boxes import on_border
from sightglass.explain.maps.statistics import coarse, describe_place, rank_correlation, rescale
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import describe_score, kinds, listing, percent
from sightglass.models.adapter import AreaTarget
from sightglass.models.catalog import is_packaged
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

UNSURE = 0.2
ALIKE = 0.95
UNDECIDED, MIN_CLASSES = 0.97, 3
"""Normalised entropy of the scores above which they decide nothing, and the minimum number of classes for the test."""
BORDER = 1.2
"""How many times the evidence of an even map the outer border holds before it is said: 43 % where that is 36 %. Maps of
60 pictures and of the same mirrored (EfficientNet-Lite0 and 2, a classifier of leaves) differ by up to 6 points there,
95 % of them by up to 3, so less says nothing. Of the 60, one has more: a road with nothing that the model knows."""
SCATTERED = 2.0
"""The same for the contrast with the other classes."""
EVEN = 0.33
"""Share of the picture that half of the evidence is on, from which it counts as scattered: an even map has 50 %. None
of 20 photographs has as much (EfficientNet-Lite0, at most 31 %); four of five pictures of noise do (31 to 37 %)."""
EARLY = 0.05
"""Share of the input's longer side that a cell of a layer must see for its map to be more than edges and texture."""
CROPPED, NEARLY = 0.1, 0.995
SAME_PLACE = 0.5
HALF = 0.5
"""Share of the evidence outside the object above which it is a caution."""
MUCH_BETTER = 0.2
"""Difference of two methods' hits on drawn scenes, between their 95 % intervals, for which the better one is named."""
LOWEST = 0.01
"""Minimum score for which a lower threshold is worth trying."""
PAPER = 0.7
"""Minimum share of a picture within a quarter of the grey levels for it to be paper."""
NAMED = 3
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


def headline(explanation: Result, hot: str, index: int = 0) -> str:
    """Return the sentence above the picture and its map at `index`; `hot` names the colormap's hottest colour."""
    found, name = explanation.predictions, explanation.model.name
    if explanation.model.task == "detect":
        if not found:
            return nothing_found(explanation)
        shown = kinds(Counter(p.label for p in found).most_common(), 2)
        if explanation.heatmaps and (number := describe_number(explanation, index)):
            label = explanation.heatmaps[index].target.label
            shown += f". {label[0].upper()}{label[1:]} is {number}"
        return f"{name} found {shown}. {_hottest(explanation, hot, index, of_class=True)}"
    if explanation.model.task == "embed":
        return f"{name} compares pictures. {_hottest(explanation, hot, index, of_class=False)}"
    if explanation.model.measures:
        said = ", ".join(f"{p.label} {describe_score(p.score, explanation.model, p.label)}" for p in found)
        if explanation.evidence.resident.adapter.measures_pixels:
            said += " on average"
        if explanation.heatmaps and (place := describe_place_number(explanation, index)):
            said += f". {place.removesuffix('.')}"
        return f"{name} gives {said}. {_hottest(explanation, hot, index, of_class=True)}"
    if explanation.model.segments:
        return f"{name} finds {list_classes(explanation, NAMED)}. {_hottest(explanation, hot, index, of_class=True)}"
    best = found[0]
    if best.score < UNSURE:
        return f"{name} is unsure: its best answer is {best.label} ({percent(best.score)})."
    other = bool(explanation.heatmaps) and explanation.heatmaps[index].target.index != best.index
    tail = _hottest(explanation, hot, index, of_class=other)
    return f"{name} says {best.label} ({percent(best.score)}). {tail}"


def _hottest(explanation: Result, hot: str, index: int, *, of_class: bool) -> str:
    """Say what the hottest colour means on this map; `of_class` names the class where it is not obvious."""
    if not explanation.heatmaps:
        return ""
    heatmap = explanation.heatmaps[index]
    if known := describe_independent(explanation, index):
        return known
    if METHODS[heatmap.method].reads:
        return f"{hot.capitalize()} is what the box's query read."
    if not METHODS[heatmap.method].per_class:
        return f"{hot.capitalize()} is what stands out to the model."
    if heatmap.signed and not explanation.measures:
        return describe_signs(heatmap, heatmap.target.label, "speaks for", "against")
    if explanation.options.part == "contrast":
        if explanation.model.segments and (other := rival(explanation, index)) is not None:
            return f"{hot.capitalize()} speaks for {heatmap.target.label} and against {other}."
        return f"{hot.capitalize()} shows the evidence for {heatmap.target.label} over the other classes."
    if explanation.model.task == "embed":
        return f"{hot.capitalize()} is what its embedding is based on."
    if explanation.measures:
        if heatmap.signed:
            return describe_signs(heatmap, heatmap.target.label)
        return f"{hot.capitalize()} shows what {describe_direction(explanation, index)} {heatmap.target.label}."
    return f"{hot.capitalize()} shows the evidence for {heatmap.target.label if of_class else 'it'}."


def describe_signs(heatmap: Heatmap, label: str, raises: str = "raises", lowers: str = "lowers") -> str:
    """Say what the colours of a signed map mean, of those that are in it."""
    raising = 0.5 if heatmap.raising is None else heatmap.raising
    if round(raising, 2) == 1:
        return f"Red {raises} {label}."
    if round(raising, 2) == 0:
        return f"Blue, in dashed lines, {'speaks against' if lowers == 'against' else lowers} {label}."
    return f"Red {raises} {label}; blue, in dashed lines, {lowers} it."


def describe_direction(explanation: Result, index: int = 0) -> str:
    """Return what the evidence of a map does to its number: raises, lowers, or either of them in a signed map."""
    if explanation.heatmaps and explanation.heatmaps[index].signed:
        return "raises or lowers"
    return "lowers" if explanation.options.part == "lowers" else "raises"


def nothing_found(explanation: Result) -> str:
    """Describe the best candidate of a detector that shows no box."""
    adapter, options = explanation.evidence.resident.adapter, explanation.options
    above = f"above {score_format(options.confidence)(options.confidence)}"
    if explanation.model.example and not options.classes:
        # Its candidates are noise on every photograph.
        return f"{explanation.model.name} knows drawn scenes only: no detections {above}."
    scores = explanation.evidence.outputs.scores[0].amax(1)  # (K,)
    if not scores.numel() or not float(scores.max()):
        return "No detections, not even a weak candidate: choose another model or picture."
    wanted = [class_index(name, adapter.labels) for name in options.classes] or range(len(adapter.labels))
    best = max(wanted, key=lambda index: float(scores[index]))
    say = score_format(options.confidence)
    highest = float(scores[best])
    candidate = f"the best candidate was {adapter.labels[best]} at {say(highest)}"
    if options.classes:
        named = listing([f"no {adapter.labels[index]}" for index in wanted][:NAMED])
        return f"{named.capitalize()} {above}; {candidate}."
    # No slider goes lower, and candidates below are noise.
    return f"No detections {above}; {candidate}.{' Try a lower threshold.' if highest >= LOWEST else ''}"


def describe_map(explanation: Result, index: int = 0, *, half: bool = True) -> str:
    """Describe where one map's evidence is: `The evidence for minibus is strongest in the middle of the ...`.

    `half`: with the share of the picture that half of it is on, which a page may show as a number of its own.
    """
    heatmap = explanation.heatmaps[index]
    if heatmap.state != "ok":
        return _empty(explanation, index)
    statistics = explanation.statistics[index]
    place = describe_place(statistics, heatmap.seen, (explanation.image.width, explanation.image.height))
    part = "of the visible area" if unseen(explanation) >= CROPPED else "of the picture"
    end = f": half of it is on {percent(statistics.half_heat_area)} {part}." if half else "."
    if explanation.options.part == "contrast" and (other := rival(explanation, index)) is not None:
        return f"Why **{heatmap.target.label}** and not {other}? What favours it is strongest {place}{end}"
    if explanation.measures and METHODS[heatmap.method].per_class:
        more = f" {_shares(heatmap.raising)}" if half and heatmap.raising is not None else ""
        return (
            f"What {describe_direction(explanation, index)} **{heatmap.target.label}** is strongest {place}{end}{more}"
        )
    if METHODS[heatmap.method].reads:
        return f"What was read for **{heatmap.target.label}** is strongest {place}{end}"
    of = "The map" if describe_independent(explanation, index) else "The evidence"
    if heatmap.signed:
        more = f" {_shares(heatmap.raising, 'score')}" if half and heatmap.raising is not None else ""
        return f"{of} for and against **{heatmap.target.label}** is strongest {place}{end}{more}"
    return f"{of} for **{heatmap.target.label}** is strongest {place}{end}"


def _shares(raising: float, what: str = "number") -> str:
    return f"{percent(raising)} of the evidence raises the {what}, {percent(1 - raising)} lowers it."


def rival(explanation: Result, index: int = 0) -> str | None:
    """Return the best class other than a map's own, against which its contrast counts most; None where it has none."""
    target = explanation.heatmaps[index].target
    own = target.index
    if isinstance(target, AreaTarget) and target.against is not None:
        return explanation.evidence.resident.adapter.labels[target.against]
    if explanation.model.task != "classify" or own is None:
        return None
    return next((p.label for p in explanation.predictions if p.index != own), None)


def answer(explanation: Result) -> str:
    """Return the best answer with its score, as captions show it."""
    if explanation.model.task == "embed":
        return "predicts no class"
    best = next(iter(explanation.predictions), None)
    return f"{best.label} {describe_score(best.score, explanation.model, best.label)}" if best else "nothing found"


def agreement_sentence(explanation: Result, pair: tuple[int, int] | None = None) -> str:
    """Say whether several classes' maps highlight the same place, by the overlap of their hottest fifths.

    `pair`: the indices of two maps, to compare these alone.
    """
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if not labels:
        return nothing_found(explanation) if explanation.model.task == "detect" else "There is nothing to explain."
    if len(labels) == 1:
        return f"There is only one map, for {labels[0]}."
    if not (method := METHODS[explanation.heatmaps[0].method]).per_class:
        return f"{method.name} gives the same map for every class: it shows what stands out, not why one class."
    if pair is not None:
        return _compare(explanation, *pair, explanation.overlap(*pair))
    pairs = {pair: explanation.overlap(*pair) for pair in combinations(range(len(labels)), 2)}
    if min(pairs.values()) >= SAME_PLACE:
        return f"All {NUMBERS.get(len(labels), len(labels))} maps highlight the same place."
    (one, other), least = min(pairs.items(), key=lambda item: item[1])
    if len(labels) == 2:
        return _compare(explanation, 0, 1, least)
    nearest = [max(alike for pair, alike in pairs.items() if i in pair) for i in range(len(labels))]
    outliers = [label for label, alike in zip(labels, nearest, strict=True) if alike < SAME_PLACE]
    if len(outliers) == len(labels):
        return "No two maps highlight the same place."
    if len(outliers) == 1:
        return f"{outliers[0].capitalize()} highlights a different place from the others."
    return _compare(explanation, one, other, least)


def _compare(explanation: Result, first: int, second: int, overlap: float) -> str:
    where = "the same place" if overlap >= SAME_PLACE else "different places"
    one, other = (explanation.heatmaps[index].target.label for index in (first, second))
    if any(seal is not None and seal.shows for seal in map(explanation.known_seal, (first, second))):
        return f"The maps of {one} and {other} mark {where} ({percent(overlap)} overlap)."
    return f"The evidence for {one} and {other} lies in {where} ({percent(overlap)} overlap)."


def unseen(explanation: Result) -> float:
    """Return the share of the picture that was cropped away before the model saw it, 0..1."""
    left, top, right, bottom = explanation.evidence.geometry.seen
    return 1 - (right - left) * (bottom - top) / (explanation.image.width * explanation.image.height)


def diagnose(explanation: Result, index: int = 0) -> tuple[Finding, ...]:
    """Return the limitations of the map at `index`, most serious first; a proof that it has is heard."""
    found = [Finding("note", "note", note) for note in explanation.notes]
    if explanation.heatmaps and (explanation.measures or explanation.heatmaps[index].signed):
        found += _find_directions(explanation, index)
    if (hidden := unseen(explanation)) >= CROPPED:
        much = percent(hidden) if hidden < NEARLY else "Nearly all"
        text = f"{much} of the picture was cropped away before the model saw it."
        found.append(Finding("cropped", "note", text))
    of_picture = (_find_undecided(explanation), _other_paper(explanation), _other_subject(explanation))
    found += [one for one in of_picture if one is not None]
    if not explanation.heatmaps:
        text = "There is nothing to explain."
        if explanation.model.task == "detect":
            text = "No box matches the chosen classes." if explanation.predictions else nothing_found(explanation)
        return (Finding("nothing", "serious", text), *found)
    found += _of_map(explanation, index)
    if words := describe_outside(explanation, index):
        off = explanation.object_mask is not None and (explanation.outside(index) or 0) > HALF
        found.append(Finding("outside", "caution" if off else "note", words))
    if (proof := explanation.proofs.get(index)) is not None:
        found = add_proof(found, explanation.model.task, explanation.statistics[index], proof)
    return most_serious_first(found)


def _find_directions(explanation: Result, index: int) -> list[Finding]:
    """Find which way a number's map shows, and how much of a signed one's evidence goes either way."""
    heatmap, part = explanation.heatmaps[index], explanation.options.part
    if heatmap.signed:
        what = "number" if explanation.measures else "score"
        return [] if heatmap.raising is None else [Finding("both ways", "note", _shares(heatmap.raising, what))]
    method = METHODS[heatmap.method]
    if not method.per_class:
        return []
    other = ("raises", "class") if part == "lowers" else ("lowers", "lowers")
    shows = (
        f'shows what {describe_direction(explanation, index)} the number; part="{other[1]}" shows what {other[0]} it.'
    )
    text = f"{method.name} has no signed map: this one {shows}" if part == "signed" else f"The map {shows}"
    return [Finding("one way", "note", text)]


def _find_undecided(explanation: Result) -> Finding | None:
    """Find a trained classifier whose scores are nearly the same for all classes, which no picture explains."""
    model, evidence = explanation.model, explanation.evidence
    if model.task != "classify" or model.untrained:
        return None
    scores = evidence.resident.adapter.class_logits(evidence.outputs)[0].detach().double().softmax(0)
    count = len(scores)
    if count < MIN_CLASSES or not bool(scores.isfinite().all()):
        return None
    spread = float(-(scores * scores.clamp_min(1e-12).log()).sum()) / math.log(count)
    if spread < UNDECIDED:
        return None
    text = (
        f"The scores are nearly the same for all {count} classes, at most {percent(float(scores.max()))}. The "
        f"preprocessing may be wrong ({model.where_stated('preprocessing')}), or the weights belong to another model."
    )
    return Finding("undecided", "caution", text)


def _other_subject(explanation: Result) -> Finding | None:
    """Find a picture that is not an upright crop, given to a model trained on upright crops of persons."""
    subject = explanation.evidence.resident.adapter.subject
    height, width = explanation.image.pixels.shape[:2]
    if subject != "persons" or height >= 1.5 * width:
        return None
    text = "This model was trained on upright crops of one person: on other pictures its scores mean little."
    return Finding("other subject", "caution", text)


def _other_paper(explanation: Result) -> Finding | None:
    """Find a picture that is no drawing, or has light and dark swapped, given to a model trained on drawings."""
    wanted = explanation.evidence.resident.adapter.paper
    if wanted is None:
        return None
    pixels = explanation.image.thumbnail(64)
    # Most of the paper is empty, whatever the light it was photographed in.
    tones = np.histogram(pixels.mean(-1), bins=256, range=(0, 256))[0]
    if np.convolve(tones, np.ones(65), "same").max() < PAPER * tones.sum():
        text = "This model was trained on drawings, and this does not look like one: its answer means nothing."
        return Finding("no drawing", "serious", text)
    light = (pixels > 127).mean() > 0.5
    swapped = explanation.options.preprocessing == "negative"
    if (light != swapped) == (wanted == "black on white"):
        return None
    seen = "light" if light != swapped else "dark"
    other = "trained" if swapped else "negative"
    text = (
        f"The model sees lines on {seen} paper but was trained on drawings in {wanted}. Set the preprocessing to "
        f"{other} (light and dark {'as they are' if swapped else 'swapped'})."
    )
    return Finding("paper", "caution", text)


def _of_map(explanation: Result, index: int) -> list[Finding]:
    heatmap, statistics = explanation.heatmaps[index], explanation.statistics[index]
    method, label = METHODS[heatmap.method], heatmap.target.label
    if heatmap.state != "ok":
        return [Finding(heatmap.state, "serious", _empty(explanation, index))]
    found = []
    if not method.per_class:
        text = f"{method.name} shows what stands out to the model, not the evidence for {label}."
        found.append(Finding("not per class", "caution", text))
    elif (twin := _twin(explanation, index)) is not None:
        text = f"The map for {label} is nearly identical to the one for {twin}: it does not show what sets them apart."
        found.append(Finding("alike", "caution", text))
    # Why a class and not another is read at fine layers too, where an even scatter is the rule.
    times = SCATTERED if explanation.options.part == "contrast" else BORDER
    # As printed: what reads the same is no more.
    share, much = round(statistics.border_share, 2), round(min(times * statistics.border_area, 0.9), 2)
    own = explanation.own(index) if share > much else ()
    if own:
        # Heat on an object at the edge of the picture is not on the surroundings.
        share = round(on_border(heatmap, own), 2)
    if share > much:
        text = (
            f"{percent(share)} of the evidence is on the outer border{' outside its box' if own else ''}, more than "
            f"the {percent(statistics.border_area)} of an even spread. The model may rely on the surroundings."
        )
        found.append(Finding("border", "caution", text))
    if explanation.model.task == "classify" and times == BORDER and statistics.half_heat_area >= EVEN:
        text = (
            f"Half of the evidence is scattered over {percent(statistics.half_heat_area)} of the picture (an even "
            f"spread: {percent(0.5)}): the map shows no place that {label} rests on."
        )
        found.append(Finding("scattered", "caution", text))
    numbers = explanation.box_numbers(index) if explanation.options.per != "picture" else None
    if numbers is not None and not numbers.hit:
        text = (
            f"The strongest evidence for {label} is outside its box: the map does not show why the object was found "
            "there."
        )
        found.append(Finding("outside box", "caution", text))
    question = "why" if explanation.options.part == "contrast" else "where"
    subject = subject_of(explanation.model.task, queries=explanation.evidence.resident.queries is not None)
    measured, usual = (reliability(subject, question, id) for id in (method.id, explanation.model.method))
    if measured is None or not is_packaged(explanation.model):
        pass
    elif measured.fails:
        found.append(Finding("measured", "caution", _of_method(method.name, measured.sentence)))
    elif usual is not None and usual.hit[1] - measured.hit[2] > MUCH_BETTER:
        text = f"{_of_method(method.name, measured.sentence)} {METHODS[usual.method].name} has {percent(usual.hit[0])}."
        found.append(Finding("measured", "caution", text))
    found += [one for one in (_early(explanation, index), find_independent(explanation, index)) if one is not None]
    height, width = max((raw.shape for raw in heatmap.raw), key=lambda shape: shape[0] * shape[1])
    if height * width <= 400:
        text = f"The map was computed on {height} by {width} cells: its smooth edges are interpolated, not measured."
        found.append(Finding("coarse", "note", text))
    return found


def _early(explanation: Result, index: int) -> Finding | None:
    """Find a map whose layers all come so early that a cell sees only a few pixels."""
    heatmap, resident = explanation.heatmaps[index], explanation.evidence.resident
    # A method that hides parts of the picture looks at no layer.
    if not METHODS[heatmap.method].at_layers or set(heatmap.layers) <= set(resident.default_layers):
        return None
    layers = heatmap.layers
    seen, side = 0, max(explanation.evidence.geometry.input)
    for layer in layers:
        field = receptive_field(resident.adapter.module, layer)
        if field is None:
            return None
        seen = max(seen, field)
    if seen >= EARLY * side:
        return None
    text = (
        f"{listing(list(layers))} {'comes' if len(layers) == 1 else 'come'} too early: a cell sees at most {seen} of "
        f"{side} pixels. The map then shows edges and texture, not what decides the class. Choose a later layer."
    )
    return Finding("early", "caution", text)


def _of_method(name: str, sentence: str) -> str:
    return f"{name}. {sentence}"


def _twin(explanation: Result, index: int) -> str | None:
    """Return the label of another class whose map is nearly the same."""
    for other, heatmap in enumerate(explanation.heatmaps):
        if other != index and heatmap.state == "ok":
            # The cheap test first: two maps that differ usually differ in it.
            alike = explanation.overlap(index, other) > ALIKE
            if (
                alike
                and explanation.agreement(index, other).rank_correlation > ALIKE
                and _same_signs(explanation, index, other)
            ):
                return heatmap.target.label
    return None


def _same_signs(explanation: Result, first: int, second: int) -> bool:
    """Return whether two maps go the same way; what raises one number may lower another at the same places."""
    one, other = (explanation.heatmaps[index].measured for index in (first, second))
    if not (one.signed and other.signed):
        return True
    ranked = (rescale(coarse(each.content)) for each in (one, other))
    return rank_correlation(*ranked) > ALIKE


def _empty(explanation: Result, index: int) -> str:
    heatmap = explanation.heatmaps[index]
    method, label = METHODS[heatmap.method], heatmap.target.label
    name = method.name_for(explanation.model.task)
    layer = " at this layer: try another layer" if method.at_layers else ": try another method"
    return {
        "flat": f"The map for {label} is flat: at this layer {name} finds no place that matters more than another.",
        "no evidence": f"{name} finds no evidence for {label}{layer}."
        if not explanation.measures
        else f"{name} finds nothing that {describe_direction(explanation, index)} {label} at this layer.",
        "not a number": f"{name} failed on {label} (not a number): try another method or layer.",
    }[heatmap.state]
