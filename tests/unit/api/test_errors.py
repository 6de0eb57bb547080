"""Whatever goes wrong over HTTP is a status of its own and one sentence that says what to do."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sightglass import api
from sightglass.api import problems, service
from sightglass.api.app import create
from sightglass.api.schemas import decode_picture
from sightglass.common import access
from sightglass.common.errors import Cancelled, MachineProblem, OutOfMemory, Problem, Unreadable, WeightsProblem
from sightglass.models.catalog import available, catalog
from sightglass.models.checkpoints import weights
from tests.corpus import saved
from tests.servers import settings_of

MOST = 300_000


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with settings_of(api_mb=MOST / 2**20), TestClient(create()) as made:
        yield made


def told(answer: Any, status: int, kind: str) -> str:
    """The sentence of a problem that is whole."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    problems.ProblemDocument.model_validate(body)
    assert (body["status"], body["type"], body["code"]) == (status, f"/api/problems/{kind}", kind)
    assert body["detail"].endswith((".", "?")) and "Traceback" not in answer.text
    return str(body["detail"])


@pytest.mark.parametrize("name", ["bus.jpg", "scene-3.png", "own.png", "./own.png"])
def test_no_name_in_a_request_opens_a_picture(client, name, tmp_path, monkeypatch):
    """The library opens files, and bundled pictures, by their names; a stranger's text is never one."""
    monkeypatch.chdir(tmp_path)
    Pillow.new("RGB", (32, 32)).save("own.png")
    fields = {"model": "demo-cls-s"}
    answers = [
        client.post("/api/explain", json={"image": name} | fields),
        client.post("/api/explain", files={"image": (None, name)}, data=fields),
        client.post("/api/explain", files={"image": ("a.png", name.encode())}, data=fields),
        client.post("/api/similarity", json={"image": name, "other": name}),
    ]
    assert all(answer.status_code == 422 for answer in answers), [answer.text for answer in answers]


def test_pictures_that_are_none(client: TestClient, bus: Path) -> None:
    whole, wide = bus.read_bytes(), saved(Pillow.new("1", (20_000, 20_000)), "PNG")
    long = saved(Pillow.new("1", (1, 20_000_000)), "PNG")
    for data, status, kind, words in (
        (whole[:9000], 422, "image", "cut off"),
        (b"%PDF-1.7 and more", 422, "image", "known kind"),
        (b"", 422, "image", "is empty"),
        (whole + bytes(MOST), 413, "size", "bytes"),
        (wide, 413, "size", "pixels"),
        (long, 413, "size", "a side of 20,000,000 pixels"),
    ):
        assert words in told(client.post("/api/explain", json={"image": base64.b64encode(data).decode()}), status, kind)
        assert words in told(client.post("/api/explain", files={"image": ("a.jpg", data)}), status, kind)
    for given in ("####", "a", "data:image/png;base64,***", "é"):
        assert "base64" in told(client.post("/api/explain", json={"image": given}), 422, "fields")
    for given in (None, 3, ["a"], {}):
        told(client.post("/api/explain", json={"image": given}), 422, "fields")


def test_a_compressed_body_is_refused(client: TestClient, bus: Path) -> None:
    body = gzip.compress(json.dumps({"image": base64.b64encode(bus.read_bytes()).decode()}).encode())
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in ("/api/explain", "/mcp"):
        words = "compressed (gzip): send it as it is, without Content-Encoding"
        assert words in told(client.post(path, content=body, headers=head), 415, "body")


def test_a_file_of_a_form_without_a_name_is_told_so(client: TestClient, bus: Path) -> None:
    part = b'--X\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + bus.read_bytes() + b"\r\n--X--\r\n"
    answer = client.post("/api/explain", content=part, headers={"Content-Type": "multipart/form-data; boundary=X"})
    assert "send it as a file of a form, with a filename or a type" in told(answer, 422, "fields")


@pytest.mark.parametrize("kind", ["image/jpeg", "Application/Octet-Stream"])
def test_a_part_with_the_type_of_a_file_is_one(kind: str, client: TestClient, bus: Path) -> None:
    head = f'--X\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: {kind}\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=X"}
    body = head.encode() + bus.read_bytes() + b"\r\n--X--\r\n"
    named = client.post("/api/explain", files={"image": bus.read_bytes()}, params={})
    answer = client.post("/api/explain", content=body, headers=form)
    assert answer.status_code == named.status_code == 200
    assert answer.json()["predictions"] == named.json()["predictions"]


def test_what_takes_get_takes_head(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    paths = [path for path, item in document["paths"].items() if "get" in item]
    assert {"/api/health", "/api/health/ready", "/api/models", "/view_heatmap"} <= {*paths}
    assert not any("head" in item for item in document["paths"].values())
    query = {"/view_heatmap": {"path": "none.jpg"}}
    for path in (*paths, "/api/openapi.json", "/api/docs", "/api/docs/openapi.json"):
        head, get = (ask(path, params=query.get(path, {})) for ask in (client.head, client.get))
        assert head.status_code == get.status_code in (200, 404), path
        assert head.headers["content-type"] == get.headers["content-type"]
    assert client.head("/api/explain").status_code == 405


def test_base64_whose_plus_became_a_blank_is_read(bus: Path) -> None:
    data = bus.read_bytes()
    text = base64.b64encode(data).decode()
    assert "+" in text
    assert decode_picture(text.replace("+", " ")) == data
    lines = base64.encodebytes(data).decode()
    assert decode_picture(lines.replace("+", " ")) == data
    assert decode_picture("data:image/jpeg;base64," + text.replace("+", " ")) == data
    # Its ends of lines as blanks.
    plain = base64.encodebytes(bytes(400)).decode()
    assert decode_picture(plain.replace("\n", " ")) == decode_picture(plain.replace("\n", "\n  ")) == bytes(400)


def test_tools_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.api.tools.create_server", None)
    assert "tools" in told(TestClient(create()).post("/mcp"), 503, "unready")


def test_bodies_that_cannot_be_read(client: TestClient) -> None:
    def post(content: bytes, kind: str | None) -> Any:
        return client.post("/api/explain", content=content, headers={"content-type": kind} if kind else {})

    for content in (b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"image": "\\ud800"}'):
        assert "JSON" in told(post(content, "application/json"), 400, "body")
    for content in (b"[1]", b"null"):
        told(post(content, "application/json"), 422, "fields")
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        assert "multipart" in told(post(b"image=3", kind), 415, "body")
    told(post(b"no parts", "multipart/form-data"), 400, "body")
    assert "longer than" in told(client.post("/mcp", content=bytes(3 * MOST)), 413, "size")
    assert "missing" in told(post(b"--x--\r\n", "multipart/form-data; boundary=x"), 422, "fields")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Top_K": 3}, "There is no field 'Top_K': did you mean top_k?"),
        (
            {"modell": 1, "alpha": "x"},
            "The field 'alpha' should be a valid number; there is no field 'modell': did you mean model?",
        ),
        ({"top_k": "3"}, "The field 'top_k' should be a valid integer"),
        ({"targets": [[1]]}, "The field 'targets.0' should be a valid integer or should be a valid string or "),
        ({"zzzzzzzzz": 1}, "There is no field 'zzzzzzzzz': use one of image, name, layers, "),
        ({"class_idx": 5}, "There is no field 'class_idx': use targets."),
    ],
)
def test_fields_that_are_wrong(client: TestClient, picture: str, fields: dict[str, Any], words: str) -> None:
    content = json.dumps({"image": picture} | fields)
    answer = client.post("/api/explain", content=content, headers={"content-type": "application/json"})
    detail = told(answer, 422, "fields")
    assert words in detail
    assert len(detail) < 600 and detail.count("preprocessing") < 2 and ".;" not in detail


def test_options_of_boxes_where_there_are_none(client: TestClient, picture: str) -> None:
    answer = client.post("/api/explain", json={"image": picture, "confidence": 0.3, "iou": 0.5})
    assert "confidence and iou would have no effect" in told(answer, 400, "option")


def test_a_model_that_is_not_here_is_never_fetched(client, picture, monkeypatch):
    monkeypatch.delenv("SIGHTGLASS_OFFLINE", raising=False)
    monkeypatch.setattr(weights, "download", lambda *_, **__: pytest.fail("a request reached out"))
    lacking = next(spec.id for spec in catalog().values() if not available(spec))
    for name, kind, words in (
        ("efficientnet-lite9", "model", "did you mean efficientnet-lite"),
        ("timm/resnet10t.c3_in1k", "model", "not in the catalogue"),
        ("file.py:Class", "model", ""),
        ("../../etc/passwd", "model", ""),
        (lacking, "weights", "not on this machine"),
    ):
        body = {"image": picture, "other": picture, "model": name}
        assert words in told(client.post("/api/similarity", json=body), 404, kind)
        assert words in told(client.post("/api/compare", json={"image": picture, "models": [name]}), 404, kind)
    # Another thread's work is its own.
    seen: list[bool] = []
    with weights.no_downloads():
        thread = threading.Thread(target=lambda: seen.append(weights.offline()))
        thread.start()
        thread.join()
        assert (weights.offline(), seen) == (True, [False])


def test_a_map_alone_where_there_is_none(client: TestClient) -> None:
    files, data = {"image": saved(Pillow.new("RGB", (64, 64)), "PNG")}, {"model": "demo-s", "confidence": 1.0}
    told(client.post("/api/detect?format=png", files=files, data=data), 422, "map")
    assert client.post("/api/detect", files=files, data=data).json()["heatmaps"] == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (problems.ApiProblem(429, "busy", "Too many.", {"Retry-After": "7"}), 429, "busy"),
        (Cancelled(), 504, "timeout"),
        (WeightsProblem("The file is not what it should be."), 503, "weights"),
        (Problem("No."), 400, "option"),
        (MemoryError(), 413, "size"),
        (OutOfMemory(), 413, "size"),
        (MachineProblem("The disk with /a secret is full."), 500, "internal"),
        (Unreadable("run.json in /a secret cannot be read."), 500, "internal"),
        (RuntimeError("a secret path"), 500, "internal"),
    ],
)
def test_whatever_the_work_raises(client, picture, monkeypatch, error, status, kind):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(service, "explain", fail)
    answer = client.post("/api/explain", json={"image": picture})
    assert "secret" not in told(answer, status, kind)
    assert (answer.headers.get("retry-after") == "7") == (status == 429)
    assert client.get("/api/health").json()["status"] == "ok"


def test_api_below_base_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_IN_USE", [access.Access("token", "k")])
    with TestClient(Starlette(routes=api.routes(base="/sight/glass"))) as client:
        for base in ("", "/sight/glass"):
            assert client.get(f"{base}/api/health").json()["status"] == "ok"
            told(client.get(f"{base}/api/models"), 401, "key")
            told(client.get(f"{base}/predict_with_gradcam", headers={"X-API-Key": "k"}), 405, "method")
            assert f'"{base}/api/docs/swagger-ui.css"' in client.get(f"{base}/api/docs").text
        assert client.get("/glass/api/health").status_code == 404


def test_fields_of_a_form_and_of_a_query_that_are_wrong(client: TestClient, bus: Path) -> None:
    def post(**fields: Any) -> str:
        return told(client.post("/api/explain", files={"image": bus.read_bytes()}, data=fields), 422, "fields")

    assert "did you mean model?" in post(modell="x")
    assert "sent 2 times" in post(top_k=["1", "2"]) and "valid integer" in post(top_k="many")
    assert post(alpha="nan") == "The field 'alpha' should be a finite number."
    two = [("image", ("a.jpg", b"a")), ("image", ("b.jpg", b"b"))]
    assert "'image' was sent 2 times" in told(client.post("/api/explain", files=two), 422, "fields")
    assert "'top_k'" in told(client.post("/api/explain?top_k=1", files={"image": bus.read_bytes()}), 422, "fields")
    assert "did you mean here?" in told(client.get("/api/models?hre=true"), 422, "fields")
    assert told(client.get("/api/models?here="), 422, "fields").startswith("The field 'here' should be a valid bool")


def test_paths_methods_and_kinds_that_are_not_here(client: TestClient, picture: str) -> None:
    for path in ("/api", "/api/nothing", "/api/explain/", "/api/docs/app.py", "/x"):
        told(client.get(path), 404, "path")
    for path in ("/predict", "/gradcam/temp_gradcam.jpg"):
        assert "POST /" in told(client.get(path), 404, "path")
    assert client.get("/api/nothing?x=1").json()["instance"] == "/api/nothing"
    for way in ("GET", "DELETE"):
        answer = client.request(way, "/api/explain")
        assert "POST" in told(answer, 405, "method") and answer.headers["allow"] == "POST"
    gif = client.post("/api/explain?format=gif", json={"image": picture})
    assert told(gif, 422, "fields") == "The field 'format' should be 'json', 'png', 'npy' or 'zip'."
