"""Occlusion finds what an answer hangs on, loses nothing at the edges, and is the same whatever the batch."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import Cancelled
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import METHODS, rise
from sightglass.explain.methods.masks import Windows
from sightglass.explain.methods.method import RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

SPEC = ModelSpec("patch", "Tests", "", "tests", "patch", "classify", "")


class Bright(nn.Module):
    """How bright one patch of the picture is, against a constant."""

    def __init__(self, box: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.box = box
        self.passes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(x))
        left, top, right, bottom = self.box
        bright = x[:, :, top:bottom, left:right].mean((1, 2, 3))
        return torch.stack((8 * bright, torch.full_like(bright, 4.0)), 1)


def evidence(box: tuple[int, int, int, int], size: tuple[int, int] = (64, 64), way: str = "squash") -> Evidence:
    numbers = Preprocessing(size, min(size), (0.0,) * 3, (1.0,) * 3)
    adapter = Classifier(SPEC, Bright(box), ["bright", "not"], numbers, "")
    resident = Resident(adapter, torch.device("cpu"))
    resident.__dict__["_survey"] = None
    return Evidence(resident, adapter.prepare(np.full((*size, 3), 255, np.uint8), way), ())


def occluded(given: Evidence, **options: Any) -> torch.Tensor:
    (maps,) = METHODS["occlusion"].run(given, [Target(0, "bright"), Target(1, "not")], Request(**options)).maps
    return maps


@pytest.mark.parametrize("box", [(8, 8, 24, 24), (40, 24, 56, 40), (0, 48, 16, 64)])
def test_the_patch_that_decides_is_the_hottest_place(box: tuple[int, int, int, int]) -> None:
    maps = occluded(evidence(box))
    assert maps.shape == (2, 28, 28)
    row, column = divmod(int(maps[0].argmax()), 28)
    left, top, right, bottom = (side * 28 / 64 for side in box)
    assert left - 1 <= column <= right
    assert top - 1 <= row <= bottom
    # What speaks for one class speaks against the only other one, and what is nowhere near does neither.
    torch.testing.assert_close(maps[1], -maps[0], atol=1e-6, rtol=0)
    far = maps[0, -4:, -4:] if box[0] == 8 else maps[0, :4, -1:] if box[0] == 0 else maps[0, :4, :4]
    assert float(far.abs().max()) < 1e-6


def test_a_raw_value_is_the_fall_of_the_score() -> None:
    """With one window over a patch that fills the picture: the score of the whole minus that of the grey."""
    given = evidence((0, 0, 64, 64))
    maps = occluded(given, masks=1)
    whole, grey = (torch.tensor([8 * light, 4.0]).softmax(0)[0] for light in (1.0, 114 / 255))
    torch.testing.assert_close(maps[0], (whole - grey).expand(2, 2), atol=1e-6, rtol=0)


def test_it_is_the_same_in_any_batch_and_from_one_run_to_the_next() -> None:
    first = evidence((8, 8, 24, 24))
    alone = evidence((8, 8, 24, 24))
    alone.resident.adapter.batch = 1  # type: ignore[attr-defined]
    torch.testing.assert_close(occluded(first), occluded(alone), atol=1e-7, rtol=0)
    assert sum(first.resident.adapter.module.passes[1:]) == rise.WINDOWS  # type: ignore[arg-type]
    before = list(first.resident.adapter.module.passes)  # type: ignore[call-overload]
    assert torch.equal(occluded(first), occluded(first))
    assert first.resident.adapter.module.passes == before


def test_every_place_of_the_picture_is_hidden_and_no_bar_is() -> None:
    # 32 rows of picture in the middle of 64.
    geometry = Geometry((32, 64), (64, 64), (1.0, 1.0), (16.0, 0.0))
    windows = Windows.sample(98, geometry)
    assert (windows.rows, windows.columns) == (7, 14)
    shown = windows.full(0, 98, torch.device("cpu"))
    assert shown.shape == (98, 32, 64)
    hidden = (1 - shown).sum(0)
    assert hidden.min() >= 1
    assert hidden.max() == 4
    maps = occluded(evidence((0, 0, 64, 64), (64, 64), "letterbox"), masks=98)
    assert maps.isfinite().all()


def test_it_comes_bit_by_bit_over_the_whole_picture_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rise, "SECONDS", 0)
    heard: list[RawMaps] = []
    given = evidence((8, 8, 24, 24))
    maps = occluded(given, partial=heard.append)
    note = "This map is not finished: {} of 196 masks so far."
    assert [raw.notes for raw in heard] == [(note.format(done),) for done in range(4, rise.WINDOWS, 4)]
    # The last of 49 batches changes little.
    torch.testing.assert_close(heard[-1].maps[0], maps, atol=0.05 * float(maps.max()), rtol=0)
    # Half-way the place is found: the windows come from everywhere, not row by row.
    early = heard[len(heard) // 2].maps[0][0]
    assert int(early.argmax()) // 28 <= 28 * 24 // 64
    stop = threading.Event()
    with pytest.raises(Cancelled):
        occluded(evidence((8, 8, 24, 24)), cancel=stop, partial=lambda *_: stop.set())
