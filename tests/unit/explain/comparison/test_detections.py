"""What is said of boxes beyond one explanation, and the files that are made of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sightglass.common.errors import ModelProblem
from sightglass.components.session.pictures.image_source import load_bundled
from sightglass.explain import Explainer
from sightglass.explain.comparison.detections import (
    around,
    side,
    strip,
    weaker,
)
from sightglass.explain.evidence.layers import stages
from sightglass.export.detection_images import every_map, files


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("demo-s")


@pytest.fixture
def result(explainer):
    return explainer(load_bundled("scene 3"), per="detection", top_k=12)


def test_weaker_boxes_are_those_that_a_lower_threshold_would_add(result):
    lower = result.with_options(confidence=0.1)
    added = lower.predictions[len(result.predictions) :]
    assert [p.label for p in weaker(result)] == [p.label for p in added]
    assert added
    assert weaker(lower) == ()
    only = result.with_options(classes=(added[0].label,))
    assert {p.label for p in weaker(only)} == {added[0].label}


def test_every_layer_from_one_pass_is_the_layer_alone(explainer):
    scene = load_bundled("scene 3")
    paths = tuple(stage.path for stage in stages(explainer.resident))
    together = strip(explainer(scene, per="detection", targets=(1,), layers=paths))
    assert [one.path for one in together] == list(paths)
    for place in (4, 15, 18):
        alone = explainer(scene, per="detection", targets=(1,), layers=(paths[place],))
        np.testing.assert_allclose(together[place].heatmap.content, alone.heatmaps[0].content, atol=1e-4)
        assert together[place].inside == pytest.approx(alone.box_numbers(0).inside, abs=1e-4)
        one = together[place].explanation
        assert one.evidence.paths == one.heatmaps[0].layers == (paths[place],) and one.recipe == alone.recipe
        np.testing.assert_array_equal(one.heatmaps[0].content, together[place].heatmap.content)
    # Its seal tests the map at that layer, and other targets are explained at it.
    assert one.with_targets((300, 1)).heatmaps[0].layers == (paths[18],)
    with pytest.raises(ModelProblem, match="none of the layers explained here"):
        one.at_layer(paths[4])


def test_the_same_object_is_found_or_its_candidate_is(result):
    wanted = result.predictions[2]
    same = side(result, wanted)
    assert same.prediction == wanted
    assert same.missing is None
    strict = side(result.with_options(confidence=0.9), wanted)
    assert strict.missing is not None
    assert strict.missing.reason.kind == "below"
    assert strict.prediction.anchor == wanted.anchor
    np.testing.assert_array_equal(strict.explanation.heatmaps[0].content, result.heatmaps[2].content)


def test_the_map_of_a_class_without_a_box_says_what_it_is_of(result):
    shown, absent = (result.with_options(per="class", targets=(name,)) for name in ("gear", "star"))
    (note,) = set(absent.notes) - set(shown.notes)
    assert note.startswith("No star is shown (at best <\N{NO-BREAK SPACE}1")
    assert note.endswith("sure): the map is of its strongest candidate alone.")
    assert note in [finding.text for finding in absent.diagnosis]
    assert absent.with_method("layercam").notes == absent.notes
    assert absent.with_targets("gear").notes == shown.notes


def test_a_close_up_stays_in_the_picture_and_is_no_strip():
    for box in ((0, 0, 10, 400), (100, 100, 110, 400), (0, 0, 640, 480), (639, 479, 640, 480)):
        left, top, right, bottom = around(box, (640, 480))
        assert 0 <= left <= box[0]
        assert 0 <= top <= box[1]
        assert box[2] <= right <= 640
        assert box[3] <= bottom <= 480
    left, top, right, bottom = around((300, 100, 310, 400), (640, 480))
    assert right - left >= 0.7 * (bottom - top)


def test_the_files_are_pictures_of_the_pictures_own_size(result):
    made = dict(files(result))
    assert list(made)[:3] == [f"scene-3_{what}.jpg" for what in ("original", "detection", "gradcam")]
    assert len(made) == 3 + len(result.heatmaps)
    assert "scene-3_04_rod-cross.jpg" in made
    assert {Image.open(io.BytesIO(data)).size for data in made.values()} == {(576, 576)}
    nothing = result.with_options(confidence=0.99)
    assert np.array_equal(every_map(nothing), nothing.image.pixels)
