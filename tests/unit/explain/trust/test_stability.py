"""Checks: small changes of a picture, maps of other pictures as controls, and the three answers."""

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.verdict import Case
from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks.parts import Movement
from sightglass.explain.trust import SHOWS, controls, scramble
from sightglass.explain.trust import support as maps
from sightglass.explain.trust.checks import QUESTIONS, Check, Checks
from sightglass.explain.trust.diagnosis import describe, describe_map
from sightglass.explain.trust.proof import ALIKE, CENTRE, EDGES, LEAST_OTHERS, OTHERS, Blind, Effect, Support
from sightglass.explain.trust.stability import CHANGES, Changed, Kind, Stability, Variant, change, stability
from sightglass.explain.trust.support import support
from sightglass.models.geometry import Geometry
from sightglass.models.spec import ModelSpec, WeightsTable
from training.demo import scenes


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=1)


def test_changes_are_small_and_undone() -> None:
    # A ramp at twice the model's size.
    across, down = np.arange(40, 120, dtype=np.uint8), np.arange(0, 60, dtype=np.uint8)
    ramp = np.ascontiguousarray((across + down[:, None])[..., None].repeat(3, 2))
    image, geometry = Image(ramp), Geometry((60, 80), (30, 40), (0.5, 0.5), (0.0, 0.0))
    for kind in CHANGES:
        changed = change(image, geometry, kind)
        assert changed.pixels.shape == ramp.shape and changed.pixels.dtype == np.uint8
        assert 0 < np.abs(changed.pixels.astype(int) - ramp).mean() < 45, kind
        assert np.array_equal(changed.pixels, change(image, geometry, kind).pixels)
    # 2 pixels of the model's input are 4 of the picture's.
    right = change(image, geometry, "right")
    assert np.array_equal(right.pixels[:, 4:], ramp[:, :-4]) and right.movement.shift == (0, 2)
    noise = change(image, geometry, "more noise").pixels.astype(float) - ramp
    assert 7 < noise.reshape(30, 2, 40, 2, 3).mean((1, 3)).std() < 9, "as strong after the picture was reduced"
    hot = np.zeros((30, 40), np.float32)
    hot[10, 20] = 1
    assert Changed(ramp, Movement((0, 2))).undone(np.roll(hot, 2, 1)).argmax() == hot.argmax()
    assert Changed(ramp, Movement((2, 0))).undone(np.roll(hot, 2, 0)).argmax() == hot.argmax()
    assert Changed(ramp, Movement(mirrored=True)).undone(hot[:, ::-1]).argmax() == hot.argmax()


def test_the_spread_is_over_the_true_and_the_changed_maps(explained: Explanation) -> None:
    result, again = stability(explained), stability(explained)
    assert [variant.kind for variant in result.variants] == [*CHANGES]
    maps = np.stack([explained.heatmaps[0].content, *(v.map for v in result.variants if v.map is not None)])
    assert len(maps) == 9 and np.allclose(result.spread, maps.std(0), atol=1e-6) and result.spread.max() > 0.01
    assert np.array_equal(result.spread, again.spread) and result.sentence == again.sentence
    assert result.score == pytest.approx(explained.predictions[0].score, abs=1e-4)
    assert all(variant.rank_correlation is not None and variant.rank_correlation > 0.9 for variant in result.variants)


def test_changed_answers_equal_explainers(explained: Explanation) -> None:
    variants = {variant.kind: variant for variant in stability(explained).variants}
    explainer, geometry = Explainer(), explained.evidence.geometry
    for kind in ("jpeg", "mirror", "darker"):
        other = explainer(Image(change(explained.image, geometry, kind).pixels), top_k=1)
        assert variants[kind].answer == other.predictions[0].label
        assert variants[kind].score == pytest.approx(other.predictions[0].score, abs=1e-4)
        assert variants[kind].flips == (other.predictions[0].label != explained.predictions[0].label)


FLAT = np.zeros((2, 2), np.float32)
PETS = ModelSpec("pets", "Pets", "", "timm", "pets", "classify", "MIT")


def stability_of(*values: float, flips: tuple[int, ...] = (), answer: str = "dog") -> Stability:
    """Return the stability of a map by its rank correlations; unrelated maps reach 0.3."""
    kinds: list[Kind] = [*CHANGES]
    variants = tuple(
        Variant(kinds[place], 0.5, "cat" if place in flips else answer, place in flips, FLAT, value)
        for place, value in enumerate(values)
    )
    return Stability("dog", PETS, 0.6, variants, FLAT, 0.3)


def test_verdicts_by_hand() -> None:
    assert stability_of(0.8, 0.9).verdict == "yes"
    assert stability_of(0.79, 0.9).verdict == "cannot be told"
    assert stability_of(0.31, 1.0).verdict == "cannot be told"
    assert stability_of(0.3, 1.0).verdict == "no"
    # Where the answer changes, the map may. Where it stays, it may not.
    assert stability_of(0.1, 0.9, flips=(0,)).verdict == "cannot be told"
    assert stability_of(0.9, 0.1, flips=(0,)).verdict == "no"
    assert stability_of(0.1, 0.1, flips=(0, 1)).verdict == "cannot be told"
    # A model that compares pictures has no answer that changes.
    assert stability_of(0.95, answer="").verdict == "yes" and stability_of(0.1, answer="").verdict == "no"
    vanished = Variant("mirror", 0.0, "", True, None, None)
    assert Stability("dog", PETS, 0.6, (vanished,), FLAT, 0.3).verdict == "cannot be told"


def test_the_sentence_is_made_of_the_numbers() -> None:
    assert plain_text(stability_of(0.9, 0.85).sentence) == (
        "Under 2 small changes dog scores 50 % to 50 %; the answer stays. The map keeps a rank correlation of 0.85 at "
        "least (after more noise). It holds still: 0.80 is asked, and unrelated maps reach 0.30."
    )
    assert stability_of(0.4, 0.9, 0.8, flips=(0,)).sentence.endswith("cannot be told, because the answer changes.")
    # A model that compares pictures has a similarity to the picture as it is, and no answer.
    alike = plain_text(replace(stability_of(0.9, answer=""), model=replace(PETS, task="embed")).sentence)
    assert alike.startswith("Under 1 small changes the picture stays 50 % to 50 % similar to itself. The map")
    words = plain_text(replace(stability_of(0.9), model=replace(PETS, task="describe")).sentence)
    assert words.startswith("Under 1 small changes dog has a probability of 50 % to 50 %; the answer stays.")
    # The number moves as well, and nobody has said how far it may.
    ages = replace(PETS, task="regress", weights=WeightsTable(unit="years"))
    assert replace(stability_of(0.2, answer=""), label="age", model=ages).verdict == "cannot be told"


def test_it_stops_and_what_cannot_be_changed_is_a_sentence(explained: Explanation) -> None:
    cancel, reports = threading.Event(), []

    def progress(share: float, words: str) -> None:
        reports.append((share, words))
        if len(reports) == 2:
            cancel.set()

    with pytest.raises(Cancelled), stopped_by(cancel):
        stability(explained, progress=progress)
    assert reports == [(0, CHANGES["noise"]), (1 / 8, CHANGES["more noise"])]
    scramble._CACHE.clear()
    flat = replace(explained, heatmaps=(replace(explained.heatmaps[0], state="flat"),))
    for test in (scramble.scramble, support, stability):
        with pytest.raises(Cancelled), stopped_by(cancel):
            test(explained)
        with pytest.raises(ModelProblem, match="is empty"):
            test(flat)
    with pytest.raises(ModelProblem, match="no single answer"):
        stability(Explainer("demo-s")(explained.image, per="picture"))


def test_checks_come_one_by_one(bus: Path) -> None:
    explained, reports = Explainer()(bus, top_k=1), list[Checks]()
    assert explained.known_checks() is None
    checks = explained.checks(partial=reports.append)
    assert [len(report.checks) for report in reports] == [1, 2, 3] and reports[-1] == checks == explained.known_checks()
    assert explained.checks() is checks, "no pass where it was made"
    assert [check.id for check in checks.checks] == list(QUESTIONS)
    scrambled, proved = scramble.scramble(explained), explained.prove(steps=2, fillings=("blur",)).support
    assert (checks["model"].state, checks["model"].value) == (scrambled.mark, scrambled.similarity)
    assert checks["answer"].sentence == proved.sentence
    assert (checks["answer"].value, checks["answer"].control) == (proved.own.gap, proved.strongest.gap)
    assert all(check.sentence and QUESTIONS[check.id] in check.words for check in checks.checks)
    assert checks.line.count(" · ") == 2


@pytest.mark.parametrize(
    ("shows", "sentence"),
    [
        (SHOWS["edges"], "This map shows the picture's edges, not what the model learnt."),
        (SHOWS["survives"], "The map hardly depends on what the model has learned."),
    ],
)
def test_independent_map_has_other_headline(scene, shows, sentence):
    explained = Explainer("demo-s")(scene, per="detection", top_k=1, method="hirescam")
    mark = Check("model", "no", "Random weights give a similar map.", 0.9, 0.2, shows=shows)
    explained = explained.with_tests({0: Checks(explained.heatmaps[0].target.label, (mark,))})
    assert describe(explained, "{hot}").headline.endswith(sentence)
    assert "{hot}" not in describe(explained, "{hot}").headline
    assert describe_map(explained).startswith("The map for ")
    assert [finding.kind for finding in explained.diagnosis].count("independent") == 1


def test_slow_method_checks_cannot_be_told(scene: Path) -> None:
    slow = Explainer("demo-cls-s")(scene, top_k=1, method="occlusion").checks()
    assert [check.state for check in slow.checks if check.id != "answer"] == ["cannot be told"] * 2
    assert "runs the model again" in slow["model"].sentence


def test_a_test_like_that_which_made_the_map_says_so(scene: Path) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1)
    marks = [result.with_method(method).checks()["answer"].sentence for method in ("tested", "sharp")]
    sentence = "The map was made by hiding parts of this picture, too: this is no independent check of it."
    assert [mark.endswith(sentence) for mark in marks] == [True, False]


HONEST = "demo-cls-honest"


def support_by(*others: float, floor: float = 0.0, total: int = OTHERS) -> Support:
    """A map that leaves .4 of .9, beside others that leave these scores; kept, all score .7."""
    effects = tuple(Effect("palace in china", (score,), (0.7,)) for score in others)
    return Support("bus", False, 0.9, floor, Effect("this map", (0.4,), (0.7,)), effects, total)


def with_map(explanation: Explanation, content: NDArray[np.float32]) -> Explanation:
    return Case(explanation).with_map(content)


@pytest.fixture(scope="module")
def explanations() -> list[Explanation]:
    explainer = Explainer(HONEST)
    pictures = (scenes.draw(scenes.sample(seed, task="classify", held_out=True)).pixels for seed in range(700, 712))
    answers = (explainer(pixels, top_k=1) for pixels in pictures)
    return [answer for answer in answers if answer.predictions[0].score > 0.5]


@pytest.mark.parametrize(
    ("others", "total", "verdict"),
    [
        ((0.8,) * OTHERS, OTHERS, "supported"),
        ((0.8,) * (OTHERS - 2), OTHERS, "supported"),
        ((*(0.8,) * (OTHERS - 3), 0.1, 0.1, 0.1), OTHERS, "cannot be told"),
        # Of fewer that mark other places, fewer may do as well.
        ((*(0.8,) * 11, 0.1), 12, "supported"),
        ((*(0.8,) * 10, 0.1, 0.1), 12, "cannot be told"),
        # Too few other maps to tell, however weak they are.
        ((0.8,) * (LEAST_OTHERS - 1), LEAST_OTHERS - 1, "cannot be told"),
        ((0.8,) * (OTHERS - 3), OTHERS, "cannot be told"),
        ((*(0.1,) * (OTHERS // 2), 0.8), OTHERS, "cannot be told"),
        ((0.1,) * (OTHERS // 2 + 1), OTHERS, "not supported"),
        # As good is not better.
        ((0.4,) * (OTHERS // 2 + 1), OTHERS, "not supported"),
    ],
)
def test_support_verdicts(others: tuple[float, ...], total: int, verdict: str) -> None:
    assert support_by(*others, total=total).verdict == verdict


@pytest.mark.parametrize(
    ("blind", "left", "reason"),
    [
        ((EDGES, 0.8, 0.3), 0.4, ""),
        ((EDGES, 0.2, 0.3), 0.4, "a map of the picture's edges, which looks at no model, does as well"),
        ((CENTRE, 0.2, 0.3), 0.4, "a map of a blob in its centre, which looks at no model, does as well"),
        # Mostly the same places: no evidence against the map.
        ((EDGES, 0.2, 0.6), 0.4, ""),
        # It is the edges' map; an object in the centre is much like a blob there.
        ((EDGES, 0.8, 0.75), 0.4, "75 % of its strongest places are those of the picture's edges"),
        ((CENTRE, 0.8, 0.75), 0.4, ""),
        ((CENTRE, 0.8, 0.9), 0.4, "90 % of its strongest places are those of a blob in its centre"),
        # Four fifths of the score are left where the strongest places are hidden.
        ((EDGES, 0.8, 0.3), 0.73, "hiding its top 10 %, 30 % and 50 % leaves 73 % of 90 % on average"),
    ],
)
def test_a_map_that_beats_others_has_to_beat_what_looks_at_no_model(
    blind: tuple[str, float, float], left: float, reason: str
) -> None:
    name, hidden, shared = blind
    control = Blind(Effect(name, (hidden,), (0.7,)), shared)
    own = Effect("this map", (left,), (0.7,))
    tested = replace(support_by(*(0.85,) * OTHERS), own=own, blind=(control,))
    assert tested.verdict == ("cannot be told" if reason else "supported")
    assert reason in plain_text(tested.sentence)


def test_no_sentence_shows_four_fifths_left_of_a_map_that_matters() -> None:
    own = Effect("this map", (0.796,), (0.99,))
    tested = replace(support_by(*(0.9,) * OTHERS), own=own, start=0.996)
    assert tested.verdict == "cannot be told" and "leaves 80 % of > 99 %" in plain_text(tested.sentence)


def test_gaps_are_of_log_odds() -> None:
    # 9 to 1 alone, 1 to 3 without.
    assert Effect("this map", (0.25,), (0.9,)).gap == pytest.approx(math.log(9) + math.log(3))
    # A score of 0 or 1 is as far as one that is .0001 from it.
    assert Effect("this map", (0.0,), (1.0,)).gap == pytest.approx(2 * math.log(9999))


def test_support_is_judged_before_the_floor() -> None:
    # Both have reached the floor where their strongest parts are hidden; alone, only this map's are enough.
    effects = (Effect("palace in china", (0.02, 0.01), (0.1, 0.3)),) * OTHERS
    tested = Support("minibus", False, 0.62, 0.01, Effect("this map", (0.02, 0.01), (0.3, 0.6)), effects)
    assert tested.verdict == "supported"
    # Of an answer that a wholly blurred picture gives, hiding tells nothing.
    lasting = replace(tested, floor=0.5)
    assert lasting.verdict == "cannot be told" and "scores 50\N{NO-BREAK SPACE}% when" in lasting.sentence


def test_support_sentence_has_the_numbers_that_decide() -> None:
    tested = replace(support_by(*[0.8] * 11, 0.1, 0.1, 0.1), own=Effect("this map", (0.5, 0.2), (0.8, 0.5)))
    numbers = "hiding its top 10 %, 30 % and 50 % leaves 35 % of 90 % on average, and they alone score 65 %"
    sentence = f"It cannot be told whether this map matters: {numbers}; 11 of 14 other pictures' maps do worse."
    assert tested.sentence.replace("\N{NO-BREAK SPACE}", " ") == sentence
    assert "% probability on average" in replace(tested, measure="probability").sentence
    assert support_by(*[0.1] * 10).sentence.startswith("This map shows no more than others do: hiding")


def test_true_maps_supported_more_than_wrong(explanations):
    right = [support(explanation)[0].verdict for explanation in explanations]
    assert support(explanations[0])[0].effects == support(explanations[0])[0].effects
    wrong = []
    for number, explanation in enumerate(explanations):
        own, other = explanation.heatmaps[0].content, explanations[number - 1].heatmaps[0].content
        for content in (other, np.roll(own, own.shape[1] // 4, 1), 1 - own):
            wrong.append(support(with_map(explanation, content))[0].verdict)
    # One picture's object may be where the next one's is.
    assert len(explanations) >= 5 and right.count("supported") / len(right) > 3 * wrong.count("supported") / len(wrong)
    assert right.count("not supported") <= 0.1 * len(right)
    assert wrong.count("supported") <= 0.1 * len(wrong)
    assert wrong.count("not supported") > 0.3 * len(wrong)


def test_no_comparison_with_own_parts(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explained = Explainer()(bus, top_k=1)
    others = maps.other_maps(explained, 0)
    pool = next(entry for entry in maps._CACHE.values() if set(others) <= set(entry))
    assert len(others) >= OTHERS and {"bus" in other.name for other in others} == {False}
    assert explained.image.sha256 in {other.source for other in pool}
    assert all(other.values.shape == (maps.SIDE, maps.SIDE) for other in others)


def test_of_boxes_nothing_is_told(scene: Path) -> None:
    explained = Explainer("demo-s")(scene, per="detection", top_k=1)
    result, strongest = support(explained)
    box = explained.predictions[0].box
    assert result.in_box and box is not None
    assert (result.verdict, result.others, strongest) == ("cannot be told", (), None)
    words = "It cannot be told whether this map matters: no test told right maps of boxes from wrong ones."
    assert result.sentence == words and explained.checks()["answer"].sentence == words
    assert explained.prove(steps=2).sentence == words
    # What is hidden is inside the box alone.
    outside = explained.heatmaps[0].content.copy()
    rows, columns = box_on_content(explained.evidence.geometry, box)
    inside = outside[rows, columns].copy()
    outside[:] = 1 - outside
    outside[rows, columns] = inside
    assert support(with_map(explained, outside))[0].effects == result.effects


def test_no_map_that_looks_at_no_model_is_supported(explanations) -> None:
    for explanation in explanations[:3]:
        picture = explanation.evidence.tensor[0].numpy()
        for content in (controls.edges(picture), controls.centre(picture.shape[1:])):
            assert support(with_map(explanation, content))[0].verdict != "supported"


def test_other_maps_mark_other_places(bus: Path) -> None:
    explained = Explainer()(bus, top_k=1)
    own = maps.Shown("this map", explained.heatmaps[0].content)
    others = maps._pick_others(explained, 0, own)
    pool = maps.other_maps(explained, 0)
    assert LEAST_OTHERS <= len(others) <= OTHERS and {other.name for other in others} <= {each.name for each in pool}
    shares = [own.share_with(other) for other in others]
    assert max(shares) <= ALIKE and own.share_with(own) == 1.0


def test_tests_of_one_result_are_in_no_other(scene: Path) -> None:
    explained, twin = (Explainer("demo-cls-s")(scene, top_k=2) for _ in range(2))
    boxed, empty = explained.with_object((0, 0, 9, 9)), replace(explained, heatmaps=())
    others = (twin, boxed, explained.with_tests({}))
    before = [other.to_dict() for other in others]
    explained.agreement(0, 1)
    label = explained.heatmaps[1].target.label
    checks, proof = explained.checks(-1), explained.prove(label, steps=2, fillings=("mean",))
    assert explained.known_checks(label) is checks and explained.proofs == {1: proof}
    assert [other.to_dict() for other in others] == before
    assert not any(other.proofs or other.known_checks(1) for other in others) and not empty._agreements
    with pytest.raises(TypeError):
        explained.proofs[0] = proof  # type: ignore[index]
    # A copy keeps its own tests, and adds none to what it was made of.
    assert explained.with_object((0, 0, 9, 9)).known_checks(1) is checks
    more = explained.with_tests({0: checks})
    assert more.known_checks(0) is more.known_checks(1) is checks and explained.known_checks(0) is None
