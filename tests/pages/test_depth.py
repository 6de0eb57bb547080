"""Explore shows a depth with its scale; a click explains the number of a place, another one compares two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from tests.pages.conftest import headline, shown
from tests.unit.explain.test_depth import NET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def depth(tmp_path: Path, own_models) -> str:
    """The id of a small network with random weights that gives each pixel a number."""
    (tmp_path / "net.py").write_text(NET)
    own_models(
        f'[model.depth]\nloader = "custom"\narch = "{tmp_path / "net.py"}:Depth"\ntask = "regress"\n'
        'weights = { random = 3, preprocessing = { size = 64 }, outputs = [{ name = "depth", unit = "m" }] }\n'
    )
    return "depth"


def viewers(app):
    return [one for one in app.get("bidi_component") if one.proto.component_name.endswith("viewer")]


def test_explore_opens_on_the_depth_beside_its_map(page, depth):
    app = page(model=depth, example="scene 1")
    assert not app.exception and not app.error
    assert len(viewers(app)) == 2 and "on average" in headline(app)
    assert shown(app).titles[0].startswith("Depth")


def test_an_address_names_a_place_and_the_one_it_is_compared_with(page, depth):
    made = Explainer(depth)(load_bundled("scene 1"), at=(100, 120), against="300,200")
    app = page(model=depth, example="scene 1", at="100,120", rival="300,200")
    assert not app.exception and not app.error
    assert made.heatmaps[0].signed and app.selectbox(key="method-regress").value == "hirescam"
    assert "than at the other" in headline(app)
    app.button(key="explore-alone").click().run()
    assert "the other" not in headline(app) and "At the place depth" in headline(app)
    app.button(key="explore-whole").click().run()
    assert "At the place" not in headline(app) and "at" not in app.query_params


def test_other_pages_open_with_a_depth(page, depth):
    for name in ("topk", "trust", "whatif", "compare"):
        app = page(f"pages/{name}.py", model=depth, example="scene 1")
        assert not app.exception, name
