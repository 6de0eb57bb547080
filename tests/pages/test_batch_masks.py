"""Batch with a segmentation network: shares of the picture, and with masks the IoU of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.batch.labelled import summary
from sightglass.pages.batch.job import Batch
from tests.masked import draw_masked
from tests.pages.conftest import session, texts
from tests.waits import patience

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = "pages/batch/page.py"


@pytest.fixture
def masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    pictures, masks = draw_masked(tmp_path / "drawn", 3)
    (masks / "02.png").unlink()
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(tmp_path / "drawn"))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return pictures, masks


def test_the_iou_of_each_class_stands_in_a_table_and_pictures_are_sorted_by_theirs(page, masked):
    pictures, masks = masked
    app = page(SCREEN, folder=str(pictures), model="demo-seg")
    app.text_input(key="batch-labels-path").set_value(str(masks)).run()
    assert "Masks of 2 pictures, their values are the model's classes." in texts(app)
    next(one for one in app.button if one.label == "Explain all").click().run()
    assert session(app, Batch).job.finished(patience(90))
    app.run()
    assert not app.exception and not app.error
    found = summary.load(session(app, Batch).job.plans[0].folder)
    assert found.headline in texts(app)
    assert "1 picture without a mask that can be used" in [one.label for one in app.expander]
    assert "of the picture" in texts(app)
    assert app.selectbox(key="batch-order").value == "iou"
    assert not {"Lowest confidence", "Highest confidence"} & set(app.selectbox(key="batch-order").options)
    app.segmented_control(key="batch-lens").set_value("accuracy").run()
    table = app.dataframe[-1].value
    assert list(table["class"]) == [name for name, *_ in found.list_classes()]
    assert list(table["IoU"]) == pytest.approx([100 * found.by_class[name].value for name in table["class"]])
    app.segmented_control(key="batch-lens").set_value("table").run()
    assert not app.exception and not app.error
    assert "mean_iou" in app.dataframe[-1].value
