"""Detect: what is shown is what the engine says of each box, and of what is missing."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sightglass.components.choices import layer_picker, model_picker
from sightglass.components.session.jobs.explain_job import Running
from sightglass.components.session.pictures.image_source import Pictures, example
from sightglass.components.session.state import ChosenBox, Sidebar
from sightglass.components.views import comparisons, detections, snapshots
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import RESIDENCY
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import Image
from sightglass.models import catalog
from sightglass.models.adapter import Prediction
from sightglass.models.checkpoints import weights
from sightglass.models.layers import ModelStage
from tests.pages.conftest import act, received, rerun_until, session, shown, texts
from tests.weights import real, weight

SCREEN = "pages/detect.py"
VIEWER = "viewer-detect"
ADDRESS = {"model": "demo-s", "example": "scene 3"}
FOUND = "2 ball-dots, 1 gear and 1 rod-cross"
OBJECT = "This map shows which object, not which part of it."
"""What demo-s finds in the scene."""


def metrics(app) -> dict[str, tuple[str, str]]:
    return {element.label: (element.value, element.delta) for element in app.metric}


def click(app, x: float, y: float, box: int | None = None):
    """As the viewer tells of a click."""
    app.session_state[VIEWER] = {"point": {"x": x, "y": y, "box": box}}
    return app.run()


def ask(app, *where: float):
    """As the viewer tells of a place marked with the tool that asks: a point twice, or xyxy."""
    app.session_state[VIEWER] = {"question": {"picture": shown(app).head["picture"], "xyxy": (*where, *where)[:4]}}
    return app.run()


def pick(app, row: int):
    (key,) = [key for key in app.session_state._state.filtered_state if key.startswith("boxes-")]
    app.session_state[key] = {"chosen": row}
    return app.run()


@pytest.fixture
def result(scene):
    return Explainer("demo-s")(scene, per="detection", top_k=detections.MAX_MAPS)


def test_every_box_has_its_row_its_rectangle_and_its_map(page, result):
    app = page(SCREEN, **ADDRESS)
    assert not app.exception and not app.error
    assert app.markdown[0].value == f"## Demo-s found {FOUND}. Choose a box to see its map. {OBJECT}"
    view = shown(app)
    assert [box["index"] for box in view.head["boxes"]] == list(range(len(result.predictions)))
    for i, (box, prediction) in enumerate(zip(view.head["boxes"], result.predictions, strict=True), 1):
        np.testing.assert_allclose(box["xyxy"], prediction.box, atol=1e-3)
        assert box["label"] == f"{i}  {prediction.label} {percent(prediction.score)}"
        assert box["tag"] == str(i)
    for got, heatmap in zip(view.maps, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    numbers = result.box_numbers(0)
    assert metrics(app)["Evidence inside its box"] == (
        numbers.printed_inside,
        f"on {percent(numbers.area)} of the picture",
    )
    assert "box" not in app.query_params


def test_a_click_on_a_row_is_followed_by_words_numbers_and_address(page, result):
    app = pick(page(SCREEN, **ADDRESS), 3)
    numbers = result.box_numbers(3)
    parts = [f"{share}\N{NO-BREAK SPACE}% " for share in numbers.printed.values()]
    assert f"Evidence for **rod-cross 4**: {parts[0]}in its own box only, {parts[1]}shared with other boxes" in texts(
        app
    )
    assert f"{parts[3]}outside all boxes." in texts(app)
    assert metrics(app)["Evidence inside its box"][0] == numbers.printed_inside
    assert app.query_params["box"] == "4"


def test_an_address_opens_its_box_and_its_question(page, scene):
    app = page(SCREEN, **ADDRESS, box="4", part="contrast", within="inside", iou="40")
    assert not app.exception and not app.error
    result = Explainer("demo-s")(scene, per="detection", part="contrast", within="inside", iou=0.4, top_k=12)
    np.testing.assert_allclose(shown(app).maps[3], result.heatmaps[3].content, atol=1e-3)
    assert "Evidence for **rod-cross 4**: " in texts(app)


def test_nonsense_in_the_address_is_passed_over(page):
    app = page(SCREEN, **ADDRESS, box="9" * 5000, part="y", per="z", iou="many", ratio="9", lens="?", only="unicorn")
    assert not app.exception and not app.error
    assert f"found {FOUND}" in app.markdown[0].value


def test_only_chosen_classes_are_shown_and_the_rest_stays_out_of_the_maps(page, scene):
    app = page(SCREEN, **ADDRESS, only="gear")
    assert app.markdown[0].value.startswith("## Demo-s found 1 gear.")
    assert len(shown(app).maps) == 1
    assert app.query_params["only"] == "gear"
    assert app.markdown[0].value.endswith(f" Showing only gear. {OBJECT}")
    # It holds for the next picture too, and can be seen and removed there.
    act(app, "choose", "scene 1")
    act(app, "choose", "scene 3")
    assert app.button(key="filter-chip").label == "Only gear"
    app.button(key="filter-chip").click().run()
    assert "only" not in app.query_params
    assert f"{FOUND}" in app.markdown[0].value
    assert "filter-chip" not in [button.key for button in app.button]


@pytest.mark.parametrize("part", ["contrast", "left", "box", "all"])
def test_a_part_of_a_box_has_a_map_of_its_own(page, scene, part):
    app = page(SCREEN, **ADDRESS, part=part)
    result = Explainer("demo-s")(scene, per="detection", part=part, top_k=12)
    np.testing.assert_allclose(shown(app).maps[1], result.heatmaps[1].content, atol=1e-3)


def test_a_ready_question_sets_part_method_and_layers(page, scene):
    app = page(SCREEN, **ADDRESS)
    assert app.segmented_control(key="question-where").value == "where"
    app.segmented_control(key="question-where").set_value("why").run()
    assert not app.exception and not app.error
    assert app.query_params["part"] == "contrast"
    assert app.query_params["layers"] == "model.4"
    assert app.selectbox(key="method-detect").value == "layercam"
    result = Explainer("demo-s")(
        scene, per="detection", part="contrast", method="layercam", layers=("model.4",), top_k=12
    )
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1e-3)
    app.segmented_control(key="question-why").set_value("where").run()
    assert "part" not in app.query_params
    assert "layers" not in app.query_params


@pytest.mark.parametrize("per", ["class", "picture"])
def test_a_class_and_the_whole_picture_have_maps_too(page, scene, per):
    app = page(SCREEN, **ADDRESS, per=per)
    assert not app.exception and not app.error
    result = Explainer("demo-s")(scene, per=per, top_k=12)
    for got, heatmap in zip(shown(app).maps, result.heatmaps, strict=True):
        np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
    if per == "class":
        pick(app, 1)
        pick(app, 0)
        assert "Evidence for **ball-dots**: " in texts(app)
        assert " in its own boxes" in texts(app)


def test_a_click_beside_every_box_without_a_tool_changes_nothing(page, result):
    app = click(page(SCREEN, **ADDRESS), 20, 210)
    assert not app.exception and not app.error
    assert "candidate" not in texts(app) and "ask" not in app.query_params
    assert len(shown(app).maps) == len(result.heatmaps)
    assert not any(box.get("dashed") for box in shown(app).head["boxes"])


def test_a_place_that_is_asked_about_shows_what_is_missing_there(page, result):
    app = ask(page(SCREEN, **ADDRESS), 20, 210)
    missing = result.missing((20, 210, 20, 210))
    assert missing is not None
    assert missing.words in texts(app)
    view = shown(app)
    assert view.head["boxes"][-1]["dashed"]
    np.testing.assert_allclose(view.head["boxes"][-1]["xyxy"], missing.candidate.box, atol=1e-3)
    wanted = result.with_targets((missing.candidate.anchor, missing.candidate.index)).heatmaps[0]
    np.testing.assert_allclose(view.maps[-1], wanted.content, atol=1e-3)
    app.selectbox(key="missing-class").select("star").run()
    assert result.missing((20, 210, 20, 210), "star").words in texts(app)
    assert (app.query_params["ask"], app.query_params["ask-for"]) == ("20,210", "star")
    # The harness repeats the question for ever; a browser does not.
    app.session_state[VIEWER] = {}
    next(button for button in app.button if button.label == "Back to the boxes").click().run()
    assert len(shown(app).maps) == len(result.heatmaps)
    assert "candidate" not in texts(app)
    assert "ask" not in app.query_params
    assert "ask-for" not in app.query_params


def test_of_another_box_nothing_is_said_of_the_candidate(page, result):
    app = ask(page(SCREEN, **ADDRESS), 20, 210)
    app.session_state[VIEWER] = {}
    missing = result.missing((20, 210, 20, 210))
    pick(app, 0)
    assert missing.words not in texts(app)
    assert "You looked up " in texts(app) and ": choose ? in the list." in texts(app)
    assert "Evidence for **ball-dots 1**: " in texts(app)
    # Both are in the address: the box that is looked at, and what was asked.
    assert (app.query_params["box"], app.query_params["ask"]) == ("1", "20,210")
    pick(app, len(result.predictions))
    assert missing.words in texts(app)


@pytest.mark.parametrize(("ask", "where"), [("20,210", (20, 210, 20, 210)), ("0,220,60,340", (0, 220, 60, 340))])
def test_an_address_asks_about_a_place(page, result, ask, where):
    app = page(SCREEN, **ADDRESS, ask=ask, **{"ask-for": "star"})
    assert not app.exception and not app.error
    missing = result.missing(where, "star")
    assert missing.words in texts(app)
    assert app.selectbox(key="missing-class").value == "star"
    np.testing.assert_allclose(shown(app).head["boxes"][-1]["xyxy"], missing.candidate.box, atol=1e-3)
    assert (app.query_params["ask"], app.query_params["ask-for"]) == (ask, "star")
    act(app, "choose", "scene 1")
    assert "ask" not in app.query_params


def test_a_box_in_the_address_is_looked_at_beside_what_it_asks(page):
    app = page(SCREEN, **ADDRESS, ask="20,210", box="2")
    assert "Evidence for **gear 2**: " in texts(app)
    assert "You looked up " in texts(app) and ": choose ? in the list." in texts(app)


@pytest.mark.parametrize("ask", ["x", "1,2,3", "-4,10", "9000,10", "50,50,10,10", ""])
def test_a_place_that_is_none_is_passed_over(page, ask):
    app = page(SCREEN, **ADDRESS, ask=ask, **{"ask-for": "unicorn"})
    assert not app.exception and not app.error
    assert "candidate" not in texts(app)
    assert "ask" not in app.query_params


@pytest.mark.parametrize(
    ("model", "picture", "label", "title", "found"),
    [
        ("demo-s", "scene 3", "star", "No star above", FOUND),
        real("yolo11n", "bus", "tie", "No tie above", "1 bus and 4 people"),
    ],
)
def test_a_filter_that_hides_every_box_says_so(page, model, picture, label, title, found):
    app = page(SCREEN, model=model, example=picture, only=label)
    assert app.markdown[0].value.startswith(f"## {title}")
    assert f"hides {found}." in texts(app)
    assert "No box has a high enough score" not in texts(app)


def test_a_marked_rectangle_is_measured_and_asks_only_when_told_to(page, result):
    app = page(SCREEN, **ADDRESS)
    where = (0.0, 220.0, 60.0, 340.0)
    region = {"picture": shown(app).head["picture"], "kind": "rectangle", "xyxy": where}
    app.session_state[VIEWER] = {"region": region}
    app.run()
    assert "In the marked area" in texts(app)
    assert result.missing(where).words not in texts(app)
    assert len(shown(app).maps) == len(result.heatmaps)
    app.session_state[VIEWER] = {"region": region, "question": {"picture": region["picture"], "xyxy": where}}
    app.run()
    assert result.missing(where).words in texts(app)
    assert app.query_params["ask"] == "0,220,60,340"


def test_a_box_whose_map_is_not_held_gets_one_when_it_is_chosen(page, scene):
    app = page(SCREEN, **ADDRESS, confidence="1", iou="95")
    result = Explainer("demo-s")(scene, per="detection", confidence=0.01, iou=0.95, top_k=detections.MAX_MAPS)
    assert len(result.predictions) > detections.MAX_MAPS + 3
    assert len(shown(app).maps) == detections.MAX_MAPS
    place = detections.MAX_MAPS + 2
    pick(app, place)
    wanted = result.with_targets(place).heatmaps[0]
    np.testing.assert_allclose(shown(app).maps[-1], wanted.content, atol=1e-3)
    # Its map, its row and its rectangle go by the same place, and its number stays.
    assert shown(app).head["boxes"][detections.MAX_MAPS]["tag"] == str(place + 1)
    assert app.query_params["box"] == str(place + 1)


def test_what_was_asked_of_one_model_is_not_asked_of_another(page):
    app = ask(page(SCREEN, **ADDRESS), 20, 210)
    assert "strongest candidate" in texts(app)
    app.session_state[VIEWER] = {}
    act(app, "choose", "scene 1")
    assert not app.exception
    assert "candidate" not in texts(app)


@pytest.mark.weights("yolo11n.pt")
def test_nothing_found_says_what_came_nearest(page):
    app = page(SCREEN, model="yolo11n", confidence="95")
    assert app.markdown[0].value.startswith(f"## No detections above {percent(0.95)}; the best candidate was bus")
    assert shown(app).maps == []
    ask(app, 400, 400)
    assert "because it is below 95" in texts(app)
    assert len(shown(app).maps) == 1


def test_the_weaker_boxes_are_named(page):
    low = page(SCREEN, **ADDRESS, confidence="10")
    count = len(shown(low).head["boxes"])
    low.slider(key="confidence").set_value(70).run()
    high = len(shown(low).head["boxes"])
    assert high < count
    assert f"{count - high} weaker boxes hidden" in texts(low)


@pytest.mark.parametrize("lens", ["all", "layers", "sizes"])
def test_every_lens_shows_its_maps(page, scene, result, lens):
    app = page(SCREEN, **ADDRESS, lens=lens, box="4")
    assert not app.exception and not app.error
    view = shown(app)
    if lens == "all":
        assert view.titles == [f"{i + 1}  {p.label}" for i, p in enumerate(result.predictions)]
    if lens == "layers":
        paths = [stage.path for stage in result.evidence.resident.adapter.stages(Explainer("demo-s").layers)]
        strip = Explainer("demo-s")(
            scene, per="detection", targets=(3,), layers=tuple(p for p in paths if p != "model.19")
        )
        for got, heatmap in zip(view.maps, strip.by_layer(0), strict=True):
            np.testing.assert_allclose(got, heatmap.content, atol=1e-3)
        assert "is clearest at neck " in app.markdown[0].value
    if lens == "sizes" and len(comparisons.sizes(catalog.spec("demo-s"))) > 1:
        assert view.titles[-1] == "Difference"
        assert "this rod-cross" in app.markdown[0].value


@pytest.mark.parametrize(
    ("per", "name", "within"),
    [
        ("detection", "Ball-dots 1 is", "its box"),
        ("class", "The 2 boxes of ball-dots are", "them"),
        ("picture", "The whole picture is", "the boxes"),
    ],
)
def test_layers_say_what_their_maps_are_of(page, per, name, within):
    app = page(SCREEN, **ADDRESS, lens="layers", per=per)
    assert not app.exception and not app.error
    assert app.markdown[0].value.startswith(f"## {name} clearest at neck ")
    assert app.markdown[0].value.endswith(f" inside {within}.")
    assert f"Maps of {name[0].lower()}{name[1:].rsplit(' ', 1)[0]} from the first layer" in texts(app)
    text = shown(app).head["panels"][0]["maps"][0]["text"]
    assert f"{name.rsplit(' ', 1)[0]}: " in text
    assert f"of the evidence in {within}." in text


def test_layers_of_a_candidate_that_is_not_shown_keep_its_question_mark(page, result):
    app = page(SCREEN, **ADDRESS, lens="layers", ask="20,210")
    label = result.missing((20, 210, 20, 210)).candidate.label
    assert app.markdown[0].value.startswith(f"## ? {label} is clearest at neck ")
    assert f"Maps of ? {label} from the first layer" in texts(app)


def offered(app) -> set[str]:
    """What there is to take along of a map, and the photos."""
    popovers = [block.proto.popover.label for block in app.get("popover")]
    every = [*popovers, *(button.label for button in app.button)]
    return {label for label in every if label in ("Photos", "All numbers", "Save", "Export")}


@pytest.mark.parametrize("lens", ["one", "all", "layers", "sizes"])
def test_what_can_be_taken_is_of_a_map_on_the_page(page, lens, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    app = page(SCREEN, **ADDRESS, lens=lens)
    of_a_map = {"All numbers", "Save", "Export"} if lens in ("one", "all") else set()
    assert offered(app) == of_a_map
    assert bool(metrics(app)) == bool(of_a_map)


def test_a_file_of_a_box_has_its_number_and_boxes_are_drawn_or_not(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    app = page(SCREEN, model="demo-s", example="scene 3", box="3")
    app.button(key="export-detect").click().run()
    assert not app.exception and not app.error
    files = {one.proto.label: one.proto.help for one in app.get("download_button")}
    assert files["SVG"].startswith("scene-3-3-ball-dots-")
    assert {"With boxes, .zip", "Without boxes, .zip"} <= set(files)
    next(one for one in app.button if one.label.startswith("Save on the server")).click().run()
    assert any(path.name.endswith("_detection.jpg") for path in tmp_path.iterdir())


def test_an_unfinished_map_is_not_taken_along(page, masks, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    app = page(SCREEN, **ADDRESS, method="drise")
    session(app, snapshots.Photos).to_save = session(app, ChosenBox).of[0]
    rerun_until(app, lambda: "This map is not finished" in texts(app))
    for kept in (False, True):
        assert not app.exception
        # Nothing opens an empty dialog.
        assert ("Photos" in offered(app)) == kept
        assert ("Save" in offered(app)) == ("Export" in offered(app)) == bool(snapshots.saved_photos(tmp_path)) == kept
        masks()
        rerun_until(app, lambda: shown(app).maps and "This map is not finished" not in texts(app))


def test_a_slow_method_is_made_for_one_box(page):
    app = page(SCREEN, **ADDRESS, method="gradcamelementwise", box="2")
    assert len(shown(app).head["boxes"]) == 4
    rerun_until(app, lambda: shown(app).maps)
    assert len(shown(app).maps) == 1
    assert "gear 2" in texts(app)


def test_a_slow_method_leaves_the_map_before_in_place_and_stop_goes_back_to_it(page, monkeypatch):
    # So many that it cannot be finished meanwhile.
    monkeypatch.setenv("SIGHTGLASS_MASKS", "40000")
    app = page(SCREEN, **ADDRESS, box="2")
    (quick,) = [shown(app).maps[1]]
    app.selectbox(key="method-detect").select("drise").run()
    assert app.markdown[0].value == "## D-RISE is running."
    view = shown(app)
    np.testing.assert_allclose(view.maps[0], quick, atol=1e-3)
    assert view.head["dimmed"]
    assert view.head["line"] == "Until then: the map by HiResCAM."
    session(app, Running).job.cancel.set()
    app.run()
    assert app.markdown[0].value == "## D-RISE was stopped."
    view = shown(app)
    np.testing.assert_allclose(view.maps[0], quick, atol=1e-3)
    assert not view.head["dimmed"]
    assert view.head["line"] == "This is still the map by HiResCAM."
    assert "Start again" in [button.label for button in app.button]


def test_a_late_request_does_not_ask_the_question_that_was_answered_before(page):
    app = page(model="demo-s", example="scene 3").switch_page("pages/detect.py").run()
    before = app._tree.get_widget_states()
    assert any("question-where" in state.id for state in before.widgets)
    app.session_state["more"] = True
    app.run()
    app.selectbox(key="part").set_value("left")
    app.session_state["more"] = False
    app.run()
    assert app.query_params["part"] == "left"
    # A browser sends what it still knows of the control that is gone, with any click.
    app._run(before)
    assert app.query_params["part"] == "left"


def test_no_question_is_marked_for_any_other_method_and_closing_more_early_loses_nothing(page):
    app = page(SCREEN, **ADDRESS, method="gradcam")
    assert app.segmented_control(key="question-own").value is None
    # No third answer, for which the buttons would need a second row.
    assert app.segmented_control(key="question-own").options == ["Where is it?", "Why this class?"]
    app.selectbox(key="method-detect").select("hirescam").run()
    assert app.segmented_control(key="question-where").value == "where"
    app.session_state["more"] = True
    app.run()
    # Both in one run: the part is chosen, and the popover is closed before that was drawn.
    app.session_state["more"] = False
    app.selectbox(key="part").select("left").run()
    assert app.query_params["part"] == "left"
    assert app.segmented_control(key="question-own").value is None
    app.run()
    assert app.query_params["part"] == "left"


def whole(app):
    """Once the map that is made aside is finished."""
    rerun_until(app, lambda: session(app, Running).job is None, 90)
    assert not app.exception and not app.error
    return app


def chosen(app) -> str:
    """The label of the row that is chosen."""
    data = received(app, "answer_list")[0]
    return str(data["rows"][data["chosen"]]["label"])


def test_a_missing_box_gets_its_map_by_a_slow_method(page, masks):
    scene = example("scene 1")
    result = Explainer("demo-s")(scene, maps=False, per="detection")
    missing = result.missing((60, 60, 60, 60))
    name = f"?  {missing.candidate.label}"
    app = page(SCREEN, model="demo-s", method="drise", example="scene 1")
    assert not shown(app).maps
    # While the map of the first box is in the making: what is asked now is made instead of it.
    ask(app, 60, 60)
    app.session_state[VIEWER] = {}
    assert missing.words in texts(app)
    assert "Stop" in [button.label for button in app.button]
    assert (chosen(app), app.query_params["ask"]) == (name, "60,60")
    masks()
    whole(app)
    assert (chosen(app), app.query_params["ask"]) == (name, "60,60")
    assert "box" not in app.query_params
    assert missing.words in texts(app)
    pair = detections.pair_of(missing.candidate)
    wanted = Explainer("demo-s")(scene, method="drise", per="detection", targets=(pair,))
    (made,) = shown(app).maps
    np.testing.assert_allclose(made, wanted.heatmaps[0].content, atol=1e-3)
    assert metrics(app)["Evidence inside its box"][0] == wanted.box_numbers(0).printed_inside
    dashed = [box for box in shown(app).head["boxes"] if box.get("dashed")]
    np.testing.assert_allclose([box["xyxy"] for box in dashed], [missing.candidate.box], atol=1e-3)
    # Of another box it stays in the list, before that one has its map and after.
    pick(app, 1)
    for _ in range(2):
        assert chosen(app).startswith("1  ")
        assert "You looked up " in texts(app) and ": choose ? in the list." in texts(app)
        assert (app.query_params["box"], app.query_params["ask"]) == ("1", "60,60")
        whole(app)
    next(button for button in app.button if button.label == "Back to the boxes").click().run()
    whole(app)
    assert len(shown(app).head["boxes"]) == len(result.predictions)
    assert "ask" not in app.query_params


def test_an_address_asks_a_slow_method_about_a_place(page):
    scene = example("scene 1")
    missing = Explainer("demo-s")(scene, maps=False, per="detection").missing((60, 60, 60, 60))
    app = whole(page(SCREEN, model="demo-s", method="gradcamelementwise", example="scene 1", ask="60,60"))
    assert chosen(app) == f"?  {missing.candidate.label}"
    assert missing.words in texts(app)
    assert shown(app).titles == [f"?  {missing.candidate.label}"]
    assert app.query_params["ask"] == "60,60"


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A machine just after the installation: no weights but those in packages, and no network."""
    monkeypatch.delenv("SIGHTGLASS_WEIGHTS", raising=False)
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    for cache in ("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(cache, str(tmp_path))
    model_picker.forget_menu()
    # Earlier tests loaded models whose files are not here now.
    RESIDENCY.free()
    yield
    model_picker.forget_menu()


def chosen_model(app) -> tuple[str, str]:
    """The model and the picture that the page explains."""
    choices = session(app, Sidebar).choices
    return choices.model.id, choices.image.name


@pytest.mark.usefixtures("fresh")
def test_a_fresh_machine_opens_on_a_drawn_scene_and_leaves_the_other_pages_alone(page):
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert chosen_model(app) == ("demo-s", "scene 3.png")
    assert "Demo-s knows drawn scenes only, so this page shows one. bus.jpg stays chosen" in texts(app)
    assert f"put yolo11n.pt (about 5.3{NBSP}MB, licence AGPL-3.0) into a folder" in texts(app)
    assert app.markdown[0].value.startswith(f"## Demo-s found {FOUND}.")
    assert len(shown(app).maps) > 1
    # A drawn scene that is chosen is the one that is shown.
    act(app, "choose", "scene 1")
    assert chosen_model(app) == ("demo-s", "scene 1.png")
    assert "so this page shows one" not in texts(app)
    act(app, "choose", "bus")
    app.switch_page("pages/explore.py").run()
    assert chosen_model(app) == ("efficientnet-lite0", "bus.jpg")
    app.switch_page(SCREEN).run()
    assert chosen_model(app)[0] == "demo-s"


@pytest.mark.usefixtures("fresh")
def test_an_own_photo_is_told_from_the_scenes_that_a_demo_model_knows(page):
    app = page(SCREEN)
    own = Image(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8), "mine.png")
    session(app, Pictures).own[own.sha256] = own
    session(app, Pictures).chosen = own.sha256
    app.run()
    assert chosen_model(app) == ("demo-s", "mine.png")
    knows = "## Demo-s knows drawn scenes only: "
    assert app.markdown[0].value.startswith(f"{knows}on a photograph its answers mean nothing. Demo-s found ")
    app.slider(key="confidence").set_value(95).run()
    assert app.markdown[0].value == f"{knows}no detections above {percent(0.95)}."
    assert not any("candidate" in element.value for element in app.markdown)
    next(button for button in app.button if button.label == "Try it on a drawn scene").click().run()
    assert chosen_model(app) == ("demo-s", "scene 3.png")


@pytest.mark.weights("yolo11n.pt")
def test_with_a_network_a_detector_of_photographs_is_one_click_away(page, fresh, monkeypatch, tmp_path):
    file = weight("yolo11n.pt")
    said = []

    def download(url, to, *, progress=None, **_):
        said.append(url)
        progress(1, 2)
        to.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(file, to))

    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    monkeypatch.setattr(weights, "download", download)
    app = page(SCREEN)
    offer = next(button for button in app.button if "YOLO11n" in button.label)
    assert offer.label == f"Download YOLO11n (about 5.3{NBSP}MB)"
    assert not said
    offer.click().run()
    assert not app.exception and not app.error
    assert [url.rsplit("/", 1)[1] for url in said] == ["yolo11n.pt"]
    assert chosen_model(app) == ("yolo11n", "bus.jpg")
    assert "1 bus and 4 people" in app.markdown[0].value
    assert "knows drawn scenes only" not in texts(app)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("screen", "own", "family"), [(None, "", "ResNet"), (SCREEN, "-detect", "YOLO11")])
def test_a_model_that_cannot_be_loaded_leaves_the_one_before_and_a_way_to_try_again(page, screen, own, family):
    app = page(screen)
    before = chosen_model(app)
    app.selectbox(key=f"family{own}").select(family).run()
    assert not app.exception
    assert not app.sidebar.error, "it belongs where the result would be"
    drawn = [node.proto.component_name if node.type == "bidi_component" else node.type for node in app.main]
    viewer = next(place for place, name in enumerate(drawn) if name.endswith("viewer"))
    assert drawn.index("error") < viewer, "it is below the fold"
    assert "SIGHTGLASS_OFFLINE forbids to download it" in app.error[0].value
    assert app.error[0].value.endswith(f"{catalog.spec(before[0]).name} is used instead.")
    assert chosen_model(app) == before
    assert app.selectbox(key=f"family{own}").value == catalog.spec(before[0]).family
    assert shown(app).maps
    next(button for button in app.button if button.label == "Try again").click().run()
    assert "forbids" in app.error[0].value
    if screen is None:
        app.selectbox(key="family").select("Demo detector").run()
        assert not app.error, "it is still said after another model was chosen"


@pytest.mark.weights("yolo11n.pt")
def test_the_page_keeps_a_detector_of_its_own(page):
    app = page(SCREEN)
    assert chosen_model(app)[0] == "yolo11n"
    app.selectbox(key="family-detect").select("Demo detector").run()
    assert chosen_model(app)[0] == "demo-s"
    app.switch_page("pages/explore.py").run()
    assert chosen_model(app)[0] == "efficientnet-lite0"
    app.switch_page(SCREEN).run()
    assert chosen_model(app)[0] == "demo-s"
    families = app.selectbox(key="family-detect").options
    assert not [name for name in families if name.startswith(("EfficientNet", "timm"))]


def test_the_best_detector_knows_photographs():
    assert catalog.detector({"demo-s", "yolox_nano", "yolo11n-pose"}) == "yolox_nano"
    assert catalog.detector({"demo-s", "yolo11n-pose"}) == "yolo11n-pose"
    assert catalog.detector({"demo-s", "yolo26n", "yolo11s"}) == "yolo11s"
    assert catalog.detector({"demo-s"}) == "demo-s"
    assert catalog.detector(set()) == "yolo11n"


# ---- helpers without a page


def box(label: str, anchor: int, score: float = 0.5) -> Prediction:
    return Prediction(label, 0 if label == "bus" else 1, score, (0, 0, 10, 10), anchor)


def test_the_chosen_box_is_found_in_any_list():
    listed = [detections._item(box("bus", 5), "1"), detections._item(box("person", 7), "2")]
    assert detections.locate_box(listed, (7, 1)) == 1
    assert detections.locate_box(listed, (9, 1)) == 1
    assert detections.locate_box(listed, None) == 0
    assert [item.name for item in listed] == ["bus 1", "person 2"]


def test_a_kept_photo_never_overwrites_another(tmp_path):
    now = datetime(2026, 11, 20, 14, 28, 56)
    names = [snapshots.keep(bytes([i]), tmp_path / "new", now).name for i in range(3)]
    assert names == [f"heatmap_20261120_142856{end}.jpg" for end in ("", "_2", "_3")]
    assert [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())] == [b"\0", b"\1", b"\2"]
    (tmp_path / "new" / "secret.jpg").write_bytes(b"")
    snapshots.keep(b"", tmp_path / "new", datetime(2025, 1, 1))
    kept = [path.name for path in snapshots.saved_photos(tmp_path / "new")]
    assert kept == [*reversed(names), "heatmap_20250101_000000.jpg"]
    assert snapshots.saved_photos(tmp_path / "none") == []


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        snapshots.keep(b"", tmp_path / "file", datetime(2026, 1, 1))


def test_a_layer_is_taken_and_let_go_in_the_order_of_the_model():
    order = [f"model.{i}" for i in range(12)]
    assert layer_picker.toggle(["model.9"], "model.2", order) == ["model.2", "model.9"]
    assert layer_picker.toggle(["model.2", "model.9"], "model.2", order) == ["model.9"]
    full = order[: layer_picker.MAX_LAYERS]
    assert layer_picker.toggle(full, "model.11", order) == full


def test_the_drawing_joins_what_reads_and_what_is_read():
    steps = (
        ModelStage("a", "Conv", (8, 40, 40), 16.0, (), "backbone"),
        ModelStage("b", "Conv", (8, 20, 20), 32.0, ("a",), "neck"),
        ModelStage("c", "Detect", None, None, ("a", "b"), "head"),
    )
    figure = layer_picker.diagram(steps, ["b"])
    edges = figure.data[0]
    assert [x for x in edges.x if x is not None] == [0, 1, 0, 2, 1, 2]
    marks = {trace.name: trace for trace in figure.data[1:]}
    assert list(marks) == ["backbone", "neck", "head"]
    assert marks["neck"].marker.symbol == ("diamond",)
    assert marks["backbone"].marker.symbol == ("circle-open",)
    assert list(marks["head"].customdata) == [""]


def test_layers_are_named_by_what_tells_them_apart():
    assert comparisons.tails(["model.0", "model.1", "model.22"]) == ["0", "1", "22"]
    paths = ["backbone.backbone.dark2", "backbone.C3_p4", "head.stems.0", "head.stems.1", "head.reg_convs.0"]
    assert comparisons.tails(paths) == ["dark2", "C3_p4", "stems.0", "stems.1", "reg_convs.0"]
    assert comparisons.tails(["features.0", "features.16", "fpn"]) == ["features.0", "features.16", "fpn"]
    assert comparisons.tails(["a.x", "b.x", "x"]) == ["a.x", "b.x", "x"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("yolo11n", "yolo26n"), ("11n", "26n")),
        (("yolo11n", "yolo12n"), ("11n", "12n")),
        (("yolo11n", "yolo11n-seg"), ("11n", "11n-seg")),
        (("yolov8s-world", "yolov8s-worldv2"), ("world", "worldv2")),
        (("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn"), ("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn")),
        (("n", "x"), ("n", "x")),
    ],
)
def test_two_models_are_named_by_what_tells_them_apart(names, short):
    assert comparisons.apart(*names) == short


def test_sizes_are_of_one_family(monkeypatch):
    here = {"yolo11n", "yolo26n", "yolo11n-seg", "yolo11s", "demo-s", "demo-m", "demo-l"}
    monkeypatch.setattr(model_picker, "menu", lambda: ([*catalog.families()], here))
    found = {name: [spec.id for spec in comparisons.sizes(catalog.spec(name))] for name in sorted(here)}
    assert found["yolo11n"] == found["yolo11s"] == ["yolo11n", "yolo11s"]
    assert found["yolo26n"] == ["yolo26n"]
    assert found["demo-m"] == ["demo-s", "demo-m", "demo-l"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (("yolo11n", "yolo11s"), ("nano", "small")),
        (("yolo11n", "yolo26n"), ("YOLO11n", "YOLO26n")),
        (("resnet18", "resnet50"), ("ResNet18", "ResNet50")),
        (("yolox_nano",), ("YOLOX nano",)),
    ],
)
def test_models_are_named_by_size_where_they_are_sizes(ids, words):
    assert model_picker.short_names([catalog.spec(name) for name in ids]) == words
    assert model_picker.add_title("small and medium say cat") == "Small and medium say cat"
    assert model_picker.add_title("yolo11n") == "yolo11n"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([True, True, True], "All find this bus."),
        ([True, True], "Both find this bus."),
        ([True, False], "s finds this bus; m does not."),
        ([False, False], "None of them finds this bus."),
    ],
)
def test_the_verdict_says_who_finds_the_object(found, words):
    assert comparisons.verdict(found, ["s", "m", "l"][: len(found)], "bus") == words
