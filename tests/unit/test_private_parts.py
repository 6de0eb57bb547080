"""Private parts of Streamlit are used in one module, and one that is missing is one sentence at the start."""

from __future__ import annotations

import ast
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from sightglass.common.errors import SettingProblem
from sightglass.ui import streamlit_internals
from tests.rooms import ROOT, every_room, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = {"streamlit": "streamlit_internals.py"}


def reached(source: str) -> Iterator[str]:
    """What a file uses of Streamlit's insides when it runs: modules, and names with underscores."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("streamlit."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ALLOWED:
            yield node.module or ""
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node.value) == "st":
            yield f"streamlit.{node.attr}"


def test_insides_are_reached_from_one_module_each() -> None:
    for path in sources(*every_room()):
        names = [name for name in reached(path.read_text("utf-8")) if path.name != ALLOWED[name.partition(".")[0]]]
        assert names == [], path.relative_to(ROOT)


def test_the_version_that_was_tried_is_the_installed_one() -> None:
    assert version("streamlit").startswith(f"{streamlit_internals.TRIED}.")


def test_what_was_tried_is_allowed_and_a_new_major_version_is_not() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    (asked,) = (Requirement(line) for line in lines if line.startswith("streamlit"))
    assert asked.specifier.contains(f"{streamlit_internals.TRIED}.0") and not asked.specifier.contains("2.0")


def test_a_name_that_is_missing_is_one_sentence() -> None:
    assert streamlit_internals._find("threading.Thread.start").__name__ == "start"
    for path in ("pathlib.nothing", "no_such_module.a", "threading.Thread._nothing"):
        with pytest.raises(SettingProblem, match=f"has no {path}, .* 'streamlit==1"):
            streamlit_internals._find(path)
