"""Modules say what they are for, and docs/architecture.md names what is there."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.rooms import ROOT, every_room, sources


@pytest.mark.parametrize("room", [*every_room(), "benchmarks", "training"])
def test_a_module_says_in_a_few_words_what_it_is_for(room: str) -> None:
    for path in sources(room) if room in every_room() else sorted((ROOT / room).rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        words = text.partition("\n")[0].split()
        # The file of an empty package says nothing that its name does not.
        assert len(words) <= 12, (path.relative_to(ROOT), text)
        assert words or path.stat().st_size == 0, path.relative_to(ROOT)


@pytest.mark.parametrize("room", every_room())
def test_a_folder_is_seen_at_a_glance(room: str) -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in sources(room))
    assert {name: count for name, count in counts.items() if count > (10 if name == "explain" else 15)} == {}


def test_what_the_page_names_is_there() -> None:
    """Every path of docs/architecture.md, and every function, method and class that its steps name after one."""
    lines = (ROOT / "docs/architecture.md").read_text("utf-8").splitlines()
    for path in {found.rstrip("/") for line in lines for found in re.findall(r"`([\w.]+/[\w./]*)[`:]", line)}:
        assert (ROOT / path).exists(), path
    for step in (line.split("|")[2] for line in lines if re.match(r"\| \d+ \|", line)):
        path = ""
        for text in re.findall(r"`([^`]+)`", step):
            before, colon, name = text.rpartition(": ")
            path = before if colon else path
            names = {getattr(node, "name", "") for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8")))}
            assert set(name.split(".")) <= names, (path, name)
