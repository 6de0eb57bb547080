"""One map of what raises a number or a class's score and what lowers it: its values, its sign, where it goes along."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Field, Style
from sightglass.explain.replaying import replay
from sightglass.explain.trust.diagnosis import describe_map, diagnose, headline
from sightglass.history.encoding import record_view
from sightglass.history.history import History
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry
from sightglass.report import caption, command, figure, result_folder
from sightglass.report.drawing import draw
from sightglass.report.html_report import html
from sightglass.report.layouts import Rect
from sightglass.report.page import Photo
from sightglass.report.views import explained_picture, new_view
from tests.late import late
from tests.unit import own_nets
from training.demo import scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

library = late("pytorch_grad_cam")
POSE = ["yaw", "pitch", "roll"]
PLAIN = {"size": 32, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "crop": "squash"}


@pytest.fixture
def yaw(halves: NDArray[np.uint8]) -> Explanation:
    """Red raises it by 90 and blue lowers it by 60 a picture of theirs."""
    explainer = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, unit="°")
    return explainer(halves, targets=["yaw"], method="hirescam")


def test_a_signed_map_is_what_was_worked_out_by_hand(yaw: Explanation) -> None:
    (heatmap,) = yaw.heatmaps
    each = 90 / 32**2
    assert yaw.options.part == "signed" and heatmap.signed and heatmap.kind == "signed"
    (raw,) = heatmap.raw
    assert np.allclose(raw[:, :16], each) and np.allclose(raw[:, 16:], -each * 2 / 3)
    assert np.allclose(heatmap.values[:, :16], 1, atol=1e-5) and np.allclose(heatmap.values[:, 16:], -2 / 3, atol=1e-5)
    assert heatmap.ends == pytest.approx((-each, each), rel=1e-5)
    # The network is linear where it sees red or blue: its map sums up to its answer.
    assert raw.sum() == pytest.approx(yaw.predictions[0].score, rel=1e-5)
    assert heatmap.raising == pytest.approx(0.6, rel=1e-5)
    # Numbers count evidence of either sign.
    assert heatmap.strength.min() == pytest.approx(2 / 3, abs=1e-5)
    assert yaw.statistics[0].mean == pytest.approx(5 / 6, abs=1e-5)
    assert describe_map(yaw).endswith("60\xa0% of the evidence raises the number, 40\xa0% lowers it.")


def test_layers_are_averaged_and_maps_share_a_scale_with_their_signs() -> None:
    geometry = Geometry((4, 4), (4, 4), (1.0, 1.0), (0.0, 0.0))
    fine = torch.tensor([[[1.0, 0, 0, -2.0]] * 4, [[0.0, 0, 0, 4.0]] * 4])
    other = torch.tensor([[[3.0, 0, 0, 3.0]] * 4, [[0.0, 0, 0, 3.0]] * 4])
    about: dict[str, Any] = {"method": "gradcam", "layers": ("a",), "geometry": geometry, "signed": True}
    targets = [Target(0, "a"), Target(1, "b")]
    one, two = (made.values[0] for made in heatmaps([fine], targets, scale="own", **about))
    assert one == pytest.approx([0.5, 0, 0, -1], abs=1e-5) and two == pytest.approx([0, 0, 0, 1], abs=1e-5)
    one, two = (made.values[0] for made in heatmaps([fine], targets, scale="shared", **about))
    assert one == pytest.approx([0.25, 0, 0, -0.5], abs=1e-5) and two == pytest.approx([0, 0, 0, 1], abs=1e-5)
    # (0.5 + 1) / 2 = 0.75 and (-1 + 1) / 2 = 0, again brought to 1.
    mixed = heatmaps([fine, other], targets, scale="own", **about | {"layers": ("a", "b")})
    assert mixed[0].values[0] == pytest.approx([1, 0, 0, 0], abs=1e-5) and mixed[0].ends is None


def blocks() -> nn.Module:
    torch.manual_seed(1)
    return own_nets.BlocksCNN(3).eval()


def test_the_sign_is_that_of_pytorch_grad_cam_before_it_is_cut_off(bus: Path) -> None:
    net = blocks()
    made = Explainer(net, preprocess=PLAIN, labels=POSE, task="regress")(bus, layers=("block3",), method="gradcam")
    tensor, cam, signs = made.evidence.tensor, library.GradCAM(net, [net.block3]), set()
    for index, heatmap in enumerate(made.heatmaps):
        cam(tensor, targets=[library.utils.model_targets.ClassifierOutputTarget(index)])
        found = cam.activations_and_grads
        values = (found.activations[0].numpy(), found.gradients[0].numpy())
        theirs = cam.get_cam_image(tensor, net.block3, [], *values, eigen_smooth=False)[0]
        np.testing.assert_allclose(heatmap.raw[0], theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
        signs |= set(np.sign(theirs).ravel())
    assert {-1, 1} <= signs


def test_a_method_without_a_sign_shows_what_raises(yaw: Explanation) -> None:
    made = yaw.with_method("eigengradcam")
    assert not made.heatmaps[0].signed and made.heatmaps[0].values.min() >= 0
    assert headline(made, "yellow").endswith("Yellow shows what raises yaw.")
    (found,) = (one.text for one in made.diagnosis if one.kind == "one way")
    assert found.startswith("EigenGradCAM has no signed map: this one shows what raises the number")
    assert yaw.with_method("eigencam").heatmaps[0].raising is None


@pytest.fixture
def pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explainer:
    torch.save(own_nets.HeadPose().state_dict(), tmp_path / "pose.pth")
    (tmp_path / "models.toml").write_text(
        f'[model.pose]\nloader = "custom"\narch = "{own_nets.__file__}:HeadPose"\ntask = "regress"\n'
        f'weights = {{ path = "{tmp_path / "pose.pth"}", labels = ["yaw", "pitch", "roll"], unit = "°" }}\n'
    )
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    return Explainer("pose")


def test_a_recipe_makes_the_same_map_again_bit_for_bit_and_old_ones_theirs(pose: Explainer, bus: Path) -> None:
    made = pose(bus, top_k=2)
    again = replay(made.recipe, bus)
    assert made.recipe.part == "signed" and again.heatmaps[0].signed
    assert all(np.array_equal(a.values, b.values) for a, b in zip(made.heatmaps, again.heatmaps, strict=True))
    # Recipes of before say what raises, by their default, or what lowers.
    old = made.recipe.model_dump(mode="json")
    del old["part"]
    raised, lowered = (
        replay(type(made.recipe).model_validate(recipe), bus).heatmaps[0] for recipe in (old, old | {"part": "lowers"})
    )
    (raw,) = made.heatmaps[0].raw
    for heatmap, sign in ((raised, 1), (lowered, -1)):
        assert not heatmap.signed and np.array_equal(heatmap.raw[0], sign * raw)
        content = np.maximum(sign * made.heatmaps[0].content, 0)
        assert np.allclose(heatmap.content, content / content.max(), atol=1e-5)


def test_files_and_reports_have_both_signs_and_say_which_is_which(yaw: Explanation, tmp_path: Path) -> None:
    assert caption.bar(yaw.heatmaps[0], "°") == (("lowers −0.0879°", "0", "raises 0.0879°"), "raw value")
    assert "1 and −1 on the scale are the largest absolute value of this map. Red raises" in caption.caption(yaw, 0)
    for kind in ("png", "svg", "pdf"):
        assert figure.figure(yaw, format=kind)
    page = html([yaw])
    assert "lowers −0.0879°" in page and 'class="map signed"' in page
    files = dict(result_folder.of_picture(yaw, VIEWER_STYLE, npy=True, bare=True))
    values = np.load(io.BytesIO(files["top_predictions/gradcam_top1_yaw.npy"]))
    assert np.array_equal(values, yaw.heatmaps[0].values) and values.min() < 0
    drawn = np.asarray(Pillow.open(io.BytesIO(files["top_predictions/gradcam_top1_yaw_heatmap.png"])).convert("RGB"))
    assert drawn[16, 4].tolist() == [194, 64, 40] and drawn[16, 28, 2] > drawn[16, 28, 0]
    facts = yaw.to_dict()["heatmaps"][0]
    assert facts["signed"] and facts["raising"] == pytest.approx(0.6)
    assert "raising" in files["statistics.csv"].decode().splitlines()[0]


def test_the_history_and_slides_keep_the_sign(pose: Explainer, bus: Path, tmp_path: Path) -> None:
    made = pose(bus, top_k=1)
    (heatmap,) = made.heatmaps
    history = History(tmp_path / "history")
    record = history.keep(made)
    (saved,) = history.heatmaps(record)
    assert saved.signed and np.array_equal(saved.values, heatmap.values)
    for item in (explained_picture(made).map, record_view(record, made.image, [saved]).pictures[0].map):
        assert item is not None and item.kind == "signed"
        assert item.ends[0].startswith("lowers −") and item.ends[2].endswith("°")
        values = item.values
        assert values.min() < 0 < values.max()
    _, drawn = draw(new_view([explained_picture(made)], title=""), Photo(0, Rect(0, 0, 96, 72), mapped=True), scale=10)
    assert drawn is not None
    small = cv2.resize(values, drawn.shape[1::-1], interpolation=cv2.INTER_AREA)
    red, blue = (drawn[np.unravel_index(at, small.shape)] for at in (small.argmax(), small.argmin()))
    assert int(red[0]) > int(red[2]) and int(blue[2]) > int(blue[0])


def test_the_picture_under_a_signed_map_is_grey_and_clear_at_zero() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    values = np.zeros((40, 40), np.float32)
    values[:, :10], values[:, 30:] = 1, -1
    field = Field(values, (0, 0, 40, 40), (0, 0, 40, 40), "signed")
    drawn = paint(pixels, field, Style(alpha=1.0))
    assert (np.ptp(drawn[:, 18:22].astype(int), axis=2) == 0).all()
    assert drawn[20, 2].tolist() == [194, 64, 40] and drawn[20, 37].tolist() == [10, 106, 216]
    hidden = paint(pixels, field, Style(alpha=1.0, threshold=1.0))
    assert hidden[20, 2].tolist() == [194, 64, 40]


SIGNED = [one.id for one in METHODS.values() if one.signed and one.quick]


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scenes.draw(scenes.sample(600_003, task="classify", held_out=True)).pixels


@pytest.mark.parametrize("method", SIGNED)
def test_the_map_keeps_what_lowers_the_score(method: str, scene: np.ndarray) -> None:
    one = Explainer("demo-cls-s")(scene, top_k=1, method=method)
    both = one.with_options(evidence="both")
    (alone,), (heatmap,) = one.heatmaps, both.heatmaps
    assert not alone.signed and alone.at_input.min() >= 0
    assert heatmap.signed and heatmap.kind == "signed"
    assert heatmap.at_input.min() < 0 < heatmap.at_input.max()
    assert np.abs(heatmap.at_input).max() == pytest.approx(1, abs=1e-4)
    if METHODS[method].linear:
        assert np.array_equal(heatmap.raw[0], alone.raw[0])


def test_it_is_said_in_words_and_in_what_makes_it_again(scene: np.ndarray) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=1, method="gradcam", evidence="both")
    label = made.heatmaps[0].target.label
    assert headline(made, "Red").endswith(f"Red speaks for {label}; blue, in dashed lines, against it.")
    assert f"The evidence for and against **{label}**" in describe_map(made)
    assert any(one.kind == "both ways" and "raises the score" in one.text for one in diagnose(made))
    assert "--evidence both" in command.line(made.recipe)
    assert np.array_equal(replay(made.recipe, scene).heatmaps[0].at_input, made.heatmaps[0].at_input)
    # Files of other maps are as earlier versions read them.
    assert "evidence" not in made.with_options(evidence="for").recipe.model_dump()


def test_a_method_without_a_sign_says_so(scene: np.ndarray) -> None:
    made = Explainer("demo-cls-s")(scene, top_k=1, method="eigencam", evidence="both")
    assert not made.heatmaps[0].signed
    assert "evidence=both has no effect with this method." in made.notes
    with pytest.raises(ModelProblem, match="use for or both"):
        Options(evidence="against")  # type: ignore[arg-type]
