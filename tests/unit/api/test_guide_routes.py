"""What apps written against a sketch of such a server send and expect."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from sightglass.explain import Explainer

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"prediction", "confidence", "gradcam_heatmap", "gradcam_overlay"}


def pixels(text: str) -> np.ndarray:
    data = base64.b64decode(text, validate=True)
    assert data.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_prediction_is_the_librarys_with_both_pictures(client: TestClient, bus: Path, picture: str) -> None:
    said = client.post("/predict_with_gradcam", json={"image": picture}).json()
    made = Explainer()(bus, top_k=1)
    assert said.keys() == KEYS
    assert said["prediction"] == made.predictions[0].label
    assert said["confidence"] == made.predictions[0].score
    assert np.array_equal(pixels(said["gradcam_overlay"]), made.overlay(0, colormap="jet"))
    assert np.array_equal(pixels(said["gradcam_heatmap"]), made.overlay(0, colormap="jet", alpha=1.0))
    # A page's canvas hands over a data URL, and sketches send what else they have.
    again = {"image": f"data:image/jpeg;base64,{picture}", "filename": "bus.jpg", "model": "efficientnet-lite0"}
    assert client.post("/predict_with_gradcam", json=again).json()["prediction"] == said["prediction"]


def test_a_form_names_the_class_as_json_does(client: TestClient, bus: Path, picture: str) -> None:
    expected = client.post("/analyze_class", json={"image": picture, "class_index": 874}).json()
    for data in ({"class_index": "874"}, {"class": "trolleybus"}):
        assert client.post("/analyze_class", files={"image": bus.read_bytes()}, data=data).json() == expected


@pytest.mark.parametrize("end", [b"", b"\r\n--x"])
def test_of_a_form_that_was_cut_off_no_part_of_a_picture_is_explained(
    client: TestClient, bus: Path, end: bytes
) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="bus.jpg"\r\n\r\n' + bus.read_bytes() + end
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/explain", content=body, headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (422, "fields")


@pytest.mark.parametrize("as_form", [True, False])
def test_a_heatmap_is_written_and_fetched_by_its_url(
    client: TestClient, bus: Path, picture: str, as_form: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))
    body = {"files": {"image": bus.read_bytes()}} if as_form else {"json": {"image": picture}}
    said = client.post("/generate_heatmap", **body).json()
    assert said == {"path": said["path"], "url": f"/view_heatmap?path={said['path']}"}
    assert [file.name for file in tmp_path.iterdir()] == [said["path"]]
    answer = client.get(said["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    drawn = Explainer()(bus, top_k=1).overlay(0, colormap="jet")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), drawn)


@pytest.mark.parametrize("path", ["heatmap_20260101_000000.png", "../../etc/passwd", "/etc/passwd", "."])
def test_only_heatmaps_of_the_folder_are_shown(client: TestClient, path: str) -> None:
    answer = client.get("/view_heatmap", params={"path": path})
    assert (answer.status_code, answer.json()["type"]) == (404, "/api/problems/path")
