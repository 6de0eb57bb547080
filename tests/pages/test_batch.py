"""Batch: from a choice of pictures to a gallery, with everything that can go wrong on the way as a sentence."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from PIL import Image as Pillow
from pyarrow import parquet
from streamlit.runtime.scriptrunner import get_script_run_ctx

from sightglass.batch import analysis, earlier, journal, labels, table
from sightglass.batch.analysis import measure_errors
from sightglass.batch.labelled import summary
from sightglass.common import users
from sightglass.common.errors import ModelProblem
from sightglass.components.choices.gallery_picker import check_path
from sightglass.components.session import signed_in
from sightglass.components.session.state import ChosenClass, Navigation, Reopened, Sidebar
from sightglass.evaluation import stored
from sightglass.explain import Explainer
from sightglass.explain.picture import source as sources
from sightglass.explain.picture.image import load_bundled, to_jpeg
from sightglass.history import History
from sightglass.pages.batch import gallery
from sightglass.pages.batch.job import Batch, BatchJob, folder_for
from sightglass.pages.batch.source import Source
from tests.labelled import draw_scenes
from tests.masked import draw_masked
from tests.pages.conftest import button, press, session, texts
from tests.unit.batch.test_earlier import cut
from tests.waits import patience

SCREEN = "pages/batch/page.py"


@pytest.fixture
def many(tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in two folders and a file that is none, where the operator allows to read."""
    root = tmp_path / "pictures"
    for number in range(6):
        below = root / ("minibus" if number % 2 else "trolleybus")
        below.mkdir(parents=True, exist_ok=True)
        with Pillow.open(pictures[0]) as opened:
            x = 10 * number
            opened.convert("RGB").crop((x, 200 + x, x + 500, 700)).resize((100, 90)).save(below / f"{number:02}.jpg")
    (root / "minibus" / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(root))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return root


def explain(app, label: str):
    """Press a button, and run the page again once the job is done."""
    press(app, label)
    assert session(app, Batch).job.finished(patience(90))
    assert not app.run().error
    return app


def opened(app, start: str = "open-gallery-") -> list[str]:
    """The keys of the pictures in the gallery."""
    return [str(one.key).removeprefix(start) for one in app.button if str(one.key).startswith(start)]


def test_a_first_visit_opens_the_packaged_run_below_the_choice_of_own_pictures(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    assert app.markdown[0].value == "## Many pictures at once" and "Example" in texts(app)
    assert "SIGHTGLASS_FOLDERS" in texts(app) and button(app, "Explain all").disabled
    assert session(app, Batch).job is None, "it is an example, and nobody's own run"
    for lens in ("classes", "accuracy", "odd", "table", "gallery"):
        app.segmented_control(key="batch-lens").set_value(lens).run()
        assert not app.error, lens
    first = opened(app)[0]
    app.button(key=f"keep-gallery-{first}").click().run()
    (record,) = History().search().records
    assert (record.model, record.screen) == ("demo-cls-s", "batch")
    app.button(key=f"open-gallery-{first}").click().run()
    assert not app.error
    assert session(app, Sidebar).picture.name == first.rpartition("/")[2]


def test_what_a_folder_counts_as_can_be_corrected(page, many):
    (many / "minibus").rename(many / "bus")
    app = explain(page(SCREEN, folder=str(many)), "Explain all")
    (rows,) = [one.value.to_dict("records") for one in app.dataframe if "folder" in one.value]
    assert rows == [
        {"folder": "bus", "class": "not counted: did you mean school bus?", "pictures": 3},
        {"folder": "trolleybus", "class": "trolleybus", "pictures": 3},
    ]
    chosen = next(one for one in app.multiselect if one.label == "Counts as")
    assert chosen.value == ["school bus"], "what may be meant is one press away"
    chosen.set_value(["minibus", "school bus"]).run()
    press(app, "Use")
    assert "Not counted" not in texts(app)
    folder = session(app, Batch).job.plans[0].folder
    followed = {one.key.partition("/")[0] for one in stored.load(folder).pictures}
    assert followed == {"bus", "trolleybus"}, "Errors and the Scorecard have it, too"
    assert analysis.load(folder)["wrong"].notna().all()


def test_a_folder_becomes_a_gallery_with_every_lens_of_two_models(page, many):
    app = page(SCREEN, folder=str(many), second="efficientnet-lite2")
    assert "7 pictures in 2 folders; folder names are used as labels." in texts(app)
    app = explain(app, "Explain all")
    assert "6 of 7 pictures explained; 1 could not be used" in app.markdown[0].value
    assert len(opened(app)) == 6 and "; compared with efficientnet-lite2, GradCAM at" in texts(app)
    app.selectbox(key="batch-order").set_value("apart").run()
    assert "other model says " in texts(app) and "the maps share " in texts(app)
    app.selectbox(key="batch-order").set_value("border").run()
    assert "at the edges" in texts(app)
    for lens, words in (
        ("classes", "mean map of each class"),
        ("accuracy", "What is taken for what"),
        ("odd", "Outliers"),
        ("table", "The main columns of "),
    ):
        app.segmented_control(key="batch-lens").set_value(lens).run()
        assert not app.error, lens
        assert words in texts(app) and app.query_params["lens"] in (lens, [lens])


def test_a_picture_opens_on_explore_as_it_was_explained_whatever_the_sidebar_has_by_then(page, many):
    how = {"model": "efficientnet-lite1", "method": "layercam", "layers": "blocks.4", "part": "contrast"}
    app = explain(page(SCREEN, folder=str(many), **how), "Explain all")
    assert "efficientnet-lite1, LayerCAM at blocks.4 (Why this class?)" in texts(app)
    app.multiselect(key="layers-efficientnet-lite1").set_value([])
    app.selectbox(key="method-classify").set_value("gradcam").run()
    assert "LayerCAM at blocks.4" in texts(app)
    app.button(key="open-gallery-minibus/03.jpg").click().run()
    assert not app.error
    assert (session(app, Navigation).page, session(app, Sidebar).picture.name) == ("explore", "03.jpg")
    choices = session(app, Sidebar).choices
    assert (choices.model.id, choices.method) == ("efficientnet-lite1", "layercam")
    assert (choices.options["layers"], choices.options["part"]) == (("blocks.4",), "contrast")
    row = table.read(session(app, Batch).job.folders[0]).set_index("picture").loc["minibus/03.jpg"]
    assert session(app, ChosenClass).picture == row["picture_sha256"]
    assert session(app, Reopened).recipe.targets == (row["class"],)


def test_maps_are_proved_and_sealed_afterwards(page, many):
    for file in sorted(many.rglob("*.jpg"))[3:]:
        file.unlink()
    app = explain(page(SCREEN, folder=str(many), model="demo-cls-s", layers="layer4"), "Explain all")
    (before,) = session(app, Batch).job.plans
    assert not {gallery.ORDERS["random"], gallery.ORDERS["seal"]} & set(app.selectbox(key="batch-order").options)
    app = explain(app, "Prove every map")
    assert not [one for one in app.button if one.label == "Prove every map"]
    (plan,) = session(app, Batch).job.plans
    assert plan.prove and plan.options == before.options and plan.folder != before.folder
    rows = table.read(plan.folder)
    made = next(one.value for one in app.caption if one.value.startswith("demo-cls-s, "))
    assert made.endswith(f"{rows['verdict'].eq('supported').sum()} of {len(rows)} maps are supported")
    app.selectbox(key="batch-order").set_value("random").run()
    assert opened(app) == list(rows.sort_values("over_random")["picture"]) and "beside random places" in texts(app)
    app = explain(app, "Check every map")
    assert not [one for one in app.button if one.label == "Check every map"]
    rows = table.read(session(app, Batch).job.plans[0].folder)
    app.selectbox(key="batch-order").set_value("seal").run()
    assert f"{rows['seal'].min():.0f} of 3 tests passed" in texts(app)


def test_a_failure_is_a_sentence_and_can_be_started_over(page, many):
    app = explain(page(SCREEN, folder=str(many)), "Explain all")
    job: BatchJob = session(app, Batch).job
    (job.plans[0].folder / "journal.jsonl").write_text('{"settings": {"recipe": {"method": "other"}}}\n')
    again = session(app, Batch).job = BatchJob(job.source, job.plans)
    assert again.finished(patience(90)) and "other settings" in app.run().error[0].value
    app = explain(app, "Start over")
    assert "6 of 7" in app.markdown[0].value


def test_only_named_folders_may_be_read(many, tmp_path):
    for text in ("/etc", "..", "minibus/../../other", "~", "/etc/*.jpg", "../*/x.jpg", "a\0b"):
        with pytest.raises(ModelProblem):
            sources.find(str(check_path(text, [many.resolve()])[0]))
    outside = tmp_path / "private"
    outside.mkdir()
    (outside / "1.jpg").write_bytes(to_jpeg(np.zeros((8, 8, 3), np.uint8)))
    (many / "link").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ModelProblem, match="only these folders"):
        check_path("link", [many.resolve()])
    path, root = check_path("li*/*.jpg", [many.resolve()])
    with pytest.raises(ModelProblem, match="no pictures"):
        sources.find(str(path), within=root)


def test_uploads_are_explained_again_by_other_choices_and_forgotten(page, monkeypatch, pictures):
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    files = [("../../a.jpg", pictures[1].read_bytes(), "image/jpeg"), ("b.txt", b"no picture", "text/plain")]
    next(one for one in app.file_uploader if str(one.key).startswith("batch-files")).set_value(files).run()
    # Nothing of the example is left to be taken for theirs.
    assert app.markdown[0].value == "## 2 pictures chosen: press Explain all"
    assert not opened(app) and "Example" not in texts(app)
    app = explain(app, "Explain all")
    assert "1 of 2 pictures explained; 1 could not be used" in app.markdown[0].value
    app.selectbox(key="method-classify").set_value("hirescam").run()
    app = explain(app, "Explain again with these choices")
    assert "HiResCAM at" in texts(app)
    folder = session(app, Batch).job.plans[0].folder
    assert folder.exists() and folder.parent.name.startswith("batch-")
    press(app, "Other pictures")
    assert not folder.exists()


def test_results_of_a_folder_are_found_again_and_those_of_uploads_are_not_mixed(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path))
    own, uploaded = Source((), "cats", "/data/cats"), Source((), "cats", "")
    first = folder_for(own, "m", {"method": "gradcam"}, tmp_path / "scratch")
    assert first == folder_for(own, "m", {"method": "gradcam"}, tmp_path / "other")
    assert first != folder_for(own, "m", {"method": "layercam"}, tmp_path)
    # As it was before maps could be proved, so that runs of then resume.
    assert first.name == "cats-m-4ed136495c"
    assert folder_for(own, "m", {"method": "gradcam"}, tmp_path, prove=True) != first
    assert folder_for(uploaded, "m", {}, tmp_path / "scratch").parent == tmp_path / "scratch"


@pytest.fixture
def mixed(many: Path) -> Path:
    """Four pictures of a minibus, two of them in the folder of another class."""
    for file in sorted(many.rglob("*.jpg")):
        file.unlink()
    for number in range(4):
        path = many / ("tench" if number < 2 else "minibus") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(to_jpeg(np.full((60, 60, 3), 60 * number, np.uint8)))
    return many


def run_of(app, *answers: str) -> Path:
    """Run it, and give minibus/2, minibus/3, tench/0 and tench/1 these answers; return its folder."""
    folder = session(explain(app, "Explain all"), Batch).job.plans[0].folder
    rows = pd.read_parquet(folder / table.PARQUET).sort_values("picture")
    rows["predicted"] = answers
    metadata = {b"sightglass_classes": json.dumps(table.classes(folder))}
    parquet.write_table(pa.Table.from_pandas(rows).replace_schema_metadata(metadata), folder / table.PARQUET)
    assert not app.run().error
    return folder


def test_labelled_pictures_give_accuracy_and_a_matrix_whose_cells_show_their_pictures(page, mixed):
    app = page(SCREEN, folder=str(mixed), lens="accuracy")
    run_of(app, "minibus", "tench", "minibus", "minibus")
    said = texts(app).replace("\N{NO-BREAK SPACE}", " ")
    assert "Right: 25 % of 4 labelled pictures (95 % interval: 5 to 70 %)." in said
    shown = next(one.value for one in app.dataframe if one.key == "batch-matrix")
    assert shown.to_numpy().tolist() == [["✓ 1", "✗ 1"], ["✗ 2", ""]] and list(shown.columns) == ["minibus", "tench"]
    # The most frequent mistake is shown first.
    assert sorted(opened(app, "open-confusion-")) == ["tench/0.jpg", "tench/1.jpg"]
    app.session_state["batch-matrix"] = {"selection": {"rows": [], "columns": [], "cells": [(0, "tench")]}}
    app.run()
    assert opened(app, "open-confusion-") == ["minibus/3.jpg"]
    assert "of minibus with the answer **tench**" in texts(app)


def test_selected_pictures_are_tagged_exported_and_become_a_slide(page, mixed, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page(SCREEN, folder=str(mixed))
    folder = run_of(app, "minibus", "tench", "tench", "minibus")
    app.checkbox(key="pick-gallery-tench/0.jpg").check().run()
    app.checkbox(key="pick-gallery-minibus/2.jpg").check().run()
    app.button(key="batch-tag-add").click().run()
    assert app.error[0].value == "A tag has 1 to 60 characters."
    app.text_input(key="batch-tag-name").set_value("odd, light").run()
    app.button(key="batch-tag-add").click().run()
    assert labels.read_tags(folder) == {"odd light": ("minibus/2.jpg", "tench/0.jpg")}
    app.selectbox(key="batch-tag").set_value("odd light").run()
    assert sorted(opened(app)) == ["minibus/2.jpg", "tench/0.jpg"], "the gallery shows that tag alone"
    with zipfile.ZipFile(io.BytesIO(analysis.pack_some(folder, session(app, Batch).selected))) as archive:
        names, rows = archive.namelist(), archive.read("results.csv").decode()
    assert len([name for name in names if name.endswith(".jpg")]) == 2 and "tench/0.jpg" in rows
    assert len([name for name in names if name.endswith(".npy")]) == 2 and "tench/1.jpg" not in rows
    app.button(key="deck-batch-run").click().run()
    press(app, "Add the slide")
    decks = History().decks
    scene = decks.scene(next(one for one in decks.all() if not one.ready).slides[-1])
    assert scene.title.startswith("Right: ") and scene.sentence.endswith("Pictures chosen by hand.")
    assert len(scene.panels) == 2 and all(panel.maps and panel.name[0] in "✓✗" for panel in scene.panels)
    assert not History().search().records, "the slide alone is saved"
    app.button(key="batch-tag-remove").click().run()
    assert labels.read_tags(folder) == {}
    app.button(key="batch-deselect").click().run()
    assert session(app, Batch).selected == [] and not app.checkbox(key="pick-gallery-tench/0.jpg").value


@pytest.fixture
def six(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
def finished_run(page, six: Path) -> Path:
    """The folder of a finished run over them all."""
    app = page(SCREEN, folder=str(six), model="demo-cls-s", method="layercam", layers="layer4")
    app = explain(app, "Explain all")
    found: Path = session(app, Batch).job.plans[0].folder
    press(app, "Other pictures")
    return found


def offered_runs(app) -> list[str]:
    """What the buttons of earlier runs say."""
    return [one.label for one in app.button if str(one.key).startswith(("batch-on-", "batch-open-"))]


def test_a_killed_run_goes_on_with_its_own_pictures_model_and_options(page, six, finished_run):
    labels.correct(finished_run, {"gear": ["star"]})
    cut(finished_run, 2)
    done = len(journal.stamps_of(finished_run))
    assert 0 < done < 6
    # The page has other choices by now, and other pictures.
    app = page(SCREEN, folder=str(six / "star"), model="demo-cls-m", method="gradcam", layers="")
    assert "**pictures**: demo-cls-s, LayerCAM, 6 pictures, " in texts(app)
    assert offered_runs(app) == [f"{6 - done} of 6 left: continue"]
    app = explain(app, f"{6 - done} of 6 left: continue")
    job = session(app, Batch).job
    assert (job.status.summaries[0].resumed, job.status.summaries[0].done) == (done, 6)
    (plan,) = job.plans
    assert (plan.folder, plan.model) == (finished_run, "demo-cls-s")
    assert (plan.options["method"], plan.options["layers"]) == ("layercam", ("layer4",))
    assert labels.corrections(finished_run) == {"gear": ("star",)}


def test_notes_that_name_a_folder_that_may_not_be_read_open_nothing(page, six, finished_run, tmp_path):
    cut(finished_run, 2)
    told = (finished_run / earlier.FILE).read_text("utf-8")
    (tmp_path / "private").mkdir()
    for path in ("/etc", str(six / ".." / "private")):
        (finished_run / earlier.FILE).write_text(told.replace(f'"{six}"', f'"{path}"'), "utf-8")
        app = page(SCREEN)
        assert "only these folders may be read here" in texts(app) and offered_runs(app) == [], path


def test_nobody_sees_the_runs_of_another(page, finished_run, monkeypatch, request):
    request.addfinalizer(lambda: users.resolve_with(None))
    anna, ben = "anna@example.org", "ben@example.org"
    with users.acting(anna):
        hers = users.folder(finished_run.parent) / finished_run.name
    shutil.copytree(finished_run, hers)
    for person, expected in ((anna, ["Finished: open"]), (ben, [])):
        users.resolve_with(lambda person=person: person if get_script_run_ctx(suppress_warning=True) else users.NOBODY)
        monkeypatch.setattr(signed_in, "_visitor", lambda person=person: person)
        assert offered_runs(page(SCREEN)) == expected


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
    assert texts(app).count("Not counted: Stern (") == 1
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
