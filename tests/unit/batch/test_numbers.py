"""Runs of models that give numbers: units in table, report and slide, signs in the pictures, and what is refused."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from sightglass.batch import finished, run, run_slides, table
from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.picture.image import load_bundled
from sightglass.report import views

MODEL = "demo-regress"
NAMES = ("a rod", "scene 1", "scene 3")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # The folder has the name of no number: nothing asks which class it means.
    folder = tmp_path_factory.mktemp("drawn") / "rods"
    folder.mkdir()
    for name in NAMES:
        Image.fromarray(load_bundled(name).pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def results(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert run(pictures.parent, MODEL, out).done == len(NAMES)
    return out


def test_numbers_equal_explainers_and_sort(pictures: Path, results: Path) -> None:
    frame, explainer = finished.load(results), Explainer(MODEL)
    expected = {f"rods/{name}.png": explainer(pictures / f"{name}.png").predictions[0].score for name in NAMES}
    assert dict(zip(frame["picture"], frame["predicted_score"], strict=True)) == pytest.approx(expected, abs=1e-3)
    rising = finished.order(frame, "smallest")["predicted_score"]
    assert list(rising) == sorted(rising) and rising.iloc[0] < 0 < rising.iloc[-1]
    assert list(finished.order(frame, "largest")["predicted_score"]) == list(rising)[::-1]
    assert frame["margin"].isna().all() and frame["wrong"].isna().all()


def test_the_number_has_its_unit_wherever_it_is_written(pictures: Path, results: Path) -> None:
    scores = table.read_scores(results)
    assert not scores.sure and scores.describe(-2.25, "angle") == quantity(-2.25, "°")
    rows = finished.load(results).to_dict("records")
    tiles = [run_slides.draw_tile(row, Picture.open(pictures.parent / row["picture"]), scores) for row in rows]
    words = repr(views.gallery_view("Angles", "", tiles, ""))
    assert quantity(rows[0]["predicted_score"], "°") in words and "unsure" not in words


def test_true_numbers_give_errors(pictures, results, tmp_path, capsys):
    scores = finished.load(results).set_index("picture")["predicted_score"]
    # A degree above, two below; one picture has no label.
    true = {"a rod.png": scores["rods/a rod.png"] - 1, "scene 1.png": scores["rods/scene 1.png"] + 2}
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\n" + "".join(f"{name},{number}\n" for name, number in true.items()), "utf-8")
    out = tmp_path / "out"
    assert main(["batch", str(pictures.parent), "-m", MODEL, "--out", str(out), "--labels", str(labels)]) == 0
    text = capsys.readouterr().out
    words = r"Wrong by 1.5° in the mean, 1.5° \(no interval from 2\s+pictures\) in the\s+median: 2\s+labelled"
    assert re.search(words, text)
    frame = finished.load(out).set_index("picture")
    assert frame["error"].dropna().to_dict() == pytest.approx({"rods/a rod.png": 1, "rods/scene 1.png": -2}, abs=1e-4)
    assert finished.order(frame, "error").index[0] == "rods/scene 1.png"
    assert json.loads((out / "summary.json").read_text("utf-8"))["errors"]["mean"] == pytest.approx(1.5, abs=1e-4)
