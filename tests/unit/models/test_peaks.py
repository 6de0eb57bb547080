"""Heat maps of joints become numbers: where each peak is, and how high."""

from __future__ import annotations

import pytest
import torch

from sightglass.models.adapters.segmenter import read_peaks


def gaussian(x: float, y: float, height: float = 0.8) -> torch.Tensor:
    """A map of 48 columns and 64 rows with a peak at (x, y)."""
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    return height * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)


def test_the_place_is_the_peaks_in_pixels_of_the_input() -> None:
    maps = torch.stack([gaussian(10.5, 20.5), gaussian(30.2, 50.7, 0.3)])[None]
    x, y, peak, other_x, other_y, _ = read_peaks(maps, (256, 192))[0].tolist()
    assert (x, y, peak) == pytest.approx((42, 82, 0.8), abs=0.01)
    assert (other_x, other_y) == pytest.approx((4 * 30.2, 4 * 50.7), abs=0.6)


def test_a_peaks_gradient_is_its_finite_difference() -> None:
    maps = torch.rand(1, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # The scale is taken as it is: the peak itself stays.
    maps[0, :, 2, 3] = 2
    step = torch.randn(maps.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 1e-6
    step[0, :, 2, 3] = 0
    maps.requires_grad_()
    for place in (0, 1, 3, 4):
        (gradient,) = torch.autograd.grad(read_peaks(maps, (60, 50))[0, place], maps)
        more, less = (float(read_peaks(maps.detach() + one, (60, 50))[0, place]) for one in (step, -step))
        assert float((gradient * step).sum()) == pytest.approx((more - less) / 2, rel=1e-4)
