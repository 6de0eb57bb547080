"""Joined modules share one scope, and only some forms of import and export can be cut away."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sightglass.browser import join, modules
from tests.rooms import ROOT

IMPORT = re.compile(r'import (?:\{ \w+(?:, \w+)* \} from )?"(\.\.?/(?:(?:\w+|\.\.)/)*\w+\.js)";')
EXPORT = re.compile(r"export (default component\(.*|(default )?(async )?(function|class|const|let)\b.*)")
NODE = shutil.which("node")
JOINED = [path for room in ("sightglass", "pages") for path in sorted((ROOT / room).rglob("*.js"))]
JOINED = [path for path in JOINED if "report" not in path.relative_to(ROOT).parts]
"""Modules of components; files that are exported have scripts of their own."""
PAGE = ROOT / "sightglass/ui/widgets/page.js"
"""What every page runs."""
ENTRIES = [PAGE, *(path for path in JOINED if re.search("^export default", path.read_text("utf-8"), re.MULTILINE))]


def misfit(*scripts: Path) -> str:
    """What keeps scripts and what they import from being one script; empty where nothing does."""
    try:
        found = modules(*scripts)
    except FileNotFoundError as error:
        return f"there is no {Path(error.filename).name}, which it needs"
    for place, path in enumerate(found):
        for line in path.read_text("utf-8").splitlines():
            if re.match(r"\s*import\b", line):
                needed = IMPORT.fullmatch(line)
                if needed is None:
                    return f"{path.name} has an import that is not of plain names on one line: {line}"
                if (path.parent / needed[1]).resolve() not in found[:place]:
                    return f"{path.name} comes before {needed[1]}, which it needs"
            if re.match(r"\s*export\b", line) and not EXPORT.fullmatch(line):
                return f"{path.name} has an export that is not of one declaration: {line}"
    if NODE is None:
        return ""
    # What scripts and functions let pass, a function declared twice, is an error in a module.
    command = [NODE, "--check", "--input-type=module", "-"]
    return subprocess.run(command, input=join(*scripts), capture_output=True, text=True).stderr


@pytest.mark.parametrize("script", ENTRIES, ids=lambda path: path.stem)
def test_every_component_is_one_script(script: Path):
    assert misfit(script) == ""


def test_the_script_of_every_page_passes_the_sanitiser():
    # DOMPurify leaves out an element whose text may hold another one.
    assert not re.search(r"<[/\w!]", join(PAGE))


def test_every_module_is_part_of_a_script():
    assert {path for script in ENTRIES for path in modules(script)} == set(JOINED)
