"""Joined modules share one scope, and only some forms of import and export can be cut away."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.scripts import joined
from components import (
    answer_list,
    canvas,
    changes,
    frontend,
    headline,
    live,
    markup,
    note,
    page_title,
    painter,
    pairs,
    picture_bar,
    stage,
    timeline,
    tour,
    viewer,
)
from explain.export.deck_html import OFFLINE
from pages.history import grid
from pages.present import board

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

IMPORT = re.compile(r'import \{ \w+(?:, \w+)* \} from "(\.\.?/(?:(?:\w+|\.\.)/)*\w+\.js)";')
EXPORT = re.compile(r"export (default component\(.*|(default )?(async )?(function|class|const|let)\b.*)")
NODE = shutil.which("node")
MORE = {viewer: (viewer._TEXTS, viewer._REQUESTS), stage: (OFFLINE,)}
"""Other scripts that are made of a component's modules."""


def misfit(folder: Path, names: Sequence[str]) -> str:
    """What keeps modules from being one script; empty where nothing does."""
    for place, name in enumerate(names):
        for line in (folder / name).read_text("utf-8").splitlines():
            if re.match(r"\s*import\b", line):
                found = IMPORT.fullmatch(line)
                if found is None:
                    return f"{name} has an import that is not of plain names on one line: {line}"
                needed = ((folder / name).parent / found[1]).resolve()
                if needed not in {(folder / before).resolve() for before in names[:place]}:
                    return f"{name} comes before {found[1]}, which it needs"
            if re.match(r"\s*export\b", line) and not EXPORT.fullmatch(line):
                return f"{name} has an export that is not of one declaration: {line}"
    if NODE is None:
        return ""
    # What scripts and functions let pass, a function declared twice, is an error in a module.
    command = [NODE, "--check", "--input-type=module", "-"]
    return subprocess.run(command, input=joined(folder, names), capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    "component",
    [
        answer_list,
        canvas,
        changes,
        grid,
        headline,
        board,
        live,
        markup,
        note,
        page_title,
        painter,
        pairs,
        picture_bar,
        stage,
        timeline,
        tour,
        viewer,
        # The package has a function of that name.
        import_module("components.saving.view_settings"),
    ],
    ids=lambda component: component.__name__,
)
def test_every_component_is_one_script(component: ModuleType):
    folder = Path(str(component.__file__)).parent
    scripts = [component._MODULES, *MORE.get(component, ())]
    for names in scripts:
        assert misfit(folder, names) == ""
        assert len(set(names)) == len(names)
    used = {name for names in scripts for name in names if not name.startswith("..")}
    assert {path.name for path in folder.glob("*.js")} == used


def test_no_type_is_any():
    loose = re.compile(r"@(?:param|type|typedef|returns) \{[^\n]*\bany\b[^\n]*\}")
    root = Path(str(frontend.__file__)).parents[2]
    for path in (*root.glob("components/**/*.js"), *root.glob("pages/**/*.js")):
        assert not loose.search(path.read_text("utf-8")), path


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        ("function a() {}", "has already been declared"),
        ("let b = 1, a = 2;", "has already been declared"),
        ("const { a } = window;", "has already been declared"),
        ('import {\n  a,\n} from "./first.js";', "one line"),
        ('import { a as b } from "./first.js";', "plain names"),
        ('import * as b from "./first.js";', "plain names"),
        ('import { a } from "./third.js";', "third.js, which it needs"),
        ("const b = 1;\nexport { b };", "one declaration"),
        ('export * from "./first.js";', "one declaration"),
        ('import { a } from "./first.js";\nexport const b = a;', ""),
    ],
)
def test_what_cannot_be_joined_is_found(tmp_path: Path, second: str, wrong: str):
    if "declared" in wrong and NODE is None:
        pytest.skip("only node finds names that are declared twice")
    (tmp_path / "first.js").write_text("export function a() {}\n")
    (tmp_path / "second.js").write_text(second + "\n")
    found = misfit(tmp_path, ["first.js", "second.js"])
    assert wrong in found if wrong else found == ""
