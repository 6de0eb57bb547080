"""Every page of the menu draws, with models of every kind, and those about one picture begin with its bar."""

import json
import subprocess
import sys

import pytest

from sightglass.explain.phrases import pixels
from sightglass.ui.session.state import Controls
from tests.packages import menu
from tests.pages.conftest import ROOT, bar, session

OF_ONE_PICTURE = ("explore", "topk", "compare")


@pytest.mark.parametrize("name", menu())
def test_a_page_draws(page, name):
    app = page("" if name == "explore" else name)
    if name not in OF_ONE_PICTURE:
        return
    picture = session(app, Controls).picture
    height, width = picture.pixels.shape[:2]
    assert f"{picture.name} {pixels(width, height)}" in bar(app)["titles"]
    # Small enough for the first screen.
    assert sum(map(len, app.pills[0].options)) < 50_000
    assert not app.sidebar.get("file_uploader") and not app.sidebar.get("image")


@pytest.mark.parametrize("kind", ["demo-regress", "demo-seg", "depth", "persons"])
def test_pages_draw_with_a_model_without_classes(page, request, kind):
    model = kind if kind.startswith("demo") else request.getfixturevalue(kind)
    page("", model=model, example="scene 3")
    for name in ("topk", "compare"):
        page(name, model=model, example="scene 3", fails=None)
    page("", model=model, example="scene 3", fails=None, edit="1")
    page("video", source="camera", model=model, fails=None)


LARGE = {"IPython", "altair", "av", "fastapi", "matplotlib", "pandas", "pptx", "prometheus_client"}
LARGE |= {"pyarrow", "pytorch_grad_cam", "ray", "reportlab", "scipy", "sklearn", "timm", "tomlkit", "torchvision"}
LARGE |= {"transformers", "ultralytics"}
"""Libraries that the start page does not need."""
FIRST_ROOMS = {"common", "ui", "explain", "models", "pages", "report"}
SERVER = """
import runpy, sys, dashboard
assert type(dashboard.app).__name__ == "App"
from streamlit import net_util
assert net_util.get_external_ip.__module__ == "sightglass.ui.streamlit_internals"
names = {"torch", "fastapi", "sightglass.api.app", "sightglass.explain", "prometheus_client", "pandas"} & {*sys.modules}
assert not names, names
from sightglass.ui.session import page
page.show_errors = lambda draw: (lambda: None)
for name in ("explore", "topk", "compare", "video"):
    runpy.run_path(page.script(name))
heavy = {"torch", "torchvision", "timm", "ultralytics", "pytorch_grad_cam", "sklearn"} & {*sys.modules}
assert not heavy, heavy
"""
VISITS = """
import json, sys
import streamlit as st
from streamlit.testing.v1 import AppTest
from sightglass.ui.choices import import_ahead, controls
from sightglass.ui.session import page
import_ahead._import()
# The page runs without the navigation, so its links lead nowhere.
st.page_link = lambda *_, **__: None
load, imported = controls.load, []
for component in ("", "viewer"):
    controls.load = load if component else lambda model: st.stop()
    app = AppTest.from_file(page.script("explore"), default_timeout=300)
    app.query_params.update(model="demo-cls-s", example="scene 3")
    app.run()
    assert not app.error
    assert not component or any(one.proto.component_name.endswith(component) for one in app.get("bidi_component"))
    imported.append(sorted(sys.modules))
print("\\0" + json.dumps(imported))
"""


def said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def test_server_and_pages_import_nothing_heavy() -> None:
    said(SERVER)


def test_first_screen_imports_little() -> None:
    for modules, more, parts in zip(
        json.loads(said(VISITS).partition("\0")[2]), ({"torch", "jinja2"}, set()), ({"deck"}, set()), strict=True
    ):
        names = [name.split(".") for name in modules]
        assert {name[0] for name in names} & (LARGE | more) == set()
        assert {name[1] for name in names if name[0] == "sightglass" and len(name) > 2} <= FIRST_ROOMS - parts
