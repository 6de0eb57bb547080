"""Each generation's head gives the library's boxes and scores, and a gradient for every part that it offers."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sightglass.api.schemas import DetectRequest
from sightglass.explain.evidence.loaded_model import MODEL_CACHE, LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.tasks.detect import PoseWording, read_joint
from sightglass.models.adapter import Joint, JointTarget, Prediction, Target
from sightglass.models.adapters.detector import SIDES, Detections
from sightglass.models.families.ultralytics.detectors import RotatedDetector, YoloDetector
from sightglass.models.families.ultralytics.loader import adapt
from sightglass.report import table
from sightglass.report.results import PredictionResult
from tests.built import build, built, record, spec_of

HEADS = (
    "yolov3-tinyu",
    "yolov5nu",
    "yolov6n",
    "yolov8n",
    "yolov9t",
    "yolov10n",
    "yolo11n-seg",
    "yolo11n-obb",
    "yolo12n",
    "yolo26n-seg",
    "yolo26n-obb",
    "yolov8s-world",
    "yoloe-11s-seg",
)
ONE_TO_ONE = ("yolov10n", "yolo26n-seg", "yolo26n-obb")
SIZE = (128, 192)


def picture(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def raw(name: str, *, one_to_one: bool = False) -> tuple[Any, dict[str, torch.Tensor], torch.Tensor | None]:
    """What the library itself returns: decoded rows, raw tower outputs, prototypes."""
    reference = build(name, one_to_one=one_to_one).fuse(verbose=False)
    with torch.no_grad():
        decoded, towers = reference(picture(count=2))
    decoded, prototypes = decoded if isinstance(decoded, tuple) else (decoded, None)
    return decoded, towers.get("one2one" if one_to_one else "one2many", towers), prototypes


def some(outputs: Detections) -> tuple[int, ...]:
    """A candidate in the middle of each scale."""
    sizes = [level.shape[2] * level.shape[3] for level in outputs.levels]
    return tuple(int(start + size // 2) for start, size in zip(np.cumsum([0, *sizes])[:-1], sizes, strict=True))


@pytest.mark.usefixtures("as_built")
@pytest.mark.parametrize("name", HEADS)
def test_boxes_scores_and_what_is_shown_are_the_librarys(name: str) -> None:
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import xywh2xyxy, xywhr2xyxyxyxy

    adapter = built(name)
    decoded, towers, prototypes = raw(name)
    with torch.no_grad():
        outputs = adapter.run(picture(count=2))
    assert torch.allclose(outputs.logits, towers["scores"], atol=1e-4)
    assert torch.allclose(outputs.scores, decoded[:, 4 : 4 + outputs.scores.shape[1]], atol=1e-5)
    turned = outputs.corners_of is not None
    assert isinstance(adapter, RotatedDetector) == turned == name.endswith("-obb")
    if turned:
        corners = outputs.corners_of(outputs.regressions)
        expected = xywhr2xyxyxyxy(torch.cat((decoded[:, :4], decoded[:, -1:]), 1).transpose(1, 2))
        assert torch.allclose(corners, expected, atol=1e-2)
        assert torch.equal(outputs.boxes, torch.cat((corners.amin(2), corners.amax(2)), 2))
    else:
        assert torch.allclose(outputs.boxes, xywh2xyxy(decoded[:, :4].transpose(1, 2)), atol=1e-2)
    if prototypes is not None:
        assert torch.allclose(outputs.prototypes, prototypes, atol=1e-4)
        flat = torch.cat([level.flatten(2) for level in outputs.coefficients], 2)
        assert torch.allclose(flat, towers["mask_coefficient"], atol=1e-4)
    assert ("mask" in adapter.parts) == (prototypes is not None) == name.endswith("-seg")

    confidence = float(outputs.scores[0].amax(0).topk(60).values[-1]) - 1e-6
    rows, _ = non_max_suppression(
        decoded, confidence, 0.5, nc=len(adapter.labels), rotated=turned, agnostic=name.startswith("yoloe")
    )
    anchors, classes = adapter.select_boxes(outputs, confidence, 0.5)
    assert len(rows) == len(anchors) > 0 and rows[:, 5].tolist() == classes.tolist()
    assert torch.allclose(rows[:, 4], outputs.scores[0, classes, anchors], atol=1e-5)
    if not turned:
        assert torch.allclose(rows[:, :4], outputs.boxes[0, anchors], atol=1e-2)
    assert adapter.decode(outputs, None, top_k=1, confidence=1.0, iou=0.5) == []


@pytest.mark.parametrize("name", ONE_TO_ONE)
def test_end_to_end_head_without_nms(name: str) -> None:
    adapter = built(name, one_to_one=True)
    decoded, _, _ = raw(name, one_to_one=True)
    with torch.no_grad():
        outputs = adapter.run(picture(count=2))
    confidence = float(decoded[0, 100, 4])
    anchors, classes = adapter.select_boxes(outputs, confidence, 0.0)
    shown = decoded[0][decoded[0, :, 4] > confidence]
    assert not adapter.nms and len(shown) == len(anchors) > 90
    assert torch.allclose(shown[:, 4], outputs.scores[0, classes, anchors], atol=1e-6)
    assert shown[:, 5].tolist() == classes.tolist()
    if not name.endswith("-obb"):
        assert torch.allclose(shown[:, :4], outputs.boxes[0, anchors], atol=1e-2)
    other = Prediction("", int(outputs.best(0)), 1.0, (0.0, 0.0, 9.0, 9.0), 0)
    assert adapter.why(outputs, [], other, 0.0, 0.5).kind == "beyond"


@pytest.mark.parametrize(
    ("name", "one_to_one"), [*((name, False) for name in (*HEADS, "rtdetr-l")), *((name, True) for name in ONE_TO_ONE)]
)
def test_every_part_reaches_the_maps_that_the_head_reads(name: str, one_to_one: bool) -> None:
    adapter = built(name, one_to_one=one_to_one)
    kept, outputs = record(adapter, picture())
    for part in adapter.parts:
        target = Target(min(3, len(adapter.labels) - 1), "", some(outputs), part)
        gradients = torch.autograd.grad(adapter.scalar(outputs, target), [*kept.values()], retain_graph=True)
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients), part


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n-seg", "yolo26n-seg", "yolov8s-world", "yoloe-11s-seg"])
def test_sides_and_mask_equal_tower_outputs(name: str) -> None:
    adapter = built(name)
    _, towers, prototypes = raw(name)
    with torch.no_grad():
        outputs = adapter.run(picture(count=2))
        for anchor in some(outputs):
            bins = towers["boxes"][0, :, anchor].view(4, -1)
            share = bins.softmax(1) if bins.shape[1] > 1 else torch.ones_like(bins)
            # Ultralytics' own order is left, top, right, bottom; a scale of one bin is the distance itself.
            values = torch.arange(bins.shape[1]).float() if bins.shape[1] > 1 else bins
            for side, distance in zip(SIDES, (share * values).sum(1).tolist(), strict=True):
                ours = adapter.scalar(outputs, Target(7, "", (anchor,), side))
                assert float(ours) == pytest.approx(distance, abs=1e-4)
            if prototypes is None:
                continue
            mask = torch.einsum("m,mhw->hw", towers["mask_coefficient"][0, :, anchor], prototypes[0])
            x0, y0, x1, y1 = (round(float(edge) / 4) for edge in outputs.boxes[0, anchor])
            inside = mask[max(y0, 0) : max(y1, y0 + 1, 1), max(x0, 0) : max(x1, x0 + 1, 1)]
            expected = inside[inside > 0].mean() if (inside > 0).any() else inside.mean()
            ours = adapter.scalar(outputs, Target(7, "", (anchor,), "mask"))
            assert float(ours) == pytest.approx(float(expected), abs=1e-4)


def test_rotated_box_hull_and_overlap() -> None:
    from ultralytics.utils.metrics import batch_probiou

    adapter = built("yolo11n-obb")
    decoded, _, _ = raw("yolo11n-obb")
    with torch.no_grad():
        outputs = adapter.run(picture(count=2))
    geometry = adapter.prepare(np.zeros((*SIZE, 3), np.uint8), "trained").geometry
    first, second = adapter.predictions(outputs, geometry, [100, 101], [0, 0])
    assert PredictionResult.model_validate(first).corners == list(first.corners) and len(first.corners) == 4
    rows = torch.cat((decoded[:, :4], decoded[:, -1:]), 1)[0, :, [100, 101]].T
    assert adapter.overlap(first, second) == pytest.approx(float(batch_probiou(rows[:1], rows[1:])), abs=1e-3)
    x, y = (outputs.centres[100] / outputs.units[100]).tolist()
    left = adapter.scalar(outputs, Target(0, "", (100,), "left"))
    top = adapter.scalar(outputs, Target(0, "", (100,), "top"))
    hull = (outputs.boxes[0, 100] / outputs.units[100]).tolist()
    assert (float(left), float(top)) == pytest.approx((x - hull[0], y - hull[1]), abs=1e-3)


@pytest.mark.usefixtures("as_built")
def test_rtdetr_answers_as_its_decoder_does() -> None:
    from ultralytics.utils.ops import xywh2xyxy

    adapter, (height, width) = built("rtdetr-l"), SIZE
    reference = build("rtdetr-l").fuse(verbose=False)
    with torch.no_grad():
        (shown, (boxes, logits, *_)), outputs = reference(picture()), adapter.run(picture())
    assert [tuple(level.shape) for level in outputs.levels] == [(1, 80, 300, 1)]
    assert torch.allclose(outputs.logits, logits[0].transpose(1, 2), atol=1e-4)
    size = torch.tensor([width, height, width, height])
    assert torch.allclose(outputs.boxes, xywh2xyxy(boxes[0]) * size, atol=1e-2)
    confidence = float(shown[0, 50, 4])
    anchors, classes = adapter.select_boxes(outputs, confidence, 0.0)
    assert len(anchors) == int((shown[0, :, 4] > confidence).sum()) > 40
    assert torch.allclose(outputs.scores[0, classes, anchors], shown[0, : len(anchors), 4], atol=1e-6)
    assert torch.allclose(outputs.boxes[0, anchors], xywh2xyxy(shown[0, : len(anchors), :4]) * size, atol=1e-2)
    assert outputs.centres.shape == (300, 2)
    assert set(outputs.units.tolist()) <= {8.0, 16.0, 32.0}
    assert bool(((outputs.centres > 0) & (outputs.centres < size[:2])).all())


def test_a_vocabulary_that_is_built_in_needs_no_prompt() -> None:
    """As Ultralytics' own `set_vocab` builds it in."""
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import xywh2xyxy

    module = build("yoloe-11s-seg")
    names = [f"thing {index}" for index in range(80)]
    module.args = {"imgsz": 64}
    head = module.model[-1]
    head.fuse(module.pe)
    vocab = torch.nn.ModuleList(cls[-1] for cls in head.cv3)
    # What a filter lets through is trained; here about half of the cells.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for tower in head.cv3:
            tower[-1] = torch.nn.Conv2d(tower[-1].in_channels, 1, 1)
        module.pe = module.pe[:, :1]
        module.set_vocab(vocab, names)
        for found in head.lrpc:
            torch.nn.init.normal_(found.pf.weight)
            torch.nn.init.constant_(found.pf.bias, -7.0)
    adapter = adapt(spec_of("yoloe-11s-seg-pf"), deepcopy(module), "")
    with torch.no_grad():
        (decoded, prototypes), towers = module.fuse(verbose=False)(picture(count=2))
        outputs = adapter.run(picture(count=2))
    assert type(adapter) is YoloDetector and adapter.labels[79] == "thing 79"
    assert 0 < outputs.count == decoded.shape[2] < 16 * 24 + 8 * 12 + 4 * 6
    assert torch.allclose(outputs.logits, towers["scores"], atol=1e-4)
    assert torch.allclose(outputs.boxes, xywh2xyxy(decoded[:, :4].transpose(1, 2)), atol=1e-2)
    assert torch.allclose(outputs.prototypes, prototypes, atol=1e-4)
    confidence = float(outputs.scores[0].amax(0).topk(20).values[-1]) - 1e-6
    rows, _ = non_max_suppression(decoded, confidence, 0.5, nc=80, agnostic=True)
    anchors, classes = adapter.select_boxes(outputs, confidence, 0.5)
    assert rows[:, 5].tolist() == classes.tolist()
    assert torch.allclose(rows[:, :4], outputs.boxes[0, anchors], atol=1e-2)


POSE = "yolo11n-pose"
NOISE: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 255, (90, 150, 3), np.uint8)
TWO: dict[str, Any] = {"confidence": 0.0, "top_k": 2}


@pytest.fixture
def explainer(monkeypatch: pytest.MonkeyPatch) -> Explainer:
    loaded = LoadedModel(built(POSE), torch.device("cpu"))
    monkeypatch.setattr(MODEL_CACHE, "get", lambda *_: loaded)
    monkeypatch.setattr(MODEL_CACHE, "models", lambda: [loaded])
    return Explainer(POSE)


@pytest.mark.usefixtures("as_built")
@pytest.mark.parametrize("name", ["yolov8n-pose", POSE, "yolo26n-pose"])
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
    adapter = adapt(spec_of(POSE), build(POSE).double(), "")
    tensor = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    target = JointTarget(0, "", (20,), "signed", joint=9, axis=axis)
    tensor.requires_grad_()
    (gradient,) = torch.autograd.grad(adapter.scalar(adapter.run(tensor), target), tensor)
    ahead = torch.randn(tensor.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 1e-5
    with torch.no_grad():
        more, less = (float(adapter.scalar(adapter.run(tensor + step), target)) for step in (ahead, -ahead))
    assert float((gradient * ahead).sum()) == pytest.approx((more - less) / 2, rel=1e-3)
    assert gradient.abs().max() > 0


def test_joint_map_is_signed(explainer: Explainer) -> None:
    result = explainer(NOISE, joint="left_wrist x", layers=("neck P4",), **TWO)
    heatmap = result.heatmaps[0]
    assert heatmap.signed and heatmap.target.label == "left wrist x" and result.options.per == "detection"
    lowers = result.with_options(part="lowers").heatmaps[0]
    np.testing.assert_allclose(lowers.raw[0], -heatmap.raw[0], atol=1e-6 * float(np.abs(heatmap.raw[0]).max()))
    joint, number = read_joint(result, 0)
    assert joint is not None and joint.name == "left wrist" and number == result.predictions[0].joints[9].x
    (row, _) = table.rows(result)
    assert (row["joint"], row["number"]) == ("left wrist", number)
    parsed = PredictionResult.model_validate(result.to_dict()["predictions"][0])
    assert (parsed.joints[9].name, parsed.joints[9].x) == ("left wrist", number)
    assert DetectRequest.model_validate({"image": "", "joint": "nose x"}).joint == "nose x"


def test_hidden_joints_are_hollow_and_no_line_goes_to_them() -> None:
    adapter, black = SimpleNamespace(limbs=[(0, 1)], joints=("a", "b")), np.zeros((60, 90, 3), np.uint8)
    result: Any = SimpleNamespace(
        evidence=SimpleNamespace(loaded=SimpleNamespace(adapter=adapter)), options=SimpleNamespace(joint=None)
    )

    def draw(*joints: Joint) -> NDArray[np.uint8]:
        return draw_marks(black, [(PoseWording().marks(result, Prediction("person", 0, 0.9, joints=joints)), "")])

    left = Joint("a", 20, 30, 0.9)
    line, gap = draw(left, Joint("b", 70, 30, 0.9)), draw(left, Joint("b", 70, 30, 0.1))
    assert line[30, 45].max() > 200 and gap[30, 45].max() == 0
    assert line[30, 70].max() > 200 and gap[30, 70].max() == 0
    # A joint far outside, as an untrained network may have, is left out.
    assert draw(Joint("a", 1e30, 0.0), Joint("b", -1e30, 0.0)).max() == 0
