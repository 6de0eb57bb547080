"""Guards of several modules at once: what each changes is put back, in whatever order they are left."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import eval_frame
from torch.utils import checkpoint

from sightglass.explain import Explainer
from sightglass.models.adapters.folding import _fused, conv_act
from sightglass.models.families.custom import guard as guard_module
from sightglass.models.families.custom.guard import ModuleGuard
from tests.unit.explain.test_callers_module import Writer, everything
from tests.unit.explain.test_in_memory import PROBE, Net

GENERATORS = 4
"""The position of the states of the process's generators in `everything`."""

LONGEST = 120
"""Seconds after which a thread that waits for a guard waits for ever."""


def shared_state() -> list[object]:
    """Return what guards change for the whole process."""
    generators = [value for name, value in vars(checkpoint).items() if "reentrant_generator" in name]
    return [vars(checkpoint.CheckpointFunction).get("apply"), generators, eval_frame._stance.stance]


def make_guards() -> list[ModuleGuard]:
    """Return guards of two modules, of one of their parts, and a second one of the first module."""
    first = Writer()
    return [ModuleGuard(first), ModuleGuard(Net()), ModuleGuard(first.features), ModuleGuard(first)]


def state_of(guards: Sequence[ModuleGuard]) -> list[object]:
    """Return all that the guards put back; the process's generators are given back by `PassLock`."""
    state = [everything(guard.module) for guard in guards]
    for module_state in state:
        del module_state[GENERATORS]
    return [shared_state(), state]


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_guards_left_in_any_order(order: tuple[int, ...]) -> None:
    guards = make_guards()
    before = state_of(guards)
    for guard in guards:
        guard.__enter__()
    for place, number in enumerate(order):
        guards[number].__exit__(None, None, None)
        for remaining in order[place + 1 :]:
            module = guards[remaining].module
            assert not module.training
            assert not any(each.requires_grad for each in module.parameters())
            assert "apply" in vars(checkpoint.CheckpointFunction)
            module(PROBE)
    assert state_of(guards) == before


def test_guard_entered_again_after_it_was_left() -> None:
    first, second = ModuleGuard(Writer()), ModuleGuard(Net())
    before = state_of([first, second])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with first:
        first.module(PROBE)
        assert not first.module.training
    second.__exit__(None, None, None)
    assert state_of([first, second]) == before


def test_guards_of_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    close_left = guard_module._close_left

    def close_left_late() -> None:
        # Long enough for another thread to enter, were the lock free.
        time.sleep(0.001)
        close_left()

    monkeypatch.setattr(guard_module, "_close_left", close_left_late)
    guards = make_guards()
    before = state_of(guards)
    failures: list[BaseException] = []

    def enter_and_leave(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(20):
                chosen = chance.sample(guards, 3)
                for guard in chosen:
                    guard.__enter__()
                    guard.module(PROBE)
                for guard in chance.sample(chosen, 3):
                    guard.__exit__(None, None, None)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=enter_and_leave, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=LONGEST)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)
    assert state_of(guards) == before


def test_convolutions_are_packed_inside_a_guard() -> None:
    conv, act, values = nn.Conv2d(2, 3, 3).requires_grad_(False), nn.SiLU(), torch.rand(1, 2, 8, 8)
    _fused.cache_clear()
    with ModuleGuard(conv).undone():
        out = conv_act(conv, act, values)
        assert _fused()
    torch.testing.assert_close(out, act(conv(values)))


class SparseHead(nn.Module):
    """A classifier whose last weights are held in another layout than they are given in."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.features = nn.Conv2d(3, 8, 3, 2, 1)
        with torch.no_grad():
            self.features.weight.copy_(torch.randn(self.features.weight.shape, generator=generator))
            self.features.bias.zero_()
        weight = torch.randn(5, 8, generator=generator).relu()
        self.layout = layout
        self.dense = weight
        if layout == "parameter":
            self.weight = nn.Parameter(weight.to_sparse())
        if layout == "buffer":
            self.register_buffer("weight", weight.to_sparse())
        if layout == "rows":
            self.register_buffer("weight", weight.to_sparse_csr())
        if layout == "attribute":
            self.weight = weight.to_sparse()

    def forward(self, picture: Tensor) -> Tensor:
        features = self.features(picture).relu().mean((2, 3))
        if self.layout == "packed":
            features = features.to_mkldnn().to_dense()
        if self.layout in ("packed", "dense"):
            return features @ self.dense.T
        weight = self.dense.to_sparse() if self.layout == "inside" else self.weight
        return torch.sparse.mm(weight, features.T).T


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("layout", ["inside", "parameter", "buffer", "rows", "attribute", "packed"])
def test_tensors_without_memory_of_their_own(layout: str) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    expected = Explainer(SparseHead("dense").eval())(picture, method="gradcam")
    network = SparseHead(layout).eval()
    result = Explainer(network)(picture, method="gradcam")
    np.testing.assert_allclose(result.heatmaps[0].values, expected.heatmaps[0].values, atol=1e-6)
    assert all(each.requires_grad for each in network.parameters())
