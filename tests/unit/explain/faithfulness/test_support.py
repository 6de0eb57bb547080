"""A map is supported where it matters more than maps of other pictures, its own copies and the middle."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness import other_maps as maps
from sightglass.explain.faithfulness.support import support
from sightglass.explain.maps.boxes import box_on_content
from sightglass.explain.proof.support import OTHERS, SHARES, SHOWN, Effect, Support
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

HONEST = "demo-cls-honest"


def effect(hidden: float, kept: float, name: str = "palace in china") -> Effect:
    return Effect(name, SHARES, (hidden,) * len(SHARES), (kept,) * len(SHARES))


def found(*others: Effect, copies: tuple[Effect, ...] = (), own: Effect | None = None) -> Support:
    return Support("bus", False, 0.9, own or effect(0.2, 0.6), others, copies)


def with_map(explanation: Explanation, content: NDArray[np.float32]) -> Explanation:
    heatmap = explanation.heatmaps[0]
    left, top, right, bottom = heatmap.geometry.content
    at_input = heatmap.at_input.copy()
    at_input[top:bottom, left:right] = content
    return replace(explanation, heatmaps=(replace(heatmap, at_input=at_input),))


@pytest.fixture(scope="module")
def drawn() -> list[Explanation]:
    explainer = Explainer(HONEST)
    pictures = (scenes.draw(scenes.sample(seed, task="classify", held_out=True)).pixels for seed in range(700, 712))
    return [one for one in (explainer(pixels, top_k=1) for pixels in pictures) if one.predictions[0].score > 0.5]


def test_a_map_is_supported_where_it_beats_nearly_every_control_and_not_where_most_other_maps_beat_it() -> None:
    weak, strong = effect(0.5, 0.3), effect(0.1, 0.8)
    assert found(*[weak] * OTHERS, copies=(weak,)).verdict == "supported"
    assert found(*[weak] * (OTHERS - 1), strong, copies=(weak,)).verdict == "supported"
    assert found(*[weak] * (OTHERS - 2), strong, strong, copies=(weak,)).verdict == "cannot be told"
    assert found(*[weak] * OTHERS, copies=(weak, strong)).verdict == "cannot be told"
    assert found(*[weak] * OTHERS).verdict == "cannot be told"
    # Too few other maps to tell, however weak they are.
    assert found(*[weak] * (OTHERS - 1), copies=(weak,)).verdict == "cannot be told"
    assert found(*[strong] * (OTHERS // 2), weak).verdict == "cannot be told"
    assert found(*[strong] * (OTHERS // 2 + 1)).verdict == "not supported"
    # As good is not better.
    assert found(*[effect(0.2, 0.6)] * (OTHERS // 2 + 1)).verdict == "not supported"


def test_the_sentence_has_the_verdict_the_count_and_the_strongest_control() -> None:
    weak, strong = effect(0.5, 0.3), effect(0.1, 0.8, "zebra in flower")
    said = found(*[weak] * 12, strong).sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert said == (
        "Whether this map matters cannot be told on this picture: it beats 12 of 13 maps of other pictures. Hiding "
        "its strongest 30 % of the picture takes bus from 90 % to 20 %; the strongest control, zebra in flower, takes "
        "it to 10 %."
    )
    assert found(*[strong] * 10).sentence.startswith("This map shows no more than others do: it beats 0 of 10 maps")
    assert found(*[weak] * OTHERS, copies=(weak,)).sentence.startswith("This map matters to the answer: it beats 19 of")
    assert replace(found(*[strong] * 10), in_box=True).sentence.count("of the box") == 1


def test_a_clear_difference_at_one_share_decides_and_else_all_shares_do() -> None:
    own = Effect("this map", SHARES, (0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.6, 0.5))
    far = Effect("far", (SHOWN,), (0.9,), (0.1,))
    near = Effect("near", SHARES, (0.1, 0.1, 0.5, 0.1), (0.9, 0.9, 0.5, 0.9))
    assert own.size(SHOWN) > near.size(SHOWN) and own.beats(far) and not own.beats(near)
    assert effect(0.0, 1.0).size() < 100  # certain is not infinitely sure


def test_maps_of_drawn_things_are_supported_and_maps_that_are_wrong_on_purpose_hardly_ever(
    drawn: list[Explanation],
) -> None:
    right = [support(one).verdict for one in drawn]
    wrong = []
    for number, one in enumerate(drawn):
        own, other = one.heatmaps[0].content, drawn[number - 1].heatmaps[0].content
        for content in (other, np.ascontiguousarray(own[:, ::-1]), np.roll(own, own.shape[1] // 4, 1), 1 - own):
            wrong.append(support(with_map(one, content)).verdict)
    # One picture's object may be where the next one's is.
    assert len(drawn) >= 8 and right.count("supported") >= 0.3 * len(right)
    assert right.count("not supported") <= 0.1 * len(right)
    assert wrong.count("supported") <= 0.1 * len(wrong)
    assert wrong.count("not supported") > 0.3 * len(wrong)


def test_it_is_the_same_again_and_stops_when_told(drawn: list[Explanation]) -> None:
    assert support(drawn[0]).summary() == support(drawn[0]).summary()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        support(drawn[0], cancel=cancel)
    flat = replace(drawn[0], heatmaps=(replace(drawn[0].heatmaps[0], state="flat"),))
    with pytest.raises(ModelProblem, match="is empty"):
        support(flat)


def test_a_picture_is_not_compared_with_maps_of_its_own_parts(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explained = Explainer()(bus, top_k=1)
    others = maps.other_maps(explained, 0)
    every = next(one for one in maps._CACHE.values() if set(others) <= set(one))
    assert len(others) >= OTHERS and {"bus" in one.name for one in others} == {False}
    assert explained.image.sha256 in {one.source for one in every}
    assert all(one.values.shape == (maps.SIDE, maps.SIDE) for one in others)


def test_boxes_are_compared_inside_of_them_alone(scene: Path) -> None:
    explained = Explainer("demo-s")(scene, per="detection", top_k=1)
    tested = support(explained)
    box = explained.predictions[0].box
    assert tested.in_box and box is not None
    # What is outside of the box does not count.
    outside = explained.heatmaps[0].content.copy()
    rows, columns = box_on_content(explained.evidence.geometry, box)
    inside = outside[rows, columns].copy()
    outside[:] = 1 - outside
    outside[rows, columns] = inside
    assert support(with_map(explained, outside)).summary() == tested.summary()
