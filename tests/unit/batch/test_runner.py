"""A run over many pictures: the maps of single ones, one bad file skipped, what changed done again."""

import threading
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from sightglass.batch import journal, run, table
from sightglass.common.errors import ModelProblem, Unreadable
from sightglass.explain import Explainer, replay
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.picture.image import Image
from sightglass.report import embedded_recipe
from tests.unit.batch.conftest import MODEL
from training.demo import captioned_scenes


@pytest.mark.parametrize("words", ["red star", "red star, blue circle", ""])
def test_prompted_model_in_batch(words: str, tmp_path: Path) -> None:
    """A lone prompt, whose rival is one more of the outputs; several; and the words that the model has of its own."""
    (tmp_path / "drawn").mkdir()
    for seed in range(3):
        scene = captioned_scenes.draw(captioned_scenes.sample(seed) if seed else captioned_scenes.example(), 256)
        Pillow.fromarray(scene.pixels).save(tmp_path / "drawn" / f"{seed}.png")
    options = {"vocabulary": words} if words else {}
    explainer = Explainer("demo-clip")
    summary = run(tmp_path / "drawn", explainer, tmp_path / "out", options=options, batch_size=3, workers=1)
    assert (summary.done, summary.failed) == (3, ())
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet")
    settings = journal.settings_of(tmp_path / "out")
    for row in rows.to_dict("records"):
        single = explainer(tmp_path / "drawn" / row["picture"], **options)
        assert row["predicted"] == single.predictions[0].label
        assert row["predicted_score"] == pytest.approx(single.predictions[0].score, abs=1e-5)
        assert row["raw_max"] == pytest.approx(single.heatmaps[0].raw_range[1], abs=1e-4)
        again = replay(table.recipe(settings, row), tmp_path / "drawn" / row["picture"])
        assert again.heatmaps[0].raw_range == single.heatmaps[0].raw_range


def test_every_picture_has_row_and_files(many: Path, finished_run: Path) -> None:
    summary = run(many, MODEL, finished_run, batch_size=4)
    assert (summary.pictures, summary.done, summary.resumed) == (22, 21, 22)
    assert summary.words == "Nothing new: 21 explained earlier, 1 unreadable"
    assert [name for name, _ in summary.failed] == ["first/broken.jpg"]
    assert summary.failed[0][1].endswith(".") and "broken.jpg" in summary.failed[0][1]
    assert "first/broken.jpg" in (finished_run / table.PROBLEMS).read_text()
    rows = table.read(finished_run)
    expected = sorted(p.relative_to(many).as_posix() for p in many.rglob("[0-9]*.jpg"))
    assert list(rows["picture"]) == expected
    assert list(rows["labelled"]) == [name.split("/")[0] for name in expected]
    for file in (finished_run / name for name in rows["file"]):
        assert file.is_file() and file.with_suffix(".npy").is_file()
    assert not list(finished_run.rglob("*.part"))
    settings = journal.settings_of(finished_run)
    for row in rows.to_dict("records")[:3]:
        assert embedded_recipe.read((finished_run / row["file"]).read_bytes()) == table.recipe(settings, row)
    assert table.recipe(settings, row | {"class": float("nan"), "anchor": None}).targets == ()
    pd.testing.assert_frame_equal(
        pd.read_csv(finished_run / table.CSV)[["picture", "predicted_score", "gini"]],
        rows[["picture", "predicted_score", "gini"]],
    )


def test_row_has_cells_and_replays(many: Path, finished_run: Path) -> None:
    row = table.read(finished_run).iloc[7].to_dict()
    single = Explainer(MODEL)(many / row["picture"], top_k=1)
    again = replay(table.recipe(journal.settings_of(finished_run), row), many / row["picture"])
    np.testing.assert_allclose(again.heatmaps[0].at_input, single.heatmaps[0].at_input, atol=1e-4)
    small = np.frombuffer(row["cells"], np.uint8).reshape(CELLS, CELLS)
    peak = row["peak_y"] / 80 * CELLS, row["peak_x"] / 100 * CELLS
    assert np.unravel_index(small.argmax(), small.shape) == pytest.approx(peak, abs=2)


def test_stopped_run_goes_on(many: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    summary = run(many, MODEL, tmp_path, cancel=cancel, batch_size=1, workers=1)
    assert summary.cancelled and summary.done < 21
    assert len(table.read(tmp_path)) == summary.done
    again = run(many, MODEL, tmp_path, batch_size=1)
    assert (again.done, again.resumed, again.cancelled) == (21, summary.done + len(summary.failed), False)


def test_a_picture_that_changed_is_done_again(many: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "pictures", tmp_path / "out"
    source.mkdir()
    files = sorted(many.rglob("[0-9]*.jpg"))
    for number in range(3):
        (source / f"{number}.jpg").write_bytes(files[number].read_bytes())
    run(source, MODEL, out)
    (source / "1.jpg").write_bytes(files[8].read_bytes())
    assert run(source, MODEL, out).resumed == 2
    rows = table.read(out)
    assert rows["picture_sha256"][1] == Image.open(files[8]).sha256 and len(rows) == 3
    for suffix in (".jpg", ".npy"):
        out.joinpath(rows["file"][0]).with_suffix(suffix).unlink()
        assert run(source, MODEL, out).resumed == 2 and out.joinpath(rows["file"][0]).with_suffix(suffix).is_file()
    with pytest.raises(ModelProblem, match="holds results of other pictures"):
        run(many, MODEL, out)
    assert run(f"{source}/*.jpg", MODEL, out).nothing_new
    assert run(source.rename(tmp_path / "moved"), MODEL, out).nothing_new


def test_a_method_that_cannot_explain_the_model_is_refused_at_once(many: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="FullGrad asks for one score a picture and demo-seg gives each pixel one"):
        run(many, "demo-seg", tmp_path / "out", options={"method": "fullgrad"})
    assert not (tmp_path / "out").exists()


def test_results_of_other_settings_are_not_gone_on_with(many: Path, finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match=r"other settings \(method\).*choose another folder"):
        run(many, MODEL, finished_run, batch_size=4, options={"method": "hirescam"})
    renamed = Explainer(MODEL)
    renamed.loaded = renamed.loaded.with_adapter(copy(renamed.loaded.adapter))
    renamed.loaded.adapter.labels = renamed.labels[::-1]
    with pytest.raises(ModelProblem, match=r"other settings \(labels\)"):
        run(many, renamed, finished_run, batch_size=4)
    only = [sorted(many.rglob("[0-9]*.jpg"))[0]]
    run(only, MODEL, tmp_path)
    (tmp_path / journal.NAME).write_bytes(b'{"half\n{}\n')
    said = r"^journal\.jsonl in .* cannot be read \(it is damaged\): put a copy .* start over"
    with pytest.raises(Unreadable, match=said):
        run(only, MODEL, tmp_path)
    assert run(only, MODEL, tmp_path, options={"method": "hirescam"}, resume=False).resumed == 0
    (kept,) = tmp_path.glob(f"{journal.NAME}.unreadable-*")
    assert kept.read_bytes() == b'{"half\n{}\n'
    assert list(table.read(tmp_path)["method"]) == ["hirescam"]


def test_a_detectors_row_replays(scene: Path, tmp_path: Path) -> None:
    run(scene, "demo-s", tmp_path, options={"per": "detection", "top_k": 3})
    row = table.read(tmp_path).iloc[1].to_dict()
    single = Explainer("demo-s")(scene, per="detection", top_k=3)
    again = replay(table.recipe(journal.settings_of(tmp_path), row), scene)
    np.testing.assert_array_equal(again.heatmaps[0].at_input, single.heatmaps[1].at_input)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"at": (1, 1)}, "demo-cls-s gives no class to a pixel"), ({"top_k": 2}, "top_k is said by maps in a run")],
)
def test_what_no_picture_can_have_ends_a_run_before_its_first(scene: Path, tmp_path: Path, options, sentence) -> None:
    with pytest.raises(ModelProblem, match=f"^{sentence}"):
        run(scene, "demo-cls-s", tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{"at": (400.0, 380.0)}, {"at": (10.0, 10.0), "per": "region"}, {"per": "region"}])
@pytest.mark.parametrize("maps", [1, 2])
def test_maps_of_places_are_those_of_single_pictures(scene: Path, tmp_path: Path, options, maps: int) -> None:
    run(scene, "demo-seg", tmp_path, options=options, maps=maps)
    single = Explainer("demo-seg")(scene, top_k=maps, **options)
    rows = table.read(tmp_path)
    assert list(rows["label"]) == [heatmap.target.label for heatmap in single.heatmaps]
    assert list(rows["raw_max"]) == [heatmap.raw_range[1] for heatmap in single.heatmaps]
