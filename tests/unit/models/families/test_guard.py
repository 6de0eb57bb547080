"""Guards of several modules at once: what each changes is put back, in whatever order they are left."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Sequence

import pytest
from torch._dynamo import eval_frame
from torch.utils import checkpoint

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
