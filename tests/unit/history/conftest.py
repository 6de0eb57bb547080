"""A history, explanations to keep in it, and what is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.explain import Explainer, Image
from sightglass.explain.trust.checks import forget
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
    forget()
    yield
    forget()


def files(history: History) -> list[Path]:
    assert history.folder is not None
    return sorted(path for path in (history.folder / "records").rglob("*") if path.is_file())


def same_maps(history: History, record: Record, explanation: Explanation) -> None:
    """Assert that every number of every map is the explanation's own."""
    kept = history.heatmaps(record)
    for i, (found, heatmap) in enumerate(zip(kept, explanation.heatmaps, strict=True)):
        assert found.values.dtype == np.float32
        for a, b in (
            (found.values, heatmap.content),
            (found.at_input, heatmap.at_input),
            (found.at_picture, heatmap.values),
            (found.measured, heatmap.measured.content),
            *zip(found.layer_maps, heatmap.raw, strict=True),
        ):
            assert a.shape == b.shape and a.tobytes() == np.ascontiguousarray(b).tobytes()
        several = len(heatmap.raw) > 1
        assert (found.shared is not None) == (several and len(explanation.heatmaps) > 1)
        if found.shared is not None:
            assert np.array_equal(found.shared, explanation.shared[i].content)
        assert (found.extent, found.seen) == (explanation.evidence.geometry.extent, heatmap.seen)
        assert found.cells == (None if several else heatmap.raw[0].shape)
        assert found.raw == (heatmap.ends or (None if several else (0.0, 0.0)))
        assert (found.statistics, found.boxes) == (explanation.statistics[i], explanation.own(i))
        assert (found.label, found.state, found.scale) == (heatmap.target.label, heatmap.state, heatmap.scale)
