"""Explore with models of other kinds: numbers, depth, words, persons, regions, boxes, poses, exported files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.explain import Explainer
from sightglass.explain.phrases import NBSP, percent, quantity
from sightglass.explain.picture.image import load_bundled
from sightglass.models.demo.pictures import CAPTIONED
from sightglass.pages.explore import answers
from sightglass.ui.session.state import ChosenArea
from tests.corpus import npy
from tests.pages.conftest import (
    choose,
    choose_row,
    headline,
    parameter,
    press,
    received,
    rerun_until,
    session,
    shown,
    texts,
)
from tests.unit.explain.picture import test_image
from tests.unit.explain.picture.test_image import Bands


def test_explore_says_a_number_with_its_unit_and_scale(page):
    app = page(model="demo-regress", example="a rod")
    angle = quantity(Explainer("demo-regress")(load_bundled("a rod")).predictions[0].score, "°")
    assert headline(app).startswith(f"Demo-regress gives angle {angle}. Red raises angle.")
    assert shown(app).head["panels"][0]["maps"][0]["note"] == angle and "%" not in angle
    first = app.metric[0]
    assert (first.label, first.value, first.delta) == ("angle", angle, "on a scale from −60° to 60°")


def test_depth_beside_map_and_place_in_address(page, depth: str):
    app = page(model=depth, example="scene 1", at="100,120")
    assert app.selectbox(key="method-regress").value == "hirescam"
    app.button(key="explore-whole").click().run()
    assert "At the place" not in headline(app) and "at" not in app.query_params
    assert len(received(app, "viewer")) == 1 and "on average" in headline(app)


def test_prompts_are_rows_with_contrast(page):
    words = ("red star", "blue star", "red ball")
    app = page(model="demo-clip", example=CAPTIONED, words=", ".join(words))
    view = shown(app)
    assert {item["title"] for item in view.head["panels"][0]["maps"]} == {*words}
    app.selectbox(key="part").select("class").run()
    assert app.query_params["part"] in ("class", ["class"])
    assert not np.allclose(shown(app).maps[0], view.maps[0])


def test_words_of_an_answer(page):
    answer = "there is a nice blue star and a lovely green ball ."
    app = page(model="demo-vlm", example=CAPTIONED, answer=answer, **{"class": "blue star"})
    result = Explainer("demo-vlm")(load_bundled(CAPTIONED), answer=answer, targets=["blue star", "ball"])
    (listed,) = received(app, "answer_list")
    assert " ".join(row["label"] for row in listed["rows"]) == answer.replace("a lovely", "a (2) lovely")
    assert [row["share"] for row in listed["rows"]] == pytest.approx([word.score for word in result.predictions])
    moods = {row["label"]: row["mood"] for row in listed["rows"]}
    assert (moods["star"], moods["nice"], moods["green"]) == ("", "said", "against")
    assert "The picture speaks against" in headline(app) and "“green”" in headline(app)
    maps = shown(app).head["panels"][-1]["maps"]
    assert (maps[listed["maps"][-1]]["title"], listed["ticked"]) == ("blue star", [4, 5])
    np.testing.assert_allclose(shown(app).maps[listed["maps"][-1]], result.heatmaps[0].content, atol=1 / 65535)
    app.text_input(key="phrase").set_value("lovely").run()
    assert app.query_params["class"] in ("lovely", ["lovely"]) and "“lovely” was said, not seen" in texts(app)
    app.text_input(key="phrase").set_value(" ").run()
    assert not app.toast
    app.text_input(key="phrase").set_value("ball").run()
    np.testing.assert_allclose(
        shown(app).maps[received(app, "answer_list")[0]["maps"][-1]], result.heatmaps[1].content, atol=1 / 65535
    )


def test_words_beside_another_model_and_under_an_edit(page):
    says = Explainer("demo-vlm")(load_bundled(CAPTIONED))
    app = page("compare", model="demo-vlm", example=CAPTIONED, models="demo-vlm,demo-cls-s")
    assert f": “{says.options.answer}”" in texts(app)
    app = page(model="demo-vlm", example=CAPTIONED, answer="a red star and", edit="1")
    assert shown(app).head["panels"][0]["maps"][0]["title"] == "star"


@pytest.mark.slow
def test_without_words_it_asks_for_them(page, tmp_path: Path, own_models):
    transformers = pytest.importorskip("transformers")
    from tests.unit.models.families.test_clip import byte_tokenizer

    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = {**text, "image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=seen, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    byte_tokenizer().save_pretrained(tmp_path / "clip")
    own_models(f'[model."mine"]\nloader = "clip"\nweights = {{ path = {json.dumps(str(tmp_path / "clip"))} }}\n')
    app = page(model="mine")
    assert "What should it look for?" in texts(app)
    app.text_input(key="words").set_value("a bus, a dog").run()
    assert len(shown(app).maps) == 2


NETS = Path(test_image.__file__)


def exported(name: str, file: Path) -> str:
    more = 'labels = ["first", "last"], preprocessing = { size = 32 }'
    return f'[model."{name}"]\nloader = "exported"\nweights = {{ path = "{file}", {more} }}\n'


class Counting(nn.Module):
    """Of a kind that is not taken apart: it changes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x.mean((2, 3))[:, :2]


def test_answers_only_file_is_offered_mask_methods(page, tmp_path, own_models, monkeypatch):
    torch.jit.save(torch.jit.script(Counting()), str(tmp_path / "black.torchscript"))
    own_models(exported("black", tmp_path / "black.torchscript"))
    monkeypatch.setenv("SIGHTGLASS_MASKS", "8")
    app = page(model="black", example="china", method="occlusion")
    assert list(app.selectbox(key="method-classify").options) == ["RISE (slow)", "Occlusion (slow)"]
    rerun_until(app, lambda: "only answers here, without layers and gradients" in texts(app))


def test_a_field_of_five_bands_is_given_and_explained(page, tmp_path: Path, own_models):
    torch.save(Bands(5).state_dict(), tmp_path / "bands.pth")
    table = exported("bands", tmp_path / "bands.pth").replace('"exported"', f'"custom"\narch = "{NETS}:Bands"')
    own_models(table.replace("weights = {", "weights = { args = { channels = 5 },"))
    field = npy(np.full((48, 48, 5), 0.1, np.float32))
    app = page(model="bands", fails=True)
    # A photograph does not fit: one sentence, and everything else stays in place.
    assert "coffee.jpg has 3 channels, and bands takes 5 channels: choose another model" in texts(app)
    app.file_uploader[0].upload("field.npy", field, "application/octet-stream").run()
    assert not app.error and shown(app).maps
    assert "5 channels of float32; the first three are shown" in texts(app)


@pytest.fixture(scope="module")
def segmented(bus):
    return Explainer("demo-seg")(bus)


def place_of(segmented, class_: int) -> tuple[float, float]:
    """The middle of the first pixel of a class, x and y."""
    y, x = np.argwhere(segmented.segmentation == segmented.predictions[class_].index)[0]
    return x + 0.5, y + 0.5


def test_segmentation_layer_and_region_link(page, segmented):
    app = page(model="demo-seg", example="bus")
    assert len(received(app, "viewer")) == 1
    assert [panel["pictured"] for panel in shown(app).head["panels"]] == [True, False]
    assert segmented.predictions[0].label in headline(app).lower()
    x, y = place_of(segmented, 0)
    app = page(model="demo-seg", example="bus", at=f"{x},{y}")
    assert session(app, ChosenArea).at == (x, y)
    assert "of what speaks for this region lies outside it" in texts(app)
    app.button(key="explore-whole").click().run()
    assert not app.error and "this region" not in texts(app) and "at" not in app.query_params


VIEWER = "viewer"
ADDRESS = {"model": "demo-s", "example": "scene 3"}
FOUND = "2 ball-dots, 1 gear and 1 rod-cross"
"""What demo-s finds in the scene."""


@pytest.fixture
def result(scene):
    return Explainer("demo-s")(scene, per="detection", top_k=answers.MAX_MAPS)


def test_every_box_has_its_row_its_rectangle_and_its_map(page, result):
    app = page("", **ADDRESS)
    assert headline(app) == f"{FOUND}."
    view = shown(app)
    for i, (box, prediction) in enumerate(zip(view.head["boxes"], result.predictions, strict=True), 1):
        np.testing.assert_allclose(box["xyxy"], prediction.box, atol=1e-3)
        assert box["label"] == f"{i}  {prediction.label} {percent(prediction.score)}"
        assert (box["tag"], box["index"]) == (str(i), i - 1)
    for got, heatmap in zip(view.maps, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    inside = [numbers["box"] for numbers in received(app, "instruments")[0]["numbers"]]
    of_boxes = [result.box_numbers(i) for i in range(len(result.heatmaps))]
    assert inside == [f"{numbers.printed_inside} on {percent(numbers.area)}" for numbers in of_boxes]
    assert "box" not in app.query_params
    # Other boxes have none of it.
    assert "Evidence for" not in texts(app)
    choose_row(app, 3)
    numbers = result.box_numbers(3)
    parts = [f"{share}{NBSP}% " for share in numbers.printed.values()]
    assert f"Evidence for **rod-cross 4**: {parts[0]}in its own box only, {parts[1]}shared with" in texts(app)
    assert f"{parts[3]}outside all boxes." in texts(app)
    assert app.query_params["box"] == "4"


def test_class_filter_of_boxes(page):
    app = page("", **ADDRESS, only="gear")
    assert headline(app) == "1 gear. Showing only gear."
    assert len(shown(app).maps) == 1 and app.query_params["only"] == "gear"
    # It holds for the next picture too, and can be seen and removed there.
    choose(app, "scene 1")
    choose(app, "scene 3")
    app.multiselect(key="only-demo-s").set_value([]).run()
    assert "only" not in app.query_params and FOUND in headline(app)
    before = len(shown(app).head["boxes"])
    app.slider(key="confidence").set_value(70).run()
    assert len(shown(app).head["boxes"]) < before


def test_click_beside_boxes_shows_candidate(page, result):
    app = page("", **ADDRESS)
    # A click on a box, or in another picture, asks nothing.
    app.session_state[VIEWER] = {"point": {"x": 20, "y": 210, "box": 0}}
    app.run()
    app.session_state[VIEWER] = {"point": {"picture": "another", "x": 20, "y": 210, "box": None}}
    app.run()
    assert "candidate" not in texts(app)
    app.session_state[VIEWER] = {"point": {"picture": shown(app).head["picture"], "x": 20, "y": 210, "box": None}}
    app.run()
    missing = result.missing((20, 210, 20, 210))
    assert missing is not None and missing.words in texts(app)
    view = shown(app)
    assert view.head["boxes"][-1]["marks"][0]["hollow"]
    np.testing.assert_allclose(view.head["boxes"][-1]["xyxy"], missing.candidate.box, atol=1e-3)
    expected = result.with_targets((missing.candidate.anchor, missing.candidate.index)).heatmaps[0]
    np.testing.assert_allclose(view.maps[-1], expected.content, atol=1e-3)
    app.selectbox(key="missing-class").select("star").run()
    assert result.missing((20, 210, 20, 210), "star").words in texts(app)
    # The harness repeats the question for ever; a browser does not.
    app.session_state[VIEWER] = {}
    choose_row(app, 0)
    assert app.query_params["box"] == "1" and "candidate" in texts(app)
    press(app, "Back to the boxes")
    assert len(shown(app).maps) == len(result.heatmaps) and "candidate" not in texts(app)


def test_chosen_box_without_map_gets_one(page, scene):
    app = page("", **ADDRESS, confidence="1", iou="95")
    result = Explainer("demo-s")(scene, per="detection", confidence=0.01, iou=0.95, top_k=answers.MAX_MAPS)
    assert len(result.predictions) > answers.MAX_MAPS + 3
    assert len(shown(app).maps) == answers.MAX_MAPS
    place = answers.MAX_MAPS + 2
    choose_row(app, place)
    np.testing.assert_allclose(shown(app).maps[-1], result.with_targets(place).heatmaps[0].content, atol=1e-3)
    # Its map, its row and its rectangle go by the same place, and its number stays.
    assert shown(app).head["boxes"][answers.MAX_MAPS]["tag"] == str(place + 1) == app.query_params["box"]


def test_the_view_of_layers_shows_the_box_at_each(page, scene):
    app = page("", **ADDRESS, view="layers", box="4")
    assert {button.label for button in app.button} & {"All numbers", "Save"} == set()
    explainer = Explainer("demo-s")
    paths = [stage.path for stage in explainer.loaded.adapter.stages(explainer.layers)]
    strip = explainer(scene, per="detection", targets=(3,), layers=tuple(path for path in paths if path != "model.19"))
    for got, heatmap in zip(shown(app).maps, strip.by_layer(0), strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    assert headline(app).startswith("Rod-cross 4, layer by layer. Inside its box: ")


def test_a_model_of_drawn_scenes_says_so_of_photographs(page):
    app = page("", model="demo-s")
    shows_scene = f"{FOUND}. It knows drawn scenes only: this is one, in place of coffee.jpg."
    assert headline(app) == shows_scene and parameter(app, "example") == "scene 3"
    # A link that names a photograph shows it.
    assert "in place of" not in headline(page("", model="demo-s", example="bus"))
    press(app, "Back to coffee.jpg")
    assert headline(app).startswith("Demo-s knows drawn scenes only: ") and "example" not in app.query_params
    choose(app, "scene 3")
    assert headline(app) == f"{FOUND}."


def test_a_joint_can_be_chosen_and_its_body_is_drawn(page, pose):
    app = page("", model=pose, example="scene 1")
    result = Explainer(pose)(load_bundled("scene 1"), per="detection", joint="left wrist x", top_k=12)
    first = result.predictions[0]
    joints = [mark for mark in shown(app).head["boxes"][0]["marks"] if mark["kind"] == "point"]
    np.testing.assert_allclose(joints[9]["points"][0], [first.joints[9].x, first.joints[9].y], atol=1e-3)
    assert not any("chosen" in joint for joint in joints)
    app.selectbox(key="joint").select("left wrist").run()
    assert not app.error
    joints = [mark for mark in shown(app).head["boxes"][0]["marks"] if mark["kind"] == "point"]
    assert [number for number, joint in enumerate(joints) if "chosen" in joint] == [9]
    first_map = shown(app).head["panels"][0]["maps"][0]
    assert first_map["kind"] == "signed"
    assert first_map["note"] == f"left wrist x {result.task.wording.number(result, 0)}"
    assert app.query_params["joint"] == "left wrist"
