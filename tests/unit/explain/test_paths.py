"""Networks whose layers run several times, on some pictures, within transforms, or under several names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.trust.scramble import scramble
from sightglass.explain.trust.stability import stability

SIZE = 64
PLAIN = {"size": SIZE, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
COARSE = np.random.default_rng(0).integers(60, 256, (8, 8, 3)).astype(np.uint8)
BRIGHT = np.kron(COARSE, np.ones((8, 8, 1), np.uint8))
DARK = BRIGHT // 4


def step(taken: int = 12, given: int = 12, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(taken, given, 3, stride, 1), nn.ReLU())


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.features, self.fc = step(3), nn.Sequential(step(), step()), nn.Linear(12, 4)

    def maps(self, x: Tensor) -> Tensor:
        return self.features(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean((2, 3)))


class Recurrent(Body):
    """One cell runs four times."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = step(stride=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(4):
            x = self.cell(x)
        return self.fc(x.mean((2, 3)))


class Shrinking(Body):
    """One step that halves the map runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.down = step()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.down(x)
        return self.fc(x.mean((2, 3)))


class Pyramid(Body):
    """All layers run on three scales of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return sum(Body.forward(self, F.avg_pool2d(x, scale)) for scale in (1, 2, 4))


class Guided(Body):
    """Its forward moves the picture along a gradient, under which it runs twice."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            moved = x.detach().requires_grad_()
            slope = torch.autograd.grad(self.maps(moved).square().mean(), moved, create_graph=True)[0]
        return Body.forward(self, x + slope)


class Reused(Body):
    """One module runs on a map, and last on a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.drop(self.maps(x)).mean((2, 3))))


class Tokens(Body):
    """One module runs on tokens, and last on a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.drop(self.maps(x).flatten(2).mT)
        return self.fc(self.drop(tokens.mean(1)))


class TokensLast(Tokens):
    """One module runs on a vector, and last on tokens."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.maps(x).flatten(2).mT
        first = self.drop(tokens.mean(1))
        return self.fc(first + self.drop(tokens).square().mean(1))


class SharedBlock(nn.Module):
    """One transformer block runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.fc = nn.Conv2d(3, 24, 8, 8), nn.Linear(24, 4)
        self.block = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True)
        self.place = nn.Parameter(torch.randn(1, 64, 24) / 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).mT + self.place
        for _ in range(3):
            tokens = self.block(tokens)
        return self.fc(tokens.mean(1))


class Differentiated(Body):
    """Its forward takes a gradient of its map, wherever it is called."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x.requires_grad_() if x.is_leaf else x)
        slope = torch.autograd.grad(maps.square().sum(), maps, create_graph=True)[0]
        return self.fc((maps * slope).mean((2, 3)))


class Backward(Body):
    """The same by `backward`."""

    def forward(self, x: Tensor) -> Tensor:
        aside = x.detach().requires_grad_()
        self.maps(aside).square().mean().backward()
        assert aside.grad is not None
        return Body.forward(self, x + aside.grad)


class Adapted(Body):
    """It takes a gradient of a copy of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        vector = self.maps(x).mean((2, 3))
        weight = self.fc.weight.detach().requires_grad_()
        (slope,) = torch.autograd.grad(F.linear(vector, weight).logsumexp(1).sum(), weight, create_graph=True)
        return F.linear(vector, weight - slope / 10, self.fc.bias)


class Mapped(Body):
    """All of it runs within vmap."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.vmap(lambda picture: self.maps(picture[None])[0])(x).mean((2, 3)))


class Rolled(Body):
    """Sees the picture rolled around its edges, so that no part of its maps lies where the picture is."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.roll(20, 3))


class Renamed(Body):
    """Has its features under two names, and calls them by the second."""

    def __init__(self) -> None:
        super().__init__()
        self.alias = self.features

    def maps(self, x: Tensor) -> Tensor:
        return self.alias(self.stem(x))


class MappedAfterStem(Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.vmap(lambda maps: self.features(maps[None])[0])(self.stem(x)).mean((2, 3)))


class MappedChannels(Body):
    """One convolution for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Conv2d(1, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.vmap(lambda channel: self.each(channel[:, None])[:, 0], 1, 1)(self.maps(x))
        return self.fc(x.mean((2, 3)))


class MappedHead(Body):
    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(self.fc)(self.maps(x).mean((2, 3)))


class Spectral(Body):
    """One layer returns complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.back = nn.Module(), nn.Module()
        self.spectrum.forward, self.back.forward = torch.fft.fft2, lambda x: torch.fft.ifft2(x).real  # type: ignore[method-assign,assignment]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.back(self.spectrum(self.maps(x)) * 2).relu().mean((2, 3)))


class Coded(Body):
    """One layer returns whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.codes, self.table = nn.Module(), nn.Embedding(12, 12)
        self.codes.forward = lambda x: x.argmax(1, keepdim=True)  # type: ignore[method-assign,assignment]

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        return self.fc((maps + self.table(self.codes(maps)[:, 0]).permute(0, 3, 1, 2)).mean((2, 3)))


class Named(nn.Module):
    """A layer is known by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Body()
        self.layer4, self.steps = self.net.features, nn.ModuleList([self.net.stem])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def reference(net: nn.Module, explanation: Explanation, path: str) -> np.ndarray:
    """Return Grad-CAM before its ReLU at what a layer returns last, by plain autograd."""
    outputs: list[Tensor] = []
    with net.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: outputs.append(output)):
        logits = net(explanation.evidence.tensor.clone().requires_grad_() * 1)
    slope = torch.autograd.grad(logits[0, explanation.heatmaps[0].target.index], outputs[-1])[0]
    output = outputs[-1].detach()
    if output.ndim == 3:
        slope, output = (each.mT.unflatten(2, (8, 8)) for each in (slope, output))
    return (output * slope.mean((2, 3), keepdim=True)).sum(1)[0].numpy()


def explained(net: nn.Module, picture: Any = BRIGHT, **options: Any) -> Explanation:
    return Explainer(net, preprocess=PLAIN, **options)(picture, top_k=1, method="gradcam")


def check(make: Callable[[], nn.Module], path: str, said: str = "", picture: Any = BRIGHT, **options: Any) -> None:
    """Check the layer, the map and a note of an explanation."""
    torch.manual_seed(0)
    net = make()
    plain = copy.deepcopy(net).eval()
    explanation = explained(net, picture, **options)
    heatmap = explanation.heatmaps[0]
    assert heatmap.layers == (path,)
    values = reference(plain, explanation, path)
    np.testing.assert_allclose(heatmap.raw[0], values, rtol=0, atol=1e-5 * np.abs(values).max())
    assert any(said in note for note in explanation.notes)


LAYERS = {
    Recurrent: ("cell", "cell runs 4 times in a pass"),
    Shrinking: ("down", "down runs 3 times in a pass"),
    Pyramid: ("features", "features runs 3 times in a pass"),
    Guided: ("features", "features runs 2 times in a pass"),
    SharedBlock: ("block", "block runs 3 times in a pass"),
    Reused: ("features", ""),
    Tokens: ("features", ""),
    TokensLast: ("features", ""),
    Differentiated: ("features", ""),
    Backward: ("features", "features runs 2 times in a pass"),
    Adapted: ("features", ""),
    MappedAfterStem: ("stem", "features.0.0 runs within a transform of torch.func, such as vmap"),
    MappedChannels: ("features", "each runs within a transform of torch.func, such as vmap"),
    MappedHead: ("features", ""),
    Spectral: ("back", ""),
    Coded: ("features", ""),
    Named: ("net.features", ""),
}


@pytest.mark.parametrize("make", LAYERS)
def test_map_is_that_of_the_last_call(make: type[nn.Module]) -> None:
    check(make, *LAYERS[make])


@pytest.mark.parametrize("make", [Spectral, Coded, Recurrent, MappedAfterStem])
def test_other_layers_stay_measured(make: type[nn.Module]) -> None:
    notes = Explainer(make(), preprocess=PLAIN).loaded.survey.notes
    assert not any("inferred" in note for note in notes.values())


@pytest.mark.parametrize(
    ("make", "layer", "sentence"),
    [
        (MappedAfterStem, "features", "features runs within a transform of torch.func, .* recorded: choose stem"),
        (Mapped, "features", "Mapped has no layer that can be recorded: leave layers out"),
        (Rolled, "features", "Rolled has no layer with a place in the picture: leave layers out"),
        (Spectral, "spectrum", "spectrum returns complex numbers: choose back"),
        (Coded, "codes", "The output of codes is not a map: choose features"),
    ],
)
def test_what_is_no_layer_is_named(make: type[nn.Module], layer: str, sentence: str) -> None:
    with pytest.raises(ModelProblem, match=sentence):
        Explainer(make(), preprocess=PLAIN, layers=[layer])


def test_second_name_of_a_layer_is_no_idle_option() -> None:
    explanation = Explainer(Renamed(), preprocess=PLAIN)(BRIGHT, top_k=1, layers=["alias"], method="gradcam")
    assert explanation.heatmaps[0].layers == ("features",)
    assert not any("no effect" in note for note in explanation.notes)


def test_model_within_vmap_is_explained_by_hiding() -> None:
    explanation = Explainer(Mapped(), preprocess=PLAIN)(BRIGHT, top_k=1)
    assert explanation.heatmaps[0].method == "drise"
    assert "None of its layers can be recorded: maps come from hiding parts of the picture." in explanation.notes


def test_gradient_of_own_weights_is_one_sentence() -> None:
    class Tuned(Body):
        def forward(self, x: Tensor) -> Tensor:
            loss = Body.forward(self, x).logsumexp(1).sum()
            return Body.forward(self, x) - torch.autograd.grad(loss, self.fc.bias)[0]

    with pytest.raises(ModelProblem, match=r"Tuned takes gradients of its weights .*: call requires_grad_\(\)"):
        Explainer(Tuned(), preprocess=PLAIN)


@pytest.mark.parametrize("name", ["layer4", "net.features", "layer4[-1]", "steps.0", "steps[0][0]"])
def test_second_name_of_a_layer(name: str) -> None:
    paths = {"steps.0": "net.stem", "steps[0][0]": "net.stem.0", "layer4[-1]": "net.features.1"}
    check(Named, paths.get(name, "net.features"), layers=[name])


def test_second_name_of_a_part_without_a_map() -> None:
    net = Named()
    net.head = net.net.fc
    with pytest.raises(ModelProblem, match=r"The output of head \(net.fc\) is not a map: choose net.features"):
        Explainer(net, preprocess=PLAIN, layers=["head"])


class EarlyExit(Body):
    """Bright pictures leave it early."""

    threshold = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.late, self.early_fc = step(), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        if x.mean() > self.threshold:
            return self.early_fc(maps.mean((2, 3)))
        return self.fc(self.late(maps).mean((2, 3)))


class Experts(Body):
    """Bright pictures go to the second expert."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([step(stride=1), step(stride=1)])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.experts[int(x.mean() > 0)](self.maps(x)).mean((2, 3)))


class Detour(Body):
    """Dark pictures take one more step before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.detour, self.last, self.aside = step(stride=1), step(stride=1), step(stride=1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        if x.mean() > 0:
            self.aside(maps)
            return self.fc(maps.mean((2, 3)))
        return self.fc(self.last(self.detour(maps + self.aside(maps))).mean((2, 3)))


class OnlyExperts(nn.Module):
    """Nothing but the experts has a map."""

    def __init__(self) -> None:
        super().__init__()
        self.experts, self.fc = nn.ModuleList([step(3, 12, 4), step(3, 12, 4)]), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.experts[int(x.mean() > 0)](x).mean((2, 3)))


PATHS = {EarlyExit: "late", Experts: "experts.0", Detour: "last"}


@pytest.mark.parametrize("make", PATHS)
def test_default_layer_is_the_last_that_runs(make: type[nn.Module]) -> None:
    check(make, PATHS[make], picture=DARK)
    note = f"{PATHS[make]}, the default layer, does not run on this picture, so features is explained"
    check(make, "features", note)
    with pytest.raises(ModelProblem, match=f"{PATHS[make]} does not run on this picture: choose another layer"):
        explained(make(), layers=[PATHS[make]])


def test_pictures_by_turns_keep_the_model() -> None:
    explainer = Explainer(EarlyExit(), preprocess=PLAIN)
    explainer(BRIGHT, maps=False)
    loaded = explainer.loaded
    results = explainer([BRIGHT, DARK, BRIGHT], top_k=1, method="gradcam")
    assert [each.heatmaps[0].layers for each in results] == [("features",), ("late",), ("features",)]
    assert explainer.loaded is loaded


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "sharp"),
        ({"layers": "3"}, "gradcam"),
        ({"evidence": "both"}, "gradcam"),
        ({"method": "layercam"}, "layercam"),
    ],
)
def test_map_of_few_cells_is_sharp(options: dict[str, Any], method: str) -> None:
    net = nn.Sequential(step(3), step(), step(), step(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))
    explainer = Explainer(net, preprocess=PLAIN)
    assert explainer(BRIGHT, top_k=1, **options).heatmaps[0].method == method
    # The same network has eight cells a side there.
    larger = Explainer(net, preprocess=PLAIN | {"size": 2 * SIZE})
    assert larger(BRIGHT, top_k=1).heatmaps[0].method == "gradcam"


def test_no_listed_layer_runs() -> None:
    explanation = Explainer(OnlyExperts(), preprocess=PLAIN)(BRIGHT, top_k=1)
    note = "experts.0, the default layer, does not run on this picture, nor does another listed layer."
    assert note in explanation.notes
    assert explanation.heatmaps[0].method == "drise"
    assert explanation.with_method("occlusion").heatmaps[0].values.any()
    with pytest.raises(ModelProblem, match=r"nor does another listed layer. Use a method that needs no layer"):
        explanation.with_method("layercam")
    with pytest.raises(ModelProblem, match=r"experts.1 is not called on the photograph that the model was measured"):
        Explainer(OnlyExperts(), preprocess=PLAIN, layers="experts.1")


def test_checks_where_a_change_takes_another_path() -> None:
    class Close(EarlyExit):
        threshold = float((BRIGHT / 255 - 0.5).mean() / 0.25) + 0.01

    class Routed(Experts):
        def forward(self, x: Tensor) -> Tensor:
            maps = self.maps(x)
            return self.fc(self.experts[int(self.fc.weight.sum() > 0)](maps).mean((2, 3)))

    explanation = explained(Close())
    assert explanation.heatmaps[0].layers == ("late",)
    with pytest.raises(ModelProblem, match="late does not run after 15 % brighter: the model takes another path"):
        stability(explanation)
    torch.manual_seed(0)
    net = Routed()
    net.fc.weight.data -= net.fc.weight.mean() + 1e-4
    with pytest.raises(ModelProblem, match=r"experts.0 does not run with random weights: the model takes another"):
        scramble(explained(net))
