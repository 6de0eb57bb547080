"""Models: the list with what is known of each, and one's own model from a file to a map."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING

import pytest
import torch
from torchvision.models import resnet18

from sightglass.common import access, users
from sightglass.components.choices import model_picker
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import RESIDENCY
from sightglass.models import catalog
from sightglass.models.own import store
from sightglass.pages.models.add import Adding
from tests import plant_net
from tests.conftest import PERSONS
from tests.pages.conftest import received, session, shown, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streamlit.testing.v1 import AppTest

SCREEN = "pages/models/page.py"
NAMES = ["late blight", "healthy", "rust", "mosaic", "spot"]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    model_picker.forget_menu()
    yield tmp_path / "store"
    model_picker.forget_menu()


def test_a_model_that_another_process_took_out_of_the_catalogue_leaves_the_menu_at_once(page, own_models, monkeypatch):
    own_models(PERSONS)
    assert "persons" in page(model="demo-cls-s").selectbox(key="family").options
    monkeypatch.delenv("SIGHTGLASS_MODELS")
    app = page(model="demo-cls-s")
    assert not app.exception and not app.error
    assert "persons" not in app.selectbox(key="family").options


@pytest.fixture(scope="module")
def leaf() -> bytes:
    torch.manual_seed(0)
    return saved(resnet18(num_classes=5).state_dict())


@pytest.fixture(scope="module")
def plant() -> bytes:
    return saved(plant_net.tensors())


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def open_as(user: str, visit: Callable[..., Callable[..., AppTest]]) -> AppTest:
    opened = visit(user)
    opened("explore")
    return opened("models")


def drop(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    for name, data in files:
        app.file_uploader[0].upload(name, data, "application/octet-stream")
    return app.run()


def rows(app: AppTest) -> dict[str, dict[str, object]]:
    (listed,) = received(app, "model_list")
    return {row["id"]: row for row in listed["rows"]}


def ask(app: AppTest, what: str, model: str) -> AppTest:
    app.session_state["models-list"] = {"act": {"n": time.monotonic_ns(), "what": what, "id": model}}
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def test_a_file_and_its_names_are_a_map_after_one_drop(page: Callable[..., AppTest], leaf: bytes) -> None:
    app = page(SCREEN)
    assert "Drop your own model here" in app.file_uploader[0].label
    names = json.dumps({name: index for index, name in enumerate(NAMES)}).encode()
    drop(app, ("leaf.pth", leaf), ("class_to_idx.json", names))
    assert not app.exception and not app.error, texts(app)
    assert "leaf: ResNet18 with 5 classes, 224 px" in texts(app)
    assert shown(app).titles[0] in NAMES
    assert "in memory, " in texts(app) and "resident" not in texts(app)
    assert "1 of them added" in texts(app) and next(iter(rows(app))) == "leaf"


def test_notes_on_explore_name_no_keys_of_a_table(page: Callable[..., AppTest], leaf: bytes) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf))
    press(app, "Open in Explore")
    said = texts(app)
    assert "Its 5 classes have no names here." in said and "weights." not in said


def test_two_classes_of_one_name_are_told_apart(page: Callable[..., AppTest], leaf: bytes) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf), ("names.txt", b"gamma\ngamma\nbeta\ngamma\ndelta"))
    assert not app.exception and not app.error
    assert app.text_area[0].value.splitlines() == ["gamma", "gamma (class 1)", "beta", "gamma (class 3)", "delta"]


def test_it_stands_by_its_own_name_in_the_sidebar_and_the_headline(page: Callable[..., AppTest], leaf: bytes) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf))
    press(app, "Open in Explore")
    assert not app.exception and not app.error
    assert app.selectbox(key="family").value == "leaf"
    assert "leaf" in app.selectbox(key="family").options
    assert not [box for box in (*app.selectbox, *app.segmented_control) if box.label in ("Variant", "Size")]


def test_class_names_are_typed_later(page: Callable[..., AppTest], leaf: bytes) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf))
    assert shown(app).titles[0].startswith("class ")
    app.text_area[0].set_value("\n".join(NAMES[:2]))
    press(app, "Save names")
    assert app.error[0].value == "Give 5 names, one a line: there are 2."
    app.text_area[0].set_value("\n".join(NAMES))
    press(app, "Save names")
    assert not app.error and shown(app).titles[0] in NAMES


def test_numbers_that_are_no_classes_are_said_to_be_none(page: Callable[..., AppTest]) -> None:
    torch.manual_seed(0)
    app = drop(page(SCREEN), ("steer.pth", saved(resnet18(num_classes=1).state_dict())))
    assert not app.exception and not app.error
    box = next(box for box in app.selectbox if box.label == "Its answer is")
    box.set_value("regress").run()
    assert not app.exception and not app.error
    assert catalog.spec("steer").task == "regress"
    assert " %" not in str(shown(app).head["panels"][0]["maps"][0]["note"])
    # So are its answers to other ways of preparing the picture.
    said = [text.value for text in app.markdown if "resized by" in text.value or "colours:" in text.value]
    assert len(said) >= 2 and not any(" %" in text or "\u00a0%" in text for text in said)


def test_the_unit_of_numbers_is_typed_and_changed_later(page: Callable[..., AppTest]) -> None:
    torch.manual_seed(0)
    app = drop(page(SCREEN), ("gauge.pth", saved(resnet18(num_classes=1).state_dict())))
    assert "Unit" not in [box.label for box in app.text_input]
    next(box for box in app.selectbox if box.label == "Its answer is").set_value("regress").run()
    for typed, shown_unit in (("years", "years"), ("  m/s\u202e ", "m/s"), ("", None)):
        next(box for box in app.text_input if box.label == "Unit").set_value(typed).run()
        assert not app.exception and not app.error
        assert catalog.spec("gauge").weights.unit == shown_unit
        headline = next(text.value for text in app.markdown if text.value.startswith("**gauge gives"))
        assert (f" {shown_unit}." in headline) if shown_unit else "m/s" not in headline


def test_likely_ways_to_prepare_pictures_stand_side_by_side_with_their_answers(
    page: Callable[..., AppTest], leaf: bytes
) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf))
    assert "as it is now, resized by bilinear" in texts(app)
    assert any(
        f"  \n{kind}" in text.value for text in app.markdown for kind in ("resized by ", "colours: ", "cut ", "squ")
    )
    before = catalog.spec("leaf").preprocessing
    use = [button for button in app.button if button.label == "Use this"]
    assert 1 <= len(use) <= 3
    use[0].click()
    app.run()
    assert not app.exception and not app.error
    assert catalog.spec("leaf").preprocessing != before and catalog.spec("leaf").preprocessing.complete


def test_a_network_of_ones_own_runs_after_one_plain_question(page: Callable[..., AppTest], plant: bytes) -> None:
    app = drop(page(SCREEN), ("plant.pth", plant), ("plant.py", plant_net.SOURCE))
    assert "plant.py runs code on this machine" in app.warning[0].value
    assert "plant" not in catalog.catalog()
    press(app, "Trust it and add")
    assert not app.exception and not app.error, texts(app)
    assert "plant: PlantNet with 3 classes" in texts(app) and shown(app).maps


def test_files_that_are_not_wanted_after_all_are_deleted(
    page: Callable[..., AppTest], plant: bytes, kept: Path
) -> None:
    app = drop(page(SCREEN), ("plant.pth", plant), ("plant.py", plant_net.SOURCE))
    press(app, "Discard")
    assert not list(kept.rglob("plant*")) and not app.error


def test_a_question_comes_back_after_a_reload_and_discarding_it_frees_the_name(
    page: Callable[..., AppTest], plant: bytes, kept: Path
) -> None:
    files = (("plant.pth", plant), ("plant.py", plant_net.SOURCE))
    drop(page(SCREEN), *files)
    app = page(SCREEN)
    assert "plant.py runs code on this machine" in app.warning[0].value and not app.file_uploader
    press(app, "Discard")
    assert not app.error and not list(kept.rglob("plant*"))
    drop(app, *files)
    app = page(SCREEN)
    press(app, "Trust it and add")
    assert not app.exception and not app.error, texts(app)
    assert "plant" in catalog.catalog() and "plant-2" not in catalog.catalog()
    assert sorted(path.name for path in (kept / "plant").iterdir() if path.is_file()) == ["plant.pth", "plant.py"]
    assert page(SCREEN).file_uploader


def test_a_question_that_the_file_cannot_answer_comes_back_too(page: Callable[..., AppTest], plant: bytes) -> None:
    drop(page(SCREEN), ("plant.pth", plant))
    app = page(SCREEN)
    assert "Which architecture is it" in " ".join(box.label for box in (*app.selectbox, *app.text_input))
    press(app, "Discard")
    assert app.file_uploader and not app.error


def test_a_question_that_another_window_answered_is_gone(page: Callable[..., AppTest], plant: bytes) -> None:
    one = drop(page(SCREEN), ("plant.pth", plant), ("plant.py", plant_net.SOURCE))
    press(page(SCREEN), "Discard")
    one.run()
    assert not one.exception and not one.error and one.file_uploader


def test_an_open_question_is_ones_own(visit: Callable[..., Callable[..., AppTest]], plant: bytes) -> None:
    drop(open_as("ann", visit), ("plant.pth", plant))
    assert open_as("ben", visit).file_uploader
    assert not open_as("ann", visit).file_uploader


def test_what_does_not_load_is_said_and_leaves_nothing(page: Callable[..., AppTest], kept: Path, leaf: bytes) -> None:
    app = drop(page(SCREEN), ("noise.pth", b"noise"))
    assert not app.exception and "noise.pth" in app.error[0].value and str(kept) not in app.error[0].value
    assert [path for path in kept.rglob("*") if path.name != "models.toml"] == []
    assert len(app.error) == 1
    press(app, "Dismiss")
    assert not app.error
    drop(app, ("leaf.pth", leaf))
    assert "leaf: ResNet18" in texts(app)


def test_two_people_each_have_their_own(visit: Callable[..., Callable[..., AppTest]], leaf: bytes) -> None:
    ann, ben = "ann", "ben"
    app = open_as(ann, visit)
    drop(app, ("leaf.pth", leaf))
    assert "leaf" in rows(app)
    app = open_as(ben, visit)
    assert "leaf" not in rows(app)
    drop(app, ("leaf.pth", leaf), ("names.txt", "\n".join(NAMES).encode()))
    assert shown(app).titles[0] in NAMES
    with users.acting(ann):
        assert catalog.spec("leaf").weights.labels is None


def test_on_a_network_address_code_is_refused(
    visit: Callable[..., Callable[..., AppTest]], plant: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_IN_USE", [access.Access("oidc")])
    app = open_as("ann", visit)
    drop(app, ("plant.pth", plant), ("plant.py", plant_net.SOURCE))
    assert "which this server does not allow" in app.warning[0].value
    (add,) = [button for button in app.button if button.label == "Trust it and add"]
    assert add.disabled


def test_a_row_opens_its_model_on_the_page_that_shows_it(page: Callable[..., AppTest]) -> None:
    app = page(SCREEN)
    assert rows(app)["demo-s"]["task"] == "Detect"
    ask(app, "open", "demo-s")
    assert not app.exception and not app.error
    assert app.query_params["model"] in ("demo-s", ["demo-s"])


def test_a_model_is_unloaded(page: Callable[..., AppTest]) -> None:
    Explainer("demo-cls-s")
    app = page(SCREEN)
    row = rows(app)["demo-cls-s"]
    assert str(row["memory"]).endswith("MB") and row["layer"]
    ask(app, "unload", "demo-cls-s")
    assert not rows(app)["demo-cls-s"]["memory"]
    assert "demo-cls-s" not in {one.adapter.spec.id for one in RESIDENCY.residents()}


def test_an_own_model_is_removed_after_a_question(page: Callable[..., AppTest], leaf: bytes, kept: Path) -> None:
    app = drop(page(SCREEN), ("leaf.pth", leaf))
    ask(app, "remove", "leaf")
    assert "Remove leaf and its files" in app.warning[0].value and "leaf" in catalog.catalog()
    press(app, "Remove")
    assert "leaf" not in rows(app) and not list(kept.rglob("leaf*"))
    assert session(app, Adding).folder is None and not app.error


def test_the_list_is_searched_by_name_task_and_what_is_here(page: Callable[..., AppTest]) -> None:
    app = page(SCREEN)
    assert all(row["state"] == "" for row in rows(app).values())
    app.text_input(key="models-search").set_value("demo-vit").run()
    assert [*rows(app)] == ["demo-vit"]
    app.text_input(key="models-search").set_value("no such model").run()
    assert "No model matches" in texts(app)
    app.text_input(key="models-search").set_value("resnet50")
    app.toggle(key="models-here").set_value(False).run()
    found = rows(app)["resnet50"]
    assert found["state"] == "not here" and "103" in str(found["size"])


def test_a_download_that_the_operator_forbids_is_not_offered(page: Callable[..., AppTest]) -> None:
    app = page(SCREEN)
    app.text_input(key="models-search").set_value("resnet50")
    app.toggle(key="models-here").set_value(False).run()
    assert not rows(app)["resnet50"]["buttons"]
    next(box for box in app.text_input if "Hugging Face" in box.label).set_value("microsoft/resnet-18")
    press(app, "Add")
    assert "SIGHTGLASS_OFFLINE forbids" in app.error[0].value


def test_every_store_is_ones_own_folder(kept: Path) -> None:
    with users.acting("ann"):
        assert store.folder().parent.parent == kept
