"""The first screen is drawn before torch is imported."""

from __future__ import annotations

import subprocess
import sys

from tests.pages.conftest import ROOT

CODE = """
import runpy, sys
from components.session import page
page.guarded = lambda draw: (lambda: None)
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
        "from streamlit import net_util; assert net_util.get_external_ip.__module__ == 'components.session.address';"
        "print({'torch', 'fastapi', 'api.app', 'explain', 'prometheus_client', 'pandas'} & set(sys.modules) or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == ""
