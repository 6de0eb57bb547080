"""Batch: trainings that were watched are listed, and open epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.callbacks import watched
from tests.pages.conftest import texts
from tests.pages.test_batch import button
from tests.unit.callbacks.test_watcher import make_watcher, train

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = "pages/batch/page.py"


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training of three epochs where page Batch looks."""
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    watcher = make_watcher(None, name="stamps")
    train(watcher, 3)
    return watcher.folder


def test_a_training_opens_epoch_by_epoch(page, trained):
    app = page(SCREEN)
    assert "**stamps**: 3 epochs, 2 pictures" in texts(app)
    app = button(app, "Open").click().run()
    assert not app.exception and not app.error
    run = watched.read(trained)
    assert "## Training watched: 3 epochs" in texts(app)
    assert "Evidence inside the stamp, mean of 2 pictures" in texts(app).replace("\\", "")
    slider = next(one for one in app.select_slider if one.label == "Epoch")
    assert slider.value == 3
    app = slider.set_value(1).run()
    assert not app.exception and not app.error
    shown = run.epochs[0].answers[0]
    assert f"{shown.answer} {shown.score * 100:.0f}" in texts(app)
    app = next(one for one in app.selectbox if one.label == "Picture").set_value(1).run()
    assert "**Epoch 2**" in texts(app)
    app = button(app, "Other runs").click().run()
    assert "**stamps**: 3 epochs" in texts(app)


def test_what_failed_or_is_gone_is_a_sentence(page, trained):
    app = page(SCREEN)
    app = button(app, "Open").click().run()
    watched.append(trained, watched.WatchedEpoch(number=4, problem="It <b>broke</b>."))
    app.run()
    assert r"An epoch could not be watched: It \<b\>broke\</b\>." in app.warning[0].value
    (trained / watched.FILE).write_text("{", "utf-8")
    app.run()
    assert "cannot be read" in app.error[0].value
    app = button(app, "Other runs").click().run()
    assert not app.exception and not app.error and "stamps" not in texts(app)


def test_nobody_sees_the_trainings_of_another(page, trained, visit):
    opened = visit("anna@example.org")
    assert "stamps" not in texts(opened("batch"))
