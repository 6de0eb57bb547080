"""`segment`: its files, its sentences, and the API's answer to the same question."""

from __future__ import annotations

import base64
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.cli import main
from sightglass.explain import Explainer
from sightglass.models.demo.scenes import draw, sample


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Pillow.fromarray(draw(sample(1, task="segment", held_out=True)).pixels).save(path)
    return path


def test_its_files_say_what_the_library_says(picture: Path, tmp_path: Path, capsys: Any) -> None:
    made = Explainer("demo-seg")(picture, per="region", top_k=1)
    given = ["segment", str(picture), "--per", "region", "--top-k", "1", "--out", str(tmp_path / "out")]
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"][0]
    assert found["heatmaps"][0]["outside"] == pytest.approx(made.outside())
    assert found["command"].startswith("sightglass segment scene.png")
    classes = np.asarray(Pillow.open(tmp_path / "out" / "classes.png"))
    assert (classes == made.segmentation).all()
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert "share of the picture" in printed and "how sure" not in printed


def test_the_printed_command_makes_the_same_map(picture: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(picture.parent)
    assert main(["segment", "scene.png", "--at", "90,90", "--per", "region", "--json", "--out", "one"]) == 0
    found = json.loads(capsys.readouterr().out)["results"][0]
    assert main([*shlex.split(found["command"])[1:], "--json", "--out", "two"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["recipe"] == found["recipe"]
    assert Path("one/maps.npz").read_bytes() == Path("two/maps.npz").read_bytes()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["segment", "--model", "demo-s"], "gives no class to a pixel: use detect"),
        (["segment", "--at", "7"], "give a point"),
        (["segment", "--method", "rise"], "RISE asks for one score a picture"),
        (["detect", "--model", "demo-seg"], "gives each pixel a class and draws no boxes"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(picture: Path, given: list[str], words: str, capsys: Any) -> None:
    assert main([given[0], str(picture), *given[1:]]) != 0
    assert words in " ".join(capsys.readouterr().err.split())


def test_the_api_answers_the_same(picture: Path) -> None:
    body = {"image": base64.b64encode(picture.read_bytes()).decode(), "model": "demo-seg", "per": "region", "top_k": 1}
    with TestClient(create(ApiRules())) as client:
        answer = client.post("/api/explain", json=body).json()
    made = Explainer("demo-seg")(picture, per="region", top_k=1)
    assert answer["heatmaps"][0]["outside"] == pytest.approx(made.outside(), abs=1e-6)
    classes = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(answer["segmentation"]))))
    assert (classes == made.segmentation).all()
