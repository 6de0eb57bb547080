"""A caller's module is explained as it is at the time of the call, and is afterwards bit for bit what it was."""

from __future__ import annotations

import copy
import gc
import pickle
import queue
import random
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint
from torchvision import models as torchvision_models

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from tests.unit.explain.test_in_memory import PICTURE, PLAIN, PROBE, Net, Twice
from tests.unit.own_nets import Answering

OPTIONS: dict[str, Any] = {"method": "gradcam", "part": "class", "targets": [1]}


class LoRA(nn.Linear):
    """Merges its two small matrices into the weight in `eval`, and takes them out again in `train`."""

    def __init__(self, taken: int, given: int) -> None:
        super().__init__(taken, given)
        self.down, self.up = nn.Parameter(torch.randn(2, taken)), nn.Parameter(torch.randn(given, 2))
        self.merged = False

    def train(self, mode: bool = True) -> LoRA:
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * self.up @ self.down
            self.merged = not mode
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight if self.merged else self.weight + self.up @ self.down, self.bias)


class Cosine(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 30 * F.linear(F.normalize(x), F.normalize(self.weight))


class Gated(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * torch.sigmoid(x.mean(1, keepdim=True))


class Mixed(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0.3 * x.roll(1, 1)


class Autocast(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


class Odd(Net):
    """Has any attributes, and runs `act` between features and head."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.act: Any = lambda x: x
        vars(self).update(attributes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.features(x)).mean((2, 3)))


class Prototypes(Odd):
    """Compares with prototypes in a plain tensor, by the active adapter of a list."""

    def __init__(self) -> None:
        super().__init__(prototypes=torch.randn(5, 16), adapters=[nn.Linear(16, 16), nn.Linear(16, 16)])
        self.config = types.SimpleNamespace(active=0, scale=1.0)
        self.act = F.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.features(x)).mean((2, 3))
        x = x + self.adapters[self.config.active](x)
        return self.config.scale * x @ self.prototypes.T + self.fc(x)


class Writer(Odd):
    """Writes everything that a forward can."""

    def __init__(self) -> None:
        super().__init__(step=0, log=[], memo={"x": []}, counts=np.zeros(3), state=types.SimpleNamespace(n=0), seen={0})
        self.register_buffer("average", torch.zeros(16))
        self.plain, self.bank = torch.zeros(4), [torch.zeros(2)]
        self.draws, self.rng, self.dice = torch.Generator(), np.random.default_rng(0), random.Random(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.step += 1
        self.log.append(x)
        self.memo["x"].append(1)
        self.memo[self.step] = self.last = x
        self.counts += 1
        self.state.n += 1
        self.seen.add(self.step)
        with torch.no_grad():
            self.average.mul_(0.9).add_(0.1)
            self.plain.data.add_(1)
            self.bank[0].fill_(self.step)
            F.batch_norm(x, self.plain[:3], self.plain[:3] + 1, training=True)
        self.fc.weight.data.mul_(1.5).div_(1.5)
        self.fc.bias.data = self.fc.bias.data + 0
        torch.rand(1, generator=self.draws), self.rng.random(), self.dice.random()
        torch.rand(1), np.random.rand(), random.random()
        return super().forward(x)


class Single(Odd):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x) == 1, "one picture only"
        return super().forward(x)


def changed(net: Any, change: Callable[[Any], object]) -> Any:
    change(net)
    return net


def norms(module: Any) -> Callable[[Net], Any]:
    """Return what norms the weights of two layers, by the functions of a module of PyTorch."""
    return lambda net: (module.weight_norm(net.fc), module.spectral_norm(net.features[4]), net(PROBE))


def pruned(net: Net) -> None:
    for part in (net.fc, net.features[4]):
        prune.l1_unstructured(part, "weight", 0.5)


def wrap(net: Odd) -> None:
    inner, of_part = net.forward, net.features[4].forward
    net.features[4].forward = lambda x: of_part(x) * 2
    net.forward = lambda x: inner(x) + 1


def hide(net: Odd) -> None:
    net.hidden = [nn.Sequential(nn.BatchNorm2d(16), nn.ReLU())]
    net.act = lambda x: net.hidden[0](x)


def recompute(net: Odd, reentrant: bool) -> None:
    wrap_features(net, lambda inner: lambda x: checkpoint(inner, x, use_reentrant=reentrant))


def wrap_features(net: Odd, wrapper: Callable[[Any], Any]) -> None:
    net.features.forward = wrapper(net.features.forward)


def tail(make: Callable[[nn.Module], nn.Module]) -> Odd:
    part = make(nn.Sequential(nn.Conv2d(16, 16, 3), nn.Sigmoid()).eval())
    return changed(Odd(), lambda net: (delattr(net, "act"), setattr(net, "act", part)))


def inference() -> nn.Module:
    with torch.inference_mode():
        return Odd()


MODULES: dict[str, tuple[Callable[[], Any], str]] = {
    "plain": (Net, "features.3"),
    "LoRA": (lambda: Net(LoRA), "features.6"),
    "cosine head": (lambda: Net(Cosine), "features.6"),
    "own convolution": (lambda: Net(conv=Gated), "features.3"),
    "own norm": (lambda: Net(norm=Mixed), "features.3"),
    "statistics of the batch": (lambda: Net(norm=lambda c: nn.BatchNorm2d(c, track_running_stats=False)), "features.6"),
    "hook": (
        lambda: changed(Net(), lambda net: net.features[4].register_forward_hook(lambda _m, _i, out: out * out.sin())),
        "features.3",
    ),
    "hook on the head": (
        lambda: changed(Net(), lambda net: net.fc.register_forward_hook(lambda _m, x, out: out + x[0][:, :5] ** 2)),
        "features.6",
    ),
    "pruned": (lambda: changed(Net(), pruned), "features.3"),
    "parametrised": (lambda: changed(Net(), norms(parametrizations)), "features.3"),
    "norms of weights": (lambda: changed(Net(), norms(torch.nn.utils)), "features.3"),
    "locks": (lambda: Odd(lock=threading.Lock(), jobs=queue.Queue(), simple=queue.SimpleQueue()), "features.6"),
    "a tensor with a history": (lambda: Odd(history=torch.rand(3, requires_grad=True) * 2), "features.6"),
    "itself": (lambda: changed(Odd(), lambda net: vars(net).update(me=net, parents=[net])), "features.6"),
    "wrapped": (lambda: changed(Odd(), wrap), "features.4"),
    "modules in a list": (lambda: changed(Odd(), hide), "features.6"),
    "prototypes": (Prototypes, "features.6"),
    "writer": (Writer, "features.6"),
    "mixed modes": (lambda: changed(Odd().eval(), lambda net: net.features[1].train()), "features.6"),
    "frozen in part": (lambda: changed(Odd(), lambda net: net.features.requires_grad_(False)), "features.6"),
    "with gradients": (lambda: changed(Odd(), lambda net: net(PROBE).sum().backward()), "features.6"),
    "checkpointed": (lambda: changed(Odd(), lambda net: recompute(net, False)), "features.3"),
    "checkpointed, reentrant": (lambda: changed(Odd(), lambda net: recompute(net, True)), "features.3"),
    "checkpointed by timm": (
        lambda: changed(timm.create_model("resnet10t", num_classes=5), lambda net: net.set_grad_checkpointing()),
        "layer3.0",
    ),
    "memory-efficient DenseNet": (
        lambda: torchvision_models.DenseNet(4, (2, 2), 8, num_classes=5, memory_efficient=True),
        "features.denseblock1.denselayer1.conv1",
    ),
    "compiled": (lambda: torch.compile(Net()), "features.6"),
    "compiled part": (
        lambda: changed(Odd(), lambda net: setattr(net, "features", torch.compile(net.features))),
        "features.6",
    ),
    "compiled in place": (lambda: changed(Odd(), lambda net: (net.compile(), net.fc.compile())), "features.6"),
    "traced part": (lambda: tail(lambda part: torch.jit.trace(part, torch.zeros(1, 16, 8, 8))), "features.6"),
    "scripted part": (lambda: tail(torch.jit.script), "features.6"),
    "one picture": (Single, "features.6"),
    "called twice": (Twice, "act"),
    "double": (lambda: Odd().double(), "features.6"),
    "half": (lambda: Net().half(), "features.6"),
    "autocast": (Autocast, "features.6"),
    "inference mode": (inference, "features.6"),
    "for several devices": (lambda: nn.DataParallel(Odd()), "features.6"),
}


def check_equal(result: Any, net: nn.Module, layer: str, index: int = 1, within: float = 1e-4) -> None:
    """Compare with Grad-CAM before its ReLU and softmax, by plain autograd on a module in eval mode."""
    modes = [(part, part.training) for part in net.modules()]
    if any(mode for _, mode in modes):
        net.eval()
    outputs: list[torch.Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda _m, _i, out: outputs.append(out))
    picture = (torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() / 255).to(next(net.parameters()))
    logits = net(picture.requires_grad_())
    handle.remove()
    slope = torch.autograd.grad(logits[0, index], outputs[-1])[0]
    for part, mode in modes:
        part.training = mode
    values = (outputs[-1] * slope.mean((2, 3), keepdim=True)).sum(1)[0].detach().float().numpy()
    np.testing.assert_allclose(result.heatmaps[0].raw[0], values, rtol=0, atol=within * np.abs(values).max())
    scores = dict(enumerate(logits[0].float().softmax(0).tolist()))
    assert {p.index: p.score for p in result.predictions} == pytest.approx(scores, abs=within)


def everything(net: Any) -> list[Any]:
    """Return all that a pass could change."""
    parts = [part for holder in (net, *getattr(net, "hidden", ())) for part in holder.modules()]
    attributes = [vars(part) for part in parts if not isinstance(part, torch.jit.ScriptModule)]
    state = [
        {n: id(v) if not isinstance(v, dict) else {*map(id, v.values())} for n, v in a.items()} for a in attributes
    ]
    tensors = [t for part in parts for t in (*part.parameters(), *part.buffers())]
    tensors += [value for values in attributes for value in values.values() if isinstance(value, torch.Tensor)]
    numbers = [(t.data_ptr(), t.detach().double().numpy().tobytes(), t.requires_grad) for t in tensors]
    more = [(0 if t.is_inference() else t._version, id(t.grad) if t.is_leaf else 0) for t in tensors]
    drawn = (torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate())
    own: list[Any] = []
    if isinstance(net, Writer):
        own = [[*net.log], {**net.memo}, [*net.memo["x"]], net.counts.tolist(), net.state.n, net.bank[0].tolist()]
        own += [net.draws.get_state().tolist(), net.rng.bit_generator.state, net.dice.getstate(), {*net.seen}]
    return [state, numbers, more, [part.training for part in parts], drawn, own]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_untouched_module(name: str) -> None:
    torch.manual_seed(1)
    make, layer = MODULES[name]
    net = make()
    before = everything(net)
    result = Explainer(net, preprocess=PLAIN, layers=[layer])(PICTURE, top_k=5, **OPTIONS)
    assert everything(net) == before
    for method in ("occlusion", "smoothgrad", "scorecam") if name not in ("half", "autocast") else ():
        result.with_options(method=method, masks=9 if method == "occlusion" else None)
    assert everything(net) == before
    if name == "checkpointed, reentrant":
        # Inside of it plain autograd has no gradients.
        del net.features.forward
    plain = copy.deepcopy(net) if name == "inference mode" else getattr(net, "_orig_mod", getattr(net, "module", net))
    torch.compiler.set_stance("force_eager")
    try:
        check_equal(result, plain, layer, within=2e-2 if name in ("half", "autocast") else 1e-4)
    finally:
        torch.compiler.set_stance("default")


CHANGES: dict[str, Callable[[Any], object]] = {
    "a row to zero": lambda net: net.fc.weight.data[1].zero_(),
    "a plain tensor in place": lambda net: net.prototypes.mul_(2),
    "a plain tensor by data": lambda net: net.prototypes.data[1].zero_(),
    "data of a weight": lambda net: setattr(net.fc.weight, "data", torch.randn(5, 16)),
    "a part": lambda net: setattr(net, "fc", nn.Linear(16, 5)),
    "another plain tensor": lambda net: setattr(net, "prototypes", torch.randn(5, 16)),
    "the active adapter": lambda net: setattr(net.config, "active", 1),
    "a module of a list": lambda net: net.adapters.__setitem__(0, nn.Linear(16, 16)),
    "a configuration": lambda net: setattr(net.config, "scale", 3.0),
    "a function": lambda net: setattr(net, "act", torch.tanh),
    "forward": lambda net: setattr(net, "forward", lambda x: 2 * type(net).forward(net, x) - 1),
    "forward of a part": lambda net: setattr(net.fc, "forward", lambda x: F.linear(x, -net.fc.weight)),
    "a hook": lambda net: net.fc.register_forward_hook(lambda _m, _i, out: out.flip(1)),
    "a buffer": lambda net: net.features[5].running_mean.add_(1),
    "the number of outputs": lambda net: vars(net).update(
        prototypes=torch.randn(7, 16), _modules={**net._modules, "fc": nn.Linear(16, 7)}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_module(change: str) -> None:
    torch.manual_seed(1)
    net = Prototypes()
    explainer = Explainer(net, preprocess=PLAIN, layers=["features.6"])
    check_equal(explainer(PICTURE, top_k=7, **OPTIONS), net, "features.6")
    with torch.no_grad():
        CHANGES[change](net)
    for now in (explainer, Explainer(net, preprocess=PLAIN, layers=["features.6"])):
        check_equal(now(PICTURE, top_k=7, **OPTIONS), net, "features.6")


def test_module_that_begins_to_return_probabilities() -> None:
    net = Net().eval()
    explainer = Explainer(net, preprocess=PLAIN)
    net.forward = lambda x: Net.forward(net, x).softmax(1)
    result = explainer(PICTURE, top_k=5, **OPTIONS)
    expected = dict(enumerate(net(result.evidence.tensor)[0].tolist()))
    assert {p.index: p.score for p in result.predictions} == pytest.approx(expected, abs=1e-5)


def test_logits_that_add_up_by_chance() -> None:
    net = Net().eval()
    explainer = Explainer(net, preprocess=PLAIN, layers=["features.6"])
    net.fc.bias.data += 0.2 - net(explainer(PICTURE, **OPTIONS).evidence.tensor)[0].detach()
    check_equal(explainer(PICTURE, top_k=5, **OPTIONS), net, "features.6")


@pytest.mark.parametrize("change", [*CHANGES][:5])
def test_explanation_of_changed_module(change: str) -> None:
    torch.manual_seed(1)
    net = Prototypes()
    before = copy.deepcopy(net)
    result = Explainer(net, preprocess=PLAIN, layers=["features.3"])(PICTURE, top_k=5, **OPTIONS)
    net(PROBE).sum().backward()
    torch.optim.SGD(net.parameters(), 0.5).step()
    with torch.no_grad():
        CHANGES[change](net)
    for index in (1, 0):
        check_equal(copy.deepcopy(result).with_targets(index), before, "features.3", index)
    assert result.recipe.weights_sha256 == ""
    for again in (lambda: result.with_method("rise"), result.prove, lambda: result.with_method("inputxgradient")):
        with pytest.raises(ModelProblem, match=r"^Prototypes has changed since this explanation: explain again\.$"):
            again()
    for whole in (result, Explainer(net)):
        with pytest.raises(ModelProblem, match="cannot be pickled"):
            pickle.dumps(whole)


@pytest.mark.parametrize("name", ["plain", "hook", "writer"])
def test_module_that_fails(name: str) -> None:
    net = MODULES[name][0]()
    explainer = Explainer(net, preprocess=PLAIN)
    net.fc.register_forward_hook(lambda *_: 1 / 0)
    before = everything(net)
    with pytest.raises(ModelProblem, match=r" failed on pictures as \(1 x 3 x 32 x 32\) \(ZeroDivisionError: .*\.$"):
        explainer(PICTURE, **OPTIONS)
    assert everything(net) == before


class Named(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x["x"])


@pytest.mark.parametrize(
    ("make", "device", "sentence"),
    [
        (lambda: Net(lambda _taken, given: nn.LazyLinear(given)), "auto", "has lazy layers without weights"),
        (lambda: Net().to("meta"), "auto", "is on the device meta, without values"),
        (Net, "cuda:0", r"is on cpu: move it to cuda:0 yourself, or leave device out\.$"),
        (Named, "auto", "cannot run on a"),
    ],
)
def test_module_that_cannot_run(make: Any, device: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.explain.explainer.find_device", lambda name: torch.device("cpu"))
    with pytest.raises(ModelProblem, match=sentence):
        Explainer(make(), preprocess=PLAIN, device=device)


def prepared(prepare: Callable[[torch.Tensor], torch.Tensor]) -> Odd:
    return changed(Odd(), lambda net: net.register_forward_pre_hook(lambda _, x: prepare(x[0])))


@pytest.mark.parametrize(
    ("make", "make_plain", "methods"),
    [
        (Single, Odd, ("rise", "integratedgradients", "ablationcam")),
        (lambda: prepared(lambda x: x.sub_(0.5)), lambda: prepared(lambda x: x - 0.5), ("rise", "smoothgrad")),
        (lambda: changed(Odd(), lambda net: wrap_features(net, torch.inference_mode())), Odd, ("gradcam", "occlusion")),
        (lambda: changed(Odd(), lambda net: setattr(net, "act", torch.relu_)), Odd, ("pathgradient",)),
    ],
)
def test_module_with_a_plain_twin(make: Any, make_plain: Any, methods: tuple[str, ...]) -> None:
    torch.manual_seed(1)
    net, plain = make(), make_plain()
    plain.load_state_dict(net.state_dict())
    explainers = [Explainer(each, preprocess=PLAIN, layers=["features"]) for each in (net, plain)]
    first, *others = explainers[0]([PICTURE] * 3, **OPTIONS | {"targets": 1})
    assert all(np.array_equal(other.heatmaps[0].values, first.heatmaps[0].values) for other in others)
    for method in methods:
        results = [explainer(PICTURE, **OPTIONS | {"method": method}) for explainer in explainers]
        np.testing.assert_allclose(*(result.heatmaps[0].raw[0] for result in results), atol=1e-4)


def test_two_explainers_take_turns() -> None:
    net = Writer()
    before, results = everything(net), []
    explainers = [Explainer(net, preprocess=PLAIN, layers=["features.6"]) for _ in range(2)]
    expected = explainers[0](PICTURE, **OPTIONS).heatmaps[0].values

    def work(explainer: Explainer) -> None:
        results.extend(explainer(PICTURE, **OPTIONS).heatmaps[0].values for _ in range(10))

    threads = [threading.Thread(target=work, args=(explainer,)) for explainer in explainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20 and all(np.array_equal(values, expected) for values in results)
    assert everything(net) == before


def test_memory_is_constant() -> None:
    explainer, seen = Explainer(Net(), preprocess=PLAIN), list[weakref.ref[Evidence]]()
    gc.disable()
    try:
        seen += (weakref.ref(explainer(PICTURE, **OPTIONS).evidence) for _ in range(200))
    finally:
        gc.enable()
    assert not any(each() for each in seen)


def test_untouched_yolo() -> None:
    from ultralytics import YOLO

    yolo: Any = YOLO("yolo11n.yaml", verbose=False)
    before = everything(yolo.model)
    result = Explainer(yolo)(PICTURE, method="gradcam", targets=[1], confidence=0.001)
    assert everything(yolo.model) == before
    with torch.no_grad():
        expected = yolo.model.eval()(result.evidence.tensor)[0][:, 4:]
    torch.testing.assert_close(result.evidence.outputs.scores.detach(), expected)


def test_gradient_of_batch_norm_before_tokens() -> None:
    torch.manual_seed(0)
    stem, norm, head, weights = nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.Linear(8, 3), torch.randn(64, 1)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    # Each token of the norm's output has a weight of its own.
    parts = nn.ModuleList([stem, norm, head])
    net = Answering(parts, lambda _, x: head((norm(stem(x)).flatten(2).transpose(1, 2) * weights).sum(1))).eval()
    result = Explainer(net, preprocess=PLAIN, layers=[stem])(PICTURE, **OPTIONS)
    with torch.no_grad():
        activation = stem(result.evidence.tensor)[0].flatten(1)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        expected = (head.weight[1] * scale)[:, None] * weights.T  # (8, 64)
        raw = (expected.mean(1, keepdim=True) * activation).sum(0).reshape(8, 8)
    (slope,) = result.evidence.gradients([result.heatmaps[0].target])[0]
    torch.testing.assert_close(slope.dense().flatten(1), expected)
    np.testing.assert_allclose(result.heatmaps[0].raw[0], raw.numpy(), rtol=1e-4, atol=1e-5)
