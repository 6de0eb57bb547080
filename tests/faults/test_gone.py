"""A folder of models that vanishes under a running server."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.common.errors import WeightsProblem
from sightglass.explain import Explainer
from tests import corpus
from tests.faults.labelled import CLASSIFIERS
from tests.faults.outcome import is_one_sentence

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_a_folder_of_models_that_vanishes_stops_only_what_must_be_read_from_it(models: Path) -> None:
    used, unused = CLASSIFIERS
    client, data = TestClient(create()), corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG")

    def explained(model: str) -> tuple[int, str]:
        answer = client.post("/api/explain", files={"image": data}, data={"model": model})
        return answer.status_code, answer.json().get("detail") or answer.json()["predictions"]

    before = explained(used)
    assert before[0] == 200
    kept = {name: shutil.move(models / f"{name}.pth", models / f"{name}.kept") for name in CLASSIFIERS}
    # It is in memory, and whoever works with it goes on.
    assert Explainer(used)(corpus.pixels()).predictions
    with pytest.raises(WeightsProblem, match=rf"{unused}\.pth, the weights of {unused}, .*\.$"):
        Explainer(unused)
    for model in CLASSIFIERS:
        status, problem = explained(model)
        assert status == 404 and is_one_sentence(problem)
    assert explained("demo-cls-s")[0] == 200
    # What is back is as before, and what is replaced is read anew.
    shutil.move(kept[used], models / f"{used}.pth")
    assert explained(used) == before
    shutil.move(kept[unused], models / f"{used}.pth")
    assert explained(used)[1] != before[1]
