"""The API's answers are the library's, value for value, whichever way a picture comes and an answer goes."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sightglass.api import routes
from sightglass.api.app import create
from sightglass.common import access
from sightglass.explain import Explainer
from sightglass.explain.comparison.detections import find_missed
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.explain.similarity.ranking import context
from sightglass.explain.similarity.similarity import similarity
from sightglass.history import History
from sightglass.report import embedded_recipe, result_folder, results
from tests.servers import settings_of
from training.demo import scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

LOOK = VIEWER_STYLE


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the packaged detectors were trained on."""
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    pixels = scenes.draw(scenes.sample(502, task="detect", held_out=True)).pixels
    path.write_bytes(to_png(np.ascontiguousarray(pixels)))
    return path


def sent(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """JSON."""
    body = {"image": base64.b64encode(path.read_bytes()).decode(), "name": path.name, **fields}
    answer = client.post(f"/api/{route}", json=body)
    assert answer.status_code == 200, answer.text
    return answer


def formed(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """A form."""
    pictures = {"image": (path.name, path.read_bytes())}
    answer = client.post(f"/api/{route}", files=pictures, data=fields)
    assert answer.status_code == 200, answer.text
    return answer


def array(text: str | bytes) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(io.BytesIO(base64.b64decode(text) if isinstance(text, str) else text))
    assert found.dtype == np.float32
    return found


def plain(value: Any) -> Any:
    return json.loads(result_folder.to_json(value))


def same(said: dict[str, Any], made: Explanation) -> None:
    """All numbers of an answer are the library's."""
    wanted = plain(results.Explained.build(made, LOOK).to_dict())
    for name in (
        "headline",
        "predictions",
        "boxes",
        "heatmaps",
        "statistics",
        "diagnosis",
        "notes",
        "recipe",
        "command",
    ):
        assert said[name] == wanted[name], name
    assert len(said["heatmaps"]) > 0


def maps_in(answer: Any, name: str = result_folder.MAPS) -> dict[str, NDArray[np.float32]]:
    """The arrays of an archive."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as folder:
        return dict(np.load(io.BytesIO(folder.read(name))))


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 1, "model": "demo-cls-s", "method": "LayerCAM", "scale": "shared"},
        {"targets": ["trolleybus", 5], "layers": ["blocks.4", "bn2"], "preprocessing": "letterbox"},
        {"top_k": 1, "model": "demo-cls-s", "method": "occlusion", "masks": 16},
        {"model": "demo-clip", "vocabulary": ["red star", "blue ball"], "top_k": 2},
    ],
)
def test_an_explanation_is_the_librarys(client: TestClient, bus: Path, fields: dict[str, Any]) -> None:
    options = {name: value for name, value in fields.items() if name != "model"}
    made = Explainer(fields.get("model", "efficientnet-lite0"))(bus, **options)
    same(sent(client, "explain", bus, **fields).json(), made)


@pytest.mark.parametrize("fields", [{"per": "class", "within": "inside"}, {"targets": [0], "part": "left"}])
def test_boxes_are_the_librarys(client: TestClient, scene: Path, fields: dict[str, Any]) -> None:
    made = Explainer("demo-s")(scene, **({"per": "detection", "confidence": 0.1} | fields))
    same(sent(client, "detect", scene, model="demo-s", confidence=0.1, **fields).json(), made)


def test_the_map_alone_the_picture_under_it_and_the_folder(client: TestClient, bus: Path) -> None:
    made = Explainer()(bus)
    answer = formed(client, "v1/explain?format=npy", bus)
    assert answer.headers["content-type"] == "application/x-npy"
    assert np.array_equal(array(answer.content), made.heatmaps[0].values)
    drawn = formed(client, "explain?format=png", bus, colormap="jet", alpha="0.3").content
    with Pillow.open(io.BytesIO(drawn)) as picture:
        assert np.array_equal(np.asarray(picture), made.overlay(0, colormap="jet", alpha=0.3))
    assert embedded_recipe.read(drawn) == made.recipe
    packed = formed(client, "explain?format=zip", bus)
    with zipfile.ZipFile(io.BytesIO(packed.content)) as folder:
        assert {"gradcam_prediction.png", result_folder.SUMMARY, result_folder.RECIPE} < {*folder.namelist()}
    arrays = result_folder.arrays(made)
    assert all(np.array_equal(values, arrays[name]) for name, values in maps_in(packed).items())


def test_a_comparison_is_the_librarys(client: TestClient, bus: Path) -> None:
    names = ("demo-cls-s", "efficientnet-lite0")
    said = sent(client, "compare", bus, models=names, targets=[1]).json()
    made = Comparison(tuple(Explainer(name)(bus, targets=(1,)) for name in names), names, ())
    assert (said["verdict"], tuple(said["common"])) == (made.verdict, made.common)
    assert said["agreement"] == [[plain(asdict(made.agreement(a, b))) for b in range(2)] for a in range(2)]
    for one, explanation in zip(said["models"], made.explanations, strict=True):
        wanted = plain(explanation.to_dict()) | {"recipe": plain(explanation.recipe)}
        assert {name: one[name] for name in ("predictions", "statistics", "recipe")}.items() <= wanted.items()
        assert 0 < one["timing"]["fastest"] <= one["timing"]["median"] <= one["timing"]["slowest"]
    assert len(maps_in(sent(client, "compare?format=zip", bus, models=names, targets=[1]))) == 2
    sizes = formed(client, "compare", bus, models="demo-cls-s").json()["models"]
    assert [one["name"] for one in sizes] == ["s", "m", "l"]


def test_two_pictures_are_compared_as_the_library_does(client: TestClient, bus: Path) -> None:
    other = bus.with_name("zidane.jpg")
    fields = {"other": base64.b64encode(other.read_bytes()).decode(), "other_name": other.name, "of": "product"}
    said = sent(client, "similarity", bus, **fields).json()
    explainer = Explainer()
    found = similarity(explainer, Image.open(bus), Image.open(other), of="product")
    wanted = plain(results.SimilarityResult.build(found, context(explainer, Image.open(bus))).to_dict())
    assert {name: said[name] for name in wanted} == wanted
    for one, side in zip(said["sides"], found.sides, strict=True):
        assert (one["alike"], one["apart"]) == tuple(plain(asdict(numbers)) for numbers in side.statistics)
    assert maps_in(sent(client, "similarity?format=zip", bus, **fields))
    pictures = {"image": (bus.name, bus.read_bytes()), "other": (other.name, other.read_bytes())}
    form = client.post("/api/similarity", files=pictures, data={"of": "product", "context": "false"})
    assert form.json()["score"] == found.score
    assert (form.json()["query"], form.json()["gallery"]) == ("bus.jpg", "zidane.jpg")


def test_models(client: TestClient, bus: Path) -> None:
    formed(client, "explain", bus, model="demo-cls-s")
    said = client.get("/api/models?here=true").json()
    found = {one["id"]: one for one in said["models"]}
    assert said["default"] in found
    assert found["demo-cls-s"]["resident"] and "layercam" in found["demo-cls-s"]["methods"]
    listed = {one["id"]: one for one in client.get("/api/models?task=detect").json()["models"]}
    assert {one["task"] for one in listed.values()} == {"detect"}
    assert (listed["yolo11m"]["download_mb"], listed["demo-s"]["download_mb"]) == (40.3, None)


def test_an_unsure_answer_is_saved_where_the_operator_says_so(
    client: TestClient, bus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    assert formed(client, "explain", bus).json()["saved"] is None
    with settings_of(save_below=0.01):
        assert formed(client, "explain", bus).json()["saved"] is None
    with settings_of(save_below=1):
        saved = formed(client, "explain", bus).json()["saved"]
        formed(client, "explain?format=png", bus)
        assert [record.id for record in History().search(tag="unsure").records] == [saved]
        monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
        answer = formed(client, "explain", bus).json()
    assert answer["predictions"] and answer["saved"] is None


@pytest.mark.parametrize("path", ["/api/explain", "/api/similarity", "/predict_with_gradcam"])
def test_the_example_of_a_body_is_answered(client: TestClient, path: str) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    body = paths[path.replace("/api/", "/api/v1/")]["post"]["requestBody"]["content"]["application/json"]
    assert client.post(path, json=body["example"]).status_code == 200


def test_the_page_of_it_needs_no_network(client: TestClient) -> None:
    assert "https://" not in client.get("/api/docs").text
    assert client.get("/api/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/api/docs/openapi.json").json()["openapi"] == "3.0.3"


def test_a_form_and_all_kinds_of_base64_are_the_same_request(client: TestClient, bus: Path) -> None:
    fields: dict[str, Any] = {"targets": ["trolleybus", 5], "layers": ["blocks.4", "bn2"], "scale": "shared"}
    expected = sent(client, "explain", bus, **fields).json()
    answers = [formed(client, "explain", bus, **form) for form in (fields, fields | {"method": "", "top_k": ""})]
    text = base64.encodebytes(bus.read_bytes()).decode()
    for image in (f"data:image/jpeg;base64,{text}", text, base64.b64encode(bus.read_bytes()).decode()):
        answers.append(client.post("/api/explain", json={"image": image, "name": bus.name, **fields}))
    answers.append(client.post("/api/explain", files={"image": (None, text)}, data=fields | {"name": bus.name}))
    for answer in answers:
        assert (answer.json()["recipe"], answer.json()["heatmaps"]) == (expected["recipe"], expected["heatmaps"])


def test_a_class_that_was_not_found_is_named(client: TestClient, scene: Path) -> None:
    made = Explainer("demo-s")(scene, per="detection", confidence=0.9)
    shown = {p.label for p in made.predictions}
    wanted = next(label for label in Explainer("demo-s").labels if label not in shown)
    said = sent(client, "detect", scene, model="demo-s", confidence=0.9, targets=[wanted]).json()
    assert said["missing"] == [plain_text(one.words) for one in find_missed(made, [wanted])] != []


def test_the_description_names_bodies_answers_keys_and_a_version(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.get("/api/openapi.json")
    said = answer.json()
    assert said["openapi"].startswith("3.1")
    assert client.get("/api/v1/openapi.json").json() == said
    explain = said["paths"]["/api/v1/explain"]["post"]
    assert set(explain["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert set(explain["responses"]["200"]["content"]) == {
        *("application/json", "image/png", "application/x-npy", "application/zip"),
    }
    form = explain["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["image"]["format"] == "binary" and form["additionalProperties"] is False
    named = [way["operationId"] for ways in said["paths"].values() for way in ways.values()]
    assert len(set(named)) == len(named) and {"explain_picture", "list_models", "get_readiness"} <= {*named}
    # With a token all but what reveals nothing needs it.
    assert "security" not in explain
    monkeypatch.setattr(access, "_IN_USE", [access.Access("token", "k")])
    locked = create().openapi()
    open_ones = {path for path, ways in locked["paths"].items() for way in ways.values() if "security" not in way}
    assert open_ones == {"/api/v1/health", "/api/v1/health/alive", "/api/v1/health/ready"}
    # Below a path of a proxy, where the page of it asks.
    below = TestClient(Starlette(routes=routes("/sightglass")))
    assert below.get("/sightglass/api/openapi.json").json()["servers"][0]["url"] == "/sightglass"
