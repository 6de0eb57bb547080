"""The weights of convolutions laid out for the way back: the same numbers, and gone with the model."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch.utils.weak import WeakTensorKeyDictionary

from sightglass.explain.backward import convolution


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_was_laid_out_goes_with_its_weights(
    stride: int, groups: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In channels-last order the weights of a strided convolution are laid out already: what is kept is their view."""
    weight = torch.rand(8, 8 // groups, 3, 3).to(memory_format=layout)
    monkeypatch.setattr(convolution, "_KERNELS", WeakTensorKeyDictionary())
    made = convolution.kernel(weight, slice(0, 8 // groups), (stride, stride), (1, 1), groups)
    assert convolution.kernel(weight, slice(0, 8 // groups), (stride, stride), (1, 1), groups) is made
    if made is not None:
        wanted = convolution.Kernel.of(weight.clone(), (stride, stride), (1, 1), groups)
        assert wanted is not None
        assert torch.equal(made.weight, wanted.weight)
    gone = weakref.ref(weight)
    del weight
    gc.collect()
    assert gone() is None
    assert len(convolution._KERNELS) == 0
