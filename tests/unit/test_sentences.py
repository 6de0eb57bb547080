"""Sentences on the screens have at most twenty words, and none that a visitor would not say."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.rooms import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST = 20
"""Words of a sentence."""
PAGES = ("dashboard.py", "pages", "sightglass/components", "explain/findings")
"""What pages say themselves."""
ROOMS = (*PAGES, "explain", "models", "sightglass")
"""With what pages pass on: findings, verdicts, errors."""
FOR_OTHERS = ("sightglass/cli", "sightglass/api/endpoints", "explain/options.py", "models/__main__.py")
"""Flags, routes and a page of the docs: on no screen."""
EXCEPTIONS = {
    # Fields of the API, which its own page lists.
    "sightglass/api/schemas.py",
    "sightglass/api/results.py",
    # Words that tell what a network is for, by its name.
    "models/adapters/tasks.py",
    "models/drawing.py",
}
STRANGE = re.compile(
    r"\b(logits?|tensors?|softmax|argmax|entropy|Kolmogorov|Jensen|Holm|cosine|non-maximum|VJP|backprop\w*|payload)\b"
)
"""What a visitor would not say."""
CODE = re.compile(r"\{[^{}]*:[^{}]*;|CREATE TABLE")
"""Styles and SQL: no sentences."""
NAMED_ANYWAY = {
    "pages/batch/views.py: After SpRAy (Lapuschkin et al.",
}
TEXTS = re.compile(r'(?:title|aria-label|placeholder)="([^"]+)"|>([^<>]+)<')


def python_files(rooms: tuple[str, ...]) -> list[Path]:
    places = [ROOT / room for room in rooms]
    found = {path for place in places for path in ([place] if place.is_file() else place.rglob("*.py"))}
    names = {path: path.relative_to(ROOT).as_posix() for path in found}
    return sorted(path for path, name in names.items() if name not in EXCEPTIONS and not name.startswith(FOR_OTHERS))


def strings(path: Path) -> Iterator[str]:
    """The texts of a module, with `X` for what is filled in; docstrings are none."""
    tree = ast.parse(path.read_text("utf-8"))
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)


def sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+|\s*\n\s*\n\s*", text)
    return [" ".join(part.split()) for part in parts]


def count_words(sentence: str) -> int:
    return sum(1 for word in sentence.split() if re.search(r"\w", word))


def markup() -> Iterator[tuple[str, str]]:
    """The texts of the components' HTML, each with its file."""
    for room in ("pages", "sightglass/components", "sightglass/deck"):
        for path in sorted((ROOT / room).rglob("*.html")):
            for title, text in TEXTS.findall(path.read_text("utf-8")):
                yield path.relative_to(ROOT).as_posix(), title or text


def test_a_sentence_has_at_most_twenty_words() -> None:
    said = [(path.relative_to(ROOT).as_posix(), text) for path in python_files(ROOMS) for text in strings(path)]
    long = [
        f"{name}: {count_words(one)} words: {one}"
        for name, text in [*said, *markup()]
        for one in sentences(text)
        if count_words(one) > MOST and not CODE.search(one)
    ]
    assert long == []


@pytest.mark.parametrize("room", PAGES)
def test_no_word_that_a_visitor_would_not_say(room: str) -> None:
    said = [
        f"{path.relative_to(ROOT).as_posix()}: {one}"
        for path in python_files((room,))
        for text in strings(path)
        for one in sentences(text)
        if re.match(r"[A-Z*:#]", one) and count_words(one) > 2
    ]
    assert said
    assert [one for one in said if STRANGE.search(one.partition(": ")[2]) and one not in NAMED_ANYWAY] == []


def test_the_walk_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A sentence in two strings, one that is filled in, and none of a docstring."""
    script = tmp_path / "page.py"
    script.write_text('"""No text."""\nsay("One two. "\n    f"Three {four} five six. Seven")\n', "utf-8")
    (text,) = strings(script)
    assert sentences(text) == ["One two.", "Three X five six.", "Seven"]
    assert [count_words(one) for one in sentences(text)] == [2, 4, 1]
