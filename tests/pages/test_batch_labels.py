"""Batch with labels: chosen, matched with classes, and how right the answers are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from sightglass.batch.labelled import summary
from sightglass.pages.batch.job import Batch
from tests.labelled import draw_scenes
from tests.pages.conftest import rerun_until, session, texts
from tests.waits import patience

SCREEN = "pages/batch/page.py"


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scenes, whose labels have a name and a line of their own, where the operator allows to read."""
    labels = draw_scenes(tmp_path / "drawn", 3)[1]
    labels.write_text(labels.read_text("utf-8").replace(",star\n", ",Stern\n") + "00.png,5,5,1,9,gear\n", "utf-8")
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(tmp_path / "drawn"))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return tmp_path / "drawn"


def press(app, label: str):
    return next(one for one in app.button if one.label == label).click().run()


def finished(app):
    assert session(app, Batch).job.finished(patience(90))
    return app.run()


def test_labels_are_chosen_matched_and_answered(page, drawn):
    app = page(SCREEN, folder=str(drawn / "pictures"), model="demo-s")
    assert "Without labels the run says where the model looked, but not whether it was right." in texts(app)
    app.text_input(key="batch-labels-path").set_value(str(drawn / "labels.csv")).run()
    assert not app.exception and not app.error
    assert "1 line could not be used; the others count." in texts(app).replace("\N{NO-BREAK SPACE}", " ")
    assert any(one.label.startswith("Labels and classes: ") for one in app.expander)
    app = finished(press(app, "Explain all"))
    assert not app.exception and not app.error
    folder = session(app, Batch).job.plans[0].folder
    before = summary.load(folder)
    assert any(one.value.startswith(before.headline[:12]) for one in app.markdown) and before.unknown == ("Stern",)
    assert "No class of the model: Stern. Such objects count as missed." in texts(app)

    # What a person corrects is kept with the run, and counted.
    app.multiselect(key="batch-label-Stern").set_value(["star"]).run()
    app = finished(press(app, "Use"))
    assert not app.exception and not app.error
    after = summary.load(folder)
    assert after.unknown == () and after.right > before.right
    assert "No class of the model" not in texts(rerun_until(app, lambda: True, 1))


def zipped(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.yaml", "names: [star]")
        archive.writestr(name, text)
    return out.getvalue()


def test_one_zip_of_labels_is_uploaded(page, drawn):
    app = page(SCREEN, folder=str(drawn / "pictures"), model="demo-s")
    uploader = app.file_uploader(key="batch-labels-file")
    uploader.upload("mine.zip", zipped("labels/00.txt", "0 .5 .5 .2 .2\n"), "application/zip").run()
    assert not app.exception and not app.error
    assert "1 labelled object in 1 picture, 1 label." in texts(app).replace("\N{NO-BREAK SPACE}", " ")
    app.file_uploader(key="batch-labels-file").upload("mine.zip", zipped("../00.txt", ""), "application/zip").run()
    assert not app.exception
    assert any("is none inside the archive" in one.value for one in app.error)


def test_labels_that_cannot_be_read_are_one_sentence(page, drawn):
    (drawn / "wrong.csv").write_text("a,b\n1,2\n", "utf-8")
    app = page(SCREEN, folder=str(drawn / "pictures"), model="demo-s")
    for name in ("wrong.csv", "missing.json"):
        app.text_input(key="batch-labels-path").set_value(str(drawn / name)).run()
        assert not app.exception
        assert any(name in one.value for one in app.error)
    app.text_input(key="batch-labels-path").set_value("/etc/passwd").run()
    assert any("only these folders may be read here" in one.value for one in app.error)
