"""A history, explanations to keep in it, and what is compared."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation, Image
from sightglass.history import History, Record


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


@pytest.fixture(scope="session")
def photo(bus: Path) -> Explanation:
    return Explainer("efficientnet-lite0")(bus, top_k=3)


@pytest.fixture(scope="session")
def noise() -> Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Explainer("efficientnet-lite0")(Image(pixels, "noise.png"), top_k=2)


@pytest.fixture(scope="session")
def bare(scene: Path) -> Explanation:
    """Two maps, neither proved nor checked."""
    return Explainer("demo-cls-s")(Image.open(scene), top_k=2)


def files(history: History) -> list[Path]:
    return sorted(path for path in (history.folder / "records").rglob("*") if path.is_file())


def plain(value: Any) -> Any:
    """Return a value with arrays as their bits, to be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Image):
        return value.name, value.sha256
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.name not in ("model", "target")]
        return {name: plain(getattr(value, name)) for name in names}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def same_maps(history: History, record: Record, explanation: Explanation) -> None:
    """Assert that every number of every map is the explanation's own."""
    maps = history.heatmaps(record)
    assert plain(maps) == plain(explanation.heatmaps)
    for i, (saved, info, heatmap) in enumerate(zip(maps, record.maps, explanation.heatmaps, strict=True)):
        assert saved.values.tobytes() == heatmap.values.tobytes() and saved.cells == heatmap.cells
        assert (info.statistics, info.boxes) == (explanation.statistics[i], explanation.own(i))
        assert (info.label, saved.target.label) == (heatmap.target.label,) * 2
