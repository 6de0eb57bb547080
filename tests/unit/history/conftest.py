"""A history, explanations to keep in it, and what is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.explain import Explainer, Image
from sightglass.explain.trust.checks import CACHE
from sightglass.history import History

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sightglass.explain import Explanation
    from sightglass.history import Record


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


@pytest.fixture(scope="session")
def one(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite0")(bus, top_k=3)


@pytest.fixture(scope="session")
def noise() -> Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "noise.png"), top_k=2)


@pytest.fixture(scope="session")
def bare(scene: Path) -> Explanation:
    """Two maps, neither proved nor sealed."""
    return Explainer("demo-cls-s")(Image.open(scene), top_k=2)


@pytest.fixture
def no_seals() -> Iterator[None]:
    """The process remembers no seal, before and after."""
    CACHE.clear()
    yield
    CACHE.clear()


def files(history: History) -> list[Path]:
    assert history.folder is not None
    return sorted(path for path in (history.folder / "records").rglob("*") if path.is_file())


def same_maps(history: History, record: Record, explanation: Explanation) -> None:
    """Assert that every number of every map is the explanation's own."""
    pairs = zip(history.heatmaps(record), record.maps, explanation.heatmaps, strict=True)
    for i, (found, info, heatmap) in enumerate(pairs):
        assert found.at_input.dtype == np.float32
        for a, b in (
            (found.at_input, heatmap.at_input),
            (found.values, heatmap.values),
            (found.measured.at_input, heatmap.measured.at_input),
            *zip(found.raw, heatmap.raw, strict=True),
        ):
            assert a.shape == b.shape and a.tobytes() == np.ascontiguousarray(b).tobytes()
        for name in ("method", "layers", "geometry", "scale", "state", "ends", "signed", "cells"):
            assert getattr(found, name) == getattr(heatmap, name), name
        assert (info.statistics, info.boxes) == (explanation.statistics[i], explanation.own(i))
        assert (info.label, found.target.label) == (heatmap.target.label,) * 2
