"""A number on the screens: Explore opens explained, and What if shows how it moves on its own scale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from sightglass.batch.analysis import measure_errors
from sightglass.explain import Explainer
from sightglass.explain.phrases import quantity
from sightglass.explain.picture.image import load_bundled
from sightglass.models import catalog
from sightglass.models.spec import OutputTable
from sightglass.pages.batch.job import Batch
from tests.pages.conftest import headline, received, rerun_until, session, shown, texts
from tests.pages.test_models import drop, press, saved
from tests.pages.test_whatif import ALL, painted, sentence
from tests.unit import own_nets
from tests.waits import patience


def test_explore_opens_explained_with_the_angle(page):
    app = page(model="demo-regress", example="a rod")
    assert not app.exception and not app.error
    made = Explainer("demo-regress")(load_bundled("a rod"))
    angle = quantity(made.predictions[0].score, "°")
    assert headline(app).startswith(f"Demo-regress gives angle {angle}. Red raises angle; blue, in dashed")
    assert shown(app).head["panels"][0]["maps"][0]["note"] == angle
    assert "%" not in angle
    first = app.metric[0]
    assert (first.label, first.value, first.delta) == ("angle", angle, "on a scale from −60° to 60°")


def test_other_pages_open_with_it_chosen(page):
    for name in ("topk", "trust", "compare", "detect", "batch/page", "video/page", "live", "models/page"):
        app = page(f"pages/{name}.py", model="demo-regress", example="a rod")
        assert not app.exception, name


def test_side_by_side_says_where_a_second_model_comes_from(page):
    app = page("pages/compare.py", model="demo-regress", example="a rod")
    assert not app.exception and "Choose at least two models" in texts(app)
    assert "joins it on the page Models" in texts(app)


def test_what_if_shows_how_the_angle_moves_on_its_scale(page):
    app = page("pages/whatif.py", model="demo-regress", example="a rod")
    assert not app.exception and not app.error
    assert re.search(r"takes angle from −?[\d.]+° to −?[\d.]+°; as much elsewhere leaves −?[\d.]+°\.", texts(app))
    painted(app, 1, ALL)
    (given,) = received(app, "changes")
    (row,) = given["rows"]
    before, after = (float(text.replace("−", "-").rstrip("°")) for text in row["scores"].split(" → "))
    assert f"angle goes from {row['scores'].replace(' → ', ' to ')}" in sentence(app)
    assert row["label"] == "angle" and not given["bars"] and before != after
    assert row["scale"]["ends"] == ["−60°", "60°"] and row["scale"]["zero"] == 0.5
    assert row["scale"]["before"] == pytest.approx((before + 60) / 120, abs=0.01)
    assert row["scale"]["after"] == pytest.approx((after + 60) / 120, abs=0.01)
    moved = row["difference"].removesuffix("°")
    assert moved[0] == ("+" if after > before else "−")
    assert float(moved.replace("−", "-")) == pytest.approx(after - before, abs=0.2)
    painted(app, 2)
    assert received(app, "changes")[0]["rows"][0]["difference"] == "±0°"


def test_a_number_without_a_range_has_no_scale(page, own_models, tmp_path: Path):
    torch.save(own_nets.HeadPose().state_dict(), tmp_path / "pose.pth")
    rows = ", ".join(f'{{ name = "{name}", unit = "°" }}' for name in ("yaw", "pitch", "roll"))
    own_models(
        f'[model.pose]\nloader = "custom"\narch = "{own_nets.__file__}:HeadPose"\n'
        f'weights = {{ path = "{tmp_path / "pose.pth"}", outputs = [{rows}] }}\n'
    )
    assert catalog.spec("pose").measures
    app = page("pages/whatif.py", model="pose", example="china")
    assert not app.exception and not app.error
    listed = received(app, "changes")[0]["rows"]
    assert [row["label"] for row in listed] == ["yaw", "pitch", "roll"]
    assert all("scale" not in row and row["difference"].endswith("°") for row in listed)


def test_unit_and_range_are_typed_on_the_page_of_models(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path))
    torch.manual_seed(0)
    app = drop(page("pages/models/page.py"), ("gauge.pth", saved(resnet18(num_classes=1).state_dict())))
    next(box for box in app.selectbox if box.label == "Its answer is").set_value("regress").run()
    app.text_area[0].set_value("pressure, bar, 9, 2")
    press(app, "Save names")
    assert "write name, unit, least, largest value" in app.error[0].value
    app.text_area[0].set_value("pressure, bar, 2, 9")
    press(app, "Save names")
    assert not app.exception and not app.error
    assert catalog.spec("gauge").output_of("pressure") == OutputTable("pressure", "bar", (2, 9))
    assert re.search(r"\*\*gauge gives pressure [−\d.]+ bar\.", texts(app))
    # It is no longer asked for a unit of all of them.
    assert "Unit" not in [box.label for box in app.text_input]


def test_a_batch_shows_each_picture_s_number_the_smallest_first(page):
    app = page("pages/batch/page.py", model="demo-regress")
    app = rerun_until(app, lambda: any(one.key == "batch-lens" for one in app.segmented_control), 90)
    assert not app.exception and not app.error
    order = app.selectbox(key="batch-order")
    assert order.value == "smallest" and not {"Lowest confidence", "Smallest margin"} & set(order.options)
    assert "Prove every map" not in [one.label for one in (*app.checkbox, *app.button)]
    found = [float(one.replace("−", "-")) for one in re.findall(r"\*\*angle\*\* (−?[\d.]+)°", texts(app))]
    assert len(found) > 5 and found == sorted(found)
    app.segmented_control(key="batch-lens").set_value("accuracy").run()
    assert "no answer is right or wrong: give true numbers" in texts(app)
    app.segmented_control(key="batch-lens").set_value("classes").run()
    assert re.search(r"angle\*\*\s+\d+ pictures, −?[\d.]+° in the mean", texts(app))
    app.segmented_control(key="batch-lens").set_value("table").run()
    assert not app.exception and not app.error
    assert app.dataframe[-1].value["predicted_score"].abs().max() < 180


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
