"""Batch with labels: chosen, matched with classes, and how right the answers are, of boxes, masks and numbers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from sightglass.batch.analysis import measure_errors
from sightglass.batch.labelled import summary
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.pages.batch.job import Batch
from tests.labelled import draw_scenes
from tests.masked import draw_masked
from tests.pages.conftest import session, texts
from tests.pages.test_batch import SCREEN, explain


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Three scenes, whose labels have a name and a line of their own."""
    labels = draw_scenes(tmp_path / "drawn", 3)[1]
    labels.write_text(labels.read_text("utf-8").replace(",star\n", ",Stern\n") + "00.png,5,5,1,9,gear\n", "utf-8")
    return tmp_path / "drawn"


def explained(page, pictures: Path, labels: Path, model: str):
    """The page once it has explained the pictures with these labels."""
    app = page(SCREEN, folder=str(pictures), model=model)
    app.text_input(key="batch-labels-path").set_value(str(labels)).run()
    assert not app.error
    return explain(app, "Explain all")


def test_labels_are_chosen_matched_and_answered(page, drawn):
    app = explained(page, drawn / "pictures", drawn / "labels.csv", "demo-s")
    folder = session(app, Batch).job.plans[0].folder
    before = summary.load(folder)
    assert any(one.value.startswith(before.headline[:12]) for one in app.markdown) and before.unknown == ("Stern",)
    assert "No class of the model: Stern. Such objects count as missed." in texts(app)
    # What a person corrects is kept with the run, and counted.
    app.multiselect(key="batch-label-Stern").set_value(["star"]).run()
    app = explain(app, "Use")
    after = summary.load(folder)
    assert not app.error and after.unknown == () and after.right > before.right


def zipped(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.yaml", "names: [star]")
        archive.writestr(name, text)
    return out.getvalue()


def test_labels_are_uploaded_and_those_that_cannot_be_read_are_one_sentence(page, drawn):
    app = page(SCREEN, folder=str(drawn / "pictures"), model="demo-s")
    for name, inside, said in (("labels/00.txt", "0 .5 .5 .2 .2\n", ""), ("../00.txt", "", "none inside the archive")):
        app.file_uploader(key="batch-labels-file").upload("mine.zip", zipped(name, inside), "application/zip").run()
        assert all(said in one.value for one in app.error) and bool(app.error) == bool(said)
    app = page(SCREEN, folder=str(drawn / "pictures"), model="demo-s")
    (drawn / "wrong.csv").write_text("a,b\n1,2\n", "utf-8")
    for path, said in ((drawn / "wrong.csv", "wrong.csv"), ("/etc/passwd", "only these folders may be read here")):
        app.text_input(key="batch-labels-path").set_value(str(path)).run()
        assert any(said in one.value for one in app.error)


def test_the_iou_of_each_class_stands_in_a_table_and_pictures_are_sorted_by_theirs(page, tmp_path):
    pictures, masks = draw_masked(tmp_path / "drawn", 3)
    (masks / "02.png").unlink()
    app = explained(page, pictures, masks, "demo-seg")
    found = summary.load(session(app, Batch).job.plans[0].folder)
    assert found.headline in texts(app)
    assert "1 picture without a mask that can be used" in [one.label for one in app.expander]
    assert app.selectbox(key="batch-order").value == "iou"
    app.segmented_control(key="batch-lens").set_value("accuracy").run()
    table = app.dataframe[-1].value
    assert list(table["class"]) == [name for name, *_ in found.list_classes()]
    assert list(table["IoU"]) == pytest.approx([100 * found.by_class[name].value for name in table["class"]])


def test_with_true_numbers_it_says_how_far_answers_are_the_largest_error_first(page, tmp_path):
    folder = tmp_path / "rods"
    folder.mkdir()
    for name in ("a rod", "scene 1"):
        Image.fromarray(load_bundled(name).pixels).save(folder / f"{name}.png")
    (tmp_path / "true.csv").write_text("file,label\na rod.png,0\nscene 1.png,0\n", "utf-8")
    app = explained(page, folder, tmp_path / "true.csv", "demo-regress")
    found = [Explainer("demo-regress")(load_bundled(name)).predictions[0].score for name in ("a rod", "scene 1")]
    assert measure_errors(found).describe("°") in texts(app) and texts(app).count("true: 0°") == 2
    assert app.selectbox(key="batch-order").value == "error"
    app.segmented_control(key="batch-lens").set_value("table").run()
    assert list(app.dataframe[-1].value["error"]) == pytest.approx(found, abs=1e-3)
