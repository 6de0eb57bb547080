"""A method's measured reliability is one sentence, and on scenes with a known cause the defaults find it."""

from __future__ import annotations

import json

import pytest

from benchmarks.truth.measures import MEASURES
from benchmarks.truth.ranking import Judged
from benchmarks.truth.scenes import default, layers_of, maps, resident, subjects
from benchmarks.truth.scores import Rows
from sightglass.explain.findings import reliability
from sightglass.explain.methods import METHODS
from sightglass.models.families.demo.nets import WEIGHTS


def test_a_finding_is_one_sentence_with_its_figure() -> None:
    made = reliability.Reliability(
        "detect", "where", "hirescam", 300, 900, (0.97, 0.95, 0.99), (0.9, 0.8, 1.0), "edges", 0.41, False
    )
    said = made.sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert said == ("Finds the object in 97 % of 900 tests (edges alone: 41 %).")
    failed = reliability.Reliability(
        "classify", "why", "gradcam", 300, 900, (0.12, 0.1, 0.2), (0.5, 0.4, 0.6), "edges in its box", 0.41, True
    )
    assert failed.sentence.startswith("Failed: finds the part that defines the class in 12")
    assert reliability.reliability("detect", "where", "no such method") is None


@pytest.mark.parametrize(("model", "question"), [("demo-s", "where"), ("demo-l", "why"), ("demo-cls-l", "why")])
def test_the_defaults_map_beats_every_baseline_by_the_cards_margin_on_scenes_never_seen(
    model: str, question: str
) -> None:
    margins = json.loads((WEIGHTS / f"{model}.json").read_text(encoding="utf-8"))["margins"][question]
    assert set(margins) == set(MEASURES)
    rows, layers = Rows(model), layers_of(model)
    method, name, part = default(resident(model), question)
    for given in subjects(model, range(50), layers[name]):
        rows.add(given, maps(given.evidence, {name: layers[name]}, {part: given.targets[part]}, [METHODS[method]]))
    judged = Judged([rows.scores()], question)
    assert judged.objects[0] > 15
    for measure, margin in margins.items():
        best = judged.strongest(measure)
        assert judged.mean(judged.default, measure) > judged.mean(best, measure) + margin, (measure, best)
