"""The sharp and the tested map are those of docs/methods.md, of every kind of model."""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torchvision import models as torchvision_models

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.explanation import Explanation
from sightglass.explain.methods import METHODS, choice, list_methods, scalars, sharp, tested
from sightglass.models.geometry import ModelInput
from tests.unit.own_nets import Answering, BlocksCNN, hooks_on
from training.demo import scenes

SIDE = 48
PLAIN = {"size": SIDE, "mean": [0.5] * 3, "std": [0.25] * 3}
PICTURE = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
PICTURE[8:20, 24:40] = (250, 40, 20)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


NETS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "of blocks": (BlocksCNN, "block3"),
    "residual": (lambda: torchvision_models.resnet18(num_classes=5), "layer3"),
    "transformer": (
        lambda: timm.create_model("vit_tiny_patch16_224", num_classes=4, img_size=SIDE, embed_dim=24, depth=2),
        "blocks.0",
    ),
}
"""Networks, and the layer at which they are explained."""


def blur(values: np.ndarray, share: float) -> np.ndarray:
    """Blur the last two axes of an array."""
    sigma = share * max(values.shape[-2:])
    return gaussian_filter(values.astype(np.float64), (*[0] * (values.ndim - 2), sigma, sigma), mode="reflect")


def lead(net: nn.Module, pictures: torch.Tensor, index: int) -> torch.Tensor:
    """Return f of the docs for each of some pictures."""
    logits = net(pictures)
    others = [other for other in range(logits.shape[1]) if other != index]
    return logits[:, index] - logits[:, others].amax(1)


def edges_by_hand(net: nn.Module, x: torch.Tensor, index: int) -> np.ndarray:
    start = torch.from_numpy(blur(x.numpy(), 0.1)).to(x)
    slopes = []
    for step in range(4):
        z = (start + (step + 0.5) / 4 * (x - start)).requires_grad_()
        slopes.append(torch.autograd.grad(lead(net, z, index).sum(), z)[0])
    shown = ((x - start) * torch.stack(slopes).mean(0)).sum(1)[0].clamp_min(0)
    smoothed = blur(shown.numpy(), 0.03)
    return smoothed / smoothed.max()


def gradcam_by_hand(net: nn.Module, x: torch.Tensor, index: int, path: str) -> np.ndarray:
    recorded: list[torch.Tensor] = []
    with net.get_submodule(path).register_forward_hook(lambda *call: recorded.append(call[2])):
        logit = net(x.clone().requires_grad_())[0, index]
    (slope,) = torch.autograd.grad(logit, recorded[0])
    if recorded[0].ndim == 3:
        # Tokens; the first stands for no place.
        side = round((recorded[0].shape[1] - 1) ** 0.5)
        values, slope = (t[:, 1:].transpose(1, 2).unflatten(2, (side, side)) for t in (recorded[0], slope))
    else:
        values = recorded[0]
    cam = (slope.mean((2, 3), keepdim=True) * values).sum(1, keepdim=True).clamp_min(0)
    grown = nn.functional.interpolate(cam, x.shape[2:], mode="bilinear")[0, 0].detach().numpy()
    return grown / max(grown.max(), 1e-30)


def by_hand(net: nn.Module, x: torch.Tensor, index: int, path: str) -> np.ndarray:
    return edges_by_hand(net, x, index) * (0.1 + gradcam_by_hand(net, x, index, path))


def explain(kind: str, method: str = "sharp", **options: Any) -> Explanation:
    make, path = NETS[kind]
    return Explainer(seeded(make), preprocess=PLAIN, layers=[path])(PICTURE, method=method, **options)


NAMES = [*"abcde"]


def small(answer: Callable[[Any, torch.Tensor], torch.Tensor] = nn.Module.__call__) -> nn.Module:
    """Return a network of somebody's own, whose last maps have three cells a side."""
    return seeded(lambda: Answering(BlocksCNN(5), answer))


def to_bytes(x: torch.Tensor) -> torch.Tensor:
    return (x * 40 + 128).clamp(0, 255)


def without_gradients(net: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        maps = net.block1(x)
    return net.fc(net.pool(net.block4(net.block3(net.block2(maps)))).flatten(1))


UNREACHED: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "rounded": lambda net, x: net(to_bytes(x).round() / 255),
    "of bytes": lambda net, x: net(to_bytes(x).to(torch.uint8).float() / 255),
    "looked up": lambda net, x: net(torch.linspace(0, 1, 256)[to_bytes(x).long()]),
    "chosen": lambda net, x: net(torch.where(x > 0, 1.0, 0.0)),
    "of numpy": lambda net, x: net(torch.from_numpy(np.sqrt(to_bytes(x).detach().numpy()))),
    "detached": lambda net, x: net(x.detach()),
    "begun without gradients": without_gradients,
}
"""Answers that have no gradient at the pixels, or one of 0, though their last layers have one."""


@pytest.mark.parametrize("kind", UNREACHED)
def test_the_default_map_without_gradients_of_pixels_is_gradcam(kind: str) -> None:
    net = small(UNREACHED[kind])
    result = Explainer(net, preprocess=PLAIN, labels=NAMES)(PICTURE, targets=[1])
    (heatmap,) = result.heatmaps
    assert (heatmap.method, heatmap.layers) == ("gradcam", ("net.block4",))
    assert not result.notes
    expected = gradcam_by_hand(net, result.evidence.tensor, 1, "net.block4")
    np.testing.assert_allclose(heatmap.at_input, expected, rtol=0, atol=1e-5)


def test_the_default_map_is_gradcam_where_this_picture_shows_nothing() -> None:
    even = np.full((SIDE, SIDE, 3), 90, np.uint8)
    dark = PICTURE // 50
    net = small(lambda net, x: net(x if x.mean() > -1.5 else x.detach()))
    explainer = Explainer(net, preprocess=PLAIN, labels=NAMES)
    bright = explainer(PICTURE, targets=[1])
    assert bright.heatmaps[0].method == "sharp"
    note = "Sharp shows nothing in the pixels of this picture, so its map is by GradCAM."
    for picture in (even, dark):
        result = explainer(picture, targets=[1])
        assert result.heatmaps[0].method == "gradcam"
        assert result.notes == (note,)
        expected = gradcam_by_hand(net, result.evidence.tensor, 1, "net.block4")
        np.testing.assert_allclose(result.heatmaps[0].at_input, expected, rtol=0, atol=1e-5)
        assert note not in result.with_method("gradcam").notes
    assert explainer(even, targets=[1], method="sharp").heatmaps[0].state == "no evidence"
    with pytest.raises(ModelProblem, match="No gradient of Answering reaches the picture: hide parts of it"):
        explainer(dark, targets=[1], method="sharp")


@torch.inference_mode()
def infer(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x)


def detach_features(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.fc(net.pool(net.block4(net.block3(net.block2(net.block1(x))))).flatten(1).detach())


@pytest.mark.parametrize("answer", [infer, detach_features])
def test_an_answer_without_gradients_is_told_by_what_was_seen(
    answer: Callable[[Any, torch.Tensor], torch.Tensor],
) -> None:
    explainer = Explainer(small(answer), preprocess=PLAIN)
    sentence = "No gradient of Answering reaches net.block4: .*; use a method that needs none, such as RISE"
    with pytest.raises(ModelProblem, match=sentence):
        explainer(PICTURE, targets=[1])
    assert explainer(PICTURE, targets=[1], method="occlusion").heatmaps[0].state == "ok"


ANSWERS_ONE: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "the first": lambda net, x: net(x[:1]),
    "the last": lambda net, x: net(x[-1:]),
    "scaled by the first": lambda net, x: net(x / x[:1].std()),
    "joined": lambda net, x: net(x).amax(0, keepdim=True),
}
"""Answers of a network for one picture alone."""


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        *((None, kind) for kind in ANSWERS_ONE),
        *((method, "the first") for method in ("tested", "drise", "occlusion", "integratedgradients", "scorecam")),
    ],
)
def test_a_network_for_one_picture_is_given_one_a_pass(
    method: str | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_MASKS", "20")
    sizes: set[int] = set()

    def answer(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        sizes.add(len(x))
        return ANSWERS_ONE[kind](net, x)

    explainer = Explainer(small(answer), preprocess=PLAIN)
    (heatmap,) = explainer(PICTURE, targets=[1], method=method).heatmaps
    # Two show that it answers otherwise for several.
    assert sizes == {1, 2}
    assert heatmap.method == (method or "sharp")

    def answer_alone(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([ANSWERS_ONE[kind](net, picture) for picture in x.split(1)])

    (expected,) = Explainer(small(answer_alone), preprocess=PLAIN)(PICTURE, targets=[1], method=method).heatmaps
    np.testing.assert_allclose(heatmap.at_input, expected.at_input, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", NETS)
def test_the_sharp_map_is_that_of_the_docs(kind: str) -> None:
    make, path = NETS[kind]
    # In doubles: a rounding may open or close a ReLU, and changes gradients of all pixels.
    net = seeded(make).double()
    result = Explainer(net, preprocess=PLAIN, layers=[path])(PICTURE, method="sharp", targets=[1, 2])
    for heatmap in result.heatmaps:
        expected = by_hand(net, result.evidence.tensor, heatmap.target.index, path)
        assert heatmap.layers == ("input",) and heatmap.state == "ok"
        np.testing.assert_allclose(heatmap.raw[0], expected, rtol=0, atol=1e-5)
    assert result.notes.count("Sharp: Integrated Gradients from a blurred picture, weighed by GradCAM.") == 1


def test_passes_of_several_pictures_give_the_map_of_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for method, close in {"sharp": 1e-5, "tested": 1e-3}.items():
        together = explain("of blocks", method, targets=[1, 2])
        with monkeypatch.context() as patch:
            patch.setattr(scalars, "ON_CPU", 1)
            alone = [explain("of blocks", method, targets=[index]) for index in (1, 2)]
        for heatmap, other in zip(together.heatmaps, alone, strict=True):
            np.testing.assert_allclose(heatmap.raw[0], other.heatmaps[0].raw[0], rtol=0, atol=close)
        again = explain("of blocks", method, targets=[1, 2])
        for heatmap, other in zip(together.heatmaps, again.heatmaps, strict=True):
            assert np.array_equal(heatmap.raw[0], other.raw[0])


def covers_by_hand(
    net: nn.Module, x: torch.Tensor, index: int, maps: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of maps, and the tested map, as docs/methods.md has them."""
    fill = x.mean((2, 3), keepdim=True).expand_as(x)
    blurred = torch.from_numpy(blur(x.numpy(), 0.1)).float()

    def f(picture: torch.Tensor) -> float:
        return float(lead(net, picture, index).detach())

    whole, floor = f(x), f(fill)
    low, high = sorted((whole, floor))
    scores = []
    for values in maps:
        score = 0.0
        for share in (0.02, 0.12):
            order = np.argsort(-blur(values, 0.01).round(4).ravel(), kind="stable")
            mask = np.zeros(values.size, bool)
            mask[order[: round(share * values.size)]] = True
            hot = torch.from_numpy(mask.reshape(values.shape))
            covered, kept = (np.clip(f(picture), low, high) for picture in (x.where(~hot, fill), x.where(hot, fill)))
            score += (kept - covered) / (high - low) / 2
        scores.append(score)
    weights = np.exp(np.array(scores) / 0.1)
    mix = sum(weight * values for weight, values in zip(weights / weights.sum(), maps, strict=True))
    mix /= mix.max()
    # The last map is of the edges.
    fine = mix * (0.1 + maps[-1])
    fine /= fine.max()
    radius = 0.06 * max(mix.shape)
    rows, columns = np.indices(mix.shape)
    places: list[tuple[int, int]] = []

    def far(row: Any, column: Any) -> Any:
        return np.all([np.hypot(row - y, column - x) >= 0.7 * radius for y, x in places], 0)

    for _ in range(5):
        free = np.where(far(rows, columns), fine, -1) if places else fine
        if free.max() > 0:
            places.append(np.unravel_index(free.argmax(), mix.shape))
    for values in maps:
        peak = np.unravel_index(values.argmax(), mix.shape)
        if far(*peak) and len(places) < 10:
            places.append(peak)
    discs = [np.hypot(rows - y, columns - x) <= radius for y, x in places]
    costs = [max(whole - f(x.where(~torch.from_numpy(disc), blurred)), 0) for disc in discs]
    if not max(costs):
        return np.array(scores), mix
    raised = []
    for (y, x_at), cost in zip(places, costs, strict=True):
        near = np.exp(-(np.hypot(rows - y, columns - x_at) ** 2) / (2 * radius**2)) * (fine + 0.001)
        raised.append(near / near.max() * cost / max(costs))
    sure = min(1, max(costs) / (0.3 * (high - low)))
    return np.array(scores), sure * np.max(raised, 0) + max(1 - sure, 0.15) * mix


@pytest.mark.parametrize("kind", NETS)
def test_the_tested_map_is_that_of_the_docs(kind: str) -> None:
    result = explain(kind, "tested", targets=[1])
    (heatmap,) = result.heatmaps
    evidence, target = result.evidence, heatmap.target
    maps = tested.find_candidates(evidence, target)
    make, _ = NETS[kind]
    scores, expected = covers_by_hand(seeded(make), evidence.tensor, 1, [each.numpy() for each in maps.values()])
    assert [each.name for each in heatmap.candidates] == [*maps]
    np.testing.assert_allclose([each.score for each in heatmap.candidates], scores, atol=1e-4)
    np.testing.assert_allclose(heatmap.raw[0], expected, rtol=0, atol=1e-3)
    assert sum(each.weight for each in heatmap.candidates) == pytest.approx(1)


class Even(nn.Module):
    """Answers whatever it sees: only rounding could tell its pictures apart."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)) * 0)


class Bright(nn.Module):
    """Class 0 is how bright a corner is, in any number of channels."""

    def __init__(self, channels: int = 3, count: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        light = self.conv(x).abs().sum(1)[:, : x.shape[2] // 2, : x.shape[3] // 2].mean((1, 2))
        return torch.stack([light, *[0 * light] * (self.count - 1)], 1)


@pytest.mark.parametrize("method", ["sharp", "tested"])
def test_what_does_not_matter_has_no_map(method: str) -> None:
    torch.manual_seed(0)
    (heatmap,) = Explainer(Even(3).eval(), preprocess=PLAIN)(PICTURE, targets=[1], method=method).heatmaps
    assert heatmap.state == "no evidence" and not heatmap.at_input.any()
    even = np.full((SIDE, SIDE, 3), 90, np.uint8)
    result = Explainer(seeded(BlocksCNN), preprocess=PLAIN)(even, targets=[1], method="sharp")
    assert result.heatmaps[0].state == "no evidence"


def test_a_place_that_costs_nothing_leaves_the_mix() -> None:
    mix = torch.rand(6, 6)
    inside = torch.zeros(6, 6, dtype=torch.bool)
    inside[2:4, 2:4] = True
    assert tested.raise_places(mix, mix, [inside], torch.zeros(1)) is mix
    assert tested.raise_places(mix, mix, [], torch.zeros(0)) is mix
    raised = tested.raise_places(mix, mix, [inside], torch.tensor([2.0]))
    assert inside.flatten()[int(raised.argmax())] and float(raised.max()) == pytest.approx(1, abs=0.16)


def test_a_place_that_costs_little_leaves_most_of_the_mix() -> None:
    mix = torch.rand(6, 6)
    inside = torch.zeros(6, 6, dtype=torch.bool)
    inside[2:4, 2:4] = True
    raised = tested.raise_places(mix, mix, [inside], torch.tensor([0.03]))
    np.testing.assert_allclose(raised[~inside], 0.9 * mix[~inside])
    assert float((raised - 0.9 * mix)[inside].max()) == pytest.approx(0.1)


@pytest.mark.parametrize("method", ["sharp", "tested"])
@pytest.mark.parametrize(
    ("channels", "count", "side", "task"),
    [
        (3, 3, 8, "classify"),
        (3, 1, 16, "classify"),
        (3, 2, 16, "multilabel"),
        (3, 1, 16, "regress"),
        (1, 3, 16, "classify"),
        (5, 3, 16, "classify"),
    ],
)
def test_small_grey_and_other_pictures(method: str, channels: int, count: int, side: int, task: str) -> None:
    torch.manual_seed(0)
    picture = np.full((side, side, channels), 20, np.uint8)
    picture[1 : side // 4, 1 : side // 4] = 250
    prepare = {"size": side, "mean": [0.5] * channels, "std": [0.25] * channels}
    explainer = Explainer(Bright(channels, count).eval(), preprocess=prepare, task=task)
    target = 1 if count == 1 and task == "classify" else 0
    (heatmap,) = explainer(picture, targets=[target], method=method).heatmaps
    assert heatmap.state == "ok"
    row, column = np.unravel_index(heatmap.at_input.argmax(), heatmap.at_input.shape)
    assert row < side / 2 and column < side / 2


@pytest.mark.parametrize("method", ["sharp", "tested"])
def test_layers_weigh_the_map(method: str) -> None:
    net = seeded(BlocksCNN)
    explainer = Explainer(net, preprocess=PLAIN)
    early, late = (explainer(PICTURE, targets=[1], method=method, layers=[path]) for path in ("block1", "block3"))
    assert not np.array_equal(early.heatmaps[0].raw[0], late.heatmaps[0].raw[0])
    assert not any("has no effect" in note for note in early.notes)
    assert hooks_on(net) == 0 and all(parameter.grad is None for parameter in net.parameters())


def test_without_a_layer_there_are_gradients_alone() -> None:
    result = Explainer(seeded(BlocksCNN), preprocess=PLAIN)(PICTURE, targets=[1], method="sharp")
    evidence, target = result.evidence, result.heatmaps[0].target
    bare = Evidence(evidence.loaded, ModelInput(evidence.tensor, evidence.geometry), ())
    alone = METHODS["sharp"].run(bare, [target])
    torch.testing.assert_close(alone.maps[0], torch.stack(evidence.raws[sharp.EDGES, target]))
    assert alone.notes == (sharp.ALONE,)
    few = METHODS["tested"].run(bare, [target])
    assert len(few.candidates[0]) == 1
    assert few.notes[0].startswith("Tested: one map of this picture was tested by covering")


@pytest.mark.parametrize("method", ["sharp", "tested"])
def test_a_network_without_a_layer_is_explained(method: str) -> None:
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8), nn.ReLU(), nn.Linear(8, 3)))
    explainer = Explainer(net, preprocess=PLAIN)
    result = explainer(PICTURE, targets=[1], method=method)
    assert result.heatmaps[0].state == "ok" and not explainer.layers
    assert not any("hiding parts of the picture" in note for note in result.notes)
    assert {each.id for each in list_methods(explainer.loaded)} == {"sharp", "tested", "drise", "occlusion"}


@pytest.mark.parametrize("method", ["sharp", "tested"])
def test_a_function_of_the_outputs_is_explained_by_itself(method: str) -> None:
    explainer = Explainer(seeded(lambda: BlocksCNN(1)), preprocess=PLAIN, task="regress")
    of_number = explainer(PICTURE, targets=[0], method=method, part="class").heatmaps[0].raw[0]
    of_function = explainer(PICTURE, targets=lambda outputs: outputs[0, 0], method=method).heatmaps[0].raw[0]
    np.testing.assert_allclose(of_function, of_number, rtol=0, atol=1e-3)


def test_the_note_counts_what_was_tested() -> None:
    result = explain("of blocks", "tested", targets=[1])
    (heatmap,) = result.heatmaps
    assert len(heatmap.candidates) == 6
    assert any(
        note.startswith("Tested: six maps of this picture were each tested by covering and by keeping alone")
        and note.endswith("what cost the answer most of its lead is raised.")
        for note in result.notes
    )
    assert result.shared[0].candidates == heatmap.candidates
    assert not explain("of blocks", "tested", targets=[1], smooth="flips").heatmaps[0].candidates
    assert max(max(each.values.shape) for each in heatmap.candidates) <= tested.SMALL


def test_it_stops_within_a_batch() -> None:
    cancel, heard = threading.Event(), list[str]()

    def stop_at_the_third(share: float, words: str) -> None:
        heard.append(words)
        if len(heard) == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        explain("of blocks", "tested", targets=[1], progress=stop_at_the_third, cancel=cancel)
    assert heard == ["Tested, step 0 of 40", "Tested, step 4 of 40", "Tested, step 8 of 40"]


def test_bars_are_no_picture() -> None:
    prepare = PLAIN | {"crop": "letterbox"}
    wide = PICTURE[: SIDE // 3]
    for method in ("sharp", "tested"):
        result = Explainer(seeded(BlocksCNN), preprocess=prepare)(wide, targets=[1], method=method)
        (heatmap,) = result.heatmaps
        left, top, right, bottom = result.evidence.geometry.content
        outside = heatmap.raw[0].copy()
        outside[top:bottom, left:right] = 0
        assert heatmap.state == "ok" and bottom - top < SIDE
        assert method == "tested" or not outside.any()


@pytest.mark.parametrize("part", ["class", "contrast", "box", "left"])
def test_every_part_of_a_box_is_explained(part: str) -> None:
    pixels = scenes.draw(scenes.sample(600_001, task="detect", held_out=True)).pixels
    for method in ("sharp", "tested"):
        result = Explainer("demo-s")(pixels, per="detection", top_k=1, method=method, part=part)
        (heatmap,) = result.heatmaps
        assert heatmap.state == "ok"
    names = [each.name for each in heatmap.candidates]
    assert ("LayerCAM, contrast" in names) == (part == "class")


class MeanAndSpread(nn.Module):
    """Class 0 is the mean of a convolution, which the mean colour has too, and class 1 how far its maps spread."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.conv(x)
        return torch.stack([maps.mean((1, 2, 3)), maps.var((2, 3)).mean(1)], 1)


def test_it_is_said_of_which_answers_nothing_can_be_told() -> None:
    torch.manual_seed(0)
    net = MeanAndSpread().double().eval()
    explainer = Explainer(net, preprocess=PLAIN, task="multilabel", labels=["mean", "spread"])
    result = explainer(PICTURE, targets=[0, 1], method="tested")
    assert [math.isnan(each.score) for heatmap in result.heatmaps for each in heatmap.candidates[:1]] == [True, False]
    tested_notes = [note for note in result.notes if note.startswith("Tested")]
    assert tested_notes[0].startswith("Tested: five maps of this picture were each tested")
    assert tested_notes[1:] == [f"Tested, of mean: {choice.UNTOLD}."]


def test_without_evidence_it_is_said_that_nothing_was_tested() -> None:
    torch.manual_seed(0)
    result = Explainer(Even(3).eval(), preprocess=PLAIN)(PICTURE, targets=[1], method="tested")
    assert f"Tested: {choice.NOTHING}" in result.notes


@pytest.mark.parametrize(("model", "grey"), [("demo-cls-m", 90), ("demo-cls-s", 200), ("demo-regress", 90)])
def test_rounding_of_an_even_picture_is_no_test(model: str, grey: int) -> None:
    picture = np.full((96, 160, 3), grey, np.uint8)
    (heatmap,) = Explainer(model)(picture, top_k=1, method="tested").heatmaps
    left = [share for each in heatmap.candidates for share in (*each.covered, *each.kept, each.score)]
    assert left and np.isnan(left).all()
    weights = [each.weight for each in heatmap.candidates]
    assert weights == pytest.approx([1 / max(len(weights), 1)] * len(weights))
