"""Describe a map and its limitations in sentences, by its own tests and by what was measured of its method.

Reliability, on scenes with known causes, is in `reliability.json`, written by `python -m benchmarks known` (see
benchmarks/results/known.md); which methods' maps depend on the model is in `randomisation.json`, written by `python -m
benchmarks truth --only weights --write` (see benchmarks/results/truth.md). No import of torch: menus use it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.maps.boxes import on_border
from sightglass.explain.maps.statistics import coarse, describe_place, rank_correlation, rescale
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, listing, percent
from sightglass.explain.phrases import pixels as size_in_pixels
from sightglass.explain.questions import answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.wording import describe_direction
from sightglass.explain.trust import LEVELS, SHOWS, Finding
from sightglass.models.catalog import is_packaged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sightglass.explain.evidence.loaded_model import LoadedModel
    from sightglass.explain.result import Result
    from sightglass.models.geometry import Geometry
    from sightglass.models.spec import ModelSpec

ALIKE = 0.95
"""Overlap and rank correlation of two classes' maps above which they are nearly identical."""
BORDER = 1.2
"""How many times the evidence of an even map the outer border holds before it is said: 43 % where that is 36 %. Maps of
60 pictures and of the same mirrored (EfficientNet-Lite0 and 2, a classifier of leaves) differ by up to 6 points there,
95 % of them by up to 3, so less says nothing. Of the 60, one has more: a road with nothing that the model knows."""
SCATTERED = 2.0
"""The same for the contrast with the other classes."""
CROPPED, NEARLY = 0.1, 0.995
"""Shares of the picture that the model did not see, from which it is said, and said to be nearly all."""
UNDECIDED, MIN_CLASSES = 0.97, 3
"""Normalised entropy of the scores above which they decide nothing, and the minimum number of classes for the test."""
EVEN = 0.33
"""Share of the picture that half of the evidence is on, from which it counts as scattered: an even map has 50 %. None
of 20 photographs has as much (EfficientNet-Lite0, at most 31 %); four of five pictures of noise do (31 to 37 %)."""
LIKELY = 0.01
"""Score from which an answer is shown unasked beside the best one."""
SAME_PLACE = 0.5
"""Overlap of two maps' hottest fifths from which they highlight the same place."""
HALF = 0.5
"""Share of the evidence outside the object above which it is a caution."""
MOSTLY = 0.5
"""Share of the picture that the model did not see from which its whole is recommended."""
MUCH_BETTER = 0.2
"""Difference of two methods' hits on drawn scenes, between their 95 % intervals, for which the better one is named."""
PAPER = 0.7
"""Minimum share of a picture within a quarter of the grey levels for it to be paper."""
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True, slots=True)
class Statement:
    """Sentences about a picture and a map, with the label apart."""

    title: str = ""
    """What the model answers: `EfficientNet-Lite0 says minibus (87 %).`"""
    meaning: str = ""
    """What the map's colours mean: `Orange shows the evidence for it.`"""
    lead: str = ""
    """The text before the label: `The evidence for`; empty without a place."""
    subject: str = ""
    """The label of what the map is of."""
    place: str = ""
    """Where the map is strongest, after the label; the whole sentence where there is no label."""

    @property
    def headline(self) -> str:
        """The sentences above a picture and its map."""
        return " ".join(filter(None, (self.title, self.meaning)))

    def markdown(self) -> str:
        """Return the sentence about the place, the label in bold."""
        return " ".join(filter(None, (self.lead, f"**{self.subject}**" if self.subject else "", self.place)))

    def slide(self) -> str:
        """Return the sentence about the place without emphasis."""
        return " ".join(filter(None, (self.lead, self.subject, self.place)))


def describe(explanation: Result, hot: str = "", index: int = 0) -> Statement:
    """Describe the picture and its map at `index`, without limitations; `hot`: what the strongest place is called."""
    wording = explanation.task.wording
    (title, named), meaning = wording.headline(explanation, index), ""
    if named is not None and explanation.heatmaps and explanation.heatmaps[index].state == "ok":
        meaning, method = describe_independent(explanation, index), METHODS[explanation.heatmaps[index].method]
        if not meaning and method.shows:
            meaning = f"{hot.capitalize()} is {method.shows}."
        meaning = meaning or wording.meaning(explanation, hot, index, named=named)
    place = _describe_place(explanation, index, with_area=True) if explanation.heatmaps else ("", "", "")
    return Statement(title, meaning, *place)


def describe_map(explanation: Result, index: int = 0, *, with_area: bool = True) -> str:
    """Describe the place of one map's evidence.

    `with_area`: with the share of the picture that half of it is on, which a page may show as a number of its own.
    """
    sentence = Statement("", "", *_describe_place(explanation, index, with_area=with_area)).markdown()
    hidden = 0.0 if with_area else unseen(explanation)
    much = percent(hidden) if hidden < NEARLY else "nearly all"
    return f"{sentence} Cut: {much}." if hidden >= CROPPED else sentence


def _describe_place(explanation: Result, index: int, *, with_area: bool) -> tuple[str, str, str]:
    """Return the parts of the sentence on a map's place: start, label, rest."""
    heatmap = explanation.heatmaps[index]
    if heatmap.state != "ok":
        return "", "", _empty(explanation, index)
    statistics, label = explanation.statistics[index], heatmap.target.label
    where = describe_place(statistics, heatmap.seen, (explanation.image.width, explanation.image.height))
    half = f"{percent(statistics.half_heat_area)} {area_name(heatmap.geometry)}"
    end = f": half of it is on {half}." if with_area else "."
    strongest = where if where.startswith("spread") else f"strongest {where}"
    place, numbers = f"is {strongest}{end}", explanation.quantity == "number"
    raising = heatmap.raising if with_area else None
    directions = "" if raising is None else f" {_shares(raising, explanation.quantity)}"
    rival = explanation.task.wording.rival(explanation, index)
    if explanation.options.part == "contrast" and rival is not None:
        return "Why", label, f"and not {rival}? What favours it {place}"
    if numbers and METHODS[heatmap.method].per_class:
        return f"What {describe_direction(explanation, index)}", label, f"{place}{directions}"
    if METHODS[heatmap.method].reads:
        return "What was read for", label, place
    independent = describe_independent(explanation, index)
    of = "The map" if independent or METHODS[heatmap.method].family == "control" else "The evidence"
    if heatmap.signed:
        return f"{of} for and against", label, f"{place}{directions}"
    if not (with_area or independent):
        # The page names the class beside the map, and shows the picture.
        return "", "", f"{capital(strongest.removesuffix(' of the picture'))}."
    return f"{of} for", label, place


def _shares(raising: float, what: str) -> str:
    """Describe which shares of the evidence raise and lower a score or a number."""
    return f"{percent(raising)} of the evidence raises the {what}, {percent(1 - raising)} lowers it."


def agreement_sentence(explanation: Result, pair: tuple[int, int] | None = None) -> str:
    """Describe the agreement of several classes' maps: of the best answer and the runner-up.

    `pair`: the indices of two maps, to compare these instead.
    """
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    if not labels:
        return explanation.task.wording.nothing(explanation)
    if len(labels) == 1:
        return f"There is only one map, for {labels[0]}."
    method = METHODS[explanation.heatmaps[0].method]
    if not method.per_class:
        return f"{method.name} gives the same map for every class: it shows {method.shows}, not why one class."
    asked = pair or range(len(labels))
    maps = [i for i in asked if explanation.heatmaps[i].measured.state == "ok"]
    if len(maps) < 2:
        return f"Empty maps cannot be compared: {listing([labels[i] for i in asked if i not in maps])}."
    every = combinations(maps, 2)
    if pair is None and len(maps) > 2 and all(explanation.overlap(*each) >= SAME_PLACE for each in every):
        return f"All {NUMBERS.get(len(maps), len(maps))} maps highlight the same place."
    return _compare_two(explanation, maps[0], maps[1], asked=pair is not None)


def _compare_two(explanation: Result, first: int, second: int, *, asked: bool) -> str:
    """Describe the agreement of two maps, `asked` for or of the two best answers."""
    known = map(explanation.known_checks, (first, second))
    is_independent = any(checks is not None and checks.shows for checks in known)
    overlap = explanation.overlap(first, second)
    elsewhere = "different places" if asked else "other places"
    where = "the same place" if overlap >= SAME_PLACE else elsewhere
    if asked:
        both = " and ".join(explanation.heatmaps[i].target.label for i in (first, second))
        verdict = f"The maps of {both} mark" if is_independent else f"The evidence for {both} lies in"
    else:
        wording = explanation.task.wording
        best, runner_up = (wording.name_map(explanation, i).replace(", ", " ") for i in (first, second))
        verdict = f"{capital(best)}; {runner_up} {'marks' if is_independent else 'rests on'}"
    return f"{verdict} {where} ({percent(overlap)} overlap)."


def count_likely(explanation: Result) -> int:
    """Return how many maps, from the first one on, are of likely answers.

    At least one. An answer is unlikely with a score below `LIKELY`; numbers and answers without a score are not.
    """
    for place in range(1, len(explanation.heatmaps)):
        score = explanation.task.scorer.score(explanation, place)
        # The length of a bar: numbers have none, and are neither likely nor unlikely.
        share = None if score is None else explanation.task.wording.bar(score)
        if share is not None and share < LIKELY:
            return place
    return len(explanation.heatmaps)


def describe_single(explanation: Result) -> str:
    """Describe the best answer, beside which no other one is likely."""
    best = explanation.task.wording.name_map(explanation, 0).replace(", ", " ")
    return f"{capital(best)}; every other answer is below {percent(LIKELY)}."


def unseen(explanation: Result) -> float:
    """Return the picture's share cropped away, 0..1."""
    left, top, right, bottom = explanation.evidence.geometry.seen
    return 1 - (right - left) * (bottom - top) / (explanation.image.width * explanation.image.height)


def describe_fit(explanation: Result) -> str:
    """Say that most of the picture was cut off or that it was enlarged.

    Empty for neither.
    """
    hidden, geometry = unseen(explanation), explanation.evidence.geometry
    if hidden > MOSTLY:
        much = percent(hidden) if hidden < NEARLY else "Nearly all"
        return f"{much} of the picture is cut off."
    (height, width), (rows, columns) = geometry.original, geometry.input
    if height * width < rows * columns:
        size, enlarged = size_in_pixels(width, height), size_in_pixels(columns, rows)
        return f"Its {size} pixels were enlarged to the model's {enlarged}."
    return ""


def area_name(geometry: Geometry) -> str:
    """Return what the shares of a map's statistics are of."""
    return "of the picture" if geometry.seen == (0, 0, *reversed(geometry.original)) else "of the visible area"


def diagnose(explanation: Result, index: int = 0) -> tuple[Finding, ...]:
    """Return a map's limitations, most serious first, with its proof's."""
    of_picture = _find_of_picture(explanation, index)
    if not explanation.heatmaps:
        nothing = Finding("nothing", "serious", explanation.task.wording.nothing(explanation))
        return (nothing, *(finding for finding in of_picture if finding.text != nothing.text))
    findings = (*of_picture, *_find_of_map(explanation, index))
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))


def _find_of_picture(explanation: Result, index: int) -> Iterator[Finding]:
    """Find limitations of the picture for this model, and the direction of the map."""
    yield from (Finding("note", "note", note) for note in explanation.notes)
    heatmap = explanation.heatmaps[index] if explanation.heatmaps else None
    numbers = explanation.quantity == "number"
    if heatmap is not None and heatmap.raising is not None:
        yield Finding("both ways", "note", _shares(heatmap.raising, explanation.quantity))
    elif heatmap is not None and not heatmap.signed and numbers and METHODS[heatmap.method].per_class:
        part, method = explanation.options.part, METHODS[heatmap.method]
        begin = f"{method.name} has no signed map: this one" if part == "signed" else "The map"
        other = 'part="class" shows what raises' if part == "lowers" else 'part="lowers" shows what lowers'
        text = f"{begin} shows what {describe_direction(explanation, index)} the number; {other} it."
        yield Finding("one way", "note", text)
    if (hidden := unseen(explanation)) >= CROPPED:
        much = percent(hidden) if hidden < NEARLY else "Nearly all"
        yield Finding("cropped", "note", f"{much} of the picture was cropped away before the model saw it.")
    yield from _find_undecided(explanation)
    yield from _find_other_paper(explanation)
    height, width = explanation.image.pixels.shape[:2]
    if explanation.evidence.loaded.adapter.subject == "persons" and height < 1.5 * width:
        text = "This model was trained on upright crops of one person: on other pictures its scores mean little."
        yield Finding("other subject", "caution", text)


def _find_undecided(explanation: Result) -> Iterator[Finding]:
    """Find nearly equal scores of a softmax."""
    evidence, model = explanation.evidence, explanation.model
    if not explanation.task.competes or model.untrained:
        return
    scores = evidence.loaded.adapter.class_logits(evidence.outputs)[0].detach().double().softmax(0)
    entropy, count = float(-(scores * scores.clamp_min(1e-12).log()).sum()), len(scores)
    if count >= MIN_CLASSES and entropy / math.log(count) >= UNDECIDED:
        text = (
            f"The scores are nearly the same for all {count} classes, at most {percent(float(scores.max()))}. The "
            f"preprocessing may be wrong ({model.where_stated('preprocessing')}), or the weights belong to another "
            "model."
        )
        yield Finding("undecided", "caution", text)


def _find_other_paper(explanation: Result) -> Iterator[Finding]:
    """Find a picture unlike drawings, or inverted, for a drawing model."""
    paper = explanation.evidence.loaded.adapter.paper
    if paper is None:
        return
    pixels = explanation.image.thumbnail(64)
    # Paper is mostly empty, in any light.
    tones = np.histogram(pixels.mean(-1), bins=256, range=(0, 256))[0]
    if np.convolve(tones, np.ones(65), "same").max() < PAPER * tones.sum():
        text = "This model was trained on drawings, and this does not look like one: its answer means nothing."
        yield Finding("no drawing", "serious", text)
        return
    swapped = explanation.options.preprocessing == "negative"
    light = ((pixels > 127).mean() > 0.5) != swapped
    if light != (paper == "black on white"):
        fault = f"The model sees lines on {'light' if light else 'dark'} paper but was trained on drawings in {paper}."
        advice = "trained (light and dark as they are)" if swapped else "negative (light and dark swapped)"
        yield Finding("paper", "caution", f"{fault} Set the preprocessing to {advice}.")


def _find_of_map(explanation: Result, index: int) -> Iterator[Finding]:
    """Find limitations of a map, and what its proof says against it."""
    if (state := explanation.heatmaps[index].state) != "ok":
        yield Finding(state, "serious", _empty(explanation, index))
    else:
        yield from _find_of_evidence(explanation, index)
    mask = explanation.object_mask
    share = None if mask is None else explanation.outside(index)
    if mask is not None and share is not None:
        subject, elsewhere = explanation.heatmaps[index].target.label, percent(1 - float(mask.mean()))
        text = f"{percent(share)} of the evidence for {subject} lies outside the object, while {elsewhere} of the "
        yield Finding("outside", "caution" if share > HALF else "note", f"{text}picture does.")
    elif words := explanation.task.wording.describe_outside(explanation, index):
        yield Finding("outside", "note", words)
    proof = explanation.proofs.get(index)
    if proof is not None and proof.support.verdict == "not supported":
        words = proof.sentence
        yield Finding("unproved", "serious", f"By its proof: {words[0].lower()}{words[1:]}")


def _come_early(explanation: Result, layers: Collection[str]) -> bool:
    """Return whether layers come before the usual ones, unlike attention modules."""
    loaded = explanation.evidence.loaded
    order = [layer.path for layer in loaded.layers]
    usual = [path for path in loaded.default_layers if path in order]
    known = bool(usual) and all(path in order for path in layers)
    return known and max(map(order.index, layers), default=0) < min(map(order.index, usual))


def _find_of_evidence(explanation: Result, index: int) -> Iterator[Finding]:
    """Find limitations of a map that is not empty."""
    yield from _find_for_class(explanation, index)
    yield from _find_on_border(explanation, index)
    yield from _find_scattered(explanation, index)
    yield from _find_outside_box(explanation, index)
    yield from _find_measured(explanation, index)
    independent = find_independent(explanation, index)
    if independent is not None:
        yield independent[1]
    height, width = max((raw.shape for raw in explanation.heatmaps[index].raw), key=math.prod)
    if height * width <= 400:
        text = f"The map was computed on {height} by {width} cells: its smooth edges are interpolated, not measured."
        yield Finding("coarse", "note", text)


def _find_for_class(explanation: Result, index: int) -> Iterator[Finding]:
    heatmap = explanation.heatmaps[index]
    method = METHODS[heatmap.method]
    label = heatmap.target.label
    if not method.per_class:
        text = f"{method.name} shows {method.shows}, not the evidence for {label}."
        yield Finding("not per class", "caution", text)
        return
    alike = _find_alike(explanation, index)
    if alike is not None:
        text = f"The map for {label} is nearly identical to the one for {alike}: it does not show what sets them apart."
        yield Finding("alike", "caution", text)


def _find_scattered(explanation: Result, index: int) -> Iterator[Finding]:
    # Contrast maps also come from fine layers, where an even scatter is normal.
    if explanation.task.evaluation != "classes" or explanation.options.part == "contrast":
        return
    spread = explanation.statistics[index].half_heat_area
    is_scattered = spread >= EVEN
    if not is_scattered:
        return
    heatmap = explanation.heatmaps[index]
    text = (
        f"Half of the evidence is scattered over {percent(spread)} {area_name(heatmap.geometry)} (an even spread: "
        f"{percent(0.5)}): the map shows no place that {heatmap.target.label} rests on."
    )
    if METHODS[heatmap.method].at_layers and _come_early(explanation, heatmap.layers):
        default = ", ".join(explanation.evidence.loaded.default_layers)
        text += f" The layer may come too early: the model's usual one is {default}."
    yield Finding("scattered", "caution", text)


def _find_outside_box(explanation: Result, index: int) -> Iterator[Finding]:
    numbers = explanation.box_numbers(index) if explanation.options.per != "picture" else None
    if numbers is None or numbers.hit:
        return
    label = explanation.heatmaps[index].target.label
    text = (
        f"The strongest evidence for {label} is outside its box: the map does not show why the object was found there."
    )
    yield Finding("outside box", "caution", text)


def _find_measured(explanation: Result, index: int) -> Iterator[Finding]:
    model = explanation.model
    method = METHODS[explanation.heatmaps[index].method]
    tests = reliabilities(explanation.evidence.loaded, model, question_of(explanation.options.part))
    measured = tests.get(method.id)
    usual = tests.get(model.method)
    if measured is None:
        return
    text = f"{method.name}. {measured.sentence}"
    if measured.fails:
        yield Finding("measured", "caution", text)
    elif usual is not None and usual.hit[1] - measured.hit[2] > MUCH_BETTER:
        better = f"{METHODS[model.method].name} has {percent(usual.hit[0])}."
        yield Finding("measured", "caution", f"{text} {better}")


def _find_on_border(explanation: Result, index: int) -> Iterator[Finding]:
    """Find a map whose evidence is on the outer border."""
    statistics = explanation.statistics[index]
    # Contrast maps also come from fine layers, where an even scatter is normal.
    times = SCATTERED if explanation.options.part == "contrast" else BORDER
    # Rounded as printed, so that equal numbers count as equal.
    share, much = round(statistics.border_share, 2), round(min(times * statistics.border_area, 0.9), 2)
    boxes = explanation.own(index) if share > much else ()
    if boxes:
        # Heat on an object at the edge of the picture is not on the surroundings.
        share = round(on_border(explanation.heatmaps[index], boxes), 2)
    if share > much:
        text = (
            f"{percent(share)} of the evidence is on the outer border{' outside its box' if boxes else ''}, more than "
            f"the {percent(statistics.border_area)} of an even spread. The model may rely on the surroundings."
        )
        yield Finding("border", "caution", text)


def _find_alike(explanation: Result, index: int) -> str | None:
    """Return the label of another class whose map is nearly the same."""
    for other, heatmap in enumerate(explanation.heatmaps):
        # The cheap test first: it rejects most pairs.
        if other == index or heatmap.state != "ok" or explanation.overlap(index, other) <= ALIKE:
            continue
        maps = [explanation.heatmaps[place].measured for place in (index, other)]
        signed = [rescale(coarse(measured.content)) for measured in maps if measured.signed]
        same_signs = len(signed) < len(maps) or rank_correlation(*signed) > ALIKE
        if same_signs and explanation.agreement(index, other).rank_correlation > ALIKE:
            return heatmap.target.label
    return None


def _empty(explanation: Result, index: int) -> str:
    heatmap = explanation.heatmaps[index]
    method, label = METHODS[heatmap.method], heatmap.target.label
    name = method.name_for(explanation.model.task)
    layer = " at this layer: try another layer" if method.at_layers else ": try another method"
    return {
        "flat": f"The map for {label} is flat: at this layer {name} finds no place that matters more than another.",
        "no evidence": f"{name} finds nothing that {describe_direction(explanation, index)} {label} at this layer."
        if explanation.quantity == "number"
        else f"{name} finds no evidence for {label}{layer}.",
        "not a number": f"{name} failed on {label} (not a number): try another method or layer.",
    }[heatmap.state]


FILE = Path(__file__).with_name("reliability.json")


@dataclass(frozen=True, slots=True)
class Reliability:
    """A method's scores on one question, at that question's default layers and target."""

    hit: Sequence[float]
    """Share of maps whose hottest pixel is on the cause, with its 95 % interval. For "where" the cause is the object,
    for "why" the part that defines the class."""
    baseline: str
    """The best baseline: a map made without any model."""
    baseline_hit: float
    fails: bool
    """Whether it beats the best baseline neither in hits nor in ranking: by the 95 % interval of the paired
    difference, or by the mean for a slow method, measured on few scenes."""

    @property
    def sentence(self) -> str:
        """Compare the method with its best baseline in one sentence."""
        rival = BASELINES.get(self.baseline, self.baseline)
        start = "Failed on" if self.fails else "On"
        return f"{start} our test networks: {percent(self.hit[0])} right, {rival} {percent(self.baseline_hit)}."


BASELINES = {"edges, smoothed": "edges alone", "edges in its box": "edges in the box alone"}


def reliabilities(loaded: LoadedModel, model: ModelSpec, question: str) -> dict[str, Reliability]:
    """Return methods' measured reliability, none for an own model."""
    if not is_packaged(model):
        return {}
    of = ("query" if loaded.survey.queries is not None else model.task, question)
    return {method: row for (*key, method), row in _load_published().items() if tuple(key) == of}


@cache
def _load_published() -> dict[tuple[str, str, str], Reliability]:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["findings"]
    names = Reliability.__dataclass_fields__
    return {(row["task"], row["question"], row["method"]): Reliability(*map(row.get, names)) for row in rows}


RANDOMISATION = Path(__file__).with_name("randomisation.json")
MOST = 0.5
"""The share of maps that do not depend on the model from which a method is said to draw such maps."""


@dataclass(frozen=True, slots=True)
class Randomisation:
    """How many maps of a method depend on the model, at the layers of a question."""

    yes: int
    no: int
    maps: int
    box: int = 0
    """Those of `yes` whose maps of random weights keep the box and move inside it."""

    @property
    def independent(self) -> bool:
        """Whether the method was measured as nearly independent of the model."""
        return self.no >= MOST * self.maps

    @property
    def sentence(self) -> str:
        """How many of the method's maps depended on the model, or not, in one sentence."""
        if self.independent:
            return f"In {self.no} of {self.maps} tests random weights drew nearly the same map."
        if self.box >= MOST * self.maps:
            return "Random weights keep the box but move the hot spots."
        return f"In {self.yes} of {self.maps} tests its map depended on the model."


def question_of(part: str) -> str:
    """Return the question of a map by its part."""
    return "why" if part == "contrast" else "where"


def family_of(task: str, loaded: LoadedModel) -> str:
    """Return the family whose figures a model of a task has: detector, query, transformer or classifier."""
    if task_of(task).explains("detection"):
        return "detector" if loaded.survey.queries is None else "query"
    return "transformer" if loaded.survey.attentions else "classifier"


def randomisations(
    loaded: LoadedModel, model: ModelSpec, question: str, layers: Sequence[str]
) -> dict[str, Randomisation]:
    """Return how many maps of each method depend on the model; none for an own model or layers without figures.

    `layers`: none for the default ones.
    """
    # Measured of classes and boxes alone.
    measured = task_of(model).evaluation in ("classes", "boxes") and is_packaged(model)
    if not measured or (question == "why" and not answers_why(loaded)):
        return {}
    if tuple(layers or loaded.default_layers) != (settings(loaded, question)["layers"] or loaded.default_layers):
        return {}
    of = (family_of(model.task, loaded), question)
    return {method: row for (*key, method), row in _load_randomisation().items() if tuple(key) == of}


def describe_independent(explanation: Result, index: int) -> str:
    """Describe a model-independent map; empty for one that depends on the model, as far as is known."""
    independent = find_independent(explanation, index)
    return "" if independent is None else independent[0]


def find_independent(explanation: Result, index: int) -> tuple[str, Finding] | None:
    """Find a model-independent map, by its own check or its method's figures: what it shows, and the limitation."""
    heatmap = explanation.heatmaps[index]
    checks = explanation.known_checks(index) if heatmap.state == "ok" else None
    check = None if checks is None else checks["model"]
    if check is not None and check.state != "cannot be told":
        if check.state == "yes":
            return None
        shows = f"This map shows {check.shows}, not what the model learnt."
        if check.shows == SHOWS["survives"]:
            shows = "The map hardly depends on what the model has learned."
        return shows, Finding("independent", "serious", check.sentence)
    # The gradients of pixels are at no layer.
    layers = heatmap.layers if METHODS[heatmap.method].at_layers else ()
    question = question_of(explanation.options.part)
    draws = randomisations(explanation.evidence.loaded, explanation.model, question, layers)
    if (measured := draws.get(heatmap.method)) is None or not measured.independent:
        return None
    shows, verb = explanation.task.independent
    again = f"With random weights the method draws nearly the same map ({measured.no} of {measured.maps} measured)"
    return f"This map shows {shows}.", Finding("independent", "caution", f"{again}: it {verb}.")


@cache
def _load_randomisation() -> dict[tuple[str, str, str], Randomisation]:
    rows = json.loads(RANDOMISATION.read_text(encoding="utf-8"))
    return {(row.pop("family"), row.pop("question"), row.pop("method")): Randomisation(**row) for row in rows}
