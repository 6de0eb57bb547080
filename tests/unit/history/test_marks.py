"""Marks are drawn into a file where they were set, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from sightglass.explain import Problem
from sightglass.history import Mark
from sightglass.history.records import draw_marks


def grey(width: int = 1000, height: int = 500) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_an_arrow_and_a_text_lie_where_they_were_set() -> None:
    out = draw_marks(grey(), [Mark("arrow", ((100, 100), (400, 300))), Mark("text", ((700, 200),), "wheels")])
    assert tuple(out[200, 250]) == (255, 255, 255)
    letters = np.argwhere((out[:, 600:] == 255).all(axis=2))
    assert abs(letters[:, 0].mean() - 200) < 30 and 600 < letters[:, 1].mean() + 600 < 800
    line = draw_marks(grey(), [Mark("line", ((100, 100), (100, 300), (400, 300)), width=20)])
    assert tuple(line[200, 108]) == tuple(line[300, 250]) == (255, 255, 255) and (line[:, 500:] == 128).all()
    assert draw_marks(grey(), [Mark("arrow", ((-900_000, 0), (900_000, 400)))]).shape == (500, 1000, 3)


@pytest.mark.parametrize("given", [("star", ((1, 2),)), ("arrow", ((1, 2),)), ("text", ((1, 2),)), ("arrow", "ab")])
def test_what_is_no_mark_is_refused(given: tuple) -> None:
    with pytest.raises(Problem):
        Mark(*given)
