"""Real networks of other projects as own models: a hybrid transformer is explained, one of volumes refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.models import catalog
from tests.weights import weight

MOBILEVIT = ("tasks/mobilevit_xxs_flowers5_fp16.pth", "tasks/mobilevit_xxs.py", "images/n11939491_daisy.jpg")


@pytest.mark.slow
@pytest.mark.weights(*MOBILEVIT)
def test_a_mobilevit_is_added_and_its_blocks_show_the_daisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tzinch21/metaflow-example@060af43; tasks/mobilevit_xxs.py is its network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    catalog._merge.cache_clear()
    file, code, picture = map(weight, MOBILEVIT)
    shutil.copy(code, "mobilevit_xxs.py")
    plain = ("mean=[0.0, 0.0, 0.0]", "std=[1.0, 1.0, 1.0]", "size=256", 'crop="squash"')
    keys = [part for key in plain for part in ("--set", f"weights.preprocessing.{key}")]
    names = 'weights.labels=["dandelion", "daisy", "tulips", "sunflowers", "roses"]'
    arch = ["--arch", "mobilevit_xxs.py:MobileViTXXS", "--name", "flowers"]
    assert main(["models", "add", str(file), *arch, "--set", names, *keys, "--image", str(picture)]) == 0
    explainer = Explainer("flowers")
    made = explainer(picture, top_k=1)
    assert (made.predictions[0].label, round(made.predictions[0].score, 2)) == ("daisy", 0.91)
    assert made.heatmaps[0].raw[0].shape == (8, 8)
    # A convolution, the whole hybrid block, and the tokens of its last transformer block.
    for layer in ("stages.9.local", "stages.9", "stages.9.blocks.2", "stages.7.blocks.3"):
        for method in ("gradcam", "hirescam", "layercam"):
            (heatmap,) = explainer(picture, top_k=1, layers=[layer], method=method).heatmaps
            assert heatmap.state == "ok", (layer, method)
    side = {layer.path: layer.shape[1:] for layer in explainer.layers}
    assert side["stages.7.blocks.3"] == (16, 16)
