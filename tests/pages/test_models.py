"""Models: the list with what is known of each, and one's own model from a file to a map."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torchvision.models import mobilenet_v3_small

from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.families.exported import workers
from sightglass.models.spec import OutputTable
from sightglass.pages.models.add import Adding
from sightglass.ui.choices import model_picker
from tests import plant_net
from tests.pages.conftest import press, session, shown, texts
from tests.unit.models.test_own_models import NAMES, saved

Page = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    model_picker.forget_menu()
    yield tmp_path / "store"
    model_picker.forget_menu()


def checkpoint(classes: int, favoured: int | None = None) -> bytes:
    """Random weights, which answer one class if it is `favoured`."""
    torch.manual_seed(0)
    tensors = mobilenet_v3_small(num_classes=classes).state_dict()
    if favoured is not None:
        tensors["classifier.3.bias"][favoured] += 99
    return saved(tensors)


@pytest.fixture(scope="module")
def leaf() -> bytes:
    return checkpoint(5)


@pytest.fixture(scope="module")
def plant() -> tuple[tuple[str, bytes], ...]:
    return ("plant.pth", saved(plant_net.tensors())), ("plant.py", plant_net.SOURCE)


def drop(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    for name, data in files:
        app.file_uploader[0].upload(name, data, "application/octet-stream")
    return app.run()


def rows(app: AppTest) -> dict[str, dict[str, object]]:
    return {row["Model"]: row for row in app.dataframe[0].value.to_dict("records")}


def choose(app: AppTest, family: str) -> AppTest:
    app.session_state["models-list"] = {"selection": {"rows": [[*rows(app)].index(family)], "columns": [], "cells": []}}
    return app.run()


def test_damaged_list_of_added_models_is_named(page, kept):
    table = kept / "models.toml"
    (kept / "leaf").mkdir(parents=True)
    (kept / "leaf" / "leaf.pth").write_bytes(b"weights")
    table.write_text("[model.leaf", "utf-8")
    app = page("models", fails=True)
    (error,) = app.error
    assert error.value.startswith("models.toml cannot be read (")
    assert error.value.endswith("so no model is added or removed: correct it, or put a copy of it back.")
    assert not app.file_uploader
    assert rows(app)
    table.write_text("", "utf-8")
    app.run()
    (warning,) = app.warning
    assert warning.value.startswith("models.toml does not name leaf, whose files are here: put a copy of models.toml")
    assert app.file_uploader
    assert (kept / "leaf" / "leaf.pth").read_bytes() == b"weights"


def test_dropped_model_is_explained_and_removed(page, leaf, kept):
    app = page("models")
    assert "Drop your own model here" in app.file_uploader[0].label
    names = json.dumps({name: index for index, name in enumerate(NAMES)}).encode()
    drop(app, ("leaf.pth", leaf), ("class_to_idx.json", names), ("README.md", b"# Leaves"))
    assert not app.error, texts(app)
    assert "1 file was left out: README.md (no file of a model)." in texts(app)
    assert "with 5 classes, 224 px" in texts(app) and shown(app).titles[0] in NAMES
    assert "1 of them added" in texts(app) and next(iter(rows(app))) == "leaf"
    before = catalog.spec("leaf").preprocessing
    assert "as it is now, resized by bilinear" in texts(app)
    press(app, "Use this")
    assert catalog.spec("leaf").preprocessing != before
    assert "64 x 64 pixels" in texts(app) and "224 x 224 pixels, as it is now" in texts(app)
    next(button for button in app.button if str(button.key).startswith("models-size-")).click().run()
    assert catalog.spec("leaf").preprocessing.sides == (32, 32) and "32 x 32 pixels, as it is now" in texts(app)
    file = workers.File.at(weights.locate(catalog.spec("leaf")))
    for _ in range(workers.FAILURES):
        file.note(failed=True)
    choose(app.run(), "leaf")
    assert rows(app)["leaf"]["State"] == "set aside" and "leaf.pth is set aside, as it gave no answer" in texts(app)
    choose(app, "leaf")
    assert "Remove leaf and its files" in app.warning[0].value and "leaf" in catalog.catalog()
    press(app, "Remove")
    assert "leaf" not in rows(app) and not list(kept.rglob("leaf*"))
    assert session(app, Adding).folder is None and not app.error


def test_a_model_that_is_dropped_among_pictures_is_added(page: Page, leaf: bytes) -> None:
    app = page()
    drop(app, ("leaf.pth", leaf), ("names.txt", "\n".join(NAMES).encode()))
    app.switch_page("pages/models/page.py").run()
    assert not app.error and "with 5 classes, 224 px" in texts(app) and next(iter(rows(app))) == "leaf"


def test_two_versions_of_a_model_are_a_pair(page: Page) -> None:
    names, (old, new) = ("names.txt", "\n".join(NAMES).encode()), (checkpoint(5, favoured) for favoured in (0, 1))
    app = page("models")
    for data in (old, new):
        assert not drop(app, ("best.pth", data), names).error, texts(app)
    drop(app, ("renamed.pth", old), names)
    assert app.error[0].value == "renamed.pth is your model best, byte for byte: it stays one model."
    assert {"best", "best-2"} <= {*rows(app)} and "renamed" not in catalog.catalog()
    assert shown(page("compare", models="best,best-2", arrangement="beside")).titles[:2] == ["best", "best-2"]


def test_class_names_typed_later(page: Page, leaf: bytes) -> None:
    app = drop(page("models"), ("leaf.pth", leaf))
    assert shown(app).titles[0].startswith("class ")
    app.text_area[0].set_value("\n".join(NAMES[:2]))
    press(app, "Save names", fails=True)
    assert app.error[0].value == "Give 5 names, one a line: there are 2."
    app.text_area[0].set_value("\n".join(NAMES))
    press(app, "Save names")
    assert shown(app).titles[0] in NAMES
    press(app, "Open in Explore")
    assert app.selectbox(key="family").value == "leaf" and "weights." not in texts(app)


def test_regression_outputs_have_unit_and_range(page: Page) -> None:
    app = drop(page("models"), ("gauge.pth", checkpoint(1)))
    next(box for box in app.selectbox if box.label == "Its answer is").set_value("regress").run()
    assert catalog.spec("gauge").task == "regress"
    assert " %" not in str(shown(app).head["panels"][0]["maps"][0]["note"])
    app.text_area[0].set_value("speed,  m/s\u202e ")
    press(app, "Save names")
    assert catalog.spec("gauge").output_of("speed") == OutputTable("speed", "m/s")
    assert re.search(r"\*\*gauge gives .* m/s\.", texts(app))
    app.text_area[0].set_value("pressure, bar, 9, 2")
    press(app, "Save names", fails=True)
    assert "write name, unit, least, largest value" in app.error[0].value
    app.text_area[0].set_value("pressure, bar, 2, 9")
    press(app, "Save names")
    assert catalog.spec("gauge").output_of("pressure") == OutputTable("pressure", "bar", (2, 9))


def test_own_code_runs_only_after_trust(page, plant, kept):
    app = drop(page("models"), *plant)
    assert "plant.py runs code on this machine" in app.warning[0].value and "plant" not in catalog.catalog()
    other = page("models")
    assert not other.warning and other.file_uploader, "another visitor is not asked"
    press(app, "Discard")
    assert not list(kept.rglob("plant*"))
    drop(app, plant[0])
    assert "Which architecture is it" in " ".join(box.label for box in (*app.selectbox, *app.text_input))
    press(app, "Discard")
    drop(app, *plant)
    press(app, "Trust it and add")
    assert not app.error, texts(app)
    assert "plant: PlantNet with 3 classes" in texts(app) and shown(app).maps
    assert "plant" in catalog.catalog() and "plant-2" not in catalog.catalog()
    assert sorted(path.name for path in (kept / "plant").iterdir() if path.is_file()) == ["plant.pth", "plant.py"]


def test_a_row_is_a_family_and_opens_one_of_its_sizes(page: Page) -> None:
    app = page("models")
    row = rows(app)["Demo detector"]
    assert row["For"] == "Detect" and row["Sizes"] == "s, m, l" and row["File"] == "0.4\xa0MB to 2.2\xa0MB"
    choose(app, "Demo detector").segmented_control(key="models-size-Demo detector").set_value("demo-m").run()
    app.button(key="models-Open").click().run()
    assert not app.error and app.query_params["model"] in ("demo-m", ["demo-m"])


def test_the_list_has_models_that_are_not_here(page: Page) -> None:
    app = page("models")
    assert all(row.get("State") != "not here" for row in rows(app).values())
    app.toggle(key="models-here").set_value(False).run()
    row = rows(app)["ResNet"]
    assert row["State"] == "not here" and "242" in str(row["File"])
