"""Batch: runs of before are listed, go on as they were begun, or open their results."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sightglass.batch import earlier, journal, labels
from sightglass.common import users
from sightglass.explain.picture.image import to_jpeg
from sightglass.pages.batch.job import Batch
from tests.pages.conftest import session, texts
from tests.pages.test_batch import SCREEN, button, opened, press
from tests.unit.batch.test_earlier import cut


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in two folders, where the operator allows to read."""
    root = tmp_path / "pictures"
    for number in range(6):
        path = root / ("star" if number % 2 else "gear") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_jpeg(np.full((60, 60, 3), 40 * number, np.uint8)))
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(root))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return root


@pytest.fixture
def folder(page, many: Path) -> Path:
    """The folder of a finished run over them all."""
    app = page(SCREEN, folder=str(many), model="demo-cls-s", method="layercam", layers="layer4")
    app = press(app, "Explain all")
    found: Path = session(app, Batch).job.plans[0].folder
    button(app, "Other pictures").click().run()
    return found


def offered(app) -> list[str]:
    """What the buttons of earlier runs say."""
    return [one.label for one in app.button if str(one.key).startswith(("batch-on-", "batch-open-"))]


def test_a_killed_run_goes_on_with_its_own_pictures_model_and_options(page, many, folder):
    labels.correct(folder, {"gear": ["star"]})
    cut(folder, 2)
    done = len(journal.stamps_of(folder))
    assert 0 < done < 6
    # The page has other choices by now, and other pictures.
    app = page(SCREEN, folder=str(many / "star"), model="demo-cls-m", method="gradcam", layers="")
    assert "**pictures**: demo-cls-s, LayerCAM, 6 pictures, " in texts(app)
    assert offered(app) == [f"{6 - done} of 6 left: continue"]
    app = press(app, f"{6 - done} of 6 left: continue")
    assert not app.error
    job = session(app, Batch).job
    assert (job.status.summaries[0].resumed, job.status.summaries[0].done) == (done, 6)
    (plan,) = job.plans
    assert (plan.folder, plan.model) == (folder, "demo-cls-s")
    assert (plan.options["method"], plan.options["layers"]) == ("layercam", ("layer4",))
    assert labels.corrections(folder) == {"gear": ("star",)}


def test_a_run_whose_pictures_are_gone_says_so_and_shows_what_it_has(page, many, folder):
    many.rename(many.parent / "away")
    many.mkdir()
    told = (folder / earlier.FILE).read_text("utf-8")
    (folder / earlier.FILE).write_text(told.replace(f'"{many}"', f'"{many / "gone"}"'), "utf-8")
    app = page(SCREEN)
    gone = f"{many / 'gone'} is not there any more: put it back to go on."
    assert gone in texts(app).replace("\\", "") and offered(app) == ["Finished: open"]
    app = press(app, "Finished: open")
    assert len(opened(app)) == 6
    app.button(key="open-gallery-gear/2.jpg").click().run()
    assert app.error[0].value == "gear/2.jpg is not there any more: put it back, or choose other pictures."


def test_notes_that_name_a_folder_that_may_not_be_read_open_nothing(page, many, folder, tmp_path):
    cut(folder, 2)
    told = (folder / earlier.FILE).read_text("utf-8")
    (tmp_path / "private").mkdir()
    for path in ("/etc", str(many / ".." / "private")):
        (folder / earlier.FILE).write_text(told.replace(f'"{many}"', f'"{path}"'), "utf-8")
        app = page(SCREEN)
        assert "only these folders may be read here" in texts(app) and offered(app) == [], path


def test_nobody_sees_the_runs_of_another(folder, visit):
    anna, ben = "anna@example.org", "ben@example.org"
    with users.acting(anna):
        hers = users.folder(folder.parent) / folder.name
    shutil.copytree(folder, hers)
    for person, expected in ((anna, ["Finished: open"]), (ben, [])):
        opened = visit(person)
        opened("explore")
        assert offered(opened("batch")) == expected
