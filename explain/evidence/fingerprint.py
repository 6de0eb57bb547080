"""Tell whether somebody has changed a module since it was copied."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

VALUES = 64
"""Values of each tensor that are compared: a write through `.data` leaves no other trace."""
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types to read the bits of values as, by their size in bytes."""
_PLAIN = (bool, int, float, str, type(None))


class Fingerprint:
    """What identifies the state of a module: its parts, plain attributes and hooks, and values of its tensors."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._views: dict[int, tuple[tuple[object, ...], NDArray[Any] | None]] = {}

    def value(self) -> int:
        """Return a number that changes with the module."""
        state: list[object] = []
        elsewhere: list[Tensor] = []
        seen: set[int] = set()
        waiting: list[nn.Module] = [self.module]
        while waiting:
            module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            attributes = module.__dict__
            state += (id(module), *attributes["_forward_hooks"], *attributes["_forward_pre_hooks"])
            state += [value for value in attributes.values() if type(value) in _PLAIN]
            for tensor in chain(attributes["_parameters"].values(), attributes["_buffers"].values()):
                if tensor is not None:
                    state += id(tensor), self._read(tensor, elsewhere)
            waiting.extend(part for part in attributes["_modules"].values() if part is not None)
        if elsewhere:
            # One copy from another device: each waits until the device has finished.
            state.append(torch.cat(elsewhere).cpu().numpy().tobytes())
        return hash(tuple(state))

    def _read(self, tensor: Tensor, elsewhere: list[Tensor]) -> object:
        """Return what changes with a tensor's values, or append it to `elsewhere`."""
        version = 0 if tensor.is_inference() else tensor._version
        place = tensor.data_ptr(), tensor.shape
        known = self._views.get(id(tensor))
        if known is None or known[0] != place:
            known = self._views[id(tensor)] = place, _view(tensor)
        if known[1] is None:
            elsewhere.append(_sample(tensor.detach().reshape(-1)).contiguous().view(torch.uint8))
            return version
        return version, known[1].tobytes()


def _view(tensor: Tensor) -> NDArray[Any] | None:
    """Return a view of VALUES evenly spread values, or None."""
    bare = tensor.detach()
    integers = _INTEGERS.get(bare.element_size())
    if bare.device.type != "cpu" or integers is None or bare.layout != torch.strided or not _is_dense(bare):
        return None
    values: NDArray[Any] = _sample(bare.as_strided((bare.numel(),), (1,)).view(integers)).numpy()
    return values


def _sample(flat: Tensor) -> Tensor:
    return flat[:: max(1, -(-len(flat) // VALUES))]


def _is_dense(tensor: Tensor) -> bool:
    """Return whether the values fill their memory without gaps, in any order."""
    sides = sorted(zip(tensor.stride(), tensor.shape, strict=True))
    size = 1
    for stride, side in sides:
        if side > 1 and stride != size:
            return False
        size *= side
    return True
