"""Batch: runs of before are listed, go on as they were begun, or open their results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.batch import earlier, journal, labels, table
from sightglass.common import users
from sightglass.components.session.state import Sidebar
from sightglass.explain.picture.image import to_jpeg
from sightglass.pages.batch.job import Batch
from tests.pages.conftest import session, texts
from tests.pages.test_batch import button, finished, opened
from tests.unit.batch.test_earlier import cut

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

SCREEN = "pages/batch/page.py"
HOW = {"model": "demo-cls-s", "method": "layercam", "layers": "layer4"}


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


def explained(page, many: Path, **how: str) -> Path:
    """Explain them all, and leave the result; return its folder."""
    app = page(SCREEN, folder=str(many), **HOW | how)
    button(app, "Explain all").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    folder: Path = session(app, Batch).job.plans[0].folder
    button(app, "Other pictures").click().run()
    return folder


def offered(app: AppTest) -> list[str]:
    """What the buttons of earlier runs say."""
    return [one.label for one in app.button if str(one.key).startswith(("batch-on-", "batch-open-"))]


def press(app: AppTest, label: str) -> AppTest:
    button(app, label).click().run()
    return finished(app)


def test_a_killed_run_goes_on_with_its_own_pictures_model_and_options(page, many):
    folder = explained(page, many)
    labels.correct(folder, {"gear": ["star"]})
    cut(folder, 2)
    done = len(journal.stamps_of(folder))
    assert 0 < done < 6
    # The page has other choices by now, and other pictures.
    app = page(SCREEN, folder=str(many / "star"), model="demo-cls-m", method="gradcam", layers="")
    assert "Earlier runs: 1" in [one.label for one in app.expander]
    assert "**pictures**: demo-cls-s, LayerCAM, 6 pictures, " in texts(app)
    assert offered(app) == [f"{6 - done} of 6 left: continue"]
    app = press(app, f"{6 - done} of 6 left: continue")
    assert not app.exception and not app.error
    job = session(app, Batch).job
    assert (job.status.summaries[0].resumed, job.status.summaries[0].done) == (done, 6)
    (plan,) = job.plans
    assert (plan.folder, plan.model) == (folder, "demo-cls-s")
    assert (plan.options["method"], plan.options["layers"]) == ("layercam", ("layer4",))
    assert labels.corrections(folder) == {"gear": ("star",)}
    assert "demo-cls-s, LayerCAM at layer4" in texts(app)


def test_a_finished_run_opens_its_result_and_nothing_is_explained_again(page, many):
    folder = explained(page, many)
    before = (folder / table.PARQUET).stat().st_mtime_ns
    app = page(SCREEN, folder=str(many), **HOW)
    app = press(app, "Finished: open")
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## 6 of 6 pictures explained."
    assert len(opened(app)) == 6 and (folder / table.PARQUET).stat().st_mtime_ns == before
    assert not [one for one in app.button if "again" in one.label], "the sidebar has this run's choices"
    next(one for one in app.button if one.key == "open-gallery-gear/2.jpg").click().run()
    assert session(app, Sidebar).picture.name == "2.jpg"


def test_two_models_are_one_run_and_open_together(page, many):
    explained(page, many, second="demo-cls-m")
    app = page(SCREEN, folder=str(many))
    assert "demo-cls-s and demo-cls-m, LayerCAM, 6 pictures, " in texts(app)
    assert offered(app) == ["Finished: open"]
    app = press(app, "Finished: open")
    assert not app.exception and not app.error
    assert "; compared with demo-cls-m, LayerCAM at" in texts(app)


def test_a_run_whose_pictures_are_gone_says_so_and_shows_what_it_has(page, many):
    folder = explained(page, many)
    shutil.move(many / "gear", many.parent / "moved")
    shutil.move(many, many.parent / "away")
    many.mkdir()
    told = (folder / earlier.FILE).read_text("utf-8")
    (folder / earlier.FILE).write_text(told.replace(f'"{many}"', f'"{many / "gone"}"'), "utf-8")
    app = page(SCREEN)
    gone = f"{many / 'gone'} is not there any more: put it back to go on."
    assert gone in texts(app).replace("\\", "") and offered(app) == ["Finished: open"]
    app = press(app, "Finished: open")
    assert not app.exception and len(opened(app)) == 6
    next(one for one in app.button if one.key == "open-gallery-gear/2.jpg").click().run()
    assert app.error[0].value == "gear/2.jpg is not there any more: put it back, or choose other pictures."
    button(app, "Other pictures").click().run()
    cut(folder, 2)
    app = page(SCREEN)
    assert gone in texts(app).replace("\\", "") and offered(app) == [] and " of 6 left" in texts(app)


def test_notes_that_name_a_folder_that_may_not_be_read_open_nothing(page, many, tmp_path):
    folder = explained(page, many)
    cut(folder, 2)
    told = (folder / earlier.FILE).read_text("utf-8")
    (tmp_path / "private").mkdir()
    for path in ("/etc", str(tmp_path / "private"), str(many / ".." / "private")):
        (folder / earlier.FILE).write_text(told.replace(f'"{many}"', f'"{path}"'), "utf-8")
        app = page(SCREEN)
        assert "only these folders may be read here" in texts(app) and offered(app) == [], path


def test_damaged_notes_and_results_are_a_sentence(page, many):
    folder = explained(page, many)
    (folder / table.PARQUET).write_bytes(b"PAR1")
    app = page(SCREEN, folder=str(many))
    app = press(app, "Finished: open")
    assert "cannot be read: explain these pictures again." in app.error[0].value
    button(app, "Other pictures").click().run()
    (folder / earlier.FILE).write_bytes(b"{")
    app = page(SCREEN, folder=str(many))
    assert not app.exception and offered(app) == []
    assert f"The notes of the run {folder.name} cannot be read: choose its pictures again to go on." in texts(app)
    assert (folder / journal.NAME).exists()


def test_nobody_sees_the_runs_of_another(page, many, visit):
    anna, ben = "anna@example.org", "ben@example.org"
    folder = explained(page, many)
    with users.acting(anna):
        hers = users.folder(folder.parent) / folder.name
    shutil.copytree(folder, hers)
    for person, expected in ((anna, ["Finished: open"]), (ben, [])):
        opened = visit(person)
        opened("explore")
        assert offered(opened("batch")) == expected
