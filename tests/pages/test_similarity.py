"""Similarity: what is shown is what the engine says of the same two pictures."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.components.choices import gallery_picker
from sightglass.components.session import state
from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.ranking import context
from sightglass.explain.similarity.similarity import similarity
from tests.pages.conftest import press, received, texts

SCREEN = "pages/similarity.py"


def listed(app: AppTest) -> list[tuple[str, str]]:
    return [(row["label"], row["text"]) for row in received(app, "answer_list")[0]["rows"]]


def test_the_picture_is_compared_with_examples_and_the_best_is_shown(page) -> None:
    app = page(SCREEN)
    explainer = Explainer("efficientnet-lite0")
    bus = image_source.example("bus")
    part = gallery_picker._part(bus, gallery_picker.CLOSE["bus"])
    expected = similarity(explainer, bus, part)
    head = received(app, "pairs")[0]
    assert [side["name"] for side in head["sides"]] == ["bus.jpg", "bus, part.jpg"]
    assert head["pairs"][0][2] == pytest.approx(expected.matches.pairs[0].score, abs=1e-5)
    assert listed(app)[0] == ("bus, part.jpg", f"{expected.score:.2f}")
    held = context(explainer, bus)
    assert app.markdown[0].value == f"## bus.jpg and bus, part.jpg: {expected.score:.2f}, clearly related"
    assert held.verdict(expected.score) == "clearly related"
    assert held.words in texts(app)
    assert "HiResCAM at bn2" in texts(app)


def test_another_of_the_list_and_another_question(page) -> None:
    app = page(SCREEN)
    name = received(app, "answer_list")[0]["name"]
    app.session_state[name] = {"chosen": 1}
    app.run()
    assert received(app, "pairs")[0]["sides"][1]["name"] == listed(app)[1][0]
    app.segmented_control(key="of").set_value("product").run()
    assert not app.error
    assert "What the score is made of" in texts(app)
    assert "product" in app.query_params["of"]


def test_the_pair_and_its_ranking_can_be_exported(page) -> None:
    app = page(SCREEN)
    app.button(key="export-similarity").click().run()
    assert not app.error
    labels = {one.proto.label for one in app.get("download_button")}
    assert {"Maps, .jpg", "Best matches, .jpg", "All numbers, .json", "Ranking, .csv", "All files, .zip"} <= labels


def test_the_gallery_that_was_uploaded_is_ranked_and_a_broken_file_is_told_of(page, pictures: list) -> None:
    app = page(SCREEN)
    app.segmented_control(key="gallery-way").set_value("upload").run()
    files = [(path.name, path.read_bytes(), "image/jpeg") for path in pictures[1:3]]
    uploader = app.file_uploader(key="gallery-files-0")
    uploader.upload(*files[0])
    uploader.upload(*files[1])
    uploader.upload("broken.jpg", b"no picture", "image/jpeg").run()
    app.run()
    assert not app.error
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    assert "until you give a picture" not in texts(app)
    assert any("broken.jpg" in w.value for w in app.warning)
    # Another page drops the uploader, not what was given; to delete it is an act of its own.
    app.switch_page("pages/explore/page.py").run()
    app.switch_page(SCREEN).run()
    assert {name for name, _ in listed(app)} == {path.name for path in pictures[1:3]}
    press(app, "Delete 3 uploads")
    assert "until you give a picture" in texts(app)


def test_two_pictures_given_in_the_bar_are_compared_and_a_later_choice_stays(page, pictures: list) -> None:
    app = page(SCREEN)
    images = [Image.open(path) for path in pictures[1:3]]

    def give(image: Image) -> None:
        own = app.session_state[state.key(image_source.Pictures)]
        own.own[image.sha256], own.chosen = image, image.sha256
        app.run()
        assert not app.error

    give(images[0])
    assert "bus.jpg" in {name for name, _ in listed(app)}
    give(images[1])
    assert [side["name"] for side in received(app, "pairs")[0]["sides"]] == [images[1].name, images[0].name]
    assert [name for name, _ in listed(app)] == [images[0].name]
    app.segmented_control(key="gallery-way").set_value("examples").run()
    assert "bus, part.jpg" in {name for name, _ in listed(app)}


def test_the_method_in_the_sidebar_is_the_one_that_made_the_maps(page) -> None:
    app = page(SCREEN)
    menu = next(box for box in app.selectbox if box.label == "Method")
    assert menu.value == "hirescam"
    menu.set_value("gradcam").run()
    assert not app.error
    assert "by GradCAM at bn2" in texts(app)
    assert app.query_params["method"] in ("gradcam", ["gradcam"])


def test_a_patch_shows_what_is_like_it_here_and_there(page) -> None:
    app = page(SCREEN, parts="patches", model="demo-cls-s")
    head = received(app, "patches")[0]
    rows, columns = len(head["down"]) - 1, len(head["across"]) - 1
    assert head["chosen"] is None and "### The same colours in the other pictures" in texts(app)
    (key,) = [key for key in app.session_state._state.filtered_state if key.startswith("patches-")]
    app.session_state[key] = {"cell": columns + 1}
    app.run()
    assert not app.error
    assert "### Like the chosen patch" in texts(app)
    assert received(app, "patches")[0]["chosen"] == columns + 1
    app.session_state[key] = {"cell": rows * columns}
    app.run()
    assert received(app, "patches")[0]["chosen"] is None
