"""A seal says of a map whether it depends on the model, matters to the answer and holds still."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import scramble
from sightglass.explain.faithfulness.seal import seal_maps
from sightglass.explain.faithfulness.support import support
from sightglass.explain.findings.diagnosis import describe_map, headline
from sightglass.explain.proof import seal
from sightglass.explain.proof.seal import QUESTIONS, Seal
from sightglass.explain.proof.support import SHOWN

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation

MOST = 75
"""Passes of one seal at most: 8 draws and the map again, 52 masked pictures and 9 for the changes, with some room."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    seal.forget()


def counted(explanation: Explanation, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pictures that are given to the model from here on, a number for each pass."""
    passes: list[int] = []
    kind = type(explanation.evidence.resident.adapter)
    run = kind.run

    def count(self: Any, tensor: Any, *more: Any) -> Any:
        passes.append(len(tensor))
        return run(self, tensor, *more)

    monkeypatch.setattr(kind, "run", count)
    return passes


def test_each_question_is_answered_by_its_own_test_and_the_answers_come_one_by_one(bus: Path) -> None:
    explained, came = Explainer()(bus, top_k=1), list[Seal]()
    assert explained.known_seal() is None
    made = explained.seal(partial=came.append)
    assert [len(one.marks) for one in came] == [1, 2, 3] and came[-1] == made == explained.known_seal()
    assert [mark.question for mark in made.marks] == list(QUESTIONS) and made.whole
    whole, quick = scramble.final(explained), support(explained, quick=True)
    assert (made["model"].answer, made["model"].value) == (whole.mark, whole.similarity)
    assert (made["answer"].answer, made["answer"].sentence) == (quick.mark, quick.sentence)
    assert quick.own.shares == (SHOWN,) and {one.shares for one in quick.controls} == {(SHOWN,)}
    assert all(
        mark.sentence and mark.words.endswith(f"{QUESTIONS[mark.question]}: {mark.answer}") for mark in made.marks
    )
    assert made.line.count(" · ") == 2


def test_it_takes_about_sixty_passes_and_none_where_it_was_made(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explained = Explainer("demo-cls-s")(scene, top_k=2)
    # The maps of other pictures are made once for each model and method.
    explained.seal(1)
    scramble._CACHE.clear()
    passes = counted(explained, monkeypatch)
    explained.seal(0)
    assert 20 <= sum(passes) <= MOST
    passes.clear()
    explained.seal(0)
    assert passes == []


def test_a_map_that_random_weights_draw_as_well_has_no_sentence_of_what_the_model_looked_at(scene: Path) -> None:
    explained = Explainer("demo-s")(scene, per="detection", top_k=1, method="hirescam")
    made = explained.seal()
    assert made["model"].answer == "no" and made.shows
    assert headline(explained, "{hot}").endswith(f"This map shows {made.shows}, not what the model learnt.")
    assert "{hot}" not in headline(explained, "{hot}")
    assert describe_map(explained).startswith("The map for ")
    assert [one.kind for one in explained.diagnosis].count("independent") == 1
    # One that depends on it has.
    other = explained.with_method("gradcam")
    if other.seal()["model"].answer == "yes":
        assert "{hot} shows the evidence" in headline(other, "{hot}").lower()


def test_what_a_method_or_a_map_does_not_allow_cannot_be_told_and_says_why(scene: Path) -> None:
    slow = Explainer("demo-cls-s")(scene, top_k=1, method="occlusion").seal()
    assert [mark.answer for mark in slow.marks if mark.question != "answer"] == ["cannot be told"] * 2
    assert "hundreds of passes" in slow["model"].sentence
    numbers = Explainer("demo-cls-s")(np.zeros((64, 64, 3), np.uint8), top_k=1)
    if numbers.heatmaps[0].state != "ok":
        with pytest.raises(ModelProblem, match="is empty"):
            numbers.seal()


def test_all_maps_are_sealed_but_empty_ones_and_the_progress_goes_on(scene: Path) -> None:
    explained, heard = Explainer("demo-cls-s")(scene, top_k=3), list[tuple[float, str]]()
    first, *others = explained.heatmaps
    partly = replace(explained, heatmaps=(replace(first, state="no evidence"), *others))
    made = seal_maps(partly, 2, progress=lambda *one: heard.append(one))
    assert made == (None, partly.known_seal(1)) and partly.known_seal(2) is None
    assert [share for share, _ in heard] == pytest.approx([1 / 2, 2 / 3, 5 / 6])
    assert heard[0][1] == f"{others[0].target.label}: depends on the model"
