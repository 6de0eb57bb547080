"""What is said of boxes beyond one explanation, and the files that are made of it."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from common.errors import ModelProblem
from components.session.image_source import bundled
from explain import Explainer
from explain.detections import around, box_sentence, common, found, one_scale, side, strip, weaker
from explain.evidence.layers import backbone_at, stages
from explain.export import table
from explain.export.caption import inside_boxes
from explain.export.detection_images import every_map, files
from explain.export.embedded_recipe import contents
from models.layers import Stage
from tests.conftest import weight


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    weight("yolo11n.pt")
    return Explainer("yolo11n")


@pytest.fixture
def result(explainer, bus):
    return explainer(bus, per="detection", top_k=12)


def test_a_headline_counts_every_kind_in_the_order_of_the_boxes(result):
    assert found(result) == "YOLO11n found 1 bus and 4 persons."
    many = result.with_options(confidence=0.01)
    assert found(many).endswith("other kinds.")
    assert found(result.with_options(confidence=0.99)).startswith("No detections above 99")


def test_weaker_boxes_are_those_that_a_lower_threshold_would_add(result):
    lower = result.with_options(confidence=0.1)
    added = lower.predictions[len(result.predictions) :]
    assert [p.label for p in weaker(result)] == [p.label for p in added]
    assert added
    assert weaker(lower) == ()
    only = result.with_options(classes=(added[0].label,))
    assert {p.label for p in weaker(only)} == {added[0].label}


def test_the_parts_of_the_sentence_add_up(result):
    said = box_sentence(result, 3, "person 4")
    assert said is not None
    assert said.startswith("Evidence for **person 4**: ")
    # The bus's box lies over his: places in both are not his alone.
    assert "in its own box only, " in said
    assert "shared with other boxes" in said
    assert sum(int(part) for part in re.findall(r"(\d+)\N{NO-BREAK SPACE}%", said)) == 100


def test_the_shares_of_overlapping_boxes_are_the_same_everywhere():
    """The scene's moon lies in the star's box too: the numbers against counting pixels, the words, and the API's."""
    made = Explainer("demo-s")(bundled("scene 1"), per="detection")
    index = [p.label for p in made.predictions].index("moon-inside")
    masks = [np.zeros(made.image.pixels.shape[:2], bool) for _ in made.predictions]
    for mask, prediction in zip(masks, made.predictions, strict=True):
        x0, y0, x1, y1 = (round(edge) for edge in prediction.box)
        mask[max(0, y0) : y1, max(0, x0) : x1] = True
    mine, others = masks[index], np.any([mask for i, mask in enumerate(masks) if i != index], axis=0)
    heat = made.heatmaps[index].values
    shares = {
        name: float(heat[part].sum() / heat.sum())
        for name, part in (
            ("own_only", mine & ~others),
            ("shared", mine & others),
            ("elsewhere", others & ~mine),
            ("outside", ~mine & ~others),
        )
    }
    numbers = made.box_numbers(index)
    assert shares["shared"] > 0.05
    for name, share in shares.items():
        assert getattr(numbers, name) == pytest.approx(share, abs=0.02), name
    assert numbers.own_only + numbers.shared + numbers.elsewhere + numbers.outside == pytest.approx(1)
    assert sum(numbers.printed.values()) == 100
    words = [f"{share}\N{NO-BREAK SPACE}% " for share in numbers.printed.values() if share]
    for text in (box_sentence(made, index, "moon"), inside_boxes(made, index)):
        assert [part for part in words if part not in text] == []
    row = table.rows(made)[index]
    assert [row[f"box_{name}"] for name in shares] == [getattr(numbers, name) for name in shares]
    answered = made.summary()["boxes"][index]
    assert [answered[name] for name in shares] == [getattr(numbers, name) for name in shares]


def test_every_layer_from_one_pass_is_the_layer_alone(explainer, bus):
    paths = tuple(stage.path for stage in stages(explainer.resident))
    together = strip(explainer(bus, per="detection", targets=(0,), layers=paths))
    assert [one.path for one in together] == list(paths)
    for place in (4, 16, 22):
        alone = explainer(bus, per="detection", targets=(0,), layers=(paths[place],))
        np.testing.assert_allclose(together[place].heatmap.content, alone.heatmaps[0].content, atol=1e-4)
        assert together[place].inside == pytest.approx(alone.box_numbers(0).inside, abs=1e-4)


def test_the_same_object_is_found_or_its_candidate_is(result):
    wanted = result.predictions[3]
    same = side(result, wanted)
    assert same.prediction == wanted
    assert same.missing is None
    strict = side(result.with_options(confidence=0.9), wanted)
    assert strict.missing is not None
    assert strict.missing.reason.kind == "below"
    assert strict.prediction.anchor == wanted.anchor
    np.testing.assert_array_equal(strict.explanation.heatmaps[0].content, result.heatmaps[3].content)


def test_a_point_is_two_numbers_and_corners_may_come_the_other_way_round(result):
    x0, y0, x1, y1 = result.predictions[0].box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    assert result.missing((x, y)).candidate == result.missing((x, y, x, y)).candidate
    assert result.missing(np.array((x1, y1, x0, y0))).candidate == result.missing((x0, y0, x1, y1)).candidate


def test_a_map_of_nothing_says_what_to_lower(result):
    nothing = result.with_options(confidence=0.99)
    for ask in (nothing.overlay, nothing.box_numbers, nothing.own):
        with pytest.raises(ModelProblem, match=r"^There is no map 0: no box is shown, lower confidence \(0\.99\)\.$"):
            ask(0)
    with pytest.raises(ModelProblem, match=r"lower confidence \(0\.25\) or leave classes away\.$"):
        result.with_options(classes=("dog",)).overlay(0)
    with pytest.raises(ModelProblem, match=r"^There is no map 0: no target was explained"):
        result.with_options(targets=("dog",)).box_numbers(0)


def test_a_box_that_is_not_shown_is_counted_as_the_library_does(result):
    with pytest.raises(ModelProblem, match=r"^There is no box 8: 5 are shown, counted from 0\.$"):
        result.with_options(targets=(8,))


def test_the_map_of_a_class_without_a_box_says_what_it_is_of(result):
    shown, absent = (result.with_options(per="class", targets=(name,)) for name in ("person", "dog"))
    assert shown.notes == ()
    (note,) = absent.notes
    assert note.startswith("No dog is shown (at best <\N{NO-BREAK SPACE}1")
    assert note.endswith("sure): the map is of its strongest candidate alone.")
    assert note in [finding.text for finding in absent.diagnosis]
    assert absent.with_method("layercam").notes == (note,)
    assert absent.with_targets("person").notes == ()
    assert len(absent.with_targets("person", "dog", "cat").notes) == 2


def test_one_scale_is_what_the_engine_makes_of_both_together(result):
    sides = [side(result, result.predictions[i]) for i in (0, 3)]
    shared = result.with_options(targets=(0, 3), per="detection").shared
    made = one_scale(sides)
    assert made is not None
    for one, other in zip(made, shared, strict=True):
        np.testing.assert_allclose(one.content, other.content, atol=1e-6)
    first, second, seen = common(*sides)
    assert first.shape == second.shape
    assert seen == (0, 0, 810, 1080)


def test_a_close_up_stays_in_the_picture_and_is_no_strip():
    for box in ((0, 0, 10, 400), (100, 100, 110, 400), (0, 0, 640, 480), (639, 479, 640, 480)):
        left, top, right, bottom = around(box, (640, 480))
        assert 0 <= left <= box[0]
        assert 0 <= top <= box[1]
        assert box[2] <= right <= 640
        assert box[3] <= bottom <= 480
    left, top, right, bottom = around((300, 100, 310, 400), (640, 480))
    assert right - left >= 0.7 * (bottom - top)


def test_the_backbones_last_stage_of_a_stride():
    steps = [Stage(str(i), "Conv", (1, 1, 1), stride, (), part) for i, (stride, part) in enumerate(
        [(8.0, "backbone"), (8.0, "backbone"), (16.0, "backbone"), (8.0, "neck")])]  # fmt: skip
    assert backbone_at(steps, 8) == "1"
    assert backbone_at(steps, 64) is None


def test_the_files_are_pictures_of_the_pictures_own_size(result):
    made = dict(files(result))
    assert list(made)[:3] == ["bus_original.jpg", "bus_detection.jpg", "bus_gradcam.jpg"]
    assert len(made) == 3 + len(result.heatmaps)
    assert "bus_04_person.jpg" in made
    assert {Image.open(io.BytesIO(data)).size for data in made.values()} == {(810, 1080)}
    nothing = result.with_options(confidence=0.99)
    assert np.array_equal(every_map(nothing), nothing.image.pixels)


def test_files_of_maps_can_be_had_without_boxes(result):
    boxed, bare = dict(files(result)), dict(files(result, boxes=False))
    assert list(bare) == list(boxed)
    assert bare["bus_detection.jpg"] == boxed["bus_detection.jpg"]
    x0, y0, x1, y1 = (round(edge) for edge in result.predictions[0].box)
    edges = np.zeros((1080, 810), bool)
    edges[max(0, y0) : y1, max(0, x0)] = edges[max(0, y0), max(0, x0) : x1] = True
    for name, share in (("bus_gradcam.jpg", 0.5), ("bus_01_bus.jpg", 0.8)):
        with_box, without = (np.asarray(Image.open(io.BytesIO(made[name]))) for made in (boxed, bare))
        assert (with_box[edges].min(1) > 200).mean() > share > 0.3 > (without[edges].min(1) > 200).mean()
        found = contents(bare[name])
        assert found is not None and found.view.settings["boxes"] is False
