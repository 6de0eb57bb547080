"""Names of files, classes and people are text on every screen: no page draws HTML, and Markdown has them escaped."""

from __future__ import annotations

import ast
import re

import pytest

from sightglass.ui.session.markdown import escape, sentence, without_keys
from tests.rooms import sources

DRAWN = ("markdown", "caption", "info", "warning", "error", "success", "toast", "subheader", "write")
GIVEN = ("name", "label", "labelled", "predicted", "picture_name", "title", "problem", "sentence")
OURS = ("METHODS", "model", "spec", "chosen", "instead", "row", "path")
"""Of the catalogue, and what this server names itself: nobody else does."""
HOSTILE = [
    "<script>alert(1)</script>",
    "![x](https://evil.example/x)",
    "[x](javascript:alert(1))",
    ":red[x] $x$ **x** `x`",
    "__x__ _x_ a__b",
]


def unescaped(source: str) -> list[str]:
    """What is put into Markdown as it was given."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in DRAWN:
            for given in call.args[:1]:
                words = ast.unparse(given)
                if ast.unparse(call.func) == "st.error" and not isinstance(given, ast.Constant) and not words.isupper():
                    found += [] if words.startswith("sentence(") else [words]
                    continue
                for part in given.values if isinstance(given, ast.JoinedStr) else [given]:
                    value = part.value if isinstance(part, ast.FormattedValue) else part
                    if isinstance(value, ast.Call) and ast.unparse(value.func) == "str":
                        value = value.args[0]
                    problem = isinstance(value, ast.Name) and value.id == "problem"
                    if problem or (isinstance(value, ast.Attribute) and value.attr in GIVEN):
                        words = ast.unparse(value)
                        found += [] if any(name in words for name in OURS) else [words]
    return found


@pytest.mark.parametrize("room", ["ui", "pages"])
def test_no_screen_takes_a_name_for_markdown_or_html(room: str) -> None:
    for path in sources(room):
        source = path.read_text("utf-8")
        assert "unsafe_allow_html" not in source, path
        assert unescaped(source) == [], path


def test_that_rule_finds_what_it_is_for() -> None:
    assert unescaped('st.markdown(f"## {given.name}: press Explain")') == ["given.name"]
    assert unescaped('st.caption(f"{escaped(given.name)} {METHODS[x].name}")') == []
    assert unescaped("st.error(str(problem))") == ["str(problem)"]
    assert unescaped("st.error(sentence(problem))") == []


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
