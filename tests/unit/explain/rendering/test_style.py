"""How a map is drawn has one place for its names and defaults, and settings from anywhere become one style."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest

from sightglass.common.errors import Problem
from sightglass.common.style import CHOICES, DEFAULTS, OPACITY
from sightglass.explain.rendering.style import FILE_STYLE, VIEWER_STYLE, Mode, Style

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = {DEFAULTS["alpha"], *OPACITY.values()}
# A name that says opacity, and soon after it a number, as a default, a constant or a text has it.
NAMED = re.compile(r"(?i)(?:alpha|opacity)\w*\W(?:[^\n]{0,60}?[^\w.])?(0?\.\d+|\d+ %)(?![\w.])")


def places(text: str) -> Iterator[str]:
    """The lines where an opacity is one of the default ones."""
    for found in NAMED.finditer(text):
        number = found[1]
        if (float(number[:-2]) / 100 if number.endswith("%") else float(number)) in NUMBERS:
            start = text.rfind("\n", 0, found.start()) + 1
            yield text[start : text.find("\n", found.end())].strip()


@pytest.mark.parametrize(
    "line",
    [
        "    alpha: float = 0.9,\n",
        "ALPHA = 0.9\n",
        'STYLE = {"colormap": "jet", "alpha": 0.5}\n',
        '#settings = { mode: "", alpha: 0.85, lines: false }\n',
        "    opacity: Share = 0.9\n",
        "Opacity of the map at its maximum; double-click for 90 %\n",
        'class="alpha" min="0" max="1" value=".9"\n',
        'cli.field("--alpha 0..1", "Opacity of the colours [0.9].")\n',
    ],
)
def test_a_second_place_is_found(line: str):
    assert list(places(line)) == [line.strip()]


def test_python_and_javascript_have_the_same_choices():
    assert list(get_args(Mode)) == CHOICES["mode"]
    assert Style() == VIEWER_STYLE == Style.of(DEFAULTS) == Style.of({})
    assert {name: getattr(VIEWER_STYLE, name) for name in ("mode", "colormap", "alpha", "threshold", "even")} == {
        name: DEFAULTS[name] for name in ("mode", "colormap", "alpha", "threshold", "even")
    }


def test_settings_become_a_style_as_in_the_viewer():
    given = {"mode": "map", "colormap": "jet", "alpha": "0.25", "threshold": 0.5, "even": "1", "cells": True}
    more = {"layout": "swipe", "split": 0.3, "zoom": "0,0,2", "boxes": False}
    assert Style.of(given | more) == Style("map", "jet", 0.25, 0.5, even=True, cells=True)


def test_what_a_person_asks_for_is_checked():
    assert Style.parse("jet") == Style(colormap="jet")
    assert Style.parse("inferno", even=True) == FILE_STYLE
    assert Style.parse("jet", 0.0, even=True) == Style(colormap="jet", alpha=0.0, even=True)
    with pytest.raises(Problem, match=r"alpha is 2: give a number from 0 to 1\."):
        Style.parse("jet", 2)
    with pytest.raises(Problem, match=r"There is no colormap called 'jett': did you mean jet\?"):
        Style.parse("jett")
