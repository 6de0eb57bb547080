"""How long a slow method still takes, in the words of its progress bar."""

from __future__ import annotations

import pytest

from components.session.background import time_left


@pytest.mark.parametrize(
    ("share", "elapsed", "words"),
    [
        (0.0, 30, ""),
        (0.004, 30, ""),
        (0.01, 2.5, ", about 5 min left"),
        (0.5, 0.5, ""),
        (0.5, 8, ", about 10 s left"),
        (0.25, 20, ", about 60 s left"),
        (0.1, 20, ", about 3 min left"),
        (0.99, 10, ", about 5 s left"),
        (1.0, 10, ""),
    ],
)
def test_what_is_left_of_slow_work(share: float, elapsed: float, words: str) -> None:
    assert time_left(share, elapsed).replace("\N{NO-BREAK SPACE}", " ") == words
