"""Joints of Ultralytics' poses, with seeded random weights: no trained ones are to be had here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sightglass.api.schemas import DetectRequest
from sightglass.explain.evidence.resident import MODEL_CACHE, LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.tasks.pose import Pose, read_joint
from sightglass.models.adapter import Joint, JointTarget, Prediction
from sightglass.models.families.ultralytics.loader import adapt
from sightglass.report import table
from sightglass.report.results import PredictionResult
from tests.built import build, built, spec_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAME = "yolo11n-pose"
PICTURE: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 255, (90, 150, 3), np.uint8)
TWO: dict[str, Any] = {"confidence": 0.0, "top_k": 2}


@pytest.fixture
def explainer(monkeypatch: pytest.MonkeyPatch) -> Explainer:
    resident = LoadedModel(built(NAME), torch.device("cpu"))
    monkeypatch.setattr(MODEL_CACHE, "get", lambda *_: resident)
    monkeypatch.setattr(MODEL_CACHE, "models", lambda: [resident])
    return Explainer(NAME)


@pytest.mark.usefixtures("as_built")
@pytest.mark.parametrize("name", ["yolov8n-pose", NAME, "yolo26n-pose"])
def test_joints_are_the_librarys(name: str) -> None:
    tensor = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    reference = build(name).fuse(verbose=False)
    with torch.no_grad():
        decoded, _ = reference(tensor)
        outputs = built(name).run(tensor)
    count = outputs.joints.shape[2] * outputs.joints.shape[3]
    expected = decoded[:, -count:].transpose(1, 2).reshape(outputs.joints.shape)
    assert torch.allclose(outputs.joints[..., :2], expected[..., :2], atol=1e-3)
    assert torch.allclose(outputs.joints[..., 2].sigmoid(), expected[..., 2], atol=1e-5)


@pytest.mark.parametrize("axis", ["x", "y", "visibility"])
def test_a_joints_gradient_is_its_finite_difference(axis: Any) -> None:
    adapter = adapt(spec_of(NAME), build(NAME).double(), "")
    tensor = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    target = JointTarget(0, "", (20,), "signed", joint=9, axis=axis)
    tensor.requires_grad_()
    (gradient,) = torch.autograd.grad(adapter.scalar(adapter.run(tensor), target), tensor)
    ahead = torch.randn(tensor.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 1e-5
    with torch.no_grad():
        more, less = (float(adapter.scalar(adapter.run(tensor + step), target)) for step in (ahead, -ahead))
    assert float((gradient * ahead).sum()) == pytest.approx((more - less) / 2, rel=1e-3)
    assert gradient.abs().max() > 0


def test_a_map_of_a_joint_says_what_raises_and_what_lowers_it(explainer: Explainer) -> None:
    made = explainer(PICTURE, joint="left_wrist x", layers=("neck P4",), **TWO)
    heatmap = made.heatmaps[0]
    assert heatmap.signed and heatmap.target.label == "left wrist x" and made.options.per == "detection"
    lowers = made.with_options(part="lowers").heatmaps[0]
    np.testing.assert_allclose(lowers.raw[0], -heatmap.raw[0], atol=1e-6 * float(np.abs(heatmap.raw[0]).max()))
    found = read_joint(made, 0)
    assert found is not None and found[0].name == "left wrist" and found[1] == made.predictions[0].joints[9].x
    (row, _) = table.rows(made)
    assert (row["joint"], row["number"]) == ("left wrist", found[1])
    said = PredictionResult.model_validate(made.to_dict()["predictions"][0])
    assert (said.joints[9].name, said.joints[9].x) == ("left wrist", found[1])
    assert DetectRequest.model_validate({"image": "", "joint": "nose x"}).joint == "nose x"


def test_hidden_joints_are_hollow_and_no_line_goes_to_them() -> None:
    adapter, black = SimpleNamespace(limbs=[(0, 1)], joints=("a", "b")), np.zeros((60, 90, 3), np.uint8)
    result: Any = SimpleNamespace(
        evidence=SimpleNamespace(resident=SimpleNamespace(adapter=adapter)), options=SimpleNamespace(joint=None)
    )

    def draw(*joints: Joint) -> NDArray[np.uint8]:
        marks = Pose().marks(result, Prediction("person", 0, 0.9, joints=joints))
        return draw_marks(black, [(marks, "")])

    left = Joint("a", 20, 30, 0.9)
    line, gap = draw(left, Joint("b", 70, 30, 0.9)), draw(left, Joint("b", 70, 30, 0.1))
    assert line[30, 45].max() > 200 and gap[30, 45].max() == 0
    assert line[30, 70].max() > 200 and gap[30, 70].max() == 0
    # A joint far outside, as an untrained network may have, is left out.
    assert draw(Joint("a", 1e30, 0.0), Joint("b", -1e30, 0.0)).max() == 0
