"""The seal of two compared pictures: three tests of the query's map, for one pair once."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.deck import rows
from sightglass.deck.slide import layout
from sightglass.explain import Explainer
from sightglass.explain.maps.statistics import coarse, rank_correlation, rescale
from sightglass.explain.picture.image import Image
from sightglass.explain.proof import seal
from sightglass.explain.proof.seal import QUESTIONS, Seal, SealMark
from sightglass.explain.proof.support import OTHERS
from sightglass.explain.similarity import seal as module
from sightglass.explain.similarity.seal import seal_pair
from sightglass.explain.similarity.similarity import Similarity, draw_maps, similarity
from sightglass.export import similarity_files
from sightglass.models.demo import person_scenes

MOST = 2 + 1 + 2 * 8 + 2 + 2 * (OTHERS + 6) + 8
"""Pictures that a seal takes at most: both, once for the order of layers, 8 draws, masked ones and small changes."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    seal.forget()


@pytest.fixture(scope="module")
def reid() -> Explainer:
    return Explainer("demo-reid")


def pair(explainer: Explainer, other: str = "twin, other top.png", **options: Any) -> Similarity:
    own = Image.open(person_scenes.draw(person_scenes.example()).pixels, name="person.png")
    return similarity(explainer, own, person_scenes.draw(person_scenes.to_compare()[other]).pixels, **options)


def mark(made: Seal, question: Any) -> SealMark:
    found = made[question]
    assert found is not None
    return found


def test_each_question_is_answered_and_the_answers_come_one_by_one(
    reid: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, came, passes = pair(reid), list[Seal](), list[int]()
    kind = type(reid.resident.adapter)
    run = kind.run

    def count(self: Any, tensor: Any, *more: Any) -> Any:
        passes.append(len(tensor))
        return run(self, tensor, *more)

    monkeypatch.setattr(kind, "run", count)
    assert found.known_seal is None
    made = seal_pair(reid, found, partial=came.append)
    assert [len(one.marks) for one in came] == [1, 2, 3] and came[-1] == made == found.known_seal
    assert [one.question for one in made.marks] == list(QUESTIONS) and made.label == "person.png"
    assert 40 <= sum(passes) <= MOST
    # The twin has the same trousers: the map finds them, and it is there after small changes too.
    answer = mark(made, "answer")
    assert (
        answer.answer == "yes" and "19 of 19 random maps" in answer.sentence and "strongest control" in answer.sentence
    )
    assert mark(made, "still").answer == "yes"
    passes.clear()
    assert seal_pair(reid, pair(reid)) is made and not passes[2:]


def test_it_is_the_same_again_and_another_for_what_it_depends_on(reid: Explainer) -> None:
    found = pair(reid)
    first = seal_pair(reid, found).summary()
    for other in ({"of": "product"}, {"method": "gradcam"}, {"other": "person A.png"}):
        assert pair(reid, **other).known_seal is None  # type: ignore[arg-type]
    seal.forget()
    assert seal_pair(reid, found).summary() == first


def test_the_maps_of_the_tests_are_those_of_the_pair(reid: Explainer) -> None:
    found = pair(reid)
    tests = module._Tests(reid, reid.resident, found, None)
    score, maps = draw_maps((tests._query, tests._gallery), found.method, found.of)
    assert score == pytest.approx(found.score, abs=1e-6)
    for side, values in zip(found.sides, maps, strict=True):
        assert np.allclose(side.signed, values, atol=1e-5)
    assert tests._likeness((tests._query, tests._gallery)) == pytest.approx(1, abs=1e-6)
    # Signs count: a map of the opposite is as unlike as can be.
    ranks = [rescale(coarse(values)) for values in (found.query.signed, -found.query.signed)]
    assert rank_correlation(*ranks) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize(
    ("draws", "place", "again", "answer"),
    [
        ((0.9, 0.9, 0.9), "above", 1.0, "no"),
        ((0.0, 0.0, 0.1), "below", 1.0, "yes"),
        ((0.0, 0.0, 0.1), "below", 0.5, "cannot be told"),
        ((0.0, 0.9, 0.1), "within", 1.0, "cannot be told"),
    ],
)
def test_the_first_mark_follows_the_draws(
    reid: Explainer, monkeypatch: pytest.MonkeyPatch, draws: tuple[float, ...], place: str, again: float, answer: str
) -> None:
    tests = module._Tests(reid, reid.resident, pair(reid), None)
    monkeypatch.setattr(module, "draw_until_clear", lambda *_: (draws, place))
    monkeypatch.setattr(tests, "_likeness", lambda _: again)
    assert tests.model().answer == answer


def test_a_pair_whose_maps_random_weights_draw_as_well_is_not_said_to_be_alike_anywhere(reid: Explainer) -> None:
    found = pair(reid)
    assert len(similarity_files.places(found)) == 2
    shown = SealMark("model", "no", "They survive scrambling.", shows="what it would show without training")
    seal.remember(found.seal_key, Seal("person.png", (shown,)))
    (sentence,) = similarity_files.places(found)
    assert sentence == "Each map shows what it would show without training, not what makes the two alike."


def test_a_seal_that_was_made_is_in_the_files_and_on_the_slide(reid: Explainer) -> None:
    found = pair(reid)
    assert similarity_files.summary(found, None)["seal"] is None
    assert "Seal" not in rows.of_pair(found, "much alike").sentence
    made = seal_pair(reid, found)
    files = dict(similarity_files.of_similarity(found, None))
    assert json.loads(files["similarity.json"])["seal"] == json.loads(json.dumps(made.summary()))
    scene = rows.of_pair(found, "much alike")
    assert scene.sentence.endswith(f"Seal of person.png: {made.line}.")
    # On the slide, and so in PPTX and PDF.
    (page,) = layout.pages(scene)
    assert any(made.line in item.words for item in page.items if isinstance(item, layout.Text))
    seal.forget()
    again = seal_pair(reid, pair(reid))
    assert again is not made and again.summary() == made.summary(), "bit for bit"


def test_what_cannot_be_tested_says_why(reid: Explainer) -> None:
    own = person_scenes.draw(person_scenes.example()).pixels
    with pytest.raises(ModelProblem, match="has no maps"):
        seal_pair(reid, similarity(reid, own, own))
    with pytest.raises(ModelProblem, match="compared by demo-reid"):
        seal_pair(Explainer("demo-cls-s"), pair(reid))


def test_it_stops_when_told_and_leaves_nothing_behind(reid: Explainer) -> None:
    found, cancel = pair(reid), threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        seal_pair(reid, found, cancel=cancel)
    assert found.known_seal is None
