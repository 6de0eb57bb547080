"""How a map is drawn has one place for its names and defaults, and settings from anywhere become one style."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

import pytest

from sightglass.common.errors import Problem
from sightglass.common.style import CHOICES, DEFAULTS
from sightglass.explain.rendering.style import FILE_STYLE, VIEWER_STYLE, Mode, Style

if TYPE_CHECKING:
    pass


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


def test_what_is_not_valid_counts_for_nothing():
    odd = {"mode": "<b>", "colormap": "none", "alpha": 7, "threshold": "x", "even": "maybe", "invert": 1, "cells": [1]}
    assert Style.of(odd) == Style(invert=True)
    assert Style.of({"alpha": math.nan, "threshold": None, "mode": ["map"], "even": True}) == Style(even=True)


def test_what_a_person_asks_for_is_checked():
    assert Style.parse("jet") == Style(colormap="jet")
    assert Style.parse("inferno", even=True) == FILE_STYLE
    assert Style.parse("jet", 0.0, even=True) == Style(colormap="jet", alpha=0.0, even=True)
    with pytest.raises(Problem, match=r"alpha is 2: give a number from 0 to 1\."):
        Style.parse("jet", 2)
    with pytest.raises(Problem, match=r"There is no colormap called 'jett': did you mean jet\?"):
        Style.parse("jett")
