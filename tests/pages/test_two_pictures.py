"""Explore with a model of two pictures: it asks for the second, and then shows both with their maps on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sightglass.components import second_picture
from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.picture.image import to_png
from sightglass.models.adapters.pair import is_joined
from tests.pages.conftest import headline, session, shown, texts
from tests.unit import own_nets

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.testing.v1 import AppTest


@pytest.fixture
def mine(tmp_path: Path, own_models: Callable[[str], None]) -> Path:
    (tmp_path / "nets.py").write_text(Path(own_nets.__file__).read_text("utf-8"), "utf-8")
    torch.manual_seed(0)
    torch.save(own_nets.TwoBranches().state_dict(), tmp_path / "net.pth")
    own_models(
        f'[model.mine]\nloader = "custom"\narch = "{tmp_path}/nets.py:TwoBranches"\n'
        f'weights = {{ path = "{tmp_path}/net.pth", labels = ["p", "q", "r"], preprocessing = {{ size = 64 }}, '
        'inputs = ["before", "after"] }\n'
    )
    return tmp_path


def test_the_second_picture_is_asked_for_and_both_are_explained(
    page: Callable[..., AppTest], mine: Path, bus: Path
) -> None:
    app = page(model="mine")
    assert not app.error
    assert "This is *before*: which picture is *after*?" in texts(app)
    uploader = next(one for one in app.file_uploader if str(one.key) == second_picture.KEY)
    uploader.set_value([("notes.txt", b"no picture", "text/plain")]).run()
    assert "notes.txt is a text file" in texts(app)
    other = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    (mine / "other.png").write_bytes(to_png(other))
    uploader = next(one for one in app.file_uploader if str(one.key) == second_picture.KEY)
    uploader.set_value([("other.png", (mine / "other.png").read_bytes(), "image/png")]).run()
    assert not app.error
    assert "which picture is" not in texts(app)
    assert not [one for one in app.file_uploader if str(one.key) == second_picture.KEY]
    result = Explainer("mine")((bus, mine / "other.png"))
    chosen = session(app, image_source.Pictures)
    assert chosen.chosen == result.image.sha256
    assert is_joined(result.image.pixels)
    assert result.predictions[0].label in headline(app)
    np.testing.assert_allclose(shown(app).maps[0], result.heatmaps[0].content, atol=1 / 65535)
    app.switch_page("pages/topk.py").run()
    assert not app.error
    # Back to one picture, another page says what is missing.
    app.query_params["example"] = "bus"
    chosen.chosen = "bus"
    app.switch_page("pages/topk.py").run()
    assert "takes two pictures, before and after" in texts(app)
