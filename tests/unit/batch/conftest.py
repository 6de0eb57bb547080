"""Pictures of the tests of runs, and the results of a run that nothing interrupted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.batch import run

MODEL = "efficientnet-lite0"


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """21 small cuts of photographs in two folders, and one file that is none."""
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(0)
    for number in range(21):
        with Pillow.open(pictures[number % len(pictures)]) as opened:
            x, y = generator.integers(0, 200, 2)
            cut = opened.convert("RGB").crop((x, y, x + 300, y + 240)).resize((100, 80))
        below = folder / ("first" if number % 2 else "second")
        below.mkdir(exist_ok=True)
        cut.save(below / f"{number:02}.jpg")
    (folder / "first" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "first" / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="session")
def finished_run(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the plain engine makes of them, four at a time."""
    out = tmp_path_factory.mktemp("whole")
    run(many, MODEL, out, batch_size=4, workers=2)
    return out
