"""Runs of segmentations with masks: IoU in files, report and command line; what is wrong with a mask is listed."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sightglass.batch import labels, run, table
from sightglass.cli import main
from sightglass.explain import Explainer
from tests.labelled import draw_masked

MODEL = "demo-seg"
SCENES = 6


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_masked(tmp_path_factory.mktemp("drawn"), SCENES)


@pytest.fixture(scope="module")
def finished_run(drawn: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with masks that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert run(drawn[0], MODEL, out, labels=drawn[1]).done == SCENES
    return out


def confusions(drawn: tuple[Path, Path]) -> Any:
    """Count true class by answer of all pictures, (classes, classes), without the code under test."""
    explainer = Explainer(MODEL)
    counts = np.zeros((len(explainer.labels),) * 2)
    for path in sorted(drawn[0].iterdir()):
        np.add.at(counts, (np.asarray(Image.open(drawn[1] / path.name)), explainer(path, maps=False).segmentation), 1)
    return counts


def test_iou_is_that_of_a_confusion_matrix(drawn: tuple[Path, Path], finished_run: Path) -> None:
    fit, counts = labels.load_summary(finished_run), confusions(drawn)
    right, union = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    expected = {name: right[i] / union[i] for i, name in enumerate(Explainer(MODEL).labels) if union[i]}
    assert {name: score.value for name, score in fit.by_class.items()} == pytest.approx(expected)
    assert fit.scores["mean_iou"].value == pytest.approx(np.mean(list(expected.values())))
    assert fit.scores["pixel_accuracy"].value == pytest.approx(right.sum() / counts.sum())
    assert not fit.scores["mean_iou"].has_interval and fit.scores["mean_iou"].pictures == 6
    worst = [score.value for score in sorted(fit.by_class.values(), key=lambda score: score.value)]
    assert [float(points) for _, points, _ in fit.list_classes()] == pytest.approx([100 * v for v in worst], abs=0.06)


def test_a_class_under_another_name_is_not_counted(drawn: tuple[Path, Path], tmp_path: Path) -> None:
    names = list(Explainer(MODEL).labels)
    shutil.copytree(drawn[1], tmp_path / "masks")
    (tmp_path / "masks" / "classes.txt").write_text("\n".join(["Himmel", *names[1:]]), "utf-8")
    run(drawn[0], MODEL, tmp_path / "out", labels=tmp_path / "masks")
    fit, counts = labels.load_summary(tmp_path / "out"), confusions(drawn)
    right, union = counts.diagonal(), counts[1:].sum(0) + counts.sum(1) - counts.diagonal()
    expected = {name: right[i] / union[i] for i, name in enumerate(names) if union[i] and i}
    assert {name: score.value for name, score in fit.by_class.items()} == pytest.approx(expected)
    assert (fit.not_counted, fit.objects) == (counts[0].sum(), counts[1:].sum())
    assert fit.label_sentences == (f"Not counted: {fit.not_counted:,} pixels, nor answers on them",)


def test_mask_results_in_files_and_next_run(drawn: tuple[Path, Path], finished_run: Path) -> None:
    summary = labels.load_summary(finished_run)
    assert run(drawn[0], MODEL, finished_run).nothing_new
    assert labels.load_summary(finished_run).to_dict() == summary.to_dict()
    with (finished_run / labels.CSV).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"]: float(row["iou"]) for row in rows} == pytest.approx(
        {name: score.value for name, score in summary.by_class.items()}
    )
    frame = table.read(finished_run)
    assert frame["mean_iou"].between(0, 1).all() and frame["pixel_accuracy"].between(0.5, 1).all()
    assert json.loads((finished_run / labels.SUMMARY).read_text())["summary"]["right"] == summary.right
    assert summary.right == round(summary.scores["pixel_accuracy"].value * summary.objects)


def test_unusable_masks_are_listed(drawn, tmp_path, capsys):
    folder, out = tmp_path / "masks", tmp_path / "out"
    shutil.copytree(drawn[1], folder)
    (folder / "00.png").unlink()
    Image.new("L", (7, 5)).save(folder / "01.png")
    assert main(["batch", str(drawn[0]), "--model", MODEL, "--labels", str(folder), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    told, warned = json.loads(printed.out), " ".join(printed.err.split())
    assert told["evaluation"]["pictures"] == SCENES - 2
    assert dict(told["evaluation"]["problems"]).keys() == {"00.png", "01.png"}
    assert "00.png: no mask is named as this picture." in warned and "01.png: the mask is 7 by 5 pixels" in warned
    assert "Mean IoU" in told["evaluation"]["headline"]


BRIGHT = """
import torch

class Bright(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return self.mix(x)
"""


@pytest.mark.parametrize("command", [True, False])
def test_masks_are_of_a_network_that_states_no_task(
    command: bool, models_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(BRIGHT)
    # The second class is where the sum of the colours is above its half.
    weights = {"mix.weight": torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).repeat(1, 3, 1, 1), "mix.bias": torch.zeros(2)}
    weights["mix.bias"][0] = 1.5
    torch.save(weights, "bright.pth")
    models_file.write_text(
        '[model.bright]\nloader = "custom"\narch = "net.py:Bright"\nweights.path = "bright.pth"\n'
        'weights.labels = "names.txt"\nweights.preprocessing = {size = 8}\n'
    )
    Path("names.txt").write_text("dark\nbright\n")
    Path("pictures").mkdir()
    Path("masks").mkdir()
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 2:] = 255
    Image.fromarray(pixels).save("pictures/a.png")
    # A column of six is labelled dark, where the network says bright.
    mask = np.repeat([[0, 0, 0, 1, 1, 1, 1, 1]], 8, axis=0).astype(np.uint8)
    Image.fromarray(mask).save("masks/a.png")
    if command:
        assert main(["batch", "pictures", "-m", "bright", "--labels", "masks", "--out", "out"]) == 0
    else:
        run("pictures", "bright", "out", labels="masks")
    scores = labels.load_summary(Path("out")).by_class
    assert {name: score.value for name, score in scores.items()} == pytest.approx({"dark": 2 / 3, "bright": 5 / 6})
    assert table.read_scores(Path("out")).task == "segment"
