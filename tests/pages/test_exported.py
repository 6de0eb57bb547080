"""An exported file on the screen: what it can be asked, said in words, and a picture of bands given as a file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.pages.conftest import headline, received, rerun_until, shown, texts
from tests.unit import own_nets
from tests.waits import patience


class Bands(nn.Module):
    """Whether the last channel or the first is brighter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(channels, 2, 1, bias=False), nn.ReLU()
        nn.init.zeros_(self.conv.weight)
        self.conv.weight.data[0, 0] = self.conv.weight.data[1, -1] = 4.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


@pytest.fixture
def models(tmp_path: Path, own_models: Callable[[str], None]) -> Path:
    torch.export.save(torch.export.export(Bands(5).eval(), (torch.rand(1, 5, 32, 32),)), tmp_path / "bands.pt2")
    torch.jit.save(torch.jit.script(Counting()), str(tmp_path / "black.torchscript"))
    more = 'labels = ["first", "last"], preprocessing = { size = 32 }'
    tables = [
        f'[model."{name}"]\nloader = "exported"\nweights = {{ path = "{file}", {more} }}\n'
        for name, file in (("bands", "bands.pt2"), ("black", "black.torchscript"))
    ]
    own_models("\n".join(tables))
    return tmp_path


@pytest.fixture
def pose(tmp_path: Path, own_models: Callable[[str], None]) -> str:
    """The id of a model that gives three angles."""
    torch.save(own_nets.HeadPose().state_dict(), tmp_path / "pose.pth")
    own_models(
        f'[model.pose]\nloader = "custom"\narch = "{own_nets.__file__}:HeadPose"\ntask = "regress"\n'
        f'weights = {{ path = "{tmp_path / "pose.pth"}", labels = ["yaw", "pitch", "roll"], unit = "°" }}\n'
    )
    return "pose"


def test_covering_a_part_changes_numbers_and_no_percents(page, pose: str) -> None:
    app = page("pages/whatif.py", model=pose, example="china")
    assert not app.exception and not app.error
    assert re.search(r"takes yaw from [\d.]+° to [−\d.]+°; as much elsewhere leaves [−\d.]+°\.", texts(app))
    scores = [row["scores"] for row in received(app, "changes")[0]["rows"]]
    assert len(scores) == 3 and all(one.count("°") == 2 and "%" not in one for one in scores)
    (listed,) = received(app, "changes")
    # In the order of the model's outputs, whatever their size.
    assert [row["label"] for row in listed["rows"]] == ["yaw", "pitch", "roll"] and not listed["bars"]


def test_the_best_answers_are_numbers(page, pose: str) -> None:
    app = page("pages/topk.py", model=pose, example="china")
    assert not app.exception and not app.error
    (table,) = app.dataframe
    assert all(text.endswith("°") for text in table.value["Number"]) and "Score" not in table.value


def test_numbers_have_no_percent_and_no_bars(page, pose: str) -> None:
    app = page("pages/explore.py", model="pose", example="china")
    assert not app.exception and not app.error
    assert headline(app).startswith("pose gives yaw ") and "%" not in headline(app)
    listed = received(app, "answer_list")[0]["rows"]
    assert [one["label"] for one in listed] == ["yaw", "pitch", "roll"]
    assert all(one["share"] is None and one["text"].endswith("°") for one in listed)
    # All are listed: there is no other to choose.
    assert not [box for box in app.selectbox if box.key == "another-class"]
    assert all("%" not in item["note"] for panel in shown(app).head["panels"] for item in panel["maps"])


def test_a_number_under_small_changes_is_a_number(page, pose: str) -> None:
    app = page("pages/trust.py", model=pose, example="china")
    next(button for button in app.button if button.label == "Change the picture slightly").click().run()
    rerun_until(app, lambda: "Under 8 small changes" in texts(app), 120)
    assert not app.exception and not app.error
    assert re.search(r"small changes yaw is [−\d.]+° to [−\d.]+°, for the picture [−\d.]+°", texts(app))
    (table,) = [one.value for one in app.dataframe if "Change" in one.value]
    assert list(table) == ["Change", "Number", "Same map"]


class Counting(nn.Module):
    """Of a kind that is not taken apart: it changes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x.mean((2, 3))[:, :2]


def test_a_file_that_only_answers_is_offered_what_hides_the_picture_and_says_so(
    page, models: Path, monkeypatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_MASKS", "8")
    app = page("pages/explore.py", model="black", example="china")
    assert not app.exception
    assert list(app.selectbox(key="method-answers").options) == ["RISE (slow)", "Occlusion (slow)"]
    app.selectbox(key="method-answers").set_value("occlusion").run(timeout=patience(120))
    for _ in range(100):
        if "only answers here, without layers and gradients" in texts(app):
            break
        app.run()
    assert "it changes its own attributes while it runs" in texts(app)


def test_a_field_of_five_bands_is_given_and_explained(page, models: Path) -> None:
    field = np.full((48, 48, 5), 0.1, np.float32)
    field[8:24, 28:44, -1] = 0.9
    out = io.BytesIO()
    np.save(out, field)
    app = page("pages/explore.py", model="bands")
    # A photograph does not fit: one sentence, and everything else stays in place.
    assert "bus.jpg is an RGB picture, and bands takes 5 channels: give a .npy or a .tif with 5" in texts(app)
    app.file_uploader[0].upload("field.npy", out.getvalue(), "application/octet-stream")
    app.run()
    assert not app.exception
    assert not app.error
    given = shown(app)
    assert given.head["panels"][0]["maps"][0]["title"]
    assert "5 channels of float32; the first three are shown" in texts(app)
    assert "which answer as the file does" in texts(app)
    assert app.selectbox(key="method-classify").value == "gradcam"
    # In the patch that nobody sees.
    row, column = divmod(int(given.maps[0].argmax()), given.maps[0].shape[1])
    assert 4 <= row * 48 / given.maps[0].shape[0] < 26
    assert 24 <= column * 48 / given.maps[0].shape[1] < 46


def test_what_only_answers_is_not_told_to_take_a_quick_method(page, models: Path) -> None:
    app = page("pages/topk.py", model="black", example="china")
    assert not app.exception
    assert "takes minutes for several classes: look at one class on Explore" in texts(app)
    assert "fast method" not in texts(app)
