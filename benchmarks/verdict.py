"""Measure how often right and wrong maps are called supported."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import cv2
import numpy as np

from benchmarks.pictures import list_photographs
from benchmarks.report import Row, grid, machine, page
from benchmarks.truth.scenes import held_out
from sightglass.evaluation.intervals import estimate_share
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.methods import METHODS
from sightglass.explain.trust import Mark, controls
from sightglass.explain.trust.checks import QUESTIONS
from sightglass.explain.trust.proof import ALLOWED, LASTS, OTHERS, SHARES, SupportVerdict
from sightglass.explain.trust.scramble import copy_loaded, parameters_of, redrawer
from sightglass.explain.trust.support import support
from sightglass.models.catalog import spec
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

    Map = NDArray[np.float32]

MODELS = ("demo-cls-s", "demo-cls-m", "demo-cls-l", "demo-vit", "demo-s", "efficientnet-lite0", "yolo11n")
PICTURES = 40
FIRST_SCENE = 800_000
OWN = "its own map"
WRONG = (
    "another picture's map",
    "the least likely class's map",
    "the runner-up's map",
    "random places",
    "the map with random weights",
    "its map, mirrored",
)
SAME = "a wrong map, over 50 % the same places"
TOP, SHARED = 0.25, 0.5
"""A map's strongest places, and the share of a wrong map's that are the right one's, too, from which it is `SAME`."""
BLOBS = 4
"""Cells of a side of the random places, about as spread out as a map."""
SURE = 0.3
"""The least score of an answer whose map is tested: an answer that hardly stands has no right map."""
WORDS: tuple[SupportVerdict, ...] = get_args(SupportVerdict)
MARKS: tuple[Mark, ...] = get_args(Mark)
MOST, UPPER, GOAL = 0.05, 0.10, 0.6
"""The largest share of wrong maps that may be supported, the upper end of its interval, the least share of own maps."""


@dataclass(frozen=True)
class Case:
    """A picture's answer, its map, and the part of the map that is compared."""

    explanation: Explanation
    index: int
    part: tuple[slice, slice]

    @property
    def own(self) -> Map:
        return self.explanation.heatmaps[self.index].content[self.part]

    def with_map(self, values: Map) -> Explanation:
        """Return the explanation with another map's values (h, w)."""
        heatmap = self.explanation.heatmaps[self.index]
        left, top, right, bottom = heatmap.geometry.content
        at_input = heatmap.at_input.copy()
        at_input[top:bottom, left:right][self.part] = values
        return replace(self.explanation, heatmaps=(replace(heatmap, at_input=at_input, uncut=None),))


def run(options: argparse.Namespace) -> Row:
    """Test maps of drawn scenes and of a folder's or bundled photographs."""
    return {
        "machine": machine(1, "cpu", ("torch", "timm", "ultralytics", "numpy")),
        "models": [_measure(model, options.dataset, options.count) for model in options.models or MODELS],
        "complete": bool(options.dataset) and not options.models and options.count >= PICTURES,
    }


def _measure(model: str, folder: Path | None, most: int) -> Row:
    explainer = Explainer(model)
    counts: Counter[tuple[str, str]] = Counter()
    before: Map | None = None
    tested = 0
    for tested, case in enumerate(itertools.islice(_cases(explainer, folder), most), 1):
        print(f"{model}: {tested}", file=sys.stderr, flush=True)
        for kind, values in _maps(case, before, tested):
            if values is not None and np.isfinite(values).all() and values.min() < values.max():
                if kind != OWN and _overlap(case.own, values) > SHARED:
                    kind = SAME
                counts[kind, support(case.with_map(values))[0].verdict] += 1
        for check in case.explanation.checks(case.index).checks:
            counts[QUESTIONS[check.id], check.state] += 1
        before = case.own
    kinds = [{"kind": kind, "verdicts": {word: counts[kind, word] for word in WORDS}} for kind in (OWN, *WRONG, SAME)]
    checks = [{"kind": text, "verdicts": {mark: counts[text, mark] for mark in MARKS}} for text in QUESTIONS.values()]
    return {"model": model, "pictures": tested, "kinds": kinds, "checks": checks}


def _overlap(first: Map, second: Map) -> float:
    """Return the share of the strongest places that two maps have in common."""
    one, two = (np.asarray(controls.ranking(values)) < TOP for values in (first, second))
    return float((one & two).sum() / one.sum())


def _cases(explainer: Explainer, folder: Path | None) -> Iterator[Case]:
    detects = explainer.model.task == "detect"
    for number, source in enumerate(_pictures(explainer.model.id, folder)):
        explanation = explainer(source, per="detection" if detects else "class", top_k=4 if detects else 1)
        answers = enumerate(zip(explanation.heatmaps, explanation.predictions, strict=False))
        usable = (i for i, (heatmap, answer) in answers if heatmap.state == "ok" and answer.score >= SURE)
        parts = {i: part for i in usable if (part := _part(explanation, i)) is not None}
        if parts:
            index = int(np.random.default_rng(number).choice(list(parts)))
            yield Case(explanation, index, parts[index])


def _part(explanation: Explanation, index: int) -> tuple[slice, slice] | None:
    """Return the compared content; None for too small a box."""
    box = explanation.predictions[index].box
    if box is None:
        return slice(None), slice(None)
    part = box_on_content(explanation.evidence.geometry, box)
    return part if min(explanation.heatmaps[index].content[part].shape) >= 4 * BLOBS else None


def _pictures(model: str, folder: Path | None) -> Iterator[object]:
    """Yield drawn scenes or photographs, always in the same order."""
    if spec(model).example:
        return held_out(model, itertools.count(FIRST_SCENE))
    return list_photographs(folder)


def _maps(case: Case, before: Map | None, number: int) -> Iterator[tuple[str, Map | None]]:
    """Yield the map by kind, then wrong ones, None if missing."""
    explanation, heatmap = case.explanation, case.own
    height, width = heatmap.shape
    yield OWN, heatmap
    yield WRONG[0], None if before is None else cv2.resize(before, (width, height))
    scores = _class_scores(explanation, case.index)
    order = np.argsort(scores)
    yield WRONG[1], _map_of(case, int(order[0]))
    yield WRONG[2], _map_of(case, int(order[-2])) if explanation.model.example else None
    yield WRONG[3], controls.random_map((height, width), (BLOBS, BLOBS), number)
    yield WRONG[4], _scrambled(case, number)
    yield WRONG[5], np.ascontiguousarray(heatmap[:, ::-1])


def _class_scores(explanation: Explanation, index: int) -> NDArray[np.float64]:
    """Return the class scores, for a box its candidate's, (K,)."""
    evidence, target = explanation.evidence, explanation.heatmaps[index].target
    outputs, adapter = evidence.outputs, evidence.loaded.adapter
    scores = outputs.scores[0, :, target.anchors[0]] if adapter.detects else adapter.class_scores(outputs)[0]
    return np.asarray(scores[: len(adapter.labels)].detach().double().cpu())


def _map_of(case: Case, index: int, evidence: Evidence | None = None) -> Map:
    """Return another class's map, or one by other evidence."""
    heatmap, evidence = case.explanation.heatmaps[case.index], evidence or case.explanation.evidence
    raw = METHODS[heatmap.method].run(evidence, [replace(heatmap.target, index=index)])
    return on_content(raw.maps, evidence.geometry, raw.layers)[case.part]


def _scrambled(case: Case, number: int) -> Map:
    """Return the same network's map with random weights."""
    before, target = case.explanation.evidence, case.explanation.heatmaps[case.index].target
    other = copy_loaded(before.loaded)
    redrawer(parameters_of(other, before.tensor))(number)
    assert target.index is not None
    evidence = Evidence(other, ModelInput(before.tensor, before.geometry), before.layers)
    return np.nan_to_num(_map_of(case, target.index, evidence))


def markdown(result: Row) -> str:
    how = (
        f"The strongest {SHARES[0]:.0%} and {SHARES[1]:.0%} of a map are blurred, and then all else. It is "
        "**supported** where the mean score of these alone, less that without them, is larger than with "
        f"{OTHERS - ALLOWED[False]} of {OTHERS} maps that the model drew of other pictures (in a box "
        f"{OTHERS - ALLOWED[True]}, of other boxes), **not supported** where more than half do as well. Where a "
        f"blurred picture keeps {LASTS:.0%} of the score, nothing can be told. All rows but the first are wrong; the "
        "runner-up's map on drawn scenes, where answers exclude each other. In brackets the 95 % interval "
        "(exact).\n\nThe test asks whether the places matter, not whether the map is about this class. A wrong map "
        f"with more than {SHARED:.0%} of its strongest {TOP:.0%} in common with the right one hides mostly the same "
        f"places: the last row, not the goal, counts it. At most {2 + 2 * len(SHARES) * (OTHERS + 1)} passes."
    )
    return page(
        "How often a verdict is right",
        "verdict --dataset FOLDER",
        result["machine"],
        how,
        "## What follows\n\n" + "\n".join(f"- {_goal(model)}" for model in result["models"]),
        *(_of_model(model) for model in result["models"]),
    )


def _of_model(model: Row) -> str:
    tables = [_table("map", model["kinds"]), _table("check of its own map", model["checks"])]
    return "\n\n".join((f"## {model['model']}", f"{model['pictures']} pictures.", *tables))


def _table(of: str, kinds: list[Row]) -> str:
    totals = [(counts["kind"], counts["verdicts"], sum(counts["verdicts"].values())) for counts in kinds]
    rows = [(kind, str(n), *(rate(count, n) for count in verdicts.values())) for kind, verdicts, n in totals if n]
    return grid((of, "tests", *kinds[0]["verdicts"]), rows)


def _goal(model: Row) -> str:
    """Return the rates of supported wrong and own maps, with goals."""
    right, *wrong, same = (counts["verdicts"] for counts in model["kinds"])
    tests, yes = sum(sum(counts.values()) for counts in wrong), sum(counts[WORDS[0]] for counts in wrong)
    total, near = sum(right.values()), sum(same.values())
    met = yes <= MOST * tests and estimate_share(yes, tests).high <= UPPER
    return (
        f"**{model['model']}**: supported are {rate(yes, tests)} of wrong maps (goal: at most {MOST:.0%}, upper end at "
        f"most {UPPER:.0%}: {'met' if met else 'not met'}) and {rate(right[WORDS[0]], total)} of its own (goal: "
        f"{GOAL:.0%}: {'met' if right[WORDS[0]] >= GOAL * total else 'not met'}; cannot be told: "
        f"{rate(right[WORDS[2]], total)}); "
        f"{rate(same[WORDS[0]], near)} of the {near} wrong maps of the same places."
    )


def rate(count: int, total: int) -> str:
    """Return a share and its 95 % interval in words."""
    share = estimate_share(count, total)
    return f"{count / max(total, 1):.0%} [{share.low:.0%}, {share.high:.0%}]"
