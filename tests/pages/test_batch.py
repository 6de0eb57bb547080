"""Batch: from a choice of pictures to a gallery, with everything that can go wrong on the way as a sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image as Pillow
from pyarrow import parquet

from sightglass.batch import analysis, labels, table
from sightglass.common.errors import ModelProblem
from sightglass.components.choices.gallery_picker import check_path
from sightglass.components.session.state import ChosenClass, Navigation, Reopened, Sidebar
from sightglass.evaluation import stored
from sightglass.explain.picture import source as sources
from sightglass.explain.picture.image import to_jpeg
from sightglass.history import History
from sightglass.pages.batch import gallery, views
from sightglass.pages.batch.job import Batch, BatchJob, RunPlan, folder_for
from sightglass.pages.batch.source import Source
from tests.conftest import PERSONS
from tests.pages.conftest import act, session, texts
from tests.waits import patience

SCREEN = "pages/batch/page.py"


@pytest.fixture
def many(tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """14 pictures in two folders and a file that is none, where the operator allows to read."""
    root = tmp_path / "pictures"
    for number in range(14):
        below = root / ("minibus" if number % 2 else "trolleybus")
        below.mkdir(parents=True, exist_ok=True)
        with Pillow.open(pictures[0]) as opened:
            x = 10 * number
            opened.convert("RGB").crop((x, 200 + x, x + 500, 700)).resize((100, 90)).save(below / f"{number:02}.jpg")
    (root / "minibus" / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.setenv("SIGHTGLASS_FOLDERS", str(root))
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    return root


def button(app, label: str):
    return next(one for one in app.button if one.label == label)


def finished(app):
    """Run until the job is done."""
    assert session(app, Batch).job.finished(patience(90))
    return app.run()


def opened(app) -> list[str]:
    """The keys of the pictures in the gallery."""
    return [str(one.key).removeprefix("open-gallery-") for one in app.button if str(one.key).startswith("open-gall")]


def test_a_first_visit_opens_the_packaged_run_below_the_choice_of_own_pictures(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## Many pictures at once" and "Example" in texts(app)
    assert "SIGHTGLASS_FOLDERS" in texts(app) and button(app, "Explain all").disabled
    assert session(app, Batch).job is None, "it is an example, and nobody's own run"
    for widget in (*app.button, *app.selectbox, *app.text_input, *app.segmented_control):
        if widget.key is None or str(widget.key).startswith("batch"):
            assert widget.help, widget.label
    for lens in ("classes", "accuracy", "odd", "table", "gallery"):
        app.segmented_control(key="batch-lens").set_value(lens).run()
        assert not app.exception and not app.error, lens
    first = opened(app)[0]
    app.checkbox(key=f"pick-gallery-{first}").check().run()
    assert "1 selected" in texts(app) and not [one for one in app.selectbox if one.key == "batch-tag-name"]
    app.button(key=f"keep-gallery-{first}").click().run()
    (record,) = History().search().records
    assert (record.model, record.screen) == ("demo-cls-s", "batch")
    app.button(key=f"open-gallery-{first}").click().run()
    assert not app.exception and not app.error
    assert session(app, Sidebar).picture.name == first.rpartition("/")[2]


def test_what_a_folder_counts_as_can_be_corrected(page, many):
    (many / "minibus").rename(many / "bus")
    app = page(SCREEN, folder=str(many))
    button(app, "Explain all").click().run()
    app = finished(app)
    (rows,) = [one.value.to_dict("records") for one in app.dataframe if "folder" in one.value]
    assert rows == [
        {"folder": "bus", "class": "not counted: did you mean school bus?", "pictures": 7},
        {"folder": "trolleybus", "class": "trolleybus", "pictures": 7},
    ]
    chosen = next(one for one in app.multiselect if one.label == "Counts as")
    assert chosen.value == ["school bus"], "what may be meant is one press away"
    assert chosen.proto.select_all == 0, "Enter takes the first match, and not all"
    chosen.set_value(["minibus", "school bus"]).run()
    button(app, "Use").click().run()
    assert not app.exception and not app.error
    assert "Not counted" not in texts(app)
    (rows,) = [one.value.to_dict("records") for one in app.dataframe if "folder" in one.value]
    assert rows[0]["class"] == "minibus, school bus"
    folder = session(app, Batch).job.plans[0].folder
    followed = {one.key.partition("/")[0] for one in stored.load(folder).pictures}
    assert followed == {"bus", "trolleybus"}, "Errors and the Scorecard have it, too"
    found = analysis.load(folder)
    assert found["wrong"].notna().all()


def test_a_folder_becomes_a_gallery_with_every_lens(page, many):
    app = page(SCREEN, folder=str(many))
    assert "15 pictures in 2 folders; folder names are used as labels." in texts(app)
    button(app, "Explain all").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    assert "14 of 15 pictures explained; 1 could not be used" in app.markdown[0].value
    assert [one.label for one in app.expander if "could not" in one.label] == ["1 picture could not be used"]
    opened = [one for one in app.button if str(one.key).startswith("open-gallery-")]
    assert len(opened) == 14
    app.selectbox(key="batch-order").set_value("border").run()
    assert "at the edges" in texts(app)
    for lens, words in (
        ("classes", "mean map of each class"),
        ("accuracy", "What is taken for what"),
        ("odd", "Outliers"),
        ("table", "The main columns of "),
    ):
        app.segmented_control(key="batch-lens").set_value(lens).run()
        assert not app.exception and not app.error, lens
        assert words in texts(app)
        assert app.query_params["lens"] == [lens] or app.query_params["lens"] == lens


def test_a_picture_opens_on_explore_as_it_was_explained_whatever_the_sidebar_has_by_then(page, many):
    app = page(
        SCREEN, folder=str(many), model="efficientnet-lite1", method="layercam", layers="blocks.4", part="contrast"
    )
    button(app, "Explain all").click().run()
    app = finished(app)
    assert "efficientnet-lite1, LayerCAM at blocks.4 (Why this class?)" in texts(app)
    assert not [one for one in app.button if "again" in one.label]
    app.multiselect(key="layers-efficientnet-lite1").set_value([])
    app.selectbox(key="method-classify").set_value("gradcam").run()
    assert "LayerCAM at blocks.4" in texts(app)
    next(one for one in app.button if str(one.key) == "open-gallery-minibus/03.jpg").click().run()
    assert not app.exception and not app.error
    assert session(app, Navigation).page == "explore"
    assert session(app, Sidebar).picture.name == "03.jpg"
    choices = session(app, Sidebar).choices
    assert (choices.model.id, choices.method) == ("efficientnet-lite1", "layercam")
    assert (choices.options["layers"], choices.options["part"]) == (("blocks.4",), "contrast")
    row = table.read(session(app, Batch).job.folders[0]).set_index("picture").loc["minibus/03.jpg"]
    assert session(app, ChosenClass).picture == row["picture_sha256"]
    assert session(app, Reopened).recipe.targets == (row["class"],)


def test_other_choices_explain_the_same_pictures_again(page, monkeypatch, pictures):
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    uploader = next(one for one in app.file_uploader if str(one.key).startswith("batch-files"))
    uploader.set_value([("a.jpg", pictures[1].read_bytes(), "image/jpeg")]).run()
    button(app, "Explain all").click().run()
    app = finished(app)
    app.selectbox(key="method-classify").set_value("hirescam").run()
    button(app, "Explain again with these choices").click().run()
    app = finished(app)
    assert not app.error and not app.exception
    assert "HiResCAM at" in texts(app) and "1 of 1 picture" in texts(app)


def test_two_models_can_be_sorted_by_where_they_disagree(page, many):
    app = page(SCREEN, folder=str(many), second="efficientnet-lite2")
    button(app, "Explain all").click().run()
    app = finished(app)
    assert not app.error
    app.selectbox(key="batch-order").set_value("apart").run()
    assert "other model says " in texts(app) and "the maps share " in texts(app)
    assert "; compared with efficientnet-lite2, GradCAM at" in texts(app)


def test_a_run_is_proved_afterwards_and_says_which_maps_to_trust(page, many):
    for file in sorted(many.rglob("*.jpg"))[3:]:
        file.unlink()
    app = page(SCREEN, folder=str(many), model="demo-cls-s", layers="layer4")
    button(app, "Explain all").click().run()
    app = finished(app)
    (before,) = session(app, Batch).job.plans
    for label, options in offered(app).items():
        assert label not in options
    button(app, "Prove every map").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    assert not [one for one in app.button if one.label == "Prove every map"]
    (plan,) = session(app, Batch).job.plans
    assert plan.prove and plan.options == before.options and plan.folder != before.folder
    for label, options in offered(app).items():
        assert label in options
    rows = table.read(plan.folder)
    supported = int(rows["verdict"].eq("supported").sum())
    made = next(one.value for one in app.caption if one.value.startswith("demo-cls-s, "))
    assert made.endswith(f"(Where is it?): {supported} of 3 maps are supported")
    app.selectbox(key="batch-order").set_value("random").run()
    assert opened(app) == list(rows.sort_values("over_random")["picture"]) and "beside random places" in texts(app)
    app.segmented_control(key="batch-lens").set_value("table").run()
    assert {"advantage", "over_random", "verdict", "proof"} <= set(app.dataframe[0].value)


def test_a_run_is_sealed_afterwards_and_sorted_by_the_tests_that_its_maps_pass(page, many):
    for file in sorted(many.rglob("*.jpg"))[2:]:
        file.unlink()
    app = page(SCREEN, folder=str(many), model="demo-cls-s")
    button(app, "Explain all").click().run()
    app = finished(app)
    assert gallery.ORDERS["seal"] not in app.selectbox(key="batch-order").options
    button(app, "Seal every map").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    assert not [one for one in app.button if one.label == "Seal every map"]
    rows = table.read(session(app, Batch).job.plans[0].folder)
    assert rows["seal"].between(0, 3).all()
    app.selectbox(key="batch-order").set_value("seal").run()
    assert opened(app)[0] == rows.sort_values("seal", kind="stable")["picture"].iloc[0]
    assert f"{rows['seal'].min():.0f} of 3 tests passed" in texts(app)


def offered(app) -> dict[str, list[str]]:
    """What only a run whose maps were proved has, and where it would be."""
    return {
        gallery.ORDERS["random"]: app.selectbox(key="batch-order").options,
        gallery.ONLY["unproved"]: app.selectbox(key="batch-only").options,
    }


def test_a_failure_is_a_sentence_and_can_be_started_over(page, many):
    app = page(SCREEN, folder=str(many))
    button(app, "Explain all").click().run()
    app = finished(app)
    job: BatchJob = session(app, Batch).job
    (job.plans[0].folder / "journal.jsonl").write_text('{"settings": {"recipe": {"method": "other"}}}\n')
    session(app, Batch).job = BatchJob(job.source, job.plans)
    app = finished(app)
    assert "other settings" in app.error[0].value
    button(app, "Start over").click().run()
    app = finished(app)
    assert not app.error and "14 of 15" in app.markdown[0].value


def test_other_pictures_can_be_chosen_after_a_stop(page, many):
    app = page(SCREEN, folder=str(many))
    button(app, "Explain all").click().run()
    session(app, Batch).job.cancel.set()
    app = finished(app)
    assert not app.exception
    button(app, "Other pictures").click().run()
    assert session(app, Batch).job is None
    assert app.markdown[0].value.startswith("## 15 pictures")


def test_what_a_killed_run_has_done_is_said_and_not_hidden(page, many):
    app = page(SCREEN, folder=str(many))
    button(app, "Explain all").click().run()
    app = finished(app)
    folder = session(app, Batch).job.plans[0].folder
    button(app, "Other pictures").click().run()
    # As a kill leaves it: the first batches are in the journal, with half a line, and there is no table.
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    (folder / table.PARQUET).unlink()
    again = page(SCREEN, folder=str(many))
    assert again.markdown[0].value == "## 15 pictures, 8 done: continue"
    button(again, "Continue").click().run()
    again = finished(again)
    assert session(again, Batch).job.status.summaries[0].resumed == 8
    assert again.markdown[0].value.startswith("## 14 of 15 pictures explained")


@pytest.mark.parametrize("text", ["/etc", "..", "minibus/../../other", "~", "/etc/*.jpg", "../*/x.jpg", "a\0b"])
def test_only_named_folders_may_be_read(many, text):
    with pytest.raises(ModelProblem):
        sources.find(str(check_path(text, [many.resolve()])[0]))


def test_a_link_below_a_named_folder_does_not_lead_out(many, tmp_path):
    outside = tmp_path / "private"
    outside.mkdir()
    (outside / "1.jpg").write_bytes(to_jpeg(np.zeros((8, 8, 3), np.uint8)))
    (many / "link").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ModelProblem, match="only these folders"):
        check_path("link", [many.resolve()])
    path, root = check_path("li*/*.jpg", [many.resolve()])
    with pytest.raises(ModelProblem, match="no pictures"):
        sources.find(str(path), within=root)


def test_uploads_are_explained_and_forgotten(page, monkeypatch, pictures):
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    data = pictures[1].read_bytes()
    files = [("../../a.jpg", data, "image/jpeg"), ("b.txt", b"no picture", "text/plain")]
    next(one for one in app.file_uploader if str(one.key).startswith("batch-files")).set_value(files).run()
    assert "2 pictures" in texts(app)
    button(app, "Explain all").click().run()
    app = finished(app)
    assert "1 of 2 pictures explained; 1 could not be used" in app.markdown[0].value
    folder = session(app, Batch).job.plans[0].folder
    assert folder.exists() and folder.parent.name.startswith("batch-")
    button(app, "Other pictures").click().run()
    assert not folder.exists()


def test_once_files_are_chosen_the_page_is_about_them_and_says_what_to_do(page, monkeypatch, pictures):
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = page(SCREEN)
    assert opened(app)
    files = [(f"a/{name}.jpg", pictures[1].read_bytes(), "image/jpeg") for name in "bcdefghi"]
    files[1] = ("a/c.jpg", b"no picture", "image/jpeg")
    uploader = next(one for one in app.file_uploader if str(one.key).startswith("batch-files"))
    uploader.set_value(files).run()
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## 8 pictures chosen: press Explain all"
    # Nothing of the example is left to be taken for theirs.
    assert not opened(app) and "Example" not in texts(app)
    assert [one.value for one in app.main.caption][-7:] == [*(f"a/{name}.jpg" for name in "bcdefg"), "And 2 more."]
    assert len(app.main.image) == 5
    assert not button(app, "Explain all").disabled


def test_files_over_the_limit_are_named_below_the_page_s_own_uploader(page, monkeypatch):
    monkeypatch.delenv("SIGHTGLASS_FOLDERS", raising=False)
    app = act(page(SCREEN), "refused-by-uploader", [{"name": "big.png", "size": 80_000_000}])
    assert [one.value for one in app.error] == [
        "big.png has 80 MB; the limit is 64 MB a file: choose a smaller picture, or save it as a JPEG first."
    ]
    act(app, "refused-by-uploader", [{"name": "all.zip", "size": 80_000_000}])
    assert app.error[0].value.endswith("64 MB a file: pack the pictures into several smaller ones.")
    assert not act(app, "refused-by-uploader", []).error
    act(app, "refused-by-uploader", [{"name": "big.png", "size": 80_000_000}])
    app.switch_page("pages/explore.py").run()
    assert not app.error, "it is of no concern there"
    assert not app.switch_page(SCREEN).run().error


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


def test_a_job_ends_with_its_session(many, tmp_path):
    found = Source(tuple(sources.find(many)), "many", str(many))
    job = BatchJob(found, (RunPlan("efficientnet-lite0", {}, tmp_path / "out"),))
    cancel = job.cancel
    del job
    assert cancel.wait(5)


@pytest.mark.parametrize(("model", "said"), [("demo-clip", "%"), ("persons", "**predicts no class**")])
def test_models_of_words_and_models_that_compare_have_a_gallery_too(page, many, own_models, model, said):
    own_models(PERSONS)
    for file in sorted(many.rglob("*.jpg"))[3:]:
        file.unlink()
    app = page(SCREEN, folder=str(many), model=model)
    button(app, "Explain all").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    assert "3 of 3 pictures explained." in app.markdown[0].value
    tiles = [one.value for one in app.markdown if one.value.startswith(":small[")]
    assert len(tiles) == 3 and all(said in tile for tile in tiles)


@pytest.mark.parametrize(
    ("predicted", "words"),
    [
        (["bus"] * 3 + ["cat"], "mostly bus, 75 %"),
        (["bus", "cat", "dog"], "3 different answers"),
        ([], "mostly nothing"),
    ],
)
def test_a_group_is_mostly_what_more_than_half_of_it_is(predicted, words):
    group = analysis.Group("all", pd.DataFrame({"predicted": predicted}), np.zeros((1, 1), np.float32))
    assert views.mostly(group).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.fixture
def mixed(many: Path) -> Path:
    """Four pictures of a minibus, two of them in the folder of another class."""
    for file in sorted(many.rglob("*.jpg")):
        file.unlink()
    for number in range(4):
        pixels = np.full((60, 60, 3), 60 * number, np.uint8)
        (many / ("tench" if number < 2 else "minibus") / f"{number}.jpg").parent.mkdir(exist_ok=True)
        (many / ("tench" if number < 2 else "minibus") / f"{number}.jpg").write_bytes(to_jpeg(pixels))
    return many


def run_of(app, answers: list[str]) -> None:
    """Run it, and give its pictures these answers, in the order of their names."""
    button(app, "Explain all").click().run()
    finished(app)
    folder = session(app, Batch).job.plans[0].folder
    rows = pd.read_parquet(folder / table.PARQUET).sort_values("picture")
    classes = table.classes(folder)
    rows["predicted"] = answers
    made = pa.Table.from_pandas(rows).replace_schema_metadata({b"sightglass_classes": json.dumps(classes)})
    parquet.write_table(made, folder / table.PARQUET)
    app.run()


ANSWERS = ["minibus", "tench", "tench", "minibus"]
"""Of minibus/2, minibus/3, tench/0, tench/1."""


def test_labelled_pictures_give_accuracy_and_a_matrix_whose_cells_show_their_pictures(page, mixed):
    app = page(SCREEN, folder=str(mixed), lens="accuracy")
    run_of(app, ["minibus", "tench", "minibus", "minibus"])
    assert not app.exception and not app.error
    said = texts(app).replace("\N{NO-BREAK SPACE}", " ")
    assert "Right: 25 % of 4 labelled pictures (95 % interval: 5 to 70 %)." in said
    shown = next(one.value for one in app.dataframe if one.key == "batch-matrix")
    assert shown.to_numpy().tolist() == [["✓ 1", "✗ 1"], ["✗ 2", ""]] and list(shown.columns) == ["minibus", "tench"]
    # The most frequent mistake is shown first.
    assert keys_of(app, "open-confusion-") == ["tench/0.jpg", "tench/1.jpg"]
    app.session_state["batch-matrix"] = {"selection": {"rows": [], "columns": [], "cells": [(0, "tench")]}}
    app.run()
    assert keys_of(app, "open-confusion-") == ["minibus/3.jpg"]
    assert "of minibus with the answer **tench**" in texts(app)
    scores = next(one.value for one in app.dataframe if "recall" in one.value).to_dict("records")
    assert [(one["class"], one["recall"][:2].strip(), one["precision"][:2].strip()) for one in scores] == [
        ("tench", "0", "0"),
        ("minibus", "50", "33"),
    ]


def keys_of(app, start: str) -> list[str]:
    return sorted(str(one.key).removeprefix(start) for one in app.button if str(one.key).startswith(start))


def test_what_folders_count_as_is_shown_and_corrected_before_the_run(page, many):
    (many / "minibus").rename(many / "bus")
    app = page(SCREEN, folder=str(many))
    assert "Folders as labels: 7 of 15 pictures counted" in [one.label for one in app.expander]
    chosen = next(one for one in app.multiselect if one.label == "Counts as")
    assert chosen.value == ["school bus"]
    chosen.set_value(["minibus"]).run()
    button(app, "Use").click().run()
    assert "Folders as labels: 15 of 15 pictures counted" in [one.label for one in app.expander]
    button(app, "Explain all").click().run()
    app = finished(app)
    assert not app.exception and not app.error
    assert analysis.load(session(app, Batch).job.plans[0].folder)["wrong"].notna().all()


def test_selected_pictures_are_tagged_and_exported(page, mixed):
    app = page(SCREEN, folder=str(mixed))
    run_of(app, ANSWERS)
    assert not [one for one in app.button if one.key == "batch-deselect"]
    app.checkbox(key="pick-gallery-tench/0.jpg").check().run()
    app.checkbox(key="pick-gallery-minibus/2.jpg").check().run()
    assert "2 selected" in texts(app)
    app.button(key="batch-tag-add").click().run()
    assert app.error[0].value == "A tag has 1 to 60 characters."
    app.text_input(key="batch-tag-name").set_value("odd, light").run()
    app.button(key="batch-tag-add").click().run()
    assert not app.exception and not app.error
    folder = session(app, Batch).job.plans[0].folder
    assert labels.read_tags(folder) == {"odd light": ("minibus/2.jpg", "tench/0.jpg")}
    app.selectbox(key="batch-tag").set_value("odd light").run()
    assert sorted(opened(app)) == ["minibus/2.jpg", "tench/0.jpg"], "the gallery shows that tag alone"
    packed = analysis.pack_some(folder, session(app, Batch).selected)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = archive.namelist()
        rows = archive.read("results.csv").decode()
    assert len([name for name in names if name.endswith(".jpg")]) == 2 and "tench/0.jpg" in rows
    assert len([name for name in names if name.endswith(".npy")]) == 2 and "tench/1.jpg" not in rows
    app.button(key="batch-tag-remove").click().run()
    assert labels.read_tags(folder) == {}
    app.button(key="batch-deselect").click().run()
    assert session(app, Batch).selected == []
    assert not app.checkbox(key="pick-gallery-tench/0.jpg").value


def test_selected_pictures_become_slides_and_no_records(page, mixed, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page(SCREEN, folder=str(mixed))
    run_of(app, ANSWERS)
    button(app, "Select these 4").click().run()
    app.button(key="deck-several-batch").click().run()
    next(one for one in app.button if str(one.key).startswith("slide-several-")).click().run()
    assert not app.exception and not app.error
    (deck,) = (one for one in History().decks.all() if not one.ready)
    assert len(deck.slides) == 4 and not History().search().records


def test_the_run_becomes_a_slide_of_its_numbers_and_ticked_pictures(page, mixed, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page(SCREEN, folder=str(mixed))
    run_of(app, ANSWERS)
    for ticked, about in (((), "Shown: lowest confidence first."), (("minibus/2.jpg",), "Pictures chosen by hand.")):
        for picture in ticked:
            app.checkbox(key=f"pick-gallery-{picture}").check().run()
        app.button(key="deck-batch-run").click().run()
        next(one for one in app.button if one.label == "Add the slide").click().run()
        assert not app.exception and not app.error
        decks = History().decks
        scene = decks.scene(next(one for one in decks.all() if not one.ready).slides[-1])
        assert scene.title.startswith("Right: ") and "95 % interval" in scene.title.replace("\N{NO-BREAK SPACE}", " ")
        assert scene.sentence.endswith(about) and "Most often mistaken: " in scene.sentence
        right = {words: value for value, words in scene.numbers}
        assert int(right["right"]) + int(right["wrong"]) == 4
        assert len(scene.panels) == (len(ticked) or 4)
        assert all(panel.maps and panel.picture and panel.name[0] in "✓✗" for panel in scene.panels)
    assert not History().search().records, "the slide alone is saved"
