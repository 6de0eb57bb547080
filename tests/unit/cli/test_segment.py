"""`segment`: its files, its sentences, and the API's answer to the same question."""

from __future__ import annotations

import base64
import io
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.explain import Explainer
from training.demo.scenes import draw, sample


@pytest.fixture
def picture(here: Path) -> Path:
    Pillow.fromarray(draw(sample(1, task="segment", held_out=True)).pixels).save("scene.png")
    return here / "scene.png"


def test_files_and_the_api_say_what_the_library_says(picture: Path, answer: Any, call: Any) -> None:
    made = Explainer("demo-seg")(picture, per="region", top_k=1)
    given = ("segment", "scene.png", "--per", "region", "--top-k", "1", "--out", "out")
    (found,) = answer(*given)["results"]
    assert found["heatmaps"][0]["outside"] == pytest.approx(made.outside())
    assert (np.asarray(Pillow.open("out/classes.png")) == made.segmentation).all()
    printed = call(*given).out
    assert "share of the picture" in printed and "how sure" not in printed
    body = {"image": base64.b64encode(picture.read_bytes()).decode(), "model": "demo-seg", "per": "region", "top_k": 1}
    with TestClient(create()) as client:
        said = client.post("/api/explain", json=body).json()
    assert said["heatmaps"][0]["outside"] == pytest.approx(made.outside(), abs=1e-6)
    classes = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(said["segmentation"]))))
    assert (classes == made.segmentation).all()


@pytest.mark.usefixtures("picture")
def test_the_printed_command_makes_the_same_map(answer: Any) -> None:
    (found,) = answer("segment", "scene.png", "--at", "90,90", "--per", "region", "--out", "one")["results"]
    (again,) = answer(*shlex.split(found["command"])[1:], "--out", "two")["results"]
    assert again["recipe"] == found["recipe"]
    assert Path("one/maps.npz").read_bytes() == Path("two/maps.npz").read_bytes()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("segment scene.png --model demo-s", "gives no class to a pixel: use detect"),
        ("segment scene.png --at 7", "give a point"),
        ("segment scene.png --method rise", "RISE asks for one score a picture"),
        ("detect scene.png --model demo-seg", "gives each pixel a class and draws no boxes"),
    ],
)
@pytest.mark.usefixtures("picture")
def test_what_cannot_be_asked_is_one_sentence(given: str, words: str, call: Any) -> None:
    code, _, err = call(*given.split())
    assert code != 0 and words in err
