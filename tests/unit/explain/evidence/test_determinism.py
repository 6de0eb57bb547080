"""Passes on a GPU are in whole float32 and come to the same bits; what the process had set is put back."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import sightglass.explain.evidence.determinism
from sightglass.explain.evidence.determinism import PassLock, exact, own_random_state
from sightglass.explain.evidence.resident import Resident
from sightglass.models import catalog
from sightglass.models.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

cudnn: Any = torch.backends.cudnn
GPU = torch.device("cuda")


def switches() -> tuple[bool, bool, str]:
    """Deterministic, benchmark, and how convolutions round."""
    conv = getattr(cudnn, "conv", None)
    rounds = conv.fp32_precision if hasattr(conv, "fp32_precision") else "tf32" if cudnn.allow_tf32 else "ieee"
    return cudnn.deterministic, cudnn.benchmark, rounds


def strict() -> bool:
    deterministic, benchmark, rounds = switches()
    return deterministic and not benchmark and rounds != "tf32"


@pytest.fixture(autouse=True)
def trained_fast() -> Iterator[None]:
    """As a training script leaves the process, and afterwards as it was."""
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = False, True, True
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before


def test_inside_it_is_exact_and_afterwards_as_before() -> None:
    before = switches()
    with exact(GPU):
        assert strict()
        # What a model's own code may do.
        with cudnn.flags(enabled=False, allow_tf32=False):
            pass
        assert strict()
    assert switches() == before
    with pytest.raises(ValueError, match="out"), exact(GPU):
        raise ValueError("out")
    assert switches() == before


def test_random_numbers_are_drawn_again_and_the_callers_go_on() -> None:
    def draw_one() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def start() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    start()
    wanted = [draw_one() for _ in range(2)]
    start()
    assert draw_one() == wanted[0]
    inside = []
    for seed in (7, 7, None):
        with own_random_state(seed):
            inside.append(draw_one())
    assert inside[0] == inside[1]
    # Without a seed they are the next ones, and are drawn again outside.
    assert inside[2] == wanted[1] == draw_one()
    with pytest.raises(ValueError, match="out"), own_random_state(3):
        raise ValueError("out")
    assert draw_one() != inside[0]


@pytest.mark.skipif(not hasattr(getattr(cudnn, "conv", None), "fp32_precision"), reason="this PyTorch has one switch")
def test_the_newer_switch_is_respected() -> None:
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = "tf32", "ieee"
    try:
        with exact(GPU):
            assert cudnn.conv.fp32_precision == "ieee"
        assert cudnn.conv.fp32_precision == "tf32"
    finally:
        cudnn.rnn.fp32_precision = "tf32"


def test_the_last_of_several_threads_puts_it_back() -> None:
    before, inside, leave, seen = switches(), threading.Barrier(2), threading.Event(), []

    def other() -> None:
        with exact(GPU):
            inside.wait()
            leave.wait()
            seen.append(strict())

    thread = threading.Thread(target=other)
    with exact(GPU):
        thread.start()
        inside.wait()
    assert strict(), "somebody is still in a pass"
    leave.set()
    thread.join()
    assert seen == [True]
    assert switches() == before


def test_a_turn_is_a_lock_that_may_be_taken_again() -> None:
    before, turn = switches(), PassLock(GPU)
    free: list[bool] = []
    with turn, turn:
        assert strict()
        thread = threading.Thread(target=lambda: free.append(turn.acquire(timeout=0.05)))
        thread.start()
        thread.join()
    assert free == [False]
    assert switches() == before
    assert turn.acquire(timeout=0.05)
    turn.release()


def test_a_model_on_a_gpu_has_exact_passes_and_one_on_the_cpu_leaves_the_switches_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[bool] = []
    adapter = load(catalog.spec("demo-cls-s"))
    adapter.module.register_forward_hook(lambda *_: calls.append(strict()))
    given = adapter.prepare(np.zeros((64, 64, 3), np.uint8), adapter.preprocessings[0])
    resident = Resident(adapter, torch.device("cpu"))
    with resident.lock:
        adapter.run(resident.move_input(given.tensor))
    # Where there is no GPU, as if the module went to one.
    monkeypatch.setattr(adapter.module, "to", lambda *_, **__: adapter.module)
    with Resident(adapter, GPU).lock:
        adapter.run(given.tensor)
    assert calls == [False, True]
    assert sightglass.explain.evidence.determinism._inside == 0
