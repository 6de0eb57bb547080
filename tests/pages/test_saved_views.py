"""Saved: what is saved is what was shown, is found again, and goes only when somebody says so."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from sightglass import examples
from sightglass.batch.run_store import read_facts
from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.trust.checks import Check, Checks
from sightglass.history import History, Record
from sightglass.ui.instruments import numbers_of
from tests.packages import menu
from tests.pages.conftest import press, received, shown, texts

SCREEN = "pages/saved/page.py"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.delenv("SIGHTGLASS_HISTORY_MB", raising=False)
    return History()


@pytest.fixture(scope="module")
def made(pictures: list[Path]) -> dict[str, Explanation]:
    """One picture by two models, another one, and a detector's."""
    small, large = Explainer("demo-cls-s"), Explainer("demo-cls-m")
    found = Checks("circle", (Check("model", "yes", "it changes."), Check("answer", "no", "score *.4 to .4.")))
    return {
        "small": small(pictures[0], top_k=2),
        "large": large(pictures[0], top_k=2, method="layercam").with_tests({0: found}),
        "other": small(pictures[1], top_k=2),
        "boxes": Explainer("demo-s")(pictures[0], confidence=0.01),
    }


@pytest.fixture
def full(store: History, made: dict[str, Explanation]) -> dict[str, str]:
    """A record of each; its id by its name."""
    notes = {"small": ("a first look", ["talk"]), "large": ("", ["talk", "odd"]), "other": ("nobody there", [])}
    ids = {}
    for name, one in made.items():
        note, tags = notes.get(name, ("", []))
        ids[name] = store.keep(one, note=note, tags=tags).id
    return ids


def keep(app):
    """Save what is shown; the harness leaves the dialog closed."""
    press(app, "Save")
    return press(app, "Keep it in Saved")


def links(app) -> list[str]:
    return [link.proto.label for link in app.get("page_link")][len(menu()) :]


def tiles(app) -> list[str]:
    keys = [button.key or "" for button in app.button]
    return [key.removeprefix("saved-open-") for key in keys if key.startswith("saved-open-")]


def test_what_cannot_be_saved_is_said_and_the_page_goes_on(page, store, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.001")
    app = keep(page())
    press(app, "Save", fails=True)
    assert "The history is full" in texts(app)
    assert shown(app).maps, "the map is still there"
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "taken" / "history"))
    press(app, "Save", fails=True)
    assert "make it writable" in texts(app) and shown(app).maps
    app = page(SCREEN, fails=True)
    assert app.markdown[0].value == "## Nothing can be saved here" and "make it writable" in app.error[0].value


@pytest.mark.parametrize(("path", "parameters"), [("compare", {}), ("", {"model": "demo-s", "example": "scene 3"})])
def test_other_pages_save_their_own_view(page, store, path, parameters):
    keep(page(path, **parameters))
    records = store.search().records
    assert records and len(records) == len({record.model for record in records})
    if not path:
        assert shown(page(SCREEN, kept=records[0].id)).head["boxes"]


def test_a_tile_opens_its_record_which_is_shown_as_it_was(page, store, full, made):
    app = page(SCREEN)
    app.button(key=f"saved-open-{full['large']}").click().run()
    assert app.query_params["kept"] in (full["large"], [full["large"]]) and not app.error
    for given, heatmap in zip(shown(app).maps, made["large"].heatmaps, strict=True):
        np.testing.assert_allclose(given, heatmap.content, atol=1 / 65535)
    record = store.get(full["large"])
    assert f"## {record.headline}" in texts(app) and "(Where is it?); saved" in texts(app)
    (instruments,) = received(app, "instruments")
    assert instruments["numbers"] == [numbers_of(made["large"], i) for i in range(len(made["large"].heatmaps))]
    (chip,) = (block for block in app.get("popover") if "chip" in block.proto.id)
    assert chip.proto.popover.label == "Checks: 1 passed, 1 failed"
    assert [card.value for card in chip.caption] == ["It changes.", r"Score \*.4 to .4."]
    assert [element.proto.label for element in app.get("download_button")] == ["Everything, .zip"]


def test_notes_and_tags_are_saved_as_they_are_written(page, store, full):
    id = full["other"]
    app = page(SCREEN, kept=id)

    app.text_area(key=f"saved-{id}-note").set_value("the roof, again").run()
    assert store.get(id).note == "the roof, again"
    # It is not saved again over what others wrote since.
    store.annotate(id, note="the roof, and the door")
    app.run()
    assert store.get(id).note == "the roof, and the door"
    app.multiselect(key=f"saved-{id}-tags").set_value(["odd"]).run()
    assert not app.error and store.get(id).tags == ("odd",)


def test_record_is_deleted_after_a_question(page, store, full):
    order = [record.id for record in store.search().records]
    app = page(SCREEN, kept=order[1])
    press(app, "Delete for good")
    assert [record.id for record in store.search().records] == [order[0], order[2], order[3]]
    # Not to the next one, whose Delete would be in the same place.
    assert "kept" not in app.query_params
    assert "no such record" in page(SCREEN, kept=order[1], fails=True).error[0].value


def test_several_are_ticked_and_deleted_together(page, store, full):
    app = page(SCREEN)
    for name in ("small", "boxes"):
        app.checkbox(key=f"saved-tick-{full[name]}").check().run()
    assert "2 selected" in texts(app)
    # One that is not shown any more stays ticked.
    app.text_input(key="saved-find").set_value("nobo").run()
    assert "2 selected" in texts(app)
    press(app, "Delete for good")
    assert {record.id for record in store.search().records} == {full["large"], full["other"]}
    assert "selected" not in texts(app)


def test_two_open_on_compare(page, store, full):
    def compare(*names: str) -> AppTest:
        app = page(SCREEN)
        for name in names:
            app.checkbox(key=f"saved-tick-{full[name]}").check().run()
        press(app, "Compare")
        return app.switch_page("pages/compare/page.py").run()

    app = compare("small", "large")
    assert app.multiselect(key="models").value == ["demo-cls-s", "demo-cls-m"]
    assert shown(app).titles == ["Demo-cls-s", "Demo-cls-m"]
    assert "[full]" not in texts(app)
    assert sides(compare("small", "other")) == [store.get(full[name]).picture_name for name in ("small", "other")]


def test_runs_over_many_pictures_are_listed(page, store, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    assert page(SCREEN, tab="runs").markdown[0].value == "## No runs yet"
    folder = examples.find(examples.CLASSES)
    for run in ("run", *(plan.folder.name for plan in read_facts(folder / "run").plans[1:])):
        shutil.copytree(folder / run, tmp_path / "batches" / run)
    app = page(SCREEN, tab="runs")
    assert app.markdown[0].value == "## 1 run over many pictures" and links(app) == ["Open"]
    shutil.copytree(tmp_path / "batches" / "run", tmp_path / "batches" / "half")
    file = tmp_path / "batches" / "half" / "run.json"
    file.write_text("{", "utf-8")
    app = page(SCREEN, tab="runs")
    (warning,) = app.warning
    assert re.search(r"half cannot be read \(it is damaged\): put a copy of it back, or move it away\.$", warning.value)
    assert links(app) == ["Open"]
    assert file.read_text("utf-8") == "{"


def test_a_damaged_record_is_said_and_can_be_deleted(page, store, full):
    for file in (store.folder / "records").rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    app = page(SCREEN)
    assert len(tiles(app)) == 4
    app = page(SCREEN, kept=full["other"], fails=True)
    press(app, "Delete for good")
    assert full["other"] not in {record.id for record in store.search().records}


@pytest.fixture
def own_pair(store: History, bus: Path) -> Record:
    """A record of two own pictures, by another model than the first, with other choices than the defaults."""
    query = Image.open(np.ascontiguousarray(Image.open(bus).pixels[:, ::-1]), name="mirror.png")
    other = Image.open(bus.with_name("zidane.jpg"))
    result = similarity(Explainer("efficientnet-lite1"), query, other, method="gradcam", layers=("blocks.4",))
    return store.keep(result, note="two of mine")


def sides(app) -> list[str]:
    return [head["panels"][0]["title"] for head in received(app, "viewer")]


def test_shown_pair_is_saved_once(page, store):
    app = keep(page("compare", tab="pictures"))
    (record,) = store.search().records
    assert f"## {record.headline}" == app.markdown[0].value + "."
    assert links(press(app, "Save"))[1:] == ["See it in Saved"]
    app = page(SCREEN, kept=record.id)
    assert "Similarity and difference" in texts(app)


def test_pair_opens_on_compare(page, store, own_pair):
    app = page(SCREEN, kept=own_pair.id)
    press(app, "Open in Compare")
    # The harness would run the page before again at the next act.
    app.switch_page("pages/compare/page.py").run()
    assert sides(app) == ["mirror.png", "zidane.jpg"]
    assert app.selectbox(key="method-page").value == "gradcam"
    assert f"{own_pair.score:.2f}" in app.markdown[0].value
    assert any("GradCAM at blocks.4" in caption.help for caption in app.caption)
    # The same comparison, by the same model: the record is found again.
    assert links(press(app, "Save"))[1:] == ["See it in Saved"]
