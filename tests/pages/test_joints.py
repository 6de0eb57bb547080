"""Detect shows the joints of a pose, and the map of the joint's number that is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sightglass.explain import Explainer
from sightglass.explain.findings.numbers import describe_number
from sightglass.explain.picture.image import load_bundled
from tests.built import build, built
from tests.pages.conftest import shown, texts

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = "pages/detect.py"


@pytest.fixture
def pose(tmp_path: Path, own_models) -> str:
    """The id of a network of poses that finds some boxes, with seeded random weights."""
    module, adapter = build("yolo11n-pose"), built("yolo11n-pose")
    with torch.no_grad():
        logits = adapter.run(adapter.prepare(load_bundled("scene 1").pixels, "trained").tensor).logits[0]
        for tower in module.model[-1].cv3:
            tower[-1].bias -= logits.flatten().topk(12).values[-1]
    torch.save({"model": module}, tmp_path / "pose.pt")
    own_models(
        f'[model.pose]\nloader = "ultralytics"\narch = "yolo11n-pose.pt"\ntask = "detect"\n'
        f'weights = {{ path = "{tmp_path / "pose.pt"}" }}\n'
    )
    return "pose"


def test_a_joint_can_be_chosen_and_its_body_is_drawn(page, pose):
    app = page(SCREEN, model=pose, example="scene 1")
    assert not app.exception and not app.error
    made = Explainer(pose)(load_bundled("scene 1"), per="detection", joint="left wrist x", top_k=12)
    first = made.predictions[0]
    body = shown(app).head["boxes"][0]["body"]
    np.testing.assert_allclose(body["points"][9], [first.joints[9].x, first.joints[9].y], atol=1e-3)
    assert body["chosen"] is None
    app.selectbox(key="joint").select("left wrist").run()
    assert not app.exception and not app.error
    assert shown(app).head["boxes"][0]["body"]["chosen"] == 9
    first_map = shown(app).head["panels"][0]["maps"][0]
    assert first_map["kind"] == "signed" and first_map["note"] == f"left wrist x {describe_number(made, 0)}"
    assert app.query_params["joint"] == "left wrist"
    assert "left wrist ◂" in texts(app) or any("left wrist ◂" in str(one.value.to_numpy()) for one in app.dataframe)


def test_an_address_opens_on_a_joint(page, pose):
    app = page(SCREEN, model=pose, example="scene 1", joint="nose", number="visibility")
    assert not app.exception and not app.error
    assert shown(app).head["panels"][0]["maps"][0]["note"].startswith("nose visibility ")


def test_other_detectors_have_no_joints_to_choose(page):
    app = page(SCREEN, model="demo-s", example="scene 1")
    assert all(one.label != "Joint" for one in app.selectbox)
