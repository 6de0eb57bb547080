"""A service answers over HTTP, in any of the forms that services have; nobody but the operator says where it is."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.method import Request
from sightglass.models import catalog
from sightglass.models.adapter import Target
from sightglass.models.families.http_service import HttpDetector, load
from sightglass.models.spec import EndpointTable, ModelSpec, WeightsTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAT = {"box": [10, 20, 50, 60], "label": "cat", "score": 0.9}
Answer = Any


class Service:
    """A local server; `answer` says what comes back for the pixels of a request."""

    def __init__(self) -> None:
        self.answer: Callable[[np.ndarray[Any, Any]], Answer] = lambda pixels: [CAT]
        self.status, self.delay = 200, 0.0
        self.seen: list[tuple[str, dict[str, str], np.ndarray[Any, Any]]] = []
        self.flying = self.most = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/detect"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self.flying += 1
            self.most = max(self.most, self.flying)
        body = request.rfile.read(int(request.headers["Content-Length"]))
        kind = request.headers["Content-Type"]
        name = ""
        if kind == "application/json":
            ((name, text),) = json.loads(body).items()
            body = base64.b64decode(text)
        elif kind.startswith("multipart/form-data"):
            (part,) = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()  # type: ignore[misc]
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            body = part.get_payload(decode=True)  # type: ignore[union-attr, assignment]
        picture = Pillow.open(io.BytesIO(body))
        pixels = np.asarray(picture)
        self.seen.append((name or str(picture.format), dict(request.headers), pixels))
        time.sleep(self.delay)
        told = self.answer(pixels)
        said = told if isinstance(told, bytes) else json.dumps(told).encode()
        # A client that no longer waits is what some tests are about.
        with contextlib.suppress(OSError):
            request.send_response(self.status)
            if 300 <= self.status < 400:
                request.send_header("Location", "http://127.0.0.1:9/elsewhere")
            request.send_header("Content-Length", str(len(said)))
            request.end_headers()
            request.wfile.write(said)
        with self.lock:
            self.flying -= 1

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def spec(url: str, labels: tuple[str, ...] = (), **table: Any) -> ModelSpec:
    made = ModelSpec("ours", "Tests", "", "endpoint", "ours", "detect", "none", WeightsTable(labels=labels))
    return replace(made, endpoint=EndpointTable(url, **table))


def found(adapter: HttpDetector, pixels: np.ndarray[Any, Any] | None = None) -> list[Any]:
    given = adapter.prepare(np.full((80, 100, 3), 200, np.uint8) if pixels is None else pixels, "trained")
    outputs = adapter.run(given.tensor)
    return adapter.decode(outputs, given.geometry, top_k=5, confidence=0.25, iou=0.7)


def test_boxes_come_back_where_they_are_in_the_picture(service: Service) -> None:
    adapter = load(spec(service.url, size=320))
    service.answer = lambda pixels: [CAT, {"box": [0, 0, 160, 90], "label": "dog", "score": 0.4}]
    first, second = found(adapter, np.zeros((360, 640, 3), np.uint8))
    assert service.seen[0][2].shape == (180, 320, 3)
    assert (first.label, first.index, first.score) == ("cat", 0, pytest.approx(0.9, abs=1e-5))
    assert first.box == pytest.approx((20, 40, 100, 120))
    assert second.box == pytest.approx((0, 0, 320, 180))
    assert adapter.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ({}, "file"),
        ({"field": "image", "format": "png"}, "image"),
        ({"send": "raw"}, "JPEG"),
        ({"send": "raw", "format": "png"}, "PNG"),
        ({"send": "json", "field": "picture"}, "picture"),
    ],
)
def test_a_picture_goes_out_in_the_way_that_the_service_wants(
    service: Service, table: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "secret")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    smooth = np.asarray(Pillow.fromarray(pixels).resize((6, 4)).resize((60, 40)))
    assert found(load(spec(service.url, token_env="OUR_TOKEN", **table)), smooth)
    said, headers, seen = service.seen[0]
    assert said == name
    assert headers["Authorization"] == "Bearer secret"
    off = np.abs(seen.astype(int) - smooth).max()
    assert off == 0 if table.get("format") == "png" else off < 16


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ({}, [CAT]),
        ({}, {"predictions": [{"class": "cat", "confidence": 0.9, "box": {"x1": 10, "y1": 20, "x2": 50, "y2": 60}}]}),
        ({}, {"detections": [{"name": "cat", "conf": 0.9, "xmin": 10, "ymin": 20, "xmax": 50, "ymax": 60}]}),
        ({}, {"results": [{"class_name": "cat", "score": 0.9, "bbox": {"x": 10, "y": 20, "width": 40, "height": 40}}]}),
        ({"boxes": "xywh"}, {"time": 3, "objects": [{"category": "cat", "score": 0.9, "bbox": [10, 20, 40, 40]}]}),
        (
            {"boxes": "cxcywh"},
            {"predictions": [{"class": "cat", "confidence": 0.9, "x": 30, "y": 40, "width": 40, "height": 40}]},
        ),
        ({"normalised": True}, [{"label": "cat", "score": 0.9, "box": [0.1, 0.25, 0.5, 0.75]}]),
        (
            {},
            {"picture": "a.jpg", "predictions": [{"label": "cat", "index": 3, "score": 0.9, "box": [10, 20, 50, 60]}]},
        ),
    ],
)
def test_the_forms_that_services_answer_in(service: Service, table: dict[str, Any], answer: Answer) -> None:
    service.answer = lambda pixels: answer
    (one,) = found(load(spec(service.url, **table)))
    assert (one.label, one.score) == ("cat", pytest.approx(0.9, abs=1e-5))
    assert one.box == pytest.approx((10, 20, 50, 60))


def test_nothing_found_is_an_answer(service: Service) -> None:
    service.answer = lambda pixels: []
    assert found(load(spec(service.url))) == []


def test_numbers_are_places_among_the_operators_labels(service: Service) -> None:
    adapter = load(spec(service.url, ("cat", "dog")))
    service.answer = lambda pixels: [{"label": 1, "score": 0.5, "box": [0, 0, 9, 9]}]
    assert [p.label for p in found(adapter)] == ["dog"]
    service.answer = lambda pixels: [{"label": 2, "score": 0.5, "box": [0, 0, 9, 9]}]
    with pytest.raises(ModelProblem, match="class 2: complete its labels"):
        found(adapter)
    service.answer = lambda pixels: [{"label": "bird", "score": 0.5, "box": [0, 0, 9, 9]}]
    with pytest.raises(ModelProblem, match="'bird', which is not among its labels"):
        found(adapter)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([{"label": "cat", "score": 0.9, "box": [1, 2, 3, 10**400]}], "has no box of four numbers"),
        ({"error": "busy"}, "a list such as"),
        (["cat"], "Answer 0 of ours's service should be a table"),
        ([{"label": "cat", "score": 0.9}], "Answer 0 of ours's service has no box"),
        ([CAT, {"label": "cat", "score": 0.9, "box": [1, 2, 3]}], "Answer 1 of ours's service has no box"),
        ([{"label": "cat", "score": 0.9, "box": [1, 2, 3, "x"]}], "has no box of four numbers"),
        ([{"label": "cat", "box": [1, 2, 3, 4]}], "has no score"),
        ([{"score": 0.9, "box": [1, 2, 3, 4]}], "has no label"),
        ([{"label": "cat", "score": 90, "box": [1, 2, 3, 4]}], "has the score 90: it is 0 to 1"),
        ([{"label": "cat", "score": 0.9, "box": [1, 2, 3, float("nan")]}], "has no box of four numbers"),
        ([CAT] * 3001, "3001 boxes: 3000 are the most"),
        (b'["' + b"x" * (4 * 2**20) + b'"]', "more than 4 MB"),
    ],
)
def test_what_is_no_answer_is_said_in_one_sentence(service: Service, answer: Answer, words: str) -> None:
    service.answer = lambda pixels: answer
    with pytest.raises(ModelProblem, match=words) as problem:
        found(load(spec(service.url)))
    assert "\n" not in str(problem.value)
    assert str(problem.value).endswith((".", "?"))


def test_a_service_that_is_not_there_refuses_or_sends_elsewhere_is_said(service: Service) -> None:
    with pytest.raises(ModelProblem, match="cannot be reached: is it running"):
        found(load(spec("http://127.0.0.1:9/detect")))
    for status in (500, 404, 302, 307):
        service.status = status
        with pytest.raises(ModelProblem, match=f"refused a picture: HTTP {status}"):
            found(load(spec(service.url)))
    assert len(service.seen) == 4
    service.status = 503
    with pytest.raises(ModelProblem, match="HTTP 503"):
        found(load(spec(service.url)))
    assert len(service.seen) == 6


def test_a_slow_service_is_not_waited_for(service: Service) -> None:
    service.delay = 1.0
    begun = time.monotonic()
    with pytest.raises(ModelProblem, match=r"took more than 0.2 s: raise timeout"):
        found(load(spec(service.url, timeout=0.2)))
    assert time.monotonic() - begun < 0.9


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"url": "file:///etc/passwd"}, "should begin with http"),
        ({"url": "ftp://127.0.0.1/"}, "should begin with http"),
        ({"url": "http:///x"}, "should begin with http"),
        ({"send": "smoke"}, "send of ours's endpoint is 'smoke'"),
        ({"format": "gif"}, "format of ours's endpoint"),
        ({"boxes": "yxyx"}, "boxes of ours's endpoint"),
        ({"timeout": 0}, "timeout of ours's endpoint is 0"),
        ({"at_once": 1000}, "at_once of ours's endpoint"),
        ({"token_env": "NOT_SET_ANYWHERE"}, "environment variable NOT_SET_ANYWHERE"),
    ],
)
def test_a_wrong_table_is_named(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        load(spec(**{"url": "http://127.0.0.1:9/", **table}))
    with pytest.raises(ModelProblem, match="ours needs endpoint"):
        load(ModelSpec("ours", "", "", "endpoint", "ours", "detect", ""))


def test_only_the_operators_file_names_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "models.toml"
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(own))
    own.write_text("""
[model."ours"]
loader = "http_service"
endpoint = { url = "http://127.0.0.1:9/", timeout = 5 }
weights = { labels = ["cat"] }
""")
    row = catalog.spec("ours")
    assert (row.task, row.method) == ("detect", "drise")
    assert catalog.available(row)
    assert load(row).labels == ("cat",)
    own.write_text('[model."ours"]\nloader = "http_service"\nendpoint = { adress = "http://127.0.0.1:9/" }')
    assert 'endpoint of [model."ours"] has an unknown key adress' in (catalog.problem() or "")
    for name in ("http://127.0.0.1:9/", "endpoint/http://127.0.0.1:9/"):
        with pytest.raises(ModelProblem, match="There is no model"):
            catalog.spec(name)


def test_masks_find_what_the_service_looks_at_with_several_requests_in_flight(service: Service) -> None:
    def bright(pixels: np.ndarray[Any, Any]) -> Answer:
        time.sleep(0.01)
        lit = float(pixels[20:40, 60:80].mean()) / 255
        other = [{"box": [0, 0, 20, 20], "label": "new", "score": 0.3}] if lit < 0.7 else []
        return [{"box": [50, 10, 90, 50], "label": "lamp", "score": lit}, *other]

    service.answer = bright
    adapter = load(spec(service.url, at_once=4))
    resident = Resident(adapter, torch.device("cpu"))
    assert (resident.gradients, resident.layers, resident.default_layers) == (False, (), ())
    evidence = Evidence(resident, adapter.prepare(np.full((96, 96, 3), 255, np.uint8), "trained"), ())
    assert adapter.labels == ("lamp",)
    (maps,) = METHODS["drise"].run(evidence, [Target(0, "lamp", (0,), "all")], Request(masks=120)).maps
    # A class that turned up on the way is the second, and the first still is what it was.
    assert adapter.labels == ("lamp", "new")
    y, x = divmod(int(maps[0].argmax()), maps.shape[2])
    assert abs((y + 0.5) * 6 - 30) < 12
    assert abs((x + 0.5) * 6 - 70) < 12
    assert len(service.seen) == 121
    assert 2 <= service.most <= 4


def test_the_same_service_asked_in_the_same_way_is_the_same_model(service: Service) -> None:
    first, again, other = (load(spec(service.url, **table)) for table in ({}, {}, {"size": 320}))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
