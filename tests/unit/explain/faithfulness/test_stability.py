"""Small changes of a picture: each is what it says, is undone on the map, and is the same every time."""

from __future__ import annotations

import threading
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.faithfulness.changes import CHANGES, Changed, change
from sightglass.explain.faithfulness.stability import Stability, Variant, stability
from sightglass.explain.methods.method import Method, RawMaps
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image
from sightglass.explain.proof import controls
from sightglass.models.geometry import Geometry
from sightglass.models.spec import ModelSpec, WeightsTable

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.faithfulness.changes import Kind


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=1)


def test_a_change_is_small_is_seen_by_the_model_and_undone_on_the_map() -> None:
    # A ramp at twice the model's size.
    across, down = np.arange(40, 120, dtype=np.uint8), np.arange(0, 60, dtype=np.uint8)
    ramp = np.ascontiguousarray((across + down[:, None])[..., None].repeat(3, 2))
    image, geometry = Image(ramp), Geometry((60, 80), (30, 40), (0.5, 0.5), (0.0, 0.0))
    for kind in CHANGES:
        made = change(image, geometry, kind)
        assert made.pixels.shape == ramp.shape and made.pixels.dtype == np.uint8
        assert 0 < np.abs(made.pixels.astype(int) - ramp).mean() < 45, kind
        assert np.array_equal(made.pixels, change(image, geometry, kind).pixels)
    # 2 pixels of the model's input are 4 of the picture's.
    right = change(image, geometry, "right")
    assert np.array_equal(right.pixels[:, 4:], ramp[:, :-4]) and right.shift == (0, 2)
    noise = change(image, geometry, "more noise").pixels.astype(float) - ramp
    reduced = noise.reshape(30, 2, 40, 2, 3).mean((1, 3))
    assert 7 < reduced.std() < 9, "as strong after the picture was reduced"
    hot = np.zeros((30, 40), np.float32)
    hot[10, 20] = 1
    assert Changed("right", ramp, (0, 2)).undone(np.roll(hot, 2, 1)).argmax() == hot.argmax()
    assert Changed("down", ramp, (2, 0)).undone(np.roll(hot, 2, 0)).argmax() == hot.argmax()
    assert Changed("mirror", ramp, mirrored=True).undone(hot[:, ::-1]).argmax() == hot.argmax()


def test_mean_and_spread_are_over_the_true_and_the_changed_maps(explained: Explanation) -> None:
    found, again = stability(explained), stability(explained)
    assert [one.kind for one in found.variants] == [*CHANGES]
    maps = np.stack([explained.heatmaps[0].content, *(one.map for one in found.variants if one.map is not None)])
    assert len(maps) == 9 and np.allclose(found.mean, maps.mean(0), atol=1e-6)
    assert np.allclose(found.spread, maps.std(0), atol=1e-6) and found.spread.max() > 0.01
    assert np.array_equal(found.spread, again.spread) and found.summary() == again.summary()
    assert found.score == pytest.approx(explained.predictions[0].score, abs=1e-4)
    assert all(one.rank_correlation is not None and one.rank_correlation > 0.9 for one in found.variants)


def test_what_a_change_does_to_the_answer_is_the_models_answer_to_that_picture(explained: Explanation) -> None:
    found = {one.kind: one for one in stability(explained).variants}
    explainer, geometry = Explainer(), explained.evidence.geometry
    for kind in ("jpeg", "mirror", "darker"):
        other = explainer(Image(change(explained.image, geometry, kind).pixels), top_k=1)
        assert found[kind].answer == other.predictions[0].label
        assert found[kind].score == pytest.approx(other.predictions[0].score, abs=1e-4)
        assert found[kind].flips == (other.predictions[0].label != explained.predictions[0].label)


FLAT = np.zeros((2, 2), np.float32)
PETS = ModelSpec("pets", "Pets", "", "timm", "pets", "classify", "MIT")


def made(*values: float, flips: tuple[int, ...] = (), answer: str = "dog") -> Stability:
    """A map whose rank correlations after changes are these, where unrelated maps reach 0.3."""
    kinds: list[Kind] = [*CHANGES]
    variants = tuple(
        Variant(kinds[at], 0.5, "cat" if at in flips else answer, at in flips, FLAT, value, value)
        for at, value in enumerate(values)
    )
    return Stability("dog", PETS, 0.6, variants, FLAT, FLAT, 0.3)


def test_verdicts_by_hand() -> None:
    assert made(0.8, 0.9).verdict == "yes"
    assert made(0.79, 0.9).verdict == "cannot be told"
    assert made(0.31, 1.0).verdict == "cannot be told"
    assert made(0.3, 1.0).verdict == "no"
    # Where the answer changes, the map may. Where it stays, it may not.
    assert made(0.1, 0.9, flips=(0,)).verdict == "cannot be told"
    assert made(0.9, 0.1, flips=(0,)).verdict == "no"
    assert made(0.1, 0.1, flips=(0, 1)).verdict == "cannot be told"
    # A model that compares pictures has no answer that changes.
    assert made(0.95, answer="").verdict == "yes" and made(0.1, answer="").verdict == "no"
    gone = Variant("mirror", 0.0, "", True, None, None, None)
    assert Stability("dog", PETS, 0.6, (gone,), FLAT, FLAT, 0.3).verdict == "cannot be told"
    assert made(0.8).summary()["verdict"] == "yes" and made(0.8).summary()["chance"] == 0.3


def test_the_sentence_is_made_of_the_numbers() -> None:
    assert plain_text(made(0.9, 0.85).sentence) == (
        "Under 2 small changes dog scores 50 % to 50 %; the answer stays. The map keeps a rank correlation of 0.85 at "
        "least (after more noise). It holds still: 0.80 is asked, and unrelated maps reach 0.30."
    )
    assert made(0.2).sentence.endswith("(after a little noise). It does not hold still: unrelated maps reach 0.30.")
    shaky = made(0.4, 0.9, 0.8, flips=(0,))
    words = "The answer changes after a little noise. Otherwise the map keeps a rank correlation of 0.80"
    assert f"dog scores 50 % to 50 %. {words}" in plain_text(shaky.sentence)
    assert shaky.sentence.endswith("cannot be told, because the answer changes.")
    # A model that compares pictures has a similarity to the picture as it is, and no answer.
    alike = plain_text(made(0.9, answer="").sentence)
    assert alike.startswith("Under 1 small changes the picture stays 50 % to 50 % similar to itself. The map")
    # The number moves as well, and nobody has said how far it may.
    ages = replace(PETS, task="regress", weights=WeightsTable(unit="years"))
    assert replace(made(0.2, answer=""), label="age", model=ages).verdict == "cannot be told"
    scores = Stability("dog", PETS, 0.6, (replace(shaky.variants[0], score=0.25), shaky.variants[1]), FLAT, FLAT, 0.3)
    assert scores.score_spread == pytest.approx(np.std([0.6, 0.25, 0.5]))


def test_a_map_that_jumps_under_noise_does_not_hold_still(
    explained: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random map of the picture's bits: any change gives another one."""

    def run(self: Method, evidence: Evidence, targets: object, request: object = None) -> RawMaps:
        values = controls.random_map((7, 7), (7, 7), zlib.crc32(evidence.tensor.numpy().tobytes()))
        return RawMaps([torch.from_numpy(values)[None]], ("bn2",))

    monkeypatch.setattr(Method, "run", run)
    found = stability(explained.with_method("gradcam"))
    assert not found.flips and found.verdict == "no"


def test_it_stops_and_what_cannot_be_changed_is_a_sentence(explained: Explanation) -> None:
    cancel, seen = threading.Event(), []

    def progress(share: float, words: str) -> None:
        seen.append((share, words))
        if len(seen) == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        stability(explained, progress=progress, cancel=cancel)
    assert seen == [(0, CHANGES["noise"]), (1 / 8, CHANGES["more noise"])]
    with pytest.raises(ModelProblem, match="no single answer"):
        stability(Explainer("demo-s")(explained.image, per="picture"))
