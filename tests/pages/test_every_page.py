"""Every page of the menu draws, with models of every kind, and those about one picture begin with its bar."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sightglass.components.session.state import Sidebar
from sightglass.explain.phrases import pixels
from tests.pages.conftest import bar, session
from tests.rooms import list_pages
from tests.unit.own_nets import DEPTH_NET

if TYPE_CHECKING:
    from pathlib import Path

OF_ONE_PICTURE = ("explore", "topk", "detect", "compare", "similarity")


@pytest.mark.parametrize("name", list_pages())
def test_a_page_draws(page, name):
    app = page("" if name == "explore" else name)
    if name not in OF_ONE_PICTURE:
        return
    given, picture = bar(app), session(app, Sidebar).choices.image
    height, width = picture.pixels.shape[:2]
    assert given["takes"] and given["name"] == picture.name and given["size"] == pixels(width, height)
    assert given["hint"] == ("Drop, paste or upload your own picture." if name == "explore" else "")
    # Small enough for the first screen.
    assert len(json.dumps(given)) < 50_000
    assert not app.sidebar.get("file_uploader") and not app.sidebar.get("image")


@pytest.mark.parametrize("kind", ["numbers", "depth", "segmentation"])
def test_pages_draw_with_a_model_without_classes(page, own_models, tmp_path: Path, kind):
    model = {"numbers": "demo-regress", "segmentation": "demo-seg"}.get(kind, kind)
    (tmp_path / "net.py").write_text(DEPTH_NET)
    own_models(
        f'[model.depth]\nloader = "custom"\narch = "{tmp_path / "net.py"}:Depth"\ntask = "regress"\n'
        'weights = { random = 3, preprocessing = { size = 64 }, outputs = [{ name = "depth", unit = "m" }] }\n'
    )
    for name in ("topk", "compare", "trust", "whatif", "live"):
        page(name, model=model, example="scene 3", fails=None)
