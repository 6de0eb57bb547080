"""What one answer holds, and that it ends where nobody waits for it."""

from __future__ import annotations

import base64
import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api import problems, schemas, service
from sightglass.api.app import create
from sightglass.api.schemas import (
    CompareRequest,
    ExplainRequest,
    SimilarityRequest,
)
from sightglass.common.errors import Cancelled, TooLarge
from sightglass.common.work.progress import stopped_by
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.models.geometry import Geometry
from tests.servers import settings_of
from tests.unit.api.test_errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "demo-cls-s"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with settings_of(api_model=MODEL), TestClient(create()) as made:
        yield made


def blank(width: int, height: int) -> str:
    out = io.BytesIO()
    Pillow.new("RGB", (width, height), "grey").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("that was not to happen")


def test_more_models_than_an_answer_holds_are_refused_before_they_run(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Explainer, "__call__", never)
    fields = {"models": [MODEL, "demo-cls-m", "demo-cls-l", "efficientnet-lite0"], "overlay": True}
    words = told(client.post("/api/compare", json={"image": blank(3000, 4000)} | fields), 413, "size")
    assert "an answer holds 100: ask for fewer maps or models, " in words and "smaller picture" in words


def test_more_maps_than_an_answer_holds_are_refused_before_they_are_drawn(
    client: TestClient, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "MAX_ANSWER_MB", 10)
    monkeypatch.setattr(Geometry, "to_original", never)
    words = told(client.post("/api/explain", json={"image": picture, "top_k": 20, "maps": "npy"}), 413, "size")
    assert "an answer holds 10: ask for fewer maps or models, " in words


def test_two_pictures_and_an_overlay_alone_have_the_same_limit(
    client: TestClient, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "MAX_ANSWER_MB", 3 * 810 * 1080 / 1e6)
    one = {"image": picture}
    assert client.post("/api/explain?format=png", json=one).status_code == 200
    told(client.post("/api/similarity", json=one | {"other": picture, "overlay": True}), 413, "size")
    monkeypatch.setattr(schemas, "MAX_ANSWER_MB", 2)
    words = told(client.post("/api/explain?format=png", json=one), 413, "size")
    assert words.endswith("or send a smaller picture.")


@pytest.mark.parametrize("kind", ["explain", "compare", "similarity"])
def test_who_no_longer_waits_is_drawn_no_more_maps(bus: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data, cancel, drawn = bus.read_bytes(), threading.Event(), []
    real = service.encode

    def encoded(*given: Any, **named: Any) -> dict[str, str]:
        drawn.append(given)
        cancel.set()
        return real(*given, **named)

    monkeypatch.setattr(service, "encode", encoded)
    with pytest.raises(Cancelled), stopped_by(cancel):
        if kind == "explain":
            service.answer_explanation(ExplainRequest(image=data, top_k=2, overlay=True), "json")
        elif kind == "compare":
            service.compare_models(CompareRequest(image=data, models=(MODEL, "demo-cls-m")), "json")
        else:
            service.compare_pictures(SimilarityRequest(image=data, other=data, context=False))
    assert len(drawn) == 1


def test_too_large_is_a_kind_of_its_own_and_no_matter_of_words(client: TestClient) -> None:
    with pytest.raises(TooLarge):
        Image.open(np.zeros((3, 3, 3), np.uint8), max_pixels=8)
    broken = {"image": base64.b64encode(b"GIF89a").decode(), "name": "give at most.gif"}
    told(client.post("/api/explain", json=broken), 422, "image")
    refused = problems.from_exception(TooLarge("No."))
    assert (refused.status, refused.code) == (413, "size")
