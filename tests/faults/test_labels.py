"""Hostile names of classes and of pictures are text on every page, in every file and in every line of a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow

from tests import corpus
from tests.faults import labelled

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Models whose classes have such names."""
    from explain.evidence.resident import RESIDENCY

    monkeypatch.setenv("SIGHTGLASS_MODELS", str(labelled.tables(tmp_path)))
    yield tmp_path
    RESIDENCY.free()


@pytest.mark.slow
def test_hostile_names_are_text_on_every_page(models: Path) -> None:
    picture = models / "picture.png"
    picture.write_bytes(corpus.saved(Pillow.fromarray(corpus.pixels(200, 300)), "PNG"))
    stores = ("HISTORY", "MONITOR", "BATCHES", "HEATMAPS", "CLIPS")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.labelled", str(picture)],
        cwd=ROOT,
        env=os.environ | {f"SIGHTGLASS_{name}": str(models / name.lower()) for name in stores},
        capture_output=True,
        text=True,
        check=True,
    )
    pages = json.loads(done.stdout.partition("\0")[2])
    for page, visits in pages.items():
        for pressed, said in visits.items():
            assert not said["broke"] and not said["raw"], f"{page} {pressed}: {said}"
    # The names were there to be seen.
    assert sum(visits[""]["names"] > 2 for visits in pages.values()) >= 4
    # No line of the log begins with what a name says behind its line break.
    assert not [line for line in done.stderr.splitlines() if line.startswith("ERROR injected")]
    print(f"{len(pages)} pages and {sum(len(visits) - 1 for visits in pages.values())} buttons: names are text")


def test_hostile_names_are_text_in_the_answers_and_metrics_of_the_api(models: Path) -> None:
    from starlette.testclient import TestClient

    from api.app import create
    from api.schemas import Settings

    client = TestClient(create(Settings(model=labelled.CLASSIFIERS[0])))
    data = corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG")
    answer = client.post("/api/explain", files={"image": (labelled.NAME, data)})
    assert answer.status_code == 200, answer.text
    for one in answer.json()["predictions"]:
        assert "\n" not in one["label"] and "\0" not in one["label"] and len(one["label"]) <= 200
    for line in client.get("/api/metrics").text.splitlines():
        assert line.startswith(("#", "sightglass_", "python_", "process_")), line
