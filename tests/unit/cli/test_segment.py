"""`segment`: its files and its sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.explain import Explainer
from training.demo.scenes import draw, sample


@pytest.fixture
def picture(here: Path) -> Path:
    Pillow.fromarray(draw(sample(1, task="segment", held_out=True)).pixels).save("scene.png")
    return here / "scene.png"


def test_files_say_what_the_library_says(picture: Path, answer: Any, call: Any) -> None:
    made = Explainer("demo-seg")(picture, per="region", top_k=1)
    given = ("segment", "scene.png", "--per", "region", "--top-k", "1", "--out", "out")
    (found,) = answer(*given)["results"]
    assert found["heatmaps"][0]["outside"] == pytest.approx(made.outside())
    assert (np.asarray(Pillow.open("out/classes.png")) == made.segmentation).all()
    printed = call(*given).out
    assert "share of the picture" in printed and "how sure" not in printed


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
