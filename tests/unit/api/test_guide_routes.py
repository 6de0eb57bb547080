"""The guides' routes use every field that they know, under the guides' names too, and refuse all others."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api import guide_routes
from sightglass.common import guide_words
from sightglass.explain.recipe import Recipe
from sightglass.models import catalog
from sightglass.report import embedded_recipe

ROUTES = {
    "/predict_with_gradcam": guide_routes.GuideRequest,
    "/analyze_class": guide_routes.GuideRequest,
    "/generate_heatmap": guide_routes.HeatmapRequest,
}
DETECTED = [
    ("layer", "15", "layers", ["model.15"]),
    ("target_layers", ["model.15"], "layers", ["model.15"]),
    ("method", "GradCAM++", "method", "gradcam++"),
    ("backward_type", "all", "part", "all"),
    ("conf_threshold", 0.5, "confidence", 0.5),
    ("ratio", 0.1, "ratio", 0.1),
    ("renormalize", True, "within", "each"),
    ("renormalize", False, "within", "picture"),
]
CLASSIFIED = [
    *((name, "star", "targets", [8]) for name in ("class", "class_name", "target_class")),
    *((name, 8, "targets", [8]) for name in ("class_index", "class_idx", "target_category")),
    ("aug_smooth", True, "smooth", "flips"),
    ("filename", "leaf.jpg", "picture_name", "leaf.jpg"),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_HEATMAPS", str(tmp_path))


@pytest.fixture
def ask(client: TestClient, scene: Path) -> Callable[..., tuple[np.ndarray, Recipe]]:
    picture = base64.b64encode(scene.read_bytes()).decode()

    def answer(route: str, *, form: bool = False, **fields: Any) -> tuple[np.ndarray, Recipe]:
        if form:
            data = {name: value if isinstance(value, list) else str(value) for name, value in fields.items()}
            said = client.post(route, files={"image": (scene.name, scene.read_bytes())}, data=data)
        else:
            said = client.post(route, json={"image": picture} | fields)
        assert said.status_code == 200, said.text
        body = said.json()
        file = client.get(body["url"]).content if "url" in body else base64.b64decode(body["gradcam_overlay"])
        carried = embedded_recipe.read(file)
        assert carried is not None
        return np.asarray(Pillow.open(io.BytesIO(file))), carried

    return answer


@pytest.mark.parametrize(("route", "form"), [*zip(ROUTES, (False, True, True), strict=True)])
@pytest.mark.parametrize(
    ("model", "field", "value", "option", "expected"),
    [("demo-s", *row) for row in DETECTED] + [("demo-cls-s", *row) for row in CLASSIFIED],
)
def test_each_field_is_used(ask, route, form, model, field, value, option, expected) -> None:
    _, recipe = ask(route, form=form, weight=model, **{field: value})
    assert recipe.model == model
    assert recipe.model_dump(mode="json")[option] == expected


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("field", "value"), [("masks", 50), ("head", 1)])
def test_a_field_without_effect_is_said(client: TestClient, scene: Path, route: str, field: str, value: int) -> None:
    picture = base64.b64encode(scene.read_bytes()).decode()
    said = client.post(route, json={"image": picture, "model": "demo-cls-s", field: value}).json()
    assert f"{field}={value} has no effect with this method." in said["notes"]


BOX_FIELDS = [("iou", 0.01), ("confidence", 0.95), ("confidence", 0.0), ("conf_threshold", 0.9), ("classes", ["star"])]


@pytest.mark.parametrize(("field", "value"), BOX_FIELDS)
def test_fields_of_boxes_are_said_where_a_map_of_all_draws_none(
    client: TestClient, scene: Path, field: str, value: Any
) -> None:
    picture = base64.b64encode(scene.read_bytes()).decode()

    def ask(**fields: Any) -> list[str]:
        body = {"image": picture, "model": "demo-s", field: value} | fields
        notes = client.post("/generate_heatmap", json=body).json()["notes"]
        return [note for note in notes if "the map is of all boxes" in note]

    name = {"conf_threshold": "confidence"}.get(field, field)
    assert ask() == [f"{name} has no effect: the map is of all boxes, and none is drawn without show_box."]
    assert not ask(show_box=True) and not ask(within="each")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("field", "value"), [("iou", 0.5), ("confidence", 0.5), ("classes", ["star"])])
def test_a_field_of_boxes_is_refused_by_a_classifier(
    client: TestClient, scene: Path, route: str, field: str, value: Any
) -> None:
    picture = base64.b64encode(scene.read_bytes()).decode()
    answer = client.post(route, json={"image": picture, "model": "demo-cls-s", field: value})
    assert answer.status_code == 400 and "draws no boxes" in answer.json()["detail"]


@pytest.mark.parametrize("route", ROUTES)
def test_pictures_are_drawn_as_asked(ask, route) -> None:
    plain, _ = ask(route, model="demo-s")
    for field, value in {"colormap": "viridis", "cmap": "hot", "alpha": 0.9, "mode": "overlay"}.items():
        drawn, _ = ask(route, model="demo-s", **{field: value})
        assert abs(drawn.astype(int) - plain).mean() > 1, field
    if route == "/generate_heatmap":
        drawn, _ = ask(route, model="demo-s", show_box=True)
        assert abs(drawn.astype(int) - plain).max() > 50


def test_the_guide_of_a_detector_is_answered_by_one(ask, monkeypatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-cls-s")
    _, recipe = ask("/generate_heatmap")
    assert (recipe.model, recipe.per) == (catalog.detector(), "picture")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-s")
    _, recipe = ask("/generate_heatmap")
    assert recipe.model == "demo-s"
    _, recipe = ask("/generate_heatmap", class_index=4)
    assert recipe.per == "class"


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
@pytest.mark.parametrize("route", ROUTES)
def test_unknown_fields_are_refused(client: TestClient, picture: str, bus: Path, route: str, form: bool) -> None:
    def refused(**fields: Any) -> str:
        body: Any = {"json": {"image": picture} | fields}
        if form:
            body = {"files": {"image": bus.read_bytes()}, "data": {name: str(value) for name, value in fields.items()}}
        said = client.post(route, **body)
        assert (said.status_code, said.json()["code"]) == (422, "fields"), said.text
        return said.json()["detail"]

    known = ROUTES[route].model_fields
    assert refused(foo=1) == f"There is no field 'foo': use one of {', '.join(known)}."
    assert refused(methode="gradcam") == "There is no field 'methode': did you mean method?"
    assert "leave it out" in refused(reshape_transform=1)
    assert "SIGHTGLASS_API_DEVICE" in refused(device="cpu")
    if not form:
        assert "'targets'" in refused(targets="star")
    assert "has targets twice" in refused(class_index=4, class_name="star")
    if route != "/generate_heatmap":
        assert "no field 'show_box'" in refused(show_box=True)
    assert client.post(f"{route}?layers=model.15", json={"image": picture}).status_code == 422


def test_each_word_is_a_field_or_refused(client: TestClient, picture: str) -> None:
    words = [word for row in guide_words.names() for word in row.split(", ")]
    for route in (*ROUTES, "/api/explain"):
        for word in words:
            said = client.post(route, json={"image": picture, "model": "none", word: {}})
            detail = said.json()["detail"]
            assert said.status_code == 422 and not detail.startswith("An internal"), (route, word, detail)
            assert word in detail or guide_words.renamed(word, guide_routes.HeatmapRequest.model_fields) in detail
