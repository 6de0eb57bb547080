from collections.abc import Iterator
from pathlib import Path

import pytest

from sightglass.explain.evidence.loaded_model import MODEL_CACHE
from tests.faults import labelled
from tests.faults.victim import Victims


@pytest.fixture(scope="package")
def victims() -> Iterator[Victims]:
    """The process that forks, with torch and a model in it."""
    pool = Victims()
    yield pool
    pool.close()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with models of one's own, whose classes have hostile names."""
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(labelled.tables(tmp_path)))
    yield tmp_path
    MODEL_CACHE.free()
