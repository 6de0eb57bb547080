"""DiffCAM: its direction against the plain inverse, and a mark that only one picture has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity import difference
from sightglass.models.demo.scenes import draw, sample


def scene(seed: int) -> np.ndarray:
    return draw(sample(seed, task="classify", held_out=True)).pixels.copy()


def mark(pixels: np.ndarray, y: int, x: int, side: int = 25) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    pixels[y : y + side, x : x + side] = np.where(
        ((rows // 6 + columns // 6) % 2)[..., None], [255, 0, 255], [255, 255, 0]
    )
    return pixels


REFERENCES = [scene(700_000 + number) for number in range(8)]


def test_the_direction_is_fishers() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=(5, 12)).astype(np.float32)
    mean = rng.normal(size=12).astype(np.float32)
    centred = known - known.mean(0)
    covariance = centred.T @ centred / 5
    dense = np.linalg.inv(covariance + np.eye(12) * covariance.trace() / 12) @ (mean - known.mean(0))
    np.testing.assert_allclose(difference.find_direction(mean, known), dense, rtol=1e-4)
    # References that do not differ at all have no covariance to divide by.
    alike = np.ones((3, 12), np.float32)
    np.testing.assert_allclose(difference.find_direction(mean, alike), mean - 1, rtol=1e-6)


def test_the_maps_mean_is_the_distance() -> None:
    explainer, picture = Explainer("demo-cls-s"), scene(710_000)
    found = difference.set_apart(explainer, picture, REFERENCES[:3])
    means = []
    for one in (*REFERENCES[:3], picture):
        evidence = explainer.evidence(explainer.resident, Image.open(one), Options())[0]
        means.append(evidence.activations[0][0].mean((1, 2)).numpy())
    known, own = np.stack(means[:3]), means[3]
    distance = difference.find_direction(own, known) @ (own - known.mean(0))
    assert found.picture.raw[0].mean() == pytest.approx(distance, rel=1e-3)
    assert distance > 0 and found.picture.signed.min() >= 0 and found.picture.signed.max() == pytest.approx(1)


@pytest.mark.parametrize(("seed", "y", "x"), [(710_001, 20, 70), (710_002, 80, 15), (710_003, 50, 90)])
def test_the_map_lies_on_the_mark(seed: int, y: int, x: int) -> None:
    found = difference.set_apart(Explainer("demo-cls-l"), mark(scene(seed), y, x), REFERENCES)
    heat = found.picture.geometry.to_original(found.picture.padded)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert y - 4 <= row < y + 29 and x - 4 <= column < x + 29
    assert heat[y : y + 25, x : x + 25].sum() / heat.sum() > 3 * 625 / heat.size


def test_one_picture_is_no_group() -> None:
    with pytest.raises(ModelProblem, match="at least 2 pictures to compare with"):
        difference.set_apart(Explainer("demo-cls-s"), REFERENCES[0], REFERENCES[1:2])


def test_the_command_writes_what_sets_a_picture_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gallery").mkdir()
    for number, pixels in enumerate(REFERENCES[:3]):
        Pillow.fromarray(pixels).save(tmp_path / "gallery" / f"{number}.png")
    query = tmp_path / "marked.png"
    Pillow.fromarray(mark(scene(710_001), 20, 70)).save(query)
    given = [str(query), "--gallery", str(tmp_path / "gallery"), "--model", "demo-cls-s", "--top", "1", "--apart"]
    assert main(["similarity", *given, "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["apart"]
    assert told["method"] == "diffcam" and len(told["references"]) == 3 and told["note"] == difference.MEASURED
    assert told["words"].startswith("What sets marked.png apart from 3 pictures is ")
    assert Pillow.open(tmp_path / "out" / "apart.jpg").size[0] > 0
    assert json.loads((tmp_path / "out" / "apart.json").read_text()) == told
    assert main(["similarity", str(query), str(query), "--apart"]) == 2
    assert "give one picture and a --gallery" in capsys.readouterr().err
