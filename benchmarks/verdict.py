"""Measure how often right and wrong maps are called supported."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import cv2
import numpy as np

from benchmarks.pictures import list_photographs
from benchmarks.processes import single_thread, spawned
from benchmarks.report import Row, grid, machine, page
from benchmarks.truth.scenes import held_out
from sightglass.evaluation.intervals import estimate_share
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.maps.heatmap import on_content
from sightglass.explain.methods import METHODS
from sightglass.explain.trust import Mark, controls
from sightglass.explain.trust.checks import QUESTIONS
from sightglass.explain.trust.proof import EDGES, OTHERS, SHARES, STRONGEST, SupportVerdict
from sightglass.explain.trust.scramble import copy_loaded, parameters_of, redrawer
from sightglass.explain.trust.support import Shown, support
from sightglass.models.catalog import spec
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

    Map = NDArray[np.float32]

DRAWN = ("demo-cls-s", "demo-cls-m", "demo-cls-l", "demo-vit")
PHOTOGRAPHED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
MODELS = (*DRAWN, *PHOTOGRAPHED)
PICTURES = 60
FIRST_SCENE = 800_000
OWN = "its own map"
WRONG = (
    "another picture's map",
    "the least likely class's map",
    "the runner-up's map",
    "random places",
    "the map with random weights",
    "its map, mirrored",
    "its map, shuffled",
    "a blob in the centre",
)
SAME = "a wrong map, over 50 % the same places"
"""A wrong map, except the edges, whose strongest places (`STRONGEST`) are mostly the right map's."""
SHARED = 0.5
SHUFFLED = 14
"""Cells of a side in which a map is shuffled."""
BLOBS = 4
"""Cells of a side of the random places, about as spread out as a map."""
SURE = 0.3
"""The least score of an answer whose map is tested: an answer that hardly stands has no right map."""
WORDS: tuple[SupportVerdict, ...] = get_args(SupportVerdict)
MARKS: tuple[Mark, ...] = get_args(Mark)
MOST, GOAL = 0.03, 0.75
"""The largest share of wrong maps, and of edges, that may be supported, and the least share of own maps."""


@dataclass(frozen=True)
class Case:
    """A picture's first answer and its map."""

    explanation: Explanation

    @property
    def own(self) -> Map:
        return self.explanation.heatmaps[0].content

    def with_map(self, values: Map) -> Explanation:
        """Return the explanation with another map's values (h, w)."""
        heatmap = self.explanation.heatmaps[0]
        left, top, right, bottom = heatmap.geometry.content
        at_input = heatmap.at_input.copy()
        at_input[top:bottom, left:right] = values
        return replace(self.explanation, heatmaps=(replace(heatmap, at_input=at_input, uncut=None),))


def run(options: argparse.Namespace) -> Row:
    """Test maps of drawn scenes and of a folder's or bundled photographs."""
    single_thread()
    models = options.models or MODELS
    at = machine(1, "cpu", ("torch", "timm", "numpy"))
    with spawned(os.cpu_count(), single_thread) as pool:
        measured = [*pool.map(_measure, models, [options.dataset] * len(models), [options.count] * len(models))]
    complete = bool(options.dataset) and not options.models and options.count >= PICTURES
    return {"machine": at, "models": measured, "complete": complete}


def _measure(model: str, folder: Path | None, most: int) -> Row:
    explainer = Explainer(model)
    counts: Counter[tuple[str, str]] = Counter()
    before: Map | None = None
    tested = 0
    for tested, case in enumerate(itertools.islice(_cases(explainer, folder), most), 1):
        print(f"{model}: {tested}", file=sys.stderr, flush=True)
        for kind, values in _maps(case, before, tested):
            if values is not None and np.isfinite(values).all() and values.min() < values.max():
                if kind not in (OWN, EDGES) and _share(case.own, values) > SHARED:
                    kind = SAME
                counts[kind, support(case.with_map(values))[0].verdict] += 1
        for check in case.explanation.checks(0).checks:
            counts[QUESTIONS[check.id], check.state] += 1
        before = case.own
    kinds = [
        {"kind": kind, "verdicts": {word: counts[kind, word] for word in WORDS}} for kind in (OWN, *WRONG, EDGES, SAME)
    ]
    checks = [{"kind": text, "verdicts": {mark: counts[text, mark] for mark in MARKS}} for text in QUESTIONS.values()]
    return {"model": model, "pictures": tested, "kinds": kinds, "checks": checks}


def _share(first: Map, second: Map) -> float:
    """Return the share of the strongest places that two maps have in common."""
    return Shown("", first).share_with(Shown("", second))


def _cases(explainer: Explainer, folder: Path | None) -> Iterator[Case]:
    for source in _pictures(explainer.model.id, folder):
        explanation = explainer(source, top_k=1)
        sure = [answer for answer in explanation.predictions[:1] if answer.score >= SURE]
        if sure and explanation.heatmaps[0].state == "ok":
            yield Case(explanation)


def _pictures(model: str, folder: Path | None) -> Iterator[object]:
    """Yield drawn scenes or photographs, always in the same order."""
    if spec(model).example:
        return held_out(model, itertools.count(FIRST_SCENE))
    return list_photographs(folder)


def _maps(case: Case, before: Map | None, number: int) -> Iterator[tuple[str, Map | None]]:
    """Yield the map by kind, then wrong ones, None if missing."""
    explanation, heatmap = case.explanation, case.own
    height, width = heatmap.shape
    order = np.argsort(_class_scores(explanation))
    yield OWN, heatmap
    yield WRONG[0], None if before is None else cv2.resize(before, (width, height))
    yield WRONG[1], _map_of(case, int(order[0]))
    yield WRONG[2], _map_of(case, int(order[-2])) if explanation.model.example else None
    yield WRONG[3], controls.random_map((height, width), (BLOBS, BLOBS), number)
    yield WRONG[4], _scrambled(case, number)
    yield WRONG[5], np.ascontiguousarray(heatmap[:, ::-1])
    yield WRONG[6], _shuffled(heatmap, number)
    yield WRONG[7], controls.centre((height, width))
    yield EDGES, controls.edges(_content(explanation))


def _class_scores(explanation: Explanation) -> NDArray[np.float64]:
    """Return the class scores, (K,)."""
    evidence = explanation.evidence
    adapter = evidence.loaded.adapter
    scores = adapter.class_scores(evidence.outputs)[0]
    return np.asarray(scores[: len(adapter.labels)].detach().double().cpu())


def _content(explanation: Explanation) -> Map:
    """Return the part of the model's input that is picture, (C, h, w)."""
    evidence = explanation.evidence
    left, top, right, bottom = evidence.geometry.content
    return np.asarray(evidence.tensor[0, :, top:bottom, left:right].detach().float().cpu())


def _shuffled(values: Map, number: int) -> Map:
    """Return a map whose cells are in another order."""
    cells = cv2.resize(values, (SHUFFLED, SHUFFLED), interpolation=cv2.INTER_AREA)
    mixed = np.random.default_rng(number).permutation(cells.ravel()).reshape(cells.shape)
    return np.asarray(cv2.resize(mixed, values.shape[::-1]))


def _map_of(case: Case, index: int, evidence: Evidence | None = None) -> Map:
    """Return another class's map, or one by other evidence."""
    heatmap, evidence = case.explanation.heatmaps[0], evidence or case.explanation.evidence
    raw = METHODS[heatmap.method].run(evidence, [replace(heatmap.target, index=index)])
    return on_content(raw.maps, evidence.geometry, raw.layers)


def _scrambled(case: Case, number: int) -> Map:
    """Return the same network's map with random weights."""
    before, target = case.explanation.evidence, case.explanation.heatmaps[0].target
    other = copy_loaded(before.loaded)
    redrawer(parameters_of(other, before.tensor))(number)
    assert target.index is not None
    evidence = Evidence(other, ModelInput(before.tensor, before.geometry), before.layers)
    return np.nan_to_num(_map_of(case, target.index, evidence))


def markdown(result: Row) -> str:
    how = (
        "[The rule](../../docs/proof.md#the-verdict) was chosen on other photographs, and fixed before these were "
        "measured. All rows but the first are wrong; the runner-up's map on drawn scenes, where answers exclude each "
        "other. In brackets the 95 % interval (exact).\n\nThe test asks whether the places matter, not whether the map "
        f"is about this class. A wrong map with more than {SHARED:.0%} of its strongest {STRONGEST:.0%} in common with "
        "the right one hides mostly the same places: the last row, not the goal, counts it. At most "
        f"{2 + 2 * len(SHARES) * (OTHERS + 3)} passes."
    )
    photographed = [model for model in result["models"] if model["model"] in PHOTOGRAPHED]
    together = [_goal("photographs", _added(photographed))] if photographed else []
    goals = [*together, *(_goal(of["model"], of["kinds"]) for of in result["models"])]
    return page(
        "How often a verdict is right",
        "verdict --dataset FOLDER",
        result["machine"],
        how,
        "\n".join(f"- {goal}" for goal in goals),
        *(_of_model(model) for model in result["models"]),
    )


def _added(models: list[Row]) -> list[Row]:
    """Return the kinds of several models with their verdicts added up."""
    kinds = zip(*(model["kinds"] for model in models), strict=True)
    return [
        {"kind": of[0]["kind"], "verdicts": {word: sum(each["verdicts"][word] for each in of) for word in WORDS}}
        for of in kinds
    ]


def _of_model(model: Row) -> str:
    tables = [_table("map", model["kinds"]), _table("check of its own map", model["checks"])]
    return "\n\n".join((f"## {model['model']}", f"{model['pictures']} pictures.", *tables))


def _table(of: str, kinds: list[Row]) -> str:
    totals = [(counts["kind"], counts["verdicts"], sum(counts["verdicts"].values())) for counts in kinds]
    rows = [(kind, str(n), *(rate(count, n) for count in verdicts.values())) for kind, verdicts, n in totals if n]
    return grid((of, "tests", *kinds[0]["verdicts"]), rows)


def _goal(name: str, kinds: list[Row]) -> str:
    """Return the rates of supported wrong and own maps, with goals."""
    verdicts = {of["kind"]: of["verdicts"] for of in kinds}
    wrong = [verdicts[kind] for kind in WRONG]
    return (
        f"**{name}**: supported are {_goal_rate([verdicts[OWN]], least=GOAL)} of its own maps, "
        f"{_goal_rate(wrong, most=MOST)} of wrong ones and {_goal_rate([verdicts[EDGES]], most=MOST)} of the picture's "
        f"edges; of {sum(verdicts[SAME].values())} wrong maps of the same places {_goal_rate([verdicts[SAME]])}."
    )


def _goal_rate(verdicts: list[Row], *, least: float = 0.0, most: float = 1.0) -> str:
    """Return the share of supported maps, and whether it is within its goal, if it has one."""
    yes = sum(counts[WORDS[0]] for counts in verdicts)
    total = sum(sum(counts.values()) for counts in verdicts)
    goal = f"at least {least:.0%}" if least else f"at most {most:.0%}" if most < 1 else ""
    met = "met" if least * total <= yes <= most * total else "not met"
    return f"{rate(yes, total)} (goal: {goal}: {met})" if goal else rate(yes, total)


def rate(count: int, total: int) -> str:
    """Return a share and its 95 % interval in words."""
    share = estimate_share(count, total)
    return f"{count / max(total, 1):.0%} [{share.low:.0%}, {share.high:.0%}]"
