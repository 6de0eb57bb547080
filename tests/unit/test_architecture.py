"""The picture of the rooms shows what the source says."""

from __future__ import annotations

import runpy
from pathlib import Path

DRAW = Path(__file__).parents[2] / "docs/draw_rooms.py"


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    script = runpy.run_path(str(DRAW))
    assert script["PICTURE"].read_text("utf-8") == script["drawing"](), "run python docs/draw_rooms.py"
