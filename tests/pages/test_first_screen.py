"""The first screen is drawn before torch is imported, and the first picture without what it does not need."""

from __future__ import annotations

import subprocess
import sys

from tests.pages.conftest import ROOT

CODE = """
import runpy, sys
from sightglass.components.session import page
page.guard = lambda draw: (lambda: None)
for name in ("explore", "topk", "detect", "compare", "trust", "whatif"):
    runpy.run_path(page.script(name))
heavy = {"torch", "torchvision", "timm", "ultralytics", "pytorch_grad_cam", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""


def test_no_page_imports_anything_heavy():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_server_imports_nothing_heavy_for_its_routes():
    code = (
        "import sys, dashboard; assert type(dashboard.app).__name__ == 'App';"
        "from streamlit import net_util;"
        "assert net_util.get_external_ip.__module__ == 'sightglass.components.streamlit_internals';"
        "names = {'torch', 'fastapi', 'sightglass.api.app', 'sightglass.explain', 'prometheus_client', 'pandas'};"
        "print(names & set(sys.modules) or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == ""


VISIT = """
import sys
from streamlit.testing.v1 import AppTest
from sightglass.components.choices import sidebar
from sightglass.components.choices import import_ahead
from sightglass.components.session import page
import_ahead._import()
app = AppTest.from_file(page.script("explore"), default_timeout=300)
app.query_params["model"] = "demo-cls-s"
app.query_params["example"] = "scene 3"
if {stop}:
    import streamlit as st
    sidebar.load = lambda model: st.stop()
app.run()
assert not app.exception and not app.error
assert any(one.proto.component_name.endswith("{component}") for one in app.get("bidi_component"))
print(*sys.modules)
"""
LARGE = {"IPython", "altair", "authlib", "av", "fastapi", "httpx", "matplotlib", "pandas", "pptx", "prometheus_client"}
LARGE |= {"pyarrow", "pytorch_grad_cam", "ray", "reportlab", "scipy", "sklearn", "timm", "tomlkit", "torchvision"}
LARGE |= {"transformers", "ultralytics"}
"""Libraries that the start page does not need."""
FIRST_ROOMS = {"common", "components", "deck", "explain", "export", "models"}


def imported_by_a_visit(*, stop: bool, component: str) -> tuple[set[str], set[str]]:
    """The libraries and the rooms that a visit imports, until its model is loaded or until its picture is there."""
    code = VISIT.format(stop=stop, component=component)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    parts = [name.split(".") for name in done.stdout.split()]
    rooms = {name[1] for name in parts if name[0] == "sightglass" and len(name) > 2}
    return {name[0] for name in parts}, rooms


def test_the_first_screen_imports_only_what_it_shows():
    libraries, rooms = imported_by_a_visit(stop=True, component="picture_bar")
    assert libraries & (LARGE | {"torch", "jinja2"}) == set()
    assert rooms <= FIRST_ROOMS - {"deck"}


def test_the_first_picture_imports_only_what_explains_it():
    libraries, rooms = imported_by_a_visit(stop=False, component="viewer")
    assert "torch" in libraries
    assert libraries & LARGE == set()
    assert rooms <= FIRST_ROOMS
