"""Patches are coloured by PCA as worked out by hand, and what is like one is found in every picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, Image
from sightglass.explain.similarity.matches import CellEdges
from sightglass.explain.similarity.patches import (
    PatchGrid,
    colour_patches,
    draw_alike,
    draw_colours,
    find_alike,
    read_patches,
)
from sightglass.models.demo.scenes import draw, sample

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 8


def make_grid(vectors: np.ndarray, side: int = SIDE) -> PatchGrid:
    edges = np.linspace(0, 80, side + 1).astype(np.float32)
    return PatchGrid(Image(np.full((80, 80, 3), 200, np.uint8)), CellEdges(edges, edges), vectors.astype(np.float32))


def make_scene() -> tuple[PatchGrid, np.ndarray]:
    """A picture whose middle differs from its edge, and its left half there from its right; where the middle is."""
    middle = np.zeros((SIDE, SIDE), bool)
    middle[2:6, 2:6] = True
    vectors = np.random.default_rng(0).normal(0, 0.01, (SIDE, SIDE, 5))
    vectors[middle, 0] += 10
    vectors[2:6, 2:4, 1] += 1
    return make_grid(vectors.reshape(-1, 5)), middle


def test_the_foreground_is_what_is_in_the_middle_and_its_parts_have_colours() -> None:
    grid, middle = make_scene()
    # With the other sign the same is found.
    for one in (grid, make_grid(-grid.vectors)):
        found = colour_patches([one])
        np.testing.assert_array_equal(found.foreground[0], middle)
        assert (found.colours[0][~middle] == 128).all()
        red = found.colours[0][..., 0].astype(int)
        assert abs(red[2:6, 2:4].mean() - red[2:6, 4:6].mean()) > 200
        assert found.shares[0] > 0.9


def test_the_components_are_those_of_the_covariance() -> None:
    vectors = np.random.default_rng(1).normal(size=(64, 6)) * [5, 3, 2, 1, 1, 1]
    found = colour_patches([make_grid(vectors)])
    front = vectors[found.foreground[0].ravel()].astype(np.float32)
    values = np.linalg.eigvalsh(np.cov(front.T))[::-1]
    np.testing.assert_allclose(found.shares, values[:3] / values.sum(), rtol=1e-4)


def test_colours_stand_for_the_same_in_all_pictures() -> None:
    grid, middle = make_scene()
    turned = make_grid(grid.vectors.reshape(SIDE, SIDE, -1)[:, ::-1].reshape(SIDE * SIDE, -1))
    one, other = colour_patches([grid, turned]).colours
    np.testing.assert_array_equal(one, other[:, ::-1])
    assert middle.any()


def test_what_is_like_a_patch_is_found_here_and_there() -> None:
    grid, _ = make_scene()
    turned = make_grid(grid.vectors.reshape(SIDE, SIDE, -1)[:, ::-1].reshape(SIDE * SIDE, -1))
    here, there = find_alike([grid, turned], 0, 2 * SIDE + 2)
    assert here.best != (2, 2) and here.scores[2, 2] == pytest.approx(1)
    assert there.best == (2, SIDE - 3) and there.score == pytest.approx(1)
    mean = np.concatenate([grid.vectors, turned.vectors]).mean(0)
    a, b = grid.vectors[2 * SIDE + 2] - mean, turned.vectors[0] - mean
    assert there.scores[0, 0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    for picture, cell in ((0, -1), (0, SIDE * SIDE), (2, 0)):
        with pytest.raises(ModelProblem, match="There is no patch"):
            find_alike([grid, turned], picture, cell)


def test_pictures_show_their_patches() -> None:
    grid, middle = make_scene()
    found = colour_patches([grid])
    drawn = draw_colours(grid, found.colours[0], found.foreground[0])
    assert (drawn[5, 5] == 200).all()  # the picture, which is grey
    assert not (drawn[45, 45] == drawn[5, 5]).all()
    alike = draw_alike(grid, find_alike([grid], 0, 27)[0], 27)
    assert alike.shape == drawn.shape == (80, 80, 3)
    assert middle[3, 3] and not (alike[35, 35] == 200).all()


def test_patches_of_a_model_are_its_layers_cells() -> None:
    scenes = [draw(sample(number, task="classify", held_out=True)).pixels for number in range(2)]
    grids = read_patches(Explainer("demo-cls-s", device="cpu"), scenes)
    assert len(grids) == 2 and grids[0].vectors.shape == (np.prod(grids[0].shape), grids[0].vectors.shape[1])
    assert colour_patches(grids).colours[1].shape == (*grids[1].shape, 3)


CONFIGS = {
    "Dinov2Model": {"model_type": "dinov2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"image_size": 56, "patch_size": 14},
    "DINOv3ViTModel": {"model_type": "dinov3_vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"image_size": 64, "patch_size": 16, "intermediate_size": 64, "num_register_tokens": 4},
    "SiglipVisionModel": {"model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 2}
    | {"num_attention_heads": 2, "image_size": 64, "patch_size": 16, "intermediate_size": 64},
}


def explain_patches(model: str, side: int = 4) -> None:
    scenes = [draw(sample(number, task="classify", held_out=True)).pixels for number in range(2)]
    grids = read_patches(Explainer(model, device="cpu"), scenes)
    assert [grid.shape for grid in grids] == [(side, side)] * 2
    found = find_alike(grids, 0, 5)
    assert found[0].scores[1, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("arch", CONFIGS)
def test_embedders_of_transformers_have_patches(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": [arch]} | CONFIGS[arch]), "utf-8")
    table = f'[model."mine"]\nloader = "transformers"\narch = "{arch}"\ntask = "embed"\n'
    table += f'weights = {{ path = "{folder}", random = 1 }}\n'
    (tmp_path / "models.toml").write_text(table, "utf-8")
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    explain_patches("mine")
