"""A disc hides what it covers, as a proof does and nearly as an edit does; what it does not cover changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.proof.curves import Perturber
from sightglass.explain.proof.filling import blur
from sightglass.explain.proof.scores import scorer
from sightglass.explain.whatif.changes import match
from sightglass.explain.whatif.edits import Edit, EditMark, edited
from sightglass.explain.whatif.hiding import Disc, DiscHider

DISCS = [Disc(400, 520, 120), Disc(250, 450, 80), Disc(600, 700, 200), Disc(0, 540, 300)]


@pytest.fixture(scope="module")
def bus() -> Explanation:
    return Explainer("efficientnet-lite0")(load_bundled("bus"))


@pytest.fixture(scope="module")
def scene() -> Explanation:
    return Explainer("demo-s")(load_bundled("scene 1"))


def test_a_disc_is_hidden_behind_what_a_proof_hides_places_behind(bus: Explanation) -> None:
    hider, evidence, target = DiscHider(bus), bus.evidence, bus.heatmaps[0].target
    perturber = Perturber(evidence, scorer(evidence, target, bus.options))
    left, top, right, bottom = evidence.geometry.content
    for disc in DISCS:
        shown = ~hider.covered(disc)[top:bottom, left:right]
        assert 0 < (~shown).sum() < shown.numel()
        expected = perturber.predict_masked(shown[None], blur(perturber.picture))
        (found,) = [one for one in hider.changes(disc) if one.label == target.label]
        assert found.after == pytest.approx(float(expected.score[0]), abs=1e-6)
        assert found.before == pytest.approx(bus.predictions[0].score, abs=1e-6)


def painted_over(explanation: Explanation, disc: Disc) -> Explanation:
    """The answer to the picture after a dab of the brush instead."""
    image, side = explanation.image, max(explanation.image.width, explanation.image.height)
    mark = EditMark("brush", ((disc.x / image.width, disc.y / image.height),), 2 * disc.radius / side)
    return Explainer(explanation.model.id)(edited(image, Edit((mark,))).image, maps=False, top_k=1000)


def test_it_tells_what_painting_over_the_disc_tells_a_classifier(bus: Explanation) -> None:
    moved = []
    for disc in DISCS:
        after = {p.label: p.score for p in painted_over(bus, disc).predictions}
        for change in DiscHider(bus).changes(disc):
            # That one's blur is a third wider: it goes by the whole picture, of which this model sees a part.
            assert change.after == pytest.approx(after[change.label], abs=0.15)
            moved.append(abs((change.after or 0) - (change.before or 0)))
    assert max(moved) > 0.3


def test_it_tells_what_painting_over_the_disc_tells_a_detector(scene: Explanation) -> None:
    for prediction in scene.predictions:
        x0, y0, x1, y1 = prediction.box or (0, 0, 0, 0)
        disc = Disc(x0, y0, 0.3 * float(np.hypot(x1 - x0, y1 - y0)))
        expected = match(scene.predictions, painted_over(scene, disc).predictions)
        for found, other in zip(DiscHider(scene).changes(disc), expected, strict=False):
            assert (found.after or 0) == pytest.approx(other.after or 0, abs=0.06), found.label


def test_the_disc_is_where_it_is_in_the_picture(scene: Explanation) -> None:
    geometry, disc = scene.evidence.geometry, Disc(70, 40, 25)
    covered = DiscHider(scene).covered(disc).numpy()
    rows, columns = np.nonzero(covered)
    sy, sx = geometry.scale
    assert (columns + 0.5).mean() == pytest.approx(disc.x * sx + geometry.offset[1], abs=0.6)
    assert (rows + 0.5).mean() == pytest.approx(disc.y * sy + geometry.offset[0], abs=0.6)
    assert covered.sum() == pytest.approx(np.pi * disc.radius**2 * sx * sy, rel=0.05)


def test_a_box_that_is_hidden_is_gone_and_those_beside_it_stay(scene: Explanation) -> None:
    best = scene.predictions[0]
    x0, y0, x1, y1 = best.box or (0, 0, 0, 0)
    disc = Disc((x0 + x1) / 2, (y0 + y1) / 2, 0.7 * float(np.hypot(x1 - x0, y1 - y0)))
    found = DiscHider(scene).changes(disc)
    assert [(one.label, one.before) for one in found] == [(p.label, p.score) for p in scene.predictions]
    assert found[0].after is None
    nothing = DiscHider(scene).changes(replace(disc, radius=0.0))
    assert [one.after for one in nothing] == pytest.approx([p.score for p in scene.predictions], abs=1e-4)
