"""Numbers on the page Batch: with true ones it says how far answers are, the largest error first."""

from __future__ import annotations

import pytest
from PIL import Image

from sightglass.batch.analysis import measure_errors
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.pages.batch.job import Batch
from tests.pages.conftest import session, texts
from tests.waits import patience


def test_a_batch_with_true_numbers_says_how_far_answers_are_the_largest_error_first(page, tmp_path, monkeypatch):
    folder = tmp_path / "rods"
    folder.mkdir()
    for name in ("a rod", "scene 1"):
        Image.fromarray(load_bundled(name).pixels).save(folder / f"{name}.png")
    (tmp_path / "true.csv").write_text("file,label\na rod.png,0\nscene 1.png,0\n", "utf-8")
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    app = page("pages/batch/page.py", folder=str(folder), model="demo-regress")
    app.text_input(key="batch-labels-path").set_value(str(tmp_path / "true.csv")).run()
    next(one for one in app.button if one.label == "Explain all").click().run()
    assert session(app, Batch).job.finished(patience(90))
    app.run()
    assert not app.exception and not app.error
    found = [Explainer("demo-regress")(load_bundled(name)).predictions[0].score for name in ("a rod", "scene 1")]
    assert measure_errors(found).describe("°") in texts(app) and texts(app).count("true: 0°") == 2
    assert app.selectbox(key="batch-order").value == "error"
    app.segmented_control(key="batch-lens").set_value("accuracy").run()
    assert "sort the gallery by Largest error" in texts(app)
    app.segmented_control(key="batch-lens").set_value("table").run()
    assert list(app.dataframe[-1].value["error"]) == pytest.approx(found, abs=1e-3)
