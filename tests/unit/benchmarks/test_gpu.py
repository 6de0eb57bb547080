"""What is said of a GPU was seen, or said not to be; the emulated rounding is TF32's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.gpu import report as gpu

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
MODEL = "demo-cls-s"


def test_tf32_keeps_ten_bits_and_rounds_ties_to_even() -> None:
    given = torch.tensor([1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, -3.14159265, 0.0])
    assert gpu.tf32(given).tolist() == [1 + 2**-10, 1.0, 1 + 2**-9, 1 + 2**-10, -3.140625, 0.0]


def test_without_a_gpu_the_report_says_that_nothing_was_measured_there(bus: Path) -> None:
    result = gpu.gpu([MODEL], bus, CPU, 1)
    tf32, noise = result["rounding"]
    assert all(tf32["differences"][name] > 10 * noise["differences"][name] for name in tf32["differences"])
    assert max(noise["differences"].values()) < 1e-4
    assert {row["what"] for row in result["launches"]} >= {"a bare pass", "PyTorch's own way, one by one"}
    report = gpu.markdown(result)
    assert result["here"] is None
    assert "Not measured: this machine has no CUDA device." in report


def test_what_is_measured_on_a_device_holds_on_this_one(bus: Path) -> None:
    found = gpu.on_device(MODEL, bus, CPU, calls=2)
    assert max(found["differences"].values()) == found["again"] == found["threads"] == 0
    result = gpu.gpu([MODEL], bus, CPU, 1) | {"here": [found]}
    assert "2 calls" in gpu.markdown(result)
