"""Findings that rest on a proof: each rule by hand, and both on models that cheat and on their honest twin."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.explain.findings.reliability import describe_doubt, of_proof
from sightglass.explain.proof.curves import Curve, Trace
from sightglass.explain.proof.proof import Proof
from sightglass.explain.proof.support import OTHERS, SHOWN, Effect, Support

if TYPE_CHECKING:
    from collections.abc import Sequence


def trace(values: Sequence[float]) -> Trace:
    found = np.array(values)
    return Trace(found, found, found > 0.5)


def proof(deletion: Sequence[float], insertion: Sequence[float]) -> Proof:
    """Return a proof of a map with these scores at every tenth, beside a random map that does nothing."""
    even = np.linspace(1, 0, 11)
    curves = (
        Curve("map", 0, "blur", trace(deletion), trace(insertion)),
        Curve("random", 0, "blur", trace(even), trace(even[::-1])),
    )
    return Proof("star", "class", curves, ("blur",), float(deletion[0]), None)


def kinds(made: Proof, border: float = 0.5, task: str = "classify") -> list[str]:
    statistics: Any = SimpleNamespace(border_share=border)
    return [finding.kind for finding in of_proof(task, statistics, made)]


PATCH = proof([1, *[0] * 10], [0, *[1] * 10])


def test_a_small_patch_near_the_edge_that_is_enough_and_needed_is_named() -> None:
    assert kinds(PATCH) == ["patch at the edge"]
    assert kinds(PATCH, border=0.39) == []
    assert kinds(PATCH, task="detect") == []
    assert kinds(proof([1, 1, *[0] * 9], [0, *[1] * 10])) == []  # a fifth has to go
    assert kinds(proof([1, *[0] * 10], [0, 0.5, *[1] * 9])) == []  # a fifth has to stay
    assert kinds(proof([0.3, *[0] * 10], [0, *[0.3] * 10])) == []  # it was not the answer


def test_an_answer_that_no_place_takes_away_or_brings_back_is_named() -> None:
    nowhere = proof([1, 0.9, 0.5, *[0] * 8], [0, 0, 0.1, 0.2, *[1] * 7])
    assert kinds(nowhere, border=0.1) == ["no one place"]
    assert kinds(nowhere, task="detect") == []
    assert kinds(proof([1, 0.8, 0.5, *[0] * 8], [0, 0, 0.1, 0.2, *[1] * 7]), border=0.1) == []
    assert kinds(proof([1, 0.9, 0.5, *[0] * 8], [0, 0, 0.1, 0.4, *[1] * 7]), border=0.1) == []
    assert kinds(proof([1, 0.5, 0], [0, 0.5, 1]), border=0.1) == []  # 30 % is no step


def test_a_map_that_is_not_supported_is_unproved() -> None:
    own, better = (Effect(name, (SHOWN,), (hidden,), (0.5,)) for name, hidden in (("this map", 0.9), ("star", 0.1)))
    worse = replace(PATCH, support=Support("star", False, 1.0, own, (better,) * OTHERS, ()))
    finding = describe_doubt(worse)
    assert finding is not None and (finding.kind, finding.level) == ("unproved", "serious")
    assert finding.text.startswith("By its proof: this map shows no more than others do")
    assert describe_doubt(PATCH) is None
    assert describe_doubt(replace(worse, support=replace(worse.support, others=(own,)))) is None


@pytest.mark.parametrize(
    ("cheat", "data", "kind"),
    [("demo-cls-cheat", "stamped", "patch at the edge"), ("demo-cls-texture", "textured", "no one place")],
)
def test_a_proof_finds_a_cheat_out_and_not_its_twin(cheat: str, data: str, kind: str) -> None:
    from sightglass.explain import Explainer
    from sightglass.models.demo import scenes
    from training.evaluation import SHORTCUTS
    from training.pool import Source

    honest, label, source = "demo-cls-honest", SHORTCUTS[data].label, Source("classify", data, held_out=True)
    specs = [spec for spec in map(source.spec, range(200)) if label in {thing.kind for thing in spec.things}][:4]
    added: dict[str, list[list[str]]] = {cheat: [], honest: []}
    for model, kinds_of in added.items():
        explainer = Explainer(model)
        for pixels in (scenes.draw(spec).pixels for spec in specs):
            explanation = explainer(pixels, question="why", top_k=1)
            if explanation.predictions[0].label == label:
                before = {finding.kind for finding in explanation.diagnosis}
                explanation.prove(fillings=("blur",))
                kinds_of.append([finding.kind for finding in explanation.diagnosis if finding.kind not in before])
    assert len(added[cheat]) >= 3 and len(added[honest]) >= 3
    assert sum(kind in kinds for kinds in added[cheat]) >= len(added[cheat]) - 1
    assert not any(kind in kinds for kinds in added[honest])
