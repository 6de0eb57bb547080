"""The API's answers are the library's, value for value, whichever way a picture comes and an answer goes."""

import base64
import io
import json
import re
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api.app import create
from sightglass.common import access
from sightglass.explain import Explainer
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.recipe import Recipe
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.tasks.detect import find_missed
from sightglass.explain.trust.checks import QUESTIONS
from sightglass.history import History
from sightglass.report import embedded_recipe, result_folder, results
from tests.servers import settings_of
from tests.unit.api.conftest import send_form


def sent(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """JSON."""
    body = {"image": base64.b64encode(path.read_bytes()).decode(), "name": path.name, **fields}
    answer = client.post(f"/api/{route}", json=body)
    assert answer.status_code == 200, answer.text
    return answer


def plain(value: Any) -> Any:
    return json.loads(result_folder.to_json(value))


def maps_in(answer: Any) -> dict[str, NDArray[np.float32]]:
    """The arrays of an archive."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as folder:
        return dict(np.load(io.BytesIO(folder.read(result_folder.MAPS))))


def test_a_target_may_be_a_span_of_words(client: TestClient, bus: Path) -> None:
    fields = {"model": "demo-vlm", "prompt": "what is there ?", "answer": "a red star .", "targets": ["star", [1, 2]]}
    assert sent(client, "explain", bus, **fields).json()["recipe"]["targets"][-1] == [1, 2]


def test_the_map_alone_and_the_picture_under_it(client: TestClient, bus: Path) -> None:
    answer = send_form(client, "explain?format=npy", bus)
    assert answer.headers["content-type"] == "application/x-npy"
    drawn = send_form(client, "explain?format=png", bus, colormap="jet", alpha="0.3").content
    assert embedded_recipe.read(drawn) == Explainer()(bus).recipe


def test_a_comparison_is_the_librarys(client: TestClient, bus: Path) -> None:
    names = ("demo-cls-s", "efficientnet-lite0")
    body = sent(client, "compare", bus, models=names, targets=[1]).json()
    comparison = Comparison(tuple(Explainer(name)(bus, targets=(1,)) for name in names), names)
    assert (body["verdict"], tuple(body["common"])) == (comparison.verdict, comparison.common)
    # One number is another class in each, and only one class is compared.
    same = {"rank_correlation": 1.0, "iou_top20": 1.0}
    assert (body["agreement"], body["label"]) == ([[same, None], [None, same]], None) and body["mixed"]
    for answer, explanation in zip(body["models"], comparison.explanations, strict=True):
        expected = plain(explanation.to_dict()) | {"recipe": plain(explanation.recipe)}
        assert {name: answer[name] for name in ("predictions", "statistics", "recipe")}.items() <= expected.items()
    assert len(maps_in(sent(client, "compare?format=zip", bus, models=names, targets=[1]))) == 2
    sizes = send_form(client, "compare", bus, models="demo-cls-s").json()["models"]
    assert [size["name"] for size in sizes] == ["s", "m", "l"]


def test_two_pictures_are_compared_as_the_library_does(client: TestClient, bus: Path) -> None:
    other = bus.with_name("zidane.jpg")
    fields = {"other": base64.b64encode(other.read_bytes()).decode(), "other_name": other.name, "method": "gradcam"}
    body = sent(client, "similarity", bus, **fields).json()
    result = similarity(Explainer(), Image.open(bus), Image.open(other), method="gradcam")
    expected = plain(results.SimilarityResult.build(result).to_dict())
    assert {name: body[name] for name in expected} == expected
    for answer, side in zip(body["sides"], result.sides, strict=True):
        assert (answer["alike"], answer["apart"]) == tuple(plain(asdict(numbers)) for numbers in side.statistics)
    assert maps_in(sent(client, "similarity?format=zip", bus, **fields))
    pictures = {"image": (bus.name, bus.read_bytes()), "other": (other.name, other.read_bytes())}
    form = client.post("/api/similarity", files=pictures, data={"method": "gradcam"})
    assert form.json()["score"] == result.score
    assert (form.json()["query"], form.json()["gallery"]) == ("bus.jpg", "zidane.jpg")


def test_models(client: TestClient, bus: Path) -> None:
    send_form(client, "explain", bus, model="demo-cls-s")
    body = client.get("/api/models?here=true").json()
    models = {model["id"]: model for model in body["models"]}
    assert body["default"] in models and models["demo-cls-s"]["method"] == "layercam"
    listed = {model["id"]: model for model in client.get("/api/models?task=detect").json()["models"]}
    assert {model["task"] for model in listed.values()} == {"detect"}
    assert (listed["yolo11m"]["download_mb"], listed["demo-s"]["download_mb"]) == (40.3, None)


def test_unsure_answer_is_saved_in_history(client, bus, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path))
    assert send_form(client, "explain", bus).json().get("saved") is None
    with settings_of(save_below=1):
        saved = send_form(client, "explain", bus).json()["saved"]
        send_form(client, "explain?format=png", bus)
        assert [record.id for record in History().search(tag="unsure").records] == [saved]
        monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
        answer = send_form(client, "explain", bus).json()
    assert answer["predictions"] and answer.get("saved") is None


@pytest.mark.parametrize("path", ["/api/explain", "/api/similarity", "/predict_with_gradcam"])
def test_the_example_of_a_body_is_answered(client: TestClient, path: str) -> None:
    body = client.get("/api/openapi.json").json()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert client.post(path, json=body["example"]).status_code == 200


def test_base64_of_any_form_is_one_picture(client: TestClient) -> None:
    # Its base64 has both letters that addresses spell otherwise, and padding.
    data = next(png for png in map(small_png, range(99)) if {*"+/="} <= {*base64.b64encode(png).decode()})
    plain = base64.b64encode(data).decode()
    forms = {
        "plain": plain,
        "for addresses": base64.urlsafe_b64encode(data).decode(),
        "unpadded": plain.rstrip("="),
        "data URL": f"data:image/png;base64,{plain}",
        "named": f"DATA:image/png;name=a,b.png;base64,{plain}",
        "percent": f"data:image/png;base64,{quote(plain, safe='')}",
    }
    for form, text in forms.items():
        answer = client.post("/api/explain", json={"image": text, "model": "demo-cls-s"})
        assert answer.status_code == 200, (form, answer.text)


def small_png(number: int) -> bytes:
    return to_png(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8))


def test_form_and_base64_are_one_request(client: TestClient, bus: Path) -> None:
    fields: dict[str, Any] = {"targets": ["trolleybus", 5], "layers": ["blocks.4", "bn2"], "scale": "shared"}
    expected = sent(client, "explain", bus, **fields).json()
    answers = [send_form(client, "explain", bus, **form) for form in (fields, fields | {"method": "", "top_k": ""})]
    text = base64.encodebytes(bus.read_bytes()).decode()
    answers.append(client.post("/api/explain", json={"image": text, "name": bus.name, **fields}))
    answers.append(client.post("/api/explain", files={"image": (None, text)}, data=fields | {"name": bus.name}))
    for answer in answers:
        assert (answer.json()["recipe"], answer.json()["heatmaps"]) == (expected["recipe"], expected["heatmaps"])


def test_a_class_that_was_not_found_is_named(client: TestClient, scene: Path) -> None:
    result = Explainer("demo-s")(scene, per="detection", confidence=0.9)
    labels = {p.label for p in result.predictions}
    expected = next(label for label in Explainer("demo-s").labels if label not in labels)
    body = sent(client, "detect", scene, model="demo-s", confidence=0.9, targets=[expected]).json()
    assert body["missing"] == [plain_text(missed.words) for missed in find_missed(result, [expected])] != []


def test_openapi_document(client, monkeypatch):
    body = client.get("/api/openapi.json").json()
    assert body["openapi"].startswith("3.1")
    explain = body["paths"]["/api/explain"]["post"]
    assert set(explain["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert set(explain["responses"]["200"]["content"]) == {
        *("application/json", "image/png", "application/x-npy", "application/zip"),
    }
    form = explain["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["image"]["format"] == "binary" and form["additionalProperties"] is False
    named = [way["operationId"] for ways in body["paths"].values() for way in ways.values()]
    assert len(set(named)) == len(named) and {"explain", "list_models", "get_readiness"} <= {*named}
    # With a token all but what reveals nothing needs it.
    assert "security" not in explain
    monkeypatch.setattr(access, "_IN_USE", [access.Access("token", "k")])
    locked = create().openapi()
    open_ones = {path for path, ways in locked["paths"].items() for way in ways.values() if "security" not in way}
    assert open_ones == {"/api/health", "/api/health/alive", "/api/health/ready"}


MODEL = "demo-cls-s"


def test_boxes_and_models_are_checked(client: TestClient, scene: Path, checked: list[str]) -> None:
    boxes = send_form(client, "detect", scene, model="demo-s", top_k=2, checks="true").json()
    assert [box["target"] for box in boxes["checks"]] == checked and len(checked) == len(boxes["heatmaps"]) == 2
    # The headline is made after the test, and no number is infinite in JSON.
    assert "This map shows the box, not what the model learnt." in boxes["headline"]
    marks = boxes["checks"][0]["marks"]
    assert [(mark["question"], mark["value"]) for mark in marks] == list(zip(QUESTIONS, (0.9, None, None), strict=True))
    checked.clear()
    compared = send_form(client, "compare", scene, models=[MODEL, "demo-cls-m"], checks="true").json()["models"]
    for row, label in zip(compared, checked, strict=True):
        # Only the first map of each is compared.
        assert row["checks"][0]["target"] == label == row["heatmaps"][0]["label"]
        assert row["checks"][1:] == [None] * (len(row["heatmaps"]) - 1)
    files, fields = {"image": scene.read_bytes()}, {"checks": "true", "model": MODEL}
    answer = client.post("/api/explain?format=png", files=files, data=fields)
    assert answer.status_code == 400 and "leave checks out" in answer.json()["detail"]


def test_the_curves_of_a_proof_are_the_librarys(client: TestClient, bus: Path) -> None:
    proof = Explainer(MODEL)(bus, targets=("star",)).prove(steps=3, fillings=("mean",))
    fields: dict[str, Any] = {"model": MODEL, "targets": ["star"], "steps": 3, "fillings": ["mean"]}
    body = send_form(client, "prove", bus, **fields).json()
    answer = results.ProofResult.model_validate_json(json.dumps(body))
    assert [curve.deletion for curve in answer.curves] == [curve.deletion.score.tolist() for curve in proof.curves]
    assert (answer.target, answer.sentence, answer.necessity) == (proof.label, proof.sentence, proof.necessity)
    recipe = Recipe.model_validate(body["recipe"] | {"examples": ()}, strict=False)
    assert recipe.prove is not None and recipe.prove.steps == 3


def test_a_prediction_comes_with_its_map_drawn_hot(client: TestClient, bus: Path, picture: str) -> None:
    body = client.post("/predict_with_gradcam", json={"image": picture}).json()
    assert {*body} == {"prediction", "confidence", "gradcam_heatmap", "gradcam_overlay", "notes"}
    # Red is high and blue is low, without the picture.
    (heatmap,) = Explainer()(bus, top_k=1).heatmaps
    x0, y0, x1, y1 = heatmap.seen
    jet = cv2.applyColorMap(np.uint8(np.round(255 * heatmap.values)), cv2.COLORMAP_JET)[:, :, ::-1]
    data = base64.b64decode(body["gradcam_heatmap"], validate=True)
    assert abs(np.asarray(Pillow.open(io.BytesIO(data))).astype(int) - jet)[y0:y1, x0:x1].max() <= 4


def test_a_form_names_the_class_as_json_does(client: TestClient, bus: Path, picture: str) -> None:
    expected = client.post("/analyze_class", json={"image": picture, "class_index": 874}).json()
    for data in ({"class_index": "874", "name": "picture"}, {"class": "trolleybus", "name": "picture"}):
        assert client.post("/analyze_class", files={"image": bus.read_bytes()}, data=data).json() == expected


@pytest.mark.parametrize("end", [b"", b"\r\n--x"])
def test_cut_off_form_is_refused(client, bus, end):
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="bus.jpg"\r\n\r\n' + bus.read_bytes() + end
    answer = client.post("/api/explain", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "fields")


@pytest.mark.parametrize(("as_form", "model"), [(True, "efficientnet-lite0"), (False, "demo-s")])
def test_a_heatmap_is_written_and_fetched_by_its_url(client, bus, picture, as_form, model, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    body = {"files": {"image": bus.read_bytes()}, "data": {"model": model}}
    if not as_form:
        body = {"json": {"image": picture, "model": model}}
    first, report = (client.post("/generate_heatmap", **body).json() for _ in range(2))
    assert {*report} == {"path", "url", "notes"} and report["url"] == f"/view_heatmap?path={report['path']}"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([first["path"], report["path"]])
    assert re.fullmatch(r"heatmap_\d{8}_\d{6}(_2)?\.jpg", report["path"])
    answer = client.get(report["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    maps = Explainer(model)(bus, **({"top_k": 1} if as_form else {"per": "picture"}))
    drawn = maps.overlay(0, colormap="jet", alpha=0.5, mode="blend")
    assert abs(np.asarray(Pillow.open(io.BytesIO(answer.content))).astype(int) - drawn).mean() < 3


@pytest.mark.parametrize("path", ["heatmap_20260101_000000.jpg", "../../etc/passwd", "/etc/passwd", "."])
def test_only_heatmaps_of_the_folder_are_shown(client: TestClient, path: str) -> None:
    answer = client.get("/view_heatmap", params={"path": path})
    assert (answer.status_code, answer.json()["type"]) == (404, "/api/problems/path")
