"""Pictures: from dropped files or a folder to a decision, with everything that can go wrong as a sentence."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from PIL import Image

from sightglass import explain
from sightglass.batch import finished, journal, labels, relabel, run_store, runner, table, uploads
from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.evaluation import stored
from sightglass.evaluation.decision import list_objects
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain.phrases import NBSP
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.tasks import task_of
from sightglass.history import History
from sightglass.pages.pictures import job as jobs
from sightglass.pages.pictures.job import PicturesJob, PicturesPage, open_example
from sightglass.report.view import View
from sightglass.ui.session import state
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.state import ChosenAnswer, Controls, Navigation, Reopened
from sightglass.ui.session.visitor import Visitor
from sightglass.ui.views import charts
from tests.corpus import saved, zip_of
from tests.labelled import draw_scenes, mark_stopped
from tests.pages.conftest import button, parameter, press, rerun_until, session, texts
from tests.waits import patience

SCREEN = "pages/pictures/page.py"
PNG = saved(Image.new("RGB", (8, 8)), "PNG")


def cut(folder: Path, lines: int) -> None:
    """Leave the run as a kill does after its settings and `lines - 1` batches."""
    lines_left = (folder / journal.NAME).read_bytes().splitlines(keepends=True)[:lines]
    (folder / journal.NAME).write_bytes(b"".join(lines_left))
    (folder / "results.parquet").unlink()
    facts = json.loads((folder / run_store.FILE).read_text("utf-8"))
    (folder / run_store.FILE).write_text(json.dumps(facts | {"done": None}), "utf-8")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_BATCHES", str(tmp_path / "batches"))
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))


@pytest.fixture
def many(tmp_path: Path, pictures: list[Path]) -> Path:
    """Six pictures in two folders and a file that is none."""
    root = tmp_path / "pictures"
    for number in range(6):
        below = root / ("minibus" if number % 2 else "trolleybus")
        below.mkdir(parents=True, exist_ok=True)
        with Image.open(pictures[0]) as opened:
            x = 10 * number
            opened.convert("RGB").crop((x, 200 + x, x + 500, 700)).resize((100, 90)).save(below / f"{number:02}.jpg")
    (root / "minibus" / "broken.jpg").write_bytes(b"no picture")
    return root


def choose(app, folder: Path, truth: Path | None = None):
    """Drop a folder as a .zip, with labels: a file, or a folder of masks."""
    files = [zipped(folder)]
    if truth is not None:
        files.append(zipped(truth) if truth.is_dir() else (truth.name, truth.read_bytes(), ""))
    drop(app, *files)
    assert not app.error, texts(app)
    return app


def zipped(folder: Path) -> tuple[str, bytes, str]:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}
    return f"{folder.name}.zip", zip_of(files), "application/zip"


def finish(app):
    """Run the page again once its job is done."""
    assert session(app, PicturesPage).job.finished(patience(120))
    assert not app.run().error, texts(app)
    return app


def run(app):
    return finish(press(app, "Run"))


def drop(app, *files: tuple[str, bytes, str]):
    """Drop files on the page."""
    next(u for u in app.file_uploader if str(u.key).startswith("pictures-drop")).set_value(list(files)).run()
    return app


def opened(app) -> list[str]:
    """The keys of the tiles."""
    start = "pictures-open-"
    return [str(element.key).removeprefix(start) for element in app.button if str(element.key).startswith(start)]


def headline(app) -> str:
    return next(element.value for element in app.markdown if element.value.startswith("## "))


def test_first_visit_shows_stored_comparison(page):
    app = page(SCREEN, tolerance="500")
    assert [toast.value.partition("” ")[2] for toast in app.toast] == ["is not offered here: it was left out."]
    result = finished.read(open_example().ready)
    assert "Example by Demo-cls-s, Demo-cls-m and Demo-cls-l" in texts(app)
    assert session(app, PicturesPage).job is None
    assert button(app, "Run").disabled and result.decision is not None
    frame = app.dataframe[0].value
    assert [share == "reference" for share in frame["Same class"]].count(True) == 1
    assert frame["Model"].tolist() == result.names and frame["Right"].tolist()[0].endswith("%")
    assert f"## {result.decision.headline}." in texts(app)
    assert escape(result.decision.comparison) in [text.help for text in app.markdown]
    for view in ("wrong", "class", "all", "differ"):
        app.segmented_control(key="pictures-view").set_value(view).run()
        assert not app.error, view
    objects, pair = list_objects(result.decision.rows), (result.names[0], result.decision.reference.model)
    for chosen, right in (("first", (True, False)), ("neither", (False, False)), ("second", (False, True))):
        app.pills(key="pictures-right").set_value(chosen).run()
        assert {*opened(app)} == {row["picture"] for row in objects if tuple(row[name] for name in pair) == right}
    assert parameter(app, "right") == "second"
    first = opened(app)[0]
    app.button(key=f"pictures-open-{first}").click().run()
    assert all(f":small[{name}  \n" in texts(app) for name in result.names), "the panel has the map of each model"
    app.button(key="pictures-explore").click().run()
    assert session(app, Controls).picture.name == first.rpartition("/")[2]


def test_a_mark_of_a_chart_shows_its_pictures(page):
    result = finished.read(open_example().ready)
    frame = result.frames[0]
    taken = {*frame[(frame["truth"] == "plate-triangle") & (frame["predicted"] == "plate-square")]["picture"]}
    app = page(SCREEN, charts="1", chosen="confusion,plate-triangle,plate-square")
    assert {*opened(app)} == taken and len(taken) == 2
    assert "**2 pictures**: plate-triangle taken for plate-square" in texts(app)
    (element,) = app.get("plotly_chart")
    assert json.loads(element.proto.spec)["layout"]["xaxis"]["title"]["text"] == "Answer"
    assert element.proto.alt.startswith("Confusion matrix of Demo-cls-s. ")
    assert "Answers of **Demo-cls-s**" in texts(app)
    # Filters and views choose among these, and count them.
    views = app.segmented_control(key="pictures-view")
    assert views.options == ["Chosen 2", "Wrong 2", "By class", "By model"]
    views.set_value("wrong").run()
    assert {*opened(app)} == taken
    app.segmented_control(key="pictures-view").set_value("all").run()
    press(app, "Show all")
    assert len(opened(app)) == 24 and "chosen" not in app.query_params
    chosen_chart = app.segmented_control(key="pictures-chart-scores-confusion-reliability-classes-evidence")
    assert chosen_chart.value == "confusion"
    app.toggle(key="pictures-charts").set_value(False).run()
    assert not app.get("plotly_chart") and len(opened(app)) == 24
    # Of another model the mark may be none.
    app = page(SCREEN, chosen="confusion,plate-triangle,plate-square", of="demo-cls-l")
    assert len(opened(app)) == 24 and "plate-triangle taken for" not in texts(app)
    assert any("is not offered here: it was left out." in toast.value for toast in app.toast)


def test_two_models_run_and_picture_opens(page, many):
    how = {"model": "efficientnet-lite1", "method": "layercam", "layers": "blocks.4", "part": "contrast"}
    app = choose(page(SCREEN, models="efficientnet-lite2", **how), many)
    assert headline(app) == "## 7 pictures: press Run."
    app = run(app)
    job = session(app, PicturesPage).job
    assert [plan.model for plan in job.plans] == ["efficientnet-lite1", "efficientnet-lite2"]
    assert parameter(app, "run") == job.plans[0].folder.name
    assert len(opened(app)) == 6 and "instead of" in texts(app)
    app.multiselect(key="layers-efficientnet-lite1").set_value([])
    app.selectbox(key="method-classify").set_value("gradcam").run()
    app.button(key="pictures-open-minibus/03.jpg").click().run()
    app.button(key="pictures-explore").click().run()
    assert not app.error
    assert (session(app, Navigation).page, session(app, Controls).picture.name) == ("explore", "03.jpg")
    assert {name: parameter(app, name) for name in how} == how
    row = table.read(job.plans[0].folder).set_index("picture").loc["minibus/03.jpg"]
    assert session(app, ChosenAnswer).picture == row["picture_sha256"]
    assert session(app, Reopened).recipe.targets == (row["class"],)


def test_dropped_files_survive_reload(page, pictures):
    bus = pictures[1].read_bytes()
    others = {"minibus/a": b"", "about.json": b'{"name": "mine"}'}
    data = zip_of({"minibus/1.jpg": bus, "trolleybus/2.jpg": bus, **others})
    app, other = (drop(page(SCREEN), ("mine.zip", data, "application/zip")) for _ in range(2))
    assert headline(app) == "## 2 pictures: press Run." and "Example" not in texts(app) and not opened(app)
    # Neither a reload before the run nor one after it loses them.
    assert headline(page(SCREEN, upload=parameter(app, "upload"))) == "## 2 pictures: press Run."
    app = run(app)
    job = session(app, PicturesPage).job
    app = page(SCREEN, run=job.plans[0].folder.name)
    finish(app)
    assert len(opened(app)) == 2 and "(2 labelled pictures)" in headline(app)
    app.button(key=f"pictures-delete-{job.plans[0].folder.name}").click().run()
    assert not job.plans[0].folder.exists() and not Path(job.source.path).exists()
    # Another visitor dropped the same file, and has not run it yet.
    assert len(list(uploads.uploads_home().iterdir())) == 1
    assert all(item.open() for item in session(other, PicturesPage).source.items)


def test_what_cannot_be_used_is_one_sentence(page, monkeypatch):
    monkeypatch.setattr(jobs, "list_earlier", lambda: iter(()))  # as if there were some
    app = page(SCREEN)
    for name, data, words in (
        ("x.exe", b"", "is no picture, no .zip"),
        ("mine.zip", zip_of({"a.txt": b"0 .5 .5 .2 .2"}), "The folder mine has no data.yaml"),
        ("mine.csv", b"a,b\n1,2\n", "needs the columns file and label"),
    ):
        assert words in drop(app, (name, data, "")).error[0].value, name
        assert not any(chip.get("error") for chip in app.get("popover")), name
    assert not any(uploads.uploads_home().glob("*"))


def test_drop_field_says_what_it_understood(page, pictures):
    bus = pictures[1].read_bytes()
    data, others = zip_of({"a.jpg": bus, "b.jpg": bus}), ("other.csv", b"x.jpg,star\n", "")
    app = drop(drop(page(SCREEN, model="demo-cls-s"), others), ("mine.zip", data, ""))
    words = "None of the pictures has labels: those are of x.jpg, and the first picture is a.jpg."
    assert words in texts(app) and button(app, "Run").disabled
    drop(app, ("mine.csv", "filename;class\nC:\\a.jpg;star\nC:\\c.jpg;café\n".encode("cp1252"), ""))
    chips = [block.proto.popover.label for block in app.get("popover")]
    assert "mine.zip · 1 of 2 labelled, 1 file missing, 1 name of no class" in chips
    columns = "filename → file, class → label; separated by semicolons; Windows-1252"
    reading = f"Read as a table (mine.csv): 2 pictures, 2 classes. mine.csv: {columns}. Not among the pictures: c.jpg."
    assert escape(reading) in texts(app)
    job = session(app := run(app), PicturesPage).job
    assert words in texts(drop(app, others)) and session(app, PicturesPage).job is job


def test_what_was_read_is_shown_before_the_run(page, scenes):
    files = {path.name: path.read_bytes() for path in sorted((scenes / "pictures").iterdir())}
    labels = (scenes / "labels.csv").read_bytes()
    app = drop(page(SCREEN, model="demo-s"), ("set.zip", zip_of({**files, "labels.csv": labels}), ""))
    said = texts(app)
    assert "Read as a table (labels.csv): 3 pictures with" in said
    assert "Left out: 1 line (1: its box has no area)." in said
    captions = [element.proto.imgs[0].caption for element in app.get("image")]
    assert len(captions) == 3 and captions[0].startswith("00.png: ")


def test_labels_that_can_be_read_in_two_ways_are_read_as_a_person_says(page, scenes):
    pictures = zip_of({path.name: path.read_bytes() for path in sorted((scenes / "pictures").iterdir())})
    unclear = b'file,label,bbox\n00.png,star,"[10, 20, 60, 90]"\n'
    app = page(SCREEN, model="demo-s")
    drop(app, ("set.zip", pictures, ""), ("labels.csv", unclear, ""))
    assert "The boxes of labels.csv may be corners, or a corner and a size" in texts(app)
    assert session(app, PicturesPage).truth is None
    app.selectbox(key="pictures-labels-as-box").select("xywh").run()
    drop(app, ("set.zip", pictures, ""), ("labels.csv", unclear, ""))
    truth = session(app, PicturesPage).truth
    assert truth is not None and truth.pictures["00.png"][0].box == (10, 20, 70, 110)


def test_labels_dropped_after_pictures():
    task = task_of("classify")
    pictures, truth = uploads.read_uploads([("a.png", PNG)], task)
    assert pictures is not None and truth is None
    other, truth = uploads.read_uploads([("names.csv", b"file,label\na.png,star\n")], task, pictures)
    assert other is None and truth is not None
    _, truth = uploads.open_upload(str(Path(pictures.path).relative_to(uploads.uploads_home())))
    assert truth is not None and truth.picture_labels == {"a.png": "star"}
    for elsewhere in ("../../pictures", "/etc", "uploads/../../private"):
        with pytest.raises(ModelProblem, match="were not uploaded here"):
            uploads.open_upload(elsewhere)


def test_dropped_files_that_are_not_used_are_named(page):
    task = task_of("classify")
    labels = b"file,label\na.png,star\n"
    files = {"a.png": PNG, "README.md": b"x", "labels.csv": labels, "b.pdf": b"x", ".DS_Store": b"x"}
    pictures, truth = uploads.read_uploads([("set.zip", zip_of(files))], task)
    words = "3 files were left out: .DS_Store (hidden); README.md and b.pdf (no pictures, no labels)."
    assert truth is not None and pictures is not None and pictures.left_out == words
    again, _ = uploads.open_upload(str(Path(pictures.path).relative_to(uploads.uploads_home())))
    assert again is not None and again.left_out == words
    two = [("set.zip", zip_of(files)), ("more.zip", zip_of({"c.png": PNG})), ("c.md", b"x")]
    pictures, _ = uploads.read_uploads(two, task)
    assert pictures is not None and "5 files were left out: c.md, README.md and b.pdf (no" in pictures.left_out
    assert "; more.zip (another .zip has pictures and labels)." in pictures.left_out
    _, truth = uploads.read_uploads([("labels.csv", labels), ("b.pdf", b"x")], task)
    assert truth is not None and truth.left_out == {"b.pdf": "no pictures, no labels"}
    app = drop(page(SCREEN, model="demo-cls-s"), ("set.zip", zip_of(files), ""))
    assert escape(words) in texts(app)


def test_a_label_of_two_dropped_pictures_of_one_name_counts_for_neither():
    labels = b"file,label\n1.png,star\n2.png,gear\n"
    files = [("1.png", PNG), ("2.png", PNG), ("1.png", PNG), ("labels.csv", labels)]
    pictures, truth = uploads.read_uploads(files, task_of("classify"))
    assert pictures is not None and truth is not None
    keys = [item.key for item in pictures.items]
    assert [truth.among(keys).find_class(key) for key in keys] == [None, None, "gear"]


def test_names_of_dropped_files_are_never_paths(tmp_path):
    names = ("../../a/b.png", "c:\\d.png", "/etc/e.png", "a/b.png", "a/b.png")
    pictures, _ = uploads.read_uploads([(name, PNG) for name in names], task_of("classify"))
    assert pictures is not None and len({item.key for item in pictures.items}) == len(names)
    assert all(item.open().width == 8 for item in pictures.items)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["pictures.zip"]


def test_a_failure_is_a_sentence_and_can_be_started_over(page, many):
    app = run(choose(page(SCREEN, model="demo-cls-s"), many))
    job = session(app, PicturesPage).job
    (job.plans[0].folder / "journal.jsonl").write_text('{"settings": {"recipe": {"method": "other"}}}\n')
    again = session(app, PicturesPage).job = PicturesJob(job.source, job.plans)
    assert again.finished(patience(90)) and "other settings" in app.run().error[0].value
    finish(press(app, "Start over"))
    assert len(opened(app)) == 6


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes, whose labels have a name and a line of their own."""
    given = draw_scenes(tmp_path / "drawn", 3)[1]
    given.write_text(given.read_text("utf-8").replace(",star\n", ",Stern\n") + "00.png,5,5,1,9,gear\n", "utf-8")
    return tmp_path / "drawn"


def test_a_folder_that_is_no_class_can_be_counted_as_one(page, many):
    (many / "minibus").rename(many / "bus")
    app = run(choose(page(SCREEN), many))
    folder = session(app, PicturesPage).job.plans[0].folder
    assert "1 label without a class" in texts(app) and "Not counted: bus" in texts(app)
    chosen = next(menu for menu in app.multiselect if menu.label == "Counts as")
    assert chosen.value == ["school bus"], "what may be meant is one press away"
    chosen.set_value(["minibus", "school bus"]).run()
    finish(press(app, "Count it so"))
    assert "Not counted" not in texts(app)
    assert {picture.key.partition("/")[0] for picture in stored.load(folder).pictures} == {"bus", "trolleybus"}
    frame, before = finished.load(folder).set_index("picture"), headline(app)
    assert frame["wrong"].notna().all()
    app.button(key=f"pictures-open-{next(key for key in frame.index if frame['wrong'][key])}").click().run()
    press(app, "Label is wrong")
    assert "1 label corrected." in texts(app) and headline(app) != before
    assert headline(press(app, "Undo")) == before and "corrected" not in texts(app)


def test_labels_after_run_and_errors_open(page, scenes):
    app = run(choose(page(SCREEN, model="demo-s"), scenes / "pictures"))
    assert re.fullmatch(r"## \d+ boxes in 3 pictures\.", headline(app))
    app = finish(drop(app, ("labels.csv", (scenes / "labels.csv").read_bytes(), "text/csv")))
    folder = session(app, PicturesPage).job.plans[0].folder
    before = labels.load_summary(folder)
    assert f"{before.right} of {before.objects} objects found" in headline(app) and before.unknown == ("Stern",)
    app.selectbox(key="pictures-match").set_value("Stern").run()
    app.multiselect(key="pictures-match-Stern").set_value(["star"]).run()
    app = finish(press(app, "Count it so"))
    after = labels.load_summary(folder)
    assert after.unknown == () and after.right > before.right
    errors = ErrorReport(stored.load(folder))
    app.segmented_control(key="pictures-view").set_value("wrong").run()
    assert opened(app) == [unit.id for unit in errors.errors[:24]]
    press(app, "Why wrong?")
    rerun_until(app, lambda: "wrong: evidence inside the object" in texts(app))
    assert all(escape(cause.sentence) in texts(app) for cause in finished.read_causes(folder, errors))
    first, unit = (unit for unit in errors.errors[:2] if unit.answer is not None)
    app.button(key=f"pictures-open-{first.id}").click().run()
    press(app, "Label is missing" if first.type == "extra" else "Label is wrong")
    corrected = ErrorReport(stored.load(folder))
    assert "1 label corrected." in texts(app) and opened(app) == [unit.id for unit in corrected.errors]
    assert all(escape(cause.sentence) in texts(app) for cause in finished.read_causes(folder, corrected))
    press(app, "Undo")
    app.button(key=f"pictures-open-{first.id}").click().run()
    press(app, "Next")
    assert (parameter(app, "error"), app.button(key="pictures-turn-left").disabled) == (unit.id, False)
    app.button(key="pictures-explore").click().run()
    assert session(app, Reopened).recipe.targets == ((unit.answer.anchor, unit.answer.index),)


@pytest.fixture
def made(monkeypatch) -> dict[str, Callable[[], Any]]:
    """The files that the page offers, by name."""
    offered: dict[str, Callable[[], Any]] = {}
    monkeypatch.setattr(charts, "download", lambda label, make, file, **_: offered.update({file: make}))
    return offered


def make_deck(app) -> list[View]:
    press(app, "Make deck")
    return [slide.view for slide in History().decks.all()[0].slides]


def test_decision_is_the_same_in_every_format(page, tmp_path, made, monkeypatch, capsys):
    def compare(**address: str) -> str:
        app = finish(page(SCREEN, run=folder.name, **address))
        decision = json.loads(made["decision.json"](), parse_constant=pytest.fail)
        title, words = decision["headline"], decision["words"]
        assert headline(app).replace(NBSP, " ") == f"## {escape(title)}.", address
        comparison, _, remarks = words.partition(" Allowed gap: ")
        shown_help = next(text.help for text in app.markdown if text.value.startswith("## ")).replace(NBSP, " ")
        assert (shown_help, escape(remarks.partition(". ")[2]) in texts(app).replace(NBSP, " ")) == (
            escape(comparison),
            True,
        )
        assert {name: parameter(app, name) for name in address} == address
        first, *_, last = make_deck(app)
        shown = first.sentence.removesuffix("…").replace(NBSP, " ")
        assert shown and shown in words and first.title.replace(NBSP, " ") == title.partition(";")[0], address
        assert {bar.name: bar.value for bar in first.scores} == pytest.approx(decision["scores"])
        assert decision["left_out"] == first.left_out and first.left_out in last.sentence
        return f"{title}. {words}"

    monkeypatch.setattr(explain, "replay", Mock(side_effect=ModelProblem))
    pictures, truth = draw_scenes(tmp_path / "many", 16)
    truth.write_text(truth.read_text("utf-8").replace(",star\n", ",Stern\n"), "utf-8")
    app = run(choose(page(SCREEN, model="demo-s", models="demo-m,demo-l"), pictures, truth))
    folders = [plan.folder for plan in session(app, PicturesPage).job.plans]
    first, second, _ = folders
    folder, pair = first, {"candidate": "Demo-m", "against": "Demo-s"}
    seen = [compare(), compare(**pair), compare(**pair, tolerance="20")]
    assert len({*seen}) == 3 and all("Not counted: Stern" in text for text in seen)
    assert "too close to call" in seen[1] and "good enough" in seen[2]
    app.selectbox(key="pictures-match").set_value("Stern").run()
    app.multiselect(key="pictures-match-Stern").set_value(["star"]).run()
    finish(press(app, "Count it so"))
    assert "Not counted" not in (counted := compare(**pair)) and counted != seen[1]
    (unit, *_) = ErrorReport(stored.load(first)).select("missed")
    relabel.change_label(folders, LabelChange(unit.picture.key, unit.label, unit.truth.box, removed=True))
    assert "1 label corrected." in compare(**pair)
    mark_stopped(second)
    assert "Not decided: a run was stopped" in (stopped := compare(**pair)) and "95" not in stopped
    capsys.readouterr()
    out = tmp_path / "cli"
    options = ("--labels", str(truth), "--out", str(out), "--instead-of", str(second), "--tolerance", "20", "--json")
    assert main(["batch", str(pictures), "-m", "demo-s", *options]) == 0
    decision = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["decision"]
    assert (decision["candidate"], decision["against"], decision["tolerance"]) == ("Demo-s", "Demo-m", 0.2)
    assert "1 label corrected." in decision["left_out"]
    # Of a stopped run nothing is decided.
    assert main(["batch", str(pictures), "-m", "demo-s", *options, "--require", "cannot-be-told"]) == 3
    mark_stopped(second, stopped=False)
    for verdict, code in (("cannot-be-told", 0), ("ship", 3), ("do-not-ship", 3)):
        assert main(["batch", str(pictures), "-m", "demo-s", *options, "--require", verdict]) == code


@pytest.mark.parametrize("scenes_among", [0, 1])
def test_pictures_without_answer(page, tmp_path, made, scenes_among):
    pictures, _ = draw_scenes(tmp_path / "drawn", scenes_among)
    for name in ("grey-1.png", "grey-2.png"):
        Image.new("RGB", (64, 64), (120, 120, 120)).save(pictures / name)
    (pictures / "broken.png").write_bytes(b"no picture")
    app = run(choose(page(SCREEN, model="demo-s", models="demo-m"), pictures))
    assert f"{scenes_among + 2} of {scenes_among + 2} pictures." in headline(app) or scenes_among
    shown = [texts(app)]
    for order in ("unsure", "sure", "source"):
        app.selectbox(key="pictures-order-detect").set_value(order).run()
        assert not app.error and len(opened(app)) == scenes_among + 2, order
    assert not app.checkbox(key="pictures-unsure").check().run().error
    app.checkbox(key="pictures-unsure").uncheck().run()
    app.button(key="pictures-open-grey-1.png").click().run()
    shown.append(texts(app))
    assert shown[1].count("**nothing found**") >= 3, "the tile, and the panel of both models"
    shown.append(made["results.csv"]().decode())
    for text in shown:
        assert not re.search(r"\b(nan|NaN|None|NaT)\b", text), text
    app.button(key="pictures-explore").click().run()
    assert session(app, Controls).picture.name == "grey-1.png"
    app = finish(page(SCREEN, run=session(app, PicturesPage).job.plans[0].folder.name))
    assert len(opened(app)) == scenes_among + 2
    assert make_deck(app)[0].pictures[-1].caption == "nothing found"


def test_true_numbers_give_the_error(page, tmp_path):
    folder = tmp_path / "rods"
    folder.mkdir()
    for name in ("a rod", "scene 1"):
        Image.fromarray(load_bundled(name).pixels).save(folder / f"{name}.png")
    (tmp_path / "true.csv").write_text("file,label\na rod.png,0\nscene 1.png,0\n", "utf-8")
    app = run(choose(page(SCREEN, model="demo-regress"), folder, tmp_path / "true.csv"))
    folder = session(app, PicturesPage).job.plans[0].folder
    errors = finished.measure_numbers(finished.load(folder), stopped=False)
    assert errors is not None and errors.describe("°") in headline(app) and texts(app).count("is: 0°") == 2
    assert app.selectbox(key="pictures-order-regress").value == "error"


@pytest.fixture
def finished_run(page, many: Path) -> Path:
    """The folder of a finished run."""
    app = run(choose(page(SCREEN, model="demo-cls-s", method="layercam", layers="layer4"), many))
    folder: Path = session(app, PicturesPage).job.plans[0].folder
    return folder


def test_killed_run_continues_with_its_options(page, finished_run):
    labels.correct(finished_run, {"minibus": ["star"]})
    cut(finished_run, 2)
    done = (finished_run / journal.NAME).read_text("utf-8").count('"stamp"')
    # The page has other choices by now.
    app = page(SCREEN, model="demo-cls-m", method="gradcam", layers="")
    assert [each.label for each in app.button if str(each.key).startswith("pictures-earlier-")] == ["Continue"]
    app = finish(press(app, "Continue"))
    job = session(app, PicturesPage).job
    assert (job.result[0].resumed, job.result[0].done) == (done, 6)
    (plan,) = job.plans
    assert (plan.folder, plan.model, plan.options["method"]) == (finished_run, "demo-cls-s", "layercam")
    assert labels.corrections(finished_run) == {"minibus": ("star",)}


@pytest.fixture
def held(monkeypatch) -> Iterator[threading.Event]:
    """Runs wait for this before their first picture."""
    release = threading.Event()

    def waits(*args: Any, progress: Any, cancel: threading.Event, **options: Any) -> Any:
        progress(0.5, "Held")
        while not release.wait(0.02) and not cancel.is_set():
            pass
        return runner.run(*args, progress=progress, cancel=cancel, **options)

    monkeypatch.setattr(jobs, "batch", SimpleNamespace(run=waits, Summary=runner.Summary))
    yield release
    release.set()


def test_every_window_follows_a_run(page, many, held):
    # Of one browser.
    browser = {state.key(Visitor): Visitor("me", "")}
    app = press(choose(page(SCREEN, browser, model="demo-cls-s"), many), "Run")
    job = session(app, PicturesPage).job
    address = {name: parameter(app, name) for name in app.query_params}
    assert address["run"] == job.plans[0].folder.name and "upload" not in address
    # By its address, or by the same choices.
    other = page(SCREEN, **address)
    same = press(choose(page(SCREEN, browser, model="demo-cls-s"), many), "Run")
    assert session(other, PicturesPage).job is session(same, PicturesPage).job is job and not job.finished()
    assert button(other, "Stop").help == "What is finished is kept."
    press(other, "Stop")
    for window in (app, other, page(SCREEN, **address)):
        finish(window)
        assert "Stopped: 0 of 7 pictures so far." in texts(window)
    held.set()
    assert session(press(finish(page(SCREEN, **address)), "Go on"), PicturesPage).job.finished(patience(90))
    assert len(opened(finish(page(SCREEN, **address)))) == 6


def test_a_run_of_another_server_is_followed(page, finished_run):
    fcntl = pytest.importorskip("fcntl")
    cut(finished_run, 2)
    with (finished_run / journal.NAME).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        app = page(SCREEN, run=finished_run.name)
        job = session(app, PicturesPage).job
        rerun_until(app, lambda: job.words.endswith("of 7 pictures, in another run"))
        assert 0 < job.share < 1
    assert "so far" in texts(finish(app))
