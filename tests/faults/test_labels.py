"""Hostile names of classes and of pictures are text in every file and in the answers of the API."""

import csv
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image as Pillow
from pptx import Presentation
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.explain import Explainer, Image
from sightglass.report import offers, views
from sightglass.report.deck_html import deck_html
from sightglass.report.deck_pptx import deck_pptx
from sightglass.report.pdf import deck_pdf
from tests import corpus
from tests.faults import labelled

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("model", [labelled.CLASSIFIERS[0], labelled.DETECTOR])
def test_hostile_names_are_text_in_every_file(models: Path, model: str) -> None:
    explained = Explainer(model)(Image(corpus.pixels(200, 300), labelled.NAME), confidence=0.001)
    files = {name: make() for row in offers.map_downloads(explained, 0, {}) for _, name, make in row.files}
    slide = views.map_view(explained)
    for kind, write in (("html", deck_html), ("pdf", deck_pdf), ("pptx", deck_pptx)):
        files[f"deck.{kind}"] = write([slide], labelled.NAME)
    assert {Path(name).suffix for name in files} >= {".svg", ".pdf", ".html", ".csv", ".json", ".pptx"}
    for name, data in files.items():
        assert Path(name).name == name and len(name) <= 200 and name.isprintable()
        match Path(name).suffix:
            case ".html":
                text = data if isinstance(data, str) else data.decode()
                assert "hacked" in text and not labelled.Elements.hostile(text)
            case ".svg":
                tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(data).iter()}
                assert not tags & {"img", "script", "a"}
            case ".csv":
                assert not [
                    cell for row in csv.reader(data.decode().splitlines()) for cell in row if cell.startswith("=")
                ]
            case ".pdf":
                assert b"/URI" not in data and b"/JavaScript" not in data
            case ".pptx":
                package = Presentation(BytesIO(data)).part.package
                assert not [link for link in package.iter_rels() if link.is_external]


def test_hostile_names_are_text_in_api(models: Path) -> None:
    client, model = TestClient(create()), {"model": labelled.CLASSIFIERS[0]}
    data = corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG")
    answer = client.post("/api/explain", files={"image": (labelled.NAME, data)}, data=model)
    assert answer.status_code == 200, answer.text
    for one in answer.json()["predictions"]:
        assert "\n" not in one["label"] and "\0" not in one["label"] and len(one["label"]) <= 200
    for line in client.get("/api/metrics").text.splitlines():
        assert line.startswith(("#", "sightglass_", "python_", "process_")), line
