"""Make a model's pass bit-for-bit reproducible.

Convolutions on a GPU are deterministic and in full float32: PyTorch lets cuDNN round what it multiplies to 10 bits
(TF32) and choose algorithms whose sums come in any order. Emulated on a CPU, TF32 moved maps by up to 0.02 of their
range, and detectors' GradCAM++ and XGradCAM by nearly all of it; float32's own rounding moves most by less than
0.00002 (benchmarks/results/gpu-rounding.md). Autocast, which a caller may be in, would round to 8 bits.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.models.families.custom.guard import ModuleGuard

_STATE = threading.Lock()
_RANDOM = threading.RLock()
"""Guards draws from the process's own generators with a seed; one may be inside another's."""
_inside = 0
_undo: list[Callable[[], None]] = []
"""Restores the switches when the last of the threads inside leaves; guarded by _STATE, as their number is."""


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Set cuDNN's process-wide switches while any thread is inside; do nothing for a device that is not CUDA's."""
    global _inside
    if device.type != "cuda":
        yield
        return
    with _STATE:
        if not _inside:
            _undo.extend(_set_switches())
        _inside += 1
    try:
        yield
    finally:
        with _STATE:
            _inside -= 1
            if not _inside:
                while _undo:
                    _undo.pop()()


def _set_switches() -> Iterator[Callable[[], None]]:
    """Set each switch, and yield a function that restores it."""
    cudnn: Any = torch.backends.cudnn
    yield _set(cudnn, "deterministic", value=True)
    yield _set(cudnn, "benchmark", value=False)
    try:
        yield _set(cudnn, "allow_tf32", value=False)
    except RuntimeError:
        # PyTorch's older switch is unreadable once its newer one was used.
        yield _set(cudnn.conv, "fp32_precision", value="ieee")


def _set(backend: Any, name: str, *, value: Any) -> Callable[[], None]:
    """Set a switch of a backend, and return a function that restores it."""
    before = getattr(backend, name)
    if before != value:
        setattr(backend, name, value)
    return lambda: None if before == value else setattr(backend, name, before)


@contextmanager
def own_modes() -> Iterator[None]:
    """Suspend the thread's autocast, inference mode, and default device.

    A map must not depend on a caller's `torch.autocast`. Raises ModelProblem if the process's default type is not
    float32, which a thread cannot change for itself.
    """
    if (kind := torch.get_default_dtype()) is not torch.float32:
        raise ModelProblem(
            f"PyTorch's default type is {kind} here, and maps need float32: call "
            "torch.set_default_dtype(torch.float32) before, and set your own again afterwards."
        )
    with ExitStack() as modes:
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """Restore the random states of Python, NumPy and PyTorch on exit.

    `seed`: inside, the same numbers are drawn each time, by one thread at a time.
    """
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [*range(torch.cuda.device_count())] if started else []
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(_RANDOM)
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
        yield


def _pack(tensor: Tensor) -> tuple[Tensor, int]:
    """Copy what autograd saves of a module's own tensors; the pass's have a gradient."""
    saved = tensor.detach() if tensor.requires_grad else tensor.clone()
    return saved, saved._version


def _unpack(packed: tuple[Tensor, int]) -> Tensor:
    tensor, version = packed
    if tensor._version != version:
        raise RuntimeError("a tensor needed for the gradient was changed by an inplace operation")
    return tensor


def saved_copies() -> saved_tensors_hooks:
    """Return a context in which graphs keep a module's weights as they are."""
    return saved_tensors_hooks(_pack, _unpack)


class PassLock:
    """A re-entrant lock for a model's passes, with deterministic settings.

    Taking it raises Cancelled where the work of this thread was stopped. `guard` is entered too: a caller's module,
    which may draw numbers from the process's generators; their states are given back.
    """

    def __init__(self, device: torch.device, guard: ModuleGuard | None = None) -> None:
        self._device, self._guard = device, guard
        self._lock = threading.RLock() if guard is None else guard.lock
        self._contexts: list[Any] = []

    def __enter__(self) -> None:
        check()
        with ExitStack() as inside:
            inside.enter_context(self._lock)
            # Entered again, all of this is so already.
            if not self._contexts:
                inside.enter_context(own_modes())
                inside.enter_context(exact(self._device if self._guard is None else self._guard.device))
                if self._guard is not None:
                    inside.enter_context(own_random_state())
                    inside.enter_context(self._guard)
            self._contexts.append(inside.pop_all())

    def __exit__(self, *_: object) -> None:
        self._contexts.pop().close()
