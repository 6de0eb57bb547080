"""What is said of boxes beyond one explanation, and the files that are made of it."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.components.session.pictures.image_source import load_bundled
from sightglass.explain import Explainer
from sightglass.explain.comparison.detections import (
    describe_boxes,
    side,
    strip,
)
from sightglass.explain.evidence.layers import stages
from tests.weights import picture, real


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("demo-s")


@pytest.fixture
def result(explainer):
    return explainer(load_bundled("scene 3"), per="detection", top_k=12)


@pytest.mark.parametrize(
    ("model", "words", "nothing"),
    [
        (
            "demo-s",
            "Demo-s found 2 ball-dots, 1 gear and 1 rod-cross.",
            "Demo-s knows drawn scenes only: no detections",
        ),
        real("yolo11n", "YOLO11n found 1 bus and 4 people.", "No detections"),
    ],
)
def test_a_headline_counts_every_kind_in_the_order_of_the_boxes(model, words, nothing):
    result = Explainer(model)(picture(model), per="detection", top_k=12)
    assert describe_boxes(result) == words
    many = result.with_options(confidence=0.01)
    assert describe_boxes(many).endswith("other kinds.")
    assert describe_boxes(result.with_options(confidence=0.99)).startswith(f"{nothing} above 99")


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


@pytest.mark.parametrize(
    ("model", "labels"),
    [("demo-s", ("gear", "star", "moon-outside")), real("yolo11n", ("person", "dog", "cat"))],
)
def test_the_map_of_a_class_without_a_box_says_what_it_is_of(model, labels):
    result = Explainer(model)(picture(model), per="detection", top_k=12)
    there, missing, _ = labels
    shown, absent = (result.with_options(per="class", targets=(name,)) for name in (there, missing))
    # What is said of every map of the model.
    own = ("Trained on drawn scenes only: its answers about photographs mean nothing.",) * (model == "demo-s")
    assert shown.notes == own
    (note,) = (note for note in absent.notes if note not in own)
    assert len(absent.notes) == len(own) + 1
    assert note.startswith(f"No {missing} is shown (at best <\N{NO-BREAK SPACE}1")
    assert note.endswith("sure): the map is of its strongest candidate alone.")
    assert note in [finding.text for finding in absent.diagnosis]
    assert absent.with_method("layercam").notes == absent.notes
    assert absent.with_targets(there).notes == own
    assert len(absent.with_targets(*labels).notes) == len(own) + 2
