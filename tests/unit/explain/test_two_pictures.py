"""A network that takes two pictures: one map for each, from its own branch, and both on one scale."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from starlette.testclient import TestClient
from torch import nn

from sightglass.api.app import create
from sightglass.api.schemas import ApiRules
from sightglass.cli import main
from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain import Explainer, replay
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.maps.heatmap import scale
from sightglass.explain.methods.rise import MasksOfTwo, Windows, find_grey
from sightglass.explain.picture.image import Image, join_pictures, to_png
from sightglass.explain.trust.stability import CHANGES, stability
from sightglass.history import History
from sightglass.models import catalog
from sightglass.models.geometry import Geometry
from sightglass.models.preprocess import GREY, STRIP, is_joined
from tests.unit import own_nets

SIDE, MARK = 64, (8, 24, 40, 56)
"""Side of the pictures, and xyxy of the mark."""
INPUTS = ("before", "after")
PLAIN = {"size": SIDE, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


def picture(seed: int, *, mark: bool = False) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(90, 110, (SIDE, SIDE, 3), dtype=np.uint8)
    if mark:
        x0, y0, x1, y1 = MARK
        pixels[y0:y1, x0:x1] = (255, 0, 0)
    return pixels


@pytest.fixture(scope="module")
def planted() -> nn.Module:
    """Says "changed" where the second picture has a red mark, whatever the first one shows."""
    return own_nets.Planted().eval()


@pytest.fixture(scope="module")
def explainer(planted: nn.Module) -> Explainer:
    return explainer_of(planted)


def explainer_of(net: nn.Module) -> Explainer:
    return Explainer(net.eval(), inputs=INPUTS, labels=["same", "changed"], preprocess=PLAIN, task="classify")


def halves(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    width = values.shape[1] // 2
    return values[:, :width], values[:, width:]


@pytest.mark.parametrize(
    "method", ["gradcam", "hirescam", "layercam", "inputxgradient", "integratedgradients", "occlusion"]
)
def test_the_map_of_a_mark_in_the_second_picture_is_on_the_second_alone(explainer: Explainer, method: str) -> None:
    # The first one has the mark as well, where it counts for nothing.
    made = explainer((picture(0, mark=True), picture(1, mark=True)), targets=["changed"], method=method)
    assert made.predictions[0].label == "changed"
    assert made.heatmaps[0].values.shape == (SIDE + STRIP, 2 * SIDE)
    before, after = halves(made.heatmaps[0].values[:SIDE])
    x0, y0, x1, y1 = MARK
    assert after.max() > 0.9
    assert before.max() < 0.05
    assert after[y0:y1, x0:x1].sum() / after.sum() > 0.6


def test_no_mask_reaches_from_one_picture_into_the_other_and_each_has_its_own_grey() -> None:
    geometry = Geometry((SIDE + STRIP, 2 * SIDE), (SIDE, 2 * SIDE), (1.0, 1.0), (0.0, 0.0), columns=2)
    windows = MasksOfTwo.sample(Windows, 32, geometry)
    hidden = windows.full(0, len(windows), torch.device("cpu")) == 0
    first, second = hidden[:, :, :SIDE].any((1, 2)), hidden[:, :, SIDE:].any((1, 2))
    assert torch.equal(first, ~second)
    assert hidden.any(0).all()
    assert torch.equal(windows.full(5, 8, torch.device("cpu")) == 0, hidden[5:8])
    assert windows.coarse(0, 4).shape == (4, *windows.cells)
    net = own_nets.TwoBranches(grey=True)
    inputs = [{"name": "rgb"}, {"name": "depth", "channels_in": 1, "mean": [0.2], "std": [0.5]}]
    made = Explainer(net.eval(), inputs=inputs, preprocess=PLAIN, task="classify")((picture(0), picture(1)), top_k=1)
    one, other = find_grey(made.evidence).chunk(2, 3)
    assert one[0, 0, 0, 0] == pytest.approx(GREY / 255, abs=1e-6)
    assert other[0, 0, 0, 0] == pytest.approx((GREY / 255 - 0.2) / 0.5, abs=1e-6)


def test_both_maps_are_on_one_scale() -> None:
    made = explainer_of(own_nets.Planted(first=5))(
        (picture(0, mark=True), picture(1, mark=True)), targets=["changed"], method="hirescam"
    )
    raw, shown = (halves(one) for one in (made.heatmaps[0].raw[0], made.heatmaps[0].at_input))
    assert raw[0].max() == pytest.approx(raw[1].max() / 4, rel=0.01)
    assert (shown[0].max(), shown[1].max()) == (pytest.approx(0.25, abs=0.02), pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize("place", [0, 1])
def test_each_map_is_what_pytorch_grad_cam_draws_with_the_other_picture_held(place: int) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(0)
    net = own_nets.TwoBranches().eval()
    explainer = Explainer(net, inputs=["rgb", "depth"], labels=list("pqr"), preprocess=PLAIN, task="classify")
    made = explainer((picture(0), picture(1, mark=True)), targets=["q"], method="gradcam")
    assert made.heatmaps[0].layers == ("rgb/depth",)
    tensors = list(made.evidence.tensor.chunk(2, 3))

    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, one: torch.Tensor) -> torch.Tensor:
            given = [tensors[0].detach(), tensors[1].detach()]
            given[place] = one
            return self.net(*given)

    layer = (net.rgb, net.depth)[place]
    with GradCAM(Held(), [layer]) as cam:
        expected = cam(tensors[place].clone(), [ClassifierOutputTarget(1)])[0]
    raw = halves(made.heatmaps[0].raw[0])[place]
    own = Geometry((SIDE, SIDE), (SIDE, SIDE), (1.0, 1.0), (0.0, 0.0))
    np.testing.assert_allclose(scale([torch.from_numpy(raw.copy())[None]], own, "own")[0].numpy(), expected, atol=1e-4)


def test_pictures_that_meet_at_once_have_no_map_of_a_layer_but_of_pixels() -> None:
    torch.manual_seed(0)
    explainer = Explainer(own_nets.Early().eval(), inputs=INPUTS, labels=["p", "q"], preprocess=PLAIN, task="classify")
    made = explainer((picture(0), picture(1)))
    assert made.heatmaps[0].method == "integratedgradients"
    assert all(np.abs(one).sum() > 0 for one in halves(made.heatmaps[0].raw[0]))
    with pytest.raises(ModelProblem, match="conv mixes before and after, so its map is one for both: use Integrated"):
        explainer((picture(0), picture(1)), method="gradcam")


def test_a_tuple_argument_and_layers_of_one_picture_only() -> None:
    net, pair = own_nets.TwoBranches().eval(), (picture(0), picture(1))
    apart, together = (
        Explainer(one, inputs=["rgb", "depth"], preprocess=PLAIN, task="classify")
        for one in (net, own_nets.Together(net))
    )
    assert [one.score for one in together(pair).predictions] == [one.score for one in apart(pair).predictions]
    with pytest.raises(ModelProblem, match="Of rgb 0 belong to depth, 1 to rgb: name as many of each"):
        apart(pair, layers=["rgb"], method="gradcam")


def test_a_map_of_two_pictures_can_be_proved_sealed_and_shaken(explainer: Explainer) -> None:
    made = explainer((picture(0), picture(1, mark=True)), targets=["changed"], method="hirescam")
    assert made.prove(steps=4).sentence
    assert made.seal().line
    variants = stability(made).variants
    assert {one.kind for one in variants} == set(CHANGES)
    # Each picture is shifted and mirrored by itself, so the mark stays in the second one.
    assert all(one.map is not None and one.map[:, : SIDE - 4].max() < 0.2 for one in variants)


def test_lists_of_pairs_and_wrong_numbers_of_pictures(explainer: Explainer, planted: nn.Module) -> None:
    one, two = explainer([(picture(0), picture(1)), (picture(0), picture(1, mark=True))], maps=False)
    assert (one.predictions[0].label, two.predictions[0].label) == ("same", "changed")
    with pytest.raises(ModelProblem, match="There are 3 pictures: give two, before and after"):
        explainer((picture(0),) * 3)
    with pytest.raises(ImageProblem, match="takes two pictures, before and after: give both"):
        explainer(picture(0))
    with pytest.raises(ModelProblem, match=r'say inputs = \["before", "after"\] if it takes two'):
        Explainer(planted, preprocess=PLAIN)


def test_joined_pictures_are_known_after_they_were_saved(tmp_path: Path) -> None:
    both = join_pictures(Image.open(picture(0)), Image.open(np.ascontiguousarray(picture(1)[:32])))
    assert both.notes == ("picture was brought to 64 x 64 pixels, the size of picture.",)
    (tmp_path / "both.png").write_bytes(to_png(both.pixels))
    assert is_joined(Image.open(tmp_path / "both.png").pixels)
    assert not is_joined(picture(0))
    with pytest.raises(ImageProblem, match="is two pictures already"):
        join_pictures(both, both)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model `pair` of a models.toml, whose second picture is grey, and two pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    Path("nets.py").write_text(Path(own_nets.__file__).read_text("utf-8"), "utf-8")
    torch.manual_seed(0)
    torch.save(own_nets.TwoBranches(grey=True).state_dict(), "net.pth")
    Path("models.toml").write_text(
        '[model.pair]\nloader = "custom"\narch = "nets.py:TwoBranches"\n'
        'weights = { path = "net.pth", labels = ["p", "q", "r"], args = { grey = true }, '
        "preprocessing = { size = 64 }, "
        'inputs = ["rgb", { name = "depth", channels_in = 1, mean = [0.5], std = [0.2] }] }\n',
        "utf-8",
    )
    catalog._merge.cache_clear()
    for name, pixels in {"one.png": picture(0), "two.png": picture(1, mark=True)}.items():
        Path(name).write_bytes(to_png(pixels))
    return tmp_path


def test_a_table_names_the_inputs_and_a_recipe_makes_the_maps_again(mine: Path) -> None:
    explainer = Explainer("pair", residency=Residency())
    made = explainer(("one.png", "two.png"))
    grey = made.evidence.tensor[:, :, :, SIDE:]
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert made.image.name == "one.png + two.png"
    again = replay(made.recipe, ("one.png", "two.png"))
    assert np.array_equal(again.heatmaps[0].raw[0], made.heatmaps[0].raw[0])
    history = History(mine / "history")
    record = history.keep(made)
    assert history.picture(record).sha256 == made.image.sha256
    assert np.array_equal(history.heatmaps(record)[0].values, made.heatmaps[0].content)
    assert made.save(mine / "figure.svg").is_file()
    # Side by side in one file it is the same picture.
    Path("both.png").write_bytes(to_png(made.image.pixels))
    assert explainer("both.png").image.sha256 == made.image.sha256


def test_the_command_line_takes_two_pictures_and_replays_them(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "one.png", "two.png", "-m", "pair", "--json", "--top-k", "1"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert main(["replay", str(Path(result["folder"]) / "recipe.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


def test_the_api_takes_the_second_picture_as_other(mine: Path) -> None:
    one, two = (base64.b64encode(Path(name).read_bytes()).decode() for name in ("one.png", "two.png"))
    with TestClient(create(ApiRules())) as client:
        sent = {"image": one, "other": two, "other_name": "two.png", "maps": "npy", "top_k": 1}
        answer = client.post("/api/explain", json={**sent, "model": "pair"})
        assert answer.status_code == 200
        expected = Explainer("pair")(("one.png", "two.png"), top_k=1)
        values = np.load(io.BytesIO(base64.b64decode(answer.json()["heatmaps"][0]["npy"])))
        np.testing.assert_allclose(values, expected.heatmaps[0].values, atol=1e-6)
        refused = client.post("/api/explain", json={**sent, "model": "demo-cls-s"})
        assert "takes one picture: leave other out" in refused.text
        refused = client.post("/api/explain", json={"image": one, "model": "pair"})
        assert "takes two pictures, rgb and depth" in refused.text
