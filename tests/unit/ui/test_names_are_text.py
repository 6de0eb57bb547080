"""Names of files, classes and people are text on every screen: `tests/faults/test_labels.py` looks at each page."""

from __future__ import annotations

import re

import pytest

from sightglass.ui.session.markdown import escape, sentence, without_keys
from tests.rooms import sources

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](https://evil.example/x)",
    "[x](javascript:alert(1))",
    ":red[x] $x$ **x** `x`",
    "__x__ _x_ a__b",
]


def test_no_page_draws_html_of_its_own() -> None:
    assert not [path for path in sources("ui", "pages") if "unsafe_allow_html" in path.read_text("utf-8")]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_mark_of_a_hostile_name_means_anything(text: str) -> None:
    shown = escape(text)
    assert not [i for i, mark in enumerate(shown) if mark in "*_[]`$:#<>~" and shown[i - 1] != "\\"]
    assert shown.replace("\\", "") == text


def test_a_problem_s_sentence_is_as_it_is_but_for_its_code() -> None:
    assert sentence("[x](y) is unknown: `pip install a[b]`.") == "\\[x\\](y) is unknown: `pip install a[b]`."


@pytest.mark.parametrize("name", [*HOSTILE, "` [x](y)", "``` [x](y) `", "`` [x](y)"])
def test_no_mark_of_a_name_in_a_problem_means_anything_but_code(name: str) -> None:
    shown = re.sub(r"(?<!`)`[^`]+`(?!`)", "", sentence(f"{name} cannot be read."))
    assert not [i for i, mark in enumerate(shown) if mark in "*[]`$#<>~" and shown[i - 1] != "\\"]


@pytest.mark.parametrize(
    ("note", "shown"),
    [
        ("It has 5 classes: say weights.labels in its table.", "It has 5 classes."),
        ('It shows what raises the number; part="lowers" shows what lowers it.', "It shows what raises the number."),
        ("Its weights. Are these, by its task: COCO's.", "Its weights. Are these, by its task: COCO's."),
    ],
)
def test_a_note_on_a_page_names_no_key(note: str, shown: str) -> None:
    assert without_keys(note) == shown
