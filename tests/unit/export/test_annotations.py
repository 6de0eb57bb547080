"""Marks drawn into a file lie where the browser draws them, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightglass.export import annotations
from sightglass.history import Mark

CASES = json.loads(Path(__file__).with_name("annotations.json").read_text())["cases"]


def mark(given: dict[str, Any]) -> Mark:
    return Mark(given["kind"], tuple(map(tuple, given["points"])), given["text"], given["ink"])


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['mark']['kind']}-{case['mark']['text'][:12]}-{case['size'][0]}"
)
def test_every_part_lies_where_the_browser_has_it(case):
    size = (case["size"][0], case["size"][1])
    drawing, wanted = annotations.drawing_of(mark(case["mark"]), annotations.unit_of(size), size), case["drawing"]

    def near(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(np.array(found, float), np.array(expected, float), atol=1e-3)

    assert (drawing.line is None) == (wanted["line"] is None)
    if drawing.line is not None:
        near(drawing.line, wanted["line"])
        near(drawing.head, wanted["head"])
    assert (drawing.circle is None) == (wanted["circle"] is None)
    if drawing.circle is not None:
        near(drawing.circle[0], wanted["circle"]["at"])
        near(drawing.circle[1], wanted["circle"]["radius"])
    assert (drawing.words is None) == (wanted["words"] is None)
    if drawing.words is not None:
        near(drawing.words.at, wanted["words"]["at"])
        near(drawing.words.size, wanted["words"]["size"])
        assert (drawing.words.anchor, list(drawing.words.lines)) == (
            wanted["words"]["anchor"],
            wanted["words"]["lines"],
        )


def grey(width: int = 1000, height: int = 500) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("ink", ["accent", "light", "dark"])
def test_the_ink_is_on_the_line_with_its_contrast_around_it(ink):
    picture = grey()
    out = annotations.draw(picture, [Mark("circle", ((300.5, 250.5), (300.5, 150.5)), ink=ink)])
    front, back = annotations.INKS[ink]
    for x, y in ((300, 150), (300, 350), (200, 250), (400, 250)):
        assert tuple(out[y, x]) == front
    unit = 2
    beside = round((annotations.STROKE / 2 + annotations.HALO / 2) * unit)
    assert tuple(out[150 - beside - 1, 300]) == back and tuple(out[150 + beside + 1, 300]) == back
    assert (out[250, 300] == 128).all(), "inside it the picture is as it was"
    assert (picture == 128).all(), "what was given is not drawn on"
    changed = np.argwhere((out != 128).any(axis=2))
    far = np.hypot(changed[:, 1] - 300, changed[:, 0] - 250)
    assert far.min() > 90 and far.max() < 110


def test_words_are_where_they_were_written_and_are_read_in_lines():
    out = annotations.draw(grey(), [Mark("text", ((400, 200),), "wheels", "light")])
    inked = np.argwhere((out == 255).all(axis=2))
    assert 400 <= inked[:, 1].min() < 412 and inked[:, 1].max() < 560
    assert abs((inked[:, 0].min() + inked[:, 0].max()) / 2 - 200) < 8
    two = annotations.draw(grey(), [Mark("text", ((400, 200),), "wheels " * 8, "light")])
    assert np.argwhere((two == 255).all(axis=2))[:, 0].max() > inked[:, 0].max() + 30
