"""A folder of models that vanishes under a running server."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image as Pillow
from starlette.testclient import TestClient
from torchvision.models import squeezenet1_1

from sightglass.api.app import create
from sightglass.common.errors import WeightsProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import MODEL_CACHE
from tests.clips import scene
from tests.faults.outcome import is_one_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
TABLE = """
[model."{name}"]
loader = "torchvision_models"
arch = "squeezenet1_1"
task = "classify"
weights = {{ path = "{path}" }}
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two models of one's own, which models.toml beside it names."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("used", "unused"):
        torch.save(squeezenet1_1().state_dict(), folder / f"{name}.pth")
    toml = tmp_path / "models.toml"
    toml.write_text("".join(TABLE.format(name=name, path=folder / f"{name}.pth") for name in ("used", "unused")))
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(toml))
    yield folder
    MODEL_CACHE.free()


def test_a_folder_of_models_that_vanishes_stops_only_what_must_be_read_from_it(models: Path) -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(scene(1)[0]).save(buffer, "PNG")
    client = TestClient(create())

    def explained(model: str) -> tuple[int, dict[str, Any]]:
        answer = client.post("/api/explain", files={"image": buffer.getvalue()}, data={"model": model})
        return answer.status_code, answer.json()

    status, before = explained("used")
    assert status == 200, before
    kept = models.with_name("kept")
    shutil.move(models, kept)
    # It is in memory, and whoever works with it goes on.
    labels = [one.label for one in Explainer("used")(scene(1)[0]).predictions]
    assert labels == [one["label"] for one in before["predictions"]][: len(labels)]
    with pytest.raises(WeightsProblem, match=r"unused\.pth, the weights of unused, .*\.$"):
        Explainer("unused")
    for model in ("used", "unused"):
        status, problem = explained(model)
        assert status == 404 and is_one_sentence(str(problem["detail"]))
    assert explained("demo-cls-s")[0] == 200
    assert client.get("/api/health").status_code == 200
    shutil.move(kept, models)
    assert explained("used")[1]["predictions"] == before["predictions"]
    # What is replaced is read anew.
    shutil.copy(models / "unused.pth", models / "used.pth")
    assert explained("used")[1]["predictions"] == explained("unused")[1]["predictions"] != before["predictions"]
