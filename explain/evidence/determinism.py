"""Make convolutions on a GPU deterministic and computed in full float32.

PyTorch lets cuDNN round what it multiplies to 10 bits (TF32) and choose algorithms whose sums come in any order.
Emulated on a CPU, TF32 moved maps by up to 0.02 of their range, and detectors' GradCAM++ and XGradCAM by nearly all of
it (benchmarks/GPU.md); float32's own rounding moves most by less than 0.00002.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATE = threading.Lock()
_inside = 0
_undo: list[Callable[[], None]] = []


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Set cuDNN's switches, which are process-wide, while any thread is inside; the last one out restores them.

    Does nothing where `device` is no CUDA device.
    """
    global _inside
    if device.type != "cuda":
        yield
        return
    with _STATE:
        if not _inside:
            _undo.extend(_switched())
        _inside += 1
    try:
        yield
    finally:
        with _STATE:
            _inside -= 1
            if not _inside:
                while _undo:
                    _undo.pop()()


def _switched() -> Iterator[Callable[[], None]]:
    """Set each switch, and yield a function that restores it."""
    cudnn: Any = torch.backends.cudnn
    yield _set(cudnn, "deterministic", value=True)
    yield _set(cudnn, "benchmark", value=False)
    try:
        yield _set(cudnn, "allow_tf32", value=False)
    except RuntimeError:
        # Where somebody has used PyTorch's newer switch, the older one cannot be read.
        yield _set(cudnn.conv, "fp32_precision", value="ieee")


def _set(on: Any, name: str, *, value: Any) -> Callable[[], None]:
    before = getattr(on, name)
    if before != value:
        setattr(on, name, value)
    return lambda: None if before == value else setattr(on, name, before)


class PassLock:
    """A re-entrant lock for the passes of a model, which are `exact` on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = threading.RLock()
        self._contexts: list[Any] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._lock.acquire(blocking, timeout):
            return False
        inside = exact(self._device)
        inside.__enter__()
        self._contexts.append(inside)
        return True

    def release(self) -> None:
        self._contexts.pop().__exit__(None, None, None)
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
