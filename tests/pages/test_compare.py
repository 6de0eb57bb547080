"""Compare and Top-k: each map is its model's own, and the verdict is made of the numbers."""

import json
import re
import threading

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.comparison import models, times
from sightglass.explain.comparison.times import NOT_MEASURABLE, Timing
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.trust.diagnosis import agreement_sentence
from sightglass.models.checkpoints import weights
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.visitor import Visitor
from sightglass.ui.views import pairs, panels
from tests.pages.conftest import parameter, press, received, rerun_until, session, shown, texts

SIZES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
LEAF = """
[model.leaf]
loader = "torchvision.classifiers"
arch = "mobilenet_v3_small"
weights = { random = 1, labels = ["blight", "healthy", "rust", "mosaic", "spot"] }
"""


TITLES = ["EfficientNet-Lite0", "EfficientNet-Lite1", "EfficientNet-Lite2"]


def costs(app: AppTest) -> dict[str, list[str]]:
    """The rows of what models cost, below the numbers of their maps."""
    return received(app, "instruments")[0]["more"]


def rows(app: AppTest, place: int) -> dict[str, str]:
    """What is known of a panel besides its map's numbers."""
    return {name: text for name, text, _ in shown(app).head["panels"][place]["facts"]}


def test_family_sizes_are_side_by_side_with_their_numbers(page, bus):
    app = page("compare", example="bus", target="own")
    results = [Explainer(name)(bus) for name in SIZES]
    own = [result.predictions[0] for result in results]
    view = shown(app)
    assert view.titles == TITLES
    assert view.head["spread"] and view.head["keys"] == ["s", "m", "l"]
    for i, result in enumerate(results):
        np.testing.assert_allclose(view.maps[i], result.heatmaps[0].content, atol=1 / 65535)
        assert view.head["panels"][i]["maps"][0]["note"] == f"{own[i].label}, {percent(own[i].score)}"
        # It stands on the map.
        assert "Answer" not in rows(app, i)
        size, parameters = weights.locate(result.model).stat().st_size / 1e6, result.evidence.loaded.parameters / 1e6
        assert costs(app)["Size"][i] == f"{size:.{size < 9.95:d}f}{NBSP}MB"
        assert costs(app)["Parameters"][i] == f"{parameters:.1f}{NBSP}M"
    # Only maps of one class are compared: the last is of another.
    assert [result.predictions[0].label for result in results] == ["minibus", "minibus", "trolleybus"]
    assert [rows(app, i)["Overlap with Lite0"] == "–" for i in range(3)] == [True, False, True]
    assert "Maps of different answers are not compared: minibus and trolleybus." in texts(app)
    # No size is marked as the chosen one: all are compared.
    assert not any(group.key.startswith("size-") for group in app.button_group if group.key)
    assert [link.proto.label for link in app.get("page_link")][-1:] == ["Labelled pictures"]


def test_table_has_the_overlap_of_each_two_maps(page, bus):
    app = page("compare", example="bus")
    results = tuple(Explainer(name)(bus) for name in SIZES)
    compared = models.Comparison(results, tuple(TITLES)).aligned()
    for i in (1, 2):
        agreement = compared.agreement(0, i)
        assert rows(app, i)["Overlap with Lite0"] == percent(agreement.iou_top20)
        assert rows(app, i)["Rank correlation"] == f"{agreement.rank_correlation:.2f}"
        assert rows(app, i)["Answer"].startswith(results[i].predictions[0].label)
    overlap = percent(compared.agreement(1, 2).iou_top20)
    assert rows(app, 1)["Overlap with Lite2"] == rows(app, 2)["Overlap with Lite1"] == overlap
    assert received(app, "instruments")[0]["names"] == ["Lite0", "Lite1", "Lite2"]
    # Two have one overlap, in the second's column.
    assert "Overlap with Lite1" not in rows(page("compare", example="bus", models=f"{SIZES[0]},{SIZES[1]}"), 0)


def test_model_without_a_map_keeps_its_column(page):
    app = page("compare", example="bus", models=f"demo-cls-s,{SIZES[0]},{SIZES[1]}")
    assert [len(panel["maps"]) for panel in shown(app).head["panels"]] == [0, 1, 1]
    assert received(app, "instruments")[0]["numbers"][0] == "No map: minibus is none of its answers."
    assert [costs(app)["Parameters"][i] for i in (0, 1)] == [f"67.0{NBSP}k", f"4.7{NBSP}M"]
    assert rows(app, 0)["Answer"].startswith("plate-square")


@pytest.mark.parametrize(
    ("size", "count", "beside", "columns"),
    [
        ((810, 1080), 3, True, None),
        ((640, 427), 3, False, None),
        ((640, 427), 4, True, 2),
        ((810, 1080), 1, False, None),
    ],
)
def test_instruments_stand_where_the_maps_leave_room(size, count, beside, columns):
    arrangement = panels.arrange(Image(np.zeros((*size[::-1], 3), np.uint8), "picture"), count, highest=466)
    assert (arrangement.widths is not None, arrangement.columns) == (beside, columns)


def test_one_large_picture_beside_the_models_to_choose_from(page, bus):
    app = page("compare", example="bus", target="own", arrangement="large")
    assert shown(app).titles == [*TITLES, "Difference"]
    assert shown(app).head["panels"][3]["maps"][0]["sides"] == TITLES[:2]
    app = page("compare", example="bus", arrangement="large")
    assert app.markdown[0].value.endswith("EfficientNet-Lite2 says trolleybus: the maps are of minibus.")
    listed_rows = received(app, "answer_list")[0]["rows"]
    assert (shown(app).head["keys"], shown(app).titles) == (["s", "m", "l", ""], [*TITLES, "Difference"])
    assert [row["label"] for row in listed_rows] == [*TITLES, "Difference"]
    assert received(app, "answer_list")[0]["keys"] == ["s", "m", "l", ""]
    for i, name in enumerate(SIZES):
        expected = Explainer(name)(bus, targets=["minibus"])
        np.testing.assert_allclose(shown(app).maps[i], expected.heatmaps[0].content, atol=1 / 65535)
        score = {p.label: p.score for p in Explainer(name)(bus, top_k=1000, maps=False).predictions}["minibus"]
        assert listed_rows[i]["text"] == f"minibus, {percent(score)}"
        assert listed_rows[i]["share"] == pytest.approx(score)
    assert re.search(
        r"The maps of [\w, -]+ highlight |Overlap of the strongest evidence: EfficientNet-Lite0 and ", texts(app)
    )


def test_the_picture_in_sight_is_in_the_address(page):
    app = page("compare", example="bus", arrangement="large", shown="3")
    assert received(app, "answer_list")[0]["chosen"] == 2 and parameter(app, "shown") == "3"
    (key,) = (key for key in app.main.root.session_state.filtered_state if key.startswith("compared-"))
    app.session_state[key] = {"chosen": 0}
    assert "shown" not in app.run().query_params


def test_models_stand_in_order_of_size(page):
    app = page("compare", models=f"{SIZES[2]},{SIZES[0]}")
    assert shown(app).titles == [TITLES[0], TITLES[2]]
    # No size between is compared, or a model of another family: there are letters for what is small and large.
    app = page("compare", models=f"{SIZES[0]},{SIZES[2]}", arrangement="large")
    assert shown(app).head["keys"] == ["s", "l", ""]
    assert shown(page("compare", models="demo-cls-s,demo-vit", arrangement="large")).head["keys"] == ["", "", ""]
    app.multiselect(key="models").set_value([SIZES[0]]).run()
    assert "two models" in texts(app)


@pytest.mark.parametrize("steady", [True, False])
def test_times_come_by_themselves_and_name_a_busy_machine(page, monkeypatch, steady):
    timings = (Timing(20.0, 19.0, 22.0), Timing(30.0, 29.0 if steady else 10.0, 99.0))
    given = threading.Event()

    def measure(evidences, progress):
        given.wait()
        return timings[: len(evidences)]

    monkeypatch.setattr(times, "measure_in_turns", measure)
    app = page("compare", models=f"{SIZES[0]},{SIZES[2]}")
    before = shown(app).head["id"]
    assert costs(app)["Time"] == ["timing…"] * 2
    given.set()
    told = [timing.text if steady else NOT_MEASURABLE for timing in timings]
    rerun_until(app, lambda: costs(app)["Time"] == told)
    # The maps stay: nothing but the numbers came anew.
    assert shown(app).head["id"] == before
    given.clear()
    press(app, "Measure again")
    assert costs(app)["Time"] == ["timing…"] * 2
    given.set()


def test_models_that_cannot_be_timed_say_why(page, monkeypatch):
    def fail(evidences, progress):
        raise Problem("The model's process has ended.")

    monkeypatch.setattr(times, "measure_in_turns", fail)
    app = page("compare", models=f"{SIZES[0]},{SIZES[2]}")
    rerun_until(app, lambda: costs(app)["Time"] == ["cannot be measured"] * 2)
    assert "The models cannot be timed: The model's process has ended." in texts(app)


def test_chart_of_times_chooses_a_model(page, monkeypatch):
    timings = (Timing(20.0, 19.0, 22.0), Timing(30.0, 29.0, 31.0))
    monkeypatch.setattr(times, "measure_in_turns", lambda evidences, progress: timings)
    state = {"compare-chart-open": True}
    app = page("compare", models=f"{SIZES[0]},{SIZES[2]}", state=state)
    rerun_until(app, lambda: costs(app)["Time"][0] == timings[0].text)
    (chart,) = app.get("plotly_chart")
    (points,) = json.loads(chart.proto.spec)["data"]
    assert points["y"] == [20.0, 30.0]


def test_an_object_is_found_in_every_detector_or_missed(page):
    found = page("compare", model="demo-s", example="scene 3", models="demo-s,demo-m", target="1")
    assert shown(found).titles == ["Demo-s", "Demo-m"]
    missed = page("compare", model="demo-s", example="scene 3", models="demo-s,demo-m", target="3")
    notes = [panel["maps"][0]["note"] for panel in shown(missed).head["panels"]]
    assert len(notes) == 2 and notes[1].startswith("misses it: rod-cross")
    # Where the other model finds it, dashed; and in its row.
    (dashed,) = shown(missed).head["panels"][1]["boxes"]
    there = Explainer("demo-s")(image_source.load_bundled("scene 3")).predictions[3]
    assert (dashed["label"], dashed["xyxy"]) == ("rod-cross missed", pytest.approx(there.box))
    # Also while the map is of another object, which both find.
    assert [box["marks"][0].get("hollow", False) for box in shown(found).head["panels"][1]["boxes"]] == [False, True]
    (objects,) = missed.radio
    assert objects.options[3] == "rod-cross 26\u00a0% / –, Demo-m misses it" and objects.value == "3"
    assert "Not all maps are of the same rod-cross, so not all are compared." in texts(missed)


def test_slow_or_unsupported_method_is_replaced(page):
    assert "ScoreCAM is slow: this page uses GradCAM instead." in texts(page("compare", method="scorecam"))
    app = page("compare", model="demo-vit", method="attention", models="demo-vit,demo-cls-s", target="own")
    assert f"demo-cls-s cannot use {METHODS['attention'].name}: this page uses GradCAM instead." in texts(app)


def test_own_models_without_common_class(page, own_models, bus):
    own_models(LEAF)
    app = page("compare", example="bus", model="leaf")
    beside = app.multiselect(key="models").value
    assert beside[0] == "leaf" and len(beside) == 2
    names = ("leaf", SIZES[0])
    app = page("compare", example="bus", models=",".join(names))
    for values, name in zip(shown(app).maps, names, strict=False):
        np.testing.assert_allclose(values, Explainer(name)(bus).heatmaps[0].content, atol=1 / 65535)
    assert texts(app).count("have no class or object in common: each map is of its model's own first answer.") == 1


def test_two_versions_of_a_long_name_stay_apart(page, own_models):
    ids = [f"greenhouse-leaf-classifier-{version}" for version in ("old", "new")]
    own_models("".join(LEAF.replace("model.leaf", f"model.{id_}") for id_ in ids))
    app = page("compare", models=",".join(ids), arrangement="large")
    short = ["greenhouse-le…sifier-old", "greenhouse-le…sifier-new"]
    assert (
        [row["label"] for row in received(app, "answer_list")[0]["rows"]] == shown(app).titles == [*short, "Difference"]
    )
    assert shown(app).head["panels"][2]["maps"][0]["sides"] == short


def test_topk_maps_on_shared_scale(page, bus):
    app = page("topk", example="bus")
    assert [round(float(array.max()), 3) for array in shown(app).maps] == [1.0] * 4 and shown(app).head["together"]
    app.segmented_control(key="k").select(5).run()
    # What the browser makes of it on the shared scale is what the engine makes of it.
    view = shown(app)
    raws = [panel["maps"][0]["raw"] for panel in view.head["panels"]]
    low, high = min(map(min, raws)), max(map(max, raws))
    for values, heatmap, raw in zip(view.maps, Explainer()(bus, top_k=5, scale="shared").heatmaps, raws, strict=True):
        scaled = (raw[0] - low + values * (raw[1] - raw[0])) / (high - low)
        np.testing.assert_allclose(scaled, heatmap.content, atol=2e-5)
    assert app.query_params["k"] == "5"


def test_topk_link_with_averaged_layers(page, bus):
    view = shown(page("topk", example="bus", layers="blocks.4,bn2", k="3"))
    result = Explainer()(bus, top_k=3, scale="shared", layers=("blocks.4", "bn2"))
    assert not any(panel["maps"][0]["raw"] for panel in view.head["panels"])
    for values, heatmap in zip(view.shared, result.heatmaps, strict=True):
        np.testing.assert_allclose(values, heatmap.content, atol=2e-5)


def test_topk_difference_of_two_classes(page, bus):
    result = Explainer()(bus, top_k=4)
    labels = [heatmap.target.label for heatmap in result.heatmaps]
    app = page("topk", example="bus")
    assert app.markdown[0].value.endswith(agreement_sentence(result))
    app.button_group(key=f"ticked-{labels}").set_value([labels.index("minibus"), labels.index("police van")]).run()
    assert app.markdown[0].value == "## What speaks for minibus and not for police van"
    agreement = agreement_sentence(result, (labels.index("minibus"), labels.index("police van")))
    assert agreement in [caption.value for caption in app.caption]
    assert page("topk", example="bus", ticked=parameter(app, "ticked")).markdown[0].value == app.markdown[0].value
    last = shown(app).head["panels"][-1]["maps"][0]
    assert (last["kind"], last["sides"]) == ("difference", ["minibus", "police van"])
    difference = shown(app).maps[-1] * 2 - 1
    assert difference.min() < -0.1 and difference.max() > 0.1


def test_topk_maps_stand_with_their_numbers(page, bus):
    app = page("topk", example="bus")
    result = Explainer()(bus, top_k=4)
    for i in range(4):
        expected = "–" if not i else percent(result.agreement(0, i).iou_top20)
        assert rows(app, i)["Overlap with minibus"] == expected
        assert received(app, "instruments")[0]["numbers"][i]["half"] == percent(result.statistics[i].half_heat_area)
    assert "Overlap with trolleybus" not in rows(app, 0)
    # A portrait's in one row, others in two; a tenth of a window of 1440 by 900 is 360 by 360.
    assert shown(app).head["columns"] is None
    head = shown(page("topk", example="china")).head
    (width, height), most = head["size"], head["height"]
    assert head["columns"] == 2 and most * most * width / height >= 360 * 360


def test_topk_offers_answers_below_a_hundredth(page):
    result = Explainer()(image_source.example("cameraman"), top_k=4)
    assert [prediction.score < 0.01 for prediction in result.predictions] == [False, True, True, True]
    app = page("topk", example="cameraman")
    assert shown(app).titles == ["tripod"]
    assert app.markdown[0].value == f"## Tripod 98{NBSP}%; every other answer is below 1{NBSP}%."
    (more,) = app.toggle
    assert more.label == f"3 more below 1{NBSP}%"
    more.set_value(True).run()
    assert shown(app).titles == [prediction.label for prediction in result.predictions]
    assert shown(page("topk", example="cameraman", unlikely="1")).titles == shown(app).titles
    # Where answers compete, it is not offered; such a picture is among the first.
    assert not page("topk", example="bus").toggle
    assert "bus" in list(image_source.EXAMPLES)[:3]


def listed(app: AppTest) -> list[tuple[str, str]]:
    return [(row["label"], row["text"]) for row in received(app, "answer_list")[0]["rows"]]


def names(app: AppTest) -> list[str]:
    return [head["panels"][0]["title"] for head in received(app, "viewer")]


def test_picture_is_compared_with_examples(page) -> None:
    app = page("compare", example="bus", tab="pictures")
    explainer, bus = Explainer("efficientnet-lite0"), image_source.example("bus")
    expected = similarity(explainer, bus, pairs.mirrored_part(bus))
    assert names(app) == ["bus.jpg", "bus, part.jpg"]
    assert listed(app)[0] == ("bus, part.jpg", f"{expected.score:.2f}")
    assert app.markdown[0].value == f"## bus.jpg and bus, part.jpg: similarity {expected.score:.2f}"
    assert any("HiResCAM at bn2" in caption.help for caption in app.caption)
    app.button(key="save-similarity").click().run()
    offered = {element.proto.label for element in app.get("download_button")}
    assert not app.error and {"Ranking, .csv", "All files, .zip"} <= offered


def test_another_of_the_list_and_another_view(page) -> None:
    app = page("compare", example="bus", tab="pictures")
    app.session_state[received(app, "answer_list")[0]["name"]] = {"chosen": 1}
    app.run()
    assert names(app)[1] == listed(app)[1][0]
    again = page("compare", example="bus", tab="pictures", **{"with": parameter(app, "with")})
    assert names(again) == names(app) and again.button(key="copy-link")
    next(box for box in app.selectbox if box.label == "Method").set_value("gradcam").run()
    assert any("GradCAM at bn2" in caption.help for caption in app.caption)


def test_uploaded_gallery_is_ranked_and_deleted(page, pictures: list) -> None:
    app = page("compare", example="bus", tab="pictures")
    files = [(path.name, path.read_bytes(), "image/jpeg") for path in pictures[1:3]]
    uploader = app.file_uploader(key="gallery-files-0")
    uploader.upload(*files[0])
    uploader.upload(*files[1])
    uploader.upload("broken.jpg", b"no picture", "image/jpeg").run()
    assert not app.error
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    assert any("broken.jpg" in w.value for w in app.warning)
    # Another tab drops the uploader, not what was given; to delete it is an act of its own.
    for tab in ("models", "pictures"):
        app.segmented_control(key="compare-tab").set_value(tab).run()
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    press(app, "Delete 3 pictures")
    assert "bus, part.jpg" in {name for name, _ in listed(app)}


def test_two_pictures_given_in_the_bar_are_compared(page, pictures: list) -> None:
    app = page("compare", example="bus", tab="pictures")
    images = [Image.open(path) for path in pictures[1:3]]
    for image in images:
        image_source.UPLOADS.put(session(app, Visitor).owner, image)
        session(app, image_source.Pictures).chosen = image_source.token(image)
        app.run()
        assert not app.error
    assert names(app) == [images[1].name, images[0].name]
    # A link has both for as long as they are kept; then it asks for them.
    viewers = [viewer.head for viewer in (shown(app, 0), shown(app, 1))]
    assert {(v["private"], v["keeps"], *v["lacks"]) for v in viewers} == {(images[1].name, 3600)}
    friend = page("compare", **{name: parameter(app, name) for name in app.query_params})
    assert names(friend) == names(app)
    other = page("compare", example="bus", tab="pictures", lacks=parameter(app, "lacks"), other="0" * 20)
    assert f"also about {images[0].name}, which is not in it" in other.markdown[0].value
    assert not received(other, "viewer") and names(press(other, "Compare with others"))[0] == "bus.jpg"
    assert [name for name, _ in listed(app)] == [images[0].name]
